"""Starlet transforms within the bounds of a cube: images, spectra, both; exact adjoints."""

from __future__ import annotations

import numpy as np

__all__ = ["Starlet1D", "Starlet2D", "Starlet2D1D", "smoothing_matrix"]

_SPLINE = np.array([1, 4, 6, 4, 1]) / 16


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
    for tap, weight in zip((-2, -1, 0, 1, 2), _SPLINE, strict=True):
        columns = (rows + tap * step) % (2 * size)
        columns = np.where(columns >= size, 2 * size - 1 - columns, columns)
        np.add.at(matrix, (rows, columns), weight)
    return matrix


class Starlet2D:
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
    Starck, Murtagh & Fadili (2010): :math:`c_j = S_j c_{j-1}`, :math:`w_j = c_{j-1} - c_j`, with
    smoothing :math:`S_j` along both axes by symmetric matrices, so that the transpose of each scale
    is a product of the same matrices. The periodic transform of the image fusion,
    `jwst_fusion.numerics.periodic_starlet`, is a set of Fourier filters; photons need bounds.
    """

    def __init__(self, shape, scales, dtype=float):
        self.shape, self.scales = tuple(shape), scales
        self.rows = [smoothing_matrix(shape[0], 2**j).astype(dtype) for j in range(scales)]
        self.columns = [smoothing_matrix(shape[1], 2**j).astype(dtype) for j in range(scales)]

    def smooth(self, images, scale):
        """Smooth images (..., M, N) at one scale."""
        return np.matmul(self.rows[scale], images @ self.columns[scale])

    def forward(self, images, *, rest=False):
        """Coefficients, a list of arrays (..., M, N), of images; with the smooth rest if wanted."""
        out = []
        for j in range(self.scales):
            smoother = self.smooth(images, j)
            out.append(images - smoother)
            images = smoother
        return [*out, images] if rest else out

    def adjoint(self, coefficients):
        """Images (..., M, N) of coefficients."""
        total = coefficients[self.scales] if len(coefficients) > self.scales else None
        for j in reversed(range(self.scales)):
            inner = -coefficients[j] if total is None else total - coefficients[j]
            total = coefficients[j] + self.smooth(inner, j)
        return total

    def matrices(self):
        """Full matrices (M * N, M * N) of the scales and of the smooth rest."""
        smooth, out = np.eye(self.shape[0] * self.shape[1]), []
        for rows, columns in zip(self.rows, self.columns, strict=True):
            smoother = np.kron(rows, columns) @ smooth
            out.append(smooth - smoother)
            smooth = smoother
        return [*out, smooth]


class Starlet1D:
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
        self.size, self.scales = size, scales
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
        """Smooth spectra of a cube (L, ...) at one scale."""
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

    def forward(self, cube, *, rest=False):
        """Coefficients, a list of arrays (L, ...), of a cube; with the smooth rest if wanted."""
        out = []
        for j in range(self.scales):
            smoother = self.smooth(cube, j)
            out.append(cube - smoother)
            cube = smoother
        return [*out, cube] if rest else out

    def adjoint(self, coefficients):
        """Cube (L, ...) of coefficients."""
        total = coefficients[self.scales] if len(coefficients) > self.scales else None
        for j in reversed(range(self.scales)):
            inner = -coefficients[j] if total is None else total - coefficients[j]
            total = coefficients[j] + self.smooth(inner, j)
        return total

    def matrices(self):
        """Full matrices (L, L) of the scales and of the smooth rest."""
        smooth, out = np.eye(self.size), []
        for j in range(self.scales):
            smoother = smoothing_matrix(self.size, 2**j) @ smooth
            out.append(smooth - smoother)
            smooth = smoother
        return [*out, smooth]


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
        """Coefficients, a list of arrays (L, M, N), of a cube (L, M, N)."""
        *details, smooth = self.images.forward(cube, rest=True)
        out = [band for part in details for band in self.spectra.forward(part, rest=True)]
        return out + self.spectra.forward(smooth)

    def adjoint(self, coefficients):
        """Cube (L, M, N) of coefficients."""
        n = self.spectra.scales + 1
        parts = [coefficients[a * n : (a + 1) * n] for a in range(self.images.scales + 1)]
        return self.images.adjoint([self.spectra.adjoint(part) for part in parts])
