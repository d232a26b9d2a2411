"""Energy grids: edges from lower and upper bounds, and how values pass from one grid to another."""

import numpy as np
from scipy import sparse

__all__ = ["contiguous", "interpolation_weights", "overlap"]


def contiguous(low, high, name):
    """
    Join lower and upper bounds of bins into edges.

    Parameters
    ----------
    low, high : ndarray (n,)
        Bounds, ascending.
    name : str
        Whose bounds they are, for messages.

    Returns
    -------
    ndarray (n + 1,)
        Edges.

    Raises
    ------
    ValueError
        If bins are empty, overlap, leave gaps or are not finite.
    """
    edges = np.append(low, high[-1:])
    width = np.diff(edges)
    if edges.size < 2 or not np.isfinite(edges).all() or (low < 0).any() or (width <= 0).any():
        msg = f"{name}: energies are negative, not finite, or do not rise"
        raise ValueError(msg)
    # Single precision in the files leaves gaps that mean nothing.
    if np.abs(high[:-1] - low[1:]).max(initial=0.0) > 0.05 * width.min() + 1e-5 * edges[-1]:
        msg = f"{name}: there are gaps between the energies, or they overlap"
        raise ValueError(msg)
    return edges


def overlap(source, target):
    """
    Share of each source bin that lies in each target bin.

    Parameters
    ----------
    source, target : ndarray (n + 1,), (m + 1,)
        Edges, ascending.

    Returns
    -------
    scipy.sparse.csr_array (m, n)
        Sums counts of source bins into target bins; columns sum to one where the target covers
        the source bin.
    """
    edges = np.unique(np.concatenate([source, target]))
    middle = 0.5 * (edges[1:] + edges[:-1])
    # 32 bits are enough for indices, whose type sparse arrays keep
    i, j = (np.searchsorted(a, middle).astype(np.int32) - 1 for a in (source, target))
    both = (i >= 0) & (i < source.size - 1) & (j >= 0) & (j < target.size - 1)
    share = np.diff(edges)[both] / np.diff(source)[i[both]]
    # Slivers from rounding would only make the matrix longer.
    keep = share > 1e-9
    shape = (target.size - 1, source.size - 1)
    return sparse.csr_array((share[keep], (j[both][keep], i[both][keep])), shape)


def interpolation_weights(source, target):
    """
    Weights that take values at the bins of one grid to means over the bins of another.

    Parameters
    ----------
    source, target : ndarray (n + 1,), (m + 1,)
        Edges, ascending.

    Returns
    -------
    weights : scipy.sparse.csr_array (n, m)
        ``values @ weights`` is the mean over each target bin of the line through the values at the
        centres of the source bins, which is level beyond the outermost centres; its value at the
        centre for target bins that are not wider.
    covered : ndarray of bool (m,)
        Target bins whose centre the source covers; the weights of the others are zero.
    """
    centres = 0.5 * (source[1:] + source[:-1])
    middle, width = 0.5 * (target[1:] + target[:-1]), np.diff(target)
    covered = (middle >= source[0]) & (middle <= source[-1])
    # One point in target bins that are not wider; else enough to see every source bin twice.
    finest = np.interp(middle, centres, np.diff(source)) if centres.size > 1 else np.diff(source)
    ratio = np.max(width / finest)
    points = 1 if ratio < 1.001 else int(np.clip(np.ceil(2 * ratio), 3, 201))
    rows, columns, values = [], [], []
    last = centres.size - 1
    for step in (np.arange(points) + 0.5) / points - 0.5:
        at = middle + step * width
        place = np.interp(at, centres, np.arange(centres.size))
        low = np.minimum(place.astype(np.int32), max(last - 1, 0))
        part = place - low
        for index, share in ((low, 1 - part), (np.minimum(low + 1, last), part)):
            rows.append(index)
            columns.append(np.arange(middle.size, dtype=np.int32))
            values.append(share / points * covered)
    triplets = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    weights = sparse.csr_array(triplets, (centres.size, middle.size))
    weights.eliminate_zeros()
    return weights, covered
