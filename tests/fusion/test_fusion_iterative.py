"""Weighted solve: agreement with dense algebra, masks without influence, convergence reports."""

import numpy as np
import pytest

from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer

RANK, FILTERS, ROWS = 2, 3, 4
MU = np.array([0.2, 0.5])
SOLVER = {"tolerance": 1e-10, "max_iterations": 500}


def build(*, image_weight=None, spaxel_weight=None, gaps=None, images=None, rows=None, seed=0):
    rng = np.random.default_rng(seed)
    grid = Grid(4, 5, 2)
    psf = rng.random((2, 2, 5, 3)) ** 2
    psf /= psf.sum((2, 3), keepdims=True)
    imager = Imager(grid, psf[0], rng.normal(size=(FILTERS, 2, RANK)))
    spectrometer = Spectrometer(grid, psf[1], rng.normal(size=(ROWS, 2, RANK)))
    truth = rng.normal(size=(RANK, *grid.shape))
    images = imager.forward(truth) if images is None else images
    rows = spectrometer.forward(truth) if rows is None else rows
    image_weight = np.ones(images.shape) if image_weight is None else image_weight
    spaxel_weight = np.ones((4, 5)) if spaxel_weight is None else spaxel_weight
    return (
        WeightedSystem(imager, spectrometer, images, image_weight, rows, spaxel_weight, gaps),
        truth,
    )


def dense(operator):
    basis = np.eye(RANK * 80).reshape(-1, RANK, 8, 10)
    return np.array([operator.forward(e).ravel() for e in basis]).T


def test_weighted_solve_agrees_with_dense_algebra():
    rng = np.random.default_rng(7)
    image_weight = rng.random((FILTERS, 8, 10)) * (rng.random((FILTERS, 8, 10)) > 0.2)
    spaxel_weight = rng.random((4, 5)) * (rng.random((4, 5)) > 0.2)
    # Spaxels 3 and 8 lack voxels: their rows have a Gram matrix other than one.
    half = rng.normal(size=(2, ROWS, ROWS)) / 4
    index, gram = np.array([3, 8]), half @ half.transpose(0, 2, 1)
    system, _ = build(image_weight=image_weight, spaxel_weight=spaxel_weight, gaps=(index, gram))
    a, h = dense(system.imager), dense(system.spectrometer)
    full = np.tile(np.eye(ROWS), (20, 1, 1))
    full[index] = gram
    noise = np.zeros((ROWS, 20, ROWS, 20))
    for s in range(20):
        noise[:, s, :, s] = full[s] * spaxel_weight.flat[s]
    noise = noise.reshape(ROWS * 20, -1)
    eye = np.eye(80).reshape(80, 8, 10)
    g = np.concatenate([(eye - np.roll(eye, 1, axis)).reshape(80, 80).T for axis in (1, 2)])
    matrix = 1.5 * a.T @ (image_weight.ravel()[:, None] * a) + 0.5 * h.T @ noise @ h
    matrix += np.kron(np.diag(MU), g.T @ g)
    weighted_rows = (spaxel_weight * system.rows).ravel()
    rhs = 1.5 * a.T @ (image_weight * system.images).ravel() + 0.5 * h.T @ weighted_rows
    expected = np.linalg.solve(matrix, rhs)
    solution = system.solve(MU, 1.5, 0.5, **SOLVER)
    assert solution.converged
    assert 0 < solution.iterations == len(solution.history) - 1
    result = system.grid.synthesise(solution.solution).ravel()
    np.testing.assert_allclose(result, expected, atol=1e-8 * np.abs(expected).max())


def test_uniform_weights_are_solved_directly():
    system, _ = build()
    direct = system.solve(MU, **SOLVER)
    assert direct.converged
    assert direct.iterations == 0
    system.uniform = False
    iterative = system.solve(MU, **SOLVER)
    assert iterative.iterations > 0
    np.testing.assert_allclose(iterative.solution, direct.solution, atol=1e-8)


def test_data_of_weight_zero_have_no_influence():
    rng = np.random.default_rng(2)
    image_weight = (rng.random((FILTERS, 8, 10)) > 0.2).astype(float)
    spaxel_weight = (rng.random((4, 5)) > 0.2).astype(float)
    weights = {"image_weight": image_weight, "spaxel_weight": spaxel_weight}
    clean, _ = build(**weights)
    images = np.where(image_weight > 0, clean.images, 1e6)
    rows = np.where(spaxel_weight > 0, clean.rows, -1e6)
    dirty, _ = build(images=images, rows=rows, **weights)
    np.testing.assert_allclose(
        dirty.solve(MU, **SOLVER).solution, clean.solve(MU, **SOLVER).solution, atol=1e-7
    )
    assert clean.count_image == image_weight.sum()
    assert clean.count_cube == ROWS * spaxel_weight.sum()


def test_misfit_vanishes_for_the_truth_only():
    system, truth = build()
    groups = system.grid.analyse(truth)
    assert max(system.misfit(groups)) < 1e-18
    assert min(system.misfit(1.1 * groups)) > 1e-2


def test_inner_product_equals_the_one_of_maps():
    system, truth = build()
    other = np.random.default_rng(9).normal(size=truth.shape)
    inner = system.inner(system.grid.analyse(truth), system.grid.analyse(other))
    assert inner == pytest.approx(np.vdot(truth, other))


def broken(system, calls):
    """Let the operator turn negative after some calls, as rounding would."""
    apply, made = system.apply, []

    def negative(*args):
        made.append(1)
        return apply(*args) if len(made) <= calls else -args[0]

    system.apply = negative
    return system


def test_an_operator_that_is_not_positive_definite_is_an_error():
    system, _ = build(spaxel_weight=np.linspace(0.5, 1.0, 20).reshape(4, 5))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        broken(system, 0).solve(MU, **SOLVER)


def test_a_solve_that_breaks_down_warns(caplog):
    system, _ = build(spaxel_weight=np.linspace(0.5, 1.0, 20).reshape(4, 5))
    found = broken(system, 2).solve(MU, **SOLVER)
    assert not found.converged
    assert "Conjugate gradients break down after 2 iterations" in caplog.text
