"""
Slices of an IFU as lines on the sky.

Within a slice the position on the sky depends on the slit coordinate alone, whatever the
wavelength: a slice is a line, slightly curved, along which all of its pixels lie.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["STEP", "SliceLine", "pixel_height", "slice_width", "trace_slices"]

#: Distance of the samples along a line, fine pixels. The light is band-limited by optics and
#: pixel; four samples per fine pixel leave cubic interpolation an error far below any noise.
STEP = 0.25
# Degree of the polynomial across a line. A straight line would miss the distortion of the optics.
_DEGREE = 3
_BEYOND = 2  # samples beyond the outermost pixels, for the taps of the interpolation
_ENOUGH = 8  # pixels that a line needs to be fitted


@dataclass(frozen=True)
class SliceLine:
    """
    One slice as a line on the sky.

    Attributes
    ----------
    label : int
        Number of the slice.
    pixels : int array (n,)
        Which pixels of the exposure lie on it.
    position : array (n,)
        Slit coordinate of each: distance along the line from its first sample, in samples.
    x, y : array (m,)
        Columns and rows of the samples in fine pixels.
    direction : array (2,)
        Unit vector along the line, x and y.
    departure : float
        Worst distance of a pixel from the line, fine pixels.
    """

    label: int
    pixels: np.ndarray
    position: np.ndarray
    x: np.ndarray
    y: np.ndarray
    direction: np.ndarray
    departure: float


def trace_slices(x, y, label, usable):
    """
    Fit a line to the pixels of every slice.

    Parameters
    ----------
    x, y : array (n,)
        Columns and rows of the pixels on the fine grid.
    label : int array (n,)
        Number of the slice.
    usable : bool array (n,)
        Pixels to consider; slices with fewer than eight are left out.

    Returns
    -------
    list of SliceLine
        In the order of their numbers.
    """
    chosen = np.flatnonzero(usable)
    chosen = chosen[np.argsort(label[chosen], kind="stable")]
    _, starts = np.unique(label[chosen], return_index=True)
    return [
        _line(int(label[pixels[0]]), pixels, x[pixels], y[pixels])
        for pixels in np.split(chosen, starts[1:])
        if len(pixels) >= _ENOUGH
    ]


def _line(number, pixels, x, y):
    centre = np.array([x.mean(), y.mean()])
    direction = np.linalg.eigh(np.cov(x, y))[1][:, 1]
    along = (x - centre[0]) * direction[0] + (y - centre[1]) * direction[1]
    across = (y - centre[1]) * direction[0] - (x - centre[0]) * direction[1]
    low, high = along.min(), along.max()
    curve = np.polynomial.Polynomial.fit(along, across, _DEGREE)
    start = low - _BEYOND * STEP
    samples = start + STEP * np.arange(int(np.ceil((high - start) / STEP)) + _BEYOND + 1)
    # Beyond the pixels the polynomial is followed for two samples only.
    offset = curve(samples)
    return SliceLine(
        label=number,
        pixels=pixels,
        position=(along - start) / STEP,
        x=centre[0] + samples * direction[0] - offset * direction[1],
        y=centre[1] + samples * direction[1] + offset * direction[0],
        direction=direction,
        departure=float(np.abs(across - curve(along)).max()),
    )


def slice_width(lines):
    """
    Width of the slices: the distance of neighbouring lines.

    Parameters
    ----------
    lines : list of SliceLine
        The slices, at least two.

    Returns
    -------
    float
        Median distance, fine pixels.

    Raises
    ------
    ValueError
        If there are fewer than two slices.
    """
    if len(lines) < 2:
        msg = f"the width of slices is measured between neighbours; there are {len(lines)} slices"
        raise ValueError(msg)
    direction = lines[len(lines) // 2].direction
    distances = []
    for line in lines:
        # Where the line meets the normal through the origin, so that unequal ends do not matter.
        middle = len(line.x) // 2
        distances.append(line.y[middle] * direction[0] - line.x[middle] * direction[1])
    return float(np.median(np.diff(np.sort(distances))))


def pixel_height(x, y, label, row, column, slit_axis):
    """
    Height of the pixels: the distance of neighbours along a slice.

    Parameters
    ----------
    x, y : array (n,)
        Columns and rows of the pixels on the fine grid.
    label, row, column : int array (n,)
        Slice and position on the detector.
    slit_axis : {"row", "column"}
        Along which of them the slices run.

    Returns
    -------
    float
        Median distance, fine pixels.
    """
    along, across = (row, column) if slit_axis == "row" else (column, row)
    order = np.lexsort((along, across, label))
    pairs = (np.diff(label[order]) == 0) & (np.diff(across[order]) == 0)
    pairs &= np.diff(along[order]) == 1
    return float(np.nanmedian(np.hypot(np.diff(x[order]), np.diff(y[order]))[pairs]))
