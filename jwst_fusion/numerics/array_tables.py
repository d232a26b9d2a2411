"""Arrays of two axes as tables of one column, in which viewers of images do not see an image."""

import numpy as np

__all__ = ["COLUMN", "as_table", "plain"]

#: Name of the column, whose cells are the rows of the array.
COLUMN = "values"


def as_table(array):
    """
    Put the rows of an array into the cells of a table.

    Parameters
    ----------
    array : array (n, m)
        The array.

    Returns
    -------
    structured array (n,) or array
        The table; the array itself if it has not two axes or holds nothing.
    """
    array = np.asarray(array)
    if array.ndim != 2 or array.size == 0:
        return array
    table = np.empty(len(array), [(COLUMN, array.dtype, array.shape[1:])])
    table[COLUMN] = array
    return table


def plain(array):
    """
    Take an array out of the table that `as_table` has made of it.

    Parameters
    ----------
    array : array or None
        The table; anything else is returned as it is.

    Returns
    -------
    array (n, m) or array or None
        The array, in the machine's byte order if it was a table.
    """
    if array is None or array.dtype.names != (COLUMN,):
        return array
    values = np.asarray(array[COLUMN])
    values = values.astype(values.dtype.newbyteorder("="))
    # FITS knows no cells of one number that are arrays
    return values if values.ndim == 2 else values[:, None]
