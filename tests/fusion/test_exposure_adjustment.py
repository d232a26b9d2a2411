"""What differs between exposures and images is found with the scene, whatever PSFs they have."""

import dataclasses
from types import SimpleNamespace

import exposure_scene
import numpy as np
import pytest
from exposure_scene import (
    CHANNELS,
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

from jwst_fusion.fusion import ExposureSettings, fuse_exposures
from jwst_fusion.fusion.exposures import nuisance
from jwst_fusion.fusion.exposures.inputs import place_inputs
from jwst_fusion.fusion.exposures.pointing import first_offsets
from jwst_fusion.fusion.exposures.quick_cube import QuickCube
from jwst_fusion.fusion.solver.posterior import CubePosterior, sum_variances
from jwst_fusion.fusion.stored_posterior import EXTENSIONS, packed, unpacked
from jwst_fusion.metrics import psnr

MIDDLE = (SIZE - 1) / 2


@pytest.fixture(scope="module")
def exposures():
    return [exposure(shift, 20.0, seed)[0] for seed, shift in enumerate(SHIFTS, start=1)]


@pytest.fixture(scope="module")
def starless():
    none = (*STAR[:2], 0.0, 0.0, 0.0)
    used = [exposure(shift, 20.0, seed, star=none)[0] for seed, shift in enumerate(SHIFTS, 1)]
    return used, image(star=none)


@pytest.fixture(scope="module")
def star():
    return grid().sky(*([one + MIDDLE] for one in STAR[:2]))


def fused(used, star, *, wider=1.0, picture=None, image_wider=1.0, **options):
    given = {}
    if picture is not None:
        seen, bandpass = picture
        given = {"images": [seen], "bandpasses": [bandpass]}
        given["image_psfs"] = gaussian_psf("image", image_wider)
    kind = "ifu" if picture is None else "image"
    return fuse_exposures(
        used,
        gaussian_psf("ifu", wider),
        grid=grid(),
        wavelength=CHANNELS,
        sources=star,
        product_psf=gaussian_psf(kind),
        options=ExposureSettings(max_rank=5, **options),
        **given,
    )


def star_flux():
    return spectrum(*STAR[2:], CHANNELS) * np.radians(SCALE / 3600) ** 2 * 1e6


def excess(kind, wider):
    """Variance by which the PSF of the data is wider than that of the model, arcsec squared."""
    return (1 - wider**2) * (SIGMA[kind] * SCALE) ** 2


def near_star(cube):
    y, x = np.indices((SIZE, SIZE)) - MIDDLE
    return cube[:, np.hypot(x - STAR[0], y - STAR[1]) < 4]


@pytest.mark.parametrize("wider", [0.95, 1.0, 1.05])
def test_width_of_the_psf_is_found_from_the_star(exposures, star, wider):
    result = fused(exposures, star, wider=wider)
    expected = [excess("ifu", wider)] * 2 + [0.0]
    for widths, errors in zip(result.psf_widths, result.psf_width_errors, strict=True):
        assert np.all(errors < 0.02 * (SIGMA["ifu"] * SCALE) ** 2)
        assert np.abs((widths - expected) / errors).max() < 3
    ratio = result.source_flux[0] / star_flux()
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert np.std(ratio) < 0.01
    pulls = (result.source_flux[0] - star_flux()) / result.source_error[0]
    assert np.quantile(np.abs(pulls), 0.68) < 1.3
    # Without the width of the PSF among what is unknown they would be a third of that.
    assert np.median(result.source_error[0] / star_flux()) > 0.01
    found, known = near_star(result.cube), near_star(truth(SIGMA["ifu"]))
    assert np.std(found / known - 1) < 0.01
    assert len({id(one) for one in result.exposure_psfs}) == 1
    assert result.converged


@pytest.mark.parametrize(("wider", "image_wider"), [(1.0, 1.0), (1.05, 1.0), (1.05, 0.95)])
def test_widths_of_both_psfs_are_found(exposures, star, wider, image_wider):
    result = fused(
        exposures, star, wider=wider, picture=image(), image_wider=image_wider, errors=False
    )
    for kind, factor, widths, errors in (
        ("ifu", wider, result.psf_widths[0], result.psf_width_errors[0]),
        ("image", image_wider, result.image_psf_widths[0], result.image_psf_width_errors[0]),
    ):
        expected = [excess(kind, factor)] * 2 + [0.0]
        assert np.abs((widths - expected) / errors).max() < 3.5
        assert np.all(errors < 0.02 * (SIGMA[kind] * SCALE) ** 2)
    ratio = result.source_flux[0] / star_flux()
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert np.std(near_star(result.cube) / near_star(truth(SIGMA["image"])) - 1) < 0.015


def test_without_sources_the_width_that_psfs_share_stays(exposures, starless):
    used, picture = starless
    alone = fused(used, None, wider=1.05, errors=False)
    np.testing.assert_array_equal(alone.psf_widths, 0)
    both = fused(used, None, wider=1.05, picture=picture, errors=False)
    np.testing.assert_array_equal(both.image_psf_widths, 0)
    # The image tells what the exposures would see.
    error = both.psf_width_errors[0, :2]
    assert np.all(np.abs(both.psf_widths[0, :2] - excess("ifu", 1.05)) < 3 * error)
    believed = fused(used, None, wider=1.05, picture=picture, errors=False, psf_fit="none")
    np.testing.assert_array_equal(believed.psf_widths, 0)


@pytest.mark.parametrize("wider", [1.0, 1.05])
def test_star_is_found_and_nothing_else(exposures, starless, wider):
    def distance(result):
        at = np.array(grid().pixels(result.sources)).ravel() - MIDDLE
        return at - STAR[:2], result.source_position_errors.ravel() / SCALE

    # With an image the right PSF, without one the wrong one: the search takes seconds.
    picture = image() if wider == 1 else None
    result = fused(exposures, "auto", wider=wider, picture=picture, errors=False)
    assert len(result.sources) == len(result.source_flux) == 1
    away, error = distance(result)
    assert np.all(error < 0.01)
    assert np.abs(away / error).max() < 3
    used, picture = starless
    empty = fused(used, "auto", wider=wider, picture=picture if wider > 1 else None, errors=False)
    assert empty.sources is None
    assert empty.source_flux.shape == (0, len(CHANNELS))


def test_position_of_the_star_is_fitted_to_the_pixels(exposures):
    wrong = grid().sky([STAR[0] + MIDDLE + 0.2], [STAR[1] + MIDDLE - 0.15])
    moved = fused(exposures, wrong, wider=1.05, errors=False)
    away = np.array(grid().pixels(moved.sources)).ravel() - MIDDLE - STAR[:2]
    error = moved.source_position_errors.ravel() / SCALE
    assert np.abs(away / error).max() < 3
    kept = fused(exposures, wrong, errors=False, positions="fixed")
    assert kept.sources.separation(wrong).arcsec.max() < 1e-6
    np.testing.assert_array_equal(kept.source_position_errors, 0)


@pytest.mark.parametrize("wider", [1.0, 1.05])
def test_brightness_and_background_of_exposures_are_found(exposures, star, wider):
    true = np.array([[1.0, 0.0], [1.05, 0.0], [0.96, 1.0], [1.0, -0.5]])
    used = [
        dataclasses.replace(one, data=gain * one.data + level, err=gain * one.err)
        for one, (gain, level) in zip(exposures, true, strict=True)
    ]
    result = fused(used, star, wider=wider, picture=image(), gains="fitted", errors=False)
    found = np.column_stack([result.gains, result.levels])
    errors = np.column_stack([result.gain_errors, result.level_errors])
    np.testing.assert_array_equal(found[0], true[0])
    np.testing.assert_array_equal(errors[0], 0)
    assert np.all(errors[1:] < (0.001, 0.01))
    assert np.abs((found - true)[1:] / errors[1:]).max() < 3
    assert abs(result.image_gains[0] - 1) < 3 * result.image_gain_errors[0]
    # Residuals are in the units of each exposure.
    plain = fused(exposures, star, wider=wider, picture=image(), errors=False)
    assert np.nanstd(result.cube - plain.cube) < 0.1
    for one, other, (gain, _) in zip(result.residuals, plain.residuals, true, strict=True):
        sound = np.isfinite(one) & (np.abs(other) < 3)
        assert np.std(one[sound] - gain * other[sound]) < 0.1


def turned(one, angle):
    """An exposure whose coordinates are turned about the middle, from columns to rows, degree."""
    x, y = (at - MIDDLE for at in grid().wcs.wcs_world2pix(one.ra, one.dec, 0))
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    sky = grid().sky(MIDDLE + cosine * x - sine * y, MIDDLE + sine * x + cosine * y)
    return dataclasses.replace(one, ra=sky.ra.deg, dec=sky.dec.deg)


@pytest.mark.parametrize("wider", [1.0, 1.05])
def test_roll_is_found(exposures, star, wider):
    visits = [dataclasses.replace(one, pa_v3=40.0 * (k > 1)) for k, one in enumerate(exposures)]
    second = [*visits[:2], *(turned(one, -0.3) for one in visits[2:])]
    result = fused(second, star, wider=wider, rolls="fitted", errors=False)
    np.testing.assert_array_equal(result.rolls[:2], 0)
    assert result.rolls[2] == result.rolls[3]
    assert result.rolls[3] == pytest.approx(0.3, abs=0.02)
    assert abs(result.rolls[3] - 0.3) < 3 * result.roll_errors[3]
    # Pixels look where they do, not where their coordinates say.
    for number, one in enumerate(visits):
        seen = result.places(number, second[number].ra, second[number].dec)
        true = grid().wcs.wcs_world2pix(one.ra, one.dec, 0)
        np.testing.assert_allclose(seen, true, atol=0.05)
    both = fused(
        [turned(one, -0.3) for one in visits],
        star,
        wider=wider,
        picture=image(),
        rolls="fitted",
        errors=False,
    )
    np.testing.assert_allclose(both.rolls, 0.3, atol=0.02)
    assert np.all(np.abs(both.rolls - 0.3) < 3 * both.roll_errors)


@pytest.mark.parametrize(("wider", "beside"), [(1.0, 0.0), (1.05, 0.2)])
def test_coordinates_that_are_wrong_by_more_than_the_psf(wider, beside):
    """All exposures by 0.25 arcsec, and one of them by even more in the other direction."""
    picture, band = image()
    views = [exposure(shift, 20.0, seed)[0] for seed, shift in enumerate(SHIFTS)]
    views = [dataclasses.replace(one, dec=one.dec - 0.25 / 3600) for one in views]
    east = beside / 3600 / np.cos(np.radians(views[1].dec))
    views[1] = dataclasses.replace(views[1], ra=views[1].ra + east)
    found = fuse_exposures(
        views,
        gaussian_psf("ifu", wider),
        grid=grid(),
        wavelength=CHANNELS,
        images=[picture],
        image_psfs=gaussian_psf("image", wider),
        bandpasses=[band],
        sources="auto",
        options=ExposureSettings(offsets="fitted", max_rank=4, errors=False),
    )
    assert found.converged
    true = np.array([[0.0, 0.25]] * len(views))
    true[1, 0] = beside
    np.testing.assert_allclose(found.offsets, true, atol=0.003)
    assert psnr(truth(SIGMA["image"]), found.cube) > 55


def test_each_exposure_has_a_place_of_its_own():
    """Offsets that no exposure shares with another, before anything is fitted."""
    picture, band = image()
    true = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0], [-2.0, -5.0]])  # fine pixels
    views = [exposure(shift, 20.0, seed)[0] for seed, shift in enumerate(SHIFTS)]
    views = [
        dataclasses.replace(one, ra=one.ra + x * SCALE / 3600, dec=one.dec - y * SCALE / 3600)
        for one, (x, y) in zip(views, true, strict=True)
    ]
    # A pixel that no wavelength is known of.
    nowhere = np.arange(len(views[0].data)) == 7
    views[0] = dataclasses.replace(
        views[0],
        good=views[0].good & ~nowhere,
        wavelength=np.where(nowhere, np.nan, views[0].wavelength),
    )
    psfs = gaussian_psf("ifu"), gaussian_psf("image")
    inputs = place_inputs(views, psfs[0], grid(), CHANNELS, [picture], psfs[1], [band], None)
    quick = QuickCube.of(inputs.exposures, inputs.placed, inputs.domain, inputs.axis)
    found = first_offsets(inputs, quick)
    np.testing.assert_allclose(found, true, atol=0.5)
    assert not found[0].any()


