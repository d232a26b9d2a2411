"""Kernels of point and line spread functions: checked, normalised, centred on a sample."""

from __future__ import annotations

import logging

import numpy as np

__all__ = ["centred", "kernel_stack"]

log = logging.getLogger(__name__)

_CLOSE = 1e-6  # sample; a kernel that is nearer to a sample is only moved by whole samples
_CLIPPED = 0.01  # part of a kernel that may be lost by clipping the lobes of cubic interpolation
_CENTRES = ("centroid", "middle")
# Sums and centroids (samples) that differ by more than this from what is expected are logged.
_NORMALISED, _OFFSET = 1e-3, 0.05


def _taps(fraction, *, cubic):
    """Weights at -1, 0, 1, 2 samples that move a kernel by a fraction of a sample."""
    f = fraction
    if not cubic:
        return 0.0, 1 - f, f, 0.0
    return (
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    )


def _moved(kernel, fraction, axis, *, cubic):
    """Kernel moved by a fraction (0 to 1) of a sample; what was at index 0 is at index 1."""
    moved = np.moveaxis(kernel, axis, -1)
    n = moved.shape[-1]
    out = np.zeros((*moved.shape[:-1], n + 3))
    for k, weight in enumerate(_taps(fraction, cubic=cubic)):
        out[..., k : k + n] += weight * moved
    return np.moveaxis(out, -1, axis)


def _centroid(kernel, axis):
    others = tuple(a for a in range(kernel.ndim) if a != axis)
    profile = kernel.sum(axis=others)
    return float(profile @ np.arange(profile.size) / profile.sum())


def _aligned(kernel, axis, position, *, cubic):
    """Kernel of odd size along an axis, with `position` moved to its middle."""
    start = int(np.floor(position + _CLOSE))
    fraction = position - start
    moved, middle = kernel, start
    if fraction > _CLOSE:
        # moved to the right by 1 - fraction; what was at 0 is at 1
        moved, middle = _moved(kernel, 1 - fraction, axis, cubic=cubic), start + 2
    last = moved.shape[axis] - 1
    half = max(middle, last - middle)
    pad = [(0, 0)] * kernel.ndim
    pad[axis] = (half - middle, half - (last - middle))
    return np.pad(moved, pad)


def _trimmed(kernel):
    """Kernel without rows and columns of zeros on both sides of every axis."""
    for axis in range(kernel.ndim):
        others = tuple(a for a in range(kernel.ndim) if a != axis)
        held = np.flatnonzero(np.any(kernel != 0, axis=others) if others else kernel != 0)
        half = kernel.shape[axis] // 2
        reach = max(half - held[0], held[-1] - half, 0)
        kernel = np.take(kernel, np.arange(half - reach, half + reach + 1), axis=axis)
    return kernel


def centred(kernel, *, centre="centroid"):
    r"""
    Kernel of odd size with its centre on the middle sample.

    Parameters
    ----------
    kernel : ndarray (y, x) or (k,)
        Kernel of even or odd size, not negative, with a positive sum.
    centre : "centroid", "middle" or tuple of float
        Which place of the kernel is the position of the source: its centroid; the middle of the
        array, :math:`(n - 1) / 2`, which lies between two samples if the size n is even; or an
        index for each axis.

    Returns
    -------
    ndarray
        Kernel of sum 1; a convolution with it does not move the centre.

    Notes
    -----
    Moved by whole samples if that is enough. A fraction of a sample is bridged by Lagrange's cubic
    interpolation, which keeps sum, centroid and width; where its lobes would be negative by more
    than 1 % of the kernel, by linear interpolation, which keeps sum and centroid and adds
    :math:`f (1 - f)` to the variance. With "centroid" what the clipping of small lobes moves is
    moved back.
    """
    kernel = np.asarray(kernel, float)
    kernel = kernel / kernel.sum()
    positions = [(n - 1) / 2 for n in kernel.shape]
    if not isinstance(centre, str):
        positions = list(np.atleast_1d(centre))
    elif centre == "centroid":
        positions = [_centroid(kernel, axis) for axis in range(kernel.ndim)]
    for cubic in (True, False):
        moved = kernel
        for axis, position in enumerate(positions):
            moved = _aligned(moved, axis, float(position), cubic=cubic)
        if -moved[moved < 0].sum() <= _CLIPPED:
            break
    kernel = np.maximum(moved, 0.0)
    if isinstance(centre, str) and centre == "centroid":
        for axis in range(kernel.ndim):
            kernel = _recentred(kernel, axis)
    kernel = _trimmed(kernel)
    return kernel / kernel.sum()


