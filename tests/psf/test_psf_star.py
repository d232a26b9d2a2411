import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.psf import make_psf, star_psf
from jwst_fusion.psf.exposure import read_star
from jwst_fusion.psf.star import star_images

_spec = importlib.util.spec_from_file_location(
    "star_files", Path(__file__).parent / "star_files.py"
)
star_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(star_files)
PIXEL = star_files.PIXEL
GRID = {"pixel_scale": 1 / 30, "npix": 61}


def image_truth(wavelength, angle, pa=35.0, roll=60.0):
    """What the image of the star shows, in a frame turned otherwise."""
    pixel_kernels = ((PIXEL, PIXEL, angle),) * 2 + ((PIXEL, PIXEL, angle - (roll - pa)),)
    common = {"source": "aperture", "pixel_kernels": pixel_kernels, "angle": angle, **GRID}
    return make_psf("NIRCAM", wavelength=wavelength, **common).data


def worst(found, expected):
    return np.abs(found - expected).max() / expected.max()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return star_files.star_image(tmp_path_factory.mktemp("star") / "star_i2d.fits")


@pytest.fixture(scope="module")
def channels():
    return np.linspace(1.7, 2.3, 40)


@pytest.fixture(scope="module")
def cube(tmp_path_factory, channels):
    return star_files.star_cube(tmp_path_factory.mktemp("star") / "star_s3d.fits", channels)


@pytest.mark.parametrize("angle", [25.0, -40.0, 100.0])
def test_image_of_a_star_is_the_psf_in_any_orientation(image, angle):
    psf = star_psf(image, wavelength=[2.093], angle=angle, **GRID)
    expected = image_truth([2.093], angle)
    assert worst(psf.data, expected) < 0.006
    assert psf.data.sum() == pytest.approx(1.0)
    assert psf.source == "data"
    # The slips that would go unnoticed with a round PSF.
    one = expected[0]
    for slip in (one.T, one[::-1], one[:, ::-1], one[::-1, ::-1], image_truth([2.093], -angle)[0]):
        assert worst(psf.data[0], slip) > 0.012


def test_position_in_the_exposure_and_parity_do_not_matter(image, tmp_path):
    mirrored = star_files.star_image(tmp_path / "mirrored_i2d.fits", mirrored=True)
    one, other = (star_psf(path, wavelength=[2.1], **GRID) for path in (image, mirrored))
    np.testing.assert_allclose(one.data, other.data, atol=1e-6)
    assert read_star(image).angle == pytest.approx(25.0)


def test_image_serves_other_wavelengths_magnified(image, caplog):
    nodes = [1.9, 2.093, 2.25]
    psf = star_psf(image, wavelength=nodes, angle=10.0, **GRID)
    expected = image_truth(nodes, 10.0)
    errors = [worst(*pair) for pair in zip(psf.data, expected, strict=True)]
    assert max(errors) < 0.015
    assert errors[1] < 0.006
    assert worst(psf.data[0], expected[1]) > 0.1
    with caplog.at_level(logging.WARNING):
        star_psf(image, wavelength=[1.3], **GRID)
    assert "38 % in wavelength away" in caplog.text


def test_two_filters_are_mixed_between_and_exact_at_their_own(image, tmp_path):
    other = star_files.star_image(
        tmp_path / "other_i2d.fits", filter_name="F182M", wavelength=1.845, roll=-20.0, pa=80.0
    )
    pivots = [read_star(path).wavelength[0] for path in (image, other)]
    both = star_psf([image, other], wavelength=pivots, angle=5.0, **GRID)
    alone = [star_psf(path, wavelength=[p], angle=5.0, **GRID) for path, p in
             zip((other, image), sorted(pivots), strict=True)]  # fmt: skip
    np.testing.assert_allclose(both.data, [one.data[0] for one in alone], atol=1e-6)
    between = star_psf([image, other], wavelength=[1.95], angle=5.0, **GRID)
    assert worst(between.data, image_truth([1.95], 5.0)) < 0.03
    with pytest.raises(ValueError, match="same filter"):
        star_psf([image, image], wavelength=[2.0], **GRID)


@pytest.mark.parametrize("table", [False, True])
def test_cube_of_a_star_gives_the_psf_at_each_wavelength(cube, channels, table, tmp_path, caplog):
    if table:
        cube = star_files.star_cube(tmp_path / "table_s3d.fits", channels, table=True)
    nodes = [1.72, 2.0, 2.28]
    with caplog.at_level(logging.INFO):
        psf = star_psf(cube, wavelength=nodes, angle=-70.0, **GRID)
    pixel_kernels = ((0.1, 0.1, -70.0),) * 2 + ((0.05, 0.05, -120.0),)
    common = {"source": "aperture", "pixel_kernels": pixel_kernels, "angle": -70.0, **GRID}
    expected = make_psf("NIRSPEC", wavelength=nodes, **common).data
    for found, truth in zip(psf.data, expected, strict=True):
        # single spaxels are interpolated at twice the width of the slices
        assert worst(found, truth) < 0.02
    assert worst(psf.data[0], expected[2]) > 0.1
    assert 0.02 < psf.meta["missing"] < 0.05
    assert "% of the light falls beyond" in caplog.text


