"""Fusion of two hyperspectral cubes, from arrays to arrays."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from jwst_fusion.hifred.solver.checkpoint import Checkpoint, read_checkpoint
from jwst_fusion.hifred.solver.instrument_data import check_data
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
    Fuse a cube that is sharp in space with one that is sharp in energy.

    Parameters
    ----------
    x : array_like (l, m, n)
        Counts of the instrument with the better spatial resolution: energy, y, x. NaN and
        infinities are not used.
    y : array_like (L, m, n)
        Counts of the instrument with the better spectral resolution.
    response_x, response_y : Response
        Their responses to the source (L, M, N), backgrounds and masks included.
    options : HifredSettings, optional
        Regularisation, likelihood and all else that can be chosen; `HifredSettings` documents each
        of them. Its defaults if omitted.
    variance_x, variance_y : array_like, optional
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
    Minimises :math:`L(X | K_X Z + b_X) + L(Y | K_Y Z + b_Y) + \varphi(Z)` over :math:`Z \geq 0`
    (Lascar et al. 2025, eq. 10), a fixed convex function for every choice but
    "plug_and_play". Low-rank solutions come near the bound by a quadratic barrier and are projected
    onto it in the end; the others keep to it in every iteration.
    """
    cpu = time.process_time()
    settings = settings_of(options, HifredSettings)
    notes = []
    one = check_data("x", x, response_x, settings.likelihood, variance_x, notes)
    two = check_data("y", y, response_y, settings.likelihood, variance_y, notes)
    if response_x.shape != response_y.shape:
        msg = f"response_x is of a source {response_x.shape}, response_y of one "
        msg += f"{response_y.shape}: expected the same"
        raise ValueError(msg)
    if settings.nonnegative:
        for name, data in (("x", one), ("y", two)):
            _note_negative(name, data, notes)
    state = _start(start, settings, response_x.shape)
    writer = Checkpoint(checkpoint)
    factor = mean_response(one, two)
    if not (np.isfinite(factor) and factor > 0):
        msg = "the responses are zero throughout the source"
        raise ValueError(msg)
    prepared = PreparedData.of(one.scaled(1.0 / factor), two.scaled(1.0 / factor), settings)
    found = solve(prepared, state, writer)
    cube, clipped = _projected(found.cube, nonnegative=settings.nonnegative)
    shape = response_x.shape
    cube = (cube / factor).astype(np.float32).reshape(shape)
    if not found.converged:
        notes.append(f"not converged after {found.iterations} iterations: {found.accuracy:.2g}")
        warn(log, "%s", notes[-1])
    for note in found.notes:
        notes.append(note)
        warn(log, "%s", note)
    # models are computed term by term: single precision of the cube is enough for them
    result = HifredResult(
        cube=cube,
        error=None if found.error is None else (found.error / factor).reshape(shape),
        model_x=response_x.observe(cube.astype(float)),
        model_y=response_y.observe(cube.astype(float)),
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
    )
    log.info("%s: %s; %.1f s", settings.regularisation, result.chosen, result.seconds)
    return result


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


def _start(start, settings, shape):
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
    directions, maps = state["directions"], state["maps"]
    if len(directions) != shape[0] or maps.shape != (directions.shape[1], *shape[1:]):
        msg = f"start is a fusion of a cube {(len(directions), *maps.shape[1:])}, not {shape}"
        raise ValueError(msg)
    if settings.rank not in ("auto", directions.shape[1]):
        msg = f"rank is {settings.rank}, but start has rank {directions.shape[1]}"
        raise ValueError(msg)
    return state
