"""The measure of wiggles: known sines come out, slow trends and noise do not count."""

import numpy as np
import pytest

from jwst_fusion.metrics.wiggles import (
    aperture_spectrum,
    brightest_spaxels,
    measure_wiggles,
)


def wiggling_cube(amplitude, rng):
    x = np.linspace(0, 1, 1500)
    spectrum = 100 * (1 + 0.5 * x) * (1 - 0.5 * np.exp(-0.5 * ((x - 0.3) / 0.01) ** 2))
    wiggle = 1 + amplitude * np.sin(2 * np.pi * 25 * x**1.5)
    trend = 1 + 0.3 * x - 0.1 * x**2
    profile = np.exp(-0.5 * (np.indices((7, 9))[0] - 3) ** 2 - (np.indices((7, 9))[1] - 4) ** 2)
    cube = spectrum[:, None, None] * profile
    cube[:, 3, 4] *= wiggle * trend
    return cube + rng.normal(0, 0.05, cube.shape), spectrum


@pytest.mark.parametrize("amplitude", [0.0, 0.01, 0.1])
def test_amplitude_of_a_sine(amplitude):
    cube, spectrum = wiggling_cube(amplitude, np.random.default_rng(0))
    cube[40:60, 3, 4] = np.nan
    wiggles = measure_wiggles(cube, spectrum, np.array([[3, 4]]))
    assert wiggles.mean == pytest.approx(amplitude, rel=0.06, abs=1e-3)


def test_brightest_spaxels_first_and_near():
    cube, _ = wiggling_cube(0.0, np.random.default_rng(0))
    assert tuple(brightest_spaxels(cube, 3)[0]) == (3, 4)
    near = brightest_spaxels(cube, 2, centre=(3, 7), radius=1.0)
    assert np.all(np.abs(near - [3, 7]).max(axis=1) <= 1)
    cube[:] = np.nan
    with pytest.raises(ValueError, match="spaxels have data"):
        brightest_spaxels(cube, 3)


def test_aperture_counts_fractions():
    cube = np.ones((4, 9, 11))
    np.testing.assert_allclose(aperture_spectrum(cube, (4.2, 5.1), 1.5), 9.0)
