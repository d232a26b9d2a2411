"""PSFs that are fitted together with the scene."""

from dataclasses import replace

import numpy as np
import pytest
from star_scene import STARS, gaussian, make_scene

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.psf_modes import SHIFTS, WIDTHS, core_variance, mode, reshaped
from jwst_fusion.fusion.solver.settings import FusionSettings

MODEL = (1.1, 2.2)  # widths of the model's PSFs, pixels


def biases(result, spectra):
    """Relative errors of the mean flux of each star."""
    found = result.sources
    nearest = [np.hypot(found.positions.x - x, found.positions.y - y).argmin() for x, y, _ in STARS]
    return np.array(
        [found.flux[j].sum() / one.sum() - 1 for j, one in zip(nearest, spectra, strict=True)]
    )


@pytest.mark.parametrize("name", WIDTHS + SHIFTS)
def test_modes_are_derivatives_of_transfer_functions(name):
    psf = gaussian(2.0, 15, 15, (31, 31))[None]
    psf /= psf.sum()
    grid, step = Grid(12, 13, 3), 1e-5
    change = grid.otf(reshaped(psf, {name: step})) - grid.otf(reshaped(psf, {name: -step}))
    expected = mode(grid.shape, name) * grid.otf(psf)
    np.testing.assert_allclose(change / (2 * step), expected, atol=2e-3)


def test_reshaped_gaussians_are_gaussians_of_another_width():
    psf = gaussian(1.5, 20, 20, (41, 41))[None]
    wide = reshaped(psf, {"xx": 0.7, "yy": 0.7, "x": 0.3, "y": -0.2})[0]
    expected = gaussian(np.sqrt(1.5**2 + 0.7), 20.3, 19.8, (41, 41))
    np.testing.assert_allclose(wide, expected, atol=1e-6)
    back = reshaped(reshaped(psf, {"xx": 0.7, "xy": 0.2}), {"xx": -0.7, "xy": -0.2})
    np.testing.assert_allclose(back, psf, atol=0.01 * psf.max())


def test_core_variance_is_that_of_a_gaussian():
    assert core_variance(gaussian(3.0, 20, 20, (41, 41))) == pytest.approx(9, rel=0.1)


@pytest.mark.parametrize("widths", [(1.1, 2.2), (1.16, 2.3), (1.05, 2.1), (1.1, 2.35)])
def test_widths_of_the_data_are_found_and_fluxes_are_right(widths):
    data, sharp, spectra, _ = make_scene(widths)
    result = fuse(data)
    fit = result.psf_fit
    image, cube = (true**2 - model**2 for true, model in zip(widths, MODEL, strict=True))
    np.testing.assert_allclose(fit.image[:2], image, atol=0.012)
    np.testing.assert_allclose(fit.cube[:2], cube, atol=0.12)
    np.testing.assert_allclose([*fit.image[2:], *fit.shift], 0, atol=0.02)
    bias = np.abs(biases(result, spectra))
    assert bias.max() < 0.02
    # what the fit leaves is in the error of the spectra
    assert 5e-4 < np.sqrt(np.sum(fit.flux**2)) < 0.02
    believed = fuse(data, FusionSettings(psf_fit="none"))
    assert believed.psf_fit is None
    if widths != MODEL:
        assert np.abs(biases(believed, spectra)).max() > 3 * bias.max()
        error = [np.sqrt(np.mean((one.cube - sharp) ** 2)) for one in (result, believed)]
        assert error[0] < 0.8 * error[1]


def test_what_images_leave_at_the_brightest_sources_is_told():
    data, *_ = make_scene((1.16, 2.3))
    fit = fuse(data).psf_fit
    assert fit.left.shape == (2, len(fit.sources)) == (2, min(len(STARS), 3))
    for x, y in fit.sources:
        assert min(np.hypot(one[0] - x, one[1] - y) for one in STARS) < 0.5
    before, after = fit.left
    assert np.all(after < before)
    assert after[0] < 0.4 * before[0]  # that of the others is noise


def test_gains_and_widths_are_found_together():
    data, _, spectra, _ = make_scene((1.16, 2.3))
    result = fuse(data, FusionSettings(gains="fitted", errors=False))
    np.testing.assert_allclose(result.gains, 1, atol=0.005)
    np.testing.assert_allclose(result.psf_fit.image[:2], 1.16**2 - 1.1**2, atol=0.015)
    assert np.abs(biases(result, spectra)).max() < 0.02


def test_a_narrower_psf_is_still_one():
    rows, columns = np.indices((41, 41)) - 20
    psf = gaussian(2.2, 20, 20, (41, 41)) + 1e-3 / (1 + (rows**2 + columns**2) / 9) ** 1.5
    psf = psf[None] / psf.sum()
    least = 0.4 * core_variance(psf[0])
    narrow = reshaped(psf, {"xx": -least, "yy": -least})
    assert narrow.min() > -0.01 * narrow.max()
    assert core_variance(narrow[0]) < 0.8 * core_variance(psf[0])


def test_names_of_a_catalogue_stay_with_their_sources():
    data, *_ = make_scene((1.16, 2.5))
    weight = data.spaxel_weight.copy()
    weight[:, :3] = 0
    at = np.array([(2.0, 40.0), *((x, y) for x, y, _ in STARS)])
    data = replace(data, spaxel_weight=weight, sources=at)
    result = fuse(data, FusionSettings(sources="given", errors=False))
    assert result.psf_fit.matters
    assert list(result.sources.positions.name) == ["2", "3", "4"]


def test_a_shift_of_the_cube_is_found():
    data, _, spectra, _ = make_scene()
    moved = reshaped(data.psf_cube, {"x": -0.2, "y": 0.15})
    result = fuse(replace(data, psf_cube=moved))
    np.testing.assert_allclose(result.psf_fit.shift, (0.2, -0.15), atol=0.02)
    assert np.abs(biases(result, spectra)).max() < 0.02


def test_without_sources_the_cube_is_fitted_alone():
    data, *_ = make_scene((1.1, 2.4))
    result = fuse(data, FusionSettings(sources="none"))
    fit = result.psf_fit
    assert not fit.image.any()
    assert not fit.errors[:3].any()
    assert len(fit.flux) == 0
    np.testing.assert_allclose(fit.cube[:2], 2.4**2 - 2.2**2, atol=0.25)


def test_products_of_the_fit_describe_what_was_used():
    data, *_ = make_scene((1.16, 2.3))
    result = fuse(data)
    fit = result.psf_fit
    names = (*WIDTHS, *SHIFTS)
    image = reshaped(data.psf_image, dict(zip(WIDTHS, fit.image, strict=True)))
    cube = reshaped(data.psf_cube, dict(zip(names, (*fit.cube, *fit.shift), strict=True)))
    np.testing.assert_allclose(fit.psf_image, image, atol=1e-12)
    np.testing.assert_allclose(fit.psf_cube, cube, atol=1e-12)
    assert fit.matters


@pytest.mark.parametrize(
    "options",
    [
        {"boundary": "mirror", "outlier_sigma": None},
        {"regularisation": "none"},
        {"tuning": "syfu"},
    ],
)
def test_psfs_are_believed_where_they_cannot_be_fitted(options):
    assert not FusionSettings(**options).fits_psf


def test_of_an_unknown_fit_the_choices_are_named():
    with pytest.raises(ValueError, match=r"psf_fit.*none.*width"):
        FusionSettings(psf_fit="focus")
