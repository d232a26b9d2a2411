"""The spectral response of each telescope on the energies of the result, from OGIP files."""

import logging

import numpy as np
from scipy import sparse
from scipy.stats import norm

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.xray.energy_grid import interpolation_weights, overlap
from jwst_fusion.hifred.xray.ogip import read_arf, read_rmf
from jwst_fusion.messages import warn
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA

__all__ = ["area_at", "area_y", "exposure_time", "span", "spectral_matrix_x"]

log = logging.getLogger(__name__)

_NOTHING = 1e-9  # probability of a channel; smaller ones are left out
_CHANNEL = 1.0  # channels by which nominal energies may reach beyond those of the RMF
# Part of a channel's photons that must come from within the energies of the result.
_WITHIN = 0.9


def spectral_matrix_x(responses, channels, edges, options, name):
    """
    Make the spectral response of X on the energies of the result.

    Parameters
    ----------
    responses : dict of str to path
        File by ``rmf_x``, if there is one.
    channels : ndarray (l + 1,)
        Edges of the channels of X, keV.
    edges : ndarray (L + 1,)
        Edges of the energies of the result Z, keV.
    options : object
        Attribute ``lsf_fwhm`` (eV), the width of a Gaussian, which is used without a file.
    name : str
        Name of X, for messages.

    Returns
    -------
    matrix : scipy.sparse.csr_array (l, L)
        Probability of each channel, or area times probability [cm2].
    contains_area : bool
        Whether the matrix holds the effective area.
    inside : ndarray of bool (l,)
        Channels to use: nearly all of their photons have energies of the result.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    NotFusableError
        If there is no channel to use.
    ValueError
        If neither a file nor a width is given, or the file does not fit.
    """
    everything = np.ones(channels.size - 1, bool)
    if responses.get("rmf_x") is None:
        if options.lsf_fwhm is None:
            msg = f"the spectral response of {name} is missing: give rmf_x (OGIP) or lsf_fwhm (eV)"
            raise ValueError(msg)
        middle = 0.5 * (edges[1:] + edges[:-1])
        sigma = max(1e-3 * options.lsf_fwhm / FWHM_OF_SIGMA, 1e-9)
        matrix = np.diff(norm.cdf((channels[:, None] - middle) / sigma), axis=0)
        return sparse.csr_array(np.where(matrix > _NOTHING, matrix, 0.0)), False, everything
    rmf = read_rmf(responses["rmf_x"])
    if rmf.channels is not None:
        _check_channels(rmf, channels, name)
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


def _check_channels(rmf, channels, name):
    """Refuse channels that the RMF does not have: no photon would reach them."""
    close = _CHANNEL * max(np.diff(channels).max(), np.diff(rmf.channels).max())
    if channels[0] < rmf.channels[0] - close or channels[-1] > rmf.channels[-1] + close:
        msg = (
            f"the RMF {rmf.name} has channels from {span(rmf.channels)}, but {name} those of "
            f"{span(channels)}: give the RMF of this observation"
        )
        raise ValueError(msg)


def area_at(responses, letter, edges, contained, notes):
    """
    Read the effective area on the energies of the result.

    Parameters
    ----------
    responses : dict of str to path
        File by ``arf_x`` or ``arf_y``, if there is one.
    letter : "x" or "y"
        Which of them.
    edges : ndarray (L + 1,)
        Edges of the energies of the result Z, keV.
    contained : bool
        Whether the RMF of this telescope holds the area; a file is not used then, with a warning.
    notes : list of str
        Takes what was assumed.

    Returns
    -------
    ndarray (L,) or None
        Area, cm2; None if the RMF holds it, or no file is given.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file cannot be read, or has no area at any of these energies.
    """
    path = responses.get(f"arf_{letter}")
    if contained:
        if path is not None:
            warn(log, "arf_%s is not used: the RMF already holds the area", letter)
        return None
    if path is None:
        notes.append(f"no arf_{letter}: its area is taken as 1 at all energies")
        return None
    return read_arf(path).at(edges)


def area_y(responses, edges, notes, *, name="Y"):
    """
    Find the response of Y to each energy of the result, whose resolution is that of Y.

    Parameters
    ----------
    responses : dict of str to path
        Files by ``rmf_y`` and ``arf_y``, those that exist.
    edges : ndarray (L + 1,)
        Edges of the energies of the result Z, keV.
    notes : list of str
        Takes what was assumed.
    name : str
        Name of Y, for messages.

    Returns
    -------
    ndarray (L,) or None
        Area, cm2, times the part of the photons that the RMF puts into channels. Without an ARF
        that part alone, unless the RMF holds the area; without an RMF the area alone; None without
        either.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file cannot be read, or the ARF has no area at any of these energies.
    """
    area = None
    if responses.get("rmf_y") is not None:
        rmf = read_rmf(responses["rmf_y"])
        if rmf.channels is not None:
            _check_channels(rmf, edges, name)
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
    """
    Find the exposure time of a cube.

    Parameters
    ----------
    cube : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube.
    given : float or None
        What the user gives, s; it goes before what files say.
    arf : str, path or None
        ARF of the cube, which may say it if the cube does not.
    notes : list of str
        Takes what was assumed.

    Returns
    -------
    float
        Exposure time, s; 1 if it is not known, with a note.

    Raises
    ------
    FileNotFoundError
        If the ARF does not exist.
    ValueError
        If the ARF cannot be read.
    """
    for value in (given, cube.exposure, None if arf is None else read_arf(arf).exposure):
        if value is not None:
            return float(value)
    notes.append(f"{cube.name} does not say its exposure time: taken as 1 s")
    return 1.0


def span(edges):
    """
    Return a range of energies in words.

    Parameters
    ----------
    edges : ndarray (n + 1,)
        Edges of the energies, keV.

    Returns
    -------
    str
        The first and the last edge, with the unit.
    """
    return f"{edges[0]:.4g} to {edges[-1]:.4g} keV"
