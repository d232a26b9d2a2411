"""Non-negativity: it holds, it helps a dark sky, and it does not touch a bright one."""

import numpy as np
import pytest
from analytic_scene import make_scene, score

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.regularisation import EdgePrior, GramPrior, SobolevPrior
from jwst_fusion.fusion.solver.settings import FusionSettings


def small_system(size, rng, weight=1.0):
    grid = Grid(*size)
    psf = rng.random((2, 2, 3, 5)) ** 2
    psf /= psf.sum((2, 3), keepdims=True)
    imager = Imager(grid, psf[0], rng.normal(size=(3, 2, 2)))
    spectrometer = Spectrometer(grid, psf[1], rng.normal(size=(4, 2, 2)))
    images, rows = rng.normal(size=(3, *grid.shape)), rng.normal(size=(4, *size[:2]))
    image_weight = np.full(images.shape, weight)
    return grid, WeightedSystem(imager, spectrometer, images, image_weight, rows, np.ones(size[:2]))


@pytest.mark.parametrize("size", [(4, 5, 2), (3, 4, 3)])
@pytest.mark.parametrize("edges", [False, True])
def test_blocks_of_the_bound_problem_agree_with_its_operator(size, edges):
    rng = np.random.default_rng(0)
    grid, system = small_system(size, rng)
    mu = np.array([0.5, 2.0])
    base = EdgePrior(grid, np.full((2, *grid.shape), 0.7)) if edges else SobolevPrior(grid)
    viewer = Imager(grid, rng.random((1, 3, 3)), rng.normal(size=(3, 1, 2)))
    gram = 3 * viewer.transfer.conj().transpose(0, 1, 3, 2) @ viewer.transfer
    bound = system.with_prior(GramPrior(base, mu, gram))
    x, y = (grid.analyse(rng.normal(size=(2, *grid.shape))) for _ in range(2))
    image = bound.apply(x, 2.0, 0.5, np.ones(2))
    expected = system.with_prior(base).apply(x, 2.0, 0.5, mu)
    expected += 3 * viewer.adjoint_groups(viewer.forward_groups(x))
    np.testing.assert_allclose(image, expected, atol=1e-10)
    assert bound.inner(image, y) == pytest.approx(
        bound.inner(x, bound.apply(y, 2.0, 0.5, np.ones(2)))
    )
    back = bound.blocks.solve(image, np.full(3, 2.0), 0.5, np.ones(2))
    np.testing.assert_allclose(back, x, atol=1e-7)


@pytest.mark.parametrize(("noise", "gain"), [(2.0, 0.5), (8.0, 0.0)])
def test_a_dark_sky_gains(noise, gain):
    scene = make_scene(margin=3, noise=noise, background=0.0)
    free = fuse(scene.data)
    held = fuse(scene.data, FusionSettings(nonnegative=True))
    assert held.converged
    assert score(scene, held) > score(scene, free) + gain
    assert np.min(free.cube / free.error) < -3.5
    assert np.min(held.cube / held.error) > -1
    assert np.median(held.error / free.error) == pytest.approx(1, abs=0.05)
    assert len(held.history) > len(free.history)


def test_a_bright_scene_is_not_touched():
    scene = make_scene(margin=3, background=60.0)
    free = fuse(scene.data, FusionSettings(errors=False))
    assert free.cube.min() > 0
    held = fuse(scene.data, FusionSettings(nonnegative=True, errors=False))
    np.testing.assert_array_equal(held.cube, free.cube)


def test_lack_of_convergence_is_reported(monkeypatch, caplog):
    monkeypatch.setattr("jwst_fusion.fusion.solver.nonnegative._STEPS", 1)
    scene = make_scene(margin=3, noise=8.0, background=0.0)
    result = fuse(scene.data, FusionSettings(nonnegative=True, errors=False))
    assert not result.converged
    assert "After 1 steps the scene is negative" in caplog.text


def test_the_constraint_goes_with_edges_but_not_with_starlets():
    scene = make_scene(margin=3, noise=8.0, background=0.0)
    edges = fuse(
        scene.data, FusionSettings(nonnegative=True, regularisation="edge_weighted", errors=False)
    )
    assert edges.cube.min() > 0.2 * fuse(scene.data, FusionSettings(errors=False)).cube.min()
    with pytest.raises(ValueError, match="nonnegative does not go with"):
        fuse(scene.data, FusionSettings(nonnegative=True, regularisation="wavelet"))


def test_a_star_with_a_deep_line_does_not_make_the_scene_negative():
    """What a star lacks beside the components is no more than what it has."""
    side, count, d = 14, 60, 3
    rng = np.random.default_rng(2)
    rows, columns = np.indices((d * side, d * side))

    def gaussian(width, x, y, shape=(d * side, d * side)):
        rows, columns = np.indices(shape)
        found = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / width**2)
        return found / (2 * np.pi * width**2)

    channel = np.arange(count)
    spectra = 400 * np.array([1 + 0.01 * channel, 1.5 - 0.01 * channel])
    spectra[0] *= 1 - 1.2 * np.exp(-0.5 * ((channel - 40) / 1.5) ** 2)  # too much is subtracted
    places = (20.3, 22.6), (10.7, 12.1)

    def seen(width):
        light = sum(
            s[:, None, None] * gaussian(width, *at) for s, at in zip(spectra, places, strict=True)
        )
        smooth = gaussian(12, 21, 21) / gaussian(12, 21, 21).max()
        return light + smooth * (1 + 0.02 * channel)[:, None, None]

    sharp, soft = seen(1.1), seen(2.2)
    response = np.zeros((2, count))
    response[0, :30] = response[1, 30:] = 1 / 30
    images = np.tensordot(response, sharp, 1)
    psfs = [gaussian(width, 15, 15, (31, 31))[None] for width in (1.1, 2.2)]
    data = FusionData(
        cube=soft[:, 1::3, 1::3] + 0.3 * rng.standard_normal((count, side, side)),
        cube_sigma=np.full(count, 0.3),
        spaxel_weight=np.ones((side, side)),
        images=images + 0.1 * rng.standard_normal(images.shape),
        image_sigma=np.full(2, 0.1),
        image_weight=np.ones(images.shape),
        response=response,
        psf_weights=np.ones((count, 1)),
        psf_image=psfs[0] / psfs[0].sum(),
        psf_cube=psfs[1] / psfs[1].sum(),
        factor=d,
        sources=np.array(places),
    )
    options = {"rank": 2, "sources": "given"}
    free = fuse(data, FusionSettings(**options))
    held = fuse(data, FusionSettings(nonnegative=True, **options))
    line = slice(38, 43)
    near = np.hypot(columns - 20.3, rows - 22.6) < 3
    assert np.min((free.cube / free.error)[line][:, near]) < -1
    assert np.min((held.cube / held.error)[line][:, near]) > -0.5
    off = [np.abs(one.cube - np.maximum(sharp, 0))[line][:, near].max() for one in (free, held)]
    assert off[1] < off[0] + 1
