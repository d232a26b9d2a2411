"""The simulated pairs of X-ray observations have the truth, the sizes and the noise they claim."""

import numpy as np
import pytest
from scipy.ndimage import convolve

from jwst_fusion.simulation.xray import SETUPS, published_toy, supernova_remnant, xray_pair


@pytest.fixture(scope="module")
def pair():
    return xray_pair("small")


def test_sizes_are_those_of_the_paper():
    paper = SETUPS["paper_size"]
    assert (paper.coarse, *paper.shape, paper.fine, paper.rebin) == (60, 45, 45, 2400, 3)
    assert paper.counts == (1e7, 1e7)
    assert SETUPS["gaussian_1kev"].coarse == SETUPS["gaussian_1kev"].fine == 2500


def test_counts_are_poisson(pair):
    for counts, model in ((pair.x, pair.x_model), (pair.y, pair.y_model)):
        assert model.sum() == pytest.approx(2e6)
        bright = model > 5
        chi2 = ((counts - model) ** 2 / model)[bright].mean()
        assert chi2 == pytest.approx(1.0, abs=5 * np.sqrt(2 / bright.sum()) + 0.02)
        assert np.all(counts == np.round(counts))


@pytest.mark.parametrize(
    ("setup", "changes"), [("small", {}), ("realistic", {"shape": (33, 27), "fine": 1200})]
)
def test_models_are_the_truth_through_the_responses(setup, changes):
    pair = xray_pair(setup, **changes)
    seen = pair.truth * pair.arf_x[:, None, None] * pair.exposure_x
    flat = seen.reshape(len(seen), -1)
    assert np.allclose((pair.rmf_x @ flat).reshape(pair.x_model.shape), pair.x_model)
    seen = pair.truth * pair.arf_y[:, None, None] * pair.exposure_y
    channels = slice(200, 203)
    blurred = np.array([convolve(p, pair.psf_y, mode="constant") for p in seen[channels]])
    m, n = pair.y_model.shape[1:]
    sums = blurred.reshape(3, m, pair.rebin[1], n, pair.rebin[2]).sum(axis=(2, 4))
    assert np.allclose(sums, pair.y_model[channels], rtol=1e-6, atol=1e-9 * sums.max())


def test_response_matrix_is_the_centred_kernel(pair):
    line = np.zeros(pair.edges.size - 1)
    line[[310, 301]] = 5.0, 2.0
    wide = np.convolve(line, pair.lsf_x, mode="same").reshape(len(pair.x), -1).sum(axis=1)
    assert np.allclose(pair.rmf_x @ line, wide)


