import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy.ndimage import gaussian_filter

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.fusion.observed.offset import image_offset, measure_offset
from jwst_fusion.fusion.observed.registration import (
    choose_factor,
    common_grid,
    independent_share,
    resample_image,
)
from jwst_fusion.fusion.observed.sky import SkyGrid, crop_to_grid


@pytest.fixture
def grid(products):
    def make(shape=(20, 24), scale=0.1, pa=0.0, **options):
        return SkyGrid(products.wcs(shape, scale, pa, **options), shape)

    return make


def separation(one, other):
    return one.separation(other).arcsec.max()


@pytest.mark.parametrize("cd", [False, True])
@pytest.mark.parametrize("pa", [0.0, 33.0, -120.0, 179.0])
def test_geometry_of_a_grid(grid, pa, cd):
    one = grid(pa=pa, cd=cd)
    assert one.scale == pytest.approx(0.1)
    assert one.scales == pytest.approx((0.1, 0.1))
    assert one.pa_y == pytest.approx(pa, abs=1e-4)
    assert one.square
    assert not one.mirrored


def test_mirrored_grid(grid):
    one = grid(pa=20.0, mirrored=True)
    assert one.mirrored
    other = one.mirror()
    assert not other.mirrored
    assert other.pa_y == pytest.approx(20.0, abs=1e-4)
    x, y = np.array([0.0, 5.0, 23.0]), np.array([0.0, 7.0, 19.0])
    assert separation(one.sky(x, y), other.sky(23 - x, y)) < 1e-6


@pytest.mark.parametrize("cd", [False, True])
def test_centres_of_spaxels_lie_where_the_engine_expects_them(grid, cd):
    coarse = grid(pa=40.0, cd=cd)

    @given(st.integers(2, 6), st.floats(-3, 30), st.floats(-3, 30))
    def check(factor, row, column):
        fine = coarse.refined(factor)
        x, y = (factor * n + (factor - 1) / 2 for n in (column, row))
        assert separation(fine.sky(x, y), coarse.sky(column, row)) < 1e-6
        assert fine.shape == (20 * factor, 24 * factor)

    check()


def test_cropping_and_padding_keep_the_sky(grid):
    one = grid(pa=10.0)
    part = one.cropped((slice(3, 12), slice(5, 20)))
    assert part.shape == (9, 15)
    assert separation(part.sky(2.0, 4.0), one.sky(7.0, 7.0)) < 1e-6
    wide = part.padded((2, 1), (4, 0))
    assert wide.shape == (12, 19)
    assert separation(wide.sky(4.0, 2.0), part.sky(0.0, 0.0)) < 1e-6


def test_product_grid_is_the_field(grid):
    field = (slice(2, 15), slice(4, 20))
    common = common_grid(grid(), field=field, factor=3, margin=0.45)
    assert common.padding == ((5, 5), (5, 5))
    assert common.coarse.shape == (23, 26)
    assert common.product.shape == (39, 48)
    assert separation(common.product.sky(1.0, 1.0), grid().sky(4.0, 2.0)) < 1e-6


def test_factor_from_the_data():
    assert choose_factor(0.1, [0.0311]) == 3
    assert choose_factor(0.1, [0.063]) == 2
    assert choose_factor(0.1, [0.063, 0.0311]) == 3
    assert choose_factor(0.13, [0.11]) == 2


@pytest.mark.parametrize(("ra", "dec"), [(83.8, -5.4), (0.00005, 10.0), (12.0, 89.9995)])
def test_crop_finds_the_overlap(grid, ra, dec):
    large = grid(shape=(400, 420), scale=0.03, pa=25.0, ra=ra, dec=dec)
    small = grid(shape=(20, 24), ra=ra, dec=dec)
    rows, columns = crop_to_grid(large, small, border=3)
    x, y = large.pixels(small.corners())
    assert rows.start < y.min() < y.max() < rows.stop
    assert columns.start < x.min() < x.max() < columns.stop
    assert rows.stop - rows.start < 130
    assert crop_to_grid(large, grid(ra=ra, dec=dec - 0.1), border=3) is None
    assert crop_to_grid(large, grid(ra=ra + 180, dec=-dec), border=3) is None


