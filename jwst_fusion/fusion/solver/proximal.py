"""Solve for sparse starlet coefficients instead of small gradients."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from jwst_fusion.fusion.solver.point_sources import with_sources
from jwst_fusion.fusion.solver.regularisation import FourierPrior
from jwst_fusion.messages import warn
from jwst_fusion.numerics.progress import Progress
from jwst_fusion.numerics.starlet import PeriodicStarlet

__all__ = ["solve_sparse", "starlet_weights"]

log = logging.getLogger(__name__)

_STEPS = 200  # at most, each with one solve
_INNER = 0.5  # accuracy of inner solves, relative to what is asked for


def starlet_weights(starlet, system, local, tuned):
    r"""Weights of the absolute values of the coefficients of each scale and component.

    Parameters
    ----------
    starlet : PeriodicStarlet
        Transform.
    system : WeightedSystem
        Problem with a quadratic prior, whose sources are left out of the coefficients.
    local : LocalWeights
        Amount of data around every pixel.
    tuned : Tuning
        Its hyperparameters and solution.

    Returns
    -------
    weights : ndarray (J, k)
        :math:`\lambda_{ja} = s_j / \langle|w_{ja}|\rangle`.
    sizes : ndarray (J, k)
        Mean absolute coefficients: those of the quadratic solution, with its posterior variance.

    Notes
    -----
    A density :math:`\exp(-\phi)` of N dimensions with :math:`\phi` homogeneous of degree one has
    :math:`\langle\phi\rangle = N`. Here :math:`\phi = \sum \lambda |w|`, and scale j takes the part
    s_j of the N degrees of freedom that its filter holds.
    """
    grid = system.grid
    power = grid.group(starlet.transfer**2)  # group, alias, scale
    pixels = grid.shape[0] * grid.shape[1]
    variance = np.zeros((len(starlet.transfer), system.rank))
    nodes = local.weights((tuned.scale_image, tuned.scale_cube), tuned.mu)
    for weights, fraction in zip(nodes, local.fractions, strict=True):
        for part, share, covariance in system.blocks.covariances(*weights):
            diagonal = np.einsum("gdaa->gda", covariance).real
            variance += fraction * np.einsum("g,gdj,gda->ja", share, power[part], diagonal)
    variance /= pixels
    groups = tuned.solution.solution
    if system.prior.sources is not None:
        groups = system.prior.sources.diffuse(groups)
    found = starlet.forward(grid.synthesise(groups))
    sizes = np.sqrt(found**2 + 2 / np.pi * variance[:, :, None, None]).mean((2, 3))
    sizes = np.maximum(sizes, np.finfo(float).tiny)
    return starlet.shares()[:, None] / sizes, sizes


def solve_sparse(problem, tuned, settings):
    r"""Solution with sparse starlet coefficients, at given noise scales.

    Parameters
    ----------
    problem : LowRankProblem
        Problem with a quadratic prior.
    tuned : Tuning
        Its hyperparameters and solution; weights follow from them by `starlet_weights`.
    settings : FusionSettings
        Options.

    Returns
    -------
    Tuning
        The same with the new solution; it has converged if a step of the outer loop moves it by
        less than the tolerance, in posterior standard deviations. With amplitudes of the sources.

    Notes
    -----
    Minimises :math:`\frac12 \chi^2(z) + \sum_{ja} \lambda_{ja} \| \psi_j * z_a \|_1` by the
    alternating direction method of multipliers (Boyd et al. 2011). The quadratic step has the
    blocks of the direct solve, as the starlet is a filter: its weights
    :math:`\rho_{ja} = \lambda_{ja} / \langle|w_{ja}|\rangle` take the place of the gradient.

    Sources D of free amplitudes are not seen by the penalty: the coefficients are those of
    :math:`z - D a`. With :math:`P = \psi^T \rho \psi` and the target
    :math:`c = \psi^T \rho (s - u)` of the quadratic step, which has the split coefficients s and
    the dual u, its amplitudes are
    :math:`a = (D^T P D)^{-1} D^T (P z - c)`; without them the step has the prior of `SourcePrior`
    and the linear term :math:`(I - P D (D^T P D)^{-1} D^T) c`.
    """
    system, starlet = problem.system, PeriodicStarlet(problem.system.grid)
    grid, scales = system.grid, (tuned.scale_image, tuned.scale_cube)
    weights, sizes = starlet_weights(starlet, system, problem.local, tuned)
    rho = weights / sizes
    sources = system.prior.sources
    base = FourierPrior(grid, starlet.power(rho))
    prior = with_sources(base, None if sources is None else sources.positions)
    sparse = system.with_prior(prior)
    data = scales[0] * system.rhs_image + scales[1] * system.rhs_cube
    groups, one = tuned.solution.solution, np.ones(system.rank)
    diffuse = groups if sources is None else sources.diffuse(groups)
    coefficients = starlet.forward(grid.synthesise(diffuse))
    split, dual = coefficients, np.zeros_like(coefficients)
    limit, coupling = (weights / rho)[:, :, None, None], rho[:, :, None, None]
    norm = np.sqrt(system.rank * grid.shape[0] * grid.shape[1])
    iterations, history = tuned.solution.iterations, list(tuned.solution.history)
    progress = Progress()
    for step in range(1, _STEPS + 1):
        pull = grid.analyse(starlet.adjoint(coupling * (split - dual)))
        rhs = data + pull
        if sources is not None:
            rhs += prior.reaction(prior.amplitudes(np.zeros_like(pull), pull))
        solution = sparse.solve(
            one,
            *scales,
            rhs=rhs,
            start=groups,
            tolerance=_INNER * settings.tolerance,
            max_iterations=settings.max_iterations,
        )
        change = solution.solution - groups
        moved = np.sqrt(max(sparse.inner(change, sparse.apply(change, *scales, one)), 0)) / norm
        groups, iterations = solution.solution, iterations + solution.iterations
        history.append(float(moved))
        diffuse = groups if sources is None else prior.diffuse(groups, pull)
        coefficients = starlet.forward(grid.synthesise(diffuse))
        shifted = coefficients + dual
        split = np.sign(shifted) * np.maximum(np.abs(shifted) - limit, 0.0)
        dual = shifted - split
        if step > 1 and moved < settings.tolerance:
            break
        if progress.due():
            log.info("Starlets: step %d, moved by %.3f, %.0f s", step, moved, progress.seconds)
    good = moved < settings.tolerance and solution.converged
    if not good:
        warn(log, "Starlet coefficients still move by %.2g sigma after %d steps", moved, step)
    log.info("%.0f %% of the starlet coefficients are zero", 100 * np.mean(split == 0))
    found = replace(
        solution, solution=groups, converged=good, iterations=iterations, history=history
    )
    amplitudes = None if sources is None else prior.amplitudes(groups, pull)
    return replace(tuned, solution=found, amplitudes=amplitudes)
