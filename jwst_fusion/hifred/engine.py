"""Fusion of two hyperspectral cubes, from arrays to arrays."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from jwst_fusion.hifred.solver.checkpoint import Checkpoint, read_checkpoint
from jwst_fusion.hifred.solver.data import observation
from jwst_fusion.hifred.solver.prepared import Pilot, gauge
from jwst_fusion.hifred.solver.result import Result
from jwst_fusion.hifred.solver.settings import Options
from jwst_fusion.hifred.solver.solve import solve
from jwst_fusion.messages import warn

__all__ = ["fuse"]

log = logging.getLogger(__name__)

# Standard deviations below zero, and the part of the data beyond, at which negative data are noted.
_DEEP = 5.0
_FEW = 1e-3


def fuse(
    x,
    y,
    response_x,
    response_y,
    *,
    regularisation="low_rank_sobolev",
    prior="relative",
    rank="auto",
    mu="auto",
    kappa="auto",
    scales=(2, 3),
    likelihood="poisson",
    variance_x=None,
    variance_y=None,
    nonnegative=True,
    tolerance=None,
    maximum_iterations=None,
    start=None,
    checkpoint=None,
    denoiser=None,
    thinning=0.8,
    errors=True,
    error_samples=12,
    seed=0,
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
    regularisation : str
        "low_rank_sobolev" (LRS), "low_rank_wavelet" (LRW2D), "low_rank", "wavelet_2d1d" (W2D1D),
        "none" or "plug_and_play".
    prior : "relative" or "absolute"
        What is kept small. "absolute": the differences or starlet coefficients of the maps or of
        the cube, as published. "relative": low-rank penalties act on the maps divided by the
        brightness that `x` shows and are graded by the strength of the components; starlets act
        on the difference to a low-rank solution.
    rank : "auto" or int
        Dimension of the spectral subspace, 1 to 200.
    mu : "auto" or float
        Strength of the penalty of low-rank solutions.
    kappa : "auto" or float
        Threshold of starlet coefficients of a cube, in units of their noise.
    scales : tuple of int
        Numbers of starlet scales in space and in energy, 1 to 8, for "wavelet_2d1d".
    likelihood : "poisson" or "gaussian"
        Noise of the data.
    variance_x, variance_y : array_like, optional
        Variances of the data for the Gaussian likelihood; data whose variance is not positive and
        finite are not used.
    nonnegative : bool
        Whether the source must not be negative.
    tolerance : float, optional
        When to stop. Low rank: Newton decrement per half datum, by default 1e-6. Others:
        primal-dual gap divided by the objective (relative change for a denoiser), by default 1e-4.
    maximum_iterations : int, optional
        Largest number of iterations of the final solve, by default 200 Newton steps or 2000
        primal-dual iterations.
    start : Result, str or path, optional
        Result or checkpoint of the same data and regularisation to go on from; rank and strength
        are taken from it unless they are given.
    checkpoint : str or path, optional
        File (npz) that takes the state every half a minute and at the end.
    denoiser : callable, optional
        Function of a cube (L, M, N) that returns one, for "plug_and_play".
    thinning : float
        Part of the data on which strengths are tried; the rest judges them.
    errors : bool
        Whether to compute the errors of the voxels.
    error_samples : int
        Number of posterior samples for them.
    seed : int
        Seed of thinning and of these samples.

    Returns
    -------
    Result

    Raises
    ------
    TypeError
        If a response or the start is of another type.
    ValueError
        If a parameter is out of range, shapes disagree, or the data cannot be used.
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
    options = Options(
        regularisation=regularisation,
        prior=prior,
        rank=rank,
        mu=mu,
        kappa=kappa,
        scales=scales,
        likelihood=likelihood,
        nonnegative=nonnegative,
        tolerance=tolerance,
        maximum_iterations=maximum_iterations,
        denoiser=denoiser,
        thinning=thinning,
        errors=errors,
        error_samples=error_samples,
        seed=seed,
    )
    notes = []
    one = observation("x", x, response_x, likelihood, variance_x, notes)
    two = observation("y", y, response_y, likelihood, variance_y, notes)
    if response_x.shape != response_y.shape:
        msg = f"response_x is of a source {response_x.shape}, response_y of one "
        msg += f"{response_y.shape}: expected the same"
        raise ValueError(msg)
    if nonnegative:
        for name, data in (("x", one), ("y", two)):
            _note_negative(name, data, notes)
    state = _start(start, options, response_x.shape)
    writer = Checkpoint(checkpoint)
    factor = gauge(one, two)
    if not (np.isfinite(factor) and factor > 0):
        msg = "the responses are zero throughout the source"
        raise ValueError(msg)
    pilot = Pilot.of(one.scaled(1.0 / factor), two.scaled(1.0 / factor), options)
    found = solve(pilot, state, writer)
    cube, clipped = _projected(found.cube, nonnegative=nonnegative)
    shape = response_x.shape
    cube = (cube / factor).astype(np.float32).reshape(shape)
    if not found.converged:
        notes.append(f"not converged after {found.iterations} iterations: {found.accuracy:.2g}")
        warn(log, "%s", notes[-1])
    # models are computed term by term: single precision of the cube is enough for them
    result = Result(
        cube=cube,
        error=None if found.error is None else (found.error / factor).reshape(shape),
        model_x=response_x.observe(cube.astype(float)),
        model_y=response_y.observe(cube.astype(float)),
        objective=found.value,
        history=np.array(found.history, float).reshape(-1, 3),
        converged=found.converged,
        iterations=found.iterations,
        accuracy=found.accuracy,
        regularisation=regularisation,
        likelihood=likelihood,
        rank=pilot.subspace.directions.shape[1],
        strength=found.strength,
        chosen="; ".join(pilot.chosen),
        tuning=found.table,
        basis=pilot.subspace.basis if options.low_rank else None,
        coefficients=None if found.maps is None else found.maps / factor,
        clipped=clipped,
        seconds=time.process_time() - cpu,
        state=found.state,
        notes=notes,
    )
    log.info("%s: %s; %.1f s", regularisation, result.chosen, result.seconds)
    return result


def _note_negative(name, data, notes):
    """Say so if data are negative by more than their errors, which no source that is not can be."""
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


def _start(start, options, shape):
    """State of an earlier fusion, checked."""
    if start is None:
        return None
    if isinstance(start, Result):
        state = start.state
    elif isinstance(start, (str, Path)):
        state = read_checkpoint(start)
    else:
        msg = f"start must be a Result or the name of a checkpoint, got {type(start).__name__}"
        raise TypeError(msg)
    kind = str(state["regularisation"])
    if kind != options.regularisation:
        msg = f"start is a fusion with regularisation {kind!r}, not {options.regularisation!r}"
        raise ValueError(msg)
    directions, maps = state["directions"], state["maps"]
    if len(directions) != shape[0] or maps.shape != (directions.shape[1], *shape[1:]):
        msg = f"start is a fusion of a cube {(len(directions), *maps.shape[1:])}, not {shape}"
        raise ValueError(msg)
    if options.rank not in ("auto", directions.shape[1]):
        msg = f"rank is {options.rank}, but start has rank {directions.shape[1]}"
        raise ValueError(msg)
    return state
