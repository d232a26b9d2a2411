"""Fusion from native pixels: a scene known in closed form is found, with its errors."""

import dataclasses

import numpy as np
import pytest
from exposure_scene import (
    CHANNELS,
    NOISE,
    SCALE,
    SHIFTS,
    SIGMA,
    SIZE,
    STAR,
    exposure,
    gaussian_psf,
    grid,
    image,
    spectrum,
    truth,
)

from jwst_fusion.bandpass import Bandpass
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion import ExposureSettings, error_of, fuse_exposures
from jwst_fusion.fusion.exposures.quick_cube import quick_cube


@pytest.fixture(scope="module")
def exposures():
    return [exposure(shift, 20.0, seed) for seed, shift in enumerate(SHIFTS, start=1)]


@pytest.fixture(scope="module")
def star():
    return grid().sky(*([one + (SIZE - 1) / 2] for one in STAR[:2]))


INNER = (slice(None), slice(4, -4), slice(4, -4))


def check(result, sigma, exposures, limit):
    expected = truth(sigma)[INNER]
    error = result.cube[INNER] - expected
    assert np.sqrt(np.mean(error**2)) < limit
    pulls = np.abs(error) / result.error[INNER]
    assert 0.6 < np.quantile(pulls, 0.68) < 1.5
    for (one, hit), residuals, rejected in zip(
        exposures, result.residuals, result.rejected, strict=True
    ):
        used = np.isfinite(residuals)
        assert not (used & ~one.good).any()
        kept = used & ~rejected
        assert np.std(residuals[kept]) == pytest.approx(NOISE["ifu"], rel=0.05)
        hits = np.zeros(len(used), bool)
        hits[hit] = True
        assert rejected[hits & used].all()
        assert np.count_nonzero(rejected & ~hits) < 5
    np.testing.assert_allclose(result.scales, 1.0, atol=0.05)
    check_sums(result, result.cube - truth(sigma))


def check_sums(result, error):
    """Errors of sums are those stated, which the errors of voxels are not."""
    posterior = result.posterior
    arrays = [one for one in vars(posterior).values() if isinstance(one, np.ndarray)]
    assert sum(one.size for one in arrays) < result.cube.size
    rng = np.random.default_rng(3)
    pulls, ratio = [], []
    for side, channels in ((1, 1), (7, 1), (1, 20), (7, 20)):
        for _ in range(25):
            y, x = rng.integers(4, SIZE - 4 - side, 2)
            first = rng.integers(len(CHANNELS) + 1 - channels)
            mask, weights = np.zeros((SIZE, SIZE)), np.zeros(len(CHANNELS))
            mask[y : y + side, x : x + side] = weights[first : first + channels] = 1
            stated = error_of(result, mask, weights)
            pulls.append(abs(np.sum(weights @ (error * mask).sum((1, 2)))) / stated)
            ratio.append(stated / np.sqrt(weights**2 @ (result.error**2 * mask).sum((1, 2))))
    ratio = np.reshape(ratio, (4, -1)).mean(1)
    assert ratio[0] == pytest.approx(1, abs=0.1)
    assert np.all(ratio[1:] > 1.5)
    assert 0.7 < np.quantile(pulls, 0.68) < 1.4
    assert result.departure < 0.05


def test_exposures_alone(exposures, star):
    result = fuse_exposures(
        [one for one, _ in exposures],
        gaussian_psf("ifu"),
        grid=grid(),
        wavelength=CHANNELS,
        sources=star,
        options=ExposureSettings(max_rank=5),
    )
    assert result.cube.shape == result.error.shape == (len(CHANNELS), SIZE, SIZE)
    check(result, SIGMA["ifu"], exposures, 0.25)
    expected = spectrum(*STAR[2:], CHANNELS) * np.radians(SCALE / 3600) ** 2 * 1e6
    assert np.median(np.abs(result.source_flux[0] / expected - 1)) < 0.03
    # Most of the error of its spectrum is one factor, which channels share.
    shared = np.sqrt(np.sum(result.source_factor[0] ** 2, axis=1))
    assert np.all((shared > 0.7 * result.source_error[0]) & (shared < result.source_error[0]))
    pull = np.sum(result.source_flux[0] - expected) / np.hypot(
        np.linalg.norm(result.source_factor[0].sum(0)),
        np.sqrt(np.sum(result.source_error[0] ** 2 - shared**2)),
    )
    assert abs(pull) < 3
    assert result.image_residuals == []


