"""The starlet transform, and fusion with sparse starlet coefficients."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from analytic_scene import calibration, make_scene, score

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.evidence import LocalWeights, maximise_evidence
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.point_sources import SourcePrior, point_groups
from jwst_fusion.fusion.solver.proximal import solve_sparse, starlet_weights
from jwst_fusion.fusion.solver.regularisation import FourierPrior
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.numerics.starlet import PeriodicStarlet

GRIDS = [(9, 11, 2), (7, 8, 3), (10, 6, 2)]


@pytest.mark.parametrize("size", GRIDS)
def test_adjoint_and_power(size):
    rng = np.random.default_rng(0)
    grid = Grid(*size)
    starlet = PeriodicStarlet(grid)
    x = rng.normal(size=(2, *grid.shape))
    y = rng.normal(size=(len(starlet.transfer), *x.shape))
    forward = starlet.forward(x)
    assert np.sum(forward * y) == pytest.approx(np.sum(x * starlet.adjoint(y)), rel=1e-12)
    weights = rng.uniform(1, 2, y.shape[:2])
    prior = FourierPrior(grid, starlet.power(weights))
    expected = starlet.adjoint(weights[:, :, None, None] * forward)
    np.testing.assert_allclose(grid.synthesise(prior.apply(grid.analyse(x))), expected, atol=1e-12)
    energy = np.sum(weights[:, :, None, None] * forward**2, axis=(0, 2, 3))
    np.testing.assert_allclose(prior.energy(grid.analyse(x)), energy, rtol=1e-10)


def test_details_add_up_to_the_map_without_its_smooth_part():
    grid = Grid(12, 13, 3)
    starlet = PeriodicStarlet(grid, 3)
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(1, *grid.shape))
    assert len(starlet.transfer) == 3
    rest = maps - starlet.forward(maps).sum(0)
    assert rest.std() < 0.1 * maps.std()
    assert rest.mean() == pytest.approx(maps.mean())
    # A direct a trous convolution of the first scale.
    line = np.array([1, 4, 6, 4, 1]) / 16
    smooth = maps[0]
    for axis in (0, 1):
        smooth = sum(c * np.roll(smooth, i - 2, axis) for i, c in enumerate(line))
    np.testing.assert_allclose(starlet.forward(maps)[0, 0], maps[0] - smooth, atol=1e-12)
    assert starlet.shares().sum() == pytest.approx(1, abs=0.01)
    assert np.all(np.diff(starlet.shares()) < 0)


@pytest.fixture(scope="module")
def sparse():
    """A field of stars, with a mask, and its quadratic and its sparse solution."""
    rng = np.random.default_rng(2)
    grid = Grid(9, 10, 2)
    y, x = np.mgrid[-4:5, -4:5]
    psf = [np.exp(-0.5 * ((y / s) ** 2 + ((x - 1) / s) ** 2)) for s in (0.8, 1.6)]
    imager = Imager(grid, psf[0][None] / psf[0].sum(), np.array([[[1.0]], [[0.5]]]))
    spectrometer = Spectrometer(grid, psf[1][None] / psf[1].sum(), np.array([[[3.0]]]))
    truth = np.zeros((1, *grid.shape))
    truth[0, rng.integers(0, 18, 6), rng.integers(0, 20, 6)] = 200.0
    images, rows = imager.forward(truth), spectrometer.forward(truth)
    images, rows = (a + rng.normal(size=a.shape) for a in (images, rows))
    weights = np.ones(images.shape), np.ones(rows.shape[1:])
    weights[0][:, 3, 4] = 0
    system = WeightedSystem(imager, spectrometer, images, weights[0], rows, weights[1])
    local = LocalWeights(*weights)
    tuned = maximise_evidence(system, local, np.array([0.1]), tolerance=1e-4, max_iterations=300)
    problem = SimpleNamespace(system=system, local=local)
    settings = SimpleNamespace(tolerance=1e-3, max_iterations=300)
    return truth, problem, tuned, solve_sparse(problem, tuned, settings)


def test_sparse_solution_is_the_minimum(sparse):
    _, problem, tuned, found = sparse
    system, grid = problem.system, problem.system.grid
    starlet = PeriodicStarlet(grid)
    strengths, _ = starlet_weights(starlet, system, problem.local, tuned)

    def cost(maps):
        misfit = system.misfit(grid.analyse(maps))
        sizes = np.abs(starlet.forward(maps)).sum((2, 3))
        return 0.5 * (tuned.scale_image * misfit[0] + tuned.scale_cube * misfit[1]) + np.sum(
            strengths * sizes
        )

    assert found.solution.converged
    best = grid.synthesise(found.solution.solution)
    lowest = cost(best)
    assert lowest < cost(grid.synthesise(tuned.solution.solution)) - 1
    rng = np.random.default_rng(3)
    for size in (0.01, 0.1, 1.0):
        for _ in range(5):
            step = rng.normal(size=best.shape)
            assert cost(best + size * step) > lowest
            assert cost(best + size * starlet.forward(step).sum(0)) > lowest
    assert cost(1.01 * best) > lowest
    assert cost(0.99 * best) > lowest


def test_sources_are_part_of_the_minimum(sparse):
    _, problem, _, _ = sparse
    grid = problem.system.grid
    positions = np.array([[7.3, 9.6], [15.0, 4.2]])
    light = point_groups(grid, positions)
    system = problem.system.with_prior(SourcePrior(problem.system.prior, positions))
    options = {"tolerance": 1e-4, "max_iterations": 300}
    tuned = maximise_evidence(system, problem.local, np.array([0.1]), **options)
    posed = SimpleNamespace(system=system, local=problem.local)
    found = solve_sparse(posed, tuned, SimpleNamespace(tolerance=1e-3, max_iterations=300))
    starlet = PeriodicStarlet(grid)
    strengths, _ = starlet_weights(starlet, system, problem.local, tuned)

    def cost(maps, amplitudes):
        misfit = system.misfit(grid.analyse(maps))
        diffuse = maps - grid.synthesise(light @ amplitudes)
        sizes = np.abs(starlet.forward(diffuse)).sum((2, 3))
        return 0.5 * (tuned.scale_image * misfit[0] + tuned.scale_cube * misfit[1]) + np.sum(
            strengths * sizes
        )

    assert found.solution.converged
    best, amplitudes = grid.synthesise(found.solution.solution), found.amplitudes
    lowest = cost(best, amplitudes)
    quadratic = system.prior.amplitudes(tuned.solution.solution)
    assert lowest < cost(grid.synthesise(tuned.solution.solution), quadratic) - 1
    rng = np.random.default_rng(4)
    for size in (0.1, 1.0, 5.0):
        for _ in range(5):
            change = size * rng.normal(size=amplitudes.shape)
            assert cost(best, amplitudes + change) > lowest
            assert cost(best + grid.synthesise(light @ change), amplitudes + change) > lowest
            assert cost(best + size * rng.normal(size=best.shape), amplitudes) > lowest


def test_stars_are_sharper_with_sparse_starlets(sparse):
    truth, problem, tuned, found = sparse
    error = [
        np.std(problem.system.grid.synthesise(one.solution.solution) - truth)
        for one in (tuned, found)
    ]
    assert error[1] < 0.9 * error[0]


def test_strengths_follow_the_rule(sparse):
    _, problem, tuned, _ = sparse
    starlet = PeriodicStarlet(problem.system.grid)
    strengths, sizes = starlet_weights(starlet, problem.system, problem.local, tuned)
    np.testing.assert_allclose(strengths * sizes, starlet.shares()[:, None])
    plain = np.abs(starlet.forward(problem.system.grid.synthesise(tuned.solution.solution)))
    assert np.all(sizes > plain.mean((2, 3)))


def test_fusion_with_starlets(caplog):
    caplog.set_level(logging.INFO)
    scene = make_scene(margin=3)
    result = fuse(scene.data, FusionSettings(regularisation="wavelet"))
    assert result.converged
    smooth = fuse(scene.data, FusionSettings(regularisation="sobolev", exponent=1, errors=False))
    assert score(scene, result) > score(scene, smooth)
    assert 0.8 < calibration(scene, result) < 1.2
    assert "starlet coefficients are zero" in caplog.text
