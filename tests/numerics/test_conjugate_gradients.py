"""Conjugate gradients: convergence reports, stop criteria, break-down."""

import numpy as np
import pytest

from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients


def test_conjugate_gradients_reports_convergence_and_its_lack():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(40, 40))
    matrix = half @ half.T + np.eye(40)
    rhs = rng.normal(size=40)
    run = (lambda v: matrix @ v, rhs, lambda v: v / np.diag(matrix), np.dot)
    good = conjugate_gradients(*run, tolerance=1e-11, max_iterations=500)
    assert good.converged
    assert good.history[-1] <= 1e-11 < good.history[-2]
    np.testing.assert_allclose(matrix @ good.solution, rhs, atol=1e-8)
    short = conjugate_gradients(*run, tolerance=1e-11, max_iterations=3)
    assert not short.converged
    assert short.iterations == 3
    warm = conjugate_gradients(*run, start=good.solution, tolerance=1e-9, max_iterations=5)
    assert warm.iterations == 0
    zero = conjugate_gradients(run[0], 0 * rhs, run[2], np.dot)
    assert zero.converged
    assert not zero.solution.any()


@pytest.mark.parametrize("inexact", [False, True])
def test_an_operator_that_is_not_positive_definite(inexact):
    rhs = np.ones((3, 1, 1), complex)

    def inner(a, b):
        return float((a * b).sum().real)

    result = conjugate_gradients(lambda x: -x, rhs, lambda x: x, inner, inexact=inexact)
    assert result.broken_down
    assert not result.converged
    assert result.iterations == 0
    assert not result.solution.any()


def test_the_best_iterate_is_kept():
    """Round-off is mimicked by an operator that turns negative after two steps."""
    calls = []

    def operator(x):
        calls.append(1)
        return (np.arange(1.0, 9.0) if len(calls) < 3 else -1.0) * x

    rhs = np.ones(8)
    result = conjugate_gradients(operator, rhs, lambda x: x, np.dot, inexact=True)
    assert result.broken_down
    assert not result.converged
    assert result.iterations == 2
    assert np.linalg.norm(rhs - np.arange(1.0, 9.0) * result.solution) < np.linalg.norm(rhs)


@pytest.mark.parametrize("condition", [1e1, 1e3, 1e5])
@pytest.mark.parametrize("warm", [False, True])
def test_the_wanted_error_is_reached_where_residuals_mislead(condition, warm):
    rng = np.random.default_rng(int(condition))
    basis = np.linalg.qr(rng.normal(size=(300, 300)))[0]
    values = np.geomspace(1, condition, 300)
    matrix, truth = (basis * values) @ basis.T, rng.normal(size=300)
    run = (lambda x: matrix @ x, matrix @ truth, lambda x: x, lambda a, b: float(a @ b))
    start = truth + rng.normal(size=300) / 10 if warm else None
    limits = {"tolerance": 1e-12, "max_iterations": 2000}
    wanted = 1e-3 * truth @ matrix @ truth
    result = conjugate_gradients(*run, start=start, error=wanted, **limits)
    left = result.solution - truth
    assert result.converged
    assert left @ matrix @ left < wanted
    assert result.iterations < conjugate_gradients(*run, start=start, **limits).iterations / 1.5


def test_a_stop_criterion_of_the_caller():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(30, 25))
    matrix, rhs, seen = half @ half.T + np.eye(30), rng.normal(size=30), []

    def stop(squares):
        seen.append(list(squares))
        return len(squares) == 5

    result = conjugate_gradients(lambda x: matrix @ x, rhs, lambda x: x, np.dot, stop=stop)
    assert result.converged
    assert result.iterations == 4
    assert [len(one) for one in seen] == [1, 2, 3, 4, 5]
    assert seen[-1][0] == rhs @ rhs
    left = rhs - matrix @ result.solution
    assert seen[-1][-1] == pytest.approx(left @ left, rel=1e-9)
    assert result.history[-1] == pytest.approx(np.linalg.norm(left) / np.linalg.norm(rhs), rel=1e-9)


def test_inner_products_need_not_be_those_of_the_arrays():
    """Unknowns that stand for several equal ones, as half of the spectrum of a real map does."""
    weight = np.array([1.0, 2.0, 2.0])
    full = np.array([[4.0, 1.0, 1.0], [0.5, 3.0, 0.2], [0.5, 0.2, 5.0]])
    rhs = np.array([1.0, -2.0, 0.5])
    result = conjugate_gradients(
        lambda x: full @ x, rhs, lambda x: x, lambda a, b: (weight * a) @ b, tolerance=1e-12
    )
    np.testing.assert_allclose(full @ result.solution, rhs, atol=1e-10)
    assert result.iterations <= 3