@pytest.mark.parametrize(
    ("source", "tolerance"),
    [
        ({"pa": 25.0}, 2e-3),
        ({"pa": -140.0, "cd": True}, 2e-3),
        ({"pa": 25.0, "mirrored": True}, 2e-3),
        ({"pa": 25.0, "ra": 0.00005, "dec": 10.0}, 2e-3),
        ({"pa": 25.0, "ra": 200.0, "dec": 89.9995}, 2e-3),
    ],
    ids=["rotated", "CD matrix", "mirrored", "RA near 0", "pole"],
)
def test_resampling_recovers_the_scene(scene, products, grid, source, tolerance):
    scene.ra, scene.dec = source.get("ra", scene.ra), source.get("dec", scene.dec)
    where = {"ra": scene.ra, "dec": scene.dec}
    image = grid(shape=(130, 140), scale=0.0312, **source)
    target = grid(shape=(60, 66), scale=0.1 / 3, **where)
    bandpass = load_bandpass("F210M")
    data = scene.image(image.wcs, image.shape, bandpass, products.imager_sigma)
    expected = scene.image(target.wcs, target.shape, bandpass, products.imager_sigma)
    found, _ = resample_image(data, np.ones_like(data), np.ones(data.shape, bool), image, target)
    assert np.abs(found - expected).max() < tolerance * expected.max()


def airy(image, target, cutoff):
    """A star that is band-limited at a frequency per pixel of the image, seen on another grid."""
    x, y = image.pixels(target.sky(*np.indices(target.shape)[::-1]))
    radius = np.hypot(x - image.shape[1] / 2 - 0.3, y - image.shape[0] / 2 + 0.2)
    argument = np.pi * cutoff * np.maximum(radius, 1e-6)
    return (2 * special.j1(argument) / argument) ** 2


@pytest.mark.parametrize("shape", [(130, 140), (131, 140)])
def test_stars_at_the_diffraction_limit_keep_their_peak(grid, shape):
    image = grid(shape=shape, scale=0.0311, pa=25.0)
    target = grid(shape=(60, 66), scale=0.1 / 3)
    data = airy(image, image, 0.45)
    found, _ = resample_image(data, np.ones_like(data), np.ones(data.shape, bool), image, target)
    assert np.abs(found - airy(image, target, 0.45)).max() < 1e-3


def test_pixels_that_are_not_square(scene, products, grid):
    image = grid(shape=(130, 140), scale=0.0312, pa=25.0)
    image.wcs.wcs.cdelt = [0.031 / 3600, 0.034 / 3600]
    image.wcs.wcs.set()
    assert not image.square
    target = grid(shape=(60, 66), scale=0.1 / 3)
    bandpass = load_bandpass("F210M")
    data = scene.image(image.wcs, image.shape, bandpass, products.imager_sigma)
    expected = scene.image(target.wcs, target.shape, bandpass, products.imager_sigma)
    found, _ = resample_image(data, np.ones_like(data), np.ones(data.shape, bool), image, target)
    assert np.abs(found - expected).max() < 2e-3 * expected.max()


def test_errors_describe_the_resampled_noise(grid):
    image, target = grid(shape=(90, 95), scale=0.0312, pa=25.0), grid((40, 44), 0.1 / 3)
    rng = np.random.default_rng(3)
    sigma = np.where(np.indices(image.shape)[1] < 45, 1.0, 3.0)
    good = np.ones(image.shape, bool)
    samples = []
    for _ in range(200):
        noise = sigma * rng.standard_normal(image.shape)
        value, err = resample_image(noise, sigma, good, image, target)
        samples.append(value)
    ratio = np.std(samples, axis=0) / err
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    assert np.all((ratio > 0.7) & (ratio < 1.3))


def test_bad_pixels_spoil_only_their_surroundings(scene, products, grid):
    image, target = grid(shape=(130, 140), scale=0.0312, pa=25.0), grid((60, 66), 0.1 / 3)
    data = scene.image(image.wcs, image.shape, load_bandpass("F210M"), products.imager_sigma)
    good = np.ones(data.shape, bool)
    clean, _ = resample_image(data, np.ones_like(data), good, image, target)
    rng = np.random.default_rng(1)
    good[rng.integers(0, 130, 40), rng.integers(0, 140, 40)] = False
    broken = np.where(good, data, np.nan)
    found, err = resample_image(broken, np.where(good, 1.0, np.nan), good, image, target)
    lost = np.isnan(found)
    assert 0.001 < lost.mean() < 0.05
    assert np.array_equal(lost, np.isnan(err))
    assert np.nanmax(np.abs(found - clean)) < 0.01 * clean.max()


