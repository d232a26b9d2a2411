"""Weights of the prior and noise scales by the evidence of the pixels."""

import logging
from dataclasses import dataclass

import numpy as np

from jwst_fusion.numerics.robust import sigma_of_median

__all__ = ["Tuned", "tune"]

log = logging.getLogger(__name__)

_STEPS = 12  # fixed-point steps at most; they settle within some per cent in five to ten
_ACCURACY = 0.05  # largest change of the logarithm of a weight or scale with which to stop
_FEW = 0.02  # share of all determined parameters below which a component counts less
_LIMIT = 1e4  # farthest that a weight goes from the first one, as a factor
_SCALE_LIMIT = 10.0  # the same for noise scales


@dataclass(frozen=True)
class Tuned:
    """
    Weights and the solution that goes with them.

    Attributes
    ----------
    groups : array (group, 1, k)
        Component groups of the scene.
    steps : int
        Fixed-point steps.
    converged : bool
        Whether weights and scales settled.
    effective : array (k,)
        Number of parameters per component that the data determine.
    """

    groups: np.ndarray
    steps: int
    converged: bool
    effective: np.ndarray


def tune(problem, groups, *, fit_mu=True, noise_scales=True, max_iterations=6, steps=_STEPS):
    r"""
    Fit the weights of the prior and a noise scale per exposure and image, in place.

    Parameters
    ----------
    problem : SceneProblem
        The problem; its `mu` and the scales of its data change.
    groups : array (group, 1, k)
        Component groups to begin with.
    fit_mu : bool, optional
        Fit the weights of the prior.
    noise_scales : bool, optional
        Fit the noise scales.
    max_iterations : int, optional
        Iterations of the linear solve in every step, which begins where the last one ended; 0
        takes the scene as it is.
    steps : int, optional
        Upper limit of the steps.

    Returns
    -------
    Tuned
        The solution.

    Notes
    -----
    MacKay's update (1992, Neural Computation 4, 415), as in the fusion of cubes:

    .. math:: \mu_a \leftarrow \frac{\gamma_a}{\|\nabla z_a\|^2}, \quad
              \gamma_a = \sum_f (1 - \mu_a |D_f|^2 \Sigma_{aa,f}), \quad
              s_e^2 \leftarrow \frac{\sigma_e^2}{1 - \gamma_e / n_e}

    with :math:`\sigma_e` the robust standard deviation of the normalised residuals,
    and the posterior covariance of even pixels over the area that has data; where there are only
    images it is that of images alone. Beyond, data determine nothing.
    """
    first, settled, effective = problem.mu.copy(), False, np.zeros(len(problem.mu))
    before = 0.0
    for step in range(1, steps + 1):
        if max_iterations:
            solution = problem.solve(start=groups, tolerance=1e-3, max_iterations=max_iterations)
            groups = solution.solution
        effective, shares = _determined(problem)
        wanted = np.zeros(len(first))
        if fit_mu:
            energy = np.maximum(problem.prior.energy(groups), np.finfo(float).tiny)
            new = np.maximum(effective, 1e-3) / energy
            wanted = np.log(np.clip(new, first / _LIMIT, first * _LIMIT) / problem.mu)
        # A component that the data hardly determine may run away for long: nothing depends on it.
        share = np.minimum(effective / max(_FEW * effective.sum(), 1e-3), 1)
        moved = [float(np.max(np.abs(wanted) * share))]
        if noise_scales:
            moved += _scale(problem, groups, shares)
        change = float(np.max(moved))
        # Halve updates whose sign alternates.
        problem.mu = problem.mu * np.exp(np.where(wanted * before < 0, wanted / 2, wanted))
        before = wanted
        log.info("Evidence of the exposures: step %d, change %.2f", step, change)
        if change < _ACCURACY:
            settled = True
            break
    return Tuned(groups, step, settled, effective)


def _determined(problem):
    """Parameters that the data determine: per component, and per part of each set of pixels."""
    grid, grams = problem.grid, problem.grams()
    pixels = grid.shape[0] * grid.shape[1]
    images = [one.operator.source is None for one in problem.data]
    areas = np.array([one.area for one in problem.data])
    nodes = [(range(len(grams)), areas[~np.array(images)].max() / pixels)]
    if any(images):
        beyond = areas[images].max() / pixels - nodes[0][1]
        if beyond > 0:
            nodes.append((np.flatnonzero(images), beyond))
    effective, shares = np.zeros(len(problem.mu)), np.zeros(len(grams))
    strength = problem.strength()
    for present, fraction in nodes:
        covariance = problem.covariance([grams[i] for i in present])
        variance = np.einsum("gdaa->gda", covariance).real
        free = grid.multiplicity @ (1 - strength * variance)[:, 0]
        effective += fraction * np.maximum(free, 0)
        for i in present:
            product = np.einsum("gdab,gdba->g", covariance, grams[i]).real
            shares[i] += fraction * float(grid.multiplicity @ product)
    return effective, shares


def _scale(problem, groups, shares):
    """Fit noise scales; give the changes of their logarithms."""
    moved = []
    for one, residuals, share in zip(problem.data, problem.residuals(groups), shares, strict=True):
        size, used = np.abs(one.normalised(residuals)), ~one.rejected
        counts = np.array([np.count_nonzero(used[part]) for part in one.operator.parts])
        # By their median: what the PSF gets wrong at a few stars is no noise.
        sigma = np.array(
            [
                sigma_of_median(np.median(size[part][used[part]])) if count else 1.0
                for part, count in zip(one.operator.parts, counts, strict=True)
            ]
        )
        free = np.maximum(1 - share / max(counts.sum(), 1), 0.01)
        ratio = np.maximum(sigma, 1e-6) / np.sqrt(free)
        new = np.clip(one.scales * ratio, 1 / _SCALE_LIMIT, _SCALE_LIMIT)
        new = np.where(counts > 0, new, one.scales)
        moved.append(float(np.abs(np.log(new / one.scales)).max()))
        one.scales = new
    return moved
