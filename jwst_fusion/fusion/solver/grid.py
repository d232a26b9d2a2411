"""The periodic domain of a fusion: groups of aliased frequencies, transfer functions, powers."""

from __future__ import annotations

import numpy as np
import scipy.fft as sf

__all__ = ["Grid"]


class Grid:
    """Periodic domain of ``(rows, columns)`` spaxels, each ``factor`` fine pixels wide.

    Parameters
    ----------
    rows, columns : int
        Number of spaxels along y and x.
    factor : int
        Fine pixels per spaxel along each axis, d.

    Notes
    -----
    With unitary transforms, fine frequency ``p + rows * i`` aliases onto coarse frequency ``p``.
    A *group* is a coarse frequency with its ``d * d`` fine ones; the half plane of groups
    ``q <= columns / 2`` describes a real image. Group arrays are (group, d * d, map).
    """

    def __init__(self, rows, columns, factor):
        self.rows, self.columns, self.factor = int(rows), int(columns), int(factor)
        self.shape = (self.rows * self.factor, self.columns * self.factor)
        self.half = self.columns // 2 + 1
        self.aliases = self.factor**2
        self.groups = self.rows * self.half
        q = np.arange(self.half)
        weight = np.where((q == 0) | (2 * q == self.columns), 1.0, 2.0)
        # A group away from the edges of the half plane stands for its mirror image as well.
        self.multiplicity = np.broadcast_to(weight, (self.rows, self.half)).ravel().copy()

    def group(self, spectrum):
        """Bring fine spectra into groups.

        Parameters
        ----------
        spectrum : ndarray (n, Y, X)
            Values at all fine frequencies, in the order of the fast Fourier transform.

        Returns
        -------
        ndarray (group, d * d, n)
            Those of the half plane.
        """
        d, n = self.factor, len(spectrum)
        blocks = spectrum.reshape(n, d, self.rows, d, self.columns)[..., : self.half]
        return blocks.transpose(2, 4, 1, 3, 0).reshape(self.groups, self.aliases, n)

    def analyse(self, maps):
        """Transform fine maps into groups.

        Parameters
        ----------
        maps : ndarray (n, Y, X)
            Real maps.

        Returns
        -------
        ndarray (group, d * d, n)
            Their Fourier coefficients, complex.
        """
        return self.group(sf.fft2(maps, norm="ortho"))

    def synthesise(self, groups):
        """Transform groups back into fine maps.

        Parameters
        ----------
        groups : ndarray (group, d * d, n)
            Fourier coefficients.

        Returns
        -------
        ndarray (n, Y, X)
            Real maps.
        """
        d, n = self.factor, groups.shape[2]
        full = np.zeros((n, d, self.rows, d, self.columns), np.complex128)
        weighted = groups * self.multiplicity[:, None, None]
        weighted = weighted.reshape(self.rows, self.half, d, d, n)
        full[..., : self.half] = weighted.transpose(4, 2, 0, 3, 1)
        return sf.ifft2(full.reshape(n, *self.shape), norm="ortho", overwrite_x=True).real

    def analyse_coarse(self, maps):
        """Transform coarse maps into their Fourier coefficients.

        Parameters
        ----------
        maps : ndarray (n, rows, columns)
            Real maps, one value per spaxel.

        Returns
        -------
        ndarray (group, n)
            Their coefficients, complex.
        """
        return sf.rfft2(maps, norm="ortho").reshape(len(maps), self.groups).T

    def synthesise_coarse(self, groups):
        """Transform Fourier coefficients back into coarse maps.

        Parameters
        ----------
        groups : ndarray (group, n)
            Coefficients.

        Returns
        -------
        ndarray (n, rows, columns)
            Real maps, one value per spaxel.
        """
        spectrum = np.ascontiguousarray(groups.T).reshape(-1, self.rows, self.half)
        return sf.irfft2(spectrum, (self.rows, self.columns), norm="ortho")

    def otf(self, psf):
        """Transfer functions of centred PSFs.

        A PSF larger than the domain is folded, as periodic convolution demands.

        Parameters
        ----------
        psf : ndarray (n, m, m)
            PSFs on the fine grid, of odd size.

        Returns
        -------
        ndarray (n, Y, X)
            Transfer functions, complex.
        """
        m1, m2 = psf.shape[1:]
        y = (np.arange(m1) - m1 // 2) % self.shape[0]
        x = (np.arange(m2) - m2 // 2) % self.shape[1]
        kernel = np.zeros((len(psf), *self.shape))
        np.add.at(kernel, (slice(None), y[:, None], x[None, :]), psf)
        return sf.fft2(kernel)

    def sampling_phase(self):
        """Phase that samples at the spaxel centres, fine index ``d i + (d - 1) / 2``.

        For even ``d`` the centre lies half a pixel between samples; at the Nyquist frequency both
        signs are averaged, which keeps real maps real.

        Returns
        -------
        ndarray (Y, X)
            Factor at every fine frequency, complex.
        """
        shift = (self.factor - 1) / 2
        phases = []
        for n in self.shape:
            phase = np.exp(2j * np.pi * np.fft.fftfreq(n) * shift)
            if n % 2 == 0:
                phase[n // 2] = np.cos(np.pi * shift)
            phases.append(phase)
        return phases[0][:, None] * phases[1][None, :]

    def band(self, share):
        """Whether frequencies are within those of pixels 1 / share times as large.

        Parameters
        ----------
        share : float
            Area of the pixels of the grid over that of others, at most 1.

        Returns
        -------
        ndarray (group, d * d)
            1 where they are, else 0.
        """
        largest = [np.abs(np.fft.fftfreq(n)) for n in self.shape]
        largest = np.maximum(largest[0][:, None], largest[1][None, :])
        return self.group((largest <= 0.5 * np.sqrt(share)).astype(float)[None])[:, :, 0]

    def gradient_power(self):
        """Squared transfer function of the gradient, (group, d * d)."""
        power = [2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n)) for n in self.shape]
        return self.group((power[0][:, None] + power[1][None, :])[None])[:, :, 0]

    def log_gradient_power(self):
        """Logarithm of the same, (group, d * d); 0 at the zero frequency, which has no gradient."""
        power = self.gradient_power()
        return np.log(np.where(power > 0, power, 1.0))
