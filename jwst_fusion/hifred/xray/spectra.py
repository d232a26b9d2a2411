"""The spectral response of each telescope on the energies of the result, from OGIP files."""

import logging

import numpy as np
from scipy import sparse
from scipy.stats import norm

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.xray.energy_grid import interpolation_weights, overlap
from jwst_fusion.hifred.xray.ogip import read_arf, read_rmf
from jwst_fusion.messages import warn

__all__ = ["area_at", "area_y", "exposure_time", "span", "spectral_matrix_x"]

log = logging.getLogger(__name__)

_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in standard deviations
_NOTHING = 1e-9  # probability of a channel; smaller ones are left out
# Part of a channel's photons that must come from within the energies of the result.
_WITHIN = 0.9


def spectral_matrix_x(responses, channels, edges, options, name):
    """Return the matrix (channels of X, energies of Z), if it holds the area, channels to use."""
    everything = np.ones(channels.size - 1, bool)
    if responses.get("rmf_x") is None:
        if options.lsf_fwhm is None:
            msg = f"the spectral response of {name} is missing: give rmf_x (OGIP) or lsf_fwhm (eV)"
            raise ValueError(msg)
        middle = 0.5 * (edges[1:] + edges[:-1])
        sigma = max(1e-3 * options.lsf_fwhm / _FWHM, 1e-9)
        matrix = np.diff(norm.cdf((channels[:, None] - middle) / sigma), axis=0)
        return sparse.csr_array(np.where(matrix > _NOTHING, matrix, 0.0)), False, everything
    rmf = read_rmf(responses["rmf_x"])
    if rmf.channels is not None:
        share = overlap(rmf.channels, channels)
    elif rmf.matrix.shape[0] == channels.size - 1:
        share = sparse.eye_array(rmf.matrix.shape[0])
    else:
        msg = (
            f"the RMF {rmf.name} has {rmf.matrix.shape[0]} channels without energies (no EBOUNDS), "
            f"but {name} has {channels.size - 1}"
        )
        raise ValueError(msg)
    weights, covered = interpolation_weights(rmf.energies, edges)
    if not covered.all():
        msg = (
            f"the RMF {rmf.name} covers {span(rmf.energies)}, but {span(edges)} are needed: give "
            "the RMF of this observation, or set energy_min and energy_max"
        )
        raise ValueError(msg)
    rows = sparse.csr_array(share @ rmf.matrix)
    matrix = sparse.csr_array(rows @ weights)
    # Photons from beyond the band would be taken for photons of its outermost energies.
    widths = np.diff(rmf.energies)
    whole = rows @ widths
    held = overlap(rmf.energies, edges).sum(axis=0)
    part = rows @ (widths * np.asarray(held).ravel())
    inside = part > _WITHIN * whole
    if not inside.all() and inside.any():
        log.info(
            "%d of %d channels of %s are not used: photons from outside %s reach them",
            np.count_nonzero(~inside),
            inside.size,
            name,
            span(edges),
        )
    if not inside.any():
        msg = f"{name} has no channel whose photons all come from {span(edges)}"
        raise NotFusableError(msg)
    return matrix, rmf.contains_area, inside


def area_at(responses, letter, edges, contained, notes):
    """Return the effective area from an ARF, or None if the RMF holds it or no file is given."""
    path = responses.get(f"arf_{letter}")
    if contained:
        if path is not None:
            warn(log, "arf_%s is not used: the RMF already holds the area", letter)
        return None
    if path is None:
        notes.append(f"no arf_{letter}: its area is taken as 1 at all energies")
        return None
    return read_arf(path).at(edges)


def area_y(responses, edges, notes):
    """Return the area of Y; of its RMF the sum over channels counts: Z has its resolution."""
    area = None
    if responses.get("rmf_y") is not None:
        rmf = read_rmf(responses["rmf_y"])
        weights, _ = interpolation_weights(rmf.energies, edges)
        area = np.asarray(rmf.matrix.sum(axis=0)).ravel() @ weights
        if rmf.contains_area:
            area_at(responses, "y", edges, True, notes)
            return area
    arf = area_at(responses, "y", edges, False, notes)
    if area is None or arf is None:
        return arf if area is None else area
    return area * arf


def exposure_time(cube, given, arf, notes):
    """Return the exposure time: as given, of the cube, of the ARF, or 1 s."""
    for value in (given, cube.exposure, None if arf is None else read_arf(arf).exposure):
        if value is not None:
            return float(value)
    notes.append(f"{cube.name} does not say its exposure time: taken as 1 s")
    return 1.0


def span(edges):
    """Return a range of energies in words."""
    return f"{edges[0]:.4g} to {edges[-1]:.4g} keV"
