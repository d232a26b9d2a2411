"""From two count cubes and the responses of their telescopes to the problem that is solved."""

import logging

import numpy as np
from scipy import sparse
from scipy.stats import norm

from jwst_fusion.hifred.energy_grid import interpolation_weights, overlap
from jwst_fusion.hifred.ogip import read_arf, read_rmf
from jwst_fusion.hifred.pairing import pixel_matrix, roles
from jwst_fusion.hifred.problem import NotFusableError, Problem, coarse_response, nodes_in_band
from jwst_fusion.hifred.psf_image import gaussian_psf, read_psf_image
from jwst_fusion.hifred.response import Response

__all__ = ["sort_cubes", "xray_problem"]

log = logging.getLogger(f"stpipe.{__name__}")

_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
# Part of a channel's response that must lie within the energies of the result.
_WITHIN = 0.9


def sort_cubes(first, second, responses):
    """
    Sort two count cubes, and give energies to those whose file has channel numbers only.

    Parameters
    ----------
    first, second : `~jwst_fusion.hifred.counts.CountCube`
        The cubes.
    responses : dict
        Files by ``rmf_x`` and ``rmf_y``.

    Returns
    -------
    x, y : `~jwst_fusion.hifred.counts.CountCube`
        X has the finer pixels, Y the finer channels.
    edges_x, edges_y : ndarray
        Edges of their channels, keV.

    Raises
    ------
    ValueError
        If one cube is finer in both, or its energies cannot be told.
    """
    kinds = []
    for cube in (first, second):
        width = None if cube.energies is None else float(np.median(np.diff(cube.energies)))
        kinds.append((cube.name, cube.counts.shape, cube.pixel_scale, width))
    x, y = (first, second) if roles(*kinds) else (second, first)
    return x, y, _edges(x, responses.get("rmf_x"), "x"), _edges(y, responses.get("rmf_y"), "y")


def xray_problem(first, second, responses, options):
    """
    Set up the fusion of two count cubes.

    Parameters
    ----------
    first, second : `~jwst_fusion.hifred.counts.CountCube`
        The cubes, in any order.
    responses : dict of str to path
        Files by ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y`` and ``arf_y``.
    options : object
        Attributes ``band`` (keV, two numbers or None), ``psf_fwhm`` (arcsec), ``psf_angle``
        (degrees), ``lsf_fwhm`` (eV), ``exposure_x`` and ``exposure_y`` (s).

    Returns
    -------
    problem : Problem
        The problem.
    x, y : `~jwst_fusion.hifred.counts.CountCube`
        The cubes, sorted.

    Raises
    ------
    NotFusableError
        If a cube has no counts, or their energies or fields do not overlap.
    ValueError
        If something is missing, or a file does not fit.
    """
    x, y, edges_x, edges_y = sort_cubes(first, second, responses)
    channels_x, channels_y = _band(x, y, edges_x, edges_y, options.band)
    edges = edges_y[channels_y.start : channels_y.stop + 1]
    given = edges_x[channels_x.start : channels_x.stop + 1]
    shape = (edges.size - 1, *x.counts.shape[1:])
    notes = []
    spectral, area, inside = _spectral_x(responses, given, edges, options, x.name)
    arf_x = _area(responses, "x", edges, area, notes)
    arf_y = _area_y(responses, edges, notes)
    exposures = [
        _exposure(cube, getattr(options, f"exposure_{side}"), responses.get(f"arf_{side}"), notes)
        for cube, side in ((x, "x"), (y, "y"))
    ]
    vignetting, vignetting_nodes = _vignetting(x, channels_x, given, edges)
    good_x = x.good[channels_x] & inside[:, None, None]
    response_x = Response.build(
        shape,
        spectral=spectral,
        arf=arf_x,
        exposure=exposures[0],
        vignetting=vignetting,
        vignetting_nodes=vignetting_nodes,
        background=None if x.background is None else x.background[channels_x],
        mask=good_x,
    )
    pixels, _, covered = pixel_matrix(
        shape[1:], y.counts.shape[1:], x.wcs, y.wcs, names=(x.name, y.name)
    )
    if not covered.all():
        log.info("%d of %d pixels of %s lie on %s", covered.sum(), covered.size, y.name, x.name)
    good_y = y.good[channels_y] & covered
    psf, nodes = _psf(responses, x, edges, options)
    response_y = coarse_response(
        shape,
        _vignetted(pixels, y, channels_y),
        y.counts.shape[1:],
        psf=psf,
        nodes=nodes,
        arf=arf_y,
        exposure=exposures[1],
        background=None if y.background is None else y.background[channels_y],
        mask=good_y,
    )
    counts_x, counts_y = x.counts[channels_x], y.counts[channels_y]
    for cube, counts, good in ((x, counts_x, good_x), (y, counts_y, good_y)):
        if not counts[good].any():
            msg = f"{cube.name} has no counts in the energies and pixels that can be used"
            raise NotFusableError(msg)
    physical = arf_x is not None or arf_y is not None
    unit = "photon cm-2 s-1" if physical or area else "photon s-1"
    if exposures == [1.0, 1.0]:
        unit = unit.removesuffix(" s-1")
    problem = Problem(
        x=counts_x,
        y=counts_y,
        response_x=response_x,
        response_y=response_y,
        sigma_x=None,
        sigma_y=None,
        coordinate=edges,
        unit=unit,
        channels=(channels_x, channels_y),
        names=(x.name, y.name),
        notes=notes,
    )
    return problem, x, y


