"""
Starlet transforms (isotropic undecimated wavelets) of images, spectra and cubes; exact adjoints.

Starck, Murtagh & Fadili (2010), *Sparse image and signal processing*: :math:`c_j = S_j c_{j-1}`,
:math:`w_j = c_{j-1} - c_j`, with smoothing :math:`S_j` by the cubic B-spline at steps of 1, 2,
4 ... samples. `PeriodicStarlet` continues maps periodically and is a set of Fourier filters; the
others mirror images and spectra at their ends, as photons need it.
"""

from __future__ import annotations

import numpy as np
import scipy.fft as sf

__all__ = ["SPLINE", "PeriodicStarlet", "Starlet1D", "Starlet2D", "Starlet2D1D", "smoothing_matrix"]

#: Weights of five samples, of sum one: the cubic B-spline, whose scales differ by factors of two.
SPLINE = np.array([1, 4, 6, 4, 1]) / 16
# Largest number of scales that a periodic transform takes by itself; details of 32 pixels are left
# to the smooth rest.
_LARGEST = 5


def _details(values, smooth, scales):
    """Details at each scale, a list, and the smooth rest; ``smooth(values, j)`` is one scale."""
    details = []
    for j in range(scales):
        smoother = smooth(values, j)
        details.append(values - smoother)
        values = smoother
    return details, values


class _Mirrored:
    """What transforms with symmetric matrices share: each scale is ``smooth(values, j)``."""

    def forward(self, values, *, rest=False):
        """
        Transform images or spectra.

        Parameters
        ----------
        values : ndarray
            Images (..., M, N) of a `Starlet2D`, a cube (L, ...) of a `Starlet1D`.
        rest : bool, optional
            Whether to append the smooth rest.

        Returns
        -------
        list of ndarray
            Coefficients of each scale, in the shape of the input.
        """
        details, smooth = _details(values, self.smooth, self.scales)
        return [*details, smooth] if rest else details

    def adjoint(self, coefficients):
        """
        Apply the transpose.

        Parameters
        ----------
        coefficients : list of ndarray
            Coefficients of each scale and, if there is one more, of the smooth rest.

        Returns
        -------
        ndarray
            Images or spectra, in the shape of the coefficients.
        """
        total = coefficients[self.scales] if len(coefficients) > self.scales else None
        for j in reversed(range(self.scales)):
            inner = -coefficients[j] if total is None else total - coefficients[j]
            total = coefficients[j] + self.smooth(inner, j)
        return total

    def matrices(self):
        """Full matrices of the scales, and of the smooth rest, over all samples."""
        size = int(np.prod(self.shape))
        details, rest = _details(np.eye(size), lambda one, j: self._matrix(j) @ one, self.scales)
        return [*details, rest]


def smoothing_matrix(size, step):
    """
    Smooth with the cubic B-spline at a dyadic step, mirrored at the ends.

    Parameters
    ----------
    size : int
        Number of samples.
    step : int
        Distance of the five taps, a power of two.

    Returns
    -------
    ndarray (size, size)
        Symmetric matrix, rows of sum 1. The mirror lies half a sample beyond the last one.
    """
    matrix, rows = np.zeros((size, size)), np.arange(size)
    for tap, weight in zip((-2, -1, 0, 1, 2), SPLINE, strict=True):
        columns = (rows + tap * step) % (2 * size)
        columns = np.where(columns >= size, 2 * size - 1 - columns, columns)
        np.add.at(matrix, (rows, columns), weight)
    return matrix


class Starlet2D(_Mirrored):
    r"""
    Details of images at scales of 1, 2, 4 ... pixels.

    Parameters
    ----------
    shape : tuple of int
        Shape (M, N) of the images.
    scales : int
        Number of scales; the smooth rest is left out.
    dtype : dtype
        Precision.

    Notes
    -----
    Smoothing along both axes is by symmetric matrices, so that the transpose of each scale is a
    product of the same matrices.
    """

    def __init__(self, shape, scales, dtype=float):
        self.shape, self.scales = tuple(shape), scales
        self.rows = [smoothing_matrix(shape[0], 2**j).astype(dtype) for j in range(scales)]
        self.columns = [smoothing_matrix(shape[1], 2**j).astype(dtype) for j in range(scales)]

    def smooth(self, images, scale):
        """
        Smooth images at one scale.

        Parameters
        ----------
        images : ndarray (..., M, N)
            The images.
        scale : int
            Number of the scale j, from 0; the samples of the filter are 2**j pixels apart.

        Returns
        -------
        ndarray (..., M, N)
            The smoothed images.
        """
        return np.matmul(self.rows[scale], images @ self.columns[scale])

    def _matrix(self, scale):
        return np.kron(self.rows[scale], self.columns[scale])


