"""Native pixels of IFU exposures: read with their coordinates, slices are lines on the sky."""

import dataclasses

import numpy as np
import pytest
from astropy.wcs import WCS
from stdatamodels.jwst.transforms.models import Rotation3DToGWA

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion import SkyGrid, exposure_psfs
from jwst_fusion.fusion.exposures.slice_lines import (
    STEP,
    pixel_height,
    slice_width,
    trace_slices,
)
from jwst_fusion.products.ifu_exposure import read_ifu_exposure
from jwst_fusion.psf import aperture_angle, make_psf
from jwst_fusion.simulation import reference_geometry
from jwst_fusion.simulation.exposures import builtin_exposure
from jwst_fusion.simulation.reference_geometry import mrs_exposure, nirspec_exposure

POINTING = {"ra": 359.9999, "dec": -5.4, "roll": 30.0}
SCALE = 0.1 / 3  # arcsec


def filled(model):
    model.data[:], model.err[:] = 1.0, 1.0
    return model


def north_up():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [POINTING["ra"], POINTING["dec"]]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.set()
    return wcs


def on_grid(exposure):
    return north_up().wcs_world2pix(exposure.ra, exposure.dec, 0)


def check_lines(exposure, count, width, height):
    x, y = on_grid(exposure)
    lines = trace_slices(x, y, exposure.label, exposure.good)
    assert len(lines) == count
    assert max(line.departure for line in lines) < 1e-3
    assert slice_width(lines) * SCALE == pytest.approx(width, rel=0.02)
    measured = pixel_height(x, y, exposure.label, exposure.row, exposure.column, exposure.slit_axis)
    assert measured * SCALE == pytest.approx(height, rel=0.02)
    line = lines[count // 2]
    # The position along the line leads back to where the pixel is.
    at = np.arange(len(line.x))
    np.testing.assert_allclose(np.interp(line.position, at, line.x), x[line.pixels], atol=1e-3)
    np.testing.assert_allclose(np.interp(line.position, at, line.y), y[line.pixels], atol=1e-3)
    assert line.position.min() >= 1
    assert line.position.max() <= len(line.x) - 2
    steps = np.hypot(np.diff(line.x), np.diff(line.y))
    np.testing.assert_allclose(steps, STEP, rtol=1e-2)


@pytest.fixture(scope="module")
def builtin():
    return filled(builtin_exposure(**POINTING))


def test_coordinates_are_those_of_the_wcs(builtin):
    (exposure,) = read_ifu_exposure(builtin)
    some = slice(None, None, 997)
    x, y = (index[some].astype(float) for index in (exposure.column, exposure.row))
    expected = builtin.meta.wcs(x, y)
    found = exposure.ra[some], exposure.dec[some], exposure.wavelength[some]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    assert exposure.slit_axis == "row"
    assert len(exposure.data) == np.count_nonzero(builtin.regions)
    image = exposure.image(exposure.label, fill=0)
    np.testing.assert_array_equal(image, builtin.regions)


def test_slices_of_the_builtin_geometry(builtin):
    (exposure,) = read_ifu_exposure(builtin)
    check_lines(exposure, 30, 0.1, 0.1)


def test_bad_pixels_and_bad_files_are_found(builtin):
    model = builtin.copy()
    y, x = np.nonzero(model.regions)
    model.data[y[0], x[0]] = np.nan
    model.err[y[1], x[1]] = 0.0
    model.dq[y[2], x[2]] = 1
    model.dq[y[3], x[3]] = 4
    (exposure,) = read_ifu_exposure(model)
    np.testing.assert_array_equal(np.flatnonzero(~exposure.good), [0, 1, 2])
    model.meta.bunit_data = "DN/s"
    with pytest.raises(NotFusableError, match="is in DN/s"):
        read_ifu_exposure(model)
    model.meta.bunit_data = "MJy/sr"
    model.dq[:] = 1
    with pytest.raises(NotFusableError, match="no pixel that may be used"):
        read_ifu_exposure(model)
    model.meta.wcs = None
    with pytest.raises(NotFusableError, match="it has no WCS"):
        read_ifu_exposure(model)
    model.meta.exposure.type = "NRS_FIXEDSLIT"
    with pytest.raises(NotFusableError, match="not an IFU exposure"):
        read_ifu_exposure(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grating", "filter_name", "detector"),
    [("G235H", "F170LP", "NRS2"), ("PRISM", "CLEAR", "NRS1")],
)
def test_slices_of_nirspec_are_lines(data_dir, monkeypatch, grating, filter_name, detector):
    folder = data_dir / "nirspec_ifu_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    evaluate = Rotation3DToGWA.evaluate
    # stdatamodels 6.0.0 cannot rotate by one angle, as within the prism.
    monkeypatch.setattr(
        Rotation3DToGWA,
        "evaluate",
        lambda self, x, y, z, angles: evaluate(self, x, y, z, np.atleast_2d(angles)),
    )
    setting = {"grating": grating, "filter_name": filter_name, "detector": detector}
    (exposure,) = read_ifu_exposure(filled(nirspec_exposure(folder, **POINTING, **setting)))
    check_lines(exposure, 30, 0.1034, 0.1075)


@pytest.mark.slow
def test_slices_of_mrs_are_lines(data_dir):
    folder = data_dir / "miri_mrs_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    first, second = read_ifu_exposure(filled(mrs_exposure(folder, **POINTING)))
    assert (first.grating, second.grating) == ("1A", "2A")
    assert first.slit_axis == "column"
    check_lines(first, 21, 0.177, 0.192)
    check_lines(second, 17, 0.280, 0.192)


@pytest.mark.slow
def test_both_styles_of_the_wcs_give_the_same_pixels(data_dir, monkeypatch):
    folder = data_dir / "nirspec_ifu_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")

    class SliceStyle(reference_geometry.AssignWcsStep):
        spec = """
        nrs_ifu_slice_wcs = boolean(default=True)
        """

    setting = {"grating": "G140M", "filter_name": "F100LP", "detector": "NRS1"}
    (one,) = read_ifu_exposure(filled(nirspec_exposure(folder, **POINTING, **setting)))
    check_lines(one, 30, 0.1034, 0.1075)
    monkeypatch.setattr(reference_geometry, "AssignWcsStep", SliceStyle)
    model = filled(nirspec_exposure(folder, **POINTING, **setting))
    assert "slit_frame" in model.meta.wcs.available_frames
    some = (1, 8, 15, 22, 30)
    model.regions = np.where(np.isin(model.regions, some), model.regions, 0)
    (two,) = read_ifu_exposure(model)
    assert set(two.label) == set(some)
    same = np.isin(one.label, some)
    for name in ("ra", "dec", "wavelength", "label", "row", "column"):
        expected = getattr(one, name)[same]
        np.testing.assert_allclose(getattr(two, name), expected, rtol=0, atol=1e-10)


