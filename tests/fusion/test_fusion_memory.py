"""The estimate of memory against what is allocated."""

import gc
import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import CUBE, IMAGER, NODES, render_psf

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.memory import estimate_fusion_memory
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.point_sources import SourcePrior
from jwst_fusion.fusion.solver.problem import LowRankProblem, choose_subspace
from jwst_fusion.fusion.solver.regularisation import EdgePrior, SobolevPrior
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.source_fit import PointImages, light_of
from jwst_fusion.fusion.solver.whitening import usable_data


def random_data(channels, shape, factor=3, filters=3):
    rng = np.random.default_rng(0)
    fine = (filters, factor * shape[0], factor * shape[1])
    scores = rng.normal(size=(4, *shape)).cumsum(1).cumsum(2)
    cube = 100 + np.tensordot(rng.normal(size=(channels, 4)), scores, 1)
    cube += rng.normal(size=cube.shape)
    response = np.zeros((filters, channels))
    response[np.arange(filters), np.arange(filters) * channels // filters] = 1.0
    images = response @ cube.reshape(channels, -1)
    images = np.kron(images.reshape(filters, *shape), np.ones((factor, factor)))
    return FusionData(
        cube=cube,
        cube_sigma=np.ones(channels),
        spaxel_weight=np.ones(shape),
        images=images + rng.normal(size=fine),
        image_sigma=np.ones(filters),
        image_weight=np.ones(fine),
        response=response,
        psf_weights=np.full((channels, len(NODES)), 1 / len(NODES)),
        psf_image=np.array([render_psf(IMAGER, n) for n in NODES]),
        psf_cube=np.array([render_psf(CUBE, n) for n in NODES]),
        factor=factor,
    )


@pytest.mark.parametrize(("channels", "shape", "rank"), [(2500, (24, 20), 3), (400, (30, 36), 6)])
def test_estimate_agrees_with_the_peak(channels, shape, rank):
    data = random_data(channels, shape)
    tracemalloc.start()
    fuse(data, FusionSettings(rank=rank, tuning="manual", mu=1.0, max_iterations=5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = estimate_fusion_memory(channels, shape, 3, filters=3, nodes=len(NODES), rank=rank)
    assert estimate == pytest.approx(peak, rel=0.3)


def test_estimate_grows_with_everything():
    usual = {"channels": 1616, "shape": (30, 30), "factor": 3, "filters": 5, "nodes": 12, "rank": 6}
    least = estimate_fusion_memory(**usual)
    for name, value in (("channels", 3600), ("shape", (60, 40)), ("factor", 4), ("rank", 9)):
        assert estimate_fusion_memory(**{**usual, name: value}) > least
    assert estimate_fusion_memory(**usual, errors=False) < least


def test_images_of_many_sources_are_never_there_at_once():
    """Their light is that of all images together, in a small part of the memory."""
    data = random_data(60, (20, 20))
    nodes, count = 16, 300
    copies = -(-nodes // len(NODES))
    rng = np.random.default_rng(1)
    data = replace(
        data,
        psf_weights=rng.dirichlet(np.ones(nodes), 60),
        psf_image=np.concatenate([data.psf_image] * copies)[:nodes],
        psf_cube=np.concatenate([data.psf_cube] * copies)[:nodes],
        sources=rng.uniform(3, 56, (count, 2)),
    )
    settings = FusionSettings(rank=3, tuning="manual", mu=1.0)
    data = usable_data(data)
    problem = LowRankProblem.pose(data, choose_subspace(data, settings), settings)
    spectra = rng.normal(size=(count, 60))
    points = PointImages(problem)
    tracemalloc.start()
    cube, images = light_of(data, spectra, points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * 4 * nodes * count * data.images[0].size
    each = [(points.in_cube(j), points.in_images(j)) for j in range(count)]
    all_cube, all_images = (np.array(one) for one in zip(*each, strict=True))
    table = np.einsum("lr,jl->jlr", data.psf_weights, spectra)
    expected = np.einsum("jlr,jryx->lyx", table, all_cube, optimize=True)
    np.testing.assert_allclose(cube, expected, atol=1e-5 * np.abs(expected).max())
    band = np.einsum("fl,jlr->jfr", data.response, table)
    expected = np.einsum("jfr,jryx->fyx", band, all_images, optimize=True)
    np.testing.assert_allclose(images, expected, atol=1e-5 * np.abs(expected).max())


def test_priors_of_sources_do_not_wait_for_the_garbage_collector():
    grid = Grid(6, 7, 3)
    prior = SourcePrior(SobolevPrior(grid), [(4.0, 5.0), (9.5, 3.0)])
    gone = weakref.ref(prior)
    gc.disable()
    try:
        del prior
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("regularisation", ["sobolev", "edge_preserving"])
def test_estimate_holds_with_many_sources(regularisation):
    rng = np.random.default_rng(2)
    data = replace(random_data(150, (16, 16)), sources=rng.uniform(3, 44, (100, 2)))
    options = {"rank": 3, "tuning": "manual", "mu": 1.0, "max_iterations": 5}
    options["regularisation"] = regularisation
    tracemalloc.start()
    result = fuse(data, FusionSettings(sources="given", **options))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(result.sources) > 90
    estimate = estimate_fusion_memory(150, (16, 16), 3, filters=3, nodes=len(NODES), rank=3)
    assert peak < estimate


def test_points_of_a_prior_on_pixels_are_made_a_few_at_a_time():
    grid = Grid(36, 36, 3)
    weights = np.random.default_rng(3).uniform(0.5, 1.5, (2, *grid.shape))
    positions = np.random.default_rng(4).uniform(0, 107, (60, 2))
    tracemalloc.start()
    prior = SourcePrior(EdgePrior(grid, weights), positions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * prior.points.nbytes + 20e6
