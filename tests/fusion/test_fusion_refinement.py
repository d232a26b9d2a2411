"""Refined spectra: exact where maps and data are exact, untouched where nothing is known."""

from dataclasses import replace

import numpy as np
import pytest

from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.operators import Spectrometer
from jwst_fusion.fusion.solver.refinement import refine_subspace
from jwst_fusion.fusion.solver.subspace import estimate_subspace

CHANNELS, RANK = 30, 2


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    grid = Grid(8, 9, 3)
    psf = rng.random((3, 7, 5)) ** 2
    psf /= psf.sum((1, 2), keepdims=True)
    t = np.linspace(0, 1, CHANNELS)
    weights = np.column_stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
    spectra, level = rng.normal(size=(CHANNELS, RANK)), np.linspace(5, 9, CHANNELS)
    maps = rng.normal(size=(RANK, *grid.shape)).cumsum(2)
    mixing = weights[:, :, None] * spectra[:, None, :]
    cube = Spectrometer(grid, psf, mixing).forward(maps) + level[:, None, None]
    data = FusionData(
        cube=cube,
        cube_sigma=np.ones(CHANNELS),
        spaxel_weight=rng.uniform(0.5, 2, (8, 9)),
        images=np.ones((1, 24, 27)),
        image_sigma=np.ones(1),
        image_weight=np.ones((1, 24, 27)),
        response=np.full((1, CHANNELS), 1 / CHANNELS),
        psf_weights=weights,
        psf_image=psf,
        psf_cube=psf,
        factor=3,
    )
    return data, grid, grid.analyse(maps), spectra, level


def blurred_subspace(data):
    return estimate_subspace(data.cube, data.cube_sigma, rank=RANK)


@pytest.mark.parametrize("gaps", [False, True])
def test_spectra_are_recovered(scene, gaps, monkeypatch):
    data, grid, groups, spectra, level = scene
    subspace = blurred_subspace(data)
    assert np.abs(subspace.mean - level).max() > 0.1
    if gaps:
        cube, weight = data.cube.copy(), data.spaxel_weight.copy()
        cube[np.random.default_rng(1).random(cube.shape) < 0.2] = np.nan
        weight[2] = 0
        data = replace(data, cube=cube, spaxel_weight=weight)
        monkeypatch.setattr("jwst_fusion.fusion.solver.refinement._CHUNK", 24 * 3 * 72 * 7)
    refined = refine_subspace(data, subspace, grid, groups)
    np.testing.assert_allclose(refined.basis, spectra, atol=1e-4)
    np.testing.assert_allclose(refined.mean, level, atol=1e-4)


def test_components_without_maps_keep_their_spectra(scene):
    data, grid, groups, spectra, _ = scene
    subspace = replace(blurred_subspace(data), basis=spectra + 1.0)
    empty = groups * np.array([1, 0])
    refined = refine_subspace(data, subspace, grid, empty)
    np.testing.assert_allclose(refined.basis[:, 1], spectra[:, 1] + 1.0, atol=1e-6)


def test_channels_without_data_stay_empty(scene):
    data, grid, groups, *_ = scene
    cube = data.cube.copy()
    cube[4] = np.nan
    data = replace(data, cube=cube)
    refined = refine_subspace(data, blurred_subspace(data), grid, groups)
    assert np.isnan(refined.mean[4])
    assert not refined.basis[4].any()
    assert np.isfinite(np.delete(refined.mean, 4)).all()
