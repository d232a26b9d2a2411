"""The five scenes: a young star's nebula, a cluster, a rotating galaxy, a planet, the Orion Bar."""

from dataclasses import dataclass, field

import numpy as np
from benchmark_data import data_folder
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from fusion_benchmark.observer.spectral import (
    HYDROGEN,
    MOLECULAR,
    RESOLVING_POWER,
    LineAt,
    emission,
    star_spectra,
)
from jwst_fusion.simulation import scenes as simulated

__all__ = ["SCENES", "Content", "Sky", "cluster", "demo", "galaxy", "orion", "planet"]


@dataclass(frozen=True)
class Sky:
    """
    The part of the sky on which a scene is drawn.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the maps, surroundings included.
    field : tuple of slice
        Rows and columns of the field among them.
    pixel : float
        Arcsec.
    wavelength : ndarray
        Micrometre, shape (L,).
    """

    shape: tuple
    field: tuple
    pixel: float
    wavelength: np.ndarray

    @property
    def size(self):
        """Rows and columns of the field."""
        return tuple(part.stop - part.start for part in self.field)

    def offsets(self):
        """Distance in x and y of all pixels from the middle of the field, arcsec."""
        middle = [(part.start + part.stop - 1) / 2 for part in self.field]
        y, x = (np.arange(n) - at for n, at in zip(self.shape, middle, strict=True))
        return np.broadcast_arrays(self.pixel * x, self.pixel * y[:, None])


@dataclass(frozen=True)
class Content:
    """
    What is in a scene.

    Parameters
    ----------
    maps, spectra : ndarray
        Components, shapes (k, Y, X) and (k, L), MJy/sr.
    x, y : ndarray
        Sources, in pixels from the field's first pixel, shape (J,).
    source_spectra : ndarray
        MJy/sr times area of a pixel, shape (J, L).
    significance : ndarray, optional
        Fluxes in units of the error per channel of PSF photometry on the cube, shape (J,); their
        spectra have mean 1 then.
    faint : tuple of ndarray, optional
        Maps (C, Y, X), spectra (C, L), and the signal to noise ratio that a matched filter finds
        for each on the cube, (C,): components of which the brightness is yet to be found.
    regions : dict of str to ndarray
        Masks (Y, X) over the field by name.
    extras : dict
        What else is true of the scene.
    """

    maps: np.ndarray
    spectra: np.ndarray
    x: np.ndarray = field(default_factory=lambda: np.zeros(0))
    y: np.ndarray = field(default_factory=lambda: np.zeros(0))
    source_spectra: np.ndarray | None = None
    significance: np.ndarray | None = None
    faint: tuple | None = None
    regions: dict = field(default_factory=dict)
    extras: dict = field(default_factory=dict)


def _known_lines(low, high):
    named = [LineAt(f"H {at:.4f}", at) for at in HYDROGEN]
    named += [LineAt(f"H2 {at:.4f}", at) for at in MOLECULAR]
    return [one for one in named if low * 1.004 < one.wavelength < high / 1.004]


def demo(sky, rng):
    """
    Draw the nebula of ``jwst_fusion demo`` with its six stars.

    Parameters
    ----------
    sky : Sky
        Where to draw it.
    rng : numpy.random.Generator
        Not used: the scene is what it is.

    Returns
    -------
    Content
    """
    del rng
    side = (max(sky.shape) + 2) * sky.pixel
    low, high = sky.wavelength[[0, -1]]
    scene = simulated.nebula(blue=low * 0.999, red=high * 1.001, field=side, pixel_scale=sky.pixel)
    spectra = scene.spectrum(sky.wavelength)
    rows, columns = (part.start for part in sky.field)
    middle = scene.maps.shape[1] // 2
    # the middle of the field lies between pixels; half a pixel does not matter to the nebula
    first = [middle - (part.start + part.stop) // 2 for part in sky.field]
    take = tuple(slice(at, at + n) for at, n in zip(first, sky.shape, strict=True))
    maps = scene.maps[(slice(None), *take)]
    x = [middle - first[1] - columns - one.east / sky.pixel for one in scene.sources]
    y = [middle - first[0] - rows + one.north / sky.pixel for one in scene.sources]
    flux = np.array([one.flux for one in scene.sources]) / sky.pixel**2
    own = flux[:, None] * spectra[[one.component for one in scene.sources]]
    lit = maps.any((1, 2))
    return _inside(Content(maps[lit], spectra[lit], np.array(x), np.array(y), own), sky)


def _inside(content, sky):
    """Leave out sources outside the field (their light included) or at its very edge."""
    height, width = sky.size
    keep = (content.x > 1) & (content.x < width - 2) & (content.y > 1) & (content.y < height - 2)
    return Content(
        content.maps,
        content.spectra,
        content.x[keep],
        content.y[keep],
        content.source_spectra[keep],
        regions=content.regions,
        extras=content.extras,
    )


def _clouds(shape, rng, slope, smallest):
    """Random map of mean 0 and rms 1 whose power falls with frequency, shape (Y, X)."""
    y, x = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])
    frequency = np.hypot(y, x)
    frequency[0, 0] = np.inf
    noise = fft.rfft2(rng.standard_normal(shape))
    shaped = noise * frequency ** (-slope / 2) * np.exp(-0.5 * (frequency * smallest * 2) ** 2)
    out = fft.irfft2(shaped, shape)
    return out / out.std()


