"""Point sources of their own in a fusion: prior, positions, spectra and errors."""

from dataclasses import replace

import numpy as np
import pytest
from star_scene import CHANNELS, FACTOR, SIZE, STARS, make_scene

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.point_sources import SourcePrior, point_groups, with_sources
from jwst_fusion.fusion.solver.posterior import sum_variances
from jwst_fusion.fusion.solver.problem import LowRankProblem, choose_subspace, initial_mu
from jwst_fusion.fusion.solver.regularisation import EdgePrior, FourierPrior, SobolevPrior
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.source_fit import fit_positions
from jwst_fusion.fusion.solver.whitening import usable_data
from jwst_fusion.fusion.sums import error_of


@pytest.fixture(scope="module")
def scene():
    return make_scene()


@pytest.fixture(scope="module")
def fused(scene):
    return fuse(scene[0])


@pytest.mark.parametrize("kind", ["sobolev", "edges", "starlet"])
def test_prior_does_not_see_its_sources(kind):
    rng = np.random.default_rng(1)
    grid, rank = Grid(5, 6, 2), 3
    base = SobolevPrior(grid)
    if kind == "edges":
        base = EdgePrior(grid, rng.uniform(0.1, 1, (2, *grid.shape)))
    if kind == "starlet":
        power = base.power[:, :, None] * rng.uniform(0.5, 2, rank)
        base = FourierPrior(grid, power)
    prior = SourcePrior(base, [(2.3, 4.1), (7.8, 5.5)])
    maps = rng.standard_normal((2, rank, *grid.shape))
    one, two = (grid.analyse(m) for m in maps)
    weight = grid.multiplicity[:, None, None]
    inner = [np.sum(weight * a.conj() * prior.apply(b)).real for a, b in ((one, two), (two, one))]
    assert inner[0] == pytest.approx(inner[1], rel=1e-10)
    amplitudes = rng.standard_normal((2, rank))
    stars = prior.points @ amplitudes
    assert np.abs(prior.apply(stars)).max() < 1e-9
    np.testing.assert_allclose(prior.energy(one + stars), prior.energy(one), rtol=1e-8)
    np.testing.assert_allclose(prior.amplitudes(stars), amplitudes, rtol=1e-8)
    assert np.all(prior.energy(one) < base.energy(one))
    assert with_sources(base, np.zeros((0, 2))) is base


def test_points_are_shifted_deltas_of_unit_sum():
    grid = Grid(6, 5, 3)
    whole, between = grid.synthesise(point_groups(grid, [(4.0, 7.0), (4.5, 7.25)]))
    expected = np.zeros(grid.shape)
    expected[7, 4] = 1
    np.testing.assert_allclose(whole, expected, atol=1e-12)
    assert between.sum() == pytest.approx(1)
    step = 1e-5
    moved = point_groups(grid, [(4.5 + step, 7.25)]) - point_groups(grid, [(4.5 - step, 7.25)])
    slope = point_groups(grid, [(4.5, 7.25)], order=(1, 0))
    np.testing.assert_allclose(
        grid.synthesise(moved) / (2 * step), grid.synthesise(slope), atol=1e-7
    )


def test_positions_are_found_to_their_errors(scene):
    data, *_ = scene
    true = np.array([star[:2] for star in STARS])
    wrong = np.array([(0.3, -0.2), (-0.25, 0.2), (0.2, 0.3)])
    settings = FusionSettings()
    data = usable_data(replace(data, sources=true + wrong))
    problem = LowRankProblem.pose(data, choose_subspace(data, settings), settings)
    # Of sources not yet in their place, what is left looks like edges: a draft.
    mu = initial_mu(problem.subspace, FACTOR, settings)
    tuned = problem.tune(mu, settings, tolerance=0.05, draft=True)
    for _ in range(3):
        moves = fit_positions(problem, tuned)
        problem = problem.with_positions(problem.data.sources + moves.steps)
        tuned = problem.solve(tuned, settings, tolerance=0.05)
    away = problem.data.sources - true
    assert np.abs(away).max() < 0.12
    assert np.abs(away / moves.errors).max() < 4
    assert np.all(moves.excess > 100)


def test_stars_are_found_and_their_spectra_are_right(scene, fused):
    _, _, spectra, line = scene
    found = fused.sources
    assert len(found) == len(STARS)
    for (x, y, _), spectrum in zip(STARS, spectra, strict=True):
        j = np.hypot(found.positions.x - x, found.positions.y - y).argmin()
        assert np.hypot(found.positions.x[j] - x, found.positions.y[j] - y) < 0.1
        wrong = found.flux[j] - spectrum
        assert np.sqrt(np.mean((wrong / found.error[j]) ** 2)) < 1.5
        # What channels do not share is the noise of the photometry.
        own = np.sqrt(found.error[j] ** 2 - np.sum(found.covariance_factor[j] ** 2, axis=1))
        assert 0.6 < np.std((wrong - np.convolve(wrong, np.ones(15) / 15, "same")) / own) < 1.4
        total, error = found.chosen([j]).sum(np.ones(CHANNELS))
        assert abs(total[0] - spectrum.sum()) < 4 * error[0]
        # none of the nebula's line in the star
        weights = line - line.mean()
        flux, error = found.chosen([j]).sum(weights)
        assert abs(flux[0] - weights @ spectrum) < 3.5 * error[0]


