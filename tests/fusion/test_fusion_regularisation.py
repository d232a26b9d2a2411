"""Priors against dense algebra, and what they do to a scene."""

import numpy as np
import pytest
from analytic_scene import calibration, make_scene, score

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.regularisation import EdgePrior, SobolevPrior, edge_weights
from jwst_fusion.fusion.solver.settings import FusionSettings

GRIDS = [(3, 4, 2), (4, 3, 3), (5, 2, 2)]


def priors(grid, rng):
    return [
        SobolevPrior(grid),
        SobolevPrior(grid, 0.5),
        SobolevPrior(grid, 2.0),
        EdgePrior(grid, rng.uniform(0.1, 1, (2, *grid.shape))),
    ]


@pytest.mark.parametrize("size", GRIDS)
@pytest.mark.parametrize("index", range(4))
def test_priors_are_symmetric_and_positive(size, index):
    rng = np.random.default_rng(0)
    grid = Grid(*size)
    prior = priors(grid, rng)[index]
    x, y = rng.normal(size=(2, 2, *grid.shape))
    px, py = (grid.synthesise(prior.apply(grid.analyse(a))) for a in (x, y))
    assert np.sum(px * y) == pytest.approx(np.sum(x * py), rel=1e-12)
    energy = prior.energy(grid.analyse(x))
    np.testing.assert_allclose(energy, np.sum(x * px, axis=(1, 2)), rtol=1e-10)
    assert energy.min() > 0
    flat = prior.apply(grid.analyse(np.ones((1, *grid.shape))))
    np.testing.assert_allclose(flat, 0, atol=1e-6)


@pytest.mark.parametrize("size", GRIDS)
def test_edge_prior_is_the_weighted_sum_of_squared_differences(size):
    rng = np.random.default_rng(1)
    grid = Grid(*size)
    weights = rng.uniform(0.1, 1, (2, *grid.shape))
    x = rng.normal(size=grid.shape)
    expected = sum(np.sum(w * (np.roll(x, -1, a) - x) ** 2) for a, w in enumerate(weights))
    found = EdgePrior(grid, weights).energy(grid.analyse(x[None]))
    assert found[0] == pytest.approx(expected)
    uniform = EdgePrior(grid, np.ones((2, *grid.shape)))
    np.testing.assert_allclose(uniform.power, SobolevPrior(grid).power)


def test_solution_with_edges_agrees_with_dense_algebra():
    rng = np.random.default_rng(2)
    grid = Grid(3, 4, 2)
    psf = rng.random((2, 1, 3, 5)) ** 2
    psf /= psf.sum((2, 3), keepdims=True)
    imager = Imager(grid, psf[0], rng.normal(size=(2, 1, 2)))
    spectrometer = Spectrometer(grid, psf[1], rng.normal(size=(3, 1, 2)))
    weights = rng.uniform(0.1, 1, (2, *grid.shape))
    images, rows = rng.normal(size=(2, *grid.shape)), rng.normal(size=(3, 3, 4))
    one = np.ones_like(images), np.ones((3, 4))
    system = WeightedSystem(
        imager, spectrometer, images, one[0], rows, one[1], prior=EdgePrior(grid, weights)
    )
    mu = np.array([0.3, 2.0])
    solution = system.solve(mu, 2.0, 3.0, tolerance=1e-9, max_iterations=300)
    assert solution.converged
    assert solution.iterations > 0
    basis = np.eye(2 * images[0].size).reshape(-1, 2, *grid.shape)
    a, h = (np.array([op.forward(e).ravel() for e in basis]).T for op in (imager, spectrometer))
    gradient = []
    for axis, w in enumerate(weights, start=2):
        step = np.sqrt(w) * (np.roll(basis, -1, axis) - basis) * np.sqrt(mu)[:, None, None]
        gradient.append(step.reshape(len(basis), -1).T)
    normal = 2 * a.T @ a + 3 * h.T @ h + sum(g.T @ g for g in gradient)
    expected = np.linalg.solve(normal, 2 * a.T @ images.ravel() + 3 * h.T @ rows.ravel())
    found = grid.synthesise(solution.solution).ravel()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_weights_are_small_at_edges():
    rng = np.random.default_rng(3)
    images = np.zeros((2, 30, 34))
    images[:, :, 17:] = 100.0
    images += rng.normal(size=images.shape)
    good = np.ones(images.shape)
    good[:, :4] = 0
    weights = edge_weights(images, np.ones(2), good)
    assert weights.min() >= 0.05
    assert weights.max() <= 1
    across, along = weights[1, 6:-2, 16].mean(), weights[0, 6:-2, 16].mean()
    assert across < 0.1 < 0.3 < along
    assert weights[1, 6:-2, 5].mean() > 0.3
    assert np.isfinite(edge_weights(images, np.ones(2), 0 * good)).all()


@pytest.fixture(scope="module")
def scene():
    return make_scene(margin=3)


@pytest.fixture(scope="module")
def usual(scene):
    return score(scene, fuse(scene.data, FusionSettings(errors=False)))


@pytest.mark.parametrize(
    "options",
    [{"exponent": 0.7}, {"exponent": 2.0}, {"regularisation": "edge_weighted"}],
)
def test_strength_and_errors_are_automatic_for_every_prior(scene, usual, options):
    result = fuse(scene.data, FusionSettings(**options))
    assert result.converged
    assert score(scene, result) > usual - 1
    assert 0.8 < calibration(scene, result) < 1.2


def test_without_regularisation(scene, usual):
    result = fuse(scene.data, FusionSettings(regularisation="none"))
    assert result.converged
    assert score(scene, result) < usual
    other = fuse(scene.data, FusionSettings(regularisation="none", tuning="manual", gamma=1.0))
    np.testing.assert_allclose(np.ptp(np.log(other.mu / result.mu)), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regularisation": "smooth"}, "regularisation is 'smooth': expected one of"),
        ({"exponent": 4.0}, r"exponent is 4\.0: expected 'auto' or a number from 0\.5 to 3"),
        ({"exponent": 2.0, "regularisation": "none"}, "exponent is only used"),
        ({"regularisation": "edge_weighted", "boundary": "mirror"}, "needs boundary='free'"),
        ({"regularisation": "none", "tuning": "manual", "mu": 1.0}, "mu is not used"),
    ],
)
def test_invalid_options(scene, options, message):
    with pytest.raises(ValueError, match=message):
        fuse(scene.data, FusionSettings(**options))
