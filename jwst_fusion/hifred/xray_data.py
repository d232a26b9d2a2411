"""From two count cubes and the responses of their telescopes to the data of a fusion."""

import logging
from dataclasses import replace

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.data import HifredData, coarse_response, nodes_in_band
from jwst_fusion.hifred.pairing import check_different, field_window, pixel_matrix, roles
from jwst_fusion.hifred.psf_image import gaussian_psf, psf_reach, read_psf_image
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.xray.cameras import CCD_CAMERAS
from jwst_fusion.hifred.xray.ogip import read_rmf
from jwst_fusion.hifred.xray.spectra import area_at, area_y, exposure_time, span, spectral_matrix_x
from jwst_fusion.messages import warn

__all__ = [
    "SHARPER",
    "check_counts",
    "data_from_counts",
    "edges_of",
    "first_is_x",
    "psf_of",
    "sort_cubes",
    "vignetting_of",
    "without_missing",
]

log = logging.getLogger(__name__)

_ROUNDING = 1e-6  # of the highest energy; edges that agree within it are taken to be the same
#: Widths of the spectral responses of X and Y whose ratio is less than this are the same: there is
#: nothing to gain.
SHARPER = 1.5
# Counts of the neighbours of a pixel without any: by chance it has none with a probability of
# exp(-25), and no telescope's PSF leaves a hole of one pixel.
_NEIGHBOURS = 25.0


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
    x, y = (first, second) if first_is_x(first, second) else (second, first)
    return x, y, edges_of(x, responses.get("rmf_x"), "x"), edges_of(y, responses.get("rmf_y"), "y")


def first_is_x(first, second):
    """
    Tell which of two count cubes has the finer pixels and which the finer channels.

    Parameters
    ----------
    first, second : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cubes.

    Returns
    -------
    bool
        True if the first one is X.

    Raises
    ------
    ValueError
        If one cube is finer in both.
    """
    kinds = []
    for cube in (first, second):
        width = None if cube.energies is None else float(np.median(np.diff(cube.energies)))
        kinds.append((cube.name, cube.counts.shape, cube.pixel_scale, width))
    return roles(*kinds)


def data_from_counts(first, second, responses, options, *, near=()):
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
        ``psf_angle`` (degrees), ``psf_centre``, ``lsf_fwhm`` (eV), ``exposure_x`` and
        ``exposure_y`` (s).
    near : sequence of `~jwst_fusion.hifred.xray.counts.CountCube`, optional
        Further cubes like Y, near which X is used, too.

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
    check_different((first.name, second.name), first.counts, second.counts)
    x, y, edges_x, edges_y = sort_cubes(first, second, responses)
    channels_x, channels_y = _band(x, y, edges_x, edges_y, options.band)
    edges = edges_y[channels_y.start : channels_y.stop + 1]
    _check_resolutions(x, y, responses, edges)
    x, y = without_missing(x), without_missing(y)
    psf, nodes = psf_of(responses, x, edges, options)
    x = _near_coarse(x, (y, *near), psf, options.margin)
    given = edges_x[channels_x.start : channels_x.stop + 1]
    shape = (edges.size - 1, *x.counts.shape[1:])
    notes = []
    spectral, area, inside = spectral_matrix_x(responses, given, edges, options, x.name)
    arf_x = area_at(responses, "x", edges, area, notes)
    arf_y = area_y(responses, edges, notes, name=y.name)
    exposures = [
        exposure_time(
            cube, getattr(options, f"exposure_{letter}"), responses.get(f"arf_{letter}"), notes
        )
        for cube, letter in ((x, "x"), (y, "y"))
    ]
    vignetting, vignetting_nodes = vignetting_of(x, channels_x, given, edges)
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
    efficiency, efficiency_nodes = vignetting_of(y, channels_y, edges, edges)
    response_y = coarse_response(
        shape,
        pixels,
        y.counts.shape[1:],
        efficiency=efficiency,
        efficiency_nodes=efficiency_nodes,
        psf=psf,
        nodes=nodes,
        arf=arf_y,
        exposure=exposures[1],
        background=None if y.background is None else y.background[channels_y],
        mask=good_y,
    )
    counts_x, counts_y = x.counts[channels_x], y.counts[channels_y]
    for cube, counts, good in ((x, counts_x, good_x), (y, counts_y, good_y)):
        check_counts(cube, counts, good)
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


def check_counts(cube, counts, good):
    """
    Refuse a cube without counts.

    Parameters
    ----------
    cube : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube.
    counts : ndarray (l, m, n)
        The part of it that is used.
    good : ndarray of bool (l, m, n)
        Voxels that may be used.

    Raises
    ------
    NotFusableError
        If all of these are zero.
    """
    if not counts[good].any():
        msg = f"{cube.name} has no counts in the energies and pixels that can be used"
        raise NotFusableError(msg)


def _near_coarse(x, ys, psf, margin):
    """X without the pixels that are too far from all Y to matter."""
    rim = psf_reach(psf) if margin is None or x.wcs is None else margin / x.pixel_scale
    shape = x.counts.shape[1:]
    windows = [field_window(shape, one.counts.shape[1:], x.wcs, one.wcs, rim) for one in ys]
    window = tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*windows, strict=True)
    )
    y = ys[0]
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


