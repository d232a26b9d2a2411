"""Bad data and parameters of a fusion are named before anything is computed."""

import numpy as np
import pytest

from jwst_fusion import hifred
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.solver.settings import HifredSettings

SHAPE = (6, 4, 6)


def fuse(x, y, response_x, response_y, *, start=None, checkpoint=None, **settings):
    """Fuse with settings that are given one by one, variances among them."""
    variances = {name: settings.pop(name, None) for name in ("variance_x", "variance_y")}
    options = HifredSettings(**settings)
    more = {**variances, "start": start, "checkpoint": checkpoint}
    return hifred.fuse(x, y, response_x, response_y, options, **more)


def inputs(**changes):
    rng = np.random.default_rng(0)
    rx = Response.build(SHAPE, rebin=(3, 1, 1))
    ry = Response.build(SHAPE, rebin=(1, 2, 2))
    cube = np.full(SHAPE, 20.0)
    parts = {
        "x": rng.poisson(rx.forward(cube)).astype(float),
        "y": rng.poisson(ry.forward(cube)).astype(float),
        "response_x": rx,
        "response_y": ry,
    }
    return parts | changes


def with_value(name, value):
    data = inputs()[name].copy()
    data[0, 0, 0] = value
    return {name: data}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": np.zeros((2, 4, 6))}, "x is zero throughout"),
        ({"y": np.zeros((6, 2, 3))}, "y is zero throughout"),
        ({"x": np.full((2, 4, 6), np.nan)}, "x holds no usable value"),
        (with_value("x", -1.0), "x holds 1 negative"),
        (with_value("y", -3.0), "y holds 1 negative"),
        ({"x": np.ones((2, 6, 4))}, r"x has the shape \(2, 6, 4\): expected \(2, 4, 6\)"),
        ({"y": "counts"}, "y must be an array"),
        ({"y": None}, r"y has the shape \(\)"),
        ({"response_y": Response.build((6, 2, 3))}, "expected the same"),
        ({"variance_x": np.ones((2, 4, 6))}, "variance_x is for likelihood='gaussian'"),
        ({"likelihood": "gaussian"}, "variance_x must be given"),
        ({"likelihood": "cash"}, "likelihood is 'cash'"),
        ({"regularisation": "tv"}, "regularisation is 'tv'"),
        ({"prior": "flat"}, "prior is 'flat'"),
        ({"rank": 0}, "rank is 0"),
        ({"rank": 2.5}, "rank is 2.5"),
        ({"rank": True}, "rank is True"),
        ({"mu": -1.0}, "mu is -1.0"),
        ({"mu": np.nan}, "mu is nan"),
        ({"kappa": "large"}, "kappa is 'large'"),
        ({"kappa": np.inf}, "kappa is inf"),
        ({"scales_space": 2.5}, "scales_space is 2.5"),
        ({"scales_energy": 0}, "scales_energy is 0"),
        ({"scales_energy": None}, "scales_energy is None"),
        ({"tolerance": 0.0}, "tolerance is 0.0"),
        ({"tolerance": "small"}, "tolerance is 'small'"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"max_iterations": 2.5}, "max_iterations is 2.5"),
        ({"thinning": 1.0}, "thinning is 1.0"),
        ({"nonnegative": "yes"}, "nonnegative is 'yes'"),
        ({"errors": 2}, "errors is 2"),
        ({"error_samples": 1}, "error_samples is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"denoiser": abs}, "given together"),
        ({"regularisation": "plug_and_play"}, "given together"),
        ({"regularisation": "plug_and_play", "denoiser": 3}, "must be a function"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_values_that_cannot_be_used(changes, words):
    with pytest.raises(ValueError, match=words):
        fuse(**inputs(**changes))


def test_objects_of_another_type():
    with pytest.raises(TypeError, match="response_x must be a Response"):
        fuse(**inputs(response_x=np.eye(3)))
    with pytest.raises(TypeError, match="start must be"):
        fuse(**inputs(start=3))
    with pytest.raises(TypeError, match="options must be HifredSettings"):
        hifred.fuse(**inputs(), options={"mu": 0.1})


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fuse(**inputs(start=tmp_path / "none.npz"))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fuse(**inputs(checkpoint=tmp_path / "none" / "state.npz"))
    junk = tmp_path / "junk.npz"
    junk.write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="not a checkpoint"):
        fuse(**inputs(start=junk))
    np.savez(junk, version=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a checkpoint"):
        fuse(**inputs(start=junk))
    np.savez(junk, cube=np.ones(3))
    with pytest.raises(ValueError, match="another version"):
        fuse(**inputs(start=junk))


def test_start_of_another_fusion():
    first = fuse(**inputs(), mu=0.1, rank=2, errors=False)
    with pytest.raises(ValueError, match="low_rank_sobolev"):
        fuse(**inputs(), regularisation="low_rank", start=first)
    with pytest.raises(ValueError, match="start has rank 2"):
        fuse(**inputs(), start=first, rank=1)
    small = Response.build((6, 4, 4), rebin=(3, 1, 1)), Response.build((6, 4, 4), rebin=(1, 2, 2))
    data = {"x": np.ones((2, 4, 4)), "y": np.ones((6, 2, 2))}
    with pytest.raises(ValueError, match="not \\(6, 4, 4\\)"):
        fuse(**data, response_x=small[0], response_y=small[1], start=first)


def test_huge_values_are_not_used_and_said_so():
    result = fuse(**inputs(**with_value("y", 1e30)), mu=0.1)
    assert "1 of 36 values of y are not usable" in result.notes[0]
    assert result.cube.max() < 100


def test_read_only_input_is_left_alone():
    parts = inputs()
    for name in ("x", "y"):
        parts[name].setflags(write=False)
    fuse(**parts, mu=0.1, regularisation="low_rank_wavelet")


@pytest.mark.parametrize("kind", ["low_rank_sobolev", "low_rank_wavelet", "wavelet_2d1d", "none"])
@pytest.mark.parametrize("counts", [0.02, 1.0])
def test_few_counts(kind, counts):
    rng = np.random.default_rng(1)
    parts = inputs()
    cube = np.full(SHAPE, counts)
    for name in ("x", "y"):
        parts[name] = rng.poisson(parts[f"response_{name}"].forward(cube)).astype(float)
        parts[name][0, 0, 0] = 1
    result = fuse(**parts, regularisation=kind)
    assert np.isfinite(result.cube).all()
    assert result.cube.min() >= 0
    assert result.cube.mean() == pytest.approx(counts, rel=1.5)


@pytest.mark.parametrize("shape", [(2, 2, 2), (6, 1, 4), (1, 4, 4)])
def test_small_fields(shape):
    rng = np.random.default_rng(2)
    rx = Response.build(shape)
    result = fuse(*(rng.poisson(30.0, shape) for _ in range(2)), rx, rx)
    assert result.cube.mean() == pytest.approx(30.0, rel=0.2)
    assert fuse(
        *(rng.poisson(30.0, shape) for _ in range(2)), rx, rx, regularisation="wavelet_2d1d"
    ).cube.mean() == pytest.approx(30.0, rel=0.2)


@pytest.mark.parametrize("small", [0.0, 1e-30])
@pytest.mark.parametrize("kind", ["arf", "vignetting"])
def test_energies_that_are_hardly_seen_are_interpolated(kind, small, caplog):
    """Next to no response is none: what would be divided by it comes from the neighbours."""
    shape = (12, 6, 6)
    factor = np.ones(12)
    factor[5] = small
    if kind == "vignetting":
        factor = {"vignetting": factor[:, None, None] * np.ones(shape)}
    else:
        factor = {"arf": factor}
    rx = Response.build(shape, rebin=(3, 1, 1))
    ry = Response.build(shape, rebin=(1, 2, 2), **factor)
    truth = np.linspace(20, 40, 12)[:, None, None] * np.ones(shape)
    data = [np.random.default_rng(3).poisson(one.forward(truth)) for one in (rx, ry)]
    result = fuse(*data, rx, ry, mu=0.1, rank=1, errors=False)
    assert result.converged
    spectrum = result.cube.mean(axis=(1, 2))
    np.testing.assert_allclose(spectrum, truth.mean(axis=(1, 2)), rtol=0.06)
    told = "9 of 108 values of y have less than 1e-06 of the largest response"
    assert any(told in note for note in result.notes) == (small > 0)
    assert caplog.text.count(told) == (small > 0)
