"""Metadata that the pipeline asks of every simulated exposure."""

__all__ = ["GWA_READINGS", "set_disperser", "set_metadata"]

# readings of the grating wheel's sensors for which the disperser's reference file has no tilt
# correction: x, y
GWA_READINGS = {
    "G140M": (0.32817, 0.12435),
    "G235M": (0.32010, 0.13838),
    "G235H": (0.35477, 0.13783),
    "G395M": (0.28335, 0.17723),
    "PRISM": (0.33953, 0.03162),
}


def set_disperser(model, *, detector, grating, filter_name):
    """
    Describe the spectrograph NIRSpec in an exposure's metadata.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        Exposure; changed in place.
    detector, grating, filter_name : str
        For example "NRS1", "G235H" and "F170LP".
    """
    instrument = model.meta.instrument
    instrument.name = "NIRSPEC"
    instrument.detector, instrument.grating, instrument.filter = detector, grating, filter_name
    readings = GWA_READINGS.get(grating, GWA_READINGS["G235H"])
    instrument.gwa_xtilt, instrument.gwa_ytilt = readings
    instrument.gwa_tilt = 36.0
    model.meta.cal_step.flat_field = "COMPLETE"


def set_metadata(model, *, ra, dec, roll, exposure, aperture, v2v3, angle, pixel_area):
    """
    Set what the pipeline asks of every calibrated exposure: times, pointing, units, target.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        Exposure with its filename; changed in place.
    ra, dec : float
        Pointing of the reference point of the aperture, degree.
    roll : float
        Position angle of V3 there, degree east of north.
    exposure : int
        Number of the exposure, from 1.
    aperture : str
        Name of the aperture.
    v2v3 : tuple of float
        Its reference point, arcsec.
    angle : float
        Its angle, degree.
    pixel_area : float
        Sky seen by a pixel, arcsec^2.
    """
    meta = model.meta
    meta.telescope = "JWST"
    meta.observation.date, meta.observation.time = "2023-01-01", "00:00:00.000"
    meta.observation.program_number = meta.filename[2:7]
    meta.observation.observation_number = meta.filename[7:10]
    meta.observation.visit_number = meta.filename[10:13]
    meta.observation.exposure_number = str(exposure)
    meta.exposure.start_time = 59945.0 + 0.01 * exposure
    meta.exposure.mid_time = meta.exposure.start_time + 0.004
    meta.exposure.end_time = meta.exposure.start_time + 0.008
    meta.exposure.exposure_time = meta.exposure.effective_exposure_time = 700.0
    if model.hasattr("data"):
        meta.subarray.name = "FULL"
        meta.subarray.xstart = meta.subarray.ystart = 1
        meta.subarray.ysize, meta.subarray.xsize = model.data.shape
    meta.target.catalog_name = meta.target.proposer_name = "SIMULATED SCENE"
    meta.target.ra, meta.target.dec = ra, dec
    meta.target.source_type = "EXTENDED"
    meta.target.type = "FIXED"
    meta.velocity_aberration.scale_factor = 1.0
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_arcsecsq = pixel_area
    meta.photometry.pixelarea_steradians = pixel_area / 206264.806**2
    meta.photometry.conversion_megajanskys = 1.0
    meta.cal_step.photom = "COMPLETE"
    info = meta.wcsinfo
    info.v2_ref, info.v3_ref = v2v3
    info.v3yangle, info.vparity = angle, -1
    info.ra_ref, info.dec_ref, info.roll_ref = ra, dec, roll
    meta.aperture.name = aperture
    meta.aperture.position_angle = (roll + angle) % 360
    meta.pointing.pa_v3 = roll
    meta.pointing.ra_v1, meta.pointing.dec_v1 = ra, dec
