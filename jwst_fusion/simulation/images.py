"""Images (i2d) of a scene: resampled mosaics with WCS, errors and weights."""

import numpy as np
from jwst.assign_wcs.pointing import create_fitswcs
from stdatamodels.jwst import datamodels

__all__ = ["i2d_pixel_kernels", "simulate_i2d"]

# arcsec per pixel of the two channels of NIRCam, and of the MIRI imager
PIXEL_SCALE = {"SHORT": 0.0311, "LONG": 0.063, "MIRI": 0.11}
# Filters of NIRCam in the pupil wheel, with the one in the filter wheel that they are crossed with
_CROSSED_WITH = {
    "F162M": "F150W2",
    "F164N": "F150W2",
    "F323N": "F322W2",
    "F405N": "F444W",
    "F466N": "F444W",
    "F470N": "F444W",
}
# V2, V3 [arcsec] of NRCB1_FULL and its angle [deg], SIAF
_V2V3 = (-85.1, -492.6)
_ANGLE = -0.1


def i2d_pixel_kernels(*, channel="SHORT", angle=0.0):
    """
    Rectangles that detector pixel and resampling add to the optical PSF of an i2d image.

    Parameters
    ----------
    channel : {"SHORT", "LONG"}
        Channel of NIRCam.
    angle : float
        Degrees counterclockwise from the axes of the output grid to those of the image.

    Returns
    -------
    tuple
        Rectangles (width_x, width_y, angle) in arcsec and degree: the detector pixel, the drop as
        large as it (pixfrac 1), the output pixel (pixel_scale_ratio 1) that takes the drop by
        the area they share.
    """
    scale = PIXEL_SCALE[channel]
    return ((scale, scale, angle),) * 3


def simulate_i2d(
    observed,
    bandpass_weights,
    *,
    filter_name,
    ra,
    dec,
    position_angle,
    shape,
    roll,
    noise,
    channel="SHORT",
    module="B",
    seed=0,
):
    """
    Resampled NIRCam image of a scene through one filter.

    Parameters
    ----------
    observed : jwst_fusion.simulation.scene.ObservedScene
        Scene convolved with the optics of NIRCam and `i2d_pixel_kernels`.
    bandpass_weights : ndarray
        Photometric weight of each wavelength of the scene, sum one, shape (n,).
    filter_name : str
        Name of the filter, for example "F182M".
    ra, dec : float
        Centre of the image, degree.
    position_angle : float
        Position angle of the image's y axis, degree east of north.
    shape : tuple of int
        (ny, nx).
    roll : float
        Position angle of V3, degree.
    noise : float
        Error per pixel at zero signal, MJy/sr; the variance doubles at a signal of 1000 times
        that.
    channel : {"SHORT", "LONG", "MIRI"}
        Channel whose pixels the image has.
    module : {"A", "B"}
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.ImageModel
        With data, err, var_rnoise, var_poisson, wht, dq-free NaN where nothing was seen, gwcs.
    """
    model = datamodels.ImageModel(shape)
    _set_metadata(model, filter_name, channel, module, ra, dec, roll)
    _set_wcs(model, ra, dec, position_angle, PIXEL_SCALE[channel])
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    sky_ra, sky_dec = model.meta.wcs(x, y)
    truth = observed.band(sky_ra, sky_dec, bandpass_weights)
    rng = np.random.default_rng(seed)
    read = np.full(shape, noise**2)
    poisson = noise**2 * np.maximum(truth, 0) / (1000 * noise)
    model.data = (truth + np.sqrt(read + poisson) * rng.standard_normal(shape)).astype(np.float32)
    model.err = np.sqrt(read + poisson).astype(np.float32)
    model.var_rnoise = read.astype(np.float32)
    model.var_poisson = poisson.astype(np.float32)
    model.var_flat = np.zeros(shape, np.float32)
    model.wht = np.full(shape, 1000.0, np.float32)
    return model


def _set_metadata(model, filter_name, channel, module, ra, dec, roll):
    meta = model.meta
    meta.telescope = "JWST"
    wheels = (filter_name, "CLEAR")
    if filter_name in _CROSSED_WITH:
        wheels = (_CROSSED_WITH[filter_name], filter_name)
    # the archive names both wheels in alphabetical order
    meta.filename = f"jw09999-o001_t001_nircam_{'-'.join(sorted(wheels)).lower()}_i2d.fits"
    meta.instrument.name = "NIRCAM"
    meta.instrument.channel = channel if channel in ("SHORT", "LONG") else None
    meta.instrument.module = module
    meta.instrument.detector = f"NRC{module}1" if channel == "SHORT" else f"NRC{module}LONG"
    meta.instrument.filter, meta.instrument.pupil = wheels
    meta.observation.date = "2023-01-01"
    meta.observation.time = "00:00:00.000"
    meta.observation.program_number = "09999"
    meta.exposure.type = "NRC_IMAGE"
    meta.target.catalog_name = meta.target.proposer_name = "SIMULATED SCENE"
    meta.target.type = "FIXED"
    meta.target.ra, meta.target.dec = ra, dec
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    area = PIXEL_SCALE[channel] ** 2
    meta.photometry.pixelarea_arcsecsq = area
    meta.photometry.pixelarea_steradians = area / 206264.806**2
    meta.resample.pixel_scale_ratio = 1.0
    meta.resample.pixfrac = 1.0
    meta.resample.kernel = "square"
    meta.cal_step.resample = "COMPLETE"
    meta.pointing.pa_v3 = roll
    meta.pointing.ra_v1, meta.pointing.dec_v1 = ra, dec
    meta.aperture.name = f"NRC{module}1_FULL"
    meta.aperture.position_angle = (roll + _ANGLE) % 360
    info = meta.wcsinfo
    info.v2_ref, info.v3_ref = _V2V3
    info.v3yangle, info.vparity = _ANGLE, -1
    info.ra_ref, info.dec_ref, info.roll_ref = ra, dec, roll


def _set_wcs(model, ra, dec, position_angle, scale):
    info = model.meta.wcsinfo
    shape = model.data.shape
    angle = np.radians(position_angle)
    info.wcsaxes = 2
    info.ctype1, info.ctype2 = "RA---TAN", "DEC--TAN"
    info.cunit1 = info.cunit2 = "deg"
    info.crval1, info.crval2 = ra, dec
    info.crpix1, info.crpix2 = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    info.cdelt1 = info.cdelt2 = scale / 3600
    # east is to the left of north, which the y axis leaves by the position angle towards the east
    info.pc1_1, info.pc1_2 = -np.cos(angle), np.sin(angle)
    info.pc2_1, info.pc2_2 = np.sin(angle), np.cos(angle)
    wcs = create_fitswcs(model)
    wcs.bounding_box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    model.meta.wcs = wcs
