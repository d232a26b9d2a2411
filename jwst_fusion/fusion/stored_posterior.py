"""The posterior of a fused cube as arrays of a product, smaller than its cube, and back."""

from __future__ import annotations

import numpy as np

from jwst_fusion.fusion.solver.posterior import CubePosterior, SourcePosterior

__all__ = ["EXTENSIONS", "packed", "unpacked"]

#: Extension of a file that has each array.
EXTENSIONS = {
    "component_spectra": "FUSBASIS",
    "posterior_covariance": "FUSPOSTCOV",
    "posterior_share": "FUSPOSTSHARE",
    "posterior_psf": "FUSPOSTPSF",
    "posterior_psf_weights": "FUSPOSTNODES",
    "posterior_maps": "FUSPOSTMAPS",
    "posterior_noise": "FUSPOSTNOISE",
    "posterior_inverse": "FUSPOSTINVERSE",
    "posterior_numbers": "FUSPOSTNUMBERS",
    "posterior_spectra": "FUSPOSTSPECTRA",
    "posterior_common": "FUSPOSTCOMMON",
    "posterior_common_mean": "FUSPOSTCOMMEAN",
    "posterior_missed": "FUSPOSTMISSED",
    "posterior_structure": "FUSPOSTSTRUCTURE",
    "posterior_residual": "FUSPOSTRESIDUAL",
    "posterior_left_spectra": "FUSPOSTLEFTSPECTRA",
    "posterior_left_maps": "FUSPOSTLEFTMAPS",
    "posterior_positions": "FUSPOSTPOSITIONS",
    "posterior_amplitudes": "FUSPOSTAMPLITUDES",
    "posterior_deviation": "FUSPOSTDEVIATION",
    "posterior_shared": "FUSPOSTSHARED",
    "posterior_broad": "FUSPOSTBROAD",
    "posterior_response": "FUSPOSTRESPONSE",
}


def packed(posterior, *, mirrored):
    """
    Turn a posterior into arrays.

    Parameters
    ----------
    posterior : CubePosterior
        The posterior.
    mirrored : bool
        Whether the columns of the product are reversed against those of the posterior.

    Returns
    -------
    dict of str to ndarray
        By the names in `EXTENSIONS`, without the spectra of the components: covariances of
        components a <= b, node by node (node * k (k + 1) / 2, s, s); covariances of mean and
        components likewise (wavelength, (k + 1) (k + 2) / 2); common changes one by one, component
        by component (q * k, Y, X); numbers: samples, and 1 if the columns are reversed.
    """
    first, second = np.triu_indices(posterior.basis.shape[1])
    side = posterior.covariance.shape[-1]
    found = {
        "posterior_covariance": posterior.covariance[:, first, second].reshape(-1, side, side),
        "posterior_share": posterior.share,
        "posterior_psf": posterior.psf,
        "posterior_psf_weights": posterior.psf_weights.T,
        "posterior_maps": posterior.maps,
        "posterior_noise": posterior.noise,
        "posterior_residual": posterior.residual,
        "posterior_left_spectra": posterior.left_spectra,
        "posterior_left_maps": posterior.left_maps,
    }
    if posterior.spectra is not None:
        first, second = np.triu_indices(posterior.spectra.shape[1])
        found["posterior_spectra"] = posterior.spectra[:, first, second]
    if posterior.common is not None:
        found |= {
            "posterior_common": posterior.common.reshape(-1, *posterior.common.shape[2:]),
            "posterior_common_mean": posterior.common_mean,
        }
    if posterior.structure is not None:
        found |= {
            "posterior_missed": posterior.response.reshape(-1, side, side),
            "posterior_structure": posterior.structure,
        }
    more = posterior.sources
    if more is not None:
        found |= {
            "posterior_amplitudes": more.covariance,
            "posterior_deviation": more.deviation,
            "posterior_shared": more.shared,
            "posterior_broad": more.broad,
            "posterior_response": more.response.reshape(-1, *more.response.shape[2:]),
        }
    found = {key: np.asarray(one, np.float32) for key, one in found.items() if one is not None}
    if posterior.inverse is not None:
        found["posterior_inverse"] = np.asarray(posterior.inverse, float)
    found["posterior_numbers"] = np.array([posterior.samples, mirrored], float)
    if more is not None:
        found["posterior_positions"] = np.asarray(more.positions, float)
    return found


def unpacked(arrays):
    """
    Turn the arrays of a product back into a posterior.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As from `packed`, with the spectra of the components; None for what a product does not have.

    Returns
    -------
    posterior : CubePosterior
        The posterior.
    mirrored : bool
        Whether the columns of the product are reversed against those of the posterior.
    """
    basis = np.asarray(arrays["component_spectra"], float).T
    rank = basis.shape[1]
    first, second = np.triu_indices(rank)
    share = np.asarray(arrays["posterior_share"], float)
    flat = arrays["posterior_covariance"]
    side = flat.shape[-1]
    flat = flat.reshape(len(share), len(first), side, side)
    covariance = np.empty((len(share), rank, rank, side, side), np.float32)
    covariance[:, first, second] = flat
    covariance[:, second, first] = flat[..., ::-1, ::-1]
    numbers = arrays["posterior_numbers"]
    missed, structure = arrays["posterior_missed"], arrays["posterior_structure"]
    if missed is not None:
        missed = np.asarray(missed, np.float32).reshape(rank, rank, side, side)
        structure = np.asarray(structure, float)
    sources = None
    if arrays["posterior_positions"] is not None:
        response = np.asarray(arrays["posterior_response"], float)
        sources = SourcePosterior(
            positions=np.asarray(arrays["posterior_positions"], float),
            covariance=np.asarray(arrays["posterior_amplitudes"], float),
            deviation=_known(arrays["posterior_deviation"]),
            shared=_known(arrays["posterior_shared"]),
            broad=_known(arrays.get("posterior_broad")),  # not in products of earlier versions
            response=response.reshape(rank, rank, *response.shape[1:]),
        )
    spectra = None
    if arrays.get("posterior_spectra") is not None:  # only of exposures
        pairs = np.asarray(arrays["posterior_spectra"], float)
        spectra = np.empty((len(pairs), rank + 1, rank + 1))
        first, second = np.triu_indices(rank + 1)
        spectra[:, first, second] = spectra[:, second, first] = pairs
    common = arrays.get("posterior_common")
    if common is not None:
        common = np.asarray(common, np.float32).reshape(-1, rank, *common.shape[1:])
    posterior = CubePosterior(
        covariance=covariance,
        share=share,
        basis=np.nan_to_num(basis),
        psf_weights=np.asarray(arrays["posterior_psf_weights"], float).T,
        psf=np.asarray(arrays["posterior_psf"], float),
        maps=np.asarray(arrays["posterior_maps"], float),
        noise=_known(arrays["posterior_noise"]),
        inverse=_known(arrays["posterior_inverse"]),
        samples=float(numbers[0]),
        residual=arrays["posterior_residual"],
        sources=sources,
        response=missed,
        structure=structure,
        spectra=spectra,
        left_spectra=_known(arrays.get("posterior_left_spectra")),
        left_maps=_known(arrays.get("posterior_left_maps")),
        common=common,
        common_mean=_known(arrays.get("posterior_common_mean")),
    )
    return posterior, bool(numbers[1])


def _known(array):
    """Array in double precision; None as it is."""
    return None if array is None else np.asarray(array, float)
