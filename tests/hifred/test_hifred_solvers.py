"""Solvers against closed forms and generic optimisers; likelihoods and their conjugates."""

import numpy as np
import pytest
from scipy.optimize import minimize

from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.solver.instrument_likelihood import InstrumentLikelihood
from jwst_fusion.hifred.solver.likelihood import Gaussian, Poisson
from jwst_fusion.hifred.solver.newton import Objective, minimise
from jwst_fusion.hifred.solver.penalties import NoPenalty, Sobolev, SparseStarlet
from jwst_fusion.hifred.solver.posterior import covariances, draw, shrinkage
from jwst_fusion.hifred.solver.primal_dual import PrimalDual
from jwst_fusion.hifred.solver.sparse_dual import SparseDual
from jwst_fusion.numerics.starlet import Starlet2D1D

SHAPE = (8, 6, 4)


def small_pair(*, likelihood="poisson", terms=1):
    """Two instruments, a low-rank source and likelihoods of what they see."""
    rng = np.random.default_rng(11)
    psf = np.exp(-0.5 * (np.arange(5) - 2.0) ** 2)
    psf = np.multiply.outer(psf, psf[1:4])
    x = Response.build(SHAPE, lsf=np.array([1, 3, 1.0]), rebin=(4, 1, 1), exposure=1.2)
    stack = psf if terms == 1 else np.stack([psf, psf**2])
    y = Response.build(SHAPE, psf=stack, rebin=(1, 2, 2), background=0.5)
    basis = rng.uniform(0.5, 2.0, (SHAPE[0], 3))
    maps = rng.uniform(2.0, 6.0, (3, *SHAPE[1:]))
    cube = basis @ maps.reshape(3, -1)
    likelihoods = []
    for response in (x, y):
        shape = (response.observed_shape[0], -1)
        background = response.background
        background = None if background is None else background.reshape(shape)
        mean = response.forward_flat(cube)
        used = rng.random(mean.shape) > 0.1
        if likelihood == "poisson":
            counts = rng.poisson(mean + (0.0 if background is None else background))
            likelihoods.append(Poisson(counts.astype(float), background, used))
        else:
            variance = rng.uniform(0.5, 2.0, mean.shape)
            data = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
            likelihoods.append(Gaussian(data, variance, background, used))
    return likelihoods, [x, y], basis, maps


def objective_of(pair, penalty, *, directions=None, barrier=0.0, **options):
    likelihoods, responses, basis, maps = pair
    instruments = [
        InstrumentLikelihood(one, r, basis, **options)
        for one, r in zip(likelihoods, responses, strict=True)
    ]
    return Objective(instruments, penalty, maps.shape, directions, barrier=barrier)


def penalties():
    image = np.random.default_rng(2).uniform(0.5, 2.0, SHAPE[1:])
    strengths = np.array([0.1, 0.3, 0.2])
    return {
        "sobolev": Sobolev(strengths, image),
        "starlet": SparseStarlet(strengths, image, 1, 0.3),
        "none": NoPenalty(),
    }


@pytest.mark.parametrize("penalty", ["sobolev", "starlet"])
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("terms", [1, 2])
def test_gradient_and_curvature_are_those_of_the_value(penalty, likelihood, terms):
    pair = small_pair(likelihood=likelihood, terms=terms)
    objective = objective_of(pair, penalties()[penalty], directions=pair[2], barrier=2.0)
    rng = np.random.default_rng(0)
    maps = pair[3].reshape(3, -1) + rng.standard_normal((3, 24))
    step = rng.standard_normal(maps.shape)
    _, gradient, state = objective.local(maps)
    h = 1e-5
    up, down = objective.local(maps + h * step), objective.local(maps - h * step)
    assert (up[0] - down[0]) / (2 * h) == pytest.approx(np.vdot(gradient, step), rel=1e-4)
    objective.freeze(maps, state)
    if penalty == "sobolev":
        change = (up[1] - down[1]) / (2 * h)
        assert np.allclose(change, objective.hessian(step), rtol=1e-3, atol=1e-3)
    other = rng.standard_normal(maps.shape)
    there, back = np.vdot(other, objective.hessian(step)), np.vdot(step, objective.hessian(other))
    assert there == pytest.approx(back, rel=1e-9)
    assert np.vdot(step, objective.hessian(step)) > 0


