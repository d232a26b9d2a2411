"""The estimate of memory against what is allocated."""

import tracemalloc

import numpy as np
import pytest
from analytic_scene import CUBE, IMAGER, NODES, render_psf

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.memory import estimate_fusion_memory
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.settings import FusionSettings


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
