"""Low-rank fusion: the source is a sum of few spectra, each times a map."""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import replace

import numpy as np

from jwst_fusion.hifred.solver.instrument_likelihood import InstrumentLikelihood
from jwst_fusion.hifred.solver.newton import Objective, minimise
from jwst_fusion.hifred.solver.penalties import NoPenalty, Sobolev, SparseStarlet

__all__ = ["LowRank", "component_weights"]

log = logging.getLogger(__name__)

# Weight of the barrier against negative values, in units of the whitened source: stage by stage,
# since a steep barrier from the start makes Newton steps short.
_BARRIERS = (1.0, 10.0, 100.0)
_WIDTHS = (1.0, 0.3, 0.1)  # of the rounded absolute value, in noise standard deviations
_DRAFT = 30.0  # tolerance of all but the last stage, in units of the last
_SCALES = 3  # starlet scales of the maps, at most; coarser structure is not penalised


def component_weights(singular):
    r"""
    Relative weight of the penalty of each component.

    Parameters
    ----------
    singular : ndarray (r,)
        Singular values in units of the edge of noise.

    Returns
    -------
    ndarray (r,)
        1 for the first; in proportion to one over the standard deviation of the component's
        signal, :math:`1 / \sqrt{s^2 - 1}`, for the others.
    """
    power = np.maximum(singular**2 - 1.0, 0.05)
    return np.sqrt(power[0] / power)


class LowRank:
    """
    Low-rank fusion of given data, to be solved for one weight of the penalty or another.

    Parameters
    ----------
    likelihoods : list of Poisson or Gaussian
        Data of the instruments.
    responses : list of Response
        Their responses.
    subspace : SpectralSubspace
        Spectra that span those of the source.
    image : ndarray (M, N) or None
        Brightness that the penalty is relative to; None for the published penalties, which are
        absolute and treat all components alike.
    kind : str
        "low_rank_sobolev", "low_rank_wavelet" or "low_rank".
    weights : ndarray (r,), optional
        Relative weight of the penalty of each component; by default `component_weights` of the
        subspace, for absolute penalties one.
    nonnegative : bool
        Whether negative values of the source are kept away.
    """

    def __init__(
        self, likelihoods, responses, subspace, image, kind, *, weights=None, nonnegative=True
    ):
        self.subspace, self.image, self.kind = subspace, image, kind
        if image is None:
            weights = np.ones(subspace.basis.shape[1])
        elif weights is None:
            weights = component_weights(subspace.singular)
        self.weights = weights
        self.nonnegative = nonnegative
        self.likelihoods, self.responses = likelihoods, responses
        pairs = zip(likelihoods, responses, strict=True)
        self.instruments = [InstrumentLikelihood(one, r, subspace.basis) for one, r in pairs]
        self.shape = (subspace.basis.shape[1], *responses[0].shape[1:])

    def weighted(self, weights):
        """
        Return the same fusion with other weights of the components.

        Parameters
        ----------
        weights : ndarray (r,)
            Relative weight of the penalty of each component.

        Returns
        -------
        LowRank
            A new object, which shares the data.
        """
        other = copy(self)
        other.weights = weights
        return other

    def start(self, spectrum, image):
        """
        Maps of a source with the same spectrum everywhere.

        Parameters
        ----------
        spectrum : ndarray (L,)
            The spectrum.
        image : ndarray (M, N)
            Brightness, of mean 1.

        Returns
        -------
        ndarray (r, M, N)
            Coefficients of the part of the spectrum that lies in the subspace.
        """
        white = np.divide(
            spectrum, self.subspace.scale, out=np.zeros_like(spectrum), where=spectrum > 0
        )
        return (self.subspace.directions.T @ white)[:, None, None] * image

    def cube(self, maps):
        """
        Source of maps.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        ndarray (L, M * N)
            Source, negative values included.
        """
        return self.subspace.basis @ maps.reshape(self.shape[0], -1)

    def penalty(self, mu, width=None):
        """
        Penalty of a weight.

        Parameters
        ----------
        mu : float
            The weight.
        width : float, optional
            Width in which the absolute value of starlet coefficients is rounded, in standard
            deviations of noise; needed for "low_rank_wavelet", not used for the others.

        Returns
        -------
        Sobolev, SparseStarlet or NoPenalty
            The penalty of the regularisation.
        """
        image = np.ones(self.shape[1:]) if self.image is None else self.image
        weights = self.weights
        if self.kind == "low_rank_sobolev":
            return Sobolev(mu * weights, image)
        if self.kind == "low_rank_wavelet":
            scales = int(np.clip(np.log2(min(self.shape[1:])) - 1, 1, _SCALES))
            return SparseStarlet(mu * np.sqrt(weights), image, scales, width)
        return NoPenalty()

    def solve(self, mu, maps, *, tolerance, max_iterations, draft=False):
        """
        Minimise at a weight of the penalty.

        Parameters
        ----------
        mu : float
            Weight of the penalty.
        maps : ndarray (r, M, N)
            Start.
        tolerance : float
            Newton decrement at which to stop, in nats.
        max_iterations : int
            Largest number of Newton steps.
        draft : bool
            Start at the last stage of the continuation, close to `maps`.

        Returns
        -------
        NewtonResult
            The solution, with the steps of all stages.
        Objective
            What was minimised, with its curvature frozen at the solution.
        """
        barriers = _BARRIERS if self.nonnegative else (0.0,) * len(_BARRIERS)
        widths = _WIDTHS
        if draft:
            barriers, widths = barriers[-1:], widths[-1:]
        elif self.kind != "low_rank_wavelet" and not self.nonnegative:
            barriers, widths = barriers[-1:], widths[-1:]
        history, steps = [], 0
        directions = self.subspace.directions if self.nonnegative else None
        for stage, (barrier, width) in enumerate(zip(barriers, widths, strict=True)):
            penalty = self.penalty(mu, width)
            objective = Objective(
                self.instruments, penalty, self.shape, directions, barrier=barrier
            )
            last = stage == len(barriers) - 1
            found = minimise(
                objective,
                maps,
                tolerance=tolerance if last else _DRAFT * tolerance,
                max_iterations=max_iterations - steps,
                history=history,
                what="Low rank",
            )
            maps, steps = found.maps, steps + found.iterations
        return replace(found, iterations=steps), objective
