"""Sources that are damaged in images, or have another brightness than in the cube."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jwst_fusion.fusion.observed.disagreement import (
    Disagreement,
    _confirmed,
    find_disagreements,
)
from jwst_fusion.metrics import psnr
from jwst_fusion.products.observations import read_cube
from jwst_fusion.steps.fusion import FusionStep

WAVE = np.linspace(1.66, 2.30, 33)
FILTERS = ("F182M", "F210M")
STAR = (-0.15, 0.2)  # East and North, arcsec
X, Y = 50.3, 42.6  # of the star in arrays, fine pixels


def gaussian(sigma, x=0.0, y=0.0, shape=(41, 41)):
    rows, columns = np.indices(shape)
    middle = [(size - 1) / 2 for size in shape]
    radius = (columns - middle[1] - x) ** 2 + (rows - middle[0] - y) ** 2
    return np.exp(-0.5 * radius / sigma**2) / (2 * np.pi * sigma**2)


def psf(sigma, *place):
    """A core with wings, which both instruments have."""
    return 0.85 * gaussian(sigma, *place) + 0.15 * gaussian(np.hypot(sigma, 4.0), *place)


def star(sigma, flux, shape=(90, 96)):
    return flux * psf(sigma, X - (shape[1] - 1) / 2, Y - (shape[0] - 1) / 2, shape)


def observed(*, gain=1.0, flux=3000.0, seed=2):
    """Image and cube of clouds with a star, and PSFs."""
    rng = np.random.default_rng(seed)
    sky = gaussian_filter(rng.standard_normal((90, 96)), 5.0)
    sky = 10 + 3 * sky / sky.std()
    image = gaussian_filter(sky, 1.2) + star(1.2, gain * flux)
    cube = gaussian_filter(sky, 3.0) + star(3.0, flux)
    image = image + 0.05 * rng.standard_normal(image.shape)
    cube = cube[1::3, 1::3] + 0.1 * rng.standard_normal((30, 32))
    return image, cube, {"psf_image": psf(1.2), "psf_cube": psf(3.0), "factor": 3}


def damaged(image, kind, radius=2.5):
    y, x = np.indices(image.shape)
    distance = np.hypot(x - X, y - Y)
    image = image.copy()
    if kind == "clipped":
        image = np.minimum(image, np.where(distance < 8, 0.5 * image.max(), np.inf))
    else:
        image[distance < radius] = {"zero": 0.0, "nan": np.nan}[kind]
    return image


@pytest.mark.parametrize("kind", ["zero", "clipped"])
def test_a_damaged_core_is_found(kind):
    image, cube, psfs = observed()
    (found,) = find_disagreements(damaged(image, kind), cube, **psfs)
    assert (found.x, found.y) == pytest.approx((X, Y), abs=1.0)
    assert 2 < found.radius <= 6
    assert np.isnan(found.gain)
    assert found.excess == 0


@pytest.mark.parametrize("gain", [1.5, 0.6])
def test_a_source_that_varied_is_found(gain):
    image, cube, psfs = observed(gain=gain)
    (found,) = find_disagreements(image, cube, **psfs)
    assert (found.x, found.y) == pytest.approx((X, Y), abs=0.1)
    assert found.radius == 0
    assert found.gain == pytest.approx(gain, rel=0.03)
    assert found.excess == pytest.approx((gain - 1) * 3000, abs=60)


def test_what_agrees_is_left_alone():
    for seed in range(5):
        image, cube, psfs = observed(seed=seed)
        assert find_disagreements(image, cube, **psfs) == []
        # A scale and a level are no disagreement, nor are pixels without data.
        assert find_disagreements(1.3 * image + 4, cube, **psfs) == []
        assert find_disagreements(damaged(image, "nan"), cube, **psfs) == []
        # Nor is a PSF that is not quite right.
        psfs["psf_cube"] = psf(3.15)
        assert find_disagreements(image, cube, **psfs) == []


def test_another_field_is_not_mended():
    image, cube, psfs = observed()
    other = observed(seed=9)[0]
    assert find_disagreements(np.rot90(other[:, :90]), cube[:, :30], alike=True, **psfs) == []
    assert find_disagreements(np.full(image.shape, np.nan), cube, **psfs) == []
    assert find_disagreements(image, np.full(cube.shape, np.nan), **psfs) == []


@pytest.fixture
def members(scene, products):
    """Cube and images of a scene with a star."""
    scene.sources = (*scene.sources[2:], (*STAR, 0.004, 1e5, 0.3, 0.0, 1.9))
    cube = products.cube(scene, WAVE, shape=(15, 16))
    return [cube, *(products.image(scene, name, shape=(150, 154)) for name in FILTERS)]


@pytest.fixture
def fuse(gaussian_psfs):
    def run(members, **options):
        quick = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
        return FusionStep.call(members, **{**quick, **gaussian_psfs, **options})

    return run


def spoil(members, scene, products, kind):
    for image in members[1:]:
        wcs = products.wcs(image.data.shape, 0.0312, 25.0, ra=scene.ra, dec=scene.dec)
        east, north = scene.offsets(wcs, image.data.shape)
        distance = np.hypot(east - STAR[0], north - STAR[1]) / 0.0312
        if kind in ("zero", "flagged"):
            image.data[distance < 2.5] = 0 if kind == "zero" else np.nan
        elif kind == "clipped":
            near = distance < 8
            image.data[near] = np.minimum(image.data[near], 0.5 * image.data[near].max())
        else:
            wavelength = {"F182M": 1.845, "F210M": 2.095}[image.meta.instrument.filter]
            sigma = products.imager_sigma(wavelength)
            light = np.exp(-0.5 * (distance * 0.0312 / sigma) ** 2)
            image.data += np.float32(0.5 * image.data[distance < 2].max()) * light.astype("f4")


@pytest.mark.parametrize("kind", ["zero", "clipped", "varied"])
def test_the_scene_elsewhere_is_as_without_the_fault(members, scene, products, fuse, kind):
    def elsewhere(result):
        grid = read_cube(result).grid
        truth = scene.cube(grid.wcs, grid.shape, WAVE, products.imager_sigma)
        east, north = scene.offsets(grid.wcs, grid.shape)
        far = np.hypot(east - STAR[0], north - STAR[1]) > 0.25
        good = (result.dq == 0) & far
        near = (np.isfinite(result.data) & ~far).all(0)
        flux = result.data[:, near].sum() / truth[:, near].sum()
        return psnr(truth, result.data, good), flux

    flagged = [one.copy() for one in members]
    if kind != "varied":
        spoil(flagged, scene, products, "flagged")
    plain, _ = elsewhere(fuse(flagged))
    spoil(members, scene, products, kind)
    result = fuse(members)
    found, flux = elsewhere(result)
    assert found > plain - 2.5
    assert flux == pytest.approx(1, abs=0.04)
    kinds = [row["kind"] for row in result.message_table]
    assert kinds.count("varied_source" if kind == "varied" else "damaged_core") >= 2
    # The source did not draw the images to itself.
    assert result.meta.fusion.registration == "wcs"
    if kind != "clipped":
        believed, _ = elsewhere(fuse(members, outlier_sigma=0))
        assert believed < found - 3


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([1.5], True),
        ([1.2], False),
        ([1.5, 1.45, None], True),
        ([1.5, 0.6, None], False),
        ([1.5, None, None], False),
    ],
)
def test_a_source_varied_only_where_images_agree(gains, expected):
    every = [[] if one is None else [Disagreement(20.0, 30.0, 0.0, one)] for one in gains]
    assert _confirmed(every[0][0], 0, every) == expected
