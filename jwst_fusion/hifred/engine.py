"""Fusion of hyperspectral cubes, from arrays to arrays."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from jwst_fusion.hifred.solver.checkpoint import Checkpoint, read_checkpoint
from jwst_fusion.hifred.solver.instrument_data import check_data
from jwst_fusion.hifred.solver.normalisation import first_factors
from jwst_fusion.hifred.solver.prepared import PreparedData, mean_response
from jwst_fusion.hifred.solver.result import HifredResult
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.hifred.solver.solve import solve
from jwst_fusion.messages import warn
from jwst_fusion.parameters import settings_of

__all__ = ["fuse"]

log = logging.getLogger(__name__)

# A background that was subtracted shows by data that are more than this number of standard
# deviations below zero, if they are more than this part of all data: noise makes 3e-7 of them so.
_DEEP = 5.0
_FEW = 1e-3


def fuse(
    x,
    y,
    response_x,
    response_y,
    options=None,
    *,
    variance_x=None,
    variance_y=None,
    start=None,
    checkpoint=None,
):
    r"""
    Fuse cubes that are sharp in space with cubes that are sharp in energy.

    Parameters
    ----------
    x : array_like (l, m, n), or list of them
        Counts of the instrument with the better spatial resolution: energy, y, x. NaN and
        infinities are not used. Of several observations, one array each, that with the finest
        pixels first; each may have channels and pixels of its own.
    y : array_like (L, m, n), or list of them
        Counts of the instrument with the better spectral resolution; of several, all with the same
        channels.
    response_x, response_y : Response, or list of Response
        Their responses to the source (L, M, N), backgrounds and masks included; lists where `x` and
        `y` are.
    options : HifredSettings, optional
        Regularisation, likelihood and all else that can be chosen; `HifredSettings` documents each
        of them. Its defaults if omitted.
    variance_x, variance_y : array_like, or list of them, optional
        Variances of the data, of their shapes, for the Gaussian likelihood; data whose variance is
        not positive and finite are not used.
    start : HifredResult, str or path, optional
        Result or checkpoint of the same data and regularisation to go on from; rank and weight of
        the penalty are taken from it unless they are given.
    checkpoint : str or path, optional
        File (npz) that takes the state every half a minute and at the end.

    Returns
    -------
    HifredResult
        The fused source (L, M, N) with its errors, the models of both data, and how it was found.

    Raises
    ------
    TypeError
        If a response, the options or the start are of another type.
    ValueError
        If shapes disagree, or the data cannot be used.
    FileNotFoundError
        If the checkpoint's folder or the start's file does not exist.

    Notes
    -----
    With more than two observations the likelihoods of all are added, and the
    factors by which they differ, relative to the first of `x`, are fitted with their errors unless
    ``normalisations="given"``.

    Minimises :math:`L(X | K_X Z + b_X) + L(Y | K_Y Z + b_Y) + \varphi(Z)` over :math:`Z \geq 0`
    (Lascar et al. 2025, eq. 10), a fixed convex function for every choice but
    "plug_and_play". Low-rank solutions come near the bound by a quadratic barrier and are projected
    onto it in the end; the others keep to it in every iteration.
    """
    cpu = time.process_time()
    settings = settings_of(options, HifredSettings)
    notes = []
    xs, ys = (
        _listed(letter, *given)
        for letter, given in (
            ("x", (x, response_x, variance_x)),
            ("y", (y, response_y, variance_y)),
        )
    )
    responses = [response for _, _, response, _ in (*xs, *ys)]
    checked = [
        check_data(name, data, response, settings.likelihood, variance, notes)
        for name, data, response, variance in (*xs, *ys)
    ]
    _check_shapes([one[0] for one in (*xs, *ys)], responses, len(xs))
    if settings.nonnegative:
        for (name, *_), data in zip((*xs, *ys), checked, strict=True):
            _note_negative(name, data, notes)
    shape = responses[0].shape
    state = _start(start, settings, shape, len(checked))
    writer = Checkpoint(checkpoint)
    factor = mean_response(checked)
    if not (np.isfinite(factor) and factor > 0):
        msg = "the responses are zero throughout the source"
        raise ValueError(msg)
    scaled = [one.scaled(1.0 / factor) for one in checked]
    prepared = PreparedData.of(scaled[: len(xs)], scaled[len(xs) :], settings)
    if fits_normalisations(settings, len(checked)):
        prepared = _normalised(prepared, state)
    found = solve(prepared, state, writer)
    if found.factors is not None:
        responses = [one.scaled(n) for one, n in zip(responses, found.factors, strict=True)]
    cube, clipped = _projected(found.cube, nonnegative=settings.nonnegative)
    cube = (cube / factor).astype(np.float32).reshape(shape)
    if not found.converged:
        notes.append(f"not converged after {found.iterations} iterations: {found.accuracy:.2g}")
        warn(log, "%s", notes[-1])
    for note in found.notes:
        notes.append(note)
        warn(log, "%s", note)
    # models are computed term by term: single precision of the cube is enough for them
    models = [one.observe(cube.astype(float)) for one in responses]
    model_x, model_y = models[: len(xs)], models[len(xs) :]
    result = HifredResult(
        cube=cube,
        error=None if found.error is None else (found.error / factor).reshape(shape),
        model_x=model_x if isinstance(response_x, (list, tuple)) else model_x[0],
        model_y=model_y if isinstance(response_y, (list, tuple)) else model_y[0],
        objective=found.value,
        history=np.array(found.history, float).reshape(-1, 3),
        converged=found.converged,
        iterations=found.iterations,
        accuracy=found.accuracy,
        regularisation=settings.regularisation,
        likelihood=settings.likelihood,
        rank=found.subspace.directions.shape[1],
        mu=found.mu,
        chosen="; ".join(found.chosen),
        tuning=found.table,
        basis=found.subspace.basis if settings.low_rank else None,
        coefficients=None if found.maps is None else found.maps / factor,
        clipped=clipped,
        seconds=time.process_time() - cpu,
        state=found.state,
        notes=notes,
        posterior=None if found.posterior is None else found.posterior.scaled(1.0 / factor),
        normalisations=found.factors,
        normalisation_errors=None if found.factors is None else found.factors * found.factor_errors,
        offsets=found.offsets,
        offset_errors=found.offset_errors,
    )
    log.info("%s: %s; %.1f s", settings.regularisation, result.chosen, result.seconds)
    return result


def fits_normalisations(settings, number):
    """
    Tell whether factors between the observations are to be fitted.

    Parameters
    ----------
    settings : HifredSettings or HifredOptions
        Settings.
    number : int
        Number of observations.

    Returns
    -------
    bool
        As asked for; by default of three or more.
    """
    return settings.normalisations == "fitted" or (settings.normalisations == "auto" and number > 2)


def _listed(letter, data, response, variance):
    """Name, data, response and variance of each observation with a better resolution of a kind."""
    if not isinstance(response, (list, tuple)):
        return [(letter, data, response, variance)]
    number = len(response)
    for name, values in ((letter, data), (f"variance_{letter}", variance)):
        if (name == letter or values is not None) and (
            not isinstance(values, (list, tuple)) or len(values) != number
        ):
            msg = f"{name} must be a list of {number} arrays, one for each of response_{letter}"
            raise ValueError(msg)
    if not number:
        msg = f"{letter} is an empty list: give one observation at least"
        raise ValueError(msg)
    variances = [None] * number if variance is None else variance
    names = [letter] if number == 1 else [f"{letter}[{k}]" for k in range(number)]
    return list(zip(names, data, response, variances, strict=True))


def _check_shapes(names, responses, number_x):
    first = responses[0].shape
    for name, response in zip(names[1:], responses[1:], strict=True):
        if response.shape != first:
            at = "response_" + name
            msg = f"response_{names[0]} is of a source {first}, {at} of one "
            msg += f"{response.shape}: expected the same"
            raise ValueError(msg)
    channels = responses[number_x].observed_shape[0]
    for name, response in zip(names[number_x + 1 :], responses[number_x + 1 :], strict=True):
        if response.observed_shape[0] != channels:
            msg = f"{name} has {response.observed_shape[0]} channels and y[0] {channels}: the "
            msg += "cubes of y have the same channels; give those that have others to x"
            raise ValueError(msg)


def _normalised(prepared, state):
    """Data with the normalisations of a start, or with those that total counts tell."""
    if state is not None and "normalisations" not in state:
        msg = "start is a fusion without fitted normalisations: leave it out, or set "
        msg += "normalisations to 'given'"
        raise ValueError(msg)
    cube = prepared.spectrum[:, None] * prepared.image.ravel()
    prepared = prepared.normalised(first_factors(prepared.observations, cube))
    number, factors = prepared.sharp, prepared.factors
    one = prepared.observations
    found = PreparedData.of(one[:number], one[number:], prepared.settings)
    found = replace(found, factors=factors)
    if state is None:
        return found
    # brightness and penalty are those of the fusion that it goes on from
    return found.normalised(state["normalisations"] / factors)


def _note_negative(name, data, notes):
    """Note data far below zero, which no source that is nowhere negative can give."""
    if data.variance is None:
        return
    signal = data.data if data.background is None else data.data - data.background
    low = np.count_nonzero(data.used & (signal < -_DEEP * np.sqrt(data.variance)))
    if low > _FEW * np.count_nonzero(data.used):
        notes.append(
            f"{low} values of {name} are negative by more than {_DEEP:g} standard deviations, but "
            "the result is not to be: with a background that was subtracted, nonnegative=False"
        )
        warn(log, "%s", notes[-1])


def _projected(cube, *, nonnegative):
    """Cube without negative values, and the part of its sum that they had."""
    if not nonnegative:
        return cube, 0.0
    clipped = np.maximum(cube, 0.0)
    lost = float((clipped - cube).sum(dtype=float)) / max(float(clipped.sum(dtype=float)), 1e-300)
    return clipped, lost


def _start(start, settings, shape, number):
    """State of an earlier fusion, checked."""
    if start is None:
        return None
    if isinstance(start, HifredResult):
        state = start.state
    elif isinstance(start, (str, Path)):
        state = read_checkpoint(start)
    else:
        msg = (
            f"start must be a HifredResult or the name of a checkpoint, got {type(start).__name__}"
        )
        raise TypeError(msg)
    kind = str(state["regularisation"])
    if kind != settings.regularisation:
        msg = f"start is a fusion with regularisation {kind!r}, not {settings.regularisation!r}"
        raise ValueError(msg)
    had = len(state["normalisations"]) if "normalisations" in state else number
    if had != number:
        msg = f"start is a fusion of {had} observations, not {number}"
        raise ValueError(msg)
    directions, maps = state["directions"], state["maps"]
    if len(directions) != shape[0] or maps.shape != (directions.shape[1], *shape[1:]):
        msg = f"start is a fusion of a cube {(len(directions), *maps.shape[1:])}, not {shape}"
        raise ValueError(msg)
    if settings.rank not in ("auto", directions.shape[1]):
        msg = f"rank is {settings.rank}, but start has rank {directions.shape[1]}"
        raise ValueError(msg)
    return state
