"""Instrument operators: adjoints, agreement with plain convolution, sampling, validation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer


def asymmetric_psf(nodes, shape, seed=0):
    """Positive PSFs without any symmetry, different at each node."""
    psf = np.random.default_rng(seed).random((nodes, *shape)) ** 3
    return psf / psf.sum((1, 2), keepdims=True)


def operators(rows, columns, factor, *, psf_shape=(5, 7), nodes=3, rank=2, seed=0):
    rng = np.random.default_rng(seed)
    grid = Grid(rows, columns, factor)
    psf = asymmetric_psf(nodes, psf_shape, seed)
    imager = Imager(grid, psf, rng.normal(size=(3, nodes, rank)))
    return grid, psf, imager, Spectrometer(grid, psf, rng.normal(size=(4, nodes, rank)))


@given(
    rows=st.integers(2, 7),
    columns=st.integers(2, 7),
    factor=st.integers(2, 5),
    psf_shape=st.sampled_from([(1, 1), (3, 5), (9, 7), (41, 37)]),
    seed=st.integers(0, 99),
)
def test_adjoints(rows, columns, factor, psf_shape, seed):
    grid, _, imager, spectrometer = operators(rows, columns, factor, psf_shape=psf_shape, seed=seed)
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(2, *grid.shape))
    images, cubes = rng.normal(size=(3, *grid.shape)), rng.normal(size=(4, rows, columns))
    for operator, data in ((imager, images), (spectrometer, cubes)):
        left = np.vdot(operator.forward(maps), data)
        right = np.vdot(maps, operator.adjoint(data))
        assert left == pytest.approx(right, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("shape", [(4, 6), (5, 4), (3, 3)])
@pytest.mark.parametrize("factor", [2, 3])
def test_group_round_trip(shape, factor):
    grid = Grid(*shape, factor)
    maps = np.random.default_rng(1).normal(size=(2, *grid.shape))
    np.testing.assert_allclose(grid.synthesise(grid.analyse(maps)), maps, atol=1e-12)
    coarse = maps[:, ::factor, ::factor]
    np.testing.assert_allclose(
        grid.synthesise_coarse(grid.analyse_coarse(coarse)), coarse, atol=1e-12
    )


@pytest.mark.parametrize(("rows", "columns"), [(4, 5), (5, 6)])
def test_imager_is_a_convolution(rows, columns):
    grid, psf, imager, _ = operators(rows, columns, 3)
    maps = np.random.default_rng(2).normal(size=(2, *grid.shape))
    mixing = np.random.default_rng(0).normal(size=(3, 3, 2))
    expected = np.zeros((3, *grid.shape))
    for n, r, a in np.ndindex(*mixing.shape):
        expected[n] += mixing[n, r, a] * ndimage.convolve(maps[a], psf[r], mode="wrap")
    np.testing.assert_allclose(imager.forward(maps), expected, atol=1e-12)


@pytest.mark.parametrize("factor", [3, 5])
def test_spectrometer_samples_the_centre_of_odd_spaxels(factor):
    grid = Grid(4, 5, factor)
    psf = asymmetric_psf(2, (5, 7))
    mixing = np.random.default_rng(3).normal(size=(4, 2, 2))
    maps = np.random.default_rng(2).normal(size=(2, *grid.shape))
    expected = np.zeros((4, 4, 5))
    centre = slice((factor - 1) // 2, None, factor)
    for n, r, a in np.ndindex(*mixing.shape):
        blurred = ndimage.convolve(maps[a], psf[r], mode="wrap")
        expected[n] += mixing[n, r, a] * blurred[centre, centre]
    result = Spectrometer(grid, psf, mixing).forward(maps)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_spectrometer_samples_between_pixels_of_even_spaxels(factor):
    grid = Grid(12, 10, factor)
    sigma, y0, x0 = 2.0, 9.3, 8.1
    gauss = [
        np.exp(-0.5 * ((np.arange(n) - c) / sigma) ** 2)
        for n, c in zip(grid.shape, (y0, x0), strict=True)
    ]
    centres = [np.arange(n) * factor + (factor - 1) / 2 for n in (12, 10)]
    expected = [
        np.exp(-0.5 * ((p - c) / sigma) ** 2) for p, c in zip(centres, (y0, x0), strict=True)
    ]
    sampler = Spectrometer(grid, np.ones((1, 1, 1)), np.ones((1, 1, 1)))
    result = sampler.forward(np.outer(*gauss)[None])[0]
    np.testing.assert_allclose(result, np.outer(*expected), atol=1e-4)


def test_psf_larger_than_the_domain_is_folded():
    grid = Grid(3, 4, 2)
    psf = asymmetric_psf(1, (17, 19))
    response = Imager(grid, psf, np.ones((1, 1, 1)))
    delta = np.zeros((1, *grid.shape))
    delta[0, 2, 3] = 1
    expected = np.zeros(grid.shape)
    for y, x in np.ndindex(17, 19):
        expected[(2 + y - 8) % 6, (3 + x - 9) % 8] += psf[0, y, x]
    np.testing.assert_allclose(response.forward(delta)[0], expected, atol=1e-12)


def test_constant_scene_keeps_its_brightness():
    grid, _, _, _ = operators(4, 5, 3)
    psf = asymmetric_psf(2, (7, 5))
    weights = np.array([0.3, 0.7]).reshape(1, 2, 1)
    ones = np.ones((1, *grid.shape))
    np.testing.assert_allclose(Imager(grid, psf, weights).forward(ones), 1)
    np.testing.assert_allclose(Spectrometer(grid, psf, weights).forward(ones), 1)


def test_blocks_are_the_operator():
    grid, _, _, spectrometer = operators(4, 5, 2)
    groups = grid.analyse(np.random.default_rng(4).normal(size=(2, *grid.shape)))
    blocks = spectrometer.blocks(0, grid.groups)
    product = (blocks @ groups.reshape(grid.groups, -1, 1))[..., 0]
    np.testing.assert_allclose(product, spectrometer.forward_groups(groups), atol=1e-12)


def test_gradient_power_is_the_energy_of_differences():
    grid = Grid(4, 5, 3)
    z = np.random.default_rng(5).normal(size=(1, *grid.shape))
    energy = sum(np.sum((z - np.roll(z, 1, axis)) ** 2) for axis in (1, 2))
    groups = np.abs(grid.analyse(z)[..., 0]) ** 2
    assert np.sum(grid.multiplicity[:, None] * grid.gradient_power() * groups) == pytest.approx(
        energy
    )


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return FusionData(
        cube=rng.normal(size=(6, 4, 5)),
        cube_sigma=np.ones(6),
        spaxel_weight=np.ones((4, 5)),
        images=rng.normal(size=(2, 12, 15)),
        image_sigma=np.ones(2),
        image_weight=np.ones((2, 12, 15)),
        response=np.full((2, 6), 1 / 6),
        psf_weights=np.full((6, 3), 1 / 3),
        psf_image=asymmetric_psf(3, (5, 5)),
        psf_cube=asymmetric_psf(3, (7, 7)),
        factor=3,
    )


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("factor", lambda v: 1, "factor must be an integer"),
        ("factor", lambda v: 2.5, "factor must be an integer"),
        ("images", lambda v: v[:, :-1], "images has shape"),
        ("images", lambda v: v[:0], "images is empty"),
        ("images", lambda v: v[0], "images must have 3 dimensions"),
        ("response", lambda v: v[:, 1:], "response has shape"),
        ("psf_image", lambda v: v[:, 1:], "even size"),
        ("psf_cube", lambda v: 2 * v, "unit sum"),
        ("psf_cube", lambda v: v[1:], "psf_cube has shape"),
        ("spaxel_weight", lambda v: -v, "negative"),
        ("image_weight", lambda v: v * np.nan, "not finite"),
        ("image_sigma", lambda v: 0 * v, "image_sigma must be finite and positive"),
    ],
)
def test_invalid_data(data, field, change, message):
    with pytest.raises(ValueError, match=message):
        replace(data, **{field: change(getattr(data, field))})
