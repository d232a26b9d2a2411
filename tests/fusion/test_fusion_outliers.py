"""Outliers are left out; stars, lines and errors of the PSF are not taken for outliers."""

from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import make_scene, psnr, score
from scipy.ndimage import uniform_filter

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.outliers import (
    isolated_outliers,
    residual_outliers,
    sharper_than_psf,
    sharpest_contrast,
)
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.whitening import usable_data
from jwst_fusion.psf.aperture import native_psf


@pytest.fixture(scope="module")
def scene():
    return make_scene(margin=3)


@pytest.fixture(scope="module")
def clean(scene):
    return score(scene, fuse(scene.data, FusionSettings(errors=False)))


def spoiled(scene, amplitude, count, seed=0):
    """Add outliers of either sign, in standard deviations or in the unit of the data."""
    rng, data = np.random.default_rng(seed), scene.data
    cube, images = data.cube.copy(), data.images.copy()
    at = rng.integers(0, len(cube), count), rng.integers(3, 13, count), rng.integers(3, 14, count)
    pixel = rng.integers(0, len(images), count), *rng.integers(0, images.shape[1], (2, count))
    sign = rng.choice([-1, 1], (2, count))
    relative = amplitude < 1e4
    cube[at] += sign[0] * amplitude * (data.cube_sigma[at[0]] if relative else 1)
    images[pixel] += sign[1] * amplitude * (data.image_sigma[pixel[0]] if relative else 1)
    return replace(data, cube=cube, images=images), at, pixel


@pytest.mark.parametrize(("amplitude", "count"), [(1e6, 1), (1e5, 20), (100, 10)])
def test_outliers_do_no_harm(scene, clean, amplitude, count, caplog):
    data, voxels, pixels = spoiled(scene, amplitude, count)
    result = fuse(data, FusionSettings(errors=False))
    assert score(scene, result) > clean - 0.2
    assert result.rejected_voxels[voxels].all()
    assert result.rejected_images[pixels].mean() >= 0.9
    assert result.rejected_voxels.sum() <= count + 2
    assert result.rejected_images.sum() <= count + 2
    assert "are not used" in caplog.text


def test_outliers_are_believed_if_asked(scene, clean):
    data, *_ = spoiled(scene, 100, 10)
    result = fuse(
        data, FusionSettings(outlier_sigma=None, rank=4, tuning="manual", mu=1e-4, errors=False)
    )
    assert not result.rejected_voxels.any()
    assert not result.rejected_images.any()
    assert score(scene, result) < clean - 3


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_stars_and_lines_are_not_outliers(noise):
    scene = make_scene(margin=3, noise=noise)
    result = fuse(scene.data, FusionSettings(errors=False))
    assert result.rejected_images.sum() + result.rejected_voxels.sum() == 0


def test_a_lone_bright_line_star_is_kept(scene):
    """A star that shines in one resolved line only, brighter than anything else."""
    data, m = scene.data, scene.margin
    line = np.exp(-0.5 * ((np.arange(len(data.cube)) - 60) / 0.9) ** 2)  # FWHM of two channels
    at = 3 * m + 15
    cube, images = data.cube.copy(), data.images.copy()
    half = data.psf_cube.shape[1] // 2
    for y, x in np.ndindex(10, 11):
        dy, dx = 3 * y + 1 - 15, 3 * x + 1 - 15
        if max(abs(dy), abs(dx)) <= half:
            cube[:, m + y, m + x] += 3e4 * line * data.psf_cube[2, half + dy, half + dx]
    psf = data.psf_image[2]
    part = np.s_[at - half : at + half + 1]
    images[:, part, part] += 3e4 * (data.response @ line)[:, None, None] * psf
    changed = usable_data(replace(data, cube=cube, images=images))
    assert np.nanmax(cube) > 1.5 * np.nanmax(data.cube)
    assert not sharper_than_psf(changed).any()
    # Even if the model does not know it at all, its residual is not an outlier.
    known = np.zeros_like(data.cube), np.zeros_like(data.images)
    star = replace(
        changed,
        cube=np.where(np.isfinite(cube), cube - np.nan_to_num(data.cube), np.nan),
        images=images - data.images,
    )
    noise = np.random.default_rng(1)
    star.cube += data.cube_sigma[:, None, None] * noise.normal(size=cube.shape)
    star.images += data.image_sigma[:, None, None] * noise.normal(size=images.shape)
    rejection, _ = residual_outliers(star, known[1], known[0], 6.0)
    assert not rejection.any()


