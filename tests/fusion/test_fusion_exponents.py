"""Exponents of the prior: those of simulated maps are found, others stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft as sf
from analytic_scene import calibration, make_scene, score

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.determined import Determined
from jwst_fusion.fusion.solver.evidence import LocalWeights, maximise_evidence
from jwst_fusion.fusion.solver.exponents import exponent_step, with_exponents
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.point_sources import SourcePrior, point_groups
from jwst_fusion.fusion.solver.problem import LowRankProblem, choose_subspace, initial_mu
from jwst_fusion.fusion.solver.regularisation import FourierPrior, SobolevPrior
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.whitening import usable_data

GRID = Grid(20, 20, 3)
MU = np.array([0.003, 0.1])
STARS = np.array([[20.3, 31.2], [41.8, 12.5]])


def gaussian(sigma):
    y, x = np.mgrid[-9:10, -9:10]
    psf = np.exp(-0.5 * (y**2 + x**2) / sigma**2)
    return psf[None] / psf.sum()


def system_of(exponents, *, seed=0, sources=False, gaps=False):
    """Data of maps drawn from priors of these exponents."""
    rng = np.random.default_rng(seed)
    imager = Imager(GRID, gaussian(1.2), rng.normal(size=(2, 1, 2)))
    spectrometer = Spectrometer(GRID, gaussian(2.0), 4 * rng.normal(size=(10, 1, 2)))
    line = 2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(GRID.shape[0]))
    power = line[:, None] + line
    power[0, 0] = np.inf
    power = MU[:, None, None] * power ** np.reshape(exponents, (2, 1, 1))
    white = sf.fft2(rng.normal(size=(2, *GRID.shape)), norm="ortho")
    truth = sf.ifft2(white / np.sqrt(power), norm="ortho").real
    prior = SobolevPrior(GRID, np.ones(2))
    if sources:
        stars = np.array([[900.0, -400.0], [300.0, 800.0]])
        truth += GRID.synthesise(point_groups(GRID, STARS) @ stars)
        prior = SourcePrior(prior, STARS)
    images, rows = imager.forward(truth), spectrometer.forward(truth)
    weights = np.ones(images.shape), np.ones(rows.shape[1:])
    if gaps:
        weights[0][rng.random(images.shape) < 0.1] = 0
        weights[1][:4] = 0
    images = images + rng.normal(size=images.shape)
    rows = rows + rng.normal(size=rows.shape)
    system = WeightedSystem(imager, spectrometer, images, weights[0], rows, weights[1], prior=prior)
    return system, LocalWeights(*weights), truth


class Fit:
    """Exponents that are fitted along with the other hyperparameters."""

    def __init__(self, start):
        self.exponents, self.count = np.array(start, float), 0

    def __call__(self, system, groups, mu, determined):
        before, self.count = self.exponents, self.count + 1
        self.exponents, factor = exponent_step(system, groups, mu, before, determined)
        moved = np.abs(self.exponents - before).max()
        return with_exponents(system, self.exponents), factor, moved


@pytest.mark.parametrize("kind", [{}, {"gaps": True}, {"sources": True}])
@pytest.mark.parametrize("exponents", [(1.0, 1.9), (1.6, 0.8)])
def test_known_exponents_are_recovered(exponents, kind):
    found = []
    for seed in range(3):
        system, local, _ = system_of(exponents, seed=seed, **kind)
        fit = Fit([1.0, 1.0])
        tuned = maximise_evidence(
            system, local, np.ones(2), tolerance=0.01, max_iterations=300, fit_exponents=fit
        )
        assert tuned.converged
        assert fit.count <= 3
        np.testing.assert_allclose(np.log10(tuned.mu / MU), 0, atol=0.3)
        assert tuned.scale_image**-0.5 == pytest.approx(1.0, rel=0.1)
        assert tuned.scale_cube**-0.5 == pytest.approx(1.0, rel=0.1)
        found.append(fit.exponents)
    # The data know each to 0.1 to 0.2.
    np.testing.assert_allclose(found - np.array(exponents), 0, atol=0.45)
    np.testing.assert_allclose(np.mean(found, axis=0), exponents, atol=0.2)


def test_smooth_maps_are_found_better_than_with_gradients():
    system, local, truth = system_of((2.2, 1.8))
    options = {"tolerance": 0.01, "max_iterations": 300}
    errors = []
    for fit in (Fit([1.0, 1.0]), None):
        tuned = maximise_evidence(system, local, np.ones(2), fit_exponents=fit, **options)
        error = GRID.synthesise(tuned.solution.solution) - truth
        errors.append(np.sqrt(np.mean(error**2, axis=(1, 2))))
    assert np.all(errors[0] < errors[1])
    assert errors[0][0] < 0.8 * errors[1][0]


def test_a_similar_problem_is_fitted_once():
    system, local, _ = system_of((1.5, 1.2))
    options = {"tolerance": 0.01, "max_iterations": 300}
    tuned = maximise_evidence(system, local, np.ones(2), fit_exponents=Fit([1, 1]), **options)
    fit = Fit([1.0, 1.0])
    maximise_evidence(system, local, tuned.mu, fit_exponents=fit, path=tuned.path, **options)
    assert fit.count == 1


def determined(slope, fisher):
    return Determined(np.zeros(2), np.zeros(2), np.zeros(1), np.array(slope), np.array(fisher))


def test_steps_are_bounded_and_nothing_known_leaves_what_is_expected():
    system, *_ = system_of((1.0, 1.0))
    groups, mu = np.zeros((GRID.groups, GRID.aliases, 2), complex), np.ones(2)
    strong = determined([[0, 0], [1e6, -1e6]], [[1e2, 1e2], [0, 0], [1e2, 1e2]])
    found, _ = exponent_step(system, groups, mu, np.array([1.0, 1.5]), strong)
    np.testing.assert_allclose(found, [1.5, 1.0])
    found, _ = exponent_step(system, groups, mu, np.array([2.9, 0.6]), strong)
    np.testing.assert_allclose(found, [3.0, 0.5])
    nothing = determined(np.zeros((2, 2)), np.zeros((3, 2)))
    found, factor = exponent_step(system, groups, mu, np.array([1.0, 1.5]), nothing)
    np.testing.assert_allclose(found, 1.25)
    np.testing.assert_allclose(factor, 1)


def test_the_weight_turns_with_the_exponent_about_what_is_known():
    system, *_ = system_of((1.0, 1.0))
    groups = np.zeros((GRID.groups, GRID.aliases, 2), complex)
    # all that is known is at ln |D|^2 = -1.5
    known = determined([[0, 0], [20, 40]], [[100, 100], [-150, -150], [225, 225]])
    found, factor = exponent_step(system, groups, MU, np.array([1.0, 1.0]), known)
    np.testing.assert_allclose(factor * np.exp(-1.5 * (found - 1)), 1)


def test_exponents_per_component_with_sources_are_those_of_each():
    rng = np.random.default_rng(3)
    exponents = np.array([0.7, 2.1])
    both = SourcePrior(SobolevPrior(GRID, exponents), STARS)
    assert both.power.shape == (GRID.groups, GRID.aliases, 2)
    groups = GRID.analyse(rng.normal(size=(2, *GRID.shape)))
    for a, exponent in enumerate(exponents):
        one = SourcePrior(SobolevPrior(GRID, exponent), STARS)
        part = groups[:, :, a : a + 1]
        np.testing.assert_allclose(both.apply(groups)[:, :, a], one.apply(part)[:, :, 0], atol=1e-9)
        np.testing.assert_allclose(both.energy(groups)[a], one.energy(part)[0])
    same = SourcePrior(FourierPrior(GRID, both.power), STARS)
    np.testing.assert_allclose(same.amplitudes(groups), both.amplitudes(groups))


@pytest.fixture(scope="module")
def scene():
    return make_scene(margin=3)


def test_fusion_with_fitted_exponents(scene):
    fitted, gradient = (
        fuse(scene.data, FusionSettings(regularisation="sobolev", exponent=exponent))
        for exponent in ("auto", 1)
    )
    assert fitted.converged
    assert fitted.exponents.shape == (fitted.subspace.rank,)
    assert np.ptp(fitted.exponents) > 0
    np.testing.assert_allclose(gradient.exponents, 1)
    assert score(scene, fitted) > score(scene, gradient) - 0.1
    assert 0.8 < calibration(scene, fitted) < 1.2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exponent": 1.7}, 1.7),
        ({"exponent": "2"}, 2.0),
        ({"tuning": "syfu"}, 1.0),
        ({"tuning": "manual", "mu": 1e-2}, 1.0),
        ({"tuning": "manual", "mu": 1e-2, "exponent": 2.0}, 2.0),
        ({}, 1.0),
        ({"regularisation": "wavelet"}, 1.0),
        ({"regularisation": "none"}, 1.0),
    ],
)
def test_other_choices_do_not_fit_it(scene, options, expected):
    settings = FusionSettings(errors=False, **options)
    assert not settings.fits_exponents
    problem, _ = tuned_problem(scene.data, settings)
    np.testing.assert_allclose(problem.exponents, expected)
    prior = SobolevPrior(problem.system.grid, expected)
    np.testing.assert_allclose(problem.system.prior.power, prior.power)


def tuned_problem(data, settings):
    data = usable_data(data)
    problem = LowRankProblem.pose(data, choose_subspace(data, settings), settings)
    mu = initial_mu(problem.subspace, data.factor, settings)
    return problem, problem.tune(mu, settings, tolerance=0.05)


def test_similar_problems_keep_the_exponents(scene):
    settings = FusionSettings(regularisation="sobolev")
    problem, _ = tuned_problem(scene.data, settings)
    found = problem.exponents
    assert np.abs(found - 1).max() > 0.1
    again = problem.posed_again(replace(problem.data), problem.subspace, settings)
    moved = again.with_positions(STARS)
    back = moved.with_positions(np.zeros((0, 2)))
    power = SobolevPrior(problem.system.grid, found).power
    for one in (problem, again, moved, back):
        np.testing.assert_array_equal(one.exponents, found)
        np.testing.assert_allclose(one.system.prior.power, power)
        np.testing.assert_allclose(one.system.blocks.power, power)


@pytest.mark.parametrize("exponent", ["fitted", 0.4, 3.1, True, None, np.nan])
def test_what_is_no_exponent(exponent):
    with pytest.raises(
        ValueError, match=r"exponent is .*: expected 'auto' or a number from 0\.5 to 3"
    ):
        FusionSettings(exponent=exponent)
