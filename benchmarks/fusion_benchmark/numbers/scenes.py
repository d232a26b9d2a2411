"""The five scenes: a young star's nebula, a cluster, a rotating galaxy, a planet, the Orion Bar."""

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from fusion_benchmark.numbers.spectral import (
    HYDROGEN,
    MOLECULAR,
    LineAt,
    emission,
    star_spectra,
)
from jwst_fusion.simulation import scenes as simulated

__all__ = ["SCENES", "Content", "Sky", "cluster", "demo"]


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
        MJy/sr times area of a pixel, shape (J, L), or in units of the error of the photometry on
        the cube (see `scaled`).
    scaled : bool
        Whether the spectra of the sources have mean 1 and `significance` holds their fluxes.
    significance : ndarray
        Fluxes in units of the error per channel of PSF photometry on the cube, shape (J,).
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


#: Function that draws each scene, its lines, its noise, and the quantile that this belongs to.
SCENES = {
    "demo": (demo, _known_lines, "medium", 0.5),
    "stars": (cluster, _known_lines, "medium", 0.5),
}
