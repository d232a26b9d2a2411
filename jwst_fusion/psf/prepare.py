"""PSFs of whole instruments made in advance, as a fusion of resampled data will ask for them."""

import numpy as np

from jwst_fusion.bandpass import NIRCAM_FILTERS, nominal_bandpass
from jwst_fusion.psf.cube import chebyshev_nodes
from jwst_fusion.psf.instruments import INSTRUMENTS, aperture_angle
from jwst_fusion.psf.make import make_psf
from jwst_fusion.psf.nodes import TOLERANCE, count_nodes

__all__ = ["channels_of", "prepare", "usual_footprints"]

_CHANNEL_LIMIT = INSTRUMENTS["NIRCAM_SW"].wavelength[1]
_NATIVE = {"NIRCAM_SW": 0.0311, "NIRCAM_LW": 0.0630, "NIRSPEC": 0.1}


def usual_footprints(channel, pixel_scale, angle=0.0):
    """
    Boxes of detector pixel, drizzle kernel and output pixel with the usual settings.

    Parameters
    ----------
    channel : {"NIRCAM_SW", "NIRCAM_LW", "NIRSPEC"}
        Instrument or channel.
    pixel_scale : float
        Pixel of the resampled image [arcsec]; spaxels of NIRSpec are 0.1.
    angle : float
        As for `jwst_fusion.psf.make_psf`.

    Returns
    -------
    tuple
        Boxes (width_x, width_y, angle) for `jwst_fusion.psf.make_psf`.
    """
    native = _NATIVE[channel]
    detector = next(iter(INSTRUMENTS[channel].aperture_angle))
    turned = angle + aperture_angle(channel.split("_")[0], detector)
    out = native if channel == "NIRSPEC" else pixel_scale
    return ((native, native, turned), (native, native, turned), (out, out, 0.0))


def channels_of(instrument, filters=(), wavelength=None):
    """
    Divide a request into channels.

    Parameters
    ----------
    instrument : str
        "NIRCAM" or "NIRSPEC".
    filters : sequence of str
        NIRCam filters.
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
    bands = [nominal_bandpass(name) for name in filters]
    if wavelength is None and not bands:
        msg = "the wavelengths are missing: give a range (--wavelength) or filters (--filter)"
        raise ValueError(msg)
    if instrument.upper() == "NIRSPEC":
        low, high = wavelength or _span(bands)
        return [("NIRSPEC", low, high, None)]
    out = []
    for channel in ("NIRCAM_SW", "NIRCAM_LW"):
        short = channel == "NIRCAM_SW"
        own = [b for b in bands if (sum(NIRCAM_FILTERS[b.name]) / 2 < _CHANNEL_LIMIT) == short]
        if bands and not own:
            continue
        low, high = wavelength or _span(own)
        if short:
            high = min(high, _CHANNEL_LIMIT)
        else:
            low = max(low, _CHANNEL_LIMIT)
        if low < high:
            out.append((channel, low, high, own[0].name if len(own) == 1 else None))
    if not out:
        msg = f"wavelength {wavelength} has nothing to do with the filters {', '.join(filters)}"
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
    **options,
):
    """
    Make the PSFs of instruments over a range and keep their optics in the cache.

    Parameters
    ----------
    instruments : sequence of str
        "NIRCAM", "NIRSPEC".
    filters, wavelength
        As for `channels_of`.
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
    **options
        Further parameters of `jwst_fusion.psf.make_psf`. Those that only NIRCam has (detector,
        position) are given to NIRCam alone.

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
    grids = [
        {
            "pixel_scale": pixel_scale,
            "npix": npix,
            "footprints": usual_footprints(part[0], pixel_scale, angle),
        }
        for part in parts
    ]
    if count is None:
        accuracy = {
            "tolerance": TOLERANCE if tolerance is None else tolerance,
            "broadening": options.get("broadening"),
            "jitter": options.get("jitter"),
        }
        count = max(
            count_nodes(channel.split("_")[0], low, high, **grid, **accuracy)
            for (channel, low, high, _), grid in zip(parts, grids, strict=True)
        )
    for (channel, low, high, filter_name), grid in zip(parts, grids, strict=True):
        own = dict(options)
        if channel == "NIRSPEC":
            for name in ("detector", "position"):
                own.pop(name, None)
        psf = make_psf(
            channel.split("_")[0],
            wavelength=chebyshev_nodes(low, high, count),
            angle=angle,
            filter=filter_name,
            **grid,
            **own,
        )
        made.append((channel, psf))
    return made


def _number(nodes):
    if str(nodes).lower() == "auto":
        return None
    if not str(nodes).isdecimal() or not 2 <= int(nodes) <= 64:
        msg = f"the number of nodes must be 'auto' or a whole number from 2 to 64, got {nodes}"
        raise ValueError(msg)
    return int(nodes)