def _edges(cube, rmf, side):
    if cube.energies is not None:
        return cube.energies
    if rmf is None:
        msg = f"{cube.name} numbers its channels: give rmf_{side}, whose EBOUNDS has their energies"
        raise ValueError(msg)
    rmf = read_rmf(rmf)
    if rmf.channels is None:
        msg = f"{cube.name} numbers its channels, but the RMF {rmf.name} has no EBOUNDS"
        raise ValueError(msg)
    start = cube.first_channel - rmf.first_channel
    stop = start + len(cube.counts)
    if start < 0 or stop >= rmf.channels.size:
        msg = (
            f"{cube.name} has the channels {cube.first_channel} to "
            f"{cube.first_channel + len(cube.counts) - 1}, the RMF {rmf.name} those from "
            f"{rmf.first_channel} to {rmf.first_channel + rmf.channels.size - 2}"
        )
        raise ValueError(msg)
    return rmf.channels[start : stop + 1]


def _band(x, y, edges_x, edges_y, band):
    """Channels of both cubes within the energies that both have and that are asked for."""
    low, high = max(edges_x[0], edges_y[0]), min(edges_x[-1], edges_y[-1])
    if band is not None:
        low, high = max(low, band[0]), min(high, band[1])
    close = 1e-6 * max(abs(high), 1.0)
    found = []
    for cube, edges in ((y, edges_y), (x, edges_x)):
        inside = np.flatnonzero((edges[:-1] >= low - close) & (edges[1:] <= high + close))
        if inside.size < 2:
            msg = (
                f"{x.name} ({_span(edges_x)}) and {y.name} ({_span(edges_y)}) have fewer than two "
                f"channels of {cube.name} in common within the band"
            )
            raise NotFusableError(msg)
        found.append(slice(int(inside[0]), int(inside[-1]) + 1))
        # The result has the channels of Y: those of X must not reach beyond.
        low, high = edges[inside[0]], edges[inside[-1] + 1]
    return found[1], found[0]


def _span(edges):
    return f"{edges[0]:.4g} to {edges[-1]:.4g} keV"


