"""Data prepared for the solvers: scale, mean spectrum, brightness, subspace, tuned low rank."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.hifred.response.spectral import negligible
from jwst_fusion.hifred.solver.brightness import brightness
from jwst_fusion.hifred.solver.instrument_data import InstrumentData, joined, split
from jwst_fusion.hifred.solver.low_rank import LowRank
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.hifred.solver.subspace import SpectralSubspace, across, find_subspace
from jwst_fusion.hifred.solver.subspace_error import blur_of

__all__ = [
    "MOST_COMPONENTS",
    "TRIAL_NATS",
    "TRIAL_STEPS",
    "PreparedData",
    "held_out_deviance",
    "mean_response",
    "mean_spectrum",
    "mean_spectrum_variance",
]

log = logging.getLogger(__name__)

#: Limit of every rank: the curvature of each pixel is a full matrix of that size.
MOST_COMPONENTS = 60
#: Trials of mu and kappa stop where a Newton step expects to gain less than these nats, which are
#: within the noise of held-out deviances, or after these steps.
TRIAL_NATS, TRIAL_STEPS = 3.0, 60
# Cubes that blur the source by less than this times what the sharpest does show its image.
_AS_SHARP = 2.0


def mean_response(observations):
    """
    Mean response to a voxel of the source, half of that of all instruments together.

    Parameters
    ----------
    observations : list of InstrumentData
        Data of the instruments.

    Returns
    -------
    float
        Data per unit of the source in one voxel: of a pair, the average of both. An exposure that
        is split into several changes nothing.
    """
    total = 0.0
    for one in observations:
        ones = np.ones(one.data.shape)
        total += float(one.response.adjoint_flat(ones).mean())
    return 0.5 * total


def mean_spectrum(one):
    r"""
    Mean spectrum of the source as one instrument sees it.

    Parameters
    ----------
    one : InstrumentData
        Data.

    Returns
    -------
    ndarray (L,)
        One step of Richardson-Lucy from a flat source, averaged over the field; at least the
        value that half a count gives, and a thousandth of the mean. At energies without response
        or data, from the nearest on both sides.
    """
    ones = np.ones((one.response.shape[0], math.prod(one.response.shape[1:])))
    seen = one.response.forward_flat(ones)
    data = one.data if one.background is None else one.data - one.background
    ratio = np.divide(data, seen, out=np.zeros_like(data), where=one.used & (seen > 0))
    light = one.response.adjoint_flat(ratio).sum(axis=1)
    weight = _shown(one)
    spectrum = np.divide(light, weight, out=np.zeros_like(light), where=weight > 0)
    faintest = np.divide(0.5, weight, out=np.zeros_like(light), where=weight > 0)
    spectrum = np.maximum(np.maximum(spectrum, faintest), 1e-3 * np.abs(spectrum).mean())
    return across(spectrum, ~negligible(weight))


def _shown(one):
    """Data of an instrument per unit of each energy of the source, summed over the field."""
    return one.response.adjoint_flat(one.used * 1.0).sum(axis=1)


def mean_spectrum_variance(one):
    """
    Variances of `mean_spectrum`, taken to be independent: energies hardly mix in Y.

    Parameters
    ----------
    one : InstrumentData
        Data.

    Returns
    -------
    ndarray (L,)
        Variances, in the unit of the mean spectrum squared.
    """
    ones = np.ones((one.response.shape[0], math.prod(one.response.shape[1:])))
    seen = one.response.forward_flat(ones)
    variance = one.data if one.variance is None else one.variance
    ratio = np.divide(variance, seen, out=np.zeros_like(seen), where=one.used & (seen > 0))
    light, weight = one.response.adjoint_flat(ratio).sum(axis=1), _shown(one)
    return np.divide(light, weight**2, out=np.zeros_like(light), where=weight > 0)


def held_out_deviance(observations, cube, *, nonnegative):
    """
    Half deviance of held-out data.

    Parameters
    ----------
    observations : list of InstrumentData
        Held-out data.
    cube : ndarray (L, M * N)
        Source.
    nonnegative : bool
        Whether negative values are set to 0 first.

    Returns
    -------
    float
        Sum over all data; half of chi square if they are Gaussian.
    """
    cube = np.maximum(cube, 0.0) if nonnegative else cube
    # the continued logarithm: a photon where none is expected must not decide alone
    return sum(one.likelihood.local(one.response.forward_flat(cube))[0] for one in observations)


def _components(subspace, rank):
    """Rank in use, how it was chosen, and a note if the largest rank limits it."""
    size = subspace.directions.shape[1]
    above = int(np.count_nonzero(subspace.singular > 1.0))
    wanted = math.ceil(1.3 * above) + 2 if rank == "auto" else rank
    found = min(wanted, size)
    limit = f", of {wanted} wanted, the largest that HIFReD takes"
    limit = limit if found == MOST_COMPONENTS < wanted else ""
    notes = ()
    if limit:
        asked = f"rank = {rank}" if rank != "auto" else f"{above} components or more that stand out"
        notes = (
            f"the rank is {MOST_COMPONENTS}, the largest that HIFReD takes, and {asked} would need "
            f"{wanted}: fuse fewer channels (energy_min, energy_max, wave_min, wave_max), or take "
            "regularisation = wavelet_2d1d, if the spectra differ that much",
        )
    if rank == "auto":
        text = f"rank {found}{limit}: {above} components above the edge of noise, and some below"
    elif limit:
        text = f"rank {found}{limit}"
    else:
        text = (
            f"rank {found} as given"
            if found == rank
            else (f"rank {found}: all that the data allow of {rank}")
        )
    return found, text, notes


@dataclass(frozen=True)
class PreparedData:
    """
    Scaled data with what the solvers need to know about them.

    Attributes
    ----------
    observations : list of InstrumentData
        Data of the cubes X, then of the cubes Y, with scaled responses.
    sharp : int
        Number of the cubes X.
    subspace : SpectralSubspace
        Subspace of the rank that is used.
    spectrum : ndarray (L,)
        Mean spectrum.
    image : ndarray (M, N)
        Brightness, of mean 1.
    settings : HifredSettings
        Settings of the solver.
    chosen : tuple of str
        How settings were chosen so far.
    weights : ndarray (r,) or None
        Relative weights of the penalty of the components; None for those of
        `~jwst_fusion.hifred.solver.low_rank.component_weights`.
    factors : ndarray (n,) or None
        Normalisations that the responses hold, relative to the first; None if they are as given.
    notes : tuple of str
        What the user should know of the subspace.
    """

    observations: list[InstrumentData]
    sharp: int
    subspace: SpectralSubspace
    spectrum: np.ndarray
    image: np.ndarray
    settings: HifredSettings
    chosen: tuple
    weights: np.ndarray | None = None
    factors: np.ndarray | None = None
    notes: tuple = ()

    @classmethod
    def of(cls, xs, ys, settings):
        """
        Prepare scaled observations.

        Parameters
        ----------
        xs, ys : list of InstrumentData
            Data of the sharper cubes, that with the finest pixels first, and of those with the
            finer channels, which all have the same ones; their responses have a mean of 1.
        settings : HifredSettings
            Settings of the solver.

        Returns
        -------
        PreparedData
            The data with subspace, mean spectrum and brightness.
        """
        y = joined(ys)
        spectrum = mean_spectrum(y)
        subspace = find_subspace(y.likelihood, y.response, spectrum, MOST_COMPONENTS)
        rank, text, notes = _components(subspace, settings.rank)
        log.info("Subspace: %s", text)
        sharpest = _AS_SHARP * blur_of(xs[0].response)
        sharp = [one for one in xs if blur_of(one.response) <= sharpest]
        image = brightness([one.likelihood for one in sharp], [one.response for one in sharp])
        kept = subspace.truncated(rank)
        return cls([*xs, *ys], len(xs), kept, spectrum, image, settings, (text,), notes=notes)

    def fine(self, observations):
        """
        Put the cubes with the finer channels side by side.

        Parameters
        ----------
        observations : list of InstrumentData
            Data of all cubes, or a part of them, in the order of these.

        Returns
        -------
        InstrumentData
            Those of the cubes Y.
        """
        return joined(observations[self.sharp :])

    def normalised(self, factors):
        """
        Return the same data with other normalisations.

        Parameters
        ----------
        factors : ndarray (n,)
            What the response of each observation is multiplied by.

        Returns
        -------
        PreparedData
            A new object; all but the responses is shared.
        """
        pairs = zip(self.observations, factors, strict=True)
        found = [one.scaled(float(f)) for one, f in pairs]
        before = 1.0 if self.factors is None else self.factors
        return replace(self, observations=found, factors=before * factors)

    def within(self, subspace, weights=None):
        """
        Return the same data with the subspace of an earlier fusion.

        Parameters
        ----------
        subspace : SpectralSubspace
            The subspace, whose maps are known.
        weights : ndarray (r,), optional
            Relative weights of the penalty of its components.

        Returns
        -------
        PreparedData
            A new object; all but the subspace is shared.
        """
        chosen = (f"rank {subspace.directions.shape[1]} of the start", *self.chosen[1:])
        return replace(self, subspace=subspace, chosen=chosen, weights=weights, notes=())

    def low_rank(self, kind, *, observations=None, subspace=None, weights=None, relative=True):
        """
        Low-rank fusion of these data, or of others, to be solved.

        Parameters
        ----------
        kind : str
            Regularisation.
        observations : list of InstrumentData, optional
            Other data.
        subspace : SpectralSubspace, optional
            Another subspace.
        weights : ndarray (r,), optional
            Relative weights of its components.
        relative : bool
            Whether the penalty is relative to brightness and graded by component.

        Returns
        -------
        LowRank
            The fusion, not yet solved.
        """
        observations = observations or self.observations
        return LowRank(
            [one.likelihood for one in observations],
            [one.response for one in observations],
            subspace or self.subspace,
            self.image if relative else None,
            kind,
            weights=self.weights if subspace is None else weights,
            nonnegative=self.settings.nonnegative,
        )

    def held_out_split(self):
        """Return training and held-out data, and the subspace of the training data."""
        rng = np.random.default_rng([self.settings.seed, 7])
        pairs = [split(one, self.settings.thinning, rng) for one in self.observations]
        train, held = ([pair[k] for pair in pairs] for k in (0, 1))
        y = self.fine(train)
        subspace = find_subspace(y.likelihood, y.response, self.spectrum, MOST_COMPONENTS)
        return train, held, subspace.truncated(self.subspace.directions.shape[1])