def test_errors_of_the_psf_are_not_outliers():
    scene = make_scene(margin=3, noise=0.3)
    wrong = scene.data.psf_image**2
    wrong /= wrong.sum((1, 2), keepdims=True)
    settings = FusionSettings(errors=False, psf_fit="none")
    result = fuse(replace(scene.data, psf_image=wrong), settings)
    assert result.noise_scale_cube > 2
    assert result.rejected_images.sum() + result.rejected_voxels.sum() == 0


def test_a_smeared_bad_pixel_is_found_whole(scene):
    images = scene.data.images.copy()
    images[2, 20:22, 30:32] += 1e5 * np.array([[0.5, 0.25], [0.2, 0.05]])
    found = sharper_than_psf(usable_data(replace(scene.data, images=images))).images
    assert found[2, 20:22, 30:32].all()
    assert found.sum() == 4


def test_outliers_at_the_border(scene):
    images, cube = scene.data.images.copy(), scene.data.cube.copy()
    images[0, 0, 0], images[1, -1, 7] = 1e6, -1e6
    cube[70, 3, 3], cube[71, 8, 13] = 1e6, -1e6
    found = sharper_than_psf(usable_data(replace(scene.data, images=images, cube=cube)))
    assert found.images[0, 0, 0]
    assert found.images[1, -1, 7]
    assert found.voxels[70, 3, 3]
    assert found.voxels[71, 8, 13]
    assert found.images.sum() + found.voxels.sum() == 4


def test_contrast_of_a_gaussian():
    y, x = np.mgrid[-9:10, -9:10]
    psf = np.exp(-0.5 * (y**2 + x**2) / 1.2**2)[None]
    assert sharpest_contrast(psf, 1) == pytest.approx(np.exp(0.5 / 1.2**2))
    assert sharpest_contrast(psf, 3) > np.exp(0.5 * 9 / 1.2**2)


def test_complete_data_with_an_outlier_are_not_mirrored():
    scene = make_scene()
    cube = scene.data.cube.copy()
    cube[40, 5, 5] = 1e6
    data = replace(scene.data, cube=cube)
    with pytest.raises(ValueError, match="outlier_sigma=None"):
        fuse(data, FusionSettings(boundary="mirror"))
    assert psnr(scene.truth, fuse(data, FusionSettings(errors=False)).cube) > 43


def test_native_guard_spares_stars_however_sampled():
    """All light of a star in one spaxel of each channel; and an outlier, which is not a star."""
    rng = np.random.default_rng(4)
    cube = rng.normal(0.0, 1.0, (40, 15, 16))
    cube[:, 6, 7] += 1e5
    cube[18:21, 10, 3] += np.array([4e3, 1e4, 4e3])  # a resolved line in one spaxel
    good = np.ones(cube.shape, bool)
    assert not isolated_outliers(cube, good, spectral=True).any()
    cube[25, 3, 12] = 1e6
    found = isolated_outliers(cube, good, spectral=True)
    assert found[25, 3, 12]
    assert found.sum() == 1


@pytest.mark.parametrize("pixel", [0.03, 0.06, 0.1])
def test_native_guard_spares_the_sharpest_stars(pixel):
    """The pattern of the aperture at 0.8 um, centred on a pixel."""
    step = 0.01
    optics = native_psf("NIRSPEC", 0.8, step, 201)
    width = round(pixel / step)
    seen = uniform_filter(optics, width, mode="constant")[
        100 % width :: width, 100 % width :: width
    ]
    image = 1e6 * seen / seen.max() + np.random.default_rng(5).normal(0.0, 1.0, seen.shape)
    assert not isolated_outliers(image[None], np.ones((1, *image.shape), bool)).any()
