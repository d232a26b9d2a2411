"""The data that two JWST cubes make: their responses give the cubes of a known scene."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.s3d_data import data_from_s3d
from jwst_fusion.products.observations import read_cube

PSF = 1.5 * 2.3548 * 0.05  # FWHM, arcsec


@pytest.fixture
def options():
    given = {"wave_band": None, "margin": None, "psf_fwhm": PSF, "lsf_fwhm": None}
    return SimpleNamespace(**given, psf_angle=0.0, psf_centre="file")


@pytest.fixture
def observed(s3d_pair):
    truth, wave, models = s3d_pair(noise=1e-4)
    return truth, wave, [read_cube(model) for model in models]


@pytest.mark.parametrize("order", [1, -1])
def test_responses_give_the_cubes(observed, options, order):
    truth, wave, cubes = observed
    data, x, y = data_from_s3d(*cubes[::order], {}, options)
    assert (x.name, y.name) == ("sharp_s3d.fits", "fine_s3d.fits")
    assert np.allclose(data.coordinate, wave)
    assert data.response_x.mask.all()
    assert data.response_y.mask.all()
    assert np.allclose(data.response_x.forward(truth), data.x, atol=2e-3)
    # Pixels are boxes for one Gaussian and points for the other, and the border is guessed.
    off = data.response_y.forward(truth) - data.y
    assert np.abs(off[:, 1:-1, 1:-1]).max() < 0.03 * data.y.max()
    flat = np.full(data.response_y.shape, 3.0)
    assert np.allclose(data.response_y.forward(flat), 3.0)
    assert np.allclose(data.response_x.forward(flat), 3.0)
    assert data.sigma_x == pytest.approx(1e-4)


def test_adjoints(observed, options):
    data = data_from_s3d(*observed[2], {}, replace_of(options, lsf_fwhm=0.01))[0]
    rng = np.random.default_rng(0)
    for response in (data.response_x, data.response_y):
        z, v = rng.random(response.shape), rng.random(response.observed_shape)
        assert np.vdot(response.forward(z), v) == pytest.approx(np.vdot(z, response.adjoint(v)))


def replace_of(options, **changes):
    return SimpleNamespace(**{**vars(options), **changes})


def test_broadening_of_the_sharper_cube(observed, options):
    """A line one channel wide spreads with the FWHM that is given."""
    wave, cubes = observed[1:]
    data = data_from_s3d(*cubes, {}, replace_of(options, lsf_fwhm=0.02))[0]
    line = np.zeros(data.response_x.shape)
    line[24] = 1.0
    seen = data.response_x.forward(line)[:, 5, 5]
    centres = wave.reshape(-1, 4).mean(axis=1)
    mean = (seen * centres).sum() / seen.sum()
    width = np.sqrt((seen * (centres - mean) ** 2).sum() / seen.sum())
    assert mean == pytest.approx(wave[24], abs=5e-4)
    assert width == pytest.approx(np.hypot(0.02 / 2.3548, 0.008 / np.sqrt(12)), rel=0.03)


def test_part_of_the_wavelengths(observed, options):
    cubes = observed[2]
    data = data_from_s3d(*cubes, {}, replace_of(options, wave_band=(2.02, 2.06)))[0]
    # Y may reach beyond the channels of X that lie within, by less than one of them.
    assert data.x.shape[0] == 4
    assert 16 <= data.y.shape[0] < 16 + 2 * 4
    assert data.coordinate.min() > 2.02
    with pytest.raises(NotFusableError, match="fewer than two channels"):
        data_from_s3d(*cubes, {}, replace_of(options, wave_band=(3.0, 4.0)))


def test_sharp_cube_that_covers_more(observed, options):
    """Spaxels of X far from Y are left out; those of Y beyond X are not used."""
    _, _, (x, y) = observed
    part = (slice(3, 8), slice(2, 7))
    arrays = {name: getattr(y, name)[(slice(None), *part)] for name in ("data", "err", "good")}
    few = replace(y, grid=y.grid.cropped(part), **arrays)
    data, cropped, _ = data_from_s3d(x, few, {}, replace_of(options, margin=0.1))
    assert data.x.shape[1:] == (19, 19)
    assert np.array_equal(cropped.data, x.data[:, 7:26, 4:23])
    assert data.response_y.mask.all()
    arrays = {name: getattr(x, name)[:, 9:24, 6:21] for name in ("data", "err", "good")}
    narrow = replace(x, grid=x.grid.cropped((slice(9, 24), slice(6, 21))), **arrays)
    data = data_from_s3d(narrow, y, {}, options)[0]
    used = data.response_y.mask[0]
    assert used[3:8, 2:7].all()
    assert used.sum() == 25


def test_what_is_missing_or_does_not_belong_is_named(observed, options):
    cubes = observed[2]
    with pytest.raises(ValueError, match="give psf"):
        data_from_s3d(*cubes, {}, replace_of(options, psf_fwhm=None))
    with pytest.raises(ValueError, match="rmf_x, arf_x cannot be used with JWST cubes"):
        data_from_s3d(*cubes, {"rmf_x": "a.rmf", "arf_x": "a.arf"}, options)
