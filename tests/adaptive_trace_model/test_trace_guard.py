"""Where the model is used: never where it predicts pixels worse than interpolation does."""

import numpy as np
import pytest
from scipy.special import erf

from jwst_fusion.adaptive_trace_model.guard import share_of_model
from jwst_fusion.simulation.exposures import Noise, builtin_exposure, noiseless, paint
from jwst_fusion.step import AdaptiveTraceModelStep

POINTING = {"ra": 150.0, "dec": 20.0, "roll": 30.0}


class Scene:
    """Brightness as a function of the place in arcsec and the wavelength."""

    def __init__(self, brightness):
        self.brightness = brightness

    def sample(self, ra, dec, wavelength):
        """Brightness at places on the sky."""
        x = 3600 * (ra - POINTING["ra"]) * np.cos(np.radians(POINTING["dec"]))
        y = 3600 * (dec - POINTING["dec"])
        return self.brightness(x, y, wavelength) + 0 * wavelength


def star(x, y):
    return np.exp(-4 * np.log(2) * (x**2 + y**2) / 0.15**2)


def disc(x, y, diameter):
    return 0.5 * (1 + erf((diameter / 2 - np.hypot(x - 0.02, y + 0.03)) / 0.07))


def lines(wavelength):
    return sum(np.exp(-0.5 * ((wavelength - at) / 6e-4) ** 2) for at in np.arange(1.68, 3.2, 0.02))


SCENES = {
    "disc": lambda x, y, wave: 300 * disc(x, y, 1.2),
    "disc that fills slices": lambda x, y, wave: 300 * disc(x, y, 2.3),
    "lines alone": lambda x, y, wave: 1 + 3000 * lines(wave) * star(x, y),
    "star in a nebula that shines in lines": lambda x, y, wave: (
        1 + 100 * star(x, y) + 1000 * lines(wave) * np.exp(-4 * np.log(2) * (x**2 + y**2) / 0.64)
    ),
    "star": lambda x, y, wave: 2 + 400 * star(x, y),
}


def exposed(scene, slices=3):
    """Exposure of the slices that see most of the scene."""
    model = builtin_exposure(**POINTING)
    light = noiseless(model, scene)
    contrast = {
        s: np.nanmax(light[model.regions == s]) - np.nanmedian(light[model.regions == s])
        for s in range(1, 31)
    }
    seen = sorted(contrast, key=contrast.get)[-slices:]
    model.regions = np.where(np.isin(model.regions, seen), model.regions, 0)
    paint(model, scene, noise=Noise(residues=0, bad_clusters=50), seed=2)
    return model


def errors(model, scene, spoiled=None, *, fit_threshold=10.0):
    """Root mean square error of interpolation and of the model, in each slice."""
    linear = AdaptiveTraceModelStep(oversample=2.0, fit_threshold=1e9).run(model)
    traced = AdaptiveTraceModelStep(oversample=2.0, fit_threshold=fit_threshold).run(model)
    truth = noiseless(linear, scene)
    known = ((linear.dq & 1) == 0) & ((traced.dq & 1) == 0) & np.isfinite(truth)
    if spoiled is not None:
        near = np.repeat(spoiled, 2, axis=0)
        known &= ~np.any([np.roll(near, k, 0) for k in range(-7, 8)], axis=0)
    found = []
    for label in np.unique(traced.regions[traced.regions > 0]):
        here = known & (traced.regions == label)
        found.append(
            [np.sqrt(np.nanmean((one.data - truth)[here] ** 2)) for one in (linear, traced)]
        )
    return np.array(found).T


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("disc", 3.0),
        ("disc that fills slices", 1.2),
        ("lines alone", 5.0),
        ("star in a nebula that shines in lines", 1.1),
        ("star", 7.0),
    ],
)
def test_the_model_is_better_than_interpolation(name, gain):
    """In every slice but those of a nebula whose lines outshine the star: there on the whole."""
    scene = Scene(SCENES[name])
    # The threshold is a median over wavelength, which lines alone do not reach.
    threshold = 0.0 if name == "lines alone" else 10.0
    linear, traced = errors(exposed(scene), scene, fit_threshold=threshold)
    if name != "star in a nebula that shines in lines":
        assert np.all(traced < 1.05 * linear)
    assert np.sqrt(np.mean(linear**2)) > gain * np.sqrt(np.mean(traced**2))


def test_hot_pixels_with_honest_errors_do_no_harm():
    scene = Scene(SCENES["star"])
    model = exposed(scene)
    _, before = errors(model, scene)
    rng = np.random.default_rng(4)
    hot = (rng.random(model.data.shape) < 1e-3) & np.isfinite(model.data)
    extra = 1e4 * rng.uniform(0.3, 3, hot.sum())
    model.data[hot] += extra
    model.err[hot] = extra
    _, after = errors(model, scene, hot)
    assert np.all(after < 1.15 * before)


def test_a_cosmic_ray_beside_a_gap_is_not_spread_over_it():
    scene = Scene(SCENES["star"])
    model = exposed(scene, slices=1)
    light = noiseless(model, scene)
    # A bright ray in the wing of the star, and a flagged pixel on its inner side.
    inside = np.isfinite(light) & (model.regions > 0) & (light > 4) & (light < 40)
    rows, columns = np.nonzero(inside)
    chosen = np.arange(0, len(rows), len(rows) // 40)
    rows, columns = rows[chosen], columns[chosen]
    step = np.where(light[rows - 1, columns] > light[rows + 1, columns], -1, 1)
    model.data[rows, columns] += 500
    model.data[rows + step, columns] = np.nan
    model.dq[rows + step, columns] |= 1
    traced = AdaptiveTraceModelStep(oversample=2.0).run(model)
    truth = noiseless(traced, scene)
    filled = np.zeros(traced.data.shape, bool)
    for half in (0, 1):
        filled[2 * (rows + step) + half, columns] = True
    filled &= ((traced.dq & 1) == 0) & np.isfinite(traced.data)
    assert filled.sum() > 20
    worst = np.abs(traced.data - truth)[filled]
    assert np.quantile(worst, 0.9) < 20


def pixels(seed=0, shift=0.0):
    """Noisy pixels of a trace, its true model, and a model of another width."""
    rng = np.random.default_rng(seed)
    column, row = np.arange(60)[:, None], np.arange(30)
    at = row - 14.5 - 0.02 * column - shift
    narrow, wide = (np.exp(-0.5 * (at / width) ** 2) for width in (0.8, 1.3))
    return 100 * narrow + rng.normal(size=at.shape), 100 * narrow, 100 * wide


def test_right_models_are_used_and_wrong_ones_are_not():
    flux, right, wrong = pixels()
    good, inverse = np.ones(flux.shape, bool), np.ones(flux.shape)
    core = right > 20
    assert share_of_model(flux, right, good, inverse)[core].min() == 1
    assert share_of_model(flux, 3 * (wrong - right), good, inverse)[core].mean() < 0.2


def test_noise_and_cosmic_rays_do_not_decide():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(200, 30))
    good, inverse = np.ones(noise.shape, bool), np.ones(noise.shape)
    flat = np.zeros(noise.shape)
    assert share_of_model(noise, flat, good, inverse).min() == 1
    flux, right, _ = pixels()
    flux[rng.random(flux.shape) < 0.01] += 500
    share = share_of_model(flux, right, good[:60], inverse[:60])
    assert np.mean(share[right > 20]) > 0.95


def test_nothing_to_compare_leaves_the_model():
    flux, right, _ = pixels()
    good = np.zeros(flux.shape, bool)
    assert share_of_model(flux, right, good, np.ones(flux.shape)).min() == 1
