"""How the scene reacts to a parameter beside it: solves as exact as that parameter needs."""

from __future__ import annotations

import numpy as np

__all__ = ["settled_reaction", "told_covariance"]

_FINEST = 1e-3  # tolerance of these solves, in posterior standard deviations, at best
# Information, in units of that of the prior, below which a direction is left alone.
_TOLD = 0.1


def settled_reaction(solve, information, enough, *, first, unseen, norm, start=None):
    r"""Solve for the reaction of a scene to a parameter, exactly enough for the information on it.

    With the normal matrix Q of the scene and what the parameter changes, b, the reaction is
    :math:`Q^{-1} b`, and the information on the parameter lacks :math:`b^T Q^{-1} b`: what
    conjugate gradients have not reached yet, in the squared norm of Q, is what it has too much.

    Parameters
    ----------
    solve : callable
        From ``start``, ``tolerance`` and ``error`` (see
        `~jwst_fusion.numerics.conjugate_gradients.conjugate_gradients`) to a Solution.
    information : callable
        From a reaction to the information on the parameter that it leaves.
    enough : callable
        From an information to the squared error of a reaction that does no harm to it.
    first : float
        Information from which the first solve takes its accuracy.
    unseen : float
        By which errors exceed residuals, at most, where data are weighted unevenly.
    norm : float
        Residual that stands for one posterior standard deviation of the scene.
    start : ndarray, optional
        Reaction to begin with.

    Returns
    -------
    ndarray
        The reaction.
    """
    reaction, following = start, enough(first)
    while True:
        error = following
        tolerance = max(np.sqrt(error) / (unseen * norm), _FINEST)
        found = solve(start=reaction, tolerance=tolerance, error=error)
        reaction = found.solution
        if not found.history or not found.converged or tolerance <= _FINEST:
            return reaction
        following = enough(information(reaction))
        if error <= 2 * following:
            return reaction


def told_covariance(information, width):
    """Covariance of parameters with priors of these widths, and its part in what data tell.

    Information that rounding or inexact solves make negative is none, and its directions stay.

    Parameters
    ----------
    information : ndarray (P, P)
        What the data tell of the parameters.
    width : ndarray (P,)
        Standard deviations of the priors, finite.

    Returns
    -------
    covariance : ndarray (P, P)
        Of data and priors.
    told : ndarray (P, P)
        The same without the directions of which the data tell next to nothing.
    """
    scale = np.outer(width, width)
    values, vectors = np.linalg.eigh(information * scale)
    spread = 1 / (1 + np.maximum(values, 0.0))
    parts = (spread, np.where(values > _TOLD, spread, 0.0))
    return tuple((vectors * one) @ vectors.T * scale for one in parts)
