"""The two instruments as linear operators on component maps; long because each has four forms.

These are the operator and its exact adjoint, for maps and for their groups in the Fourier plane.
The scene is ``X = mean + V Z`` with component maps ``Z (k, y, x)`` on the fine (imager) grid. Both
operators act on a periodic domain, grouped so that the ``d * d`` fine frequencies that alias onto
one coarse frequency lie side by side. Images are (y, x), cubes (wavelength, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft as sf

__all__ = ["FusionData", "Grid", "Imager", "Spectrometer"]


@dataclass
class FusionData:
    """All arrays that one fusion needs, on one common sky grid.

    Fine pixel ``d * i + (d - 1) / 2`` is the centre of spaxel ``i``. The caller pads the cube with
    a margin of spaxels of weight zero so that real imager pixels around the field are used.

    Parameters
    ----------
    cube : ndarray (L, h, w)
        Spectrometer cube, MJy/sr. NaN marks voxels without data.
    cube_sigma : ndarray (L,)
        Typical 1-sigma error per channel, MJy/sr; not finite or not positive: no data there.
    spaxel_weight : ndarray (h, w)
        Relative inverse variance of each spaxel, 0 where there are no data.
    images : ndarray (F, d * h, d * w)
        Imager data, MJy/sr. NaN marks pixels without data.
    image_sigma : ndarray (F,)
        Typical 1-sigma error per image, MJy/sr.
    image_weight : ndarray (F, d * h, d * w)
        Relative inverse variance of each pixel, 0 where there are no data.
    response : ndarray (F, L)
        Photometry weights; rows sum to the cross-calibration factor.
    psf_weights : ndarray (L, R)
        Interpolation weights from the R wavelength nodes to the channels; rows sum to 1.
    psf_image, psf_cube : ndarray (R, m, m)
        PSFs at the nodes on the fine grid, odd size, centred, unit sum.
    factor : int
        Fine pixels per spaxel along each axis, 2 or more.
    image_independent : ndarray (F,), optional
        Share of the pixels of each image whose noise is independent, above 0 to 1 (the default):
        less than 1 if its own pixels are larger than those of the grid. `image_sigma` is then the
        error of independent pixels with as much information, larger by one over the root of it than
        the noise that the image shows.

    Raises
    ------
    ValueError
        If a shape, a size or a normalisation does not fit; the message names the field.
    """

    cube: np.ndarray
    cube_sigma: np.ndarray
    spaxel_weight: np.ndarray
    images: np.ndarray
    image_sigma: np.ndarray
    image_weight: np.ndarray
    response: np.ndarray
    psf_weights: np.ndarray
    psf_image: np.ndarray
    psf_cube: np.ndarray
    factor: int
    image_independent: np.ndarray | None = None

    def __post_init__(self):
        if self.image_independent is None:
            self.image_independent = np.ones(len(self.images))
        for name in self.__dataclass_fields__:
            if name not in ("factor", "cube", "images"):
                setattr(self, name, np.asarray(getattr(self, name), float))
        self.cube, self.images = np.asarray(self.cube), np.asarray(self.images)
        if int(self.factor) != self.factor or self.factor < 2:
            msg = f"factor must be an integer of 2 or more, got {self.factor!r}"
            raise ValueError(msg)
        self.factor = int(self.factor)
        for name, ndim in (("cube", 3), ("images", 3), ("psf_weights", 2)):
            if getattr(self, name).ndim != ndim:
                msg = f"{name} must have {ndim} dimensions, got shape {getattr(self, name).shape}"
                raise ValueError(msg)
        channels, h, w = self.cube.shape
        filters, nodes, d = len(self.images), self.psf_weights.shape[1], self.factor
        if filters == 0:
            msg = "images is empty: at least one imager filter is needed"
            raise ValueError(msg)
        expected = {
            "cube_sigma": (channels,),
            "spaxel_weight": (h, w),
            "images": (filters, d * h, d * w),
            "image_sigma": (filters,),
            "image_weight": (filters, d * h, d * w),
            "image_independent": (filters,),
            "response": (filters, channels),
            "psf_weights": (channels, nodes),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                msg = (
                    f"{name} has shape {getattr(self, name).shape}, expected {shape} from a "
                    f"cube of shape {self.cube.shape}, {filters} images and factor {d}"
                )
                raise ValueError(msg)
        for name in ("psf_image", "psf_cube"):
            _check_psf(name, getattr(self, name), nodes)
        for name in ("spaxel_weight", "image_weight", "response", "psf_weights"):
            if not np.all(np.isfinite(getattr(self, name))):
                msg = f"{name} contains values that are not finite; give 0 where there are no data"
                raise ValueError(msg)
        for name in ("spaxel_weight", "image_weight"):
            if getattr(self, name).min() < 0:
                msg = f"{name} contains negative values; weights are relative inverse variances"
                raise ValueError(msg)
        if not np.all(np.isfinite(self.image_sigma) & (self.image_sigma > 0)):
            msg = f"image_sigma must be finite and positive, got {self.image_sigma}"
            raise ValueError(msg)
        if not np.all((self.image_independent > 0) & (self.image_independent <= 1)):
            msg = f"image_independent must be above 0 and at most 1, got {self.image_independent}"
            raise ValueError(msg)

    @property
    def image_noise(self):
        """Noise (F,) that pixels of weight 1 show, MJy/sr."""
        return self.image_sigma * np.sqrt(self.image_independent)


def _check_psf(name, psf, nodes):
    if psf.ndim != 3 or len(psf) != nodes:
        msg = f"{name} has shape {psf.shape}, expected ({nodes}, m, m) as in psf_weights"
        raise ValueError(msg)
    if psf.shape[1] % 2 == 0 or psf.shape[2] % 2 == 0:
        msg = f"{name} has shape {psf.shape}: an even size shifts by half a pixel, give an odd size"
        raise ValueError(msg)
    sums = psf.sum((1, 2))
    if not np.allclose(sums, 1.0, atol=1e-3):
        msg = f"{name} must have unit sum at every node, got {sums.min():.4f} to {sums.max():.4f}"
        raise ValueError(msg)


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


class Imager:
    r"""Imager: wavelength-dependent blur, then one or more spectral sums.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    psf : ndarray (R, m, m)
        Point spread functions at the wavelength nodes.
    mixing : ndarray (n, R, k)
        Contribution of component a seen with PSF r to image n.

    Notes
    -----
    .. math:: y_n = \sum_{ra} M_{nra} (h_r * z_a), \quad
              (A^T y)_a = \sum_{nr} M_{nra} (\tilde h_r * y_n)

    with :math:`\tilde h(x) = h(-x)`. Equation 4 of Marquis et al. 2026 restricted to the subspace.
    """

    def __init__(self, grid, psf, mixing):
        self.grid = grid
        count, nodes, rank = mixing.shape
        otf = grid.group(grid.otf(psf))
        table = mixing.transpose(1, 0, 2).reshape(nodes, count * rank)
        self.transfer = (otf @ table).reshape(grid.groups, grid.aliases, count, rank)

    def forward_groups(self, groups):
        """Images of component groups, both in the Fourier plane.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, d * d, n)
            Groups of the images.
        """
        return (self.transfer @ groups[..., None])[..., 0]

    def adjoint_groups(self, groups):
        """Apply the adjoint in the Fourier plane.

        Parameters
        ----------
        groups : ndarray (group, d * d, n)
            Groups of images.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups.
        """
        return (groups[..., None, :].conj() @ self.transfer)[..., 0, :].conj()

    def forward(self, maps):
        """Images of component maps.

        Parameters
        ----------
        maps : ndarray (k, Y, X)
            Component maps.

        Returns
        -------
        ndarray (n, Y, X)
            The images.
        """
        return self.grid.synthesise(self.forward_groups(self.grid.analyse(maps)))

    def adjoint(self, images):
        """Apply the adjoint.

        Parameters
        ----------
        images : ndarray (n, Y, X)
            Images.

        Returns
        -------
        ndarray (k, Y, X)
            Component maps.
        """
        return self.grid.synthesise(self.adjoint_groups(self.grid.analyse(images)))


class Spectrometer:
    r"""Spectrometer: wavelength-dependent blur, then sampling at the spaxel centres.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    psf : ndarray (R, m, m)
        Point spread functions at the wavelength nodes, on the fine grid.
    mixing : ndarray (n, R, k)
        Contribution of component a seen with PSF r to output row n (a channel, or a combination).

    Notes
    -----
    .. math:: y_n = S \sum_{ra} M_{nra} (h_r * z_a)

    where S takes the value at fine index d i + (d - 1) / 2. Equation 5 of Marquis et al. 2026
    restricted to the subspace. Sampling sums the aliased frequencies, divided by d.
    """

    def __init__(self, grid, psf, mixing):
        self.grid = grid
        self.rows, self.nodes, self.rank = mixing.shape
        self.mixing = mixing.reshape(self.rows, -1)
        transfer = grid.group(grid.otf(psf) * (grid.sampling_phase() / grid.factor))
        self.transfer = np.ascontiguousarray(transfer.transpose(0, 2, 1))  # group, node, alias

    def forward_groups(self, groups):
        """Sampled rows of component groups, both in the Fourier plane.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, n)
            Fourier coefficients of the sampled rows.
        """
        folded = self.transfer @ groups
        return folded.reshape(len(groups), -1) @ self.mixing.T

    def adjoint_groups(self, coarse):
        """Apply the adjoint in the Fourier plane.

        Parameters
        ----------
        coarse : ndarray (group, n)
            Fourier coefficients of sampled rows.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups.
        """
        spread = (coarse @ self.mixing).reshape(-1, self.nodes, self.rank)
        return self.transfer.conj().transpose(0, 2, 1) @ spread

    def forward(self, maps):
        """Sampled rows of component maps.

        Parameters
        ----------
        maps : ndarray (k, Y, X)
            Component maps.

        Returns
        -------
        ndarray (n, h, w)
            One value per row and spaxel.
        """
        return self.grid.synthesise_coarse(self.forward_groups(self.grid.analyse(maps)))

    def adjoint(self, rows):
        """Apply the adjoint.

        Parameters
        ----------
        rows : ndarray (n, h, w)
            Sampled rows.

        Returns
        -------
        ndarray (k, Y, X)
            Component maps.
        """
        return self.grid.synthesise(self.adjoint_groups(self.grid.analyse_coarse(rows)))

    def blocks(self, start, stop):
        """Write the operator as one matrix per group.

        Parameters
        ----------
        start, stop : int
            First group, and the one after the last.

        Returns
        -------
        ndarray (stop - start, n, d * d * k)
            The matrices; the column of alias b and component a is ``b * k + a``.
        """
        transfer = self.transfer[start:stop]
        table = self.mixing.reshape(self.rows, self.nodes, self.rank).transpose(1, 0, 2)
        product = transfer.transpose(0, 2, 1) @ table.reshape(self.nodes, -1)
        shape = (len(transfer), self.grid.aliases, self.rows, self.rank)
        return product.reshape(shape).transpose(0, 2, 1, 3).reshape(len(transfer), self.rows, -1)
