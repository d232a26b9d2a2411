"""Fusion from arrays to arrays: truth, errors, invariants, continuation."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jwst_fusion import hifred
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.solver.instrument_data import InstrumentData, split
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.metrics import nmse
from jwst_fusion.simulation.xray import xray_pair

SIZES = {
    "fine": 120,
    "coarse": 12,
    "shape": (18, 15),
    "rebin": 3,
    "counts": (4e5, 4e5),
    "energies": (0.7, 0.9),
}


def fuse(*data, variance_x=None, variance_y=None, start=None, checkpoint=None, **settings):
    """Fuse with settings that are given one by one."""
    options = HifredSettings(**settings)
    more = {"variance_x": variance_x, "variance_y": variance_y, "start": start}
    return hifred.fuse(*data, options, **more, checkpoint=checkpoint)


def responses_of(pair, *, transposed=False, exposure=1.0, **more):
    shape, psf = pair.truth.shape, pair.psf_y
    if transposed:
        shape, psf = (shape[0], shape[2], shape[1]), psf.T
    x = Response.build(
        shape, spectral=pair.rmf_x, arf=pair.arf_x, exposure=exposure * pair.exposure_x, **more
    )
    y = Response.build(
        shape, psf=psf, rebin=(1, 3, 3), arf=pair.arf_y, exposure=exposure * pair.exposure_y
    )
    return x, y


@pytest.fixture(scope="module")
def pair():
    return xray_pair("small", seed=3, **SIZES)


@pytest.fixture(scope="module")
def low_rank(pair):
    return fuse(pair.x, pair.y, *responses_of(pair))


@pytest.fixture(scope="module")
def wavelets(pair):
    return fuse(pair.x, pair.y, *responses_of(pair), regularisation="wavelet_2d1d", kappa=2.0)


def decibel(pair, result):
    return nmse(pair.truth, result.cube, decibel=True)


def test_low_rank_finds_the_truth(pair, low_rank):
    assert low_rank.converged
    assert decibel(pair, low_rank) > 13.5
    assert low_rank.cube.min() >= 0
    assert low_rank.clipped < 0.01
    assert low_rank.accuracy <= 1e-6
    assert "held" not in low_rank.chosen
    assert "mu = " in low_rank.chosen
    assert min(row["deviance"] for row in low_rank.tuning) == 0
    # the models agree with the data within their noise, and better with what is expected of them
    for data, model, expected in (
        (pair.x, low_rank.model_x, pair.x_model),
        (pair.y, low_rank.model_y, pair.y_model),
    ):
        assert model.sum() == pytest.approx(data.sum(), rel=0.01)
        assert np.linalg.norm(model - expected) < 0.7 * np.linalg.norm(data - expected)


def test_errors_are_those_of_the_cube(pair, low_rank):
    bright = pair.truth > np.median(pair.truth)
    chi = ((low_rank.cube - pair.truth) / low_rank.error)[bright]
    assert 0.6 < np.median(np.abs(chi)) / 0.6745 < 1.5
    assert np.mean(np.abs(chi) > 3) < 0.06


def test_wavelets_reach_their_gap(pair, low_rank, wavelets):
    assert wavelets.converged
    assert wavelets.accuracy <= 1e-4
    assert wavelets.cube.min() >= 0
    assert decibel(pair, wavelets) > decibel(pair, low_rank) - 0.3
    assert wavelets.history[-1, 0] < wavelets.history[0, 0]
    chi = ((wavelets.cube - pair.truth) / wavelets.error)[pair.truth > np.median(pair.truth)]
    assert 0.6 < np.median(np.abs(chi)) / 0.6745 < 1.5


@pytest.mark.parametrize("kind", ["low_rank_sobolev", "low_rank_wavelet", "wavelet_2d1d"])
def test_transposed_input_gives_the_transposed_cube(pair, kind):
    options = {"regularisation": kind, "mu": 2e-3, "kappa": 2.0, "errors": False, "tolerance": 1e-7}
    if kind == "low_rank_wavelet":
        options["mu"] = 0.05
    if kind == "wavelet_2d1d":
        # its low rank is tuned on photons that are drawn anew: fix the number of iterations
        options |= {"tolerance": 3e-5, "prior": "absolute", "rank": 5}
    one = fuse(pair.x, pair.y, *responses_of(pair), **options)
    swapped = [a.swapaxes(1, 2) for a in (pair.x, pair.y)]
    other = fuse(*swapped, *responses_of(pair, transposed=True), **options)
    change = np.linalg.norm(other.cube.swapaxes(1, 2) - one.cube) / np.linalg.norm(one.cube)
    assert change < (0.03 if kind == "wavelet_2d1d" else 1e-3)


def test_exposure_scales_the_cube(pair):
    one = fuse(pair.x, pair.y, *responses_of(pair), mu=1e-3, errors=False)
    other = fuse(pair.x, pair.y, *responses_of(pair, exposure=1e5), mu=1e-3, errors=False)
    assert np.allclose(other.cube * 1e5, one.cube, rtol=1e-3, atol=1e-5 * one.cube.max())


@pytest.mark.parametrize("kind", ["low_rank_wavelet", "low_rank", "none", "wavelet_2d1d"])
def test_other_choices_run_to_their_end(pair, kind):
    options = {"prior": "absolute", "rank": 4} if kind != "none" else {"tolerance": 1e-3}
    result = fuse(pair.x, pair.y, *responses_of(pair), regularisation=kind, **options)
    assert result.converged
    assert result.cube.min() >= 0
    assert np.isfinite(result.error).all()
    assert result.error.min() > 0
    assert decibel(pair, result) > (5 if kind == "none" else 8)


def test_missing_data_are_not_used(pair):
    x, y = pair.x.copy(), pair.y.copy()
    x[:, 4, 5], y[60:66], y[:, 2, 2] = np.nan, np.inf, np.nan
    mask = np.ones((18, 15), bool)
    mask[10, 3] = False
    x[:, 10, 3] = 1e6
    before = x.copy()
    rx, ry = responses_of(pair, mask=mask)
    result = fuse(x, y, rx, ry, mu=1e-3)
    assert np.array_equal(x, before, equal_nan=True)
    assert any("not usable" in note for note in result.notes)
    assert np.isfinite(result.cube).all()
    assert decibel(pair, result) > 12


def test_background_is_taken_into_account(pair):
    rng = np.random.default_rng(0)
    level = np.linspace(5.0, 15.0, 12)[:, None, None]
    x = pair.x + rng.poisson(np.broadcast_to(level, pair.x.shape))
    rx, ry = responses_of(pair, background=level)
    result = fuse(x, pair.y, rx, ry, mu=1e-3, errors=False)
    assert decibel(pair, result) > 12
    assert result.model_x.min() >= level.min()


def test_gaussian_data_with_negative_values(pair):
    rng = np.random.default_rng(1)
    rx, ry = responses_of(pair)
    data, variances = [], []
    for model in (pair.x_model, pair.y_model):
        variance = np.full(model.shape, (0.3 * model.mean()) ** 2)
        data.append(model + np.sqrt(variance) * rng.standard_normal(model.shape))
        variances.append(variance)
    assert data[1].min() < 0
    options = {"variance_x": variances[0], "variance_y": variances[1], "likelihood": "gaussian"}
    result = fuse(*data, rx, ry, **options)
    assert result.converged
    assert decibel(pair, result) > 10
    full = fuse(*data, rx, ry, regularisation="wavelet_2d1d", tolerance=1e-3, **options)
    assert full.converged
    assert full.cube.min() >= 0
    assert decibel(pair, full) > 9.5


def test_negative_sources_if_they_are_allowed(pair):
    result = fuse(pair.x, pair.y, *responses_of(pair), nonnegative=False, mu=1e-4, errors=False)
    assert result.converged
    assert result.clipped == 0
    assert result.cube.min() < 0


def test_denoiser_as_prior(pair):
    def denoise(cube):
        return gaussian_filter(cube, (1.0, 0.5, 0.5), mode="nearest")

    options = {"regularisation": "plug_and_play", "errors": False}
    result = fuse(pair.x, pair.y, *responses_of(pair), denoiser=denoise, tolerance=1e-3, **options)
    assert result.converged
    assert result.cube.min() >= 0
    assert decibel(pair, result) > 8
    with pytest.raises(ValueError, match="denoiser returned"):
        fuse(pair.x, pair.y, *responses_of(pair), denoiser=lambda cube: cube[:-1], **options)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_split_data_are_unbiased_and_independent(likelihood):
    rng = np.random.default_rng(8)
    response = Response((40, 1, 1), (1, 1), background=2.0)
    data = rng.poisson(20.0, (40, 500)).astype(float)
    variance = None if likelihood == "poisson" else np.full(data.shape, 20.0)
    used = np.ones(data.shape, bool)
    one = InstrumentData(data, used, response, variance, np.full(data.shape, 2.0))
    train, held = split(one, 0.8, rng)
    assert train.data.mean() == pytest.approx(0.8 * data.mean(), rel=5e-3)
    assert held.data.mean() == pytest.approx(0.2 * data.mean(), rel=1e-2)
    assert train.background[0, 0] == pytest.approx(1.6)
    assert train.data.var() == pytest.approx(16.0, rel=0.05)
    assert held.data.var() == pytest.approx(4.0, rel=0.05)
    assert abs(np.corrcoef(train.data.ravel(), held.data.ravel())[0, 1]) < 0.02
    unit = np.ones((40, 1))
    assert np.allclose(train.response.forward_flat(unit), 0.8)
    if likelihood == "poisson":
        assert np.array_equal(train.data + held.data, data)


@pytest.mark.parametrize("kind", ["low_rank_sobolev", "wavelet_2d1d"])
def test_a_fusion_goes_on_from_its_result_and_its_checkpoint(pair, tmp_path, kind):
    path = tmp_path / "state.npz"
    common = {"regularisation": kind, "errors": False}
    most = 20 if kind == "wavelet_2d1d" else 3
    first = fuse(
        pair.x,
        pair.y,
        *responses_of(pair),
        kappa=2.0,
        max_iterations=most,
        checkpoint=path,
        **common,
    )
    assert not first.converged
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]
    size = path.stat().st_size
    assert size < 64 * first.cube.size + 1e6
    again = [
        fuse(pair.x, pair.y, *responses_of(pair), start=start, checkpoint=path, **common)
        for start in (path, first)
    ]
    assert all(one.converged for one in again)
    assert again[0].mu == first.mu
    assert np.allclose(again[0].cube, again[1].cube, atol=1e-3 * first.cube.max())
    assert path.stat().st_size < 1.5 * size
    changes = "always" if "line_changes" in first.chosen else "auto"
    weights = {"mu": first.mu, "kappa": first.mu, "line_changes": changes}
    full = fuse(pair.x, pair.y, *responses_of(pair), **common, **weights)
    assert nmse(full.cube, again[0].cube, decibel=True) > 25


def test_the_largest_rank_is_told():
    given = xray_pair("small", shape=(24, 24), fine=120, coarse=24, counts=(1e5, 1e5))
    x = Response.build(given.truth.shape, spectral=given.rmf_x, arf=given.arf_x)
    y = Response.build(given.truth.shape, psf=given.psf_y, rebin=(1, 3, 3), arf=given.arf_y)
    options = {"rank": 100, "mu": 1e-3, "errors": False, "max_iterations": 1}
    result = fuse(given.x, given.y, x, y, **options)
    assert result.rank == 60
    assert "rank 60, of 100 wanted, the largest that HIFReD takes" in result.chosen
    assert any("the largest that HIFReD takes, and rank = 100" in note for note in result.notes)
