"""Solve for a scene that is nowhere negative at the resolution of the imager."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from jwst_fusion.fusion.solver.operators import Imager
from jwst_fusion.fusion.solver.regularisation import GramPrior
from jwst_fusion.fusion.solver.rendering import row_covariance
from jwst_fusion.messages import warn
from jwst_fusion.numerics.progress import Progress

__all__ = ["solve_nonnegative"]

log = logging.getLogger(__name__)

_STEPS = 300  # at most, each with one solve
_ALLOWED = 0.2  # posterior standard deviations below zero that are accepted
_INNER = 0.5  # accuracy of inner solves, relative to what is asked for
_CHUNK = 32_000_000  # bytes of cube that are worked on at once


def solve_nonnegative(problem, tuned, settings):
    r"""Solution whose scene is at least zero in every channel, at given hyperparameters.

    Parameters
    ----------
    problem : LowRankProblem
        Problem with a quadratic prior.
    tuned : Tuning
        Its hyperparameters and solution.
    settings : FusionSettings
        Options.

    Returns
    -------
    Tuning
        The same with the new solution. It has converged if no voxel is more negative than 0.2
        typical posterior standard deviations, and the last step moved the solution by less than the
        tolerance.

    Notes
    -----
    Alternating direction method (Boyd et al. 2011) for the whitened scene :math:`x = P K z + m`
    within the field. As the columns of P are orthonormal, the quadratic step adds
    :math:`\rho K^H K` to the blocks of the direct solve. With :math:`v = x + u` the split variable
    is max(v, 0) and the dual min(v, 0), so that one cube is stored.
    """
    system, data, subspace = problem.system, problem.data, problem.subspace
    grid, scales = system.grid, (tuned.scale_image, tuned.scale_cube)
    compression, window = problem.compression, (slice(None), *problem.window)
    viewer = Imager(grid, data.psf_image, compression.mixing)
    valid = subspace.valid
    expand = compression.expand[valid].astype(np.float32)
    level = (subspace.mean[valid] / subspace.sigma[valid]).astype(np.float32)
    mixing = compression.mixing
    covariance = row_covariance(system, problem.local, tuned.mu, scales, data.psf_image, mixing)
    spread = np.trace(covariance, axis1=1, axis2=2) @ problem.local.fractions / len(expand)
    rho = 1 / spread
    gram = rho * viewer.transfer.conj().transpose(0, 1, 3, 2) @ viewer.transfer
    bound = system.with_prior(GramPrior(system.prior, tuned.mu, gram))
    rhs = scales[0] * system.rhs_image + scales[1] * system.rhs_cube
    groups, one = tuned.solution.solution, np.ones(system.rank)
    rows = grid.synthesise(viewer.forward_groups(groups))
    dual = np.zeros((len(expand), rows[window][0].size), np.float32)
    norm = np.sqrt(system.rank * grid.shape[0] * grid.shape[1])
    iterations, history = tuned.solution.iterations, list(tuned.solution.history)
    progress = Progress()
    moved, solution = 0.0, tuned.solution
    for step in range(_STEPS + 1):
        target, lowest = _reflected(rows[window], expand, level, dual)
        accepted = lowest > -_ALLOWED * np.sqrt(spread)
        if (accepted and moved < settings.tolerance) or step == _STEPS:
            break
        wanted = rows.copy()  # beyond the field, wherever the scene happens to be
        wanted[window] = target
        solution = bound.solve(
            one,
            *scales,
            rhs=rhs + rho * viewer.adjoint_groups(grid.analyse(wanted)),
            start=groups,
            tolerance=_INNER * settings.tolerance,
            max_iterations=settings.max_iterations,
        )
        change = solution.solution - groups
        moved = np.sqrt(max(bound.inner(change, bound.apply(change, *scales, one)), 0.0)) / norm
        groups, iterations = solution.solution, iterations + solution.iterations
        history.append(float(moved))
        rows = grid.synthesise(viewer.forward_groups(groups))
        if progress.due():
            log.info("Non-negativity: step %d, moved by %.3f sigma", step + 1, moved)
    depth = -min(lowest, 0.0) / np.sqrt(spread)
    good = bool(accepted and moved < settings.tolerance and solution.converged)
    if not good:
        warn(log, "After %d steps the scene is negative by up to %.2g sigma", step, depth)
    found = replace(
        solution, solution=groups, converged=good, iterations=iterations, history=history
    )
    return replace(tuned, solution=found)


def _reflected(rows, expand, level, dual):
    """Rows (n, Y, X) of what the scene is drawn to; updates the dual; the lowest value."""
    flat = rows.reshape(len(rows), -1).astype(np.float32)
    target, lowest = np.zeros(flat.shape), np.inf
    step = max(1, _CHUNK // (4 * flat.shape[1]))
    for start in range(0, len(expand), step):
        part = slice(start, start + step)
        scene = expand[part] @ flat + level[part, None]
        lowest = min(lowest, float(scene.min()))
        scene += dual[part]
        np.minimum(scene, 0, out=dual[part])
        target += expand[part].T @ (np.abs(scene) - level[part, None])
    return target.reshape(rows.shape), lowest
