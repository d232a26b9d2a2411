"""The data of a fusion: checked, masked, scaled, and thinned."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from jwst_fusion.hifred.response.operators import expanded
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.response.spectral import NEGLIGIBLE, negligible
from jwst_fusion.hifred.solver.likelihood import Gaussian, Poisson
from jwst_fusion.messages import warn

__all__ = ["InstrumentData", "check_data", "joined", "split"]

log = logging.getLogger(__name__)

_LARGEST = 1e12  # larger data are fill values; their squares would spoil all sums


@dataclass(frozen=True)
class InstrumentData:
    """
    Data of one instrument, flattened to (l, m * n).

    Attributes
    ----------
    data : ndarray (l, q)
        Data, finite; 0 where they are not used.
    used : ndarray (l, q) of bool
        Data to use.
    response : Response
        Response.
    variance : ndarray (l, q) or None
        Variances of the data, for the Gaussian likelihood.
    background : ndarray (l, q) or None
        Expected data that do not come from the source.
    """

    data: np.ndarray
    used: np.ndarray
    response: Response
    variance: np.ndarray | None
    background: np.ndarray | None

    @property
    def likelihood(self):
        """Likelihood of the data."""
        if self.variance is None:
            return Poisson(self.data, self.background, self.used)
        return Gaussian(self.data, self.variance, self.background, self.used)

    def scaled(self, factor):
        """
        Return the observation with the response multiplied by a number.

        Parameters
        ----------
        factor : float
            The number.

        Returns
        -------
        InstrumentData
            A new observation; the data are shared.
        """
        return replace(self, response=self.response.scaled(factor))


def _flat(name, array, shape):
    try:
        array = np.asarray(array, float)
    except (TypeError, ValueError):
        msg = f"{name} must be an array of numbers of the shape {shape}, got {type(array)}"
        raise ValueError(msg) from None
    if array.shape != shape:
        msg = f"{name} has the shape {array.shape}: expected {shape}, that of its response"
        raise ValueError(msg)
    return array.reshape(shape[0], -1)


def check_data(name, data, response, likelihood, variance, notes):
    """
    Check the data of one instrument.

    Parameters
    ----------
    name : str
        Name of the data, for messages.
    data : array_like (l, m, n)
        Counts, or data with Gaussian noise; NaN and infinities are not used.
    response : Response
        Response.
    likelihood : str
        "poisson" or "gaussian".
    variance : array_like (l, m, n) or None
        Variances, for the Gaussian likelihood.
    notes : list of str
        Takes what the user should know.

    Returns
    -------
    InstrumentData
        The data, flattened, with what may be used of them.

    Raises
    ------
    TypeError
        If the response is not one.
    ValueError
        If the data cannot be used.
    """
    if not isinstance(response, Response):
        msg = f"response_{name} must be a Response, got {type(response).__name__}"
        raise TypeError(msg)
    shape = response.observed_shape
    data = _flat(name, data, shape)
    used = np.isfinite(data) & (np.abs(np.nan_to_num(data, nan=0.0)) < _LARGEST)
    if not used.all():
        notes.append(f"{np.count_nonzero(~used)} of {used.size} values of {name} are not usable")
        warn(log, "%s", notes[-1])
    if response.mask is not None:
        used &= response.mask.reshape(used.shape)
    used &= _responding(name, used, response, notes)
    if likelihood == "poisson":
        variance = _no_variance(name, variance)
        negative = np.count_nonzero(data[used] < 0)
        if negative:
            msg = (
                f"{name} holds {negative} negative values: counts are not negative; give the "
                "background to the response instead of subtracting it, or likelihood='gaussian'"
            )
            raise ValueError(msg)
    else:
        variance, used = _variance(name, variance, shape, used, notes)
    if not used.any():
        msg = f"{name} holds no usable value"
        raise ValueError(msg)
    data = np.where(used, data, 0.0)
    if not data.any():
        msg = f"{name} is zero throughout: there is nothing to fuse"
        raise ValueError(msg)
    background = response.background
    if background is not None:
        background = background.reshape(shape[0], -1)
    return InstrumentData(data, used, response, variance, background)


def _responding(name, used, response, notes):
    """Where data answer to a source; what hardly does is noted."""
    seen = response.forward_flat(np.ones((response.shape[0], math.prod(response.shape[1:]))))
    blind = negligible(seen)
    hardly = np.count_nonzero(used & blind & (seen > 0))
    if hardly:
        notes.append(
            f"{hardly} of {used.size} values of {name} have less than {NEGLIGIBLE:g} of the "
            "largest response and are not used: check area and vignetting there"
        )
        warn(log, "%s", notes[-1])
    return ~blind


def _no_variance(name, variance):
    if variance is not None:
        msg = f"variance_{name} is for likelihood='gaussian'; counts have their own"
        raise ValueError(msg)


def _variance(name, variance, shape, used, notes):
    if variance is None:
        msg = f"variance_{name} must be given for likelihood='gaussian'"
        raise ValueError(msg)
    variance = _flat(f"variance_{name}", variance, shape)
    good = np.isfinite(variance) & (variance > 0)
    if np.count_nonzero(used & ~good):
        notes.append(
            f"{np.count_nonzero(used & ~good)} values of {name} have no positive variance and are "
            "not used"
        )
        warn(log, "%s", notes[-1])
    return np.where(good, variance, 1.0), used & good


def joined(observations):
    """
    Put observations with the same channels side by side, as one with the pixels of all.

    Parameters
    ----------
    observations : list of InstrumentData
        Data (l, q) of one or more observations, of the same kind.

    Returns
    -------
    InstrumentData
        The only observation itself; else data (l, sum of q), in the order of the list, with a
        response whose terms are those of each.
    """
    if len(observations) == 1:
        return observations[0]
    sizes = [one.data.shape[1] for one in observations]
    ends = [int(end) for end in np.cumsum(sizes)]
    terms = []
    for one, end, size in zip(observations, ends, sizes, strict=True):
        place = sparse.eye_array(ends[-1], size, k=size - end, format="csr")
        for term in one.response.terms:
            spectral = expanded(term.spectral, len(one.data))
            spatial = sparse.csr_array(place @ expanded(term.spatial, size))
            terms.append((term.energies, spectral, spatial))
    shape = one.response.shape
    response = Response(shape, (1, ends[-1]), terms=terms)
    background = None
    if any(one.background is not None for one in observations):
        background = np.hstack(
            [
                np.zeros(one.data.shape) if one.background is None else one.background
                for one in observations
            ]
        )
    variance = None
    if one.variance is not None:
        variance = np.hstack([one.variance for one in observations])
    data = np.hstack([one.data for one in observations])
    used = np.hstack([one.used for one in observations])
    return InstrumentData(data, used, response, variance, background)


def split(one, part, rng):
    r"""
    Split data into two independent sets of the same source.

    Parameters
    ----------
    one : InstrumentData
        Data.
    part : float
        Part f of the exposure in the first set.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    train : InstrumentData
        Data of an exposure f, with response, background and variances to match.
    held : InstrumentData
        Those of an exposure 1 - f.

    Notes
    -----
    Counts: each photon goes to the first set with the probability f; both sets are Poisson
    distributed and independent. What is left of counts that are not whole is split by f. Gaussian
    data: :math:`f (d + \gamma s \epsilon)` and :math:`(1 - f) (d - s \epsilon / \gamma)` with the
    error s, a standard normal :math:`\epsilon` and :math:`\gamma^2 = (1 - f) / f` are independent
    too, and have the variances :math:`f s^2` and :math:`(1 - f) s^2` of such exposures.
    """
    if one.variance is None:
        whole = np.floor(one.data)
        first = rng.binomial(whole.astype(np.int64), part) + part * (one.data - whole)
        second = one.data - first
        variances = (None, None)
    else:
        noise = np.sqrt(one.variance) * rng.standard_normal(one.data.shape)
        ratio = np.sqrt((1.0 - part) / part)
        first = part * (one.data + ratio * noise)
        second = (1.0 - part) * (one.data - noise / ratio)
        variances = (part * one.variance, (1.0 - part) * one.variance)
    out = []
    shares = (part, 1.0 - part)
    for data, variance, share in zip((first, second), variances, shares, strict=True):
        background = None if one.background is None else share * one.background
        out.append(
            InstrumentData(
                np.where(one.used, data, 0.0),
                one.used,
                one.response.scaled(share),
                variance,
                background,
            )
        )
    return tuple(out)
