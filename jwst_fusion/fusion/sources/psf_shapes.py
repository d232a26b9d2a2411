"""PSFs of the filters at any position between pixels, with their derivatives."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.signal import resample

__all__ = ["PsfShape", "filter_psfs"]

# Fourier interpolation to a third of a pixel, cubic splines within: 1e-4 of the peak.
_FINER = 3


class PsfShape:
    """PSF of one filter as a smooth function of the distance from its centre.

    Parameters
    ----------
    psf : ndarray (m, m)
        PSF on the pixels of the images, odd size, centred, unit sum.

    Attributes
    ----------
    peak : float
        Value in the middle.
    reach : int
        Pixels from the middle to the edge of the array.
    fwhm : float
        Width of a disc with the area in which the PSF is above half of its peak, pixels.
    """

    def __init__(self, psf):
        size = len(psf)
        self.reach = size // 2
        self.peak = float(psf[self.reach, self.reach])
        fine = resample(resample(psf, _FINER * size, axis=0), _FINER * size, axis=1)
        self.fwhm = 2 * float(np.sqrt(np.sum(fine > self.peak / 2) / np.pi)) / _FINER
        # zeros beyond the edge, for taps that reach over it
        self._border = _FINER + 2
        self._taps = np.pad(ndimage.spline_filter(fine, 3), self._border)

    def __call__(self, rows, columns, *, orders=((0, 0),)):
        """
        Return the PSF, or derivatives of it, on a rectangle of pixels.

        Parameters
        ----------
        rows, columns : ndarray
            Distance of rows and columns from the centre of the PSF, in steps of one pixel.
        orders : sequence of tuple
            Orders of each derivative along rows and columns, 0 to 2 each.

        Returns
        -------
        ndarray (len(orders), rows, columns)
            Zero beyond the reach of the PSF.
        """
        along_rows, weights_rows = self._interpolation(rows)
        along_columns, weights_columns = self._interpolation(columns)
        needed = sorted({dy for dy, _ in orders})
        part = self._taps[along_rows][:, along_columns]
        halves = np.tensordot(weights_rows[needed], _neighbours(part, len(rows), axis=0), (1, 0))
        around = _neighbours(halves, len(columns), axis=2)  # tap, derivative, row, column
        return np.array(
            [np.tensordot(weights_columns[dx], around[:, needed.index(dy)], 1) for dy, dx in orders]
        )

    def _interpolation(self, distance):
        """Taps from the first to the last that distances need, weights (3, 4) by derivative."""
        size = len(self._taps)
        at = (distance[0] + self.reach) * _FINER + self._border
        first = int(np.floor(at)) - 1
        weights = _cubic_weights(at - 1 - first)
        last = first + _FINER * (len(distance) - 1) + 4
        if first >= 0 and last <= size:
            return slice(first, last), weights
        # row and column 0 of the padded array are zero, and stand for all that is farther away
        index = np.arange(first, last)
        index[(index < 0) | (index >= size)] = 0
        return index, weights


def _neighbours(taps, count, *, axis):
    """The four taps around each of some pixels, along a new first axis."""
    end = _FINER * (count - 1) + 1  # pixels are so many taps apart
    before = (slice(None),) * axis
    return np.stack([taps[(*before, slice(t, t + end, _FINER))] for t in range(4)])


def _cubic_weights(t):
    """Cubic B-spline of a fraction of a sample, and its derivatives by pixels (3, 4)."""
    s = 1 - t
    value = [s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6]
    slope = [-(s**2) / 2, (3 * t**2 - 4 * t) / 2, (4 * s - 3 * s**2) / 2, t**2 / 2]
    bend = [s, 3 * t - 2, 3 * s - 2, t]
    return np.array([value, np.multiply(slope, _FINER), np.multiply(bend, _FINER**2)])


def filter_psfs(data):
    """
    Return the PSF of each filter for a flat spectrum.

    Parameters
    ----------
    data : FusionData
        Responses and PSFs at wavelength nodes.

    Returns
    -------
    ndarray (F, m, m)
        Unit sum.
    """
    psfs = np.tensordot(data.response @ data.psf_weights, data.psf_image, 1)
    return psfs / psfs.sum((1, 2), keepdims=True)
