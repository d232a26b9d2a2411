"""Lines that move: derivatives in the subspace, weights by evidence, velocities of faint lines."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d, shift

from jwst_fusion.hifred import HifredSettings, error_of, fuse
from jwst_fusion.hifred.agreement import agreement
from jwst_fusion.hifred.data import HifredData
from jwst_fusion.hifred.offsets import measured_offsets
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.solver.instrument_data import check_data
from jwst_fusion.hifred.solver.line_spectra import line_changes, smoothing_width
from jwst_fusion.hifred.solver.low_rank_tuning import with_line_changes
from jwst_fusion.hifred.solver.subspace_error import SubspaceError
from jwst_fusion.metrics import nmse
from jwst_fusion.report.hifred.causes import line_findings
from jwst_fusion.simulation.xray_cluster import ClusterSetup, cluster_pair, line_velocity


def sums(pair, cube):
    return np.asarray(cube, float).reshape(len(cube), -1) @ pair.pixels[pair.good].T


SMALL = {"fine": 400, "coarse": 40, "shape": (48, 48), "pixels": (6.0, 30.0), "counts": (1e5, 3e4)}


@pytest.fixture(scope="module")
def pair():
    """Some 800 counts per pixel of 30 arcsec, as of a cluster in 100 ks."""
    return cluster_pair(ClusterSetup(**SMALL), seed=1)


@pytest.fixture(scope="module", params=["auto", "never"])
def found(pair, request):
    settings = HifredSettings(line_changes=request.param)
    return request.param, fuse(pair.x, pair.y, pair.response_x, pair.response_y, settings)


def test_velocities_of_faint_lines_survive(pair, found):
    changes, result = found
    truth = line_velocity(sums(pair, pair.truth), pair.edges)[0]
    velocity = line_velocity(sums(pair, result.cube), pair.edges)[0]
    slope = np.polyfit(truth, velocity, 1)[0]
    if changes == "never":
        assert slope < 0.6
        return
    assert "line changes" in result.chosen
    assert slope > 0.75
    assert np.sqrt(np.mean((velocity - truth) ** 2)) < 0.45 * truth.std()
    # better than the mean spectrum times the image of X
    flat = pair.truth.mean(axis=(1, 2))[:, None, None] * pair.truth.mean(axis=0)
    flat *= pair.truth.sum() / flat.sum()
    assert nmse(pair.truth, result.cube, decibel=True) > nmse(pair.truth, flat, decibel=True) + 1


def test_velocities_that_the_model_lacks_are_found(pair, found):
    """Nothing where velocities survive, a caution where they are weak, a fault without any."""
    changes, result = found
    spectrum, image = pair.truth.mean(axis=(1, 2)), pair.truth.mean(axis=0)
    flat = spectrum[:, None, None] * image / image.mean()
    levels = []
    for cube in (result.cube.astype(float), flat):
        seen = [one.observe(cube) for one in (pair.response_x, pair.response_y)]
        sides = agreement(pair.data(), replace(result, model_x=seen[0], model_y=seen[1]))
        cubes = [
            SimpleNamespace(letter=letter, line_fits=one.lines)
            for letter, one in (("X", sides.x), ("Y", sides.y))
        ]
        product = SimpleNamespace(cubes=cubes[1:], lines_in_y=lambda one: one.line_fits)
        levels.append({one.key: one.level for one in line_findings(product)})
    assert levels[0] == ({} if changes == "auto" else {"velocity": "caution"})
    assert levels[1]["velocity"] == "fault"


def test_velocities_survive_a_psf_that_is_wrong():
    """The twin: a PSF of Y that is 15 % wider than the one that is believed."""
    pair = cluster_pair(ClusterSetup(**SMALL, wider=1.15), seed=1)
    result = fuse(pair.x, pair.y, pair.response_x, pair.response_y, HifredSettings(errors=False))
    truth = line_velocity(sums(pair, pair.truth), pair.edges)[0]
    velocity = line_velocity(sums(pair, result.cube), pair.edges)[0]
    assert np.polyfit(truth, velocity, 1)[0] > 0.65
    assert np.sqrt(np.mean((velocity - truth) ** 2)) < 0.6 * truth.std()


def test_errors_of_sums_hold_with_faint_lines(pair, found):
    changes, result = found
    if changes == "never":
        pytest.skip("its components lack the velocities")
    bands = np.kron(np.eye(40), np.ones((1, 10)))
    error = sums(pair, result.cube) - sums(pair, pair.truth)
    pulls = []
    for k, row in list(enumerate(np.flatnonzero(pair.good)))[::3]:
        mask = pair.pixels[[row]].toarray().reshape(pair.truth.shape[1:])
        pulls.append(bands @ error[:, k] / error_of(result, mask, bands))
    assert 0.6 < np.quantile(np.abs(pulls), 0.68) < 1.3
    pull = (result.cube - pair.truth) / result.error
    assert 0.6 < np.sqrt(np.mean(pull**2)) < 1.3


def test_shifted_and_broadened_lines_lie_in_the_span_of_line_changes():
    energy = np.arange(200.0)

    def line(centre, sigma):
        return np.exp(-0.5 * ((energy - centre) / sigma) ** 2) / sigma

    spectrum = line(60, 5) + 2 * line(130, 5)
    changes = np.column_stack([gaussian_filter1d(spectrum, 1.0), line_changes(spectrum, 1.0)])
    for moved in (line(64, 5) + 2 * line(134, 5), line(60, 6.5) + 2 * line(130, 6.5)):
        left = moved - changes @ np.linalg.lstsq(changes, moved, rcond=None)[0]
        assert np.linalg.norm(left) < 0.01 * np.linalg.norm(moved)
    # lines that move apart are another component
    apart = line(56, 5) + 2 * line(134, 5)
    left = apart - changes @ np.linalg.lstsq(changes, apart, rcond=None)[0]
    assert np.linalg.norm(left) > 0.05 * np.linalg.norm(apart)


def test_spectra_are_smoothed_only_where_noise_asks_for_it():
    energy = np.arange(400.0)
    true = 1 + 5 * np.exp(-0.5 * ((energy - 200) / 6.0) ** 2)
    rng = np.random.default_rng(1)
    widths = []
    for counts in (3.0, 1e2, 1e7):
        data = rng.poisson(counts * true).astype(float)
        widths.append(smoothing_width(data, data))
        if widths[-1]:
            smooth = gaussian_filter1d(data, widths[-1], mode="nearest")
            assert np.sum((smooth - counts * true) ** 2) < np.sum((data - counts * true) ** 2)
    assert widths[0] >= widths[1] > widths[2]
    assert smoothing_width(data[:2], data[:2]) == 0
    assert smoothing_width(np.zeros(9), np.zeros(9)) == 0


@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_weak_broad_components_stand_out_of_smoothed_data_only_if_they_are_there(strength):
    rng = np.random.default_rng(3)
    shape = (300, 12, 12)
    energy = np.linspace(-1, 1, 300)
    image = gaussian_filter(rng.standard_normal(shape[1:]), 2.0)
    change = strength * np.sign(np.sin(9 * energy))[:, None, None] * image / image.std()
    counts = rng.poisson(np.maximum(3.0 * (1 + change), 0)).astype(float)
    one = check_data("y", counts, Response(shape, shape[1:]), "poisson", None, [])
    subspace, _, _ = with_line_changes(one)
    assert subspace.directions.shape[1] - subspace.known - 1 == (1 if strength else 0)
    assert subspace.directions.T @ subspace.directions == pytest.approx(
        np.eye(subspace.directions.shape[1]), abs=1e-9
    )


def test_noise_of_a_smoothed_spectrum_is_less_in_a_channel_and_the_same_in_a_band():
    size = 200
    basis = np.ones((size, 1)) / np.sqrt(size)
    maps = np.full((1, 1, 1), 2.0)
    common = {"row": np.ones(size), "missing": np.zeros(2), "contrast": 1.0}
    common["lengths"] = np.ones(2)
    white = SubspaceError(inverse=np.ones((1, 1)), **common)
    smooth = SubspaceError(inverse=np.zeros((1, 1)), smooth=np.array([1.0, 3.0]), **common)
    cube = np.ones((size, 1, 1))
    ratio = smooth.variance(basis, maps, cube) / white.variance(basis, maps, cube)
    assert ratio == pytest.approx(1 / (2 * np.sqrt(np.pi) * 3.0))
    assert smooth.scaled(2.0).smooth == pytest.approx([0.25, 3.0])


def test_line_changes_need_a_subspace_that_is_found():
    for wrong in ({"rank": 3}, {"prior": "absolute"}, {"regularisation": "low_rank"}):
        with pytest.raises(ValueError, match=f"does not go with {next(iter(wrong))}"):
            HifredSettings(line_changes="always", **wrong)
    with pytest.raises(ValueError, match="line_changes"):
        HifredSettings(line_changes="sometimes")


def test_the_end_of_the_range_of_mu_is_told(pair):
    # one spectrum everywhere: no weight is too large
    image = pair.truth.mean(axis=0)
    source = pair.truth.mean(axis=(1, 2))[:, None, None] * image / image.mean()
    rng = np.random.default_rng(5)
    x, y = (rng.poisson(one.observe(source)) for one in (pair.response_x, pair.response_y))
    result = fuse(
        x,
        y,
        pair.response_x,
        pair.response_y,
        HifredSettings(line_changes="never", errors=False),
    )
    assert any("is the last that was tried" in note for note in result.notes)
    assert "at the end of the range" in result.chosen


def test_offsets_are_those_of_the_observations(pair):
    """Y displaced by 2.5 and -1.5 pixels, energies of X 15 eV too high."""
    rng = np.random.default_rng(1)
    energy = 0.5 * (pair.edges[1:] + pair.edges[:-1])
    image = np.stack([shift(plane, (-1.5, 2.5), order=1, mode="nearest") for plane in pair.truth])
    flat = pair.truth.reshape(len(energy), -1).T
    gain = np.stack([np.interp(energy - 0.015, energy, one) for one in flat], axis=1)
    moved = (
        rng.poisson(pair.response_x.observe(gain.reshape(pair.truth.shape))),
        rng.poisson(pair.response_y.observe(image)),
    )
    for given, wanted in (((pair.x, pair.y), (0, 0, 0)), (moved, (2.5, -1.5, 0.015))):
        data = HifredData(
            *(np.asarray(one, float) for one in given),
            pair.response_x,
            pair.response_y,
            None,
            None,
            coordinate=pair.edges,
            unit="",
            channels=(slice(0, 40), slice(0, 400)),
            names=("x", "y"),
            edges=(pair.edges[::10], pair.edges),
            pixels=pair.pixels,
        )
        found = measured_offsets(data)
        for (value, error), true in zip((found.x, found.y, found.gain), wanted, strict=True):
            assert abs(value - true) < 3.5 * error
        assert max(found.x[1], found.y[1]) < 0.2
        assert found.gain[1] < 0.002
