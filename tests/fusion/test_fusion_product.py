"""Products: rendering equals the imager, errors equal the scatter of posterior draws."""

import numpy as np
import pytest

from jwst_fusion.fusion.solver.evidence import LocalWeights
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.rendering import cube_from_rows, render_rows, row_covariance
from jwst_fusion.fusion.solver.subspace import WhitenedSubspace

RANK, ROWS = 2, 3


@pytest.fixture
def system():
    rng = np.random.default_rng(0)
    grid = Grid(4, 5, 2)
    psf = rng.random((2, 2, 3, 5))
    psf /= psf.sum((2, 3), keepdims=True)
    imager = Imager(grid, psf[0], rng.normal(size=(2, 2, RANK)))
    spectrometer = Spectrometer(grid, psf[1], rng.normal(size=(4, 2, RANK)))
    images, rows = np.zeros((2, *grid.shape)), np.zeros((4, 4, 5))
    weights = np.ones(images.shape), np.ones((4, 5))
    return WeightedSystem(imager, spectrometer, images, weights[0], rows, weights[1]), psf[0]


def test_rendering_equals_the_imager(system):
    system, psf = system
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(ROWS, 2, RANK))
    maps = rng.normal(size=(RANK, *system.grid.shape))
    groups = system.grid.analyse(maps)
    expected = Imager(system.grid, psf, mixing).forward(maps)
    np.testing.assert_allclose(render_rows(system.grid, psf, mixing, groups), expected, atol=1e-12)
    np.testing.assert_allclose(render_rows(system.grid, None, None, groups), maps, atol=1e-12)


@pytest.mark.parametrize("resolution", ["imager", "deconvolved"])
def test_covariance_of_the_rows_agrees_with_dense_algebra(system, resolution):
    system, psf = system
    grid, mu, scales = system.grid, np.array([0.2, 0.7]), (1.5, 0.5)
    mixing = np.random.default_rng(1).normal(size=(ROWS, 2, RANK))
    view = (psf, mixing) if resolution == "imager" else (None, None)
    size = int(np.prod(grid.shape))
    units = np.eye(RANK * size).reshape(-1, RANK, *grid.shape)

    def columns(function):
        return np.array([function(grid.analyse(u)).ravel() for u in units]).T

    normal = columns(lambda g: grid.synthesise(system.apply(g, *scales, mu)))
    render = columns(lambda g: render_rows(grid, *view, g))
    covariance = render @ np.linalg.inv(normal) @ render.T
    count = len(covariance) // size
    covariance = covariance.reshape(count, size, count, size)
    expected = np.einsum("apbp->ab", covariance) / size
    local = LocalWeights(system.image_weight, system.spaxel_weight)
    result = row_covariance(system, local, mu, scales, *view)
    np.testing.assert_allclose(result, expected[None], rtol=1e-7, atol=1e-10)


def test_assembly():
    rng = np.random.default_rng(2)
    sigma = np.array([1.0, 2.0, np.inf, 0.5])
    subspace = WhitenedSubspace(
        mean=np.array([3.0, 4.0, np.nan, 5.0]),
        basis=np.zeros((4, 2)),
        sigma=sigma,
        eigenvalues=np.ones(2),
        explained=np.ones(2),
        noise=1.0,
        scores=np.zeros((2, 1, 1)),
        samples=9,
    )
    expand, rows = rng.normal(size=(4, 3)), rng.normal(size=(3, 5, 6))
    cube, error = cube_from_rows(rows, expand, subspace)
    assert error is None
    expected = np.tensordot(expand, rows, 1) * sigma[:, None, None] + subspace.mean[:, None, None]
    np.testing.assert_allclose(cube[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-5, atol=1e-5)
    assert np.isnan(cube[2]).all()
    share = np.zeros((2, 5, 6))
    share[0, :, :3], share[1, :, 3:] = 1, 1
    share[:, 0, 0] = 0.5
    covariance = np.array([np.eye(3), 4 * np.eye(3)])
    _, error = cube_from_rows(
        rows,
        expand,
        subspace,
        covariance=covariance,
        share=share,
        leverage=np.full((5, 6), 0.3),
        noise=2.0,
    )
    power = (expand**2).sum(1)
    for (y, x), factor in {(1, 1): 1, (1, 5): 4, (0, 0): 2}.items():  # the last one: between both
        expected = sigma * np.sqrt(factor * power + 4 * 0.3)
        np.testing.assert_allclose(error[[0, 1, 3], y, x], expected[[0, 1, 3]], rtol=1e-5)
    assert np.isnan(error[2]).all()


def test_slabs_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    subspace = WhitenedSubspace(
        mean=rng.normal(size=30),
        basis=np.zeros((30, 2)),
        sigma=np.ones(30),
        eigenvalues=np.ones(2),
        explained=np.ones(2),
        noise=1.0,
        scores=np.zeros((2, 1, 1)),
        samples=9,
    )
    expand, rows = rng.normal(size=(30, 3)), rng.normal(size=(3, 5, 6))
    whole = cube_from_rows(rows, expand, subspace)[0]
    monkeypatch.setattr("jwst_fusion.fusion.solver.rendering._CHUNK", 4 * 30 * 7)
    np.testing.assert_allclose(
        cube_from_rows(rows, expand, subspace)[0], whole, rtol=1e-5, atol=1e-6
    )
