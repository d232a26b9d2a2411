"""Maps and scores by which fused cubes of counts are compared."""

import numpy as np
import pytest

from jwst_fusion.metrics import (
    ergas,
    hyperspectral_scores,
    nmse,
    relative_error_map,
    sam,
    sam_map,
    spectral_variability,
    ssim,
)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 3.0, (20, 13, 16))
    return truth, rng.poisson(truth).astype(float)


def test_angles_against_the_printed_formula(pair):
    truth, estimate = pair
    dot = (truth * estimate).sum(axis=0)
    norms = np.linalg.norm(truth, axis=0) * np.linalg.norm(estimate, axis=0)
    assert np.allclose(sam_map(truth, estimate), np.arccos(dot / norms))
    assert sam(truth, estimate, unit="radian") == pytest.approx(np.arccos(dot / norms).mean())
    assert sam(truth, estimate) == pytest.approx(np.rad2deg(np.arccos(dot / norms).mean()))
    with pytest.raises(ValueError, match="unit must be"):
        sam(truth, estimate, unit="arcsec")


def test_angles_leave_out_what_has_no_direction(pair):
    truth, estimate = (part.copy() for part in pair)
    estimate[:, 2, 3] = 0
    truth[:, 4, 5] = np.nan
    angle = sam_map(truth, estimate)
    assert np.isnan(angle[2, 3])
    assert np.isnan(angle[4, 5])
    assert np.isnan(angle).sum() == 2
    assert sam(truth, estimate, unit="radian") == pytest.approx(np.nanmean(angle))


def test_relative_errors(pair):
    truth, _ = pair
    assert relative_error_map(truth, 1.1 * truth) == pytest.approx(10.0)
    assert relative_error_map(truth, 0.9 * truth, of="voxels") == pytest.approx(-10.0)
    estimate = truth.copy()
    estimate[:, 3, 4] += 1
    found = relative_error_map(truth, estimate)
    assert found[3, 4] == pytest.approx(100 * 20 / truth[:, 3, 4].sum())
    assert np.count_nonzero(found) == 1
    found = relative_error_map(truth, estimate, of="voxels")
    assert found[3, 4] == pytest.approx(100 * (1 / truth[:, 3, 4]).mean())
    truth = truth.copy()
    truth[:, 0, 0] = 0
    for of in ("amplitude", "voxels"):
        assert np.isnan(relative_error_map(truth, estimate, of=of)[0, 0])
    with pytest.raises(ValueError, match="of must be"):
        relative_error_map(truth, estimate, of="image")


def test_variability_against_a_loop(pair):
    cube = pair[0]
    found = spectral_variability(cube)
    height, width = cube.shape[1:]
    for y, x in ((0, 0), (0, 7), (5, 15), (6, 6), (12, 15)):
        angles = []
        for j in range(max(0, y - 1), min(height, y + 2)):
            for i in range(max(0, x - 1), min(width, x + 2)):
                if (j, i) != (y, x):
                    a, b = cube[:, y, x], cube[:, j, i]
                    angles.append(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        assert found[y, x] == pytest.approx(np.mean(angles))


def test_variability_is_high_where_spectra_change():
    cube = np.ones((10, 9, 12))
    cube[:5, :, 6:] = 4.0
    found = spectral_variability(cube)
    assert found[:, 5:7].min() > 0.1
    assert np.abs(np.delete(found, (5, 6), axis=1)).max() < 1e-7
    assert np.isnan(spectral_variability(np.full((3, 4, 4), np.nan))).all()
    with pytest.raises(ValueError, match="must have shape"):
        spectral_variability(np.ones((4, 4)))


def test_scores_are_those_of_the_single_measures(pair):
    truth, estimate = pair
    scores = hyperspectral_scores(truth, estimate, 3)
    power, error = (truth**2).sum(), ((truth - estimate) ** 2).sum()
    assert scores["nmse"] == pytest.approx(10 * np.log10(power / error))
    assert scores["nmse"] == nmse(truth, estimate, decibel=True)
    assert scores["asam"] == pytest.approx(np.deg2rad(sam(truth, estimate)))
    similar = [ssim(t, e, window="gaussian", extent="peak") for t, e in zip(*pair, strict=True)]
    assert scores["acssim"] == pytest.approx(1 - np.mean(similar))
    relative = np.sqrt(((truth - estimate) ** 2).mean(axis=(1, 2))) / truth.mean(axis=(1, 2))
    assert scores["ergas"] == pytest.approx(np.sqrt((relative**2).mean()) / 3)
    assert ergas(truth, estimate, 3) == pytest.approx(100 * scores["ergas"])


def test_a_perfect_estimate_scores_best(pair):
    truth = pair[0]
    scores = hyperspectral_scores(truth, truth, 3)
    assert scores["nmse"] == np.inf
    assert scores["asam"] == scores["ergas"] == 0
    assert scores["acssim"] == pytest.approx(0, abs=1e-12)