def cluster(sky, rng, *, count=30, faintest=10.0, brightest=1000.0, pairs=3):
    """
    Draw stars of many kinds in front of a diffuse nebula.

    Parameters
    ----------
    sky : Sky
        Where to draw it.
    rng : numpy.random.Generator
        Decides on positions, kinds and clouds.
    count, pairs : int
        Stars, and how many of them have a neighbour within 0.15 arcsec.
    faintest, brightest : float
        Range of their fluxes, in units of the error per channel of photometry on the cube.

    Returns
    -------
    Content
    """
    wavelength = sky.wavelength
    scaled = wavelength / np.mean(wavelength[[0, -1]])
    spectra = np.array(
        [
            6 * scaled**-0.3
            + emission(wavelength, {at: 150 * peak for at, peak in HYDROGEN.items()}),
            2 + emission(wavelength, {at: 80 * peak for at, peak in MOLECULAR.items()}),
            12 * scaled * (1 + 0.15 * np.sin(20 * np.log(scaled))),
        ]
    )
    x, y = sky.offsets()
    maps = np.array(
        [
            np.exp(0.35 * _clouds(sky.shape, rng, 3.0, 3)),
            np.exp(0.6 * _clouds(sky.shape, rng, 2.6, 2) - 0.5),
            0.5 + 1 / (1 + np.exp(-(x + 0.5 * y - 0.4) / 0.05)) + 0.1 * np.sin(2 * np.pi * y / 0.9),
        ]
    )
    places = _places(sky, rng, count, pairs)
    faint = np.log10([faintest, brightest])
    significance = 10 ** rng.uniform(*faint, len(places))
    significance[rng.integers(len(places))] = faintest
    significance[rng.integers(len(places))] = brightest
    return Content(
        maps,
        spectra,
        places[:, 0],
        places[:, 1],
        star_spectra(wavelength, len(places), rng),
        significance,
    )


def _places(sky, rng, count, pairs):
    """Positions (x, y), farther apart than 0.15 arcsec but for some pairs."""
    apart, rim = 0.15 / sky.pixel, 4.0
    high = np.array(sky.size[::-1]) - 1 - rim
    places = []
    while len(places) < count - pairs:
        place = rng.uniform(rim, high)
        if all(np.hypot(*(place - one)) > 1.3 * apart for one in places):
            places.append(place)
    for one in places[:pairs]:
        turn, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 0.95) * apart
        place = one + distance * np.array([np.cos(turn), np.sin(turn)])
        places.append(np.clip(place, rim / 2, high + rim / 2))
    return np.array(places)


# Recession of a rotating galaxy in steps so fine that cubic interpolation between their spectra
# moves a line by less than 0.1 km/s.
_STEPS, _FASTEST = 40, 320.0
_NEGLIGIBLE = 1e-7  # singular values, relative to the first


