"""Sample maps between their pixels: cubic B-splines on the sky, cubics along a line."""

import numpy as np
import scipy.fft as sf
import scipy.sparse as sp

__all__ = ["FineSampler", "cubic_taps", "line_taps", "prefilter", "sky_taps"]


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
    r"""
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
    The inverse of the transform of the spline itself, :math:`\mathrm{sinc}^{-4} f` along each axis.
    That of its samples, with which splines interpolate (Unser 1999, IEEE Signal Processing Magazine
    16(6), 22), makes maps smoother between pixels than on them: all in all as a Gaussian with a
    variance of 0.01 to 0.02 pixels squared does, which fluxes of bright stars show. With this one,
    what is sampled is right on average over the positions within a pixel.
    """
    rows, columns = shape
    factors = np.sinc(np.fft.fftfreq(rows)) ** -4, np.sinc(np.fft.rfftfreq(columns)) ** -4
    return factors[0][:, None] * factors[1][None, :]


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


class FineSampler:
    """
    Samples of periodic maps at positions, from maps that are twice as fine.

    Zeros stand for the frequencies that these have beyond those of the maps; the highest ones of
    even sizes, which have no sign, are left out. Then follow `prefilter` and `sky_taps`. What no
    position needs is not computed: rows and columns beyond all positions.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the maps.
    x, y : array (n,)
        Columns and rows of the positions, pixels.

    Attributes
    ----------
    size : int
        Number of fine pixels that are needed, S.
    taps, transposed : `~scipy.sparse.csr_array`
        Weights (n, S) of these for every position, and their transpose.
    """

    def __init__(self, shape, x, y):
        self._shape, self._fine = shape, tuple(2 * size for size in shape)
        self._high, self._wide = ((size + 1) // 2 for size in shape)
        self._rows, self._columns = (
            _needed(2 * at, size) for at, size in zip((y, x), self._fine, strict=True)
        )
        ny, nx = (one.stop - one.start for one in (self._rows, self._columns))
        self.size = ny * nx
        taps = sky_taps(2 * x, 2 * y, self._fine)
        row, column = np.divmod(taps.indices, np.int32(self._fine[1]))
        index = (row - self._rows.start) * nx + (column - self._columns.start)
        self.taps = sp.csr_array((taps.data, index, taps.indptr), shape=(len(x), self.size))
        self.transposed = self.taps.T.tocsr()
        self._filter = 2 * prefilter(self._fine)[:, : self._wide]

    def transfer(self, otf):
        """
        Prepare transfer functions.

        Parameters
        ----------
        otf : array (m, rows, columns // 2 + 1)
            Transfer functions on the frequencies of the maps.

        Returns
        -------
        array (m, rows, (columns + 1) // 2)
            What `maps` and `spectrum` take, single precision.
        """
        used = otf[:, :, : self._wide] * self._embedded_filter()
        return used.astype(np.complex64)

    def _embedded_filter(self):
        """Factors on the frequencies of the maps; zero for the highest one of an even size."""
        factors = np.zeros((self._shape[0], self._wide))
        factors[: self._high] = self._filter[: self._high]
        if self._high > 1:
            factors[1 - self._high :] = self._filter[1 - self._high :]
        return factors

    def maps(self, spectrum, transfer):
        """
        Spline coefficients of one map, seen through several transfer functions.

        Parameters
        ----------
        spectrum : array (rows, columns // 2 + 1)
            Coefficients of `scipy.fft.rfft2` with ``norm="ortho"``.
        transfer : array (m, rows, (columns + 1) // 2)
            From `transfer`.

        Returns
        -------
        array (m, S)
            Single precision.
        """
        low = spectrum[:, : self._wide] * transfer
        rows = np.zeros((len(low), self._fine[0], self._wide), np.complex64)
        rows[:, : self._high] = low[:, : self._high]
        if self._high > 1:
            rows[:, 1 - self._high :] = low[:, 1 - self._high :]
        rows = sf.ifft(rows, axis=1, norm="ortho", overwrite_x=True)[:, self._rows]
        seen = sf.irfft(rows, self._fine[1], axis=2, norm="ortho")[:, :, self._columns]
        return seen.reshape(len(seen), -1)

    def spectrum(self, maps, transfer):
        """
        Apply the adjoint of `maps`.

        Parameters
        ----------
        maps : array (m, S)
            Values of the fine pixels, one map for each transfer function.
        transfer : array (m, rows, (columns + 1) // 2)
            From `transfer`.

        Returns
        -------
        array (rows, columns // 2 + 1)
            Coefficients, single precision.
        """
        planes = np.zeros(
            (len(maps), self._rows.stop - self._rows.start, self._fine[1]), np.float32
        )
        planes[:, :, self._columns] = maps.reshape(len(maps), planes.shape[1], -1)
        along = np.zeros((len(maps), self._fine[0], self._wide), np.complex64)
        along[:, self._rows] = sf.rfft(planes, axis=2, norm="ortho")[:, :, : self._wide]
        along = sf.fft(along, axis=1, norm="ortho", overwrite_x=True)
        out = np.zeros((self._shape[0], self._shape[1] // 2 + 1), np.complex64)
        for part in (slice(None, self._high), slice(1 - self._high, None)):
            if part.start == 0:  # a single row has no negative frequencies
                continue
            out[part, : self._wide] = np.einsum(
                "myx,myx->yx", along[:, part], transfer[:, part].conj()
            )
        return out


def _needed(position, size):
    """Fine pixels from the first to the last that the taps of positions need."""
    index = cubic_taps(position)[0]
    if not index.size or index.min() < 0 or index.max() >= size:
        return slice(0, size)
    return slice(int(index.min()), int(index.max()) + 1)


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
