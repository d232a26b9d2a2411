"""Sample maps between their pixels: cubic B-splines on the sky, cubics along a line."""

import numpy as np
import scipy.sparse as sp

__all__ = ["cubic_taps", "line_taps", "prefilter", "sky_taps"]


def cubic_taps(position):
    """
    Taps of the cubic B-spline.

    Parameters
    ----------
    position : array (n,)
        Positions in units of the distance of the knots.

    Returns
    -------
    index : int array (n, 4)
        The four knots around each.
    weight : array (n, 4)
        Their weights, which sum to one.
    """
    position = np.asarray(position, float)
    first = np.floor(position)
    t = position - first
    rest = 1 - t
    weight = np.stack(
        [
            rest**3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (3 * rest**3 - 6 * rest**2 + 4) / 6,
            t**3 / 6,
        ],
        axis=1,
    )
    return first.astype(np.int32)[:, None] + np.arange(-1, 3, dtype=np.int32), weight


def prefilter(shape):
    """
    Transfer function that turns samples of periodic maps into coefficients of cubic B-splines.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    array (rows, columns // 2 + 1)
        Factors on the coefficients of `scipy.fft.rfft2`.

    Notes
    -----
    The inverse of the spline's samples (1, 4, 1) / 6, Unser (1999, IEEE Signal Processing Magazine
    16(6), 22), which is exact on a periodic domain.
    """
    rows, columns = shape
    factors = [6 / (4 + 2 * np.cos(2 * np.pi * np.arange(n) / n)) for n in (rows, columns)]
    return factors[0][:, None] * factors[1][None, : columns // 2 + 1]


def sky_taps(x, y, shape):
    """
    Matrix that samples maps of spline coefficients at positions.

    Parameters
    ----------
    x, y : array (n,)
        Columns and rows, pixels; the domain is periodic.
    shape : tuple of int
        Rows and columns of the maps.

    Returns
    -------
    `~scipy.sparse.csr_array` (n, rows * columns)
        Sixteen weights per position, single precision.
    """
    column, across = cubic_taps(x)
    row, along = cubic_taps(y)
    index = (row % shape[0])[:, :, None] * np.int32(shape[1]) + (column % shape[1])[:, None, :]
    weight = along[:, :, None] * across[:, None, :]
    return _matrix(index.reshape(len(row), 16), weight.reshape(len(row), 16), shape[0] * shape[1])


def line_taps(position, count):
    """
    Matrix that interpolates the samples of a line by cubic polynomials.

    Parameters
    ----------
    position : array (n,)
        Positions in samples, from 1 to ``count - 2``.
    count : int
        Number of samples.

    Returns
    -------
    `~scipy.sparse.csr_array` (n, count)
        Four weights per position, single precision.
    """
    first = np.clip(np.floor(position), 1, count - 3)
    t = np.asarray(position) - first
    weight = np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )
    return _matrix(first.astype(np.int32)[:, None] + np.arange(-1, 3), weight, count)


def _matrix(index, weight, columns):
    rows, taps = index.shape
    start = np.arange(0, taps * rows + 1, taps, dtype=np.int32)
    flat = weight.ravel().astype(np.float32), index.ravel().astype(np.int32), start
    return sp.csr_array(flat, shape=(rows, columns))