def _doppler(wavelength, lines, brightness, velocity, width):
    """Lines of one width at the velocity of each pixel, as maps (k, Y, X) and spectra (k, L)."""
    grid = np.linspace(-_FASTEST, _FASTEST, _STEPS)
    spectra = np.array([emission(wavelength, lines, velocity=v, width=width) for v in grid])
    where = (velocity - grid[0]) / (grid[1] - grid[0])
    first = np.clip(np.floor(where).astype(int) - 1, 0, _STEPS - 4)
    at = where - first
    maps = np.zeros((_STEPS, *velocity.shape))
    rows, columns = np.indices(velocity.shape)
    for node in range(4):  # cubic Lagrange weights
        others = [other for other in range(4) if other != node]
        weight = np.prod([(at - other) / (node - other) for other in others], axis=0)
        maps[first + node, rows, columns] += weight * brightness
    left, size, right = np.linalg.svd(spectra, full_matrices=False)
    kept = size > _NEGLIGIBLE * size[0]
    return np.tensordot(left[:, kept].T, maps, 1), size[kept, None] * right[kept]


def _galaxy_lines(low, high):
    lines = [
        LineAt(one.name, one.wavelength, 430.0)
        for one in _known_lines(low, high)
        if one.wavelength in (1.8756, 2.1661, 1.9576, 2.1218, 3.2970, 3.7406, 3.2350, 3.8464)
    ]
    return lines + [LineAt(f"clump {at:.3f}", at) for at in _clump_lines(low)]


def _clump_lines(low):
    return _CLUMPS if low < 2 else tuple(1.74 * at for at in _CLUMPS)


# Wavelengths of the lines of faint clumps, micrometre, away from all others.
_CLUMPS = (1.700, 1.775, 1.905, 2.000, 2.060, 2.090, 2.190, 2.240)


def galaxy(sky, rng, *, agn=0.0, clumps=8, faintest=10.0, brightest=30.0):
    """
    Draw an inclined disc that rotates, with bulge, outflow, clumps of one line, active nucleus.

    Parameters
    ----------
    sky : Sky
        Where to draw it.
    rng : numpy.random.Generator
        Decides on clouds and clumps.
    agn : float
        Light of a nucleus in units of that of its host in 0.1 arcsec around it.
    clumps : int
        Faint ones, with one line each.
    faintest, brightest : float
        Range of their signal to noise ratios by matched filters on the cube.

    Returns
    -------
    Content
        With ``velocity`` (km/s, before any PSF), clumps and their lines among the extras.
    """
    wavelength = sky.wavelength
    low, high = wavelength[[0, -1]]
    x, y = sky.offsets()
    turn, inclination = np.deg2rad(35), np.deg2rad(55)
    u = x * np.cos(turn) + y * np.sin(turn)
    v = (y * np.cos(turn) - x * np.sin(turn)) / np.cos(inclination)
    radius = np.hypot(u, v)
    velocity = 260.0 * 2 / np.pi * np.arctan(radius / 0.3) * u / np.maximum(radius, 1e-6)
    scaled = wavelength / np.mean([low, high])
    old = star_spectra(wavelength, 1, rng, temperatures=[3800.0], extinction=1.0)[0]
    young = star_spectra(wavelength, 1, rng, temperatures=[12000.0], extinction=2.0)[0]
    arms = np.exp(0.5 * _clouds(sky.shape, rng, 2.4, 2) - 0.125)
    disc = 15 * np.exp(-radius / 0.8)
    bulge = 70 * np.exp(-((np.hypot(x, y) / 0.12) ** 0.7))
    cone = np.exp(-0.5 * ((u / 0.18) ** 2 + ((v * np.cos(inclination) - 0.55) / 0.25) ** 2))
    hydrogen = {at: peak for at, peak in HYDROGEN.items() if low < at < high}
    molecular = {at: peak for at, peak in MOLECULAR.items() if low < at < high}
    strongest = max(hydrogen.values()), max(molecular.values())
    parts = [
        _doppler(wavelength, hydrogen, 5 * disc / strongest[0] * arms, velocity, 35.0),
        _doppler(
            wavelength,
            molecular,
            45 / strongest[1] * np.exp(-0.5 * ((radius - 0.7) / 0.35) ** 2),
            velocity,
            35.0,
        ),
        (bulge[None], old[None]),
        (disc[None] * arms**0.5, young[None] * scaled[None] ** 0.5),
        (
            40 * cone[None] / strongest[0],
            emission(wavelength, hydrogen, velocity=-190.0, width=90.0)[None],
        ),
        (np.ones((1, *sky.shape)), 0.3 * scaled[None]),
    ]
    maps, spectra = (np.concatenate([one[i] for one in parts]) for i in (0, 1))
    centres = _places(sky, rng, clumps, 0)
    lines = np.resize(_clump_lines(low), clumps)
    shifts = np.zeros(clumps) if clumps <= len(_CLUMPS) else rng.uniform(-60, 60, clumps)
    row, column = np.indices(sky.shape)
    row, column = row - sky.field[0].start, column - sky.field[1].start
    spread = 0.05 / sky.pixel
    blobs = [np.exp(-0.5 * ((column - i) ** 2 + (row - j) ** 2) / spread**2) for i, j in centres]
    own = [
        emission(wavelength, {line: 1.0}, velocity=shift)
        for line, shift in zip(lines, shifts, strict=True)
    ]
    x, y, nucleus = np.zeros(0), np.zeros(0), np.zeros((0, len(wavelength)))
    if agn:
        middle = [[(n - 1) / 2 + 0.3] for n in sky.size]
        y, x = np.array(middle)
        host = maps[:, sky.field[0].start + int(y[0]), sky.field[1].start + int(x[0])] @ spectra
        broad = emission(wavelength, {at: 2 * peak for at, peak in hydrogen.items()}, width=1200.0)
        area = (0.1 / sky.pixel) ** 2
        nucleus = agn * area * host.mean() * (scaled**0.8 * (1 + broad))[None]
    return Content(
        maps,
        spectra,
        x,
        y,
        nucleus,
        faint=(np.array(blobs), np.array(own), np.geomspace(faintest, brightest, clumps)),
        regions={
            "one component": ((cone < 0.02) & (radius < 1.2))[sky.field],
            "two components": (cone > 0.4)[sky.field],
        },
        extras={
            "velocity": velocity[sky.field],
            "clump_x": centres[:, 0],
            "clump_y": centres[:, 1],
            "clump_line": [f"clump {line:.3f}" for line in lines],
        },
    )


