"""Point sources in images: found where they are, and nowhere else."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jwst_fusion.fusion.sources.detection import find_in_images
from jwst_fusion.fusion.sources.matched_filter import amplitude_map, false_peaks, significance
from jwst_fusion.fusion.sources.point_fit import Stamps, fit_point
from jwst_fusion.fusion.sources.psf_shapes import PsfShape
from jwst_fusion.fusion.sources.source_list import SourceList

SHAPE = (72, 80)


def airy_like(width, *, coma=0.0, size=41):
    """A band-limited PSF: the transform of a filled disc, with rings; asymmetric with coma."""
    y, x = np.indices((256, 256)) - 128
    radius = np.hypot(x, y) / (256 / (2.2 * width))
    phase = coma * (3 * radius**3 - 2 * radius) * np.cos(np.arctan2(y, x))
    pupil = (radius < 1) * np.exp(1j * phase)
    light = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(pupil)))) ** 2
    half = size // 2
    light = light[128 - half : 129 + half, 128 - half : 129 + half]
    return light / light.sum()


def images_of(psfs, x, y, flux, *, background=0.0, noise=1.0, seed=1):
    """Images (F, Y, X) of stars with fluxes (J, F), and noise."""
    rng = np.random.default_rng(seed)
    images = np.zeros((len(psfs), *SHAPE)) + background
    for image, psf, fluxes in zip(images, psfs, np.transpose(flux), strict=True):
        shape = PsfShape(psf)
        for at_x, at_y, one in zip(x, y, fluxes, strict=True):
            image += one * shape(np.arange(SHAPE[0]) - at_y, np.arange(SHAPE[1]) - at_x)[0]
    return images + noise * rng.standard_normal(images.shape)


@pytest.fixture(scope="module")
def psfs():
    return np.array([airy_like(2.1, coma=0.3), airy_like(2.4)])


def field(count, seed, *, apart=9.0):
    rng = np.random.default_rng(seed)
    x, y = [], []
    while len(x) < count:
        one = rng.uniform(6, SHAPE[1] - 7), rng.uniform(6, SHAPE[0] - 7)
        if all(np.hypot(one[0] - a, one[1] - b) > apart for a, b in zip(x, y, strict=True)):
            x.append(one[0])
            y.append(one[1])
    return np.array(x), np.array(y)


def found_among(sources, x, y, *, within=0.7):
    """Which source is each of the true ones, -1 if none; and how many are none of them."""
    index = []
    for at_x, at_y in zip(x, y, strict=True):
        distance = np.hypot(sources.x - at_x, sources.y - at_y)
        near = len(sources) and distance.min() < within
        index.append(int(distance.argmin()) if near else -1)
    index = np.array(index)
    return index, len(sources) - len(set(index[index >= 0]))


def test_shape_between_pixels_is_that_of_the_band_limited_psf():
    psf = airy_like(2.4)
    shape = PsfShape(psf)
    at = np.arange(-20, 21)
    edge = slice(2, -2)
    assert np.allclose(shape(at, at)[0][edge, edge], psf[edge, edge], atol=1e-6)
    fy, fx = np.fft.fftfreq(41)[:, None], np.fft.fftfreq(41)
    shifted = np.fft.ifft2(np.fft.fft2(psf) * np.exp(-2j * np.pi * (0.3 * fx - 0.4 * fy))).real
    inner = slice(5, 36)
    assert np.abs(shape(at + 0.4, at - 0.3)[0] - shifted)[inner, inner].max() < 1e-3 * psf.max()
    orders = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
    rows, columns, step = at[8:33] + 0.2, at[8:33] - 0.1, 1e-4
    values = shape(rows, columns, orders=orders)
    right, left = (shape(rows, columns + one, orders=orders) for one in (step, -step))
    up = shape(rows + step, columns, orders=orders)
    assert np.allclose((right[0] - left[0]) / (2 * step), values[1], atol=1e-6)
    assert np.allclose((right[1] - left[1]) / (2 * step), values[3], atol=2e-5)
    assert np.allclose((up[1] - values[1]) / step, values[4], atol=1e-4)


def test_amplitudes_are_those_of_a_least_squares_fit(psfs):
    rng = np.random.default_rng(3)
    image = rng.standard_normal((30, 31)) + 5
    weight = rng.uniform(0.5, 2, image.shape)
    weight[12, 14] = 0
    amplitude, error = amplitude_map(image, weight, psfs[0], 4)
    stamps = Stamps.cut([image], [weight], [PsfShape(psfs[0])], x=13, y=15, radii=[4])
    fit = fit_point(stamps, 13, 15, reach=1, move=False)
    assert amplitude[15, 13] == pytest.approx(fit.flux[0], rel=1e-3)
    assert error[15, 13] == pytest.approx(fit.error[0], rel=1e-3)


def test_significance_is_normal_without_sources():
    ratios = np.random.default_rng(1).standard_normal((4, 200_000))
    level = significance(ratios)
    for sigma, share in ((1.0, 0.1587), (2.0, 0.02275), (3.0, 0.00135)):
        assert np.mean(level > sigma) == pytest.approx(share, rel=0.15)
    # the formula for large values joins the other one
    joint = significance(np.sqrt(np.array([[599.9, 600.1]])))
    assert 0 < joint[1] - joint[0] < 0.01
    assert significance(np.full((1, 1), 1e3))[0] == pytest.approx(1e3, rel=1e-3)


def test_noise_has_as_many_peaks_as_expected(psfs):
    rng = np.random.default_rng(2)
    image = rng.standard_normal((500, 500))
    amplitude, error = amplitude_map(image, np.ones_like(image), psfs[1], 5)
    level = 3.6
    inside = (amplitude / error)[8:-8, 8:-8]
    middle = inside[1:-1, 1:-1]
    around = [
        inside[1 + i : inside.shape[0] - 1 + i, 1 + j : inside.shape[1] - 1 + j]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if (i, j) != (0, 0)
    ]
    count = np.sum((middle > level) & np.all([middle > one for one in around], axis=0))
    expected = middle.size * false_peaks(level, psfs[1], 5)
    # peaks between pixels are missed by the map, not by the fit
    assert 0.35 * expected < count < 1.2 * expected


def test_stars_are_found_and_measured(psfs):
    x, y = field(14, 5)
    unit = 1 / np.sqrt(np.sum(psfs**2, (1, 2)))
    strength = np.geomspace(12, 3000, 14)
    flux = strength[:, None] * unit
    pulls = []
    for seed in (1, 2, 3):
        images = images_of(psfs, x, y, flux, background=30.0, seed=seed)
        found = find_in_images(images, np.ones_like(images), psfs)
        index, false = found_among(found, x, y)
        assert np.all(index >= 0)
        assert false == 0
        faint = strength < 60  # of bright ones the error is mostly that of the PSF
        pulls += list(((found.x[index] - x) / found.x_error[index])[faint])
        pulls += list(((found.y[index] - y) / found.y_error[index])[faint])
    assert 0.5 < np.std(pulls) < 1.4
    assert np.all(np.diff(found.significance) <= 0)
    assert not found.given.any()
    fewer = find_in_images(images, np.ones_like(images), psfs, most=3)
    assert np.allclose(fewer.significance, found.significance[:3])


def test_noise_and_structure_are_no_sources(psfs):
    rng = np.random.default_rng(8)
    y, x = np.indices(SHAPE)
    clouds = 100 * gaussian_filter(rng.standard_normal(SHAPE), 3.0)
    knots = sum(
        400 * np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / 1.3**2)
        for a, b in rng.uniform(8, 64, (6, 2))
    )
    limb = 60.0 * (np.hypot(x - 40.3, y - 30.8) < 21)
    jet = 80 * np.exp(-0.5 * ((y - 0.7 * x - 5) / 0.8) ** 2)
    scenes = {"noise": 0 * clouds, "clouds": clouds, "knots": knots, "limb": limb, "jet": jet}
    for name, scene in scenes.items():
        blurred = [np.fft.irfft2(np.fft.rfft2(scene) * _transfer(psf), SHAPE) for psf in psfs]
        images = np.array(blurred) + np.random.default_rng(9).standard_normal((2, *SHAPE))
        found = find_in_images(images, np.ones_like(images), psfs)
        assert len(found) == 0, f"{name}: {found.x} {found.y}"


def _transfer(psf):
    padded = np.zeros(SHAPE)
    padded[: len(psf), : len(psf)] = psf
    return np.fft.rfft2(np.roll(padded, (-(len(psf) // 2),) * 2, (0, 1)))


def test_another_psf_makes_no_companions(psfs):
    true = np.array([airy_like(2.1, coma=0.4), airy_like(2.5, coma=0.1)])
    x, y = np.array([22.3, 55.8]), np.array([30.6, 40.1])
    images = images_of(true, x, y, np.array([[2e4, 3e4], [8e3, 5e3]]))
    found = find_in_images(images, np.ones_like(images), psfs)
    index, false = found_among(found, x, y)
    assert np.all(index >= 0)
    assert false == 0


def test_close_pairs_are_told_apart(psfs):
    x, y = np.array([30.2, 33.4, 60.0]), np.array([30.1, 31.6, 20.0])
    images = images_of(psfs, x, y, np.array([[900, 800], [500, 700], [300, 300]]))
    found = find_in_images(images, np.ones_like(images), psfs)
    index, false = found_among(found, x, y, within=0.3)
    assert np.all(index >= 0)
    assert false == 0


@pytest.mark.parametrize("core", [np.nan, 0.0, "weight"])
def test_saturated_stars_are_kept(psfs, core):
    x, y = np.array([31.3, 60.0]), np.array([40.4, 20.0])
    images = images_of(psfs, x, y, np.array([[4e4, 2e4], [400, 400]]), background=20.0)
    weights = np.ones_like(images)
    rows, columns = np.indices(SHAPE)
    hole = np.hypot(rows - 40, columns - 31) <= 2.3
    if core == "weight":
        weights[:, hole] = 0
    else:
        images[:, hole] = core
    # a pixel without data is no source
    images[:, 10, 10] = np.nan
    found = find_in_images(images, weights, psfs)
    index, false = found_among(found, x, y, within=0.1)
    assert np.all(index >= 0)
    assert false == 0


def test_known_sources_and_light_are_no_news(psfs):
    x, y = np.array([25.4, 50.2]), np.array([30.0, 33.3])
    flux = np.array([[5e3, 5e3], [200, 300]])
    images = images_of(psfs, x, y, flux)
    unknown = [np.nan]
    known = SourceList([25.4], [30.0], unknown, unknown, unknown, ["A"], [True])
    found = find_in_images(images, np.ones_like(images), psfs, known=known)
    assert len(found) == 1
    assert np.hypot(found.x[0] - x[1], found.y[0] - y[1]) < 0.2
    light = images_of(psfs, x[:1], y[:1], flux[:1], noise=0.0)
    # three per cent are left of a star that was subtracted: beside its light, they say nothing
    left = images - 0.97 * light
    assert len(find_in_images(left, np.ones_like(images), psfs)) == 2
    assert len(find_in_images(left, np.ones_like(images), psfs, light=0.97 * light)) == 1


def test_options_are_checked(psfs):
    images = np.zeros((2, *SHAPE))
    with pytest.raises(ValueError, match="false_alarms must be a positive number"):
        find_in_images(images, images, psfs, false_alarms=0)
    with pytest.raises(ValueError, match="most must be at least 1"):
        find_in_images(images, images, psfs, most=0)
    assert len(find_in_images(images, images, psfs)) == 0
