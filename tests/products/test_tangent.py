"""Images that were not resampled: straight coordinates that are right where the exposures look."""

from dataclasses import replace

import gwcs
import numpy as np
import pytest
from astropy import coordinates
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS
from gwcs import coordinate_frames
from stdatamodels.jwst import datamodels

from jwst_fusion.associations import collect_members
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.products.keywords import celestial_wcs
from jwst_fusion.products.observations import read_image

SCALE = 0.031 / 3600
RA, DEC = 83.8187, -5.4083
SHAPE = 1000, 1100
PIXEL = 820.0, 140.0  # far from the reference point in the middle


def distorted():
    """Coordinates of a camera: up to 10 pixels beside those of the tangent plane."""
    middle = (SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2
    forward = models.Polynomial2D(2, c1_0=1, c2_0=2e-5, c1_1=-1e-5, c0_2=8e-6)
    across = models.Polynomial2D(2, c0_1=1, c2_0=-1e-5, c1_1=1.5e-5, c0_2=1e-5)
    start = models.Shift(-middle[0]) & models.Shift(-middle[1])
    bent = models.Mapping((0, 1, 0, 1)) | (forward & across)
    turn = models.AffineTransformation2D([[-0.8 * SCALE, 0.6 * SCALE], [0.6 * SCALE, 0.8 * SCALE]])
    sky = models.Pix2Sky_TAN() | models.RotateNative2Celestial(RA, DEC, 180)
    frames = (
        coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix)),
        coordinate_frames.CelestialFrame(
            name="world", reference_frame=coordinates.ICRS(), axes_order=(0, 1)
        ),
    )
    return gwcs.WCS([(frames[0], start | bent | turn | sky), (frames[1], None)])


@pytest.fixture
def image():
    model = datamodels.ImageModel(np.random.default_rng(1).normal(5, 1, SHAPE).astype("f4"))
    model.err = np.ones(SHAPE, np.float32)
    model.meta.wcs = distorted()
    model.meta.instrument.name, model.meta.instrument.filter = "NIRCAM", "F212N"
    model.meta.instrument.channel, model.meta.instrument.pupil = "SHORT", "CLEAR"
    model.meta.exposure.type = "NRC_IMAGE"
    model.meta.bunit_data = "MJy/sr"
    model.meta.filename = "jw09999001001_03101_00001_nrcb1_cal.fits"
    model.meta.cal_step.assign_wcs = "COMPLETE"
    info = model.meta.wcsinfo
    # What stands in the headers of exposures: a tangent plane at the reference point.
    info.ctype1, info.ctype2 = "RA---TAN-SIP", "DEC--TAN-SIP"
    info.cunit1 = info.cunit2 = "deg"
    info.crval1, info.crval2, info.crpix1, info.crpix2 = RA, DEC, 550.5, 500.5
    info.cdelt1 = info.cdelt2 = SCALE
    info.pc1_1, info.pc1_2, info.pc2_1, info.pc2_2 = -0.8, 0.6, 0.6, 0.8
    return model


def field(model):
    """Four arcseconds around a pixel far from the middle."""
    ra, dec = model.meta.wcs(*PIXEL)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [20.5, 20.5]
    wcs.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    wcs.wcs.set()
    return SkyGrid(wcs, (40, 40))


def departure(model, read):
    """Largest error of the positions within 2 arcsec, in pixels of the image."""
    x, y = (PIXEL[axis] + np.linspace(-60, 60, 7) for axis in (0, 1))
    x, y = (one.ravel() for one in np.meshgrid(x, y))
    sky = SkyCoord(*model.meta.wcs(x, y), unit="deg")
    ny, nx = read.grid.shape
    # Where the cut-out begins on the detector.
    first = np.argwhere(np.isclose(model.data, read.data[ny // 2, nx // 2]))[0]
    at = np.array(read.grid.pixels(sky)) + (first - (ny // 2, nx // 2))[::-1, None]
    return np.hypot(*(at - (x, y))).max()


def test_an_exposure_of_a_camera_is_where_its_wcs_says(image):
    grid = field(image)
    assert departure(image, read_image(image, grid=grid)) < 0.15
    # The keywords alone would misplace it by more than a spaxel.
    linear = image.copy()
    linear.meta.cal_step.resample = "COMPLETE"
    linear.meta.wcsinfo.ctype1, linear.meta.wcsinfo.ctype2 = "RA---TAN", "DEC--TAN"
    assert departure(image, read_image(linear, grid=grid)) > 3


def test_a_whole_distorted_image_is_warned_of(image, caplog):
    celestial_wcs(image, "it_cal.fits")
    assert "it_cal.fits was not resampled" in caplog.text


def test_a_detector_beside_the_field_is_not_warned_of(image, caplog):
    away = field(image).centre.directional_offset_by(0 * u.deg, 3 * u.deg)
    celestial_wcs(image, "it_cal.fits", centre=away, radius=1e-3)
    assert "not resampled" not in caplog.text


def test_a_moving_target_is_looked_at_where_the_image_has_it(image):
    grid = field(image)
    target = grid.centre.directional_offset_by(30 * u.deg, 20 * u.arcsec)
    image.meta.target.type = "MOVING"
    image.meta.wcsinfo.mt_avra = grid.centre.ra.deg
    image.meta.wcsinfo.mt_avdec = grid.centre.dec.deg
    moved = grid.recentred(grid.centre, target)
    found = read_image(image, grid=moved, target=target)
    back = replace(found, grid=found.grid.recentred(target, grid.centre))
    assert departure(image, back) < 0.15


def test_files_of_cameras_are_images(image, tmp_path):
    path = tmp_path / image.meta.filename
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image.data[:9, :9], name="SCI")]).writeto(path)
    fits.setval(path, "EXP_TYPE", value="NRC_IMAGE")
    fits.setval(path, "DATAMODL", value="ImageModel")
    members = collect_members([str(path)])
    assert (members.images, members.exposures, members.cubes) == ((str(path),), (), ())