class Starlet1D(_Mirrored):
    """
    Details of spectra at scales of 1, 2, 4 ... channels; see `Starlet2D`.

    Parameters
    ----------
    size : int
        Number of channels.
    scales : int
        Number of scales; the smooth rest is left out.
    """

    def __init__(self, size, scales):
        self.size, self.shape, self.scales = size, (size,), scales
        self._plans = [self._plan(size, 2**j) for j in range(scales)]

    @staticmethod
    def _plan(size, step):
        """Rows at the ends, which the mirror touches, and their part of the matrix."""
        reach = min(2 * step, size)
        if 2 * reach >= size:
            return None, smoothing_matrix(size, step)
        small = smoothing_matrix(min(size, 4 * step), step)
        return reach, small[:reach]

    def smooth(self, cube, scale):
        """
        Smooth the spectra of a cube at one scale.

        Parameters
        ----------
        cube : ndarray (L, ...)
            The spectra, along the first axis.
        scale : int
            Number of the scale j, from 0; the samples of the filter are 2**j channels apart.

        Returns
        -------
        ndarray (L, ...)
            The smoothed spectra.
        """
        step, (reach, ends) = 2**scale, self._plans[scale]
        flat = cube.reshape(self.size, -1)
        if reach is None:
            return (ends.astype(flat.dtype) @ flat).reshape(cube.shape)
        out = np.empty_like(flat)
        inner = slice(reach, self.size - reach)
        middle = out[inner]
        n = self.size

        def at(k):
            return flat[reach + k * step : n - reach + k * step]

        np.add(at(-2), at(2), out=middle)
        middle *= flat.dtype.type(1 / 16)
        near = at(-1) + at(1)
        near *= flat.dtype.type(4 / 16)
        middle += near
        np.multiply(at(0), flat.dtype.type(6 / 16), out=near)
        middle += near
        ends = ends.astype(flat.dtype)
        width = ends.shape[1]
        out[:reach] = ends @ flat[:width]
        out[n - reach :] = ends[::-1, ::-1] @ flat[n - width :]
        return out.reshape(cube.shape)

    def _matrix(self, scale):
        return smoothing_matrix(self.size, 2**scale)


class Starlet2D1D:
    """
    Details in space or energy (Lascar et al. 2025, section 3.3.1).

    Images are transformed at each energy, then the spectra of each of their scales; all but what is
    smooth in space and energy is a coefficient.

    Parameters
    ----------
    shape : tuple of int
        Shape (L, M, N) of the cube.
    spatial, spectral : int
        Numbers of scales.
    dtype : dtype
        Precision.
    """

    def __init__(self, shape, spatial=2, spectral=3, dtype=float):
        self.shape = tuple(shape)
        self.images = Starlet2D(shape[1:], spatial, dtype)
        self.spectra = Starlet1D(shape[0], spectral)

    @property
    def bands(self):
        """Pairs (spatial, spectral) of scales, in order; the rests have the highest numbers."""
        spatial, spectral = self.images.scales, self.spectra.scales
        pairs = [(a, b) for a in range(spatial + 1) for b in range(spectral + 1)]
        return pairs[:-1]

    def forward(self, cube):
        """
        Transform a cube.

        Parameters
        ----------
        cube : ndarray (L, M, N)
            The cube.

        Returns
        -------
        list of ndarray (L, M, N)
            Coefficients, in the order of `bands`.
        """
        *details, smooth = self.images.forward(cube, rest=True)
        out = [band for part in details for band in self.spectra.forward(part, rest=True)]
        return out + self.spectra.forward(smooth)

    def adjoint(self, coefficients):
        """
        Apply the transpose.

        Parameters
        ----------
        coefficients : list of ndarray (L, M, N)
            Coefficients, in the order of `bands`.

        Returns
        -------
        ndarray (L, M, N)
            A cube.
        """
        n = self.spectra.scales + 1
        parts = [coefficients[a * n : (a + 1) * n] for a in range(self.images.scales + 1)]
        return self.images.adjoint([self.spectra.adjoint(part) for part in parts])


class PeriodicStarlet:
    r"""
    Details of maps (k, Y, X) at scales of 1, 2, 4 ... pixels, without the smooth rest.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    scales : int, optional
        Number of scales; by default as many as fit four times into the domain, at most 5.

    Attributes
    ----------
    transfer : ndarray (J, Y, X)
        Real transfer functions of the scales; transform and adjoint are the same filters.

    Notes
    -----
    The transfer function of the B-spline is
    :math:`H(f) = (3 + 4 \cos 2 \pi f + \cos 4 \pi f) / 8` along both axes:

    .. math:: C_j = C_{j-1} H(2^{j-1} f), \quad C_0 = 1, \quad \psi_j = C_{j-1} - C_j
    """

    def __init__(self, grid, scales=None):
        self.grid = grid
        if scales is None:
            scales = int(np.clip(np.floor(np.log2(min(grid.shape))) - 2, 1, _LARGEST))

        def smooth(transfer, scale):
            lines = []
            for n in grid.shape:
                f = 2 * np.pi * np.fft.fftfreq(n) * 2**scale
                lines.append((3 + 4 * np.cos(f) + np.cos(2 * f)) / 8)
            return transfer * lines[0][:, None] * lines[1][None, :]

        self.transfer = np.array(_details(np.ones(grid.shape), smooth, scales)[0])

    def forward(self, maps):
        """
        Transform maps.

        Parameters
        ----------
        maps : ndarray (k, Y, X)
            The maps.

        Returns
        -------
        ndarray (J, k, Y, X)
            Coefficients at J scales, the finest first.
        """
        spectrum = sf.fft2(maps)
        return np.array([sf.ifft2(t * spectrum).real for t in self.transfer])

    def adjoint(self, coefficients):
        """
        Apply the adjoint.

        Parameters
        ----------
        coefficients : ndarray (J, k, Y, X)
            Coefficients at J scales, the finest first.

        Returns
        -------
        ndarray (k, Y, X)
            Maps.
        """
        total = sum(t * sf.fft2(c) for t, c in zip(self.transfer, coefficients, strict=True))
        return sf.ifft2(total).real

    def power(self, weights):
        """
        Transfer function of the transform, weighted, and then its adjoint.

        Parameters
        ----------
        weights : ndarray (J, k)
            Weights of the scales for each map.

        Returns
        -------
        ndarray (group, d * d, k)
            Transfer function for each map, in the groups of the domain.
        """
        total = np.tensordot(weights.T, self.transfer**2, 1)
        return self.grid.group(total)

    def shares(self):
        """Part (J,) of the degrees of freedom of a map that lies in each scale."""
        square = self.transfer**2
        total = square.sum(0)
        return np.mean(np.where(total > 0, square / np.where(total > 0, total, 1), 0), axis=(1, 2))