def test_a_field_without_structure_keeps_its_coordinates(monkeypatch, caplog):
    monkeypatch.setattr(exposure_scene, "BLOBS", ())
    dark = (0.0, 0.0, 0.0, 0.0, 0.0)
    picture, band = image(star=dark)
    found = fuse_exposures(
        [exposure(shift, 20.0, seed, star=dark)[0] for seed, shift in enumerate(SHIFTS)],
        gaussian_psf("ifu"),
        grid=grid(),
        wavelength=CHANNELS,
        images=[picture],
        image_psfs=gaussian_psf("image"),
        bandpasses=[band],
        options=ExposureSettings(offsets="fitted", max_rank=4, errors=False),
    )
    assert not found.offsets.any()
    assert "their coordinates are believed" in caplog.text


def test_what_no_pixel_tells_does_not_spoil_the_rest():
    """An exposure whose pixels are all rejected: nothing reacts to its factor."""
    shape, rng = (6, 1, 3), np.random.default_rng(2)
    problem = SimpleNamespace(
        preconditioner=lambda: lambda groups: groups,
        grid=SimpleNamespace(multiplicity=np.ones(shape[0])),
        normal=lambda groups: 1.1 * groups,
    )
    change = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    known = np.diag([100.0, 0.0])
    reactions, shared = nuisance._react(
        problem, [change, np.zeros(shape, complex)], known, np.ones(2), 1e-3
    )
    np.testing.assert_allclose(reactions[0], change / 1.1, rtol=1e-5)
    assert np.abs(reactions[1]).max() == 0
    np.testing.assert_allclose(shared, [[np.sum(np.abs(change) ** 2) / 1.1, 0], [0, 0]], rtol=1e-5)


