"""Where along the slit, and along the dispersion, a profile has been seen by enough good pixels.

Arrays are (column, row).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["Support", "find_support"]

#: Columns on either side, in distances of the nodes, from which a profile is carried on.
_REACH = 6
#: Bins along the slit per native pixel. A pixel stands for its own bin and those beside it.
_BINS = 2
#: Share of the pixels around a point that has to be good.
_LEAST = 0.02


@dataclass(frozen=True)
class Support:
    """
    Map of what the pixels have seen.

    Parameters
    ----------
    seen : ndarray of bool
        Shape ``(block of columns, bin along the slit)``.
    columns : float
        Columns in a block.
    start, step : float
        Slit coordinate of the first bin's lower end, and width of the bins.
    """

    seen: np.ndarray
    columns: float
    start: float
    step: float

    def at(self, coordinate):
        """
        Tell whether the profile has been seen.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates, shape ``(column, row)``; NaN counts as not seen.

        Returns
        -------
        ndarray of bool
            Same shape.
        """
        known = np.isfinite(coordinate)
        index = np.where(known, (coordinate - self.start) / self.step, 0.0)
        index = np.clip(index.astype(np.intp), 0, self.seen.shape[1] - 1)
        block = (np.arange(len(coordinate)) / self.columns).astype(np.intp)
        return known & self.seen[np.minimum(block, len(self.seen) - 1)[:, None], index]


def find_support(coordinate, good, *, pitch, node_spacing):
    """
    Find where a profile has been seen, from all pixels within the reach of its smoothness.

    A hole that moves over the slit with the traces is filled from its neighbours in wavelength. A
    core that is missing in all columns is not, for nothing tells its height.

    Parameters
    ----------
    coordinate : ndarray
        Slit coordinate, shape ``(column, row)``, NaN outside the slice.
    good : ndarray of bool
        Pixels that were used, same shape.
    pitch : float
        Distance of native rows in the slit coordinate.
    node_spacing : float
        Columns over which the profile may change.

    Returns
    -------
    Support
        The map.
    """
    inside = np.isfinite(coordinate)
    step = pitch / _BINS
    start = np.min(coordinate[inside]) - 0.5 * pitch
    n_bin = int((np.max(coordinate[inside]) + 0.5 * pitch - start) / step) + 1
    n_block = max(int(np.ceil(len(coordinate) / node_spacing)), 1)
    block = (np.arange(len(coordinate)) / node_spacing).astype(np.intp)
    position = (np.where(inside, coordinate, start) - start) / step
    cell = block[:, None] * n_bin + position.astype(np.intp)
    size = (2 * _REACH + 1, 3)

    def count(mask):
        number = np.bincount(cell[mask], minlength=n_block * n_bin).astype(float)
        return ndimage.uniform_filter(number.reshape(n_block, n_bin), size, mode="constant")

    return Support(count(good) > _LEAST * count(inside), node_spacing, float(start), float(step))