def test_outside_the_image_there_is_nothing(grid):
    image, target = grid(shape=(30, 30), scale=0.0312), grid((20, 20), 0.1)
    data = np.full(image.shape, 7.0)
    found, err = resample_image(data, data, np.ones(data.shape, bool), image, target)
    assert np.isnan(found[0]).all()
    assert np.nanmin(found) == pytest.approx(7.0)
    assert np.isnan(err[np.isnan(found)]).all()
    far = grid(ra=10.0, dec=70.0)
    assert np.isnan(resample_image(data, data, np.ones(data.shape, bool), image, far)[0]).all()


def test_field_on_the_sky(grid):
    one = grid(pa=30.0)
    assert one.window(one.centre, 0.5, 0.7) == (slice(6, 14), slice(9, 15))
    assert one.window(one.centre, 50.0, 50.0) == (slice(0, 20), slice(0, 24))
    assert one.window(grid(dec=20.0).centre, 0.5, 0.5) is None


@pytest.mark.parametrize(
    ("shift", "rim"),
    [
        ((0.0, 0.0), 0),
        ((0.4, -0.7), 0),
        ((-1.6, 1.1), 0),
        ((-7.5, 7.5), 5),
        ((15.0, 9.0), 10),
        ((15.3, -9.4), 10),
        ((30.0, -30.0), 20),
    ],
)
@pytest.mark.parametrize("factor", [2, 3])
def test_offset_of_an_image_against_the_cube(scene, products, grid, shift, rim, factor):
    coarse, bandpass = grid((22, 24)), load_bandpass("F210M")
    fine = coarse.padded((rim, rim), (rim, rim)).refined(factor)
    wave = np.linspace(1.95, 2.25, 60)
    from jwst_fusion.bandpass import photometry_weights

    response = photometry_weights(wave, bandpass)
    cube = scene.cube(coarse.wcs, coarse.shape, wave, products.cube_sigma)
    synthetic = np.tensordot(response, cube, 1)
    synthetic[:3, :3] = np.nan
    moved = fine.shifted(-shift[0], -shift[1])
    image = scene.image(moved.wcs, fine.shape, bandpass, products.imager_sigma)
    y, x = np.indices((61, 61)) - 30
    radius = (x**2 + y**2) * fine.scale**2
    psfs = [
        np.exp(-0.5 * radius / sigma(2.1) ** 2)
        for sigma in (products.imager_sigma, products.cube_sigma)
    ]
    found, error = image_offset(
        1.3 * image + 5,
        synthetic,
        psf_image=psfs[0] / psfs[0].sum(),
        psf_cube=psfs[1] / psfs[1].sum(),
        factor=factor,
        rim=rim,
    )
    assert found == pytest.approx(shift, abs=0.03)
    assert error < 0.05


def gaussians(*widths):
    y, x = np.indices((31, 31)) - 15
    psfs = [np.exp(-0.5 * (x**2 + y**2) / width**2) for width in widths]
    return [psf / psf.sum() for psf in psfs]


@pytest.mark.parametrize("kind", ["noise", "slope", "other sky", "no overlap"])
def test_what_does_not_match_is_not_measured(kind):
    psfs = dict(zip(("psf_image", "psf_cube"), gaussians(1.0, 3.0), strict=True))
    y, x = np.indices((102, 108))
    for seed in range(10):
        rng = np.random.default_rng(seed)
        image, cube = rng.standard_normal((102, 108)), rng.standard_normal((14, 16))
        if kind == "slope":
            image, cube = image + 0.01 * x, cube + 0.03 * np.arange(16)
        if kind == "other sky":
            image += 50 * np.exp(-0.5 * ((x - 20) ** 2 + (y - 20) ** 2) / 4)
            image[:60, :60] = np.nan
            cube[7, 8] += 50
        if kind == "no overlap":
            image[:, 20:] = np.nan
        found = image_offset(image, cube, factor=3, rim=10, **psfs)
        assert found == ((0.0, 0.0), np.inf)


