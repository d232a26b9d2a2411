"""Whitened problem: compression without loss, weights, responses, the domain."""

from dataclasses import replace

import numpy as np
import pytest

from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.subspace import estimate_subspace
from jwst_fusion.fusion.solver.whitening import (
    Compression,
    is_complete,
    usable_data,
    whitened_system,
)

CHANNELS = 40


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    psf = rng.random((3, 7, 5)) ** 2
    psf /= psf.sum((1, 2), keepdims=True)
    weights = np.vander(np.linspace(0.1, 0.5, CHANNELS), 3)
    maps, spectra = rng.normal(size=(2, 30)), rng.normal(size=(CHANNELS, 2))
    cube = 9 + (5 * spectra @ maps).reshape(CHANNELS, 5, 6) + rng.normal(size=(CHANNELS, 5, 6))
    return FusionData(
        cube=cube,
        cube_sigma=np.linspace(0.5, 2, CHANNELS),
        spaxel_weight=np.ones((5, 6)),
        images=9 + rng.normal(size=(2, 15, 18)),
        image_sigma=np.array([1.0, 2.0]),
        image_weight=np.ones((2, 15, 18)),
        response=np.full((2, CHANNELS), 1 / CHANNELS),
        psf_weights=weights / weights.sum(1, keepdims=True),
        psf_image=psf,
        psf_cube=psf[:, ::-1],
        factor=3,
    )


def subspace_of(data):
    return estimate_subspace(data.cube, data.cube_sigma, weight=data.spaxel_weight, rank=2)


def test_compression_is_exact(data):
    subspace = subspace_of(data)
    compression = Compression(data.psf_weights, subspace)
    table = data.psf_weights[:, :, None] * (subspace.basis / subspace.sigma[:, None])[:, None, :]
    product = np.tensordot(compression.expand, compression.mixing, 1)
    np.testing.assert_allclose(product, table, atol=1e-4 * np.abs(table).max())
    gram = compression.expand.T @ compression.expand
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-4)


def test_gaps_weigh_only_the_voxels_that_are_there(data):
    cube = data.cube.copy()
    cube[3:9, 1, 2] = np.nan
    cube[20, 4, 5] = np.nan
    data = usable_data(replace(data, cube=cube))
    subspace = subspace_of(data)
    compression = Compression(data.psf_weights, subspace)
    system = whitened_system(data, subspace, compression, "free")
    index, gram = system.gaps
    y, x = np.divmod(index, system.grid.columns)
    np.testing.assert_array_equal(np.column_stack([y, x]), [[1, 2], [4, 5]])
    there = np.isfinite(cube[:, 1, 2])
    kept = compression.expand[there]
    np.testing.assert_allclose(gram[0], kept.T @ kept, atol=1e-5)
    white = (cube[there, 1, 2] - subspace.mean[there]) / subspace.sigma[there]
    np.testing.assert_allclose(system.rows[:, 1, 2], kept.T @ white, atol=1e-9)


def test_domains(data):
    subspace = subspace_of(data)
    compression = Compression(data.psf_weights, subspace)
    mirror = whitened_system(data, subspace, compression, "mirror")
    assert mirror.uniform
    assert mirror.grid.shape == (30, 36)
    np.testing.assert_array_equal(mirror.images, mirror.images[:, ::-1, ::-1])
    free = whitened_system(data, subspace, compression, "free")
    assert not free.uniform
    assert free.grid.rows >= 7
    assert free.spaxel_weight.sum() == 30
    assert free.image_weight.sum() == 2 * 15 * 18
    np.testing.assert_array_equal(free.images[:, :15, :18], mirror.images[:, :15, :18])


def test_constant_weights_move_into_the_errors(data):
    weighted = replace(
        data, spaxel_weight=4 * data.spaxel_weight, image_weight=0.25 * data.image_weight
    )
    usable = usable_data(weighted)
    np.testing.assert_allclose(usable.cube_sigma, data.cube_sigma / 2)
    np.testing.assert_allclose(usable.image_sigma, 2 * data.image_sigma)
    assert is_complete(usable)


def test_what_is_not_finite_loses_its_weight(data, caplog):
    cube, images = data.cube.copy(), data.images.copy()
    cube[:, 0, 0], cube[7] = np.nan, np.nan
    images[1, 2, 3] = np.inf
    usable = usable_data(replace(data, cube=cube, images=images))
    assert usable.spaxel_weight[0, 0] == 0
    assert usable.spaxel_weight.sum() == 29
    assert usable.image_weight[1, 2, 3] == 0
    assert np.isnan(usable.cube_sigma[7])
    assert not usable.response[:, 7].any()
    np.testing.assert_allclose(usable.response.sum(1), 1)
    assert "2.5 % of a response" in caplog.text
    assert not is_complete(usable)
