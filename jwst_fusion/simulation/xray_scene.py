"""A supernova remnant in X-rays: shell, Doppler shifts, temperatures, a bright knot, and truth."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["SupernovaRemnant", "supernova_remnant"]

_LIGHT = 299792.458  # km/s
_TEMPERATURES = np.linspace(0.2, 1.2, 8)  # keV
_VELOCITIES = np.linspace(-7000.0, 7000.0, 57)  # km/s along the line of sight
_TURBULENCE = 350.0  # km/s, thermal and turbulent broadening
_DEPTH = 41  # layers along the line of sight
# Strongest lines of a plasma out of equilibrium: energy [keV], relative strength, temperature [keV]
# at which it peaks. O VII and VIII, Fe XVII, Ne IX and X, Mg XI and XII, Fe K.
_LINES = (
    (0.5610, 0.9, 0.15),
    (0.5686, 0.6, 0.15),
    (0.5740, 1.2, 0.15),
    (0.6537, 1.5, 0.25),
    (0.7252, 1.3, 0.5),
    (0.7271, 1.2, 0.5),
    (0.7390, 0.8, 0.5),
    (0.8124, 0.5, 0.6),
    (0.8257, 1.5, 0.6),
    (0.8730, 0.4, 0.6),
    (0.9054, 0.7, 0.35),
    (0.9148, 0.4, 0.35),
    (0.9220, 1.1, 0.35),
    (1.0110, 0.5, 0.8),
    (1.0218, 1.1, 0.7),
    (1.0223, 0.6, 0.7),
    (1.2110, 0.3, 0.9),
    (1.3311, 0.5, 0.6),
    (1.3433, 0.3, 0.6),
    (1.3523, 0.7, 0.6),
    (6.4040, 0.004, 0.3),
    (6.6366, 0.010, 0.8),
    (6.6676, 0.008, 1.1),
    (6.7004, 0.014, 1.2),
)


@dataclass(frozen=True)
class SupernovaRemnant:
    """
    A remnant on the sky, at the resolution of its pixels and energies.

    Attributes
    ----------
    cube : ndarray (energy, y, x)
        Photons per voxel, of sum 1.
    edges : ndarray (energy + 1,)
        Edges of the energy channels, keV.
    temperature : ndarray (y, x)
        Temperature weighted by emission, keV.
    velocity : ndarray (y, x)
        Velocity along the line of sight weighted by emission, km/s; positive: away from us.
    """

    cube: np.ndarray
    edges: np.ndarray
    temperature: np.ndarray
    velocity: np.ndarray


def supernova_remnant(edges, shape, *, psf=0.0, line_width=0.0, seed=1):
    """
    Make a remnant like Cassiopeia A as in the toy models of Lascar et al. (2025).

    A clumpy shell expands at 5000 km/s, so that its near and far halves are shifted to higher and
    lower energies; the temperature varies over the remnant; a compact knot at high y, to the right
    of the middle, is twice as bright as the shell around it; the shell is brighter towards high x
    and low y. No transposition, reflection or rotation maps it onto itself.

    Parameters
    ----------
    edges : array_like (energy + 1,)
        Edges of the energy channels, keV, ascending, within 0.3 to 10.
    shape : tuple of int
        Pixels along y and x; the remnant fills the shorter side.
    psf : float
        Standard deviation of the Gaussian with which the maps are smoothed, pixels.
    line_width : float
        Standard deviation that the instrument adds to the lines, eV.
    seed : int
        Seed of the clumps.

    Returns
    -------
    SupernovaRemnant
        The cube with the maps behind it.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or edges.size < 3 or not np.all(np.diff(edges) > 0):
        msg = "edges must be an ascending vector of at least three energies, in keV"
        raise ValueError(msg)
    if edges[0] < 0.3 or edges[-1] > 10:
        msg = f"edges run from {edges[0]:g} to {edges[-1]:g} keV: expected 0.3 to 10 keV"
        raise ValueError(msg)
    if len(shape) != 2 or min(shape) < 5:
        msg = f"shape must be two numbers of at least 5 pixels, got {tuple(shape)}"
        raise ValueError(msg)
    for name, value in (("psf", psf), ("line_width", line_width)):
        if not (np.isfinite(value) and value >= 0):
            msg = f"{name} must be zero or positive, got {value}"
            raise ValueError(msg)
    emission, temperature, velocity = _plasma(shape, np.random.default_rng(seed))
    weights = _onto_library(emission, temperature, velocity)
    library = _library(edges, line_width)
    cube = (weights @ library).T.reshape(-1, *shape)
    cube = gaussian_filter(cube, (0, psf, psf), mode="constant")
    total = emission.sum(axis=2)
    return SupernovaRemnant(
        cube / cube.sum(),
        edges,
        (emission * temperature).sum(axis=2) / total,
        (emission * velocity).sum(axis=2) / total,
    )


