"""Block-Fourier solve against dense linear algebra."""

import numpy as np
import pytest

from jwst_fusion.fusion.solver.direct import BlockSystem
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer

RANK = 2


def problem(rows, columns, factor, seed=0):
    """Operators with asymmetric PSFs that change with wavelength."""
    rng = np.random.default_rng(seed)
    grid = Grid(rows, columns, factor)
    psf = rng.random((2, 3, 5, 7)) ** 2
    psf /= psf.sum((2, 3), keepdims=True)
    imager = Imager(grid, psf[0], rng.normal(size=(3, 3, RANK)))
    return imager, Spectrometer(grid, psf[1], rng.normal(size=(4, 3, RANK)))


def dense(operator):
    """Matrix of an operator, column by column."""
    grid = operator.grid
    basis = np.eye(RANK * np.prod(grid.shape)).reshape(-1, RANK, *grid.shape)
    return np.array([operator.forward(e).ravel() for e in basis]).T


def dense_gradient(grid):
    size = int(np.prod(grid.shape))
    basis = np.eye(size).reshape(size, *grid.shape)
    return np.concatenate(
        [(basis - np.roll(basis, 1, axis)).reshape(size, size).T for axis in (1, 2)]
    )


def dense_normal(imager, spectrometer, image_weight, cube_weight, mu):
    grid = imager.grid
    a, h, g = dense(imager), dense(spectrometer), dense_gradient(grid)
    weights = np.repeat(image_weight, np.prod(grid.shape))
    prior = np.kron(np.diag(mu), g.T @ g)
    return a.T @ (weights[:, None] * a) + cube_weight * h.T @ h + prior


@pytest.mark.parametrize(("rows", "columns", "factor"), [(3, 4, 2), (4, 3, 3), (2, 5, 2)])
def test_solve_agrees_with_dense_algebra(rows, columns, factor):
    imager, spectrometer = problem(rows, columns, factor)
    grid = imager.grid
    weights = (np.array([0.5, 2.0, 1.0]), 3.0, np.array([0.1, 0.7]))
    rhs = np.random.default_rng(1).normal(size=(RANK, *grid.shape))
    expected = np.linalg.solve(dense_normal(imager, spectrometer, *weights), rhs.ravel())
    system = BlockSystem(imager, spectrometer)
    result = grid.synthesise(system.solve(grid.analyse(rhs), *weights))
    np.testing.assert_allclose(result.ravel(), expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_small_chunks_change_nothing(monkeypatch):
    imager, spectrometer = problem(4, 5, 2)
    grid = imager.grid
    weights = (np.ones(3), 1.0, np.array([0.1, 0.7]))
    rhs = grid.analyse(np.random.default_rng(1).normal(size=(RANK, *grid.shape)))
    whole = BlockSystem(imager, spectrometer).solve(rhs, *weights)
    monkeypatch.setattr("jwst_fusion.fusion.solver.direct._CHUNK", 3 * 16 * 64)
    system = BlockSystem(imager, spectrometer)
    assert len(system.chunks()) > 3
    np.testing.assert_allclose(system.solve(rhs, *weights), whole, rtol=1e-12)


def test_single_precision_blocks(monkeypatch):
    imager, spectrometer = problem(4, 5, 2)
    grid = imager.grid
    weights = (np.ones(3), 1.0, np.array([0.1, 0.7]))
    rhs = grid.analyse(np.random.default_rng(1).normal(size=(RANK, *grid.shape)))
    double = BlockSystem(imager, spectrometer).solve(rhs, *weights)
    monkeypatch.setattr("jwst_fusion.fusion.solver.direct._DOUBLE_LIMIT", 0)
    system = BlockSystem(imager, spectrometer)
    assert system.dtype == np.complex64
    single = system.solve(rhs, *weights)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-4 * np.abs(double).max())


def test_covariance_is_the_diagonal_of_the_inverse():
    imager, spectrometer = problem(3, 4, 2)
    grid = imager.grid
    weights = (np.ones(3), 2.0, np.array([0.3, 0.7]))
    inverse = np.linalg.inv(dense_normal(imager, spectrometer, *weights))
    size = int(np.prod(grid.shape))
    expected = np.einsum("apbp->ab", inverse.reshape(RANK, size, RANK, size)) / size
    total = np.zeros((RANK, RANK))
    for _, share, covariance in BlockSystem(imager, spectrometer).covariances(*weights):
        total += np.einsum("g,gdab->ab", share, covariance).real
    np.testing.assert_allclose(total / size, expected, rtol=1e-8)