def edges_of(cube, rmf, letter):
    """
    Find the energies of the channels of a cube.

    Parameters
    ----------
    cube : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube.
    rmf : str, path or None
        Its RMF, for a cube whose file has channel numbers only.
    letter : "x" or "y"
        Which of the cubes it is, for messages.

    Returns
    -------
    ndarray (l + 1,)
        Edges, keV.

    Raises
    ------
    ValueError
        If its energies cannot be told.
    """
    if cube.energies is not None:
        return cube.energies
    if rmf is None:
        msg = (
            f"{cube.name} numbers its channels: give rmf_{letter}, whose EBOUNDS has their energies"
        )
        raise ValueError(msg)
    rmf = read_rmf(rmf)
    axes = [str(cube.header.get(f"CTYPE{axis}", "")).strip().upper() for axis in (1, 2, 3)]
    xmm = str(cube.header.get("TELESCOP", rmf.telescope)).strip().upper() == "XMM"
    if xmm and "PI" in axes:
        axis = axes.index("PI") + 1
        msg = (
            f"{cube.name} has an axis PI, which XMM-Newton counts in eV, while the channels of the "
            f"RMF {rmf.name} are wider: set CUNIT{axis} to eV, or CTYPE{axis} to CHANNEL if they "
            "are those of the RMF"
        )
        raise ValueError(msg)
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


def vignetting_of(cube, channels, given, edges):
    """
    Return the vignetting on a cube's own pixels, with the places of its channels among those of Z.

    Parameters
    ----------
    cube : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube.
    channels : slice
        Channels that are used.
    given, edges : ndarray (l + 1,), (L + 1,)
        Edges of these, and of the energies of Z, keV.

    Returns
    -------
    vignetting : ndarray (m, n) or (l, m, n), or None
        One map, one for each channel, or none.
    nodes : ndarray (l,) or None
        Positions of the channels as indices of energies.
    """
    if cube.vignetting is None or cube.vignetting.ndim == 2:
        return cube.vignetting, None
    middle = 0.5 * (edges[1:] + edges[:-1])
    places = np.interp(0.5 * (given[1:] + given[:-1]), middle, np.arange(middle.size))
    return cube.vignetting[channels], places


def _check_resolutions(x, y, responses, edges):
    """Refuse a Y that resolves energies no better than X: the result would be no sharper."""
    middle = 0.5 * (edges[0] + edges[-1])
    widths = []
    for letter in "xy":
        path = responses.get(f"rmf_{letter}")
        widths.append(None if path is None else read_rmf(path).width_at(middle))
    if None not in widths:
        if widths[0] >= SHARPER * widths[1]:
            return
        said = f"their RMFs are {1e3 * widths[0]:.3g} and {1e3 * widths[1]:.3g} eV wide at "
        said += f"{middle:.3g} keV"
    else:
        cameras = [str(cube.header.get("INSTRUME", "")).strip().upper() for cube in (x, y)]
        if not all(camera in CCD_CAMERAS for camera in cameras):
            return
        said = f"both cameras ({cameras[0]} and {cameras[1]}) are CCDs"
    msg = (
        f"{x.name} and {y.name} have the same spectral resolution, {said}: nothing to fuse. Give "
        "one of them and a cube with finer channels, as of XRISM Resolve; add cubes of like cameras"
    )
    raise ValueError(msg)


def without_missing(cube):
    """
    Leave out pixels that have no counts where all around them have many.

    Parameters
    ----------
    cube : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube.

    Returns
    -------
    `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube in which they are not good, with a warning; itself if there are none.
    """
    image = np.where(cube.good, cube.counts, 0.0).sum(axis=0)
    used = cube.good.any(axis=0)
    if cube.vignetting is not None:
        used = used & (cube.vignetting.reshape(-1, *image.shape).max(axis=0) > 0)
    padded = np.pad(np.where(used, image, np.nan), 1, constant_values=np.nan)
    rows, columns = image.shape
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    around = np.sort([padded[i : i + rows, j : j + columns] for i, j in shifts], axis=0)
    # NaN come last; one neighbour may be missing as well where there are five or more
    present = np.isfinite(around).sum(axis=0)
    typical = np.where(present > 4, around[1], np.where(present > 2, around[0], 0.0))
    missing = used & (image == 0) & (typical >= _NEIGHBOURS)
    if not missing.any():
        return cube
    warn(
        log,
        "%s: pixels without a count whose neighbours have %d and more are taken to be missing and "
        "are not used: %s (x, y from 0)",
        cube.name,
        round(float(typical[missing].min())),
        ", ".join(f"({column}, {row})" for row, column in np.argwhere(missing)[:9]),
    )
    return replace(cube, good=cube.good & ~missing)


def psf_of(responses, x, edges, options, *, angle=0.0):
    """
    Find the PSF of a coarser telescope on the pixels of X.

    Parameters
    ----------
    responses : dict of str to path
        File by ``psf``, if there is one.
    x : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube with the finer pixels.
    edges : ndarray (L + 1,)
        Edges of the energies of the result, keV.
    options : object
        Attributes ``psf_fwhm`` (arcsec), for a Gaussian if there is no file, and ``psf_angle``
        (degrees).
    angle : float
        What the observation is turned counterclockwise by beyond that, degrees.

    Returns
    -------
    psf : ndarray (k, y, x)
        PSFs.
    nodes : ndarray (k,) or None
        Their positions as indices of energies.

    Raises
    ------
    ValueError
        If there is none, or the file does not fit.
    """
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
    stack, nodes = read_psf_image(
        responses["psf"], scale, angle=options.psf_angle + angle, centre=options.psf_centre
    )
    return nodes_in_band(stack, nodes, 0.5 * (edges[1:] + edges[:-1]))