# Limb of a planet and its rings are drawn on pixels smaller by this factor.
_FINER = 5


def _planet_lines(low, high):
    return [one for one in _known_lines(low, high) if one.name.startswith("H2")]


def planet(sky, rng):
    """
    Draw a planet's disc with a sharp limb, belts and aurora, a ring, and faint sky around them.

    Parameters
    ----------
    sky : Sky
        Where to draw it.
    rng : numpy.random.Generator
        Not used: the scene is what it is.

    Returns
    -------
    Content
    """
    del rng
    wavelength = sky.wavelength
    fine = Sky(
        tuple(_FINER * n for n in sky.shape),
        tuple(slice(_FINER * part.start, _FINER * part.stop) for part in sky.field),
        sky.pixel / _FINER,
        wavelength,
    )
    x, y = fine.offsets()
    x, y = x - 0.023, y + 0.017
    distance = np.hypot(x, y) / 0.85
    on = distance < 1
    height = np.sqrt(np.clip(1 - distance**2, 0, None))
    limb = on * (1 - 0.55 * (1 - height))
    turn = np.deg2rad(20)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    latitude = np.rad2deg(np.arcsin(np.clip(v / 0.85, -1, 1)))
    belts = 0.5 + 0.4 * np.sin(2 * np.pi * latitude / 34) / (
        1 + np.exp((np.abs(latitude) - 50) / 4)
    )
    aurora = on * np.exp(-0.5 * ((latitude - 68) / 4) ** 2)
    aurora += 0.6 * on * np.exp(-0.5 * ((latitude + 72) / 4) ** 2)
    annulus = np.hypot(u, v / 0.35)
    ring = ((annulus > 1.05) & (annulus < 1.3)) * (1 - 0.6 * (np.abs(annulus - 1.2) < 0.02))
    ring = ring * ~(on & (v > 0))  # behind the disc
    hidden = 1 - 0.7 * (ring > 0)
    maps = np.array(
        [limb * belts * hidden, limb * (1 - belts) * hidden, aurora, ring, np.ones_like(ring)]
    )
    shape = (len(maps), sky.shape[0], _FINER, sky.shape[1], _FINER)
    maps = maps.reshape(shape).mean((2, 4))
    low, high = wavelength[[0, -1]]
    ramp = (wavelength - low) / (high - low)
    dark = 50 * (1 - 0.3 * ramp)
    bright = 90 * (1 - 0.5 * ramp)
    for centre, depth, width in ((0.12, 0.6, 0.05), (0.45, 0.5, 0.06), (0.93, 0.7, 0.08)):
        band = np.exp(-0.5 * ((ramp - centre) / width) ** 2)
        dark, bright = dark * (1 - depth * band), bright * (1 - 0.6 * depth * band)
    for centre in np.linspace(low, high, 43)[1:-1]:  # narrow lines of the atmosphere
        dark = dark * (1 - emission(wavelength, {centre: 0.2}))
        bright = bright * (1 - emission(wavelength, {centre: 0.08}))
    molecular = {at: 60 * peak for at, peak in MOLECULAR.items() if low < at < high}
    ice = 25 * (1 - 0.4 * np.exp(-0.5 * ((ramp - 0.6) / 0.1) ** 2)) * (1 - 0.2 * ramp)
    spectra = np.array([dark, bright, emission(wavelength, molecular), ice, 0.4 + 0.2 * ramp])
    return Content(maps, spectra, regions={"limb": _near(distance, 0.85, sky)})


