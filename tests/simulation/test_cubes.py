"""Cubes made directly, and MRS exposures: products in which the scene is where it was put."""

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from jwst_fusion.psf import PsfCube, chebyshev_nodes
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.exposures import Noise, paint
from jwst_fusion.simulation.reference_geometry import mrs_exposure
from jwst_fusion.simulation.scenes import single_star


def gaussian(sigma, scale=0.02, size=101):
    y, x = (np.mgrid[:size, :size] - size // 2) * scale
    kernel = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    nodes = chebyshev_nodes(0.5, 30.0, 2)
    return PsfCube(np.repeat(kernel[None] / kernel.sum(), 2, axis=0), nodes, scale, "test")


def test_s3d_holds_the_star_and_its_noise(tmp_path):
    scene = single_star(peak=4.0)
    wavelength = 1.9 + 4e-4 * np.arange(40)
    model = simulate_s3d(scene, wavelength, psf=gaussian(0.1))
    model.save(str(tmp_path / model.meta.filename))
    with datamodels.open(tmp_path / model.meta.filename) as cube:
        assert isinstance(cube, datamodels.IFUCubeModel)
        image = np.asarray(cube.data, float).mean(axis=0)
        assert image.sum() * 0.01 == pytest.approx(
            4 * np.interp(wavelength, scene.wavelength, scene.spectra[0]).mean(), rel=0.02
        )
        y, x = np.indices(image.shape)
        bright = np.where(image > 0.02 * image.max(), image, 0)
        at = (np.sum(x * bright) / bright.sum(), np.sum(y * bright) / bright.sum())
        ra, dec, wave = cube.meta.wcs(*at, 10.0)
        assert wave == pytest.approx(wavelength[10], abs=1e-9)
        east = (ra - scene.ra) * 3600 * np.cos(np.radians(scene.dec))
        assert (east, (dec - scene.dec) * 3600) == pytest.approx((0.03, -0.02), abs=0.01)
        empty = np.asarray(cube.data)[:, :5] / np.asarray(cube.err)[:, :5]
        assert np.std(empty) == pytest.approx(1.0, abs=0.03)


def test_uneven_channels_are_refused():
    with pytest.raises(ValueError, match="evenly"):
        simulate_s3d(single_star(), np.array([1.9, 2.0, 2.2]), psf=gaussian(0.1))


def test_mrs_exposure_in_real_geometry(data_dir):
    scene = single_star(blue=4.7, red=9.2)
    model = mrs_exposure(data_dir / "miri_mrs_refs", ra=scene.ra, dec=scene.dec, roll=40.0)
    truth = paint(model, scene.observe(gaussian(0.15)), noise=Noise.none())
    sky = np.isfinite(truth)
    assert 0.7 < sky.mean() < 0.9
    y, x = np.nonzero(sky)
    ra, dec, _ = model.meta.wcs(x.astype(float), y.astype(float))
    for half in (x < 516, x >= 516):
        weight = np.maximum(truth[y, x], 0)[half]
        east = (ra[half] - scene.ra) * 3600 * np.cos(np.radians(scene.dec))
        north = (dec[half] - scene.dec) * 3600
        assert np.average(east, weights=weight) == pytest.approx(0.03, abs=0.05)
        assert np.average(north, weights=weight) == pytest.approx(-0.02, abs=0.05)
