"""What every fusion starts from: scale, mean spectrum, brightness, subspace, a tuned low rank."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np

from jwst_fusion.hifred.solver.brightness import brightness
from jwst_fusion.hifred.solver.data import Observation, split
from jwst_fusion.hifred.solver.low_rank import LowRank
from jwst_fusion.hifred.solver.subspace import Subspace, find_subspace
from jwst_fusion.hifred.solver.tuning import search

__all__ = ["Pilot", "gauge", "held_out", "mean_spectrum"]

log = logging.getLogger(__name__)

_MOST_COMPONENTS = 60
_FIRST = {"low_rank_sobolev": 1e-3, "low_rank_wavelet": 0.1, "low_rank": 0.0}
_DRAFT_NATS = 3.0
_TRIED = 9


def gauge(x, y):
    """Mean response to a voxel of the source, half the sum over both instruments."""
    total = 0.0
    for one in (x, y):
        ones = np.ones(one.data.shape)
        total += float(one.response.adjoint_flat(ones).mean())
    return 0.5 * total


def mean_spectrum(one):
    r"""
    Mean spectrum of the source as one instrument sees it.

    Parameters
    ----------
    one : Observation
        Data.

    Returns
    -------
    ndarray (L,)
        One step of Richardson-Lucy from a flat source, averaged over the field; at least the
        value that half a count gives, and a thousandth of the mean.
    """
    ones = np.ones((one.response.shape[0], math.prod(one.response.shape[1:])))
    seen = one.response.forward_flat(ones)
    data = one.data if one.background is None else one.data - one.background
    ratio = np.divide(data, seen, out=np.zeros_like(data), where=one.used & (seen > 0))
    light = one.response.adjoint_flat(ratio).sum(axis=1)
    weight = one.response.adjoint_flat(one.used * 1.0).sum(axis=1)
    spectrum = np.divide(light, weight, out=np.zeros_like(light), where=weight > 0)
    faintest = np.divide(0.5, weight, out=np.zeros_like(light), where=weight > 0)
    return np.maximum(np.maximum(spectrum, faintest), 1e-3 * np.abs(spectrum).mean())


def held_out(observations, cube, *, nonnegative):
    """
    Half deviance of held-out data.

    Parameters
    ----------
    observations : list of Observation
        Held-out data.
    cube : ndarray (L, M * N)
        Source.
    nonnegative : bool
        Whether negative values are set to 0 first.

    Returns
    -------
    float
    """
    cube = np.maximum(cube, 0.0) if nonnegative else cube
    # the continued logarithm: a photon where none is expected must not decide alone
    return sum(one.likelihood.local(one.response.forward_flat(cube))[0] for one in observations)


def _components(subspace, rank):
    if rank != "auto":
        found = min(rank, subspace.directions.shape[1])
        return found, f"rank {found} as given" if found == rank else (
            f"rank {found}: all that the data allow of {rank}"
        )
    above = int(np.count_nonzero(subspace.singular > 1.0))
    found = min(math.ceil(1.3 * above) + 2, subspace.directions.shape[1])
    return found, f"rank {found}: {above} components above the edge of noise, and some below"


@dataclass
class Pilot:
    """
    Scaled data with what the solvers need to know about them.

    Attributes
    ----------
    observations : list of Observation
        Data of X and Y with scaled responses.
    subspace : Subspace
        Spectral subspace of the rank that is used.
    spectrum : ndarray (L,)
        Mean spectrum.
    image : ndarray (M, N)
        Brightness, of mean 1.
    options : Options
        Parameters.
    chosen : list of str
        How parameters were chosen.
    """

    observations: list[Observation]
    subspace: Subspace
    spectrum: np.ndarray
    image: np.ndarray
    options: object
    chosen: list

    @classmethod
    def of(cls, x, y, options):
        """
        Prepare a pair of scaled observations.

        Parameters
        ----------
        x, y : Observation
            Data of both instruments, with responses of mean 1.
        options : Options
            Parameters.

        Returns
        -------
        Pilot
        """
        spectrum = mean_spectrum(y)
        subspace = find_subspace(y.likelihood, y.response, spectrum, _MOST_COMPONENTS)
        rank, text = _components(subspace, options.rank)
        log.info("Subspace: %s", text)
        image = brightness(x.likelihood, x.response)
        return cls([x, y], subspace.truncated(rank), spectrum, image, options, [text])

    def problem(self, kind, *, observations=None, subspace=None, relative=True):
        """
        Low-rank problem of these data, or of others.

        Parameters
        ----------
        kind : str
            Regularisation.
        observations : list of Observation, optional
            Other data.
        subspace : Subspace, optional
            Another subspace.
        relative : bool
            Whether the penalty is relative to brightness and graded by component.

        Returns
        -------
        LowRank
        """
        observations = observations or self.observations
        return LowRank(
            [one.likelihood for one in observations],
            [one.response for one in observations],
            subspace or self.subspace,
            self.image if relative else None,
            kind,
            nonnegative=self.options.nonnegative,
        )

    def halves(self):
        """Return training and held-out data, and the subspace of the training data."""
        rng = np.random.default_rng([self.options.seed, 7])
        pairs = [split(one, self.options.thinning, rng) for one in self.observations]
        train, held = ([pair[k] for pair in pairs] for k in (0, 1))
        y = train[1]
        subspace = find_subspace(y.likelihood, y.response, self.spectrum, _MOST_COMPONENTS)
        return train, held, subspace.truncated(self.subspace.directions.shape[1])

    def tune(self, kind, train, held, subspace, *, relative=True):
        """
        Strength of a low-rank penalty by held-out data.

        Parameters
        ----------
        kind : str
            Regularisation.
        train, held : list of Observation
            Training and held-out data.
        subspace : Subspace
            Subspace of the training data.
        relative : bool
            See `problem`.

        Returns
        -------
        strength : float
        table : list of dict
            See `search`.
        text : str
            How it was chosen.
        maps : ndarray (r, M, N)
            Coefficients of the training data at the last strength that was tried.
        """
        problem = self.problem(kind, observations=train, subspace=subspace, relative=relative)
        state = {"maps": problem.start(self.spectrum, self.image), "first": True}

        def evaluate(strength):
            found, _ = problem.solve(
                strength,
                state["maps"],
                tolerance=_DRAFT_NATS,
                most=60,
                draft=not state["first"],
            )
            state.update(maps=found.maps, first=False)
            cube = problem.cube(found.maps)
            return held_out(held, cube, nonnegative=self.options.nonnegative)

        strength, table, bracketed = search(
            evaluate, _FIRST[kind], step=10**0.5, most=_TRIED, what="mu"
        )
        text = f"mu = {strength:.3g} by {len(table)} trials on {self.options.thinning:.0%} of the "
        text += "data, judged on the rest" + ("" if bracketed else " (at the end of the range)")
        return strength, table, text, state["maps"]