def _near(distance, radius, sky):
    """Pixels within 0.1 arcsec of the limb, field only."""
    shape = (sky.shape[0], _FINER, sky.shape[1], _FINER)
    mean = distance.reshape(shape).mean((1, 3))
    return np.abs(mean - 1)[sky.field] * radius < 0.1


# The Orion Bar's spectra end at 2.35 micrometre: for longer waves they are stretched.
_STRETCH = 1.747


def _orion_lines(low, high):
    if low < 2:
        return _known_lines(low, high)
    known = _known_lines(low / _STRETCH, high / _STRETCH)
    return [LineAt(f"{one.name} stretched", _STRETCH * one.wavelength) for one in known]


def orion(sky, rng, *, corner=(0, 300), count=8, faintest=20.0, brightest=2000.0):
    """
    Draw a part of the Orion Bar scene of Guilloteau et al. (2020), and stars in front of it.

    Parameters
    ----------
    sky : Sky
        Where to draw it: every pixel of the scene is one pixel here.
    rng : numpy.random.Generator
        Decides on the stars.
    corner : tuple of int
        Row and column of the scene (90, 620) at which the field begins.
    count : int
        Stars.
    faintest, brightest : float
        Range of their fluxes, in units of the error per channel of photometry on the cube.

    Returns
    -------
    Content
    """
    file = data_folder() / "orion_bar_scene" / "scene_a.npz"
    with np.load(file, allow_pickle=False) as scene:
        maps, spectra = scene["maps"].astype(float), scene["spectra"].astype(float)
        wavelength = scene["wavelength"].astype(float)
    # the file's lines are narrower than the spectrograph shows them
    step = np.median(np.diff(np.log(wavelength)))
    spectra = gaussian_filter1d(spectra, 1 / RESOLVING_POWER / 2.3548 / step, axis=1)
    stretch = 1.0 if sky.wavelength[0] < 2 else _STRETCH
    spectra = np.array([np.interp(sky.wavelength / stretch, wavelength, one) for one in spectra])
    rows, columns = (
        np.abs((np.arange(n) - part.start + start + m) % (2 * m) - m + 0.5).astype(int)
        for n, part, start, m in zip(sky.shape, sky.field, corner, maps.shape[1:], strict=True)
    )
    places = _places(sky, rng, count, 0)
    significance = np.geomspace(faintest, brightest, count)
    own = star_spectra(sky.wavelength, count, rng)
    maps = maps[:, rows][:, :, columns]
    return Content(maps, spectra, places[:, 0], places[:, 1], own, significance)


#: Function that draws each scene, its lines, its noise, and the quantile that this belongs to.
SCENES = {
    "demo": (demo, _known_lines, "medium", 0.5),
    "stars": (cluster, _known_lines, "medium", 0.5),
    "galaxy": (galaxy, _galaxy_lines, (30.0, 150.0), 0.9),
    "disc": (planet, _planet_lines, "medium", 0.85),
    "orion": (orion, _orion_lines, "medium", 0.5),
}