def test_images_sharpen_the_scene(exposures, star):
    picture, bandpass = image()
    alone = {"grid": grid(), "wavelength": CHANNELS, "sources": star}
    alone["options"] = ExposureSettings(max_rank=5)
    both = fuse_exposures(
        [one for one, _ in exposures],
        [gaussian_psf("ifu")] * 4,
        images=[picture],
        image_psfs=gaussian_psf("image"),
        bandpasses=[bandpass],
        **alone,
    )
    check(both, SIGMA["image"], exposures, 1.5)
    residuals = both.image_residuals[0]
    seen = np.isfinite(residuals)
    assert seen.mean() > 0.3
    # Part of the noise is fitted, as there are about as many maps' pixels as image pixels.
    assert 0.45 < np.median(np.abs(residuals[seen])) / NOISE["image"] < 0.75
    assert both.image_scales[0] == pytest.approx(1, abs=0.3)
    without = fuse_exposures(
        [one for one, _ in exposures],
        gaussian_psf("ifu"),
        product_psf=gaussian_psf("image"),
        **alone,
    )
    expected = truth(SIGMA["image"])[INNER]
    errors = [np.sqrt(np.mean((one.cube[INNER] - expected) ** 2)) for one in (both, without)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("wider", [0.95, 1.05])
def test_with_another_psf_that_is_believed_light_stays_in_its_place(exposures, star, wider):
    """The cube is right to some per cent at the star; its own spectrum, a split of that, is not."""
    result = fuse_exposures(
        [one for one, _ in exposures],
        gaussian_psf("ifu", wider),
        grid=grid(),
        wavelength=CHANNELS,
        sources=star,
        product_psf=gaussian_psf("ifu"),
        options=ExposureSettings(max_rank=5, psf_fit="none"),
    )
    expected = truth(SIGMA["ifu"])
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    distance = np.hypot(x - STAR[0], y - STAR[1])
    aperture = result.cube[:, distance < 6].sum(1) / expected[:, distance < 6].sum(1)
    np.testing.assert_allclose(aperture, 1, atol=0.015)
    near = distance < 4
    assert np.std(result.cube[:, near] / expected[:, near] - 1) < 0.08
    far = np.zeros(near.shape, bool)
    far[INNER[1:]] = True
    far &= distance > 7
    pulls = np.abs(result.cube - expected)[:, far] / result.error[:, far]
    assert np.quantile(pulls, 0.68) < 1.8
    flux = spectrum(*STAR[2:], CHANNELS) * np.radians(SCALE / 3600) ** 2 * 1e6
    ratio = result.source_flux[0] / flux
    assert np.std(ratio) / np.mean(ratio) < 0.03  # colours and lines are right, its level is not
    assert not any(
        (one & ~np.isin(np.arange(len(one)), hit)).any()
        for one, (_, hit) in zip(result.rejected, exposures, strict=True)
    )


def test_offsets_are_found(exposures):
    """The second exposure points elsewhere than its coordinates say, by 0.05 and -0.03 arcsec."""
    moved = [one for one, _ in exposures[:3]]
    true = moved[1]
    wrong = grid().sky(
        *(
            at + shift / SCALE
            for at, shift in zip(
                grid().wcs.wcs_world2pix(true.ra, true.dec, 0), (-0.05, 0.03), strict=True
            )
        )
    )
    moved[1] = dataclasses.replace(true, ra=wrong.ra.deg, dec=wrong.dec.deg)
    result = fuse_exposures(
        moved,
        gaussian_psf("ifu"),
        grid=grid(),
        wavelength=CHANNELS,
        options=ExposureSettings(max_rank=5, offsets="fitted", errors=False),
    )
    np.testing.assert_array_equal(result.offsets[0], 0)
    expected = np.array([[0.05, -0.03], [0.0, 0.0]])
    assert np.all(result.offset_errors[1:] < 0.001)
    np.testing.assert_allclose(result.offsets[1:], expected, atol=0.002)
    # Stated errors take the spectra to be known.
    pulls = (result.offsets[1:] - expected) / result.offset_errors[1:]
    assert np.abs(pulls).max() < 5
    assert result.error is None


def test_factor_and_level_of_an_image_are_found(exposures, star):
    picture, bandpass = image()
    other = dataclasses.replace(picture, data=1.1 * picture.data + 2.0, err=1.1 * picture.err)
    given = {"grid": grid(), "wavelength": CHANNELS, "sources": star}
    given |= {"image_psfs": gaussian_psf("image"), "bandpasses": [bandpass]}
    settings = ExposureSettings(max_rank=5, gains="fitted", errors=False)
    used = [one for one, _ in exposures]
    one, two = (
        fuse_exposures(used, gaussian_psf("ifu"), images=[seen], options=settings, **given)
        for seen in (picture, other)
    )
    for result, gain, level in ((one, 1.0, 0.0), (two, 1.1, 2.0)):
        assert result.converged
        assert result.image_gain_errors[0] < 0.002
        assert result.image_level_errors[0] < 0.02
        assert abs(result.image_gains[0] - gain) < 4 * result.image_gain_errors[0]
        assert abs(result.image_levels[0] - level) < 4 * result.image_level_errors[0]
    # Nothing else has changed.
    assert np.sqrt(np.mean((one.cube - two.cube)[INNER] ** 2)) < 0.1


def test_quick_cube_is_the_scene_where_it_is_linear():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-0.5, 20.4, 8000), rng.uniform(-0.5, 14.4, 8000)
    channel = rng.uniform(0, 5, 8000)
    data = np.full(8000, 3.0)
    data[17] = 1e4
    cube, error = quick_cube([(x, y, channel, data, np.ones(8000))], 6, shape=(5, 7), spaxel=3)
    assert cube.shape == (6, 5, 7)
    np.testing.assert_allclose(cube, 3.0)
    assert np.all((error > 0.05) & (error < 0.7))


