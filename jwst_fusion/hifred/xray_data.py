"""From two count cubes and the responses of their telescopes to the data of a fusion."""

import logging

import numpy as np
from scipy import sparse

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.data import HifredData, coarse_response, nodes_in_band
from jwst_fusion.hifred.pairing import field_window, pixel_matrix, roles
from jwst_fusion.hifred.psf_image import gaussian_psf, psf_reach, read_psf_image
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.xray.ogip import read_rmf
from jwst_fusion.hifred.xray.spectra import area_at, area_y, exposure_time, span, spectral_matrix_x
from jwst_fusion.messages import warn

__all__ = ["data_from_counts", "sort_cubes"]

log = logging.getLogger(__name__)

_ROUNDING = 1e-6  # of the highest energy; edges that agree within it are taken to be the same
_SAME_VIGNETTING = 0.02  # change over the energies up to which a mean vignetting needs no warning


def sort_cubes(first, second, responses):
    """
    Sort two count cubes, and give energies to those whose file has channel numbers only.

    Parameters
    ----------
    first, second : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cubes.
    responses : dict
        Files by ``rmf_x`` and ``rmf_y``.

    Returns
    -------
    x, y : `~jwst_fusion.hifred.xray.counts.CountCube`
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


def data_from_counts(first, second, responses, options):
    """
    Set up the fusion of two count cubes.

    Parameters
    ----------
    first, second : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cubes, in any order.
    responses : dict of str to path
        Files by ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y`` and ``arf_y``.
    options : object
        Attributes ``band`` (keV, two numbers or None), ``margin`` and ``psf_fwhm`` (arcsec),
        ``psf_angle`` (degrees), ``lsf_fwhm`` (eV), ``exposure_x`` and ``exposure_y`` (s).

    Returns
    -------
    data : HifredData
        Both observations.
    x, y : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cubes, sorted; of X the part that is used.

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
    psf, nodes = _psf(responses, x, edges, options)
    x = _near_coarse(x, y, psf, options.margin)
    given = edges_x[channels_x.start : channels_x.stop + 1]
    shape = (edges.size - 1, *x.counts.shape[1:])
    notes = []
    spectral, area, inside = spectral_matrix_x(responses, given, edges, options, x.name)
    arf_x = area_at(responses, "x", edges, area, notes)
    arf_y = area_y(responses, edges, notes)
    exposures = [
        exposure_time(
            cube, getattr(options, f"exposure_{letter}"), responses.get(f"arf_{letter}"), notes
        )
        for cube, letter in ((x, "x"), (y, "y"))
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
    data = HifredData(
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
        edges=(given, edges),
        pixels=pixels,
        notes=notes,
    )
    return data, x, y


def _near_coarse(x, y, psf, margin):
    """X without the pixels that are too far from Y to matter."""
    rim = psf_reach(psf) if margin is None or x.wcs is None else margin / x.pixel_scale
    window = field_window(x.counts.shape[1:], y.counts.shape[1:], x.wcs, y.wcs, rim)
    if all(part.stop - part.start == n for part, n in zip(window, x.counts.shape[1:], strict=True)):
        return x
    log.info(
        "Of %s the columns %d to %d and rows %d to %d lie near %s and are used",
        x.name,
        window[1].start,
        window[1].stop - 1,
        window[0].start,
        window[0].stop - 1,
        y.name,
    )
    return x.cropped(window)


def _edges(cube, rmf, letter):
    if cube.energies is not None:
        return cube.energies
    if rmf is None:
        msg = (
            f"{cube.name} numbers its channels: give rmf_{letter}, whose EBOUNDS has their energies"
        )
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
    close = _ROUNDING * max(abs(high), 1.0)
    found = []
    for cube, edges in ((y, edges_y), (x, edges_x)):
        inside = np.flatnonzero((edges[:-1] >= low - close) & (edges[1:] <= high + close))
        if inside.size < 2:
            msg = (
                f"{x.name} ({span(edges_x)}) and {y.name} ({span(edges_y)}) have fewer than two "
                f"channels of {cube.name} in common within the band"
            )
            raise NotFusableError(msg)
        found.append(slice(int(inside[0]), int(inside[-1]) + 1))
        # The result has the channels of Y: those of X must not reach beyond.
        low, high = edges[inside[0]], edges[inside[-1] + 1]
    return found[1], found[0]


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
        if np.ptp(image, axis=0).max() > _SAME_VIGNETTING:
            warn(log, "%s: its vignetting varies with energy; the mean is used", cube.name)
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
