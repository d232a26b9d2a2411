"""Calibrated IFU exposures of a scene: metadata, geometry, painted light, noise, defects."""

import logging

import numpy as np
from astropy.modeling.models import Identity
from jwst.assign_wcs import pointing
from jwst.assign_wcs.util import update_s_region_keyword, wrap_ra
from stdatamodels.jwst import datamodels

from jwst_fusion.simulation.builtin_geometry import attach_builtin_geometry
from jwst_fusion.simulation.metadata import set_disperser, set_metadata
from jwst_fusion.simulation.noise import Noise, expose

__all__ = [
    "Noise",
    "builtin_exposure",
    "new_nirspec_exposure",
    "noiseless",
    "paint",
    "pixel_pitch",
    "repoint",
]

log = logging.getLogger(__name__)

# Reference point of the aperture NRS_FULL_IFU (V2, V3 in arcsec) and its angle (degree), SIAF
NIRSPEC_V2V3 = (300.2961, -497.9)
NIRSPEC_ANGLE = 138.5
# arcsec^2: 0.1 arcsec slices, 0.1 arcsec pixels
NIRSPEC_PIXEL_AREA = 0.01


def new_nirspec_exposure(
    *, ra, dec, roll, detector="NRS1", grating="G235H", filter_name="F170LP", exposure=1
):
    """
    Empty NIRSpec IFU exposure with the metadata that the pipeline asks for, without a WCS.

    Parameters
    ----------
    ra, dec : float
        Pointing of the centre of the IFU, degree.
    roll : float
        Position angle of V3 there, degree east of north.
    detector : {"NRS1", "NRS2"}
        The detector.
    grating, filter_name : str
        For example "G235H" and "F170LP".
    exposure : int
        Number of the exposure, from 1.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
        Exposure of shape (2048, 2048) without light.
    """
    model = datamodels.IFUImageModel((2048, 2048))
    model.meta.filename = f"jw09999001001_02101_{exposure:05d}_{detector.lower()}_cal.fits"
    set_metadata(
        model,
        ra=ra,
        dec=dec,
        roll=roll,
        exposure=exposure,
        aperture="NRS_FULL_IFU",
        v2v3=NIRSPEC_V2V3,
        angle=NIRSPEC_ANGLE,
        pixel_area=NIRSPEC_PIXEL_AREA,
    )
    set_disperser(model, detector=detector, grating=grating, filter_name=filter_name)
    model.meta.exposure.type = "NRS_IFU"
    return model


def repoint(model, ra, dec, roll):
    """
    Point an exposure elsewhere: the last transform of its WCS is made anew, and S_REGION.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.IFUImageModel
        Exposure with a WCS; changed in place.
    ra, dec, roll : float
        New pointing and position angle of V3, degree.
    """
    info = model.meta.wcsinfo
    info.ra_ref, info.dec_ref, info.roll_ref = ra, dec, roll
    model.meta.aperture.position_angle = (roll + info.v3yangle) % 360
    model.meta.pointing.pa_v3 = roll
    model.meta.pointing.ra_v1, model.meta.pointing.dec_v1 = ra, dec
    wcs = model.meta.wcs
    frames = wcs.available_frames
    old = wcs.get_transform(frames[-2], frames[-1])
    new = pointing.v23tosky(model)
    for _ in range(old.n_inputs - new.n_inputs):
        new = new & Identity(1)
    new.name = old.name
    new.inputs, new.outputs = old.inputs, old.outputs
    wcs.set_transform(frames[-2], frames[-1], new)
    _update_footprint(model)


def _update_footprint(model):
    """
    Set S_REGION to the box around all pixels, as assign_wcs does.

    cube_build takes the extent of a cube from it, and writes beyond its memory if a pixel falls
    outside.
    """
    y, x = _sky_pixels(model)
    some = (x % 16 == 0) if model.meta.instrument.name == "NIRSPEC" else (y % 16 == 0)
    ra, dec, _ = model.meta.wcs(x[some].astype(float), y[some].astype(float))
    ra, dec = wrap_ra(ra[np.isfinite(ra)]), dec[np.isfinite(dec)]
    west, east, south, north = np.min(ra) % 360, np.max(ra) % 360, np.min(dec), np.max(dec)
    corners = [west, south, east, south, east, north, west, north]
    update_s_region_keyword(model, np.array(corners))


def _sky_pixels(model):
    """Row and column of every pixel that may see the sky."""
    regions = model.regions if model.hasattr("regions") else None
    if regions is not None and np.any(regions):
        return np.nonzero(regions)
    y, x = np.indices(model.data.shape)
    return y.ravel(), x.ravel()


def paint(model, observed, *, noise=None, seed=0):
    """
    Fill an exposure with the light of a scene, noise and defects.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.IFUImageModel
        Exposure with a WCS and, for NIRSpec, regions; changed in place: data, err, variances, dq.
        Pixels that see no sky become NaN.
    observed : jwst_fusion.simulation.scene.ObservedScene
        Scene convolved with optics, pixel and slice.
    noise : Noise, optional
        Default: `Noise()`.
    seed : int
        Seed of the noise.

    Returns
    -------
    ndarray
        Noiseless surface brightness, MJy/sr, shape of the data; NaN outside the slices.
    """
    truth = noiseless(model, observed)
    arrays = expose(truth, noise=noise, rng=np.random.default_rng(seed))
    for name, array in arrays.items():
        setattr(model, name, array)
    return truth


def pixel_pitch(model):
    """
    Measure the distance on the sky of neighbouring pixels along the slices.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.IFUImageModel
        NIRSpec exposure with WCS and regions.

    Returns
    -------
    float
        Median over the detector, arcsec.
    """
    # Short spectra leave columns empty, not always the same ones.
    column = int(np.median(np.flatnonzero(model.regions.any(axis=0))))
    rows = np.flatnonzero(model.regions[:, column]).astype(float)
    ra, dec, _ = model.meta.wcs(np.full(len(rows), float(column)), rows)
    same = np.diff(model.regions[rows.astype(int), column].astype(int)) == 0
    east = np.diff(ra) * np.cos(np.radians(dec[0]))
    return float(np.nanmedian(np.hypot(east, np.diff(dec))[same]) * 3600)


def noiseless(model, observed):
    """
    Surface brightness of a scene at the pixels of an exposure, NaN where a pixel sees no sky.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.IFUImageModel
        Exposure with a WCS.
    observed : jwst_fusion.simulation.scene.ObservedScene
        Scene convolved with the PSF of a pixel.

    Returns
    -------
    ndarray
        MJy/sr, shape of the data.
    """
    out = np.full(model.data.shape, np.nan)
    y, x = _sky_pixels(model)
    ra, dec, wavelength = model.meta.wcs(x.astype(float), y.astype(float))
    out[y, x] = observed.sample(ra, dec, wavelength)
    return out


def builtin_exposure(**metadata):
    """
    Empty NIRSpec IFU exposure with the built-in geometry.

    Parameters
    ----------
    **metadata
        Arguments of `new_nirspec_exposure`.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
        Exposure of shape (2048, 2048) without light, with a WCS.
    """
    model = new_nirspec_exposure(**metadata)
    attach_builtin_geometry(model)
    _update_footprint(model)
    model.meta.cal_step.assign_wcs = "COMPLETE"
    return model
