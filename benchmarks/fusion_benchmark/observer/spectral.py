"""Wavelengths, lines, and spectra of stars and gas for the scenes of the benchmark of numbers."""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "HYDROGEN",
    "LIGHT",
    "MOLECULAR",
    "RESOLVING_POWER",
    "LineAt",
    "emission",
    "line_channels",
    "spectral_grid",
    "star_spectra",
]

#: Of the high-resolution gratings of NIRSpec, as full width at half maximum.
RESOLVING_POWER = 2700.0
#: Speed of light, km/s.
LIGHT = 299792.458
#: Vacuum wavelengths, micrometre, and relative strengths of hydrogen recombination lines.
HYDROGEN = {
    1.6811: 0.04,
    1.7367: 0.06,
    1.8179: 0.08,
    1.8756: 1.0,
    1.9451: 0.16,
    2.1661: 0.25,
    3.0392: 0.06,
    3.2970: 0.08,
    3.7406: 0.12,
}
#: The same of molecular hydrogen.
MOLECULAR = {
    1.7480: 0.3,
    1.8358: 0.2,
    1.9576: 0.75,
    2.0338: 0.35,
    2.1218: 1.0,
    2.2235: 0.4,
    3.2350: 0.5,
    3.8464: 0.45,
}
_SAMPLES = 2.2  # channels per resolution element, as cubes of NIRSpec have
_FWHM = LIGHT / RESOLVING_POWER
_KEPT = 0.75  # largest part of the channels that lines may take
# Second radiation constant, micrometre kelvin.
_RADIATION = 14387.77


@dataclass(frozen=True)
class LineAt:
    """
    A line to measure.

    Parameters
    ----------
    name : str
        Its name.
    wavelength : float
        Micrometre.
    half : float
        Velocity up to which its channels reach on either side, km/s.
    """

    name: str
    wavelength: float
    half: float = 170.0


def spectral_grid(low, high, lines, channels):
    """
    Channels of a spectrograph, all of them at lines, and every n-th between.

    Parameters
    ----------
    low, high : float
        Range, micrometre.
    lines : sequence of LineAt
        Lines whose channels and whose continuum on both sides are kept, as long as they take at
        most three quarters of the channels.
    channels : int
        Number of channels.

    Returns
    -------
    ndarray
        Micrometre, ascending, at most ``channels`` values.
    """
    step = _FWHM / _SAMPLES
    native = low * np.exp(np.arange(np.log(high / low) * LIGHT / step) * step / LIGHT)
    if channels >= len(native):
        return native
    reach = 1.0
    while True:
        keep = np.zeros(len(native), bool)
        for line in lines:
            keep |= np.abs(np.log(native / line.wavelength)) * LIGHT < line.half + reach * 300.0
        if keep.sum() <= _KEPT * channels or reach < 0.2:
            break
        reach *= 0.8
    rest = np.flatnonzero(~keep)
    keep[rest[np.linspace(0, len(rest) - 1, max(channels - keep.sum(), 2)).round().astype(int)]] = 1
    return native[keep]


def line_channels(wavelength, lines):
    """
    Channels of lines, and of the continuum beside them.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    lines : sequence of LineAt
        Lines; those beyond the ends are left out.

    Returns
    -------
    dict of str to tuple of ndarray
        Indices of channels of the line, and of the continuum, which lie beside other lines.
    """
    velocity = {one.name: np.log(wavelength / one.wavelength) * LIGHT for one in lines}
    taken = np.zeros(len(wavelength), bool)
    for one in lines:
        taken |= np.abs(velocity[one.name]) < one.half + 60.0
    found = {}
    for one in lines:
        away = np.abs(velocity[one.name])
        inside = away < one.half
        beside = ~taken & (away < one.half + 900.0)
        sides = [(beside & (side * velocity[one.name] > 0)).sum() for side in (-1, 1)]
        if inside.sum() >= 3 and min(sides) >= 2:
            found[one.name] = (np.flatnonzero(inside), np.flatnonzero(beside))
    return found


def emission(wavelength, lines, *, velocity=0.0, width=0.0):
    """
    Emission lines as the spectrograph shows them.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    lines : dict of float to float
        Peak by wavelength, micrometre; the peak is that of a line of no width of its own.
    velocity : float
        Recession, km/s.
    width : float
        Standard deviation of the line itself, km/s.

    Returns
    -------
    ndarray
        Shape (L,).
    """
    narrow = _FWHM / 2.3548
    sigma = np.hypot(narrow, width)
    out = np.zeros(len(wavelength))
    for centre, peak in lines.items():
        speed = np.log(wavelength / centre) * LIGHT - velocity
        out += peak * narrow / sigma * np.exp(-0.5 * (speed / sigma) ** 2)
    return out


def star_spectra(wavelength, count, rng, *, temperatures=None, extinction=None):
    """
    Spectra of stars of many temperatures, extinctions and lines.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    count : int
        Number of stars.
    rng : numpy.random.Generator
        Decides on what is not given, and on their lines.
    temperatures : sequence of float, optional
        Kelvin, one per star; random from 2500 to 30000 by default.
    extinction : float, optional
        Magnitudes at 1 micrometre; random up to 8 by default.

    Returns
    -------
    ndarray
        Shape (count, L), mean 1.
    """
    if temperatures is None:
        temperatures = 10 ** rng.uniform(np.log10(2500), np.log10(30000), count)
    low, high = wavelength[[0, -1]]
    spectra = []
    for temperature in temperatures:
        exponent = _RADIATION / (wavelength * temperature)
        spectrum = wavelength**-3 / np.expm1(exponent)  # per frequency
        magnitudes = rng.uniform(0, 8) if extinction is None else extinction
        spectrum *= 10 ** (-0.4 * magnitudes * wavelength**-1.75)
        lines = 1 - emission(wavelength, dict.fromkeys(rng.uniform(low, high, 12), 0.25))
        if temperature > 8000:
            lines *= 1 - rng.uniform(0.2, 0.8) * emission(wavelength, dict.fromkeys(HYDROGEN, 0.5))
        else:
            for head, depth in ((1.620, 0.1), (1.780, 0.12), (2.2935, 0.25), (3.1, 0.2)):
                beyond = np.maximum(np.log(wavelength / head), 0)
                band = (1 - np.exp(-beyond / 0.001)) * np.exp(-beyond / 0.03)
                lines *= 1 - depth * (8000 - temperature) / 5500 * band
        if rng.random() < 0.3:  # a young star, with gas that falls onto it
            lines += emission(
                wavelength, {line: 0.8 * size for line, size in HYDROGEN.items()}, width=70.0
            )
        spectrum *= np.maximum(lines, 0.05)
        spectra.append(spectrum / spectrum.mean())
    return np.array(spectra).reshape(count, len(wavelength))
