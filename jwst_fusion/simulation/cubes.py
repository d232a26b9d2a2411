"""NIRSpec s3d cubes of a scene made directly, without exposures and cube building."""

import numpy as np
from astropy.io.fits import Header
from jwst.assign_wcs.pointing import create_fitswcs
from stdatamodels.jwst import datamodels

from jwst_fusion.simulation.exposures import NIRSPEC_ANGLE, NIRSPEC_V2V3
from jwst_fusion.simulation.psfs import cube_psf
from jwst_fusion.simulation.truth import truth_cube

__all__ = ["simulate_s3d"]

_STERADIAN = 206264.806**-2  # of an arcsec^2


def simulate_s3d(
    scene,
    wavelength,
    *,
    shape=(31, 33),
    spaxel=0.1,
    roll=30.0,
    oversample=1.0,
    grating="G235H",
    filter_name="F170LP",
    noise=0.3,
    psf=None,
    seed=201,
):
    """
    NIRSpec cube of a scene, north up, as cube_build would make it of many dithers.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        What is seen; the cube is centred on it.
    wavelength : ndarray
        Evenly spaced channels, micrometre, shape (n,).
    shape : tuple of int
        Rows and columns of spaxels.
    spaxel : float
        Side of a spaxel, arcsec.
    roll : float
        Position angle of V3, degree.
    oversample : float
        Factor by which the exposures would have been oversampled along the slices.
    grating, filter_name : str
        Names for the metadata and the file name; the light does not depend on them.
    noise : float
        Error per voxel at zero signal, MJy/sr; the variance doubles at 100 times that.
    psf : jwst_fusion.psf.PsfCube, optional
        Default: `jwst_fusion.simulation.psfs.cube_psf` of the aperture model.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUCubeModel
        With data, err, dq, weightmap and WCS.

    Raises
    ------
    ValueError
        If the channels are not evenly spaced.
    """
    step = np.diff(wavelength)
    if len(wavelength) < 2 or not np.allclose(step, step[0], rtol=1e-4):
        msg = "wavelength must have two or more evenly spaced channels"
        raise ValueError(msg)
    if psf is None:
        psf = cube_psf(scene, roll=roll, oversample=oversample, spaxel=spaxel, source="aperture")
    model = datamodels.IFUCubeModel((len(wavelength), *shape))
    _set_metadata(model, scene, grating, filter_name, roll, spaxel)
    header = _set_wcs(model, scene, wavelength, spaxel)
    truth = truth_cube(scene, psf, header, wavelength)
    sigma = noise * np.sqrt(1 + np.maximum(truth, 0) / (100 * noise))
    rng = np.random.default_rng(seed)
    model.data = (truth + sigma * rng.standard_normal(truth.shape)).astype(np.float32)
    model.err = sigma.astype(np.float32)
    model.dq = np.zeros(truth.shape, np.uint32)
    model.weightmap = np.full(truth.shape, 4.0, np.float32)
    return model


def _set_metadata(model, scene, grating, filter_name, roll, spaxel):
    meta = model.meta
    meta.telescope = "JWST"
    meta.filename = f"jw09999-o001_t001_nirspec_{grating}-{filter_name}_s3d.fits".lower()
    meta.instrument.name = "NIRSPEC"
    meta.instrument.detector = "NRS1"
    meta.instrument.grating, meta.instrument.filter = grating, filter_name
    meta.exposure.type = "NRS_IFU"
    meta.observation.date, meta.observation.time = "2023-01-01", "00:00:00.000"
    meta.target.catalog_name = meta.target.proposer_name = "SIMULATED SCENE"
    meta.target.type, meta.target.source_type = "FIXED", "EXTENDED"
    meta.target.ra, meta.target.dec = scene.ra, scene.dec
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_arcsecsq = spaxel**2
    meta.photometry.pixelarea_steradians = spaxel**2 * _STERADIAN
    meta.cal_step.cube_build = "COMPLETE"
    meta.aperture.name = "NRS_FULL_IFU"
    meta.aperture.position_angle = (roll + NIRSPEC_ANGLE) % 360
    meta.pointing.pa_v3 = roll
    info = meta.wcsinfo
    info.v2_ref, info.v3_ref = NIRSPEC_V2V3
    info.v3yangle, info.vparity = NIRSPEC_ANGLE, -1
    info.ra_ref, info.dec_ref, info.roll_ref = scene.ra, scene.dec, roll


def _set_wcs(model, scene, wavelength, spaxel):
    """Set the WCS of the model, and return its celestial part as a FITS header."""
    ny, nx = model.data.shape[1:]
    values = {
        "ctype": ("RA---TAN", "DEC--TAN", "WAVE"),
        "cunit": ("deg", "deg", "um"),
        "crval": (scene.ra, scene.dec, float(wavelength[0])),
        "crpix": ((nx + 1) / 2, (ny + 1) / 2, 1.0),
        "cdelt": (spaxel / 3600, spaxel / 3600, float(wavelength[1] - wavelength[0])),
    }
    info = model.meta.wcsinfo
    info.wcsaxes = 3
    for key, three in values.items():
        for axis, value in enumerate(three, start=1):
            setattr(info, f"{key}{axis}", value)
    for i in range(1, 4):
        for j in range(1, 4):
            setattr(info, f"pc{i}_{j}", float(i == j) * (-1.0 if i == 1 else 1.0))
    model.meta.wcs = create_fitswcs(model)
    model.meta.wcs.bounding_box = (
        (-0.5, nx - 0.5),
        (-0.5, ny - 0.5),
        (-0.5, len(wavelength) - 0.5),
    )
    header = Header({"NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny, "PC1_1": -1.0})
    for key, three in values.items():
        for axis in (1, 2):
            header[f"{key.upper()}{axis}"] = three[axis - 1]
    return header