def _plasma(shape, rng):
    """Emission, temperature and velocity along y, x and the line of sight."""
    half = 1.35 / min(shape)
    y, x = (half * (2 * np.arange(n) - n + 1) for n in shape)
    y, x, z = np.meshgrid(y, x, np.linspace(-1.2, 1.2, _DEPTH), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    # Clumps keep their size on the sky however fine the pixels are.
    size = min(shape) / 45
    clumps = gaussian_filter(rng.standard_normal(x.shape), (1.2 * size, 1.2 * size, 1.5))
    warm = gaussian_filter(rng.standard_normal(x.shape), (3 * size, 3 * size, 3))
    emission = np.exp(-0.5 * ((radius - 0.85) / 0.07) ** 2 + 0.9 * clumps / clumps.std())
    emission *= np.clip(1 + 0.7 * x - 0.3 * y, 0.1, None)
    knot = (x - 0.3) ** 2 + (y - 0.75) ** 2 + (z + 0.1) ** 2
    emission += 25 * np.exp(-0.5 * knot / 0.05**2) + 2e-4
    temperature = np.clip(
        0.6 + 0.22 * warm / warm.std() + 0.2 * x, _TEMPERATURES[0], _TEMPERATURES[-1]
    )
    velocity = 5000 * z / np.maximum(radius, 0.3) * (radius / 0.85)
    velocity += 300 * rng.standard_normal(x.shape)
    return emission, temperature, np.clip(velocity, _VELOCITIES[0], _VELOCITIES[-1])


def _onto_library(emission, temperature, velocity):
    """Sum the emission of each pixel onto the grid of temperatures and velocities, bilinearly."""
    pixels = emission.shape[0] * emission.shape[1]
    weights = np.zeros((pixels, _TEMPERATURES.size, _VELOCITIES.size))
    pixel = np.repeat(np.arange(pixels), emission.shape[2])
    (low_t, part_t), (low_v, part_v) = (
        _below(values.ravel(), grid)
        for values, grid in ((temperature, _TEMPERATURES), (velocity, _VELOCITIES))
    )
    for step_t, share_t in ((0, 1 - part_t), (1, part_t)):
        for step_v, share_v in ((0, 1 - part_v), (1, part_v)):
            place = (pixel, low_t + step_t, low_v + step_v)
            np.add.at(weights, place, emission.ravel() * share_t * share_v)
    return weights.reshape(pixels, -1)


def _below(values, grid):
    position = (values - grid[0]) / (grid[1] - grid[0])
    low = np.clip(position.astype(int), 0, grid.size - 2)
    return low, position - low


def _library(edges, line_width):
    """Photons per channel for each temperature and velocity, (temperature velocity, energy)."""
    energy, width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    absorbed = np.exp(-0.45 * (energy / 0.7) ** -2.6)
    spectra = np.empty((_TEMPERATURES.size, _VELOCITIES.size, energy.size))
    for i, temperature in enumerate(_TEMPERATURES):
        continuum = 0.25 * np.exp(-energy / temperature) / np.sqrt(temperature)
        for j, velocity in enumerate(_VELOCITIES):
            spectrum = continuum.copy()
            for rest, strength, peak in _LINES:
                centre = rest / (1 + velocity / _LIGHT)
                sigma = np.hypot(rest * _TURBULENCE / _LIGHT, 1e-3 * line_width)
                if not edges[0] - 6 * sigma < centre < edges[-1] + 6 * sigma:
                    continue
                flux = 0.02 * strength * np.exp(-((np.log(temperature / peak) / 0.7) ** 2))
                near = slice(*np.searchsorted(energy, [centre - 6 * sigma, centre + 6 * sigma]))
                profile = np.exp(-0.5 * ((energy[near] - centre) / sigma) ** 2)
                spectrum[near] += flux * profile / (sigma * np.sqrt(2 * np.pi))
            spectra[i, j] = spectrum * absorbed * width
    return spectra.reshape(-1, energy.size)
