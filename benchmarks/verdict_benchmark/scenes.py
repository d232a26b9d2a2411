"""Random scenes of gas, dust and stars with known truth, small enough for hundreds of fusions."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from jwst_fusion.simulation.scene import PointSource, Scene

__all__ = ["KINDS", "LINES", "random_scene", "with_variable_star"]

#: Kinds of scenes: filaments of two gases; the same, faint behind many stars; a galaxy with clumps;
#: a disk with a sharp limb.
KINDS = ("nebula", "cluster", "galaxy", "limb")

_BLUE, _RED, _STEP = 1.66, 2.27, 2e-3  # micrometre
_FIELD, _PIXEL = 3.6, 0.025  # arcsec
# Lines of each gas [micrometre] and relative strengths.
_IONISED = {1.7367: 0.1, 1.8179: 0.1, 1.8756: 1.0, 1.9451: 0.15, 2.1661: 0.25}
_MOLECULAR = {1.7480: 0.3, 1.8358: 0.2, 1.9576: 0.7, 2.0338: 0.3, 2.1218: 1.0, 2.2235: 0.4}
#: Wavelengths of all lines, micrometre.
LINES = tuple(sorted(_IONISED | _MOLECULAR))
_WIDTH = 4e-3  # micrometre, sigma of a line: a medium-resolution grating
_EDGE = 0.5  # arcsec from the centre within which stars stand


def random_scene(kind, stars, rng):
    """
    Make a scene.

    Parameters
    ----------
    kind : str
        See `KINDS`.
    stars : int
        Number of stars, each with one of two spectra.
    rng : numpy.random.Generator
        Source of maps, spectra and positions.

    Returns
    -------
    jwst_fusion.simulation.scene.Scene
        Mean brightness of the maps about 10 MJy/sr.
    """
    wavelength = np.arange(_BLUE, _RED, _STEP)
    x = (wavelength - _BLUE) / (_RED - _BLUE)
    spectra = np.array(
        [
            10 * (1 + rng.uniform(-0.4, 0.4) * x + 0.1 * np.sin(rng.uniform(4, 9) * x)),
            2 + rng.uniform(30, 90) * _lines(wavelength, _IONISED),
            1 + rng.uniform(20, 60) * _lines(wavelength, _MOLECULAR),
            (2 / wavelength) ** 2.2 * (1 - 0.3 * _lines(wavelength, {1.8756: 1, 2.1661: 0.7})),
            (2 / wavelength) ** 0.8 * (1 - 0.25 / (1 + np.exp(-(x - 0.7) / 0.02))),
        ]
    )
    size = round(_FIELD / _PIXEL) // 2 * 2 + 1
    maps = np.zeros((5, size, size))
    maps[:3] = _MAPS[kind](size, rng)
    sources = tuple(
        PointSource(
            3 + number % 2,
            *rng.uniform(-_EDGE, _EDGE, 2),
            0.6 * 10 ** rng.uniform(-1.0, 0.5),
        )
        for number in range(stars)
    )
    return Scene(wavelength, spectra, maps, _PIXEL, 83.8187, -5.4083, sources)


def with_variable_star(scene, factor):
    """
    Return the scene at another epoch, its brightest star changed.

    Parameters
    ----------
    scene : Scene
        Scene with stars.
    factor : float
        Flux at the other epoch over that of the scene.

    Returns
    -------
    Scene
    """
    fluxes = [one.flux for one in scene.sources]
    index = int(np.argmax(fluxes))
    changed = list(scene.sources)
    changed[index] = replace(changed[index], flux=factor * fluxes[index])
    return replace(scene, sources=tuple(changed))


def _lines(wavelength, lines):
    out = np.zeros_like(wavelength)
    for centre, strength in lines.items():
        out += strength * np.exp(-0.5 * ((wavelength - centre) / _WIDTH) ** 2)
    return out


def _clouds(size, rng, scale):
    """Positive map of structure of one scale [arcsec], mean about one."""
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), scale / _PIXEL, mode="wrap")
    return np.exp(0.7 * noise / noise.std())


def _grid(size):
    north, west = (np.mgrid[:size, :size] - size // 2) * _PIXEL
    return north, west


def _nebula(size, rng):
    filament = _clouds(size, rng, 0.12)
    return [_clouds(size, rng, 0.25), 0.3 + filament, 0.3 + _clouds(size, rng, 0.15) ** 1.5]


def _cluster(size, rng):
    return [0.3 * one for one in _nebula(size, rng)]


def _galaxy(size, rng):
    north, west = _grid(size)
    turn = rng.uniform(0, np.pi)
    u, v = north * np.cos(turn) - west * np.sin(turn), north * np.sin(turn) + west * np.cos(turn)
    radius = np.hypot(u, v / rng.uniform(0.4, 0.9))
    disk = 3 * np.exp(-radius / 0.35)
    bulge = 6 * np.exp(-radius / 0.08)
    clumps = disk * _clouds(size, rng, 0.06)
    return [disk + bulge, clumps, 0.5 * disk * _clouds(size, rng, 0.15)]


def _limb(size, rng):
    north, west = _grid(size)
    radius = np.hypot(north - rng.uniform(-0.2, 0.2), west - rng.uniform(-0.2, 0.2))
    face = 2 / (1 + np.exp((radius - 0.4) / 0.012)) * (0.7 + 0.3 * _clouds(size, rng, 0.15))
    return [0.05 + face, 0.05 + 0.5 * face * _clouds(size, rng, 0.1), 0.1 + 0.2 * face]


_MAPS = {"nebula": _nebula, "cluster": _cluster, "galaxy": _galaxy, "limb": _limb}
