import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwst_fusion.psf import PsfCube, chebyshev_nodes, make_psf


def small_cube(nodes):
    rng = np.random.default_rng(5)
    data = rng.random((nodes.size, 5, 5))
    return PsfCube(data / data.sum(axis=(1, 2), keepdims=True), nodes, 0.03, "test")


@given(
    lo=st.floats(0.6, 4.0),
    width=st.floats(0.05, 3.0),
    count=st.integers(1, 20),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_weights_reproduce_polynomials_and_sum_to_one(lo, width, count, shares):
    nodes = chebyshev_nodes(lo, lo + width, count)
    wanted = lo + width * np.array(shares) if count > 1 else nodes
    weights = small_cube(nodes).weights(wanted)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    unit = (nodes - lo) / width
    for power in range(count):
        np.testing.assert_allclose(
            weights @ unit**power, ((wanted - lo) / width) ** power, atol=1e-10
        )


def test_weights_are_exact_on_the_nodes():
    nodes = chebyshev_nodes(1.66, 2.3, 12)
    np.testing.assert_array_equal(small_cube(nodes).weights(nodes), np.eye(12))
    assert nodes[0] == 1.66
    assert nodes[-1] == 2.3


def test_evaluate_between_nodes_against_the_optical_model():
    nodes = chebyshev_nodes(1.66, 2.3, 12)
    common = {"pixel_scale": 0.0333, "npix": 41, "source": "aperture", "use_cache": False}
    psf = make_psf("NIRCAM", wavelength=nodes, **common)
    between = np.array([1.675, 1.9, 2.21])
    direct = make_psf("NIRCAM", wavelength=between, **common)
    error = np.abs(psf.evaluate(between) - direct.data).max() / direct.data.max()
    assert error < 1e-4


def test_extrapolation_is_refused():
    psf = small_cube(chebyshev_nodes(1.66, 2.3, 6))
    with pytest.raises(ValueError, match=r"within the PSF's nodes, 1\.66 to 2\.3"):
        psf.weights([1.7, 2.5])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"data": np.full((1, 4, 5), 1 / 20)}, "odd"),
        ({"data": np.full((1, 5, 5), 1.0)}, "sum to one"),
        ({"data": np.full((1, 5, 5), np.nan)}, "not finite"),
        ({"wavelength": [1.0, 2.0]}, "one wavelength a node"),
        ({"pixel_scale": -1.0}, "pixel_scale"),
    ],
)
def test_psf_cube_refuses_what_is_no_psf(change, text):
    good = {"data": np.full((1, 5, 5), 1 / 25), "wavelength": [2.0], "pixel_scale": 0.03}
    with pytest.raises(ValueError, match=text):
        PsfCube(**{**good, **change}, source="test")


@pytest.mark.parametrize(("lo", "hi", "count"), [(2, 1, 3), (1, np.nan, 3), (1, 2, 0), (1, 2, 1.5)])
def test_chebyshev_nodes_refuse_bad_ranges(lo, hi, count):
    with pytest.raises(ValueError, match="must be"):
        chebyshev_nodes(lo, hi, count)
