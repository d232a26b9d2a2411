import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from jwst_fusion.errors import NotFusableError
from jwst_fusion.products.keywords import band_name
from jwst_fusion.products.observations import read_cube, read_image


@pytest.fixture
def cube(scene, wavelength, products):
    return products.cube(scene, wavelength[:7], noise=1.0)


@pytest.fixture
def image(scene, products):
    return products.image(scene, "F182M", shape=(40, 50))


def test_cube_from_file_and_model_agree(cube, tmp_path):
    path = tmp_path / "a_s3d.fits"
    cube.save(str(path))
    one, two = read_cube(cube), read_cube(str(path))
    assert np.array_equal(one.data, two.data, equal_nan=True)
    assert np.array_equal(one.good, two.good)
    assert np.array_equal(one.wavelength, two.wavelength)
    assert one.pa_v3 == two.pa_v3 == 30.0
    assert (two.instrument, two.grating, two.resampled) == ("NIRSPEC", "G235H", True)


def test_reading_changes_nothing(cube, image, tmp_path):
    for model, read in ((cube, read_cube), (image, read_image)):
        names = set(model.instance)
        model.data.flags.writeable = False
        before = model.data.tobytes()
        read(model)
        assert set(model.instance) == names
        assert model.data.tobytes() == before
    path = tmp_path / "a_i2d.fits"
    image.data.flags.writeable = True
    image.save(str(path))
    path.chmod(0o444)
    before = path.read_bytes()
    read_image(str(path))
    assert path.read_bytes() == before


def test_what_is_bad_is_not_used(cube):
    cube.data[1, 5, 5] = np.inf
    cube.data[2, 5, 5] = 1e30
    cube.err[3, 5, 5] = 0
    cube.err[4, 5, 5] = np.nan
    cube.dq[5, 5, 5] |= 1
    cube.dq[6, 6, 6] |= 4
    cube.weightmap[0, 5, 5] = 0
    good = read_cube(cube).good
    assert not good[:6, 5, 5].any()
    assert good[6, 5, 5]
    assert good[6, 6, 6], "a flag that does not forbid use"
    assert not good[:, 0, 0].any(), "the corner without data"


def test_negative_pixels_are_kept(image):
    image.data[10, 10] = -50
    assert read_image(image).good[10, 10]


@pytest.mark.parametrize("err", [0.0, np.nan])
def test_missing_errors_are_estimated(cube, image, err, caplog):
    cube.err[:] = err
    image.err[:] = err
    observed = read_cube(cube)
    assert observed.good.any()
    # Noise of 1.0 was put in; structure of the scene may only add a little.
    assert np.median(observed.err) == pytest.approx(1.0, rel=0.3)
    assert np.median(read_image(image).err) == pytest.approx(1.0, rel=0.3)
    assert "they are estimated" in caplog.text


@pytest.mark.parametrize("array", ["err", "dq"])
def test_shapes_must_agree(cube, array):
    cube.instance[array] = np.ones((7, 3, 3), getattr(cube, array).dtype)
    with pytest.raises(ValueError, match=f"extension {array.upper()} of shape"):
        read_cube(cube)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("MJy/sr", 1.0), ("Jy / sr", 1e-6), ("Jy", None), ("Jy/pix", None), ("mJy", None)],
)
def test_units(cube, image, unit, factor):
    if factor is None:
        factor = (1e-9 if unit == "mJy" else 1e-6) / image.meta.photometry.pixelarea_steradians
    expected = image.data.astype(float) * factor
    image.meta.bunit_data = unit
    observed = read_image(image)
    assert np.allclose(observed.data, expected)
    assert np.allclose(observed.err, image.err * factor)


def test_units_that_cannot_be_converted(cube, image):
    image.meta.bunit_data = "DN/s"
    with pytest.raises(ValueError, match=r"f182m_i2d.fits is in 'DN/s' \(keyword BUNIT\)"):
        read_image(image)
    cube.meta.bunit_data = None
    with pytest.raises(ValueError, match="does not say its unit"):
        read_cube(cube)
    cube.meta.bunit_data = "Jy/pix"
    cube.meta.photometry.pixelarea_steradians = None
    with pytest.raises(ValueError, match="PIXAR_SR"):
        read_cube(cube)