def _spectral_x(responses, channels, edges, options, name):
    """Matrix (channels of X, energies of Z), whether it holds the area, channels to use."""
    everything = np.ones(channels.size - 1, bool)
    if responses.get("rmf_x") is None:
        if options.lsf_fwhm is None:
            msg = f"the spectral response of {name} is missing: give rmf_x (OGIP) or lsf_fwhm (eV)"
            raise ValueError(msg)
        middle = 0.5 * (edges[1:] + edges[:-1])
        sigma = max(1e-3 * options.lsf_fwhm / _FWHM, 1e-9)
        matrix = np.diff(norm.cdf((channels[:, None] - middle) / sigma), axis=0)
        return sparse.csr_array(np.where(matrix > 1e-9, matrix, 0.0)), False, everything
    rmf = read_rmf(responses["rmf_x"])
    if rmf.channels is not None:
        share = overlap(rmf.channels, channels)
    elif rmf.matrix.shape[0] == channels.size - 1:
        share = sparse.identity(rmf.matrix.shape[0])
    else:
        msg = (
            f"the RMF {rmf.name} has {rmf.matrix.shape[0]} channels without energies (no EBOUNDS), "
            f"but {name} has {channels.size - 1}"
        )
        raise ValueError(msg)
    weights, covered = interpolation_weights(rmf.energies, edges)
    if not covered.all():
        msg = (
            f"the RMF {rmf.name} covers {_span(rmf.energies)}, but {_span(edges)} are needed: give "
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
            _span(edges),
        )
    if not inside.any():
        msg = f"{name} has no channel whose photons all come from {_span(edges)}"
        raise NotFusableError(msg)
    return matrix, rmf.contains_area, inside


def _area(responses, side, edges, contained, notes):
    path = responses.get(f"arf_{side}")
    if contained:
        if path is not None:
            log.warning("arf_%s is not used: the RMF already holds the area", side)
        return None
    if path is None:
        notes.append(f"no arf_{side}: its area is taken as 1 at all energies")
        return None
    return read_arf(path).at(edges)


def _area_y(responses, edges, notes):
    """Area of Y; of its RMF only the sum over channels counts, for Z has its resolution."""
    area = None
    if responses.get("rmf_y") is not None:
        rmf = read_rmf(responses["rmf_y"])
        weights, _ = interpolation_weights(rmf.energies, edges)
        area = np.asarray(rmf.matrix.sum(axis=0)).ravel() @ weights
        if rmf.contains_area:
            _area(responses, "y", edges, True, notes)
            return area
    arf = _area(responses, "y", edges, False, notes)
    if area is None or arf is None:
        return arf if area is None else area
    return area * arf


def _exposure(cube, given, arf, notes):
    for value in (given, cube.exposure, None if arf is None else read_arf(arf).exposure):
        if value is not None:
            return float(value)
    notes.append(f"{cube.name} does not say its exposure time: taken as 1 s")
    return 1.0


def _vignetting(cube, channels, given, edges):
    """Vignetting of X with the places of its channels among the energies of Z."""
    if cube.vignetting is None or cube.vignetting.ndim == 2:
        return cube.vignetting, None
    middle = 0.5 * (edges[1:] + edges[:-1])
    places = np.interp(0.5 * (given[1:] + given[:-1]), middle, np.arange(middle.size))
    return cube.vignetting[channels], places


def _vignetted(pixels, cube, channels):
    """Vignetting of the coarse telescope is given on its own pixels."""
    if cube.vignetting is None:
        return pixels
    image = cube.vignetting
    if image.ndim == 3:
        image = image[channels]
        if np.ptp(image, axis=0).max() > 0.02:
            log.warning("%s: its vignetting varies with energy; the mean is used", cube.name)
        image = image.mean(axis=0)
    return sparse.diags_array(image.ravel()) @ pixels


def _psf(responses, x, edges, options):
    scale = x.pixel_scale
    if responses.get("psf") is None:
        if options.psf_fwhm is None:
            msg = (
                "the PSF of the telescope with the coarser pixels is missing: give psf or psf_fwhm"
            )
            raise ValueError(msg)
        if scale is None:
            msg = f"psf_fwhm is in arcsec, but {x.name} has no sky coordinates: give psf instead"
            raise ValueError(msg)
        return gaussian_psf(options.psf_fwhm / scale)[None], None
    stack, nodes = read_psf_image(responses["psf"], scale, angle=options.psf_angle)
    return nodes_in_band(stack, nodes, 0.5 * (edges[1:] + edges[:-1]))
