"""Weight of the penalty of each component by the evidence of the data."""

from __future__ import annotations

import logging

import numpy as np

from jwst_fusion.hifred.solver.posterior import draw

__all__ = ["evidence_weights"]

log = logging.getLogger(__name__)

_STEPS = 6  # updates, most; each is one solve
_SAMPLES = 4  # posterior samples for the degrees of freedom: a few per cent of noise
_CLOSE = 0.3  # change of the logarithms at which updates stop
_LEAST = 0.5  # degrees of freedom that a component is taken to have at least
# Weights, for a mean response of one; at the largest a map is constant relative to the brightness.
_RANGE = (1e-7, 1e5)


def evidence_weights(fusion, maps, weights, *, tolerance, max_iterations, seed):
    r"""
    Find the weight of each component's penalty that makes the data most probable.

    Parameters
    ----------
    fusion : LowRank
        Fusion with a quadratic penalty.
    maps : ndarray (r, M, N)
        Where to start.
    weights : ndarray (r,)
        First weights.
    tolerance : float
        Newton decrement at which a solve stops, nats.
    max_iterations : int
        Newton steps of a solve, most.
    seed : int
        Seed of the samples.

    Returns
    -------
    weights : ndarray (r,)
        The weights.
    freedom : ndarray (r,)
        Degrees of freedom that the data determine in the map of each component.
    maps : ndarray (r, M, N)
        Solution with the weights before the last.

    Notes
    -----
    MacKay's (1992) update for a prior :math:`\exp(-\mu_a q(w_a))` with a quadratic q,
    :math:`\mu_a = \gamma_a / (2 q(w_a))`, where :math:`\gamma_a = \mathrm{tr}(H^{-1} L)_{aa}` is
    the number of degrees of freedom that the likelihood, with curvature L, determines against the
    curvature H of likelihood and penalty. It is the mean of :math:`x_a^T (L x)_a` over posterior
    samples x, less one for the constant, which is not penalised.
    """
    weights = np.array(weights, float)
    freedom = np.ones(len(weights))
    for step in range(_STEPS):
        solver = fusion.weighted(weights)
        found, objective = solver.solve(
            1.0, maps, tolerance=tolerance, max_iterations=max_iterations, draft=step > 0
        )
        maps = found.maps
        rank = len(weights)
        freedom = np.zeros(rank)
        for one in draw(objective, samples=_SAMPLES, seed=[seed, step]):
            seen = sum(instrument.hessian(one) for instrument in objective.instruments)
            freedom += (one * seen).sum(axis=1) / _SAMPLES
        freedom = np.maximum(freedom - 1.0, _LEAST)
        rough = 0.5 * (objective.penalty.hessian(maps) * maps).reshape(rank, -1).sum(axis=1)
        rough = np.maximum(rough / weights, 1e-300)
        new = np.clip(freedom / (2.0 * rough), *_RANGE)
        # a component of half a degree of freedom has no use for a weight that is known well
        change = np.abs(np.log(new / weights)) * np.minimum(freedom / 4.0, 1.0)
        weights = new
        log.debug("weights %s, degrees of freedom %s", weights, freedom)
        if change.max() < _CLOSE:
            break
    return weights, freedom, maps
