"""Emission lines of a spectrum: where they are, their continuum, and their maps."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.numerics.robust import robust_sigma

__all__ = ["Line", "chosen_lines", "continuum_of", "find_lines", "line_at", "line_map", "mean_of"]

# A channel is part of the continuum if it lies within this many robust deviations of it.
_QUIET = 3.0


@dataclass(frozen=True)
class Line:
    """
    An emission line.

    Attributes
    ----------
    wavelength : float
        Micrometre.
    channels : slice
        Channels of the line.
    beside : bool array (L,)
        Channels of the continuum near it.
    """

    wavelength: float
    channels: slice
    beside: np.ndarray


def continuum_of(spectrum):
    """
    Smooth part of a spectrum.

    Parameters
    ----------
    spectrum : array (L,)
        NaN where there are no data.

    Returns
    -------
    array (L,)
        Running median over a sixteenth of the channels, at least nine.
    """
    good = np.isfinite(spectrum)
    if not good.any():
        return np.full(spectrum.shape, np.nan)
    index = np.arange(spectrum.size)
    filled = np.interp(index, index[good], spectrum[good])
    width = min(max(9, spectrum.size // 16 * 2 // 2 * 2 + 1), spectrum.size)
    return ndimage.median_filter(filled, width, mode="nearest")


def find_lines(wavelength, spectrum, *, count=2):
    """
    Find the strongest emission lines of a spectrum.

    Parameters
    ----------
    wavelength, spectrum : array (L,)
        Spectrum; NaN where there are no data.
    count : int, optional
        Largest number of lines.

    Returns
    -------
    list of Line
        The most significant first; none may stand out.
    """
    above = spectrum - continuum_of(spectrum)
    above[~np.isfinite(above)] = 0
    spread = robust_sigma(above) + 1e-12
    found, left = [], above.copy()
    for _ in range(count):
        peak = int(np.argmax(left))
        if left[peak] < 10 * spread:
            break
        found.append(line_at(wavelength, above, peak, spread))
        start, stop = found[-1].channels.start, found[-1].channels.stop
        left[max(0, start - 5) : stop + 5] = 0
    return found


def chosen_lines(wavelength, spectrum, wanted, *, name):
    """
    Find the lines that a user names, or the strongest.

    Parameters
    ----------
    wavelength, spectrum : array (L,)
        Spectrum, in which lines are searched; NaN where there are no data. Wavelengths in
        micrometre.
    wanted : sequence of float
        Wavelengths, micrometre.
    name : str
        What has this spectrum, for the message.

    Returns
    -------
    list of Line
        The lines nearest to those wanted, in that order; without any, the strongest.

    Raises
    ------
    ValueError
        If one lies outside.
    """
    spectrum = np.array(spectrum, float)
    if not len(wanted):
        return find_lines(wavelength, spectrum)
    above = np.nan_to_num(spectrum - continuum_of(spectrum))
    spread = robust_sigma(above) + 1e-12
    low, high = wavelength.min(), wavelength.max()
    found = []
    for one in wanted:
        if not low <= one <= high:
            msg = f"line {one:g} um lies outside {name}: {low:.4f} to {high:.4f} um"
            raise ValueError(msg)
        nearest = int(np.argmin(np.abs(wavelength - one)))
        found.append(line_at(wavelength, above, nearest, spread))
    return found


def line_at(wavelength, above, peak, spread):
    """
    Describe the line around a channel.

    Parameters
    ----------
    wavelength, above : array (L,)
        Spectrum without its continuum.
    peak : int
        Channel of the line.
    spread : float
        Standard deviation of `above` beside lines.

    Returns
    -------
    Line
        With the channels above a quarter of its peak, and the quiet ones around.
    """
    start = stop = peak
    level = 0.25 * above[peak]
    while start > 0 and above[start - 1] > level and peak - start < 20:
        start -= 1
    while stop < len(above) - 1 and above[stop + 1] > level and stop - peak < 20:
        stop += 1
    index = np.arange(len(above))
    reach = max(12, 4 * (stop - start + 1))
    beside = (np.abs(index - peak) <= reach) & ((index < start - 2) | (index > stop + 2))
    quiet = beside & (np.abs(above) < _QUIET * spread)
    return Line(
        float(wavelength[peak]), slice(start, stop + 1), quiet if quiet.sum() > 3 else beside
    )


def line_map(cube, line):
    """
    Mean brightness of a line above the continuum beside it.

    Parameters
    ----------
    cube : array (L, y, x)
        Surface brightness.
    line : Line
        The line, with its channels and those beside it.

    Returns
    -------
    lined : array (y, x)
        Mean brightness in the channels of the line, continuum subtracted, in the unit of the cube.
    continuum : array (y, x)
        Mean brightness in the channels beside it.
    """
    beside = np.array([cube[i] for i in np.flatnonzero(line.beside)], float)
    within = np.asarray(cube[line.channels], float)
    continuum, lined = (mean_of(part) for part in (beside, within))
    return lined - continuum, continuum


def mean_of(stack):
    """
    Return the mean of the finite values of a stack.

    Parameters
    ----------
    stack : array (N, y, x)
        The images.

    Returns
    -------
    array (y, x)
        Their mean; NaN where none has a value.
    """
    good = np.isfinite(stack)
    count = good.sum(0)
    total = np.where(good, stack, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
