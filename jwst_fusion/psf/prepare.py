"""PSFs of whole instruments made in advance, as a fusion of resampled data will ask for them."""

import numpy as np

from jwst_fusion.bandpass import NIRCAM_FILTERS, load_bandpass, nominal_bandpass
from jwst_fusion.psf.checks import FEWEST_NODES, MOST_NODES
from jwst_fusion.psf.cube import chebyshev_nodes
from jwst_fusion.psf.instruments import (
    INSTRUMENTS,
    MRS_BANDS,
    NIRCAM_LIMIT,
    aperture_angle,
    identify,
    pixel_of,
)
from jwst_fusion.psf.make import make_psf
from jwst_fusion.psf.nodes import TOLERANCE, count_nodes

__all__ = ["channels_of", "prepare", "usual_pixel_kernels"]

# Spaxels of the cubes that the pipeline builds by default [arcsec].
_SPAXEL = {"NIRSPEC": 0.1, "1": 0.13, "2": 0.17, "3": 0.20, "4": 0.35}


def usual_pixel_kernels(channel, pixel_scale, angle=0.0, detector=None):
    """
    Rectangles of detector pixel, drizzle kernel and output pixel with the usual settings.

    Parameters
    ----------
    channel : str
        Instrument or channel, such as "NIRCAM_SW" or "MIRI_MRS".
    pixel_scale : float
        Pixel of the resampled image [arcsec]; spaxels of cubes are those of the pipeline.
    angle : float
        As for `jwst_fusion.psf.make_psf`.
    detector : str, optional
        Detector, or band of the MIRI spectrometer; by default the first one.

    Returns
    -------
    tuple
        Rectangles (width_x, width_y, angle) for `jwst_fusion.psf.make_psf`.
    """
    name = detector or next(iter(INSTRUMENTS[channel].aperture_angle))
    turned = angle + aperture_angle(_instrument(channel), name)
    native = (*pixel_of(channel, name), turned)
    out = _SPAXEL.get(name[0] if channel == "MIRI_MRS" else channel, pixel_scale)
    return native, native, (out, out, 0.0)


def _instrument(channel):
    return "NIRCAM" if channel.startswith("NIRCAM") else channel


def channels_of(instrument, filters=(), wavelength=None):
    """
    Divide a request into channels.

    Parameters
    ----------
    instrument : str
        "NIRCAM", "NIRSPEC", "MIRI" (imager) or "MIRI_MRS".
    filters : sequence of str
        Filters of NIRCam or MIRI.
    wavelength : tuple of float, optional
        Shortest and longest wavelength [um]; by default what the filters span.

    Returns
    -------
    list of tuple
        Channel, shortest and longest wavelength, and the filter if there is only one in it.

    Raises
    ------
    ValueError
        If a filter is unknown or there is neither filter nor wavelength.
    """
    key = str(instrument).upper()
    bands = [_band(name, key) for name in filters]
    if wavelength is None and not bands:
        msg = "the wavelengths are missing: give a range (--wavelength) or filters (--filter)"
        raise ValueError(msg)
    if key == "MIRI_MRS":
        return _mrs_channels(*(wavelength or _span(bands)))
    if key != "NIRCAM":
        low, high = wavelength or _span(bands)
        one = bands[0].name if key == "MIRI" and len(bands) == 1 else None
        return [("MIRI_IMAGER" if key == "MIRI" else key, low, high, one)]
    out = []
    for channel in ("NIRCAM_SW", "NIRCAM_LW"):
        short = channel == "NIRCAM_SW"
        own = [b for b in bands if (sum(NIRCAM_FILTERS[b.name]) / 2 < NIRCAM_LIMIT) == short]
        if bands and not own:
            continue
        low, high = wavelength or _span(own)
        if short:
            high = min(high, NIRCAM_LIMIT)
        else:
            low = max(low, NIRCAM_LIMIT)
        if low < high:
            out.append((channel, low, high, own[0].name if len(own) == 1 else None))
    if not out:
        msg = f"wavelength {wavelength} has nothing to do with the filters {', '.join(filters)}"
        raise ValueError(msg)
    return out


def _band(name, instrument):
    """Return the curve of a filter: MIRI's come from the data of STPSF."""
    if instrument.startswith("MIRI"):
        return load_bandpass(name, instrument="MIRI")
    return nominal_bandpass(name)


def _mrs_channels(low, high):
    """Divide a range among the four channels of the MIRI spectrometer, which overlap."""
    out = []
    for channel in "1234":
        ends = [ends for band, (_, *ends) in MRS_BANDS.items() if band[0] == channel]
        start, stop = max(low, ends[0][0]), min(high, ends[-1][1])
        if start < stop:
            out.append(("MIRI_MRS", start, stop, None))
    if not out:
        msg = f"wavelength {low:g} to {high:g} um is not among those of the MIRI spectrometer"
        raise ValueError(msg)
    return out


