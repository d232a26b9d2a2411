"""Make the PSF of an instrument on a given grid: choice of source, cache, parallel nodes."""

import importlib.util
import logging
import math
import time

import numpy as np

from jwst_fusion.messages import warn_once
from jwst_fusion.numerics.cores import count_cores
from jwst_fusion.psf import webbpsf
from jwst_fusion.psf.cache import remember
from jwst_fusion.psf.checks import (
    SOURCES,
    check_broadening,
    check_filter,
    check_grid,
    check_jitter,
    check_nodes,
    check_opd,
    check_pixel_kernels,
    check_position,
)
from jwst_fusion.psf.cube import PsfCube
from jwst_fusion.psf.instruments import identify
from jwst_fusion.psf.native import Native
from jwst_fusion.psf.resample import native_field, resample_psf

__all__ = ["make_psf"]

log = logging.getLogger(__name__)


def make_psf(
    instrument,
    *,
    wavelength,
    pixel_scale,
    npix,
    angle=0.0,
    filter=None,
    detector=None,
    source="auto",
    pixel_kernels=(),
    broadening=None,
    jitter=None,
    position=None,
    opd=None,
    use_cache=True,
    maximum_cores="none",
):
    """
    Point spread function of an instrument at wavelength nodes.

    Parameters
    ----------
    instrument : str
        "NIRCAM", "NIRSPEC" (integral field unit), "MIRI" (imager) or "MIRI_MRS" (spectrometer).
    wavelength : array_like
        Nodes [um], for instance from `chebyshev_nodes`; sorted into ascending order.
    pixel_scale : float
        Output pixel [arcsec].
    npix : int
        Output pixels a side, odd.
    angle : float
        Position angle of the telescope's V3 axis (``ROLL_REF``, or ``PA_V3``) minus the position
        angle of the output grid's +y axis, both East of North [deg]. The grid has the parity of
        the sky, x to the right and y upwards: East is left if North is up. With 0, V3 is up and V2
        left; in general V3 points `angle` counterclockwise from +y. It is the same number for all
        instruments observing at the same roll; each aperture's own angle is dealt with here
        (see `aperture_angle`).
    filter : str, optional
        Filter of the imager. The source "webbpsf" uses it for the two filters of NIRCam with a
        focus of their own, F212N and F323N.
    detector : str, optional
        Detector, as in the header keyword DETECTOR; by default NRCB1, NRCB5, NRS1 or MIRIMAGE. Of
        the MIRI spectrometer also a band, such as "2A"; by default that of the wavelengths.
    source : {"auto", "webbpsf", "aperture"}
        "webbpsf" computes with STPSF and needs its data files (environment variable STPSF_PATH);
        "aperture" is a model of the 18-segment pupil with a wavefront error budget and needs none;
        "auto" takes the first if its data are found, else the second with a warning.
    pixel_kernels : sequence of tuple
        Rectangles (width_x, width_y, angle): widths [arcsec] along axes turned by an angle [deg]
        counterclockwise from the axes of the output grid. The PSF is convolved with each: detector
        pixel, slice, drizzle kernel.
    broadening : float, optional
        Sigma of a Gaussian that widens the PSF [arcsec]. By default what STPSF assumes for charge
        diffusion (NIRCam: 0.0062 below and 0.018 above 2.35 um) and nothing for the integral field
        units, where slice, pixel and resampling are among the `pixel_kernels`.
    jitter : float, optional
        Sigma of the telescope's line-of-sight jitter per axis [milliarcsec], added in quadrature;
        by default 0.8, as in STPSF.
    position : tuple of int, optional
        Column and row of the imager's detector at which the PSF is wanted, counted from 0; by
        default the middle. The source "aperture" is the same over the whole field.
    opd : path-like or str, optional
        Telescope wavefront for the source "webbpsf". By default the example map among STPSF's data
        files. A FITS file in the format of STPSF or, as measured, of the wavefront sensing
        (extension RESULT_PHASE; the sensing instrument's own share is removed as STPSF does it). A
        date such as "2023-05-01" takes the measured map nearest to it in the folder
        MAST_JWST_WSS_OPDs among STPSF's data files, where STPSF puts those that it downloads;
        nothing is downloaded here. "none" is a telescope without wavefront error.
    use_cache : bool
        Whether optical PSFs are kept on disk (see `jwst_fusion.psf.cache`).
    maximum_cores : int or str
        How many nodes are computed at once: a number, or "none" (one), "quarter", "half" or "all"
        of the cores.

    Returns
    -------
    PsfCube
        The point-sampled values at the pixel centres of the output grid, with unit sum per node.
        The core, as `jwst_fusion.psf.centre.core_centre` finds it, lies on the middle pixel: there
        the positions of stars are measured and coordinates refer to. The chief ray falls up to 2
        milliarcsec from it, the centroid of all light up to 5.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    FileNotFoundError
        If `source` is "webbpsf" and its data files are not found, or `opd` does not exist.
    """
    nodes = check_nodes(wavelength)
    npix, pixel_scale, angle = check_grid(npix, pixel_scale, angle)
    kernels = check_pixel_kernels(pixel_kernels)
    model, detector = identify(instrument, (nodes[0], nodes[-1]), detector)
    filter_name = check_filter(filter, model)
    cores = count_cores(maximum_cores)
    sigma = math.hypot(check_broadening(broadening, model.broadening), check_jitter(jitter))
    position = check_position(position, model)
    source = _choose_source(source, model.name)
    opd = check_opd(opd, source)

    # Whole half arcseconds, so that runs with slightly different grids share cache entries.
    side = 0.5 * math.ceil(2.0 * native_field(npix, pixel_scale, kernels, sigma))
    native = Native(source, model.name, detector, filter_name, position, opd, nodes, side)
    start = time.monotonic()
    if use_cache:
        arrays, found = remember(native.key(), lambda: native.compute(cores))
    else:
        arrays, found = native.compute(cores), False
    turn = angle + float(arrays["rotation"][0])
    data = [
        resample_psf(
            arrays[f"psf_{i}"].astype(float),
            float(arrays["scale"][i]),
            npix=npix,
            pixel_scale=pixel_scale,
            angle=turn,
            pixel_kernels=kernels,
            broadening=sigma,
            recentre=True,
        )
        for i in range(nodes.size)
    ]
    log.info(
        "PSF of %s (%s, %s): %d wavelengths from %.3f to %.3f um in %.1f s%s",
        model.name,
        detector,
        source,
        nodes.size,
        nodes[0],
        nodes[-1],
        time.monotonic() - start,
        ", optics from the cache" if found else "",
    )
    meta = {
        **native.key(),
        "angle": angle,
        "pixel_kernels": [list(kernel) for kernel in kernels],
        "broadening": sigma,
        "from_cache": found,
    }
    return PsfCube(np.array(data), nodes, pixel_scale, source, meta)


def _choose_source(source, channel):
    if source not in SOURCES:
        msg = f"source must be one of {', '.join(SOURCES)}; got {source!r}"
        raise ValueError(msg)
    if source == "aperture":
        return source
    try:
        webbpsf.find_data(channel)
        if importlib.util.find_spec("stpsf") is None:
            msg = "the package stpsf is not installed (pip install 'jwst_fusion[psf]')"
            raise ModuleNotFoundError(msg)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        if source == "webbpsf":
            raise
        warn_once(
            log,
            "PSFs come from the built-in aperture model with a typical wavefront error; STPSF "
            "would be more accurate. %s",
            error,
        )
        return "aperture"
    return "webbpsf"
