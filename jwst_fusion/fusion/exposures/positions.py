"""Positions of point sources, fitted to the native pixels."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.solver.source_fit import position_step

__all__ = ["MovedSources", "fit_sources"]

_STILL = 0.3  # of its error, by which the last step may still move a source
_SMALL = 0.002  # fine pixels: smaller steps do not matter
_FARTHEST = 1.0  # fine pixels from where a source was found: one that leaves stays where it is
_KNOWN = 0.3  # fine pixels: positions with larger errors say nothing new


@dataclass(frozen=True)
class MovedSources:
    """
    Sources after a step.

    Attributes
    ----------
    positions : array (J, 2)
        Columns and rows, fine pixels.
    errors : array (J, 2)
        Their standard deviations.
    excess : array (J,)
        Twice the logarithm of the likelihood ratio of the source being there.
    largest : float
        Largest step in units of one that would not matter.
    """

    positions: np.ndarray
    errors: np.ndarray
    excess: np.ndarray
    largest: float


def fit_sources(problem, groups, *, start):
    """
    One step of Gauss-Newton for the positions of all sources, everything else adapted to it.

    Parameters
    ----------
    problem : SceneProblem
        Problem with sources.
    groups : array (group, 1, k)
        Its solution.
    start : array (J, 2)
        Where the sources were found: none moves farther than a fine pixel from there.

    Returns
    -------
    MovedSources
        The positions.

    Notes
    -----
    Gradient and information are those of
    `~jwst_fusion.fusion.solver.source_fit.fit_positions`, for pixels that are as dense everywhere
    as on average.
    """
    prior = problem.prior.sources
    left = problem.rhs() - problem.normal(groups)
    better = groups + problem.preconditioner()(left)
    moves = position_step(prior, better, problem.mu, problem.point_information(problem.grams()))
    step = np.where(moves.errors.max(axis=1, keepdims=True) < _KNOWN, moves.steps, 0.0)
    positions = prior.positions + step
    lost = np.hypot(*(positions - start).T) > _FARTHEST
    positions[lost] = prior.positions[lost]
    step[lost] = 0.0
    limit = np.maximum(_STILL * moves.errors, _SMALL)
    return MovedSources(
        positions, moves.errors, moves.excess, float(np.max(np.abs(step) / limit, initial=0.0))
    )
