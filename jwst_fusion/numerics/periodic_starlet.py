"""Starlet transform (isotropic undecimated wavelets) of maps on a periodic domain."""

from __future__ import annotations

import numpy as np
import scipy.fft as sf

__all__ = ["Starlet"]

_LARGEST = 5


class Starlet:
    r"""Details of maps (k, Y, X) at scales of 1, 2, 4 ... pixels, without the smooth rest.

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
    Starck, Murtagh & Fadili (2010), *Sparse image and signal processing*: with the cubic B-spline
    :math:`H(f) = (3 + 4 \cos 2 \pi f + \cos 4 \pi f) / 8` along both axes,

    .. math:: C_j = C_{j-1} H(2^{j-1} f), \quad C_0 = 1, \quad \psi_j = C_{j-1} - C_j
    """

    def __init__(self, grid, scales=None):
        self.grid = grid
        if scales is None:
            scales = int(np.clip(np.floor(np.log2(min(grid.shape))) - 2, 1, _LARGEST))
        smooth, details = np.ones(grid.shape), []
        for j in range(scales):
            lines = []
            for n in grid.shape:
                f = 2 * np.pi * np.fft.fftfreq(n) * 2**j
                lines.append((3 + 4 * np.cos(f) + np.cos(2 * f)) / 8)
            smoother = smooth * lines[0][:, None] * lines[1][None, :]
            details.append(smooth - smoother)
            smooth = smoother
        self.transfer = np.array(details)

    def forward(self, maps):
        """Coefficients (J, k, Y, X) of maps (k, Y, X)."""
        spectrum = sf.fft2(maps)
        return np.array([sf.ifft2(t * spectrum).real for t in self.transfer])

    def adjoint(self, coefficients):
        """Maps (k, Y, X) of coefficients (J, k, Y, X)."""
        total = sum(t * sf.fft2(c) for t, c in zip(self.transfer, coefficients, strict=True))
        return sf.ifft2(total).real

    def power(self, weights):
        """Transfer function (group, d * d, k) of the adjoint of the weighted (J, k) transform."""
        total = np.tensordot(weights.T, self.transfer**2, 1)
        return self.grid.group(total)

    def shares(self):
        """Part (J,) of the degrees of freedom of a map that lies in each scale."""
        square = self.transfer**2
        total = square.sum(0)
        return np.mean(np.where(total > 0, square / np.where(total > 0, total, 1), 0), axis=(1, 2))