@pytest.mark.parametrize("setup", ["small", "realistic"])
def test_psf_is_centred_and_normalised(setup):
    psf = xray_pair(setup, fine=60, coarse=30).psf_y
    y, x = np.indices(psf.shape)
    assert psf.sum() == pytest.approx(1.0)
    assert (psf * y).sum() == pytest.approx(psf.shape[0] // 2, abs=2e-3)
    assert (psf * x).sum() == pytest.approx(psf.shape[1] // 2, abs=2e-3)


def test_scene_has_no_symmetry_that_hides_a_transposition(pair):
    image = pair.truth.sum(axis=0)
    turned = [np.rot90(image, k) for k in range(1, 4)]
    for other in [image.T, image[::-1], image[:, ::-1], image[::-1, ::-1].T, *turned]:
        assert np.linalg.norm(other - image) > 0.3 * np.linalg.norm(image)


def test_velocity_and_temperature_show_in_the_spectra():
    edges = np.linspace(0.6, 1.05, 601)
    remnant = supernova_remnant(edges, (30, 27), seed=3)
    assert remnant.cube.shape == (600, 30, 27)
    assert remnant.cube.sum() == pytest.approx(1.0)
    energy = 0.5 * (edges[1:] + edges[:-1])
    line = slice(*np.searchsorted(energy, [0.645, 0.662]))  # O VIII
    flux = remnant.cube[line] - np.median(remnant.cube[line], axis=0)
    centre = (np.clip(flux, 0, None) * energy[line, None, None]).sum(axis=0)
    centre /= np.clip(flux, 0, None).sum(axis=0)
    bright = remnant.cube.sum(axis=0) > np.median(remnant.cube.sum(axis=0))
    # Receding gas emits at lower energy.
    assert np.corrcoef(centre[bright], remnant.velocity[bright])[0, 1] < -0.5
    hard = remnant.cube[400:].sum(axis=0) / remnant.cube[:200].sum(axis=0)
    assert np.corrcoef(hard[bright], remnant.temperature[bright])[0, 1] > 0.5


def test_bright_knot_lies_where_the_docstring_says():
    image = supernova_remnant([0.6, 0.8, 1.0], (45, 45), psf=1.0).cube.sum(axis=0)
    y, x = np.unravel_index(image[30:41, 20:33].argmax(), (11, 13))
    assert abs(y + 30 - (0.75 / 1.35 + 1) * 22) <= 1
    assert abs(x + 20 - (0.30 / 1.35 + 1) * 22) <= 1
    ring = [image[34, 22], image[34, 32], image[29, 27], image[40, 27]]
    assert image[y + 30, x + 20] > 1.5 * np.mean(ring)


def test_seeds_give_the_same_and_other_counts(pair):
    assert np.array_equal(xray_pair("small").x, pair.x)
    assert not np.array_equal(xray_pair("small", seed=2).x, pair.x)


def test_invalid_parameters_are_named():
    with pytest.raises(ValueError, match="setup is 'large'"):
        xray_pair("large")
    with pytest.raises(ValueError, match="multiple of 7 channels"):
        xray_pair("small", coarse=7)
    with pytest.raises(ValueError, match=r"edges run from 0\.1"):
        supernova_remnant([0.1, 0.2, 0.3], (9, 9))
    with pytest.raises(ValueError, match="ascending"):
        supernova_remnant([0.5, 0.4, 0.6], (9, 9))
    with pytest.raises(ValueError, match="shape"):
        supernova_remnant([0.5, 0.6, 0.7], (9, 2))
    with pytest.raises(ValueError, match="psf must be"):
        supernova_remnant([0.5, 0.6, 0.7], (9, 9), psf=np.nan)


def test_published_toy(data_dir):
    path = data_dir / "hifred_toy" / "gaussian_1keV_rebin.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    pair = published_toy(path)
    assert pair.x.shape == (60, 45, 45)
    assert pair.y.shape == (2400, 15, 15)
    assert pair.rebin == (40, 3, 3)
    assert pair.edges[[0, -1]] == pytest.approx([0.5, 1.364], abs=1e-4)
    # Both expectations come from one scene: the spectrum of Y through the response of X is that
    # of X, and the image of X through the PSF of Y that of Y, not its transpose.
    spectrum = pair.rmf_x @ pair.y_model.sum(axis=(1, 2))
    assert np.allclose(spectrum[3:-3], pair.x_model.sum(axis=(1, 2))[3:-3], rtol=0.05)
    image = convolve(pair.x_model.sum(axis=0), pair.psf_y, mode="constant")
    image = image.reshape(15, 3, 15, 3).sum(axis=(1, 3))
    expected = pair.y_model.sum(axis=0)
    assert np.linalg.norm(image - expected) < 0.05 * np.linalg.norm(expected)
    assert np.linalg.norm(image.T - expected) > 0.15 * np.linalg.norm(expected)


def test_published_toy_refuses_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        published_toy(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", X=np.zeros(3))
    with pytest.raises(ValueError, match=r"other.npz has no array E_z, X_gt"):
        published_toy(tmp_path / "other.npz")
    np.savez(tmp_path / "pickle.npz", **dict.fromkeys(("X", "X_gt", "Y_gt", "E_z"), np.array([{}])))
    with pytest.raises(ValueError, match="has no array"):
        published_toy(tmp_path / "pickle.npz")