def test_noise_is_taken_out_over_wavelength():
    rng = np.random.default_rng(8)
    y, x = np.indices((41, 41)) - 20
    wavelength = np.linspace(1.0, 1.2, 200)
    truth = np.exp(-0.5 * (y**2 + x**2) / (2.5 * wavelength[:, None, None]) ** 2)
    noise = 0.03
    data = 5.0 + 100.0 * (truth + noise * rng.standard_normal(truth.shape))
    star = star_images(data, np.full(data.shape, np.nan), np.ones(data.shape, bool), wavelength)
    truth /= truth.sum(axis=(1, 2), keepdims=True)
    assert star.wavelength.size <= 3
    for image, place in zip(star.data, np.linspace(0, 199, star.wavelength.size), strict=True):
        error = (image - truth[int(place)])[np.hypot(y, x) < 8] / truth.max()
        assert np.sqrt(np.mean(error**2)) < noise / 4
    far = np.hypot(y, x) > 12
    assert np.abs(star.data[0][far]).max() < noise / 20 * star.data[0].max()


def test_background_is_not_taken_from_the_wings():
    y, x = np.indices((101, 101)) - 50
    radius = np.hypot(y, x)
    wings = 1.0 / (1.0 + (radius / 3.0) ** 3)
    good = np.ones((1, 101, 101), bool)
    shares = [
        star_images(1e4 * wings[None] + level, 0.1 * np.ones(good.shape), good, np.array([2.0]))
        for level in (0.0, 700.0, -40.0)
    ]
    inside = radius <= 50
    expected = np.where(inside, wings, 0) / wings[inside].sum()
    for star in shares:
        assert np.abs(star.data[0] - expected)[radius < 40].max() < 2e-3 * expected.max()
        assert star.data[0][radius < 15].sum() == pytest.approx(
            expected[radius < 15].sum(), rel=0.005
        )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda image: image.__setitem__((slice(76, 80), slice(72, 75)), np.nan), "saturated"),
        (lambda image: image.__setitem__(slice(None), 50.0), "no bright star"),
        (lambda image: image.__setitem__(slice(None), np.nan), "hardly any usable pixel"),
        (lambda image: image.__setitem__(slice(82, None), np.nan), "from the border"),
    ],
    ids=["core", "flat", "nothing", "border"],
)
def test_stars_that_make_no_psf_are_refused(tmp_path, change, text):
    path = star_files.star_image(tmp_path / "bad_i2d.fits", change=(change,))
    with pytest.raises(ValueError, match=rf"psf_image: .*bad_i2d\.fits.*{text}"):
        star_psf(path, wavelength=[2.0], parameter="psf_image", **GRID)


def _without(path, target, extension, *keys):
    with fits.open(path) as hdus:
        for key in keys:
            del hdus[extension].header[key]
        hdus.writeto(target)
    return target


def test_files_that_are_no_exposures_are_named(image, cube, tmp_path):
    given = {"wavelength": [2.0], "parameter": "psf_image", **GRID}
    with pytest.raises(FileNotFoundError, match=r"psf_image: .*none\.fits"):
        star_psf(tmp_path / "none.fits", **given)
    (tmp_path / "junk.fits").write_bytes(b"junk" * 100)
    with pytest.raises(ValueError, match=r"psf_image: .*junk\.fits cannot be read as an image"):
        star_psf(tmp_path / "junk.fits", **given)
    fits.PrimaryHDU(np.ones((9, 9))).writeto(tmp_path / "plain.fits")
    with pytest.raises(ValueError, match=r"psf_image: .*plain\.fits cannot be read as an image"):
        star_psf(tmp_path / "plain.fits", **given)
    for number, (extension, keys, text) in enumerate(
        [
            ("SCI", ("ROLL_REF",), "does not say the telescope's roll"),
            ("SCI", ("CTYPE1", "CTYPE2"), "no sky coordinates"),
            ("PRIMARY", ("FILTER",), "does not say its filter"),
        ]
    ):
        path = _without(image, tmp_path / f"{number}.fits", extension, *keys)
        with pytest.raises(ValueError, match=text):
            star_psf(path, **given)
    path = _without(cube, tmp_path / "axis.fits", "SCI", "CTYPE3")
    with pytest.raises(ValueError, match="no wavelength axis"):
        star_psf(path, **given)
    with pytest.raises(ValueError, match="not both"):
        star_psf([image, cube], **given)
    with pytest.raises(ValueError, match=r"from 1\.700 to 2\.300 um, but its PSF is needed"):
        star_psf(cube, **{**given, "wavelength": [2.0, 2.5]})
    with pytest.raises(ValueError, match="npix"):
        star_psf(cube, **{**given, "npix": 60})


def test_coarse_pixels_are_warned_of(tmp_path, caplog):
    path = star_files.star_image(tmp_path / "coarse_i2d.fits", scale=0.06, shape=(80, 83))
    with caplog.at_level(logging.WARNING):
        star_psf(path, wavelength=[2.1], **GRID)
    assert "undersampled" in caplog.text


def test_real_cube_of_an_active_nucleus(data_dir):
    path = data_dir / "mrs_s3d_real" / "ngc7469_Level3_ch4-short_s3d.fits.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    psf = star_psf(path, wavelength=[18.0, 20.5], pixel_scale=0.12, npix=41)
    for wavelength, image in zip(psf.wavelength, psf.data, strict=True):
        fwhm = 2 * np.sqrt(np.count_nonzero(image > 0.5 * image.max()) / np.pi) * 0.12
        # Law et al. (2023): 0.033 lambda + 0.106; the nucleus is not quite a point
        assert 0.95 < fwhm / (0.033 * wavelength + 0.106) < 1.25
