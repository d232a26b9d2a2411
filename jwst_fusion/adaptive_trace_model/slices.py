"""Cut a slice out of a detector image, and put it back on oversampled rows.

A detector image seen here is (row, column) with the dispersion along the columns; a slice is
(column, row), each column starting at its own first row, so that a tilted slice stays compact.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["SliceLayout", "find_slices", "oversampled_position", "oversampled_size"]


@dataclass(frozen=True)
class SliceLayout:
    """
    Position of a slice on the detector.

    Parameters
    ----------
    label : int
        Number of the slice in the region map.
    first_column : int
        Detector column of the slice's first column.
    first_row : ndarray of intp
        Detector row of the first pixel of each column, shape ``(column,)``.
    n_row : ndarray of intp
        Number of rows of each column, shape ``(column,)``; 0 where the slice has no pixel.
    inside : ndarray of bool
        Pixels that belong to the slice, shape ``(column, row)``.
    """

    label: int
    first_column: int
    first_row: np.ndarray
    n_row: np.ndarray
    inside: np.ndarray

    @property
    def shape(self):
        """Number of columns and of rows."""
        return self.inside.shape

    @property
    def between_ends(self):
        """Pixels from the first to the last row of each column, gaps included."""
        return np.arange(self.shape[1]) < self.n_row[:, None]

    def index(self):
        """Detector rows and columns of the pixels, broadcastable to ``(column, row)``."""
        n_column, n_row = self.shape
        rows = self.first_row[:, None] + np.arange(n_row)
        columns = self.first_column + np.arange(n_column)[:, None]
        return rows, columns

    def cut(self, image):
        """
        Cut the slice out of a detector image.

        Parameters
        ----------
        image : ndarray
            Detector image, ``(row, column)``.

        Returns
        -------
        ndarray
            Shape ``(column, row)``, float64, NaN outside the slice.
        """
        rows, columns = self.index()
        np.minimum(rows, image.shape[0] - 1, out=rows)
        return np.where(self.inside, image[rows, columns].astype(np.float64), np.nan)

    def oversampled_rows(self, factor):
        """
        Return the rows of the oversampled image that the slice covers.

        Parameters
        ----------
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        rows : ndarray of intp
            Rows of the oversampled image, shape ``(column, oversampled row)``.
        valid : ndarray of bool
            Rows that lie on the slice, same shape.
        position : ndarray
            Their position in native rows, counted from the first row of the column. Of shape
            ``(1, oversampled row)`` if it is the same for all columns, as for whole factors.
        """
        # A row on the border of two native ones belongs to the one that the division gives.
        last = int(np.ceil((self.first_row + self.n_row).max() * factor)) + 2
        native = np.floor((np.arange(last) + 0.5) / factor)
        first = np.searchsorted(native, self.first_row)
        end = np.searchsorted(native, self.first_row + self.n_row)
        count = np.where(self.n_row > 0, end - first, 0)
        rows = first[:, None] + np.arange(count.max(initial=0))
        valid = np.arange(rows.shape[1]) < count[:, None]
        position = oversampled_position(rows, factor) - self.first_row[:, None]
        if float(factor).is_integer():
            position = position[:1]
        owner = np.clip(np.floor(position + 0.5).astype(np.intp), 0, self.shape[1] - 1)
        valid &= np.take_along_axis(self.inside, np.broadcast_to(owner, valid.shape), axis=1)
        return rows, valid, position

    def paste(self, images, rows, valid, values):
        """
        Write values of the slice into oversampled detector images, in place.

        Parameters
        ----------
        images : sequence of ndarray
            Oversampled detector images, ``(row, column)``, contiguous.
        rows, valid : ndarray
            From `oversampled_rows`.
        values : sequence of ndarray
            Values for each image, of shape ``(column, oversampled row)``.
        """
        # Written in the order of the image, this is several times faster.
        width = images[0].shape[1]
        columns = self.first_column + np.arange(len(rows))
        target = (rows * width + columns[:, None])[valid]
        order = np.argsort(target)
        target, source = target[order], np.flatnonzero(valid)[order]
        for image, value in zip(images, values, strict=True):
            image.reshape(-1)[target] = value.ravel()[source]


def find_slices(regions):
    """
    Find the slices of a region map.

    Parameters
    ----------
    regions : ndarray of int
        Number of the slice at each pixel, 0 outside; ``(row, column)``.

    Returns
    -------
    list of SliceLayout
        In the order of their numbers.
    """
    layouts = []
    for label, box in enumerate(ndimage.find_objects(np.ascontiguousarray(regions)), start=1):
        if box is None:
            continue
        mask = regions[box] == label
        has = mask.any(axis=0)
        first = np.argmax(mask, axis=0)
        n_row = np.where(has, mask.shape[0] - np.argmax(mask[::-1], axis=0) - first, 0)
        first = np.where(has, first, 0)
        depth = np.arange(n_row.max())
        rows = np.minimum(first[:, None] + depth, mask.shape[0] - 1)
        inside = mask[rows, np.arange(mask.shape[1])[:, None]] & (depth < n_row[:, None])
        layouts.append(SliceLayout(label, box[1].start, first + box[0].start, n_row, inside))
    return layouts


def oversampled_size(n_row, factor):
    """
    Return the number of rows of an oversampled image.

    Parameters
    ----------
    n_row : int
        Rows of the native image.
    factor : float
        Oversampling factor.

    Returns
    -------
    int
        ``n_row * factor``, rounded up.
    """
    return int(np.ceil(n_row * factor - 1e-9))


def oversampled_position(rows, factor):
    """
    Return native row coordinates of oversampled rows (pixel centres at whole numbers).

    Parameters
    ----------
    rows : ndarray
        Rows of the oversampled image.
    factor : float
        Oversampling factor.

    Returns
    -------
    ndarray
        ``(rows + 0.5) / factor - 0.5``.
    """
    return (rows + 0.5) / factor - 0.5
