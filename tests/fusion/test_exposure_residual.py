"""What exposures leave of a fused cube: light that no component has is found, and put back."""

import dataclasses

import numpy as np
import pytest
from exposure_scene import CHANNELS, SHIFTS, SIGMA, SIZE, STAR, exposure, gaussian_psf, grid, truth

from jwst_fusion.fusion import ExposureSettings, error_of, fuse_exposures
from jwst_fusion.fusion.residual_cube import ResidualCube, with_residual
from jwst_fusion.report.exposures.checks import structure_level

MIDDLE = (SIZE - 1) / 2
# Of a knot: x, y and standard deviation in fine pixels, peak and wavelength of its only line.
KNOT = (-9.0, -8.0, 2.0, 6.0, 2.027)
FACTOR = 2  # fine pixels per spaxel


def knot(x, y, wavelength):
    """Light of the knot behind the PSF of the spectrograph."""
    width = KNOT[2] ** 2 + SIGMA["ifu"] ** 2
    shape = np.exp(-0.5 * ((x - KNOT[0]) ** 2 + (y - KNOT[1]) ** 2) / width)
    line = np.exp(-0.5 * ((wavelength - KNOT[4]) / 0.0011) ** 2)
    return KNOT[3] * KNOT[2] ** 2 / width * shape * line


def with_knot(one):
    x, y = (at - MIDDLE for at in grid().wcs.wcs_world2pix(one.ra, one.dec, 0))
    return dataclasses.replace(one, data=one.data + knot(x, y, one.wavelength))


@pytest.fixture(scope="module")
def fused():
    """A fusion with components for everything but the knot, and its residuals."""
    exposures = [exposure(shift, 20.0, seed)[0] for seed, shift in enumerate(SHIFTS, start=1)]
    exposures = [with_knot(one) for one in exposures]
    result = fuse_exposures(
        exposures,
        gaussian_psf("ifu"),
        grid=grid(),
        wavelength=CHANNELS,
        sources=grid().sky(*(one + MIDDLE for one in STAR[:2])),
        options=ExposureSettings(rank=3),
    )
    return result, ResidualCube.of(exposures, result, FACTOR)


@pytest.fixture(scope="module")
def expected():
    y, x = np.indices((SIZE, SIZE)) - MIDDLE
    light = knot(x, y, CHANNELS[:, None, None])
    return truth(SIGMA["ifu"]) + light, light, np.hypot(x - KNOT[0], y - KNOT[1]) < 4.5


def test_light_without_a_component_is_found(fused):
    _, residual = fused
    assert residual.data.shape == (len(CHANNELS), SIZE // FACTOR, SIZE // FACTOR)
    assert np.mean(residual.error > 0) > 0.98
    significance, (channel, row, column), scatter = residual.structure()
    assert significance > 15
    assert scatter > 1.3
    assert CHANNELS[channel] == pytest.approx(KNOT[4], abs=0.001)
    at = [FACTOR * one + (FACTOR - 1) / 2 - MIDDLE for one in (column, row)]
    assert np.hypot(at[0] - KNOT[0], at[1] - KNOT[1]) < 3


def test_it_is_put_back_with_its_noise(fused, expected):
    result, residual = fused
    scene, light, near = expected
    line = (CHANNELS > 2.0235) & (CHANNELS < 2.0305)
    flux = float(light[line][:, near].sum())
    both = with_residual(result, residual)
    wrong, stated = [], []
    for one in (result, both):
        wrong.append(float((one.cube - scene)[line][:, near].sum()))
        stated.append(error_of(one, near.astype(float), line.astype(float)))
    assert abs(wrong[0]) > 0.4 * flux > 10 * stated[0]
    assert abs(wrong[1]) < 3 * stated[1] < 0.2 * flux
    inner = (slice(None), slice(4, -4), slice(4, -4))
    pulls = np.abs(both.cube - scene)[inner] / both.error[inner]
    assert 0.85 < np.quantile(pulls, 0.683) < 1.15
    # What was given is as it was.
    assert result.posterior.residual is None
    assert np.all(both.error[inner] > result.error[inner])


def test_noise_has_no_structure():
    rng = np.random.default_rng(4)
    error = rng.uniform(0.5, 2.0, (40, 12, 13))
    error[:, 3] = 0  # no pixel looks there
    data = error * rng.standard_normal(error.shape)
    significance, _, scatter = ResidualCube(data, error).structure()
    assert abs(significance) < 5.5
    assert scatter == pytest.approx(1, abs=0.1)
    none = ResidualCube(np.zeros((3, 4, 5)), np.zeros((3, 4, 5)))
    assert np.isnan(none.structure()[0])


@pytest.mark.parametrize(
    ("header", "level"),
    [
        ({}, None),
        ({"FUSRSIG": 5.0, "FUSRPART": 0.5}, None),
        ({"FUSRSIG": -9.0, "FUSRPART": 0.01}, "note"),
        ({"FUSRSIG": 9.0, "FUSRPART": 0.2}, "caution"),
        ({"FUSRSIG": 9.0, "FUSRPART": 0.2, "FUSRADD": True}, None),
    ],
)
def test_level_of_structure(header, level):
    assert structure_level(header) == level


def test_one_voxel_without_weight_hides_nothing():
    """Running sums lose all digits beside a variance of 1e20."""
    rng = np.random.default_rng(4)
    data = rng.normal(0, 1, (12, 20, 20)).astype(np.float32)
    error = np.ones_like(data)
    error[3, 4, 5] = 1e10
    data[8, 10, 10] += 60
    found, place, scatter = ResidualCube(data, error).structure()
    assert place == pytest.approx((8, 10, 10), abs=1)
    assert found == pytest.approx(60 / np.sqrt(27), abs=3)
    assert 0.9 < scatter < 1.6
