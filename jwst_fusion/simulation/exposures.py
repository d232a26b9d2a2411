"""Calibrated IFU exposures of a scene: metadata, geometry, painted light, noise, defects."""

import logging
from dataclasses import dataclass

import numpy as np
from astropy.modeling.models import Identity
from jwst.assign_wcs import pointing
from jwst.assign_wcs.util import update_s_region_keyword, wrap_ra
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.simulation.builtin_geometry import attach_builtin_geometry

__all__ = [
    "Noise",
    "builtin_exposure",
    "new_nirspec_exposure",
    "noiseless",
    "paint",
    "pixel_pitch",
    "repoint",
]

log = logging.getLogger(f"stpipe.{__name__}")

# Reference point of the aperture NRS_FULL_IFU (V2, V3 in arcsec) and its angle (degree), SIAF
NIRSPEC_V2V3 = (300.2961, -497.9)
NIRSPEC_ANGLE = 138.5
# arcsec^2: 0.1 arcsec slices, 0.1 arcsec pixels
NIRSPEC_PIXEL_AREA = 0.01
# readings of the grating wheel's sensors for which the disperser's reference file has no tilt
# correction: x, y
GWA_READINGS = {
    "G140M": (0.32817, 0.12435),
    "G235M": (0.32010, 0.13838),
    "G235H": (0.35477, 0.13783),
    "G395M": (0.28335, 0.17723),
    "PRISM": (0.33953, 0.03162),
}


@dataclass(frozen=True)
class Noise:
    """
    Noise and defects of a simulated exposure.

    Parameters
    ----------
    read : float
        Read noise per pixel, MJy/sr.
    gain : float
        Variance per signal, MJy/sr: the Poisson variance of a signal F is ``gain * F``.
    flat : float
        Relative uncertainty of the flat field.
    bad_fraction : float
        Fraction of single bad pixels.
    bad_clusters : int
        Number of 3 x 3 clusters of bad pixels.
    residues : int
        Number of cosmic-ray residues that no flag marks, up to 4 pixels long.
    """

    read: float = 0.4
    gain: float = 0.02
    flat: float = 0.002
    bad_fraction: float = 0.01
    bad_clusters: int = 400
    residues: int = 800

    @classmethod
    def none(cls):
        """Noise small enough to see through: for checks against truth."""
        return cls(1e-4, 0.0, 0.0, 0.0, 0, 0)


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
    grating, filter_name : str
        For example "G235H" and "F170LP".
    exposure : int
        Number of the exposure, from 1.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
    """
    model = datamodels.IFUImageModel((2048, 2048))
    meta = model.meta
    meta.telescope = "JWST"
    meta.filename = f"jw09999001001_02101_{exposure:05d}_{detector.lower()}_cal.fits"
    meta.instrument.name = "NIRSPEC"
    meta.instrument.detector = detector
    meta.instrument.grating = grating
    meta.instrument.filter = filter_name
    readings = GWA_READINGS.get(grating, GWA_READINGS["G235H"])
    meta.instrument.gwa_xtilt, meta.instrument.gwa_ytilt = readings
    meta.instrument.gwa_tilt = 36.0
    meta.observation.date = "2023-01-01"
    meta.observation.time = "00:00:00.000"
    meta.observation.program_number = "09999"
    meta.observation.observation_number = "001"
    meta.observation.visit_number = "001"
    meta.observation.exposure_number = str(exposure)
    meta.exposure.type = "NRS_IFU"
    meta.exposure.start_time = 59945.0 + 0.01 * exposure
    meta.exposure.mid_time = meta.exposure.start_time + 0.004
    meta.exposure.end_time = meta.exposure.start_time + 0.008
    meta.exposure.exposure_time = meta.exposure.effective_exposure_time = 700.0
    meta.subarray.name = "FULL"
    meta.subarray.xstart = meta.subarray.ystart = 1
    meta.subarray.xsize = meta.subarray.ysize = 2048
    meta.target.catalog_name = meta.target.proposer_name = "SIMULATED SCENE"
    meta.target.ra, meta.target.dec = ra, dec
    meta.target.source_type = "EXTENDED"
    meta.target.type = "FIXED"
    meta.velocity_aberration.scale_factor = 1.0
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_arcsecsq = NIRSPEC_PIXEL_AREA
    meta.photometry.pixelarea_steradians = NIRSPEC_PIXEL_AREA / 206264.806**2
    meta.photometry.conversion_megajanskys = 1.0
    meta.cal_step.photom = "COMPLETE"
    meta.cal_step.flat_field = "COMPLETE"
    info = meta.wcsinfo
    info.v2_ref, info.v3_ref = NIRSPEC_V2V3
    info.v3yangle, info.vparity = NIRSPEC_ANGLE, -1
    info.ra_ref, info.dec_ref, info.roll_ref = ra, dec, roll
    meta.aperture.name = "NRS_FULL_IFU"
    meta.aperture.position_angle = (roll + NIRSPEC_ANGLE) % 360
    meta.pointing.pa_v3 = roll
    meta.pointing.ra_v1, meta.pointing.dec_v1 = ra, dec
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
    noise = Noise() if noise is None else noise
    rng = np.random.default_rng(seed)
    truth = noiseless(model, observed)
    sky = np.isfinite(truth)
    signal = np.where(sky, np.maximum(truth, 0), 0)
    variances = {
        "var_rnoise": np.full(truth.shape, noise.read**2),
        "var_poisson": noise.gain * signal,
        "var_flat": (noise.flat * signal) ** 2,
    }
    sigma = np.sqrt(variances["var_rnoise"] + variances["var_poisson"])
    data = truth + sigma * rng.standard_normal(truth.shape)
    data *= 1 + noise.flat * rng.standard_normal(truth.shape)
    _add_residues(data, noise.residues, rng, scale=noise.read)
    bad = _bad_pixels(truth.shape, noise, rng)
    dead = ~sky | bad
    model.data = np.where(dead, np.nan, data).astype(np.float32)
    error = np.sqrt(sum(variances.values()))
    model.err = np.where(dead, np.nan, error).astype(np.float32)
    for name, value in variances.items():
        setattr(model, name, np.where(dead, np.nan, value).astype(np.float32))
    dq = np.zeros(truth.shape, np.uint32)
    dq[~sky] = dqflags.pixel["DO_NOT_USE"] | dqflags.pixel["NON_SCIENCE"]
    dq[sky & bad] = dqflags.pixel["DO_NOT_USE"]
    model.dq = dq
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
    column = model.data.shape[1] // 2
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
    observed : jwst_fusion.simulation.scene.ObservedScene

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


def _add_residues(data, count, rng, scale):
    """Leave unflagged cosmic-ray tails of up to four pixels."""
    for _ in range(count):
        y, x = rng.integers(0, data.shape[0] - 5), rng.integers(0, data.shape[1] - 5)
        length, amplitude = rng.integers(1, 5), scale * 10 ** rng.uniform(1.0, 2.5)
        if rng.random() < 0.5:
            data[y : y + length, x] += amplitude
        else:
            data[y, x : x + length] += amplitude


def _bad_pixels(shape, noise, rng):
    bad = rng.random(shape) < noise.bad_fraction
    for _ in range(noise.bad_clusters):
        y, x = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        bad[y : y + 3, x : x + 3] = True
    return bad


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
    """
    model = new_nirspec_exposure(**metadata)
    attach_builtin_geometry(model)
    _update_footprint(model)
    model.meta.cal_step.assign_wcs = "COMPLETE"
    return model
