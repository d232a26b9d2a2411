"""Hyperparameters: known prior and noise are recovered, with and without masks."""

import numpy as np
import pytest
import scipy.fft as sf

from jwst_fusion.fusion.solver.evidence import (
    LocalWeights,
    difference_noise,
    gradient_energy,
    maximise_evidence,
)
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer

MU = np.array([0.003, 0.1])
ROWS, FACTOR = 20, 3


def gaussian(sigma, shift):
    y, x = np.mgrid[-9:10, -9:10]
    psf = np.exp(-0.5 * ((y - shift) ** 2 + (x + 0.5 * shift) ** 2) / sigma**2)
    return psf[None] / psf.sum()


def draw_prior(grid, rng):
    """Maps of the Gaussian prior that MU describes."""
    power = np.zeros(grid.shape)
    for axis, n in enumerate(grid.shape):
        line = 2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n))
        power += line[:, None] if axis == 0 else line[None, :]
    power[0, 0] = np.inf
    white = sf.fft2(rng.normal(size=(len(MU), *grid.shape)), norm="ortho")
    return sf.ifft2(white / np.sqrt(MU[:, None, None] * power), norm="ortho").real


def system_of(image_weight=None, spaxel_weight=None, *, noise=(1.0, 1.0), seed=0):
    """Data drawn from the model: the hyperparameters are known."""
    rng = np.random.default_rng(seed)
    grid = Grid(ROWS, ROWS, FACTOR)
    imager = Imager(grid, gaussian(1.2, 1.0), rng.normal(size=(2, 1, 2)))
    spectrometer = Spectrometer(grid, gaussian(2.0, -1.0), 4 * rng.normal(size=(10, 1, 2)))
    truth = draw_prior(grid, rng)
    images, rows = imager.forward(truth), spectrometer.forward(truth)
    image_weight = np.ones(images.shape) if image_weight is None else image_weight
    spaxel_weight = np.ones(rows.shape[1:]) if spaxel_weight is None else spaxel_weight
    with np.errstate(divide="ignore"):
        scatter = [np.where(w > 0, w, np.inf) ** -0.5 for w in (image_weight, spaxel_weight)]
    images = images + noise[0] * scatter[0] * rng.normal(size=images.shape)
    rows = rows + noise[1] * scatter[1] * rng.normal(size=rows.shape)
    system = WeightedSystem(imager, spectrometer, images, image_weight, rows, spaxel_weight)
    return system, LocalWeights(image_weight, spaxel_weight)


def masks(kind):
    rng = np.random.default_rng(5)
    image = np.ones((2, ROWS * FACTOR, ROWS * FACTOR))
    spaxel = np.ones((ROWS, ROWS))
    if kind == "scattered":
        image[rng.random(image.shape) < 0.1] = 0
        spaxel[rng.random(spaxel.shape) < 0.1] = 0
    if kind == "margin":
        spaxel[:5] = spaxel[-5:] = 0
        spaxel[:, -4:] = 0
        image[:, :6] = 0
    if kind == "weights":
        image *= np.linspace(0.2, 3, image.shape[2])
        spaxel *= np.linspace(0.3, 2, ROWS)[:, None]
    return image, spaxel


@pytest.mark.parametrize("kind", ["none", "scattered", "margin", "weights"])
def test_known_prior_and_noise_are_recovered(kind):
    system, local = system_of(*masks(kind), noise=(3.0, 0.5))
    start = np.array([1.0, 1.0])
    tuned = maximise_evidence(system, local, start, tolerance=0.01, max_iterations=300)
    assert tuned.converged
    assert tuned.steps > 1
    np.testing.assert_allclose(np.log10(tuned.mu / MU), 0, atol=0.2)
    assert tuned.scale_image**-0.5 == pytest.approx(3.0, rel=0.1)
    assert tuned.scale_cube**-0.5 == pytest.approx(0.5, rel=0.15)
    assert tuned.solution.converged


def test_without_noise_scales_the_errors_are_believed():
    system, local = system_of()
    tuned = maximise_evidence(
        system, local, MU, noise_scales=False, tolerance=0.01, max_iterations=9
    )
    assert (tuned.scale_image, tuned.scale_cube) == (1.0, 1.0)
    np.testing.assert_allclose(np.log10(tuned.mu / MU), 0, atol=0.15)


def test_lack_of_convergence_is_reported():
    system, local = system_of()
    tuned = maximise_evidence(
        system, local, 1e4 * MU, max_steps=1, tolerance=0.01, max_iterations=9
    )
    assert not tuned.converged
    assert tuned.steps == 1


@pytest.mark.parametrize("kind", ["none", "scattered", "margin", "weights"])
def test_shares_of_the_nodes_sum_to_one(kind):
    image, spaxel = masks(kind)
    local = LocalWeights(image, spaxel)
    np.testing.assert_allclose(local.share.sum(0), 1)
    assert local.share.min() >= 0
    assert local.fractions.sum() == pytest.approx(1)
    assert len(local.nodes) == len(local.share) <= 9
    if kind == "none":
        assert len(local.nodes) == 1
    if kind == "margin":  # away from the data, hardly any weight of the cube
        cube = np.array([node[1] for node in local.nodes])
        assert cube @ local.share[:, 30, -3] < 0.01 < 0.9 < cube @ local.share[:, 30, 20]


def test_gradient_energy_of_a_ramp():
    y, x = np.mgrid[:6, :7].astype(float)
    scores = np.array([3 * x, 6 * y + 3 * x])
    scores[:, 2, 2] = np.nan
    np.testing.assert_allclose(gradient_energy(scores, 3), [1, 5])


def test_difference_noise():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :61]
    images = 0.5 * x + 0.2 * y + 4 * rng.normal(size=(2, 60, 61))
    images[0, 10, 10], images[1, 20, 20] = np.nan, 1e5
    assert difference_noise(images) == pytest.approx(4, rel=0.05)
    with pytest.raises(ValueError, match="2 x 2 block"):
        difference_noise(np.full((1, 4, 4), np.nan))