def _recentred(kernel, axis):
    """Kernel whose centroid is moved onto its middle, linearly; meant for small offsets."""
    offset = kernel.shape[axis] // 2 - _centroid(kernel, axis)
    if abs(offset) < 1e-12:
        return kernel
    backward = offset < 0
    if backward:
        kernel = np.flip(kernel, axis)
    moved = _moved(kernel, abs(offset), axis, cubic=False)
    # the middle is at index half + 1 of half * 2 + 4 samples: drop the last
    moved = np.take(moved, np.arange(moved.shape[axis] - 1), axis=axis)
    return np.flip(moved, axis) if backward else moved


def kernel_stack(name, kernels, *, dimensions, centre="centroid"):
    """
    Check, normalise and centre the kernels of a stack.

    Parameters
    ----------
    name : str
        Name of the parameter, for messages.
    kernels : array_like
        One kernel of `dimensions` axes, or any stack of them.
    dimensions : int
        1 for line spread functions, 2 for point spread functions.
    centre : "centroid", "middle" or tuple of float
        See `centred`.

    Returns
    -------
    list of ndarray
        The kernels, each of odd sizes and of sum 1, in the order of the flattened stack.

    Raises
    ------
    ValueError
        If a kernel has another number of axes, is empty, not finite, negative, or sums to 0, or
        `centre` is unknown.
    """
    if isinstance(centre, str) and centre not in _CENTRES:
        msg = f"centre is {centre!r}: expected one of {', '.join(_CENTRES)} or an index per axis"
        raise ValueError(msg)
    if not isinstance(centre, str) and np.shape(np.atleast_1d(centre)) != (dimensions,):
        msg = f"centre is {centre!r}: expected {dimensions} number(s), an index per axis"
        raise ValueError(msg)
    stack = np.asarray(kernels, float)
    if stack.ndim < dimensions or stack.size == 0:
        msg = f"{name} has the shape {stack.shape}: expected kernels of {dimensions} axes"
        raise ValueError(msg)
    flat = stack.reshape(-1, *stack.shape[stack.ndim - dimensions :])
    if not np.isfinite(flat).all():
        msg = f"{name} holds {np.count_nonzero(~np.isfinite(flat))} values that are not finite"
        raise ValueError(msg)
    sums = flat.reshape(len(flat), -1).sum(axis=1)
    if flat.min() < -1e-3 * flat.max() or sums.min() <= 0:
        msg = (
            f"{name} must not be negative and must have a positive sum; its smallest value is "
            f"{flat.min():.3g}, its smallest sum {sums.min():.3g}"
        )
        raise ValueError(msg)
    if np.abs(sums - 1).max() > _NORMALISED:
        log.info(
            "%s: %d kernel(s) of sums %.4g to %.4g normalised to 1",
            name,
            len(flat),
            sums.min(),
            sums.max(),
        )
    out = [centred(np.maximum(one, 0.0), centre=centre) for one in flat]
    moved = max(
        abs(_centroid(np.maximum(one, 0), a) - (one.shape[a] - 1) / 2)
        for one in flat
        for a in range(dimensions)
    )
    if centre == "centroid" and moved > _OFFSET:
        log.info("%s: centroid up to %.2f samples from the middle, moved to a sample", name, moved)
    elif centre == "middle" and moved > _OFFSET:
        log.info(
            "%s: the source is taken to be at the middle of the array; the centroid lies up to "
            "%.2f samples from it (centre='centroid' moves it there)",
            name,
            moved,
        )
    return out