def test_cube_at_stars_is_better_than_without_sources(scene, fused):
    data, sharp, *_ = scene
    without = fuse(data, FusionSettings(sources="none"))
    assert without.sources is None
    for x, y, _ in STARS:
        spot = (slice(None), round(y), round(x))
        better, worse = (
            np.sqrt(np.mean((one.cube[spot] / sharp[spot] - 1) ** 2)) for one in (fused, without)
        )
        assert better < 0.05
        assert better < worse
    error = np.abs(fused.cube - sharp)[:, 6:-6, 6:-6] / fused.error[:, 6:-6, 6:-6]
    assert 0.6 < np.quantile(error, 0.683) < 1.2


def test_another_psf_than_the_data_have():
    data, sharp, spectra, _ = make_scene((1.16, 2.3))
    result = fuse(data, FusionSettings(psf_fit="none"))
    found = result.sources
    assert len(found) == len(STARS)
    for (x, y, _), spectrum in zip(STARS, spectra, strict=True):
        j = np.hypot(found.positions.x - x, found.positions.y - y).argmin()
        total, error = found.chosen([j]).sum(np.ones(CHANNELS))
        # too faint, as the wings are left to the diffuse scene, and the error knows
        assert 0.7 < total[0] / spectrum.sum() < 0.95
        assert abs(total[0] - spectrum.sum()) < 3 * error[0]
        spot = (slice(None), round(y), round(x))
        assert np.sqrt(np.mean((result.cube[spot] / sharp[spot] - 1) ** 2)) < 0.08
    plain = make_scene()[0]
    assert found.error[0].mean() > fuse(plain).sources.error[0].mean()


def test_given_sources_are_kept_and_none_is_respected(scene):
    data, *_ = scene
    empty = (12.0, 45.0)
    given = replace(data, sources=np.array([STARS[0][:2], empty]))
    found = fuse(given, FusionSettings(sources="given", errors=False)).sources
    assert found.positions.given.all()
    assert np.hypot(found.positions.x[0] - STARS[0][0], found.positions.y[0] - STARS[0][1]) < 0.1
    value, error = found.chosen([1]).sum(np.ones(CHANNELS))
    assert abs(value[0]) < 4 * error[0]
    with pytest.raises(ValueError, match="sources='given' needs boundary='free'"):
        FusionSettings(sources="given", boundary="mirror")


def test_empty_and_doubled_catalogues(scene, caplog):
    data, *_ = scene
    settings = FusionSettings(sources="given", errors=False)
    assert fuse(replace(data, sources=np.zeros((0, 2))), settings).sources is None
    twice = np.array([STARS[0][:2], STARS[0][:2], STARS[1][:2]])
    found = fuse(replace(data, sources=twice), settings).sources
    assert len(found) == 2
    assert "stand within 0.3 pixels of another one" in caplog.text


def test_sums_where_there_are_no_data(fused):
    empty = replace(fused, cube=fused.cube.copy())
    empty.cube[:, :5, :5] = np.nan
    corner = np.zeros(fused.cube.shape[1:])
    corner[:4, :4] = 1
    assert np.isnan(error_of(empty, corner)).all()
    assert np.isnan(error_of(empty, corner, np.ones(CHANNELS)))


def test_errors_of_sums_hold(scene, fused):
    _, sharp, *_ = scene
    rng = np.random.default_rng(2)
    wrong = (fused.cube - sharp).astype(float)
    pulls, naive = [], []
    for _ in range(25):
        y, x = rng.integers(8, SIZE * FACTOR - 16, 2)
        mask = np.zeros(wrong.shape[1:])
        mask[y : y + 8, x : x + 8] = 1
        value = np.einsum("lyx,yx->l", wrong, mask)
        pulls.append(np.abs(value) / error_of(fused, mask))
        naive.append(np.abs(value) / np.sqrt(np.sum(fused.error.astype(float) ** 2 * mask, (1, 2))))
    assert 0.7 < np.quantile(pulls, 0.683) < 1.3
    assert np.quantile(naive, 0.683) > 1.5
    # One voxel has the error of ERR, and one sum is the same however it is asked for.
    mask = np.zeros(wrong.shape[1:])
    mask[30, 12] = 1
    np.testing.assert_allclose(error_of(fused, mask), fused.error[:, 30, 12], rtol=0.1)
    one = np.eye(CHANNELS)[7]
    assert error_of(fused, mask, one) == pytest.approx(error_of(fused, mask)[7], rel=1e-3)
    many = np.tile(one, (12, 1))
    np.testing.assert_allclose(
        sum_variances(fused.posterior, mask, many),
        sum_variances(fused.posterior, mask, many[:1])[0],
        rtol=1e-3,
    )