def test_errors_of_sums_hold_what_all_pixels_share():
    rng = np.random.default_rng(7)
    basis, mean = rng.uniform(1, 2, (5, 2)), rng.standard_normal((3, 5))
    common = rng.standard_normal((3, 2, 9, 8)).astype(np.float32)
    posterior = CubePosterior(
        covariance=1e-12 * np.eye(2)[None, :, :, None, None],
        share=np.ones((1, 9, 8)),
        basis=basis,
        psf_weights=np.ones((5, 1)),
        psf=np.ones((1, 1, 1)),
        maps=np.zeros((2, 9, 8)),
        common=common,
        common_mean=mean,
    )
    mask, weights = np.zeros((9, 8)), rng.standard_normal((2, 5))
    mask[2:5, 1:7] = 1
    changes = np.einsum("la,qayx->qlyx", basis, common) + mean[:, :, None, None]
    sums = np.einsum("qlyx,yx->ql", changes, mask)
    arrays = packed(posterior, mirrored=False)
    names = dict.fromkeys(EXTENSIONS) | arrays | {"component_spectra": basis.T}
    for one in (posterior, unpacked(names)[0]):
        found = sum_variances(one, mask, weights)
        np.testing.assert_allclose(found, np.sum((weights @ sums.T) ** 2, axis=1), rtol=1e-4)
        np.testing.assert_allclose(sum_variances(one, mask), np.sum(sums**2, axis=0), rtol=1e-4)
    part = posterior.cropped(slice(2, 5), slice(1, 7), 1)
    found = sum_variances(part, mask[2:5, 1:7], weights)
    np.testing.assert_allclose(found, np.sum((weights @ sums.T) ** 2, axis=1), rtol=1e-4)