def _span(bands):
    return min(b.wavelength[0] for b in bands), max(b.wavelength[-1] for b in bands)


def prepare(
    instruments,
    *,
    filters=(),
    wavelength=None,
    pixel_scale=1 / 30,
    field=3.0,
    angle=0.0,
    nodes="auto",
    tolerance=None,
    detector=None,
    source="auto",
    broadening=None,
    jitter=None,
    position=None,
    opd=None,
    use_cache=True,
    maximum_cores="none",
):
    """
    Make the PSFs of instruments over a range and keep their optics in the cache.

    Parameters
    ----------
    instruments : sequence of str
        "NIRCAM", "NIRSPEC", "MIRI" (imager), "MIRI_MRS".
    filters : sequence of str
        Filters of NIRCam or MIRI.
    wavelength : tuple of float, optional
        Shortest and longest wavelength [um]; by default what the filters span.
    pixel_scale : float
        Output pixel [arcsec].
    field : float
        Side of the PSFs [arcsec].
    angle : float
        As for `jwst_fusion.psf.make_psf`.
    nodes : int or "auto"
        Number of wavelengths per channel, or as many as `count_nodes` finds necessary for the
        channel that needs most.
    tolerance : float, optional
        For `count_nodes`.
    detector : str, optional
        Detector of an imager; other instruments have what their wavelengths need.
    source : {"auto", "webbpsf", "aperture"}
        As for `jwst_fusion.psf.make_psf`.
    broadening : float, optional
        Sigma of a Gaussian that widens the PSF [arcsec]; by default the charge diffusion.
    jitter : float, optional
        Sigma of the telescope's jitter per axis [milliarcsec]; 0.8 by default.
    position : tuple of int, optional
        Column and row of an imager's detector; other instruments have none.
    opd : path-like or str, optional
        Telescope wavefront, as for `jwst_fusion.psf.make_psf`.
    use_cache : bool
        Whether optical PSFs are kept on disk.
    maximum_cores : int or str
        How many nodes are computed at once, as for `jwst_fusion.psf.make_psf`.

    Returns
    -------
    list of tuple
        Channel and `PsfCube`.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    if not (np.isfinite(field) and field > 0):
        msg = f"the field must be a positive number of arcsec, got {field}"
        raise ValueError(msg)
    if not (np.isfinite(pixel_scale) and pixel_scale > 0):
        msg = f"the pixel scale must be a positive number of arcsec, got {pixel_scale}"
        raise ValueError(msg)
    npix = int(field / pixel_scale) // 2 * 2 + 1
    parts = [part for name in instruments for part in channels_of(name, filters, wavelength)]
    count = _number(nodes)
    made = []
    pixel_kernels = [
        usual_pixel_kernels(
            channel, pixel_scale, angle, identify(_instrument(channel), (low, high))[1]
        )
        for channel, low, high, _ in parts
    ]
    if count is None:
        count = max(
            count_nodes(
                _instrument(channel),
                low,
                high,
                pixel_scale=pixel_scale,
                npix=npix,
                pixel_kernels=kernels,
                broadening=broadening,
                jitter=jitter,
                tolerance=TOLERANCE if tolerance is None else tolerance,
            )
            for (channel, low, high, _), kernels in zip(parts, pixel_kernels, strict=True)
        )
    for (channel, low, high, filter_name), kernels in zip(parts, pixel_kernels, strict=True):
        imager = INSTRUMENTS[channel].detector_shape is not None
        psf = make_psf(
            _instrument(channel),
            wavelength=chebyshev_nodes(low, high, count),
            angle=angle,
            filter=filter_name,
            pixel_scale=pixel_scale,
            npix=npix,
            pixel_kernels=kernels,
            detector=detector if imager else None,
            position=position if imager else None,
            source=source,
            broadening=broadening,
            jitter=jitter,
            opd=opd,
            use_cache=use_cache,
            maximum_cores=maximum_cores,
        )
        made.append((channel, psf))
    return made


def _number(nodes):
    if str(nodes).lower() == "auto":
        return None
    if not str(nodes).isdecimal() or not FEWEST_NODES <= int(nodes) <= MOST_NODES:
        msg = (
            f"the number of nodes must be 'auto' or a whole number from {FEWEST_NODES} to "
            f"{MOST_NODES}, got {nodes}"
        )
        raise ValueError(msg)
    return int(nodes)