def full_curvature(objective):
    size = objective.rank * objective.pixels
    columns = [objective.hessian(e.reshape(objective.rank, -1)).ravel() for e in np.eye(size)]
    return np.array(columns)


@pytest.mark.parametrize("penalty", ["sobolev", "starlet"])
@pytest.mark.parametrize("terms", [1, 2])
def test_preconditioner_holds_the_diagonal_blocks(penalty, terms):
    pair = small_pair(terms=terms)
    objective = objective_of(pair, penalties()[penalty])
    maps = pair[3].reshape(3, -1)
    objective.freeze(maps, objective.local(maps)[2])
    full = full_curvature(objective).reshape(3, 24, 3, 24)
    blocks = np.einsum("apbp->pab", full)
    assert np.allclose(np.linalg.inv(objective.inverse_blocks), blocks, rtol=1e-5)
    # applied by factors instead of by blocks
    other = objective_of(pair, penalties()[penalty], most_elements=0)
    other.freeze(maps, other.local(maps)[2])
    assert not any(instrument.blocked for instrument in other.instruments)
    direct = full_curvature(other).reshape(3, 24, 3, 24)
    assert np.allclose(direct, full, atol=1e-9 * np.abs(full).max())


def test_gaussian_solution_is_the_closed_form():
    pair = small_pair(likelihood="gaussian", terms=2)
    objective = objective_of(pair, penalties()["sobolev"])
    found = minimise(
        objective, np.zeros((3, *SHAPE[1:])), tolerance=1e-14, max_iterations=20, inner=500
    )
    assert found.converged
    zero = np.zeros((3, 24))
    _, gradient, state = objective.local(zero)
    objective.freeze(zero, state)
    exact = -np.linalg.solve(full_curvature(objective), gradient.ravel())
    assert np.allclose(found.maps.ravel(), exact, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("penalty", ["sobolev", "starlet"])
def test_poisson_solution_is_that_of_a_generic_optimiser(penalty):
    pair = small_pair()
    objective = objective_of(pair, penalties()[penalty])
    found = minimise(objective, pair[3], tolerance=1e-10, max_iterations=200, inner=300)
    assert found.converged

    def function(flat):
        value, gradient, _ = objective.local(flat.reshape(3, -1))
        return value, gradient.ravel()

    other = minimize(
        function, pair[3].ravel() + 1.0, jac=True, method="L-BFGS-B", options={"maxiter": 20000}
    )
    assert found.value <= other.fun + 1e-6
    assert other.fun - found.value < 1e-2
    history = np.array(found.history)[:, 0]
    assert (np.diff(history) <= 1e-9 * np.abs(history[1:])).all()


def test_objective_is_convex():
    pair = small_pair()
    rng = np.random.default_rng(3)
    for penalty in penalties().values():
        objective = objective_of(pair, penalty, directions=pair[2], barrier=1.0)
        for _ in range(20):
            a, b = rng.uniform(-3, 6, (2, 3, 24))
            ends = objective.local(a)[0] + objective.local(b)[0]
            assert objective.local(0.5 * (a + b))[0] <= 0.5 * ends * (1 + 1e-12)


def test_posterior_covariance_is_the_inverse_of_the_curvature():
    pair = small_pair()
    objective = objective_of(pair, penalties()["sobolev"])
    found = minimise(objective, pair[3], tolerance=1e-8, max_iterations=100, inner=300)
    exact = np.linalg.inv(full_curvature(objective)).reshape(3, 24, 3, 24)
    exact = np.einsum("apap->pa", exact)
    blocks = covariances(objective, draw(objective, samples=400, seed=1))
    assert np.allclose(np.einsum("paa->pa", blocks), exact, rtol=0.15)
    # less is taken away by a weaker penalty
    lost = shrinkage(objective, found.maps)
    assert 0 < np.linalg.norm(lost) < np.linalg.norm(found.maps)


@pytest.mark.parametrize("kind", ["poisson", "gaussian"])
def test_dual_step_and_conjugate_belong_to_the_likelihood(kind):
    rng = np.random.default_rng(5)
    data = rng.poisson(3.0, (4, 7)).astype(float)
    background = np.full(data.shape, 0.3)
    likelihood = Poisson(data, background)
    if kind == "gaussian":
        likelihood = Gaussian(data, rng.uniform(0.5, 2.0, data.shape), background)
    signal = rng.uniform(0.5, 5.0, data.shape)
    gradient = likelihood.local(signal)[1]
    # Fenchel's equality holds at the gradient
    total = likelihood.value(signal) + likelihood.conjugate(gradient)
    assert total == pytest.approx(np.vdot(signal, gradient), abs=1e-9)
    # Moreau: the point where the gradient does not change is a fixed point of the dual step
    step = rng.uniform(0.1, 3.0, data.shape)
    assert np.allclose(likelihood.dual_step(gradient, step, step * signal), gradient, atol=1e-12)


def primal_dual(likelihoods, responses, *, sparse=True, reference=None, **kwargs):
    scale = np.full((SHAPE[0], 24), 5.0)
    dual = None
    if sparse:
        starlet = Starlet2D1D(SHAPE, 1, 2, dtype=np.float32)
        dual = SparseDual(starlet, [np.full(SHAPE, 0.2)] * len(starlet.bands), scale, 1.0)
    return PrimalDual(likelihoods, responses, scale, dual, reference=reference, **kwargs), scale


def test_gap_bounds_the_distance_from_the_minimum():
    likelihoods, responses, _, _ = small_pair()
    solver, scale = primal_dual(likelihoods, responses)
    found = solver.run(scale, tolerance=1e-6, max_iterations=20000)
    assert found.converged
    gaps = np.array(found.history)
    best = gaps[:, 0].min()
    assert (gaps[:, 1] > -1e-3).all()
    assert (gaps[:, 0] - gaps[:, 1] <= best + 1e-2).all()  # no dual value above the minimum
    assert found.cube.min() >= 0
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = np.maximum(found.cube + 0.05 * rng.standard_normal(found.cube.shape), 0)
        assert solver.value(other.astype(np.float32)) > found.value - 1e-2


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_primal_dual_agrees_with_a_generic_optimiser(likelihood):
    likelihoods, responses, _, _ = small_pair(likelihood=likelihood)
    solver, scale = primal_dual(likelihoods, responses, sparse=False)
    found = solver.run(scale, tolerance=1e-6, max_iterations=20000)

    def function(flat):
        cube, value, gradient = flat.reshape(SHAPE[0], -1), 0.0, 0.0
        for one, response in zip(likelihoods, responses, strict=True):
            part, slope, _ = one.local(response.forward_flat(cube))
            value += part
            gradient = gradient + response.adjoint_flat(slope)
        return value, gradient.ravel()

    other = minimize(
        function,
        scale.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * scale.size,
        options={"maxiter": 20000, "maxfun": 100000},
    )
    assert found.value == pytest.approx(other.fun, abs=0.05)


def test_reference_without_evidence_against_it_is_kept():
    likelihoods, responses, basis, maps = small_pair()
    reference = (basis @ maps.reshape(3, -1)).astype(np.float32)
    starlet = Starlet2D1D(SHAPE, 1, 2, dtype=np.float32)
    limits = [np.full(SHAPE, 1e3)] * len(starlet.bands)
    dual = SparseDual(starlet, limits, reference, 1.0)
    solver = PrimalDual(likelihoods, responses, reference, dual, reference=reference)
    found = solver.run(reference, tolerance=1e-6, max_iterations=3000)
    change = found.cube - reference
    # only what is smooth in space and energy is free
    bands = starlet.forward(change.reshape(SHAPE))
    assert max(np.abs(one).max() for one in bands) < 0.05 * np.abs(reference).mean()
