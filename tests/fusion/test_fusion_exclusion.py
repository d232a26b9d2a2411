"""Channels that are left out."""

import numpy as np
import pytest
from stpipe import Step

from jwst_fusion.fusion.exclusion import excluded_channels
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.steps.fusion import FusionStep

WAVE = np.linspace(1.66, 2.30, 33)
QUICK = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}


def test_ranges_include_their_ends():
    wave = np.linspace(1.0, 2.0, 11)
    out = excluded_channels(wave, channels=["0", "3-4"], wave=["1.79-1.91", "1.04-1.06"])
    assert np.flatnonzero(out).tolist() == [0, 3, 4, 8, 9]
    out = excluded_channels(wave[::-1], wave=["1.79-1.91"])
    assert np.flatnonzero(out).tolist() == [1, 2]
    assert not excluded_channels(wave).any()


def test_channels_that_do_not_exist_and_none_left():
    wave = np.linspace(1.0, 2.0, 11)
    with pytest.raises(ValueError, match="names 11: the cube has channels 0 to 10"):
        excluded_channels(wave, channels=["2-11"])
    with pytest.raises(ValueError, match="exclude_channels and exclude_wave leave no channel"):
        excluded_channels(wave, wave=["0.5-3"])


@pytest.mark.parametrize(
    "options",
    [
        {"exclude_channels": ["a"]},
        {"exclude_channels": ["1.5"]},
        {"exclude_channels": ["-3"]},
        {"exclude_channels": ["9-5"]},
        {"exclude_channels": ["1-2-3"]},
        {"exclude_wave": ["1.9"]},
        {"exclude_wave": ["1.9-1.8"]},
        {"exclude_wave": ["nan-2"]},
        {"exclude_wave": ["0-2"]},
    ],
    ids=str,
)
def test_entries_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        FusionOptions(**options)


@pytest.fixture
def given(products, scene):
    images = [products.image(scene, name, shape=(80, 84)) for name in ("F182M", "F210M")]
    return [products.cube(scene, WAVE, shape=(13, 14)), *images]


@pytest.mark.parametrize("mirrored", [False, True])
def test_excluded_channels_take_no_part(products, scene, given, gaussian_psfs, mirrored):
    given[0] = products.cube(scene, WAVE, shape=(13, 14), mirrored=mirrored)
    options = {**QUICK, **gaussian_psfs, "exclude_channels": ["5-7"], "exclude_wave": ["2.07-2.09"]}
    out = np.zeros(WAVE.size, bool)
    out[5:8] = True
    out |= (WAVE >= 2.07) & (WAVE <= 2.09)
    result = FusionStep.call(given, **options, min_coverage=0.5)
    assert result.data.shape[0] == WAVE.size
    assert np.isnan(result.data[out]).all()
    assert np.isnan(result.err[out]).all()
    assert (result.dq[out] == 513).all()
    assert (result.dq[~out] == 0).any((1, 2)).all()
    assert not result.weightmap[out].any()
    assert np.isnan(result.channel_table["noise"][out]).all()
    # Whatever stood there makes no difference.
    given[0].data[out] *= -7
    given[0].err[out] = 1e-3
    other = FusionStep.call(given, **options, min_coverage=0.5)
    assert np.array_equal(other.data, result.data, equal_nan=True)


def test_filter_that_loses_too_much_is_not_used(given, gaussian_psfs, caplog):
    options = {**QUICK, **gaussian_psfs, "exclude_wave": ["2.05-2.15"]}
    result = FusionStep.call(given, **options)
    assert result.filter_table["filter"].tolist() == ["F182M"]
    assert "F210M) is not used: the cube covers" in caplog.text


def test_from_the_command_line(monkeypatch):
    seen = []
    monkeypatch.setattr(FusionStep, "process", lambda step, _: seen.append(step))
    words = ["--exclude_wave=1.87-1.88,2.12-2.13", "--exclude_channels=57,100-120"]
    Step.from_cmdline(["jwst_fusion.steps.fusion.FusionStep", "x.fits", *words])
    options = FusionOptions.from_step(seen[0])
    assert options.exclude_wave == ("1.87-1.88", "2.12-2.13")
    assert options.exclude_channels == ("57", "100-120")
