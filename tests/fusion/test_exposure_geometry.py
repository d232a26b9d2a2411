"""Native pixels of IFU exposures: read with their coordinates, slices are lines on the sky."""

import dataclasses

import numpy as np
import pytest
from slice_checks import SCALE, check_lines, filled, north_up

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion import SkyGrid, exposure_psfs
from jwst_fusion.products.ifu_exposure import read_ifu_exposure
from jwst_fusion.psf import aperture_angle, make_psf
from jwst_fusion.simulation.exposures import builtin_exposure
from jwst_fusion.simulation.reference_geometry import mrs_exposure

POINTING = {"ra": 359.9999, "dec": -5.4, "roll": 30.0}


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
    check_lines(exposure, POINTING, 30, 0.1, 0.1)


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
def test_slices_of_mrs_are_lines(data_dir):
    folder = data_dir / "miri_mrs_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    first, second = read_ifu_exposure(filled(mrs_exposure(folder, **POINTING)))
    assert (first.grating, second.grating) == ("1A", "2A")
    assert first.slit_axis == "column"
    check_lines(first, POINTING, 21, 0.177, 0.192)
    check_lines(second, POINTING, 17, 0.280, 0.192)


def test_psfs_follow_from_the_geometry(builtin):
    """Size and direction of the pixels are measured, not looked up: the same PSF comes out."""
    (exposure,) = read_ifu_exposure(builtin)
    sky = SkyGrid(north_up(POINTING["ra"], POINTING["dec"]), (40, 40))
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