def test_what_cannot_be_fused_is_said(exposures):
    one = exposures[0][0]
    given = {"grid": grid(), "wavelength": CHANNELS}
    psf = gaussian_psf("ifu")
    with pytest.raises(ValueError, match="exposures is empty"):
        fuse_exposures([], psf, **given)
    with pytest.raises(ValueError, match="holds 2 PSFs for 1 observations"):
        fuse_exposures([one], [psf, psf], **given)
    wrong = dataclasses.replace(psf, pixel_scale=0.03)
    with pytest.raises(ValueError, match=r"pixels of 0\.03 arcsec"):
        fuse_exposures([one], wrong, **given)
    with pytest.raises(NotFusableError, match="exposure 1 has no good pixel"):
        fuse_exposures([one], psf, grid=grid(), wavelength=CHANNELS + 1)
    with pytest.raises(ValueError, match="1 images and 0 bandpasses"):
        fuse_exposures([one], psf, images=[image()[0]], image_psfs=psf, **given)
    picture, _ = image()
    wide = Bandpass("WIDE", np.linspace(2.0, 2.1, 200), np.ones(200), "test")
    with pytest.raises(NotFusableError, match="leave the image out"):
        fuse_exposures([one], psf, images=[picture], image_psfs=psf, bandpasses=[wide], **given)
    with pytest.raises(ValueError, match="mirrored"):
        fuse_exposures([one], psf, grid=grid().mirror(), wavelength=CHANNELS)
    with pytest.raises(TypeError, match=r"options must be ExposureSettings\(...\), got dict"):
        fuse_exposures([one], psf, options={"passes": 1}, **given)
    with pytest.raises(TypeError, match="exposures must be a list of ExposureObservation, got Exp"):
        fuse_exposures(one, psf, **given)
    with pytest.raises(
        TypeError, match="exposures must be a list of ExposureObservation; number 1"
    ):
        fuse_exposures([one, "one_cal.fits"], psf, **given)
    with pytest.raises(TypeError, match="exposure_psfs must be a list of PsfCube; number 0 is nda"):
        fuse_exposures([one], psf.data, **given)
    with pytest.raises(TypeError, match="product_psf must be one PsfCube, got list"):
        fuse_exposures([one], psf, product_psf=[psf], **given)
    with pytest.raises(TypeError, match="grid must be a SkyGrid, got WCS"):
        fuse_exposures([one], psf, grid=grid().wcs, wavelength=CHANNELS)
    with pytest.raises(TypeError, match='sources must be a SkyCoord, "auto" or None, got tuple'):
        fuse_exposures([one], psf, sources=(1, 2), **given)
    many = ExposureSettings(rank=40, mu=(1.0,) * 40)
    with pytest.raises(ValueError, match=r"mu has 40 values, but the exposures tell only \d+ comp"):
        fuse_exposures([one], psf, options=many, **given)
    with pytest.raises(ValueError, match="err has the shape"):
        dataclasses.replace(one, err=one.err[:3])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_rank", 0),
        ("passes", 11),
        ("tolerance", 0.5),
        ("outlier_sigma", 2),
        ("offsets", "free"),
        ("gains", 1),
        ("rolls", "free"),
        ("psf_fit", "wavefront"),
        ("positions", None),
        ("false_alarms", 0),
        ("mu", (1.0,)),
    ],
)
def test_settings_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        ExposureSettings(**{name: value})
