"""Maps of the cube and of what is predicted for it in bands: filters, continuum, lines."""

import numpy as np

from jwst_fusion.metrics.lines import find_lines

__all__ = ["band_maps", "band_weights"]

_LINES = 12  # strongest lines that are looked at together
_BESIDE = 2  # channels next to a line that are not yet continuum


def band_weights(response, wavelength, spectrum):
    """
    Weights of the channels by which bands are made: filters, continuum, lines.

    Parameters
    ----------
    response : array (F, L)
        Weights of the channels in each filter, each row with the sum 1.
    wavelength : array (L,)
        Micrometre.
    spectrum : array (L,)
        Mean spectrum of the field, in which lines are searched; NaN where there are no data.

    Returns
    -------
    array (F + 2, L)
        The filters; the mean over all channels without lines; and the mean over the strongest
        lines of their brightness above the continuum beside them, with the sum 0. The last one is
        zero if no line stands out.
    """
    known = np.isfinite(spectrum)
    away, lined = known.copy(), np.zeros(len(wavelength))
    lines = find_lines(wavelength, spectrum, count=_LINES) if known.sum() > 1 else []
    for line in lines:
        start, stop = line.channels.start, line.channels.stop
        away[max(0, start - _BESIDE) : stop + _BESIDE] = False
    for line in lines:
        beside = line.beside & known
        if not beside.any():
            continue
        lined[line.channels] += 1 / (line.channels.stop - line.channels.start)
        lined[beside] -= 1 / beside.sum()
    continuum = away if away.any() else known
    rows = [*response, continuum / max(continuum.sum(), 1), lined / max(len(lines), 1)]
    return np.array(rows, float)


def band_maps(problem, model, weights):
    """
    Maps of the cube in bands, what is predicted for them, and their errors.

    Parameters
    ----------
    problem : `~jwst_fusion.fusion.solver.data.FusionData`
        The cube with its errors.
    model : array (L, h, w)
        The fused cube seen by the spectrometer.
    weights : array (B, L)
        Weights of the channels in each band, from `band_weights`.

    Returns
    -------
    array (3, B, h, w)
        Cube, prediction, error as the data state it, MJy/sr; NaN where there are no data. A channel
        without data in a spaxel is left out of both maps there.
    """
    found = np.full((3, len(weights), *model.shape[1:]), np.nan)
    weight = np.where(problem.spaxel_weight > 0, problem.spaxel_weight, np.nan)
    for index, row in enumerate(weights):
        inside = (row != 0) & np.isfinite(problem.cube_sigma)
        if not inside.any():
            continue
        cube, predicted = problem.cube[inside], model[inside]
        good = np.isfinite(cube) & np.isfinite(predicted)
        maps = [np.tensordot(row[inside], np.where(good, x, 0), 1) for x in (cube, predicted)]
        variance = np.tensordot((row * problem.cube_sigma)[inside] ** 2, good, 1) / weight
        known = variance > 0
        for target, source in zip(found, (*maps, np.sqrt(variance)), strict=True):
            target[index][known] = source[known]
    return found
