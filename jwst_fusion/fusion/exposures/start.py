"""Spectra and weights of the prior to begin with, from a quick cube of the exposures."""

import logging

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposures.spectra import SplineSpectra
from jwst_fusion.fusion.solver.evidence import gradient_energy
from jwst_fusion.fusion.solver.subspace import estimate_subspace, separate_smoothness

__all__ = ["first_spectra"]

log = logging.getLogger(__name__)


def first_spectra(quick, axis, *, rank, max_rank):
    """
    Estimate the spectral subspace from the exposures themselves.

    Parameters
    ----------
    quick : QuickCube
        Quick cube of the exposures.
    axis : ChannelAxis
        Channels of the scene.
    rank, max_rank : str or int, int
        As in `~jwst_fusion.fusion.solver.subspace.estimate_subspace`.

    Returns
    -------
    spectra : SplineSpectra
        Mean spectrum, and basis spectra of unit mean square.
    mu : array (k,)
        First weights of the prior.

    Raises
    ------
    NotFusableError
        If the exposures leave too few spaxels or channels.

    Notes
    -----
    Spaxels around stars wiggle, as pixels are interpolated: that adds components, which the fit to
    the pixels itself then turns to what the scene has.
    """
    cube, error, factor = quick.cube, quick.error, quick.factor
    known = np.isfinite(error)
    sigma = np.full(len(error), np.nan)
    some = known.any(axis=(1, 2))
    sigma[some] = [np.median(one[here]) for one, here in zip(error[some], known[some], strict=True)]
    try:
        subspace = estimate_subspace(cube, sigma, rank=rank, max_rank=max_rank)
    except ValueError as problem:
        msg = f"the exposures do not cover the product's grid and wavelengths: {problem}"
        raise NotFusableError(msg) from problem
    subspace = separate_smoothness(subspace)
    valid = subspace.valid
    if not valid.all():
        log.info("%d of %d channels have no data", np.count_nonzero(~valid), len(valid))
    channel = np.arange(len(valid))
    both = np.concatenate([subspace.mean[:, None], subspace.basis], axis=1)
    both = np.stack([np.interp(channel, channel[valid], one[valid]) for one in both.T], axis=1)
    size = np.sqrt(np.mean(both[:, 1:] ** 2, axis=0))
    scores = subspace.scores * size[:, None, None]
    brightness = np.sqrt(np.nanmean(scores**2, axis=(1, 2)))
    spectra = SplineSpectra.through(axis, both[:, 0], both[:, 1:] / size, brightness)
    return spectra, 1 / gradient_energy(scores, factor)
