"""Relative normalisations of several observations: their best values, errors, and what they cost.

Exposure times, areas and vignettings are known to some per cent only; the factors by which the
observations differ from what the responses say are found together with the source.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

__all__ = ["Normalisations", "first_factors", "normalisations", "sky_offsets"]

log = logging.getLogger(__name__)

_ACCURACY = 1e-3  # part of the residual of a solve: far below what a step changes
_SOLVES = 200  # steps of conjugate gradients, most
_LONGEST = 0.7  # of a step in a logarithm: a factor of two
# Range of the first estimate; exposure times that are not given are taken to be 1 s.
_RANGE = (1e-9, 1e9)
_LEAST = 1e-9  # of the largest eigenvalue of the information, so that it has an inverse


@dataclass(frozen=True)
class Normalisations:
    r"""
    A step towards the best normalisations, and their errors.

    Attributes
    ----------
    step : ndarray (n,)
        What is to be added to the logarithms; 0 for the reference, which is the first.
    covariance : ndarray (n, n)
        Covariance of the logarithms; 0 for the reference.
    response : ndarray (n, r, P)
        Change of the maps by a change of each logarithm.
    """

    step: np.ndarray
    covariance: np.ndarray
    response: np.ndarray

    @property
    def error(self):
        """Standard deviations (n,) of the logarithms."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def furthest(self):
        """Largest step in units of its error."""
        error = self.error[1:]
        known = error > 0
        return float((np.abs(self.step[1:][known]) / error[known]).max(initial=0.0))


def first_factors(observations, cube):
    """
    Estimate normalisations from total counts, before there is a solution.

    Parameters
    ----------
    observations : list of InstrumentData
        Data.
    cube : ndarray (L, M * N)
        What is known of the source.

    Returns
    -------
    ndarray (n,)
        Factors of the responses, that of the first being 1.
    """
    found = []
    for one in observations:
        signal = one.data if one.background is None else one.data - one.background
        weight = one.used if one.variance is None else one.used / one.variance
        model = one.response.forward_flat(cube)
        # of Gaussian data the model weighs too, since sums of them may vanish
        lever = 1.0 if one.variance is None else model
        top, below = (float((weight * lever * a).sum()) for a in (signal, model))
        found.append(top / below if top > 0 and below > 0 else 1.0)
    return np.clip(np.array(found) / found[0], *_RANGE)


def normalisations(objective, maps):
    r"""
    Find how far the normalisations are from the best ones, and their errors.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature frozen at the solution for the present normalisations.
    maps : ndarray (r, M, N)
        That solution.

    Returns
    -------
    Normalisations
        Of the instruments of the objective, in their order.

    Notes
    -----
    Newton's method for the profile likelihood: with the source W at its best for every
    :math:`\theta_k = \ln n_k`, the gradient is that of the likelihood of instrument k alone,
    :math:`g_k = \sum s\,m` with the slope s and the signal m, and the curvature is the Schur
    complement :math:`S = D - C^T H^{-1} C` with :math:`D_{kk} = \sum h m^2 + s m`, the curvature
    h, and :math:`C_k = K_k^T (h m + s)`. It is the inverse covariance of the logarithms, what the
    source can do to make up for them included. The change of the source is
    :math:`-H^{-1} C \delta\theta`.
    """
    flat = maps.reshape(objective.rank, -1)
    number = len(objective.instruments)
    gradient, own = np.zeros(number), np.zeros(number)
    mixed, solved = [], []
    for k, instrument in enumerate(objective.instruments):
        signal = instrument.signal(flat)
        _, slope, curvature = instrument.likelihood.local(signal)
        change = curvature * signal + slope
        gradient[k] = (slope * signal).sum()
        own[k] = (change * signal).sum()
        mixed.append(instrument.back(change))
        if k:
            found = objective.solve(mixed[k], tolerance=_ACCURACY, max_iterations=_SOLVES)
            solved.append(found.solution)
    free = np.array([[float((one * other).sum()) for other in solved] for one in mixed[1:]])
    schur = np.diag(own[1:]) - 0.5 * (free + free.T)
    inverse = _inverse(schur)
    covariance = np.zeros((number, number))
    covariance[1:, 1:] = inverse
    step = np.zeros(number)
    step[1:] = np.clip(-inverse @ gradient[1:], -_LONGEST, _LONGEST)
    response = np.zeros((number, *flat.shape))
    response[1:] = -np.array(solved).reshape(number - 1, *flat.shape)
    return Normalisations(step, covariance, response)


def sky_offsets(objective, maps):
    r"""
    Measure by how much the observations are offset on the sky from where their responses say.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature frozen at the solution.
    maps : ndarray (r, M, N)
        That solution.

    Returns
    -------
    offsets : ndarray (n, 2)
        How far the source lies in each observation from where it is expected, along x and y,
        pixels of the source; relative to the first, which has 0.
    errors : ndarray (n, 2)
        1-sigma errors of these.

    Notes
    -----
    To first order: one step of Newton's method, as for `normalisations`, in the offsets and
    normalisations of all observations together. The derivative of what an observation sees is
    that of the source, :math:`-\partial Z / \partial x`, through its response. Offsets that are
    larger than the structure of the source or the PSF come out too small.
    """
    flat = maps.reshape(objective.rank, -1)
    down, right = (np.gradient(maps, axis=axis).reshape(flat.shape) for axis in (1, 2))
    number = len(objective.instruments)
    size = 3 * (number - 1)
    gradient, own, mixed = np.zeros(size), np.zeros((size, size)), []
    for k, instrument in enumerate(objective.instruments[1:]):
        signal = instrument.signal(flat)
        _, slope, curvature = instrument.likelihood.local(signal)
        changes = [signal, *(-instrument.signal(one) for one in (right, down))]
        for i, one in enumerate(changes):
            gradient[3 * k + i] = (slope * one).sum()
            mixed.append(instrument.back(curvature * one))
            for j, other in enumerate(changes):
                own[3 * k + i, 3 * k + j] = (curvature * one * other).sum()
    solved = [
        objective.solve(one, tolerance=_ACCURACY, max_iterations=_SOLVES).solution for one in mixed
    ]
    free = np.array([[float((one * other).sum()) for other in solved] for one in mixed])
    inverse = _inverse(own - 0.5 * (free + free.T))
    place = np.arange(size).reshape(number - 1, 3)[:, 1:]
    step, error = -inverse @ gradient, np.sqrt(np.diag(inverse))
    zero = np.zeros((1, 2))
    return np.vstack([zero, step[place]]), np.vstack([zero, error[place]])


def _inverse(matrix):
    """Inverse of a symmetric matrix whose small eigenvalues are raised."""
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    values, vectors = np.linalg.eigh(matrix / scale / scale[:, None])
    least = _LEAST * max(values.max(initial=0.0), 1e-300)
    return (vectors / np.maximum(values, least)) @ vectors.T / scale / scale[:, None]
