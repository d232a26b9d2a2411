"""A young star's surroundings as six spectra and six maps: what the synthetic test observes."""

import numpy as np

__all__ = ["BANDS", "COUNT", "band_curve", "curve_between", "nebula_maps", "nebula_spectra"]

#: Number of components.
COUNT = 6
#: Half-power wavelengths of the filters, micrometre.
BANDS = {
    "F182M": (1.722, 1.968),
    "F187N": (1.863, 1.885),
    "F200W": (1.755, 2.226),
    "F210M": (1.992, 2.201),
    "F212N": (2.109, 2.134),
}
_RESOLVING_POWER = 2700
_ABSORPTION = (1.711, 1.77, 1.83, 1.974, 2.066, 2.11, 2.206, 2.263, 2.29)
# Wavelength and peak of emission lines: ionised gas, molecular hydrogen, jet.
_IONISED = (
    (1.6811, 6),
    (1.7367, 9),
    (1.8179, 12),
    (1.8756, 160),
    (1.9451, 25),
    (2.0587, 22),
    (2.1126, 4),
    (2.1661, 40),
)
_MOLECULAR = (
    (1.6877, 6),
    (1.7147, 9),
    (1.7480, 20),
    (1.7880, 8),
    (1.8358, 15),
    (1.8920, 12),
    (1.9576, 45),
    (2.0338, 22),
    (2.0735, 8),
    (2.1218, 60),
    (2.1542, 6),
    (2.2235, 25),
    (2.2477, 16),
)
_JET = (
    (1.6642, 20),
    (1.6773, 40),
    (1.7116, 12),
    (1.7454, 10),
    (1.7976, 10),
    (1.8005, 10),
    (1.9393, 16),
    (2.0157, 6),
    (2.1334, 4),
)
_SEED = 1


def _line(wavelength, centre, peak, width=None):
    width = width or centre / _RESOLVING_POWER / 2.355
    return peak * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)


def nebula_spectra(wavelength):
    """
    Spectra of star, dusty disc, ionised gas, molecular wind, jet and ridge.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,), made for 1.66 to 2.30.

    Returns
    -------
    ndarray
        MJy/sr, shape (6, L).
    """
    ramp = (wavelength - 1.66) / 0.64
    star = 30 * (1.9 / wavelength) ** 2.2 * (1 - _line(wavelength, 2.32, 0.25, 0.03))
    star -= sum(_line(wavelength, centre, 2.5, 0.0012) for centre in _ABSORPTION)
    ices = 1 - _line(wavelength, 2.02, 0.5, 0.06) - _line(wavelength, 1.75, 0.25, 0.05)
    ridge = _line(wavelength, 1.95, 10, 0.25) + 5 * ramp
    for centre, peak, width in ((1.885, 3, 0.01), (2.06, 3, 0.02), (2.2, -2, 0.02)):
        ridge += _line(wavelength, centre, peak, width)
    return np.array(
        [
            star,
            18 * (wavelength / 1.9) ** 2.5 * ices,
            8 * (wavelength / 1.9) ** -0.3 + sum(_line(wavelength, *one) for one in _IONISED),
            2 + ramp + sum(_line(wavelength, *one) for one in _MOLECULAR),
            4 * (1.9 / wavelength) + sum(_line(wavelength, *one) for one in _JET),
            ridge,
        ]
    )


def nebula_maps(shape, pixel, field):
    """
    Maps that belong to the spectra.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns, what surrounds the field included.
    pixel : float
        Arcsec.
    field : float
        Side of the field in its middle, arcsec.

    Returns
    -------
    ndarray
        Shape (6, rows, columns), not negative.
    """
    rng = np.random.default_rng(_SEED)
    y, x = (np.indices(shape) - np.reshape(np.array(shape) - 1, (2, 1, 1)) / 2) * pixel
    side = max(shape) * pixel
    maps = np.zeros((COUNT, *shape))
    for _ in range(max(6, int(2 * side**2))):
        east, north = rng.uniform(-side / 2, side / 2, 2)
        brightness = 10 ** rng.uniform(-0.3, 0.9)
        maps[0] += brightness * np.exp(-0.5 * ((x - east) ** 2 + (y - north) ** 2) / 0.028**2)
    turn = np.deg2rad(30)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    distance, azimuth, radius = np.hypot(u, v / 0.45), np.arctan2(v, u), 0.33
    disc = 2.2 * np.exp(-(np.maximum(distance - radius, 0) ** 2) / (2 * 0.035**2))
    disc *= 0.35 + 0.65 * np.clip(distance / radius, 0, 1) ** 2
    lane = np.exp(-0.5 * (v / 0.045) ** 2) * (np.abs(u) < 0.38)
    maps[1] = disc * (1 + 0.3 * np.cos(3 * azimuth)) * (1 - 0.7 * lane)
    waves = 0.12 * np.sin(2 * np.pi * x / 0.5 + 1) * np.cos(2 * np.pi * y / 0.7)
    maps[2] = 1.1 + (0.9 * x + 0.5 * y) / field + waves
    maps[2] *= 1 - 0.55 * np.exp(-0.5 * (distance / (0.8 * radius)) ** 4)
    wind = np.exp(-0.5 * ((distance - 1.15 * radius) / 0.05) ** 2)
    maps[3] = 2.5 * wind * (1 + 0.6 * np.sin(2 * azimuth)) + 0.2
    jet = np.exp(-0.5 * (u / 0.035) ** 2) * (v > 0) * np.exp(-np.maximum(v, 0) / 0.5)
    maps[4] = 3 * jet + 1.5 * np.exp(-0.5 * (u**2 + (v - 0.42) ** 2) / 0.04**2)
    edge = x + 0.5 * y - 0.25
    stripes = 0.15 * np.sin(2 * np.pi * (x - y) / 0.22) * (edge > 0)
    maps[5] = 0.5 + 1 / (1 + np.exp(-edge / 0.03)) + stripes
    return np.maximum(maps, 0)


def band_curve(wavelength, name):
    """
    Throughput of a filter with smooth edges and a ripple.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    name : str
        One of `BANDS`.

    Returns
    -------
    ndarray
        Shape (L,).
    """
    return curve_between(wavelength, *BANDS[name])


def curve_between(wavelength, low, high):
    """
    Throughput between two wavelengths with smooth edges and a ripple.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    low, high : float
        Half-power wavelengths, micrometre.

    Returns
    -------
    ndarray
        Shape (L,).
    """
    width = max(0.0025, 0.03 * (high - low))
    curve = np.tanh((wavelength - low) / width) - np.tanh((wavelength - high) / width)
    curve *= 0.25 * (1 + 0.06 * np.sin(2 * np.pi * (wavelength - low) / (high - low) * 1.3))
    return np.where(curve < 5e-4, 0.0, curve)