def test_a_place_that_looks_alike_is_not_taken_for_the_true_one():
    psfs = gaussians(1.0, 3.0)
    options = {"psf_image": psfs[0], "psf_cube": psfs[1], "factor": 3, "rim": 10}
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sky = gaussian_filter(rng.standard_normal((220, 220)), 6.0)
        blurred = gaussian_filter(sky, 3.0)
        # Twelve spaxels of 3 pixels; the image has them only in the second case.
        for start in (170, 60):
            cube = blurred[start + 1 : start + 37 : 3, start + 1 : start + 37 : 3]
            cube = cube + 0.02 * cube.std() * rng.standard_normal(cube.shape)
            image = gaussian_filter(sky, 1.0)[20:116, 25:121]
            found.append(image_offset(image, cube, **options))
    assert all(error == np.inf for _, error in found[::2])
    # The cube begins at pixel 60 of the sky, and in the image at 60 - 20 and 60 - 25, rim included.
    errors = np.array([error for _, error in found[1::2]])
    pulls = (np.array([offset for offset, _ in found[1::2]]) - (5.0, 10.0)) / errors[:, None]
    assert np.max(errors) < 0.06
    assert np.abs(pulls).max() < 4
    assert np.std(pulls) < 1.5


def test_a_grid_follows_its_target(grid):
    for ra, dec, ra2, dec2 in ((83.8, -5.4, 83.9, -5.3), (0.0001, 60.0, 359.99, 60.01)):
        one = grid(pa=33.0, ra=ra, dec=dec)
        source, target = one.sky(5.0, 7.0), grid(ra=ra2, dec=dec2).centre
        other = one.recentred(source, target)
        assert separation(other.sky(5.0, 7.0), target) < 1e-6
        assert other.scale == pytest.approx(one.scale)
        assert source.position_angle(one.sky(15.0, 9.0)).deg == pytest.approx(
            target.position_angle(other.sky(15.0, 9.0)).deg, abs=1e-3
        )
        assert other.mirrored == one.mirrored


def test_no_structure_no_offset():
    flat = np.ones((20, 20))
    assert measure_offset(flat, flat[::2, ::2], flat[::2, ::2] > 0, 2)[1] == np.inf
    assert (
        image_offset(
            np.full((20, 20), np.nan),
            np.ones((10, 10)),
            psf_image=np.ones((1, 1)),
            psf_cube=np.ones((1, 1)),
            factor=2,
        )[1]
        == np.inf
    )


def test_errors_of_means_hold_on_finer_pixels(grid):
    image, target = grid(shape=(60, 66), scale=0.063, pa=25.0), grid((70, 74), 0.1 / 3)
    rng = np.random.default_rng(4)
    sigma, good = np.ones(image.shape), np.ones(image.shape, bool)
    means = []
    for _ in range(200):
        value, err = resample_image(rng.standard_normal(image.shape), sigma, good, image, target)
        means.append(value[15:55, 15:55].mean())
    claimed = np.sqrt(np.sum(err[15:55, 15:55] ** 2)) / 40**2
    assert np.std(means) == pytest.approx(claimed, rel=0.25)


def test_finer_pixels_share_noise(products):
    """Means over large areas have the errors that independent pixels would give them."""
    source = SkyGrid(products.wcs((80, 80), 0.06), (80, 80))
    target = SkyGrid(products.wcs((100, 100), 0.03), (100, 100))
    rng = np.random.default_rng(11)
    good, err = np.ones(source.shape, bool), np.full(source.shape, 2.0)
    share = independent_share(source, target)
    assert share == pytest.approx(0.25)
    means, spread, errors = [], [], []
    for _ in range(60):
        noise = 2.0 * rng.standard_normal(source.shape)
        data, error = resample_image(noise, err, good, source, target)
        means.append(data[20:80, 20:80].mean())
        spread.append(data.std())
        errors.append(np.median(error))
    assert np.std(means) == pytest.approx(np.median(errors) / 60, rel=0.25)
    # What the pixels show is less, as one over the root of the share.
    assert np.mean(spread) == pytest.approx(np.median(errors) * np.sqrt(share), rel=0.05)


def test_the_rest_of_a_mosaic_changes_nothing(grid):
    """A cut-out and the mosaic that it lies in give the same."""
    rng = np.random.default_rng(6)
    large = grid(shape=(420, 430), scale=0.0312)
    sky = gaussian_filter(rng.normal(0, 1, large.shape), 2.0)
    err, good = np.full(large.shape, 0.1), np.ones(large.shape, bool)
    target = grid(shape=(60, 66), scale=0.1 / 3).shifted(0.03, -0.02)
    whole = resample_image(sky, err, good, large, target)
    inner = (slice(60, -60), slice(60, -60))
    small = large.cropped(tuple(slice(60, size - 60) for size in large.shape))
    part = resample_image(sky[inner], err[inner], good[inner], small, target)
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4, equal_nan=True)
    assert np.isfinite(whole[0]).all()
