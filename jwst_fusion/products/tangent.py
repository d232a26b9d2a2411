"""Tangent plane of an image whose coordinates are curved, best around a place on the sky."""

import logging

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from jwst_fusion.errors import NotFusableError
from jwst_fusion.messages import warn

__all__ = ["has_curved_coordinates", "tangent_wcs"]

log = logging.getLogger(__name__)

_SAMPLES = 9  # pixels along each side of the region that tell the plane
_STEP = 0.5  # pixels, over which the size of a pixel is measured
# Pixels from which on a departure from the plane is said: less is nothing beside a PSF.
_DEPARTURE = 0.2


def has_curved_coordinates(model):
    """
    Tell whether an image was not resampled, so that its keywords alone misplace it.

    Parameters
    ----------
    model : datamodel
        The image.

    Returns
    -------
    bool
        Whether its keywords are those of a distorted detector (``RA---TAN-SIP``), or there are
        none, and it has a WCS that says more.
    """
    if model.data.ndim != 2 or not model.meta.hasattr("wcs") or model.meta.wcs is None:
        return False
    info = model.meta.wcsinfo.instance
    types = [str(info.get(f"ctype{axis}", "")) for axis in (1, 2)]
    plain = all(kind[:4] in ("RA--", "DEC-") and not kind.endswith("-SIP") for kind in types)
    # Exposures carry the keywords of a tangent plane at their reference point.
    exposure = model.meta.cal_step.assign_wcs == "COMPLETE"
    return not plain or (exposure and model.meta.cal_step.resample != "COMPLETE")


def tangent_wcs(model, name, *, centre=None, radius=0.0):
    """
    Fit a tangent plane with straight axes to the WCS of an image.

    Parameters
    ----------
    model : datamodel
        The image, with a WCS in degrees.
    name : str
        Its name, for messages.
    centre : `~astropy.coordinates.SkyCoord`, optional
        Middle of the part that is of interest. By default the whole image is.
    radius : float, optional
        Its radius, degrees.

    Returns
    -------
    `~astropy.wcs.WCS`
        Two-dimensional WCS, a tangent plane in the middle of the part.

    Raises
    ------
    NotFusableError
        If the WCS cannot be inverted.
    """

    def sky_at(x, y):
        ra, dec = model.meta.wcs(x, y, with_bounding_box=False)[:2]
        return SkyCoord(np.asarray(ra) % 360, dec, unit=u.deg)

    ny, nx = model.data.shape
    middle = half = np.array([(nx - 1) / 2, (ny - 1) / 2])
    found = None if centre is None else _pixel(model.meta.wcs, centre, name)
    if found is not None:
        middle = found
        steps = _STEP * np.array([[-1, 1, 0, 0], [0, 0, -1, 1]])
        ends = sky_at(*(middle[:, None] + steps))
        size = min(ends[0].separation(ends[1]).deg, ends[2].separation(ends[3]).deg)
        half = np.full(2, max(radius / size, 2.0))
    at = np.linspace(-1, 1, _SAMPLES)
    dx, dy = (one.ravel() for one in np.meshgrid(*(at * max(one, 1) for one in half)))
    origin = sky_at(*middle)
    plane = WCS(naxis=2)
    plane.wcs.ctype, plane.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    plane.wcs.crval = [origin.ra.deg, origin.dec.deg]
    plane.wcs.set()
    seen = sky_at(middle[0] + dx, middle[1] + dy)
    # On the plane, degrees from its origin.
    there = np.stack(plane.wcs_world2pix(seen.ra.deg, seen.dec.deg, 0), axis=-1) + 1
    matrix = np.column_stack([np.ones_like(dx), dx, dy])
    fit, *_ = np.linalg.lstsq(matrix, there, rcond=None)
    cd = fit[1:].T
    left = (matrix @ fit - there) @ np.linalg.inv(cd).T
    departure = float(np.hypot(*left.T).max())
    # An image that does not show the part may lie a little beside where it is.
    if departure > _DEPARTURE and (centre is None or found is not None):
        text = "%s was not resampled: its coordinates, taken as straight, are wrong by %.1f pixels"
        warn(log, text, name, departure)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval = plane.wcs.crval
    wcs.wcs.crpix = middle + 1 - np.linalg.solve(cd, fit[0])
    wcs.wcs.cd = cd
    wcs.wcs.set()
    return wcs


def _pixel(wcs, sky, name):
    """Column and row of a sky position, None where the image does not have it."""
    try:
        found = np.array(wcs.invert(sky.ra.deg, sky.dec.deg, with_bounding_box=False), float)
    except NotImplementedError as error:
        msg = f"the WCS of {name} does not tell the pixel of a position: resample it (i2d)"
        raise NotFusableError(msg) from error
    if not np.isfinite(found).all():
        return None
    ra, dec = wcs(*found, with_bounding_box=False)[:2]
    # The polynomials of a distortion may lead anywhere far beyond the detector.
    near = SkyCoord(ra % 360, dec, unit=u.deg).separation(sky).arcsec < 1
    return found if near else None