def test_wavelengths_from_table_with_gap_and_descending(scene, products):
    table = np.r_[1.7:1.8:5j, 1.95:2.0:4j]
    for wave in (table, table[::-1]):
        observed = read_cube(products.cube(scene, wave, table=True))
        assert observed.wavelength == pytest.approx(wave, rel=1e-6)
        assert not observed.linear


def test_wavelength_units_and_reference_pixel(cube, wavelength):
    info = cube.meta.wcsinfo
    info.crpix3, info.crval3, info.cunit3 = 3.0, wavelength[2] * 1e-6, "m"
    info.cdelt3 = info.cdelt3 * 1e-6
    assert read_cube(cube).wavelength == pytest.approx(wavelength[:7])


def test_damaged_wavelengths(scene, cube, products):
    cube.meta.wcsinfo.ctype3 = "FREQ"
    with pytest.raises(NotFusableError, match="no wavelength axis"):
        read_cube(cube)
    broken = products.cube(scene, np.array([1.7, 1.8, 1.75, 1.9]), table=True)
    with pytest.raises(ValueError, match="neither only rise nor only fall"):
        read_cube(broken)
    del broken.wavetable
    with pytest.raises(NotFusableError, match="no wavelength table"):
        read_cube(broken)


def test_no_sky_coordinates(cube, image):
    for model, read in ((cube, read_cube), (image, read_image)):
        model.meta.wcsinfo.ctype1 = None
        with pytest.raises(NotFusableError, match="no celestial WCS"):
            read(model)


def test_cube_on_internal_coordinates_is_unsuitable(cube):
    cube.meta.wcsinfo.ctype1, cube.meta.wcsinfo.ctype2 = "NRSSLICERX", "NRSSLICERY"
    with pytest.raises(NotFusableError, match="NRSSLICERX"):
        read_cube(cube)


def test_not_a_cube(image, cube):
    with pytest.raises(ValueError, match="is a ImageModel, not a cube"):
        read_cube(image)
    with pytest.raises(ValueError, match="is a IFUCubeModel, not an image"):
        read_image(cube)


@pytest.mark.parametrize(
    ("filter_", "pupil", "expected"),
    [
        ("F150W2", "F164N", "F164N"),
        ("F322W2", "F323N", "F323N"),
        ("F150W2", "F162M", "F162M"),
        ("F182M", "CLEAR", "F182M"),
        ("CLEAR", "F200W", "F200W"),
        (None, None, ""),
    ],
)
def test_the_narrower_of_two_filters_shapes_the_band(filter_, pupil, expected):
    model = datamodels.ImageModel()
    model.meta.instrument.filter, model.meta.instrument.pupil = filter_, pupil
    assert band_name(model) == expected


def test_image_is_cropped_to_the_cube(scene, cube, products):
    image = products.image(scene, "F182M", shape=(300, 320))
    grid = read_cube(cube).grid
    whole, part = read_image(image), read_image(image, grid=grid, border=5)
    assert part.data.shape < whole.data.shape
    x, y = part.grid.pixels(grid.corners())
    assert x.min() > 0
    assert y.min() > 0
    assert x.max() < part.grid.shape[1]
    x, y = (int(v) for v in np.rint(part.grid.pixels(grid.centre)))
    u, v = (int(v) for v in np.rint(whole.grid.pixels(grid.centre)))
    assert part.data[y, x] == whole.data[v, u]


def test_no_overlap_names_both_footprints(scene, cube, products):
    scene.ra += 0.01
    image = products.image(scene, "F182M", shape=(40, 50))
    with pytest.raises(NotFusableError, match=r"footprint .* does not overlap .*footprint"):
        read_image(image, grid=read_cube(cube).grid)


def test_roll(image):
    assert read_image(image).pa_v3 == 77.0
    image.meta.wcsinfo.roll_ref = 76.5
    assert read_image(image).pa_v3 == 76.5
    image.meta.wcsinfo.roll_ref = image.meta.pointing.pa_v3 = None
    assert read_image(image).pa_v3 is None


def test_resampling_is_told_from_the_header(image):
    assert read_image(image).pixfrac == 1.0
    image.meta.resample.pixfrac = None
    assert read_image(image).pixfrac == 1.0
    image.meta.cal_step.resample = None
    assert read_image(image).pixfrac is None


def test_image_without_a_filter(image):
    image.meta.instrument.filter = None
    with pytest.raises(NotFusableError, match="does not say its filter"):
        read_image(image)
