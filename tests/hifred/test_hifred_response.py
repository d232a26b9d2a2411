"""Responses: exact adjoints, no shifts, conserved photons, variation over field and energy."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from jwst_fusion.hifred.response.kernels import centred
from jwst_fusion.hifred.response.response import Response

SHAPE = (12, 10, 6)


def dot_test(response, seed=0):
    rng = np.random.default_rng(seed)
    cube, counts = rng.standard_normal(response.shape), rng.standard_normal(response.observed_shape)
    forward = np.vdot(response.forward(cube), counts)
    size = np.linalg.norm(response.forward(cube)) * np.linalg.norm(counts)
    assert abs(forward - np.vdot(cube, response.adjoint(counts))) < 1e-12 * size


def field_weights(shape):
    ramp = np.broadcast_to(np.linspace(0, 1, shape[2]), shape[1:])
    return np.stack([ramp, 1 - ramp])


@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 8), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 8)),
    rebin=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)),
)
def test_adjoint_of_any_size(sizes, kernel, rebin):
    rng = np.random.default_rng(3)
    shape = tuple(n * f for n, f in zip(sizes, rebin, strict=True))
    response = Response.build(
        shape,
        psf=rng.random(kernel[:2]) + 0.01,
        lsf=rng.random(kernel[2]) + 0.01,
        arf=rng.random(shape[0]) + 0.1,
        exposure=2.5,
        rebin=rebin,
        vignetting=rng.random(shape[1:]) + 0.1,
    )
    assert response.observed_shape == sizes
    dot_test(response)


@pytest.mark.parametrize(
    "parts",
    [
        {"psf": (3, 4, 5)},
        {"psf": (2, 4, 3), "psf_weights": True},
        {"psf": (3, 2, 4, 3), "psf_weights": True, "vignetting": (2, 10, 6)},
        {"lsf": (12, 4), "rebin": (4, 1, 1)},
        {"vignetting": (12, 10, 6)},
        {"rmf": (7, 12), "psf": (4, 4)},
    ],
    ids=lambda p: "-".join(p),
)
def test_adjoint_of_responses_that_vary(parts):
    rng = np.random.default_rng(5)
    kwargs = {
        k: rng.random(v) + 0.01 if k in ("psf", "lsf", "rmf", "vignetting") else v
        for k, v in parts.items()
    }
    if "psf_weights" in kwargs:
        kwargs["psf_weights"] = field_weights(SHAPE)
    response = Response.build(SHAPE, **{"rebin": (1, 5, 2), **kwargs})
    dot_test(response)
    dot_test(response.scaled(3.0))


def centroid(array, axis):
    profile = array.sum(axis=tuple(a for a in range(array.ndim) if a != axis))
    return profile @ np.arange(profile.size) / profile.sum()


@pytest.mark.parametrize("size", [4, 5, 6, 7])
def test_no_axis_is_shifted(size):
    rng = np.random.default_rng(size)
    shape = (41, 39, 33)
    cube = np.zeros(shape)
    cube[20, 18, 15] = 1.0
    kernels = {"psf": rng.random((size, size + 1)), "lsf": rng.random(size)}
    response = Response.build(shape, **kernels, centre="centroid")
    seen = response.forward(cube)
    assert seen.sum() == pytest.approx(1.0, abs=1e-12)
    for axis, place in enumerate((20, 18, 15)):
        assert centroid(seen, axis) == pytest.approx(place, abs=1e-9)
    # by default a lopsided PSF stays where it is in its array, whose middle is the source
    seen = Response.build(shape, **kernels).forward(cube)
    for axis, place in ((1, 18), (2, 15)):
        size = kernels["psf"].shape[axis - 1]
        moved = centroid(kernels["psf"], axis - 1) - (size - 1) / 2
        assert centroid(seen, axis) - place == pytest.approx(moved, abs=0.02)


def test_symmetric_kernel_of_odd_size_is_used_as_it_is():
    kernel = np.outer([1, 4, 1], [1, 2, 6, 2, 1.0])
    assert np.allclose(centred(kernel), kernel / kernel.sum(), atol=1e-15)


def test_even_gaussian_keeps_its_width():
    x = np.arange(30) - 14.5
    kernel = centred(np.exp(-0.5 * (x / 3.0) ** 2))
    i = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel @ i**2 == pytest.approx(9.0, rel=2e-3)


def test_middle_keeps_an_offset_that_is_meant():
    kernel = np.array([0, 0, 0, 1.0, 0.0])
    assert list(centred(kernel, centre="middle")) == [0, 0, 1]
    assert centred(kernel, centre=(3,)).size == 1


def test_kernels_are_normalised_with_a_note(caplog):
    with caplog.at_level(logging.INFO, logger="jwst_fusion"):
        response = Response.build(SHAPE, psf=np.full((3, 3), 7.0))
    assert "normalised" in caplog.text
    cube = np.zeros(SHAPE)
    cube[:, 5, 3] = 1.0
    assert response.forward(cube).sum() == pytest.approx(12.0)


def test_rebinning_does_not_swap_rows_and_columns():
    cube = np.zeros((2, 6, 9))
    cube[0, 1, 7] = 1.0
    seen = Response.build(cube.shape, rebin=(1, 2, 3)).forward(cube)
    assert seen.shape == (2, 3, 3)
    assert seen[0, 0, 2] == 1.0
    assert seen.sum() == 1.0


def test_transposed_input_gives_transposed_counts():
    rng = np.random.default_rng(0)
    psf, cube = rng.random((4, 5)), rng.random((3, 6, 9))
    one = Response.build(cube.shape, psf=psf, rebin=(1, 2, 3)).forward(cube)
    other = Response.build((3, 9, 6), psf=psf.T, rebin=(1, 3, 2)).forward(cube.swapaxes(1, 2))
    assert np.allclose(one, other.swapaxes(1, 2), atol=1e-13)


def test_psf_between_nodes_is_interpolated():
    rng = np.random.default_rng(1)
    shape, pair = (5, 9, 9), rng.random((2, 3, 3))
    cube = rng.random(shape)
    response = Response.build(shape, psf=pair, psf_nodes=(0, 4))
    ends = [Response.build(shape, psf=one).forward(cube) for one in pair]
    assert np.allclose(response.forward(cube)[1], 0.75 * ends[0][1] + 0.25 * ends[1][1])
    assert np.allclose(response.forward(cube)[4], ends[1][4])


def test_smooth_stack_needs_few_terms():
    x = np.arange(11) - 5.0
    widths = np.linspace(1.0, 1.5, 60)[:, None, None]
    stack = np.exp(-0.5 * (x[:, None] ** 2 + x**2) / widths**2)
    response = Response.build((60, 8, 8), psf=stack)
    assert 1 < len(response.terms) < 15
    exact = [Response.build((1, 8, 8), psf=one).forward(np.ones((1, 8, 8))) for one in stack]
    assert np.allclose(response.forward(np.ones((60, 8, 8))), np.concatenate(exact), atol=3e-3)


def test_field_psf_takes_the_kernel_of_the_source():
    shape = (1, 9, 8)
    sharp, wide = np.zeros((3, 3)), np.ones((3, 3))
    sharp[1, 1] = 1.0
    weights = np.zeros((2, 9, 8))
    weights[0, :, :4], weights[1, :, 4:] = 1.0, 1.0
    response = Response.build(shape, psf=[sharp, wide], psf_weights=weights)
    cube = np.zeros(shape)
    cube[0, 4, 1] = cube[0, 4, 6] = 1.0
    seen = response.forward(cube)[0]
    assert seen[4, 1] == 1.0
    assert seen[4, 6] == pytest.approx(1 / 9)


def test_background_and_mask_are_broadcast():
    background = np.arange(12.0)[:, None, None]
    response = Response.build(SHAPE, background=background, mask=np.ones((10, 6)))
    assert response.observe(np.zeros(SHAPE)).sum() == background.sum() * 60
    assert response.mask.shape == SHAPE
    assert not response.forward(np.zeros(SHAPE)).any()


def test_given_matrices_are_used_as_they_are():
    rng = np.random.default_rng(2)
    a, b = rng.random((5, 12)), sparse.random_array((8, 60), density=0.3, rng=rng)
    response = Response(SHAPE, (2, 4), spectral=a, spatial=b)
    cube = rng.random(SHAPE)
    expected = a @ cube.reshape(12, -1) @ b.toarray().T
    assert np.allclose(response.forward(cube).reshape(5, -1), expected)
    built = Response.build(SHAPE, spectral=a, spatial=b, observed_image=(2, 4))
    assert np.allclose(built.forward(cube), response.forward(cube))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"rebin": (5, 1, 1)}, "divisor of 12"),
        ({"rebin": (1, 3, 1)}, "along y is 3"),
        ({"rebin": (1, 0, 1)}, "positive integers"),
        ({"psf": np.zeros((3, 3))}, "positive sum"),
        ({"psf": np.full((3, 3), np.nan)}, "not finite"),
        ({"psf": -np.ones((3, 3))}, "negative"),
        ({"psf": np.ones(3)}, "psf has the shape"),
        ({"psf": np.ones((3, 3)), "spatial": np.ones((60, 60))}, "one of them"),
        ({"psf": np.ones((2, 3, 3)), "psf_nodes": (5, 1)}, "increasing"),
        ({"psf": np.ones((2, 3, 3)), "psf_weights": np.ones((2, 10, 6))}, "sum to 1"),
        ({"psf_nodes": (1, 2)}, "not given"),
        ({"lsf": np.ones((5, 3))}, "5 kernels"),
        ({"lsf": np.ones(3), "rmf": np.ones((4, 12))}, "lsf and rmf"),
        ({"rmf": np.ones((4, 11))}, "11 columns"),
        ({"rmf": np.full((4, 12), np.inf)}, "finite"),
        ({"arf": np.ones(11)}, "arf has the shape"),
        ({"arf": -np.ones(12)}, "arf must be"),
        ({"exposure": 0.0}, "exposure"),
        ({"exposure": np.nan}, "exposure"),
        ({"vignetting": np.ones((6, 10))}, "vignetting has the shape"),
        ({"vignetting": np.zeros((10, 6))}, "vignetting must be"),
        ({"background": -1.0}, "background must be"),
        ({"background": np.ones((3, 3))}, "background has the shape"),
        ({"mask": np.ones((3, 3))}, "mask has the shape"),
        ({"centre": "peak", "psf": np.ones((3, 3))}, "centre is 'peak'"),
        ({"spatial": np.ones((8, 60))}, "observed_image"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_parameters_are_named(kwargs, words):
    with pytest.raises(ValueError, match=words):
        Response.build(SHAPE, **kwargs)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 0), "abc", (3, 4, 2.5), None])
def test_bad_shapes_are_named(shape):
    with pytest.raises(ValueError, match="shape is"):
        Response.build(shape)
