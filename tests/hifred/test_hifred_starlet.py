"""Starlets within bounds: exact adjoints, exact reconstruction, noise of the coefficients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.solver.likelihood import Gaussian
from jwst_fusion.hifred.solver.sparse_dual import SparseDual
from jwst_fusion.hifred.solver.thresholds import gradient_noise
from jwst_fusion.numerics.starlet import Starlet1D, Starlet2D, Starlet2D1D, smoothing_matrix


@given(size=st.integers(1, 40), step=st.sampled_from([1, 2, 4, 8]))
def test_smoothing_is_symmetric_and_keeps_constants(size, step):
    matrix = smoothing_matrix(size, step)
    assert np.allclose(matrix, matrix.T, atol=1e-15)
    assert np.allclose(matrix.sum(axis=1), 1.0)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 8)),
    scales=st.tuples(st.integers(1, 3), st.integers(1, 4)),
)
def test_adjoint_and_reconstruction(shape, scales):
    rng = np.random.default_rng(0)
    starlet = Starlet2D1D(shape, *scales)
    cube = rng.standard_normal(shape)
    bands = starlet.forward(cube)
    assert len(bands) == len(starlet.bands) == (scales[0] + 1) * (scales[1] + 1) - 1
    noise = [rng.standard_normal(shape) for _ in bands]
    there = sum(np.vdot(a, b) for a, b in zip(bands, noise, strict=True))
    back = np.vdot(cube, starlet.adjoint(noise))
    size = max(np.linalg.norm(cube) * sum(np.linalg.norm(one) for one in noise), 1.0)
    assert abs(there - back) < 1e-12 * size
    # all bands and the part that is smooth in both are the cube
    *_, smooth = starlet.images.forward(cube, rest=True)
    *_, smooth = starlet.spectra.forward(smooth, rest=True)
    assert np.allclose(sum(bands) + smooth, cube, atol=1e-12)


@pytest.mark.parametrize("size", [5, 12, 37])
def test_matrices_are_those_of_the_transforms(size):
    rng = np.random.default_rng(1)
    line, image = Starlet1D(size, 3), Starlet2D((size, 4), 2)
    cube, picture = rng.standard_normal((size, 2)), rng.standard_normal((size, 4))
    for band, matrix in zip(line.forward(cube, rest=True), line.matrices(), strict=True):
        assert np.allclose(band, matrix @ cube, atol=1e-13)
    for band, matrix in zip(image.forward(picture, rest=True), image.matrices(), strict=True):
        assert np.allclose(band.ravel(), matrix @ picture.ravel(), atol=1e-13)


def test_noise_of_the_gradient_is_that_of_simulations():
    rng = np.random.default_rng(4)
    shape = (12, 6, 5)
    starlet = Starlet2D1D(shape, 1, 2, dtype=np.float32)
    response = Response.build(
        shape, psf=rng.random((2, 3, 3)), lsf=rng.random(4), rebin=(2, 2, 1), exposure=1.5
    )
    counts = response.observed_shape
    variance = rng.uniform(0.5, 3.0, (counts[0], counts[1] * counts[2]))
    data = Gaussian(np.zeros_like(variance), variance)
    found = gradient_noise(starlet, [data], [response], [np.zeros_like(variance)])
    draws = []
    for _ in range(600):
        noise = rng.standard_normal(variance.shape) / np.sqrt(variance)
        draws.append(starlet.forward(response.adjoint(noise.reshape(counts))))
    for k, band in enumerate(found):
        simulated = np.std([one[k] for one in draws], axis=0)
        assert np.median(simulated / band) == pytest.approx(1.0, abs=0.03)


def test_blocks_of_the_dual_are_the_transform():
    rng = np.random.default_rng(6)
    shape = (9, 10, 13)
    starlet = Starlet2D1D(shape, 2, 2, dtype=np.float32)
    limits = [rng.uniform(0.5, 2.0, shape).astype(np.float32) for _ in starlet.bands]
    cube = rng.standard_normal(shape).astype(np.float32)
    dual = SparseDual(starlet, limits, np.ones((9, 130)), 1.0)
    bands = starlet.forward(cube)
    expected = sum(np.abs(a * b).sum() for a, b in zip(limits, bands, strict=True))
    assert dual.penalty(cube.reshape(9, -1)) == pytest.approx(expected, rel=1e-5)
    back = dual.update(cube.reshape(9, -1))
    assert np.allclose(back, dual.back(), atol=1e-4)
    assert max(np.abs(one).max() for one in dual.values) <= 1.0