def test_sampled_covariance_is_close_to_the_complete_one():
    rng = np.random.default_rng(3)
    grid = Grid(20, 22, 2)
    y, x = np.mgrid[-6:7, -6:7]
    psf = [np.exp(-0.5 * ((y / s) ** 2 + ((x - 1) / s) ** 2)) for s in (1.0, 2.0)]
    psf = [p[None] / p.sum() for p in psf]
    imager = Imager(grid, psf[0], rng.normal(size=(2, 1, RANK)))
    system = BlockSystem(imager, Spectrometer(grid, psf[1], rng.normal(size=(3, 1, RANK))))
    sums = []
    for budget in (10**6, 60):
        total = np.zeros((RANK, RANK))
        weights = (np.full(2, 10.0), 30.0, np.full(RANK, 0.1))
        for _, share, covariance in system.covariances(*weights, budget=budget):
            total += np.einsum("g,gdab->ab", share, covariance).real
        sums.append(total)
    np.testing.assert_allclose(sums[1], sums[0], rtol=0.03)


def test_preconditioner_inverts_the_blocks():
    imager, spectrometer = problem(4, 5, 3)
    grid = imager.grid
    weights = (np.ones(3), 2.0, np.array([0.3, 0.7]))
    system = BlockSystem(imager, spectrometer)
    rhs = grid.analyse(np.random.default_rng(2).normal(size=(RANK, *grid.shape)))
    np.testing.assert_allclose(
        system.preconditioner(*weights)(rhs), system.solve(rhs, *weights), rtol=1e-3, atol=1e-5
    )


def test_preconditioner_is_used_again_until_the_hyperparameters_change():
    imager, spectrometer = problem(4, 5, 3)
    system = BlockSystem(imager, spectrometer)
    rhs = imager.grid.analyse(np.random.default_rng(2).normal(size=(RANK, *imager.grid.shape)))
    mu = np.array([0.3, 0.7])
    first = system.preconditioner(np.ones(3), 2.0, mu)(rhs)
    np.testing.assert_array_equal(system.preconditioner(np.ones(3), 2.0, 1.05 * mu)(rhs), first)
    other = system.preconditioner(np.ones(3), 2.0, 2 * mu)(rhs)
    expected = system.solve(rhs, np.ones(3), 2.0, 2 * mu)
    np.testing.assert_allclose(other, expected, rtol=1e-3, atol=1e-5)
    assert np.abs(other - first).max() > 1e-3 * np.abs(first).max()


def test_rounded_preconditioner_stays_positive_definite():
    """Blocks so ill-conditioned that their rounded inverse would not be."""
    imager, spectrometer = problem(4, 5, 3)
    system = BlockSystem(imager, spectrometer)
    apply = system.preconditioner(np.full(3, 1e7), 1e4, np.full(2, 1e-5))
    rng = np.random.default_rng(4)
    for _ in range(20):
        x = imager.grid.analyse(rng.normal(size=(RANK, *imager.grid.shape)))
        x = imager.adjoint_groups(imager.forward_groups(x))
        assert np.einsum("gda,gda->", x.conj(), apply(x)).real > 0


def test_ridge_is_raised_where_rounding_makes_blocks_singular(caplog):
    imager, spectrometer = problem(4, 5, 2)
    system = BlockSystem(imager, spectrometer)
    rhs = imager.grid.analyse(np.random.default_rng(1).normal(size=(RANK, *imager.grid.shape)))
    weights = (np.ones(3), 1.0, np.array([0.1, 0.7]))
    expected = system.solve(rhs, *weights)
    broken, whole = 3, system.matrices(slice(3, 4), *weights)[0]
    values, vectors = np.linalg.eigh(whole)
    shift = (values[0] + 1e-9 * values[-1]) * np.outer(vectors[:, 0], vectors[:, 0].conj())
    system.gram[broken] -= shift  # slightly indefinite
    result = system.solve(rhs, *weights)
    assert caplog.text.count("ridge was raised") == 1
    others = np.arange(len(rhs)) != broken
    np.testing.assert_allclose(result[others], expected[others], rtol=1e-9)
    assert np.isfinite(result).all()
    system.gram[broken] = np.nan
    with pytest.raises(np.linalg.LinAlgError, match="not finite"):
        system.solve(rhs, *weights)
    system.gram[broken] = -np.eye(system.size)
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        system.solve(rhs, 0 * weights[0], 1.0, 1e-9 * weights[2])
