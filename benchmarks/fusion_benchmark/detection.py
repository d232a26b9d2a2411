"""How many stars are found in images of scenes with structure, and what else is taken for one."""

import time

import numpy as np
from scipy.signal import fftconvolve

from fusion_benchmark.lines import Line
from fusion_benchmark.scenes import nebula, nebula_psf, orion_bar, orion_psf
from jwst_fusion.fusion.sources.detection import find_in_images
from jwst_fusion.fusion.sources.psf_shapes import PsfShape, filter_psfs

__all__ = ["detection"]

_FILTERS = {"one filter": ("F200W",), "five filters": ("F182M", "F187N", "F200W", "F210M", "F212N")}
_STARS, _APART, _EDGE = 30, 4.0, 6  # count; pixels between them, and from the edge
_RANGE = (5.0, 500.0)  # fluxes in units of the error of PSF photometry, per image
_BINS = ((5, 10), (10, 20), (20, 50), (50, 500))
_FOUND = 0.7  # pixel from the true position
_CHANNELS = 60
_SUB = 3  # samples per pixel of the disc, along each side


def detection(*, quick=False):
    """
    Completeness, false sources and errors of positions.

    Parameters
    ----------
    quick : bool
        One field of each kind in place of three.

    Returns
    -------
    list of Line
    """
    lines = []
    for scene in (_flat, _nebula, _disc, _orion):
        for name, filters in _FILTERS.items():
            clean, noise, psfs, others = scene(filters)
            wrong = {"same PSF": psfs} | ({"PSF of another wavefront": others} if others else {})
            for kind, true in wrong.items():
                title = f"{scene.__doc__.rstrip('.')}, {name}, {kind}"
                seeds = range(1, 2 if quick else 4)
                lines.append(_measured(title, clean, noise, psfs, np.asarray(true), seeds))
    return lines


def _measured(title, clean, noise, psfs, true, seeds):
    empty, false, pulls, seconds, stars = 0, 0, [], 0.0, []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        grain = noise * rng.standard_normal(clean.shape)
        empty += len(find_in_images(clean + grain, 1 / noise**2, psfs))
        x, y = _places(rng, clean.shape[1:])
        strength = np.exp(rng.uniform(*np.log(_RANGE), _STARS))
        unit = np.array([noise[:, round(b), round(a)] for a, b in zip(x, y, strict=True)])
        flux = strength[:, None] * unit / np.sqrt(np.sum(psfs**2, (1, 2)))
        images = _with_stars(clean, true, x, y, flux) + grain
        start = time.process_time()
        found = find_in_images(images, 1 / noise**2, psfs)
        seconds += time.process_time() - start
        index = _matched(found, x, y)
        false += len(found) - np.sum(index >= 0)
        stars += list(zip(strength, index >= 0, strict=True))
        seen = index >= 0
        pulls += list((found.x[index[seen]] - x[seen]) / found.x_error[index[seen]])
        pulls += list((found.y[index[seen]] - y[seen]) / found.y_error[index[seen]])
    strength, hit = np.array(stars).T
    shares = []
    for low, high in _BINS:
        inside = (strength >= low) & (strength < high)
        shares.append(f"{low}-{high}: {int(hit[inside].sum())}/{inside.sum()}")
    beside = (
        f"false in {len(seeds)} fields with stars {false}; found by sigma per image "
        f"{', '.join(shares)}; 68 % of position errors over stated "
        f"{np.quantile(np.abs(pulls), 0.68):.2f}; {seconds / len(seeds):.1f} s"
    )
    return Line(
        f"{title}: false sources in {len(seeds)} fields without stars", f"{empty}", "", None, beside
    )


def _places(rng, shape):
    places = []
    while len(places) < _STARS:
        one = [rng.uniform(_EDGE, size - 1 - _EDGE) for size in shape[::-1]]
        if all(np.hypot(one[0] - a, one[1] - b) > _APART for a, b in places):
            places.append(one)
    return np.transpose(places)


def _with_stars(clean, psfs, x, y, flux):
    images = clean.copy()
    rows, columns = (np.arange(size) for size in clean.shape[1:])
    for image, psf, fluxes in zip(images, psfs, flux.T, strict=True):
        shape = PsfShape(psf)
        for at_x, at_y, one in zip(x, y, fluxes, strict=True):
            image += one * shape(rows - at_y, columns - at_x)[0]
    return images


def _matched(found, x, y):
    index = np.full(len(x), -1)
    for j, (at_x, at_y) in enumerate(zip(x, y, strict=True)):
        distance = np.hypot(found.x - at_x, found.y - at_y)
        if len(found) and distance.min() < _FOUND and distance.argmin() not in index:
            index[j] = distance.argmin()
    return index


def _psfs(filters):
    """PSFs of the filters, right ones and those of a telescope with another wavefront."""
    observation = nebula((8, 8), _CHANNELS).chosen(filters)
    factors = np.ones(len(filters))
    return tuple(
        filter_psfs(observation.problem(nebula_psf(_CHANNELS, error=error), factors))
        for error in (0.0, 0.2)
    )


def _flat(filters):
    """Noise alone."""
    psfs, others = _psfs(filters)
    clean = np.full((len(filters), 150, 150), 20.0)
    return clean, np.ones_like(clean), psfs, list(others)


def _nebula(filters):
    """Nebula with knots of the width of the PSF, stripes and a jet."""
    psfs, others = _psfs(filters)
    observation = nebula((24, 24), _CHANNELS, margin=6).chosen(filters)
    return observation.images_truth, observation.image_error, psfs, list(others)


def _disc(filters):
    """Disc with a limb, belts and a ring."""
    psfs, others = _psfs(filters)
    size = 180
    y, x = (np.indices((size * _SUB,) * 2) - (_SUB - 1) / 2) / _SUB
    radius = np.hypot(x - 80.3, y - 85.7) / 50
    light = np.where(radius < 1, 0.4 + 0.6 * np.sqrt(np.clip(1 - radius**2, 0, 1)), 0)
    light *= 1 + 0.2 * np.sin(y / 4)
    ellipse = np.hypot((x - 80.3) / 90, (y - 85.7) / 30)
    light += 0.5 * ((ellipse > 0.9) & (ellipse < 1) & (radius > 1))
    light = 100 * light.reshape(size, _SUB, size, _SUB).mean((1, 3))
    clean = np.array([fftconvolve(light, psf, mode="same") for psf in psfs])
    return clean, np.ones_like(clean), psfs, list(others)


def _orion(filters):
    """Part of the Orion Bar."""
    observation = orion_bar((10, 300), (16, 16), channels=slice(None, None, 20)).chosen(filters)
    data = observation.problem(orion_psf(observation.setup.wavelength), np.ones(len(filters)))
    return observation.images_truth, observation.image_error, filter_psfs(data), []