def test_psfs_follow_from_the_geometry(builtin):
    """Size and direction of the pixels are measured, not looked up: the same PSF comes out."""
    (exposure,) = read_ifu_exposure(builtin)
    sky = SkyGrid(north_up(), (40, 40))
    wavelength = np.linspace(1.9, 2.1, 50)
    other = dataclasses.replace(exposure, name="other")
    turned = dataclasses.replace(exposure, pa_v3=exposure.pa_v3 + 10)
    options = {"wavelength": wavelength, "source": "aperture", "size": 1.5}
    psfs = exposure_psfs([exposure, other, turned], sky, **options)
    assert psfs[0] is psfs[1]
    assert psfs[2] is not psfs[0]
    slices = POINTING["roll"] + aperture_angle("NIRSPEC")
    expected = make_psf(
        "NIRSPEC",
        wavelength=psfs[0].wavelength,
        pixel_scale=SCALE,
        npix=45,
        angle=POINTING["roll"],
        pixel_kernels=((0.1, 0.1, slices),),
        source="aperture",
    )
    np.testing.assert_allclose(psfs[0].data, expected.data, atol=1e-3 * expected.data.max())
    with pytest.raises(NotFusableError, match="ROLL_REF"):
        exposure_psfs([dataclasses.replace(exposure, pa_v3=None)], sky, **options)
    with pytest.raises(NotFusableError, match="0 slices"):
        exposure_psfs([exposure], sky, wavelength=wavelength + 3, source="aperture")
