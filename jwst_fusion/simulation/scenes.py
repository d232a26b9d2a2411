"""Ready-made scenes: one star, a young star in a nebula, the Orion Bar, any user's cube."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from jwst_fusion.simulation.scene import PointSource, Scene

__all__ = ["nebula", "orion_bar", "single_star", "with_stars"]

RESOLVING_POWER = 2700.0  # of the high-resolution gratings of NIRSpec
# vacuum wavelengths [micrometre] and relative strengths
_HYDROGEN = {
    1.0052: 0.08,
    1.0941: 0.14,
    1.2822: 0.25,
    1.6811: 0.02,
    1.7367: 0.03,
    1.8179: 0.05,
    1.8756: 0.60,
    1.9451: 0.09,
    2.1661: 0.15,
    2.6259: 0.25,
    3.0392: 0.03,
    3.2970: 0.04,
    3.7406: 0.06,
    4.0523: 0.45,
    4.6538: 0.08,
    7.4599: 0.12,
    12.3719: 0.05,
}
# Molecular hydrogen, likewise.
_MOLECULAR = {
    1.6877: 0.05,
    1.7480: 0.15,
    1.8358: 0.12,
    1.9576: 0.40,
    2.0338: 0.18,
    2.1218: 0.55,
    2.2235: 0.22,
    2.2477: 0.12,
    2.4066: 0.50,
    2.6269: 0.35,
    2.8039: 0.20,
    3.2350: 0.15,
    3.8464: 0.12,
    4.1811: 0.14,
    4.6947: 0.30,
    6.9095: 0.30,
    8.0251: 0.20,
    9.6649: 0.40,
    12.2786: 0.30,
    17.0348: 0.25,
}
# [Fe II], vacuum wavelengths [micrometre] and strengths as above.
_IRON = {1.2570: 0.30, 1.3209: 0.08, 1.5339: 0.05, 1.6440: 0.25, 1.6773: 0.10, 1.8005: 0.06}
# Hydrogen absorption lines of hot stars: wavelengths [micrometre] and depths as parts of the
# continuum.
_STELLAR = {1.0052: 0.30, 1.0941: 0.3, 1.2822: 0.3, 1.7367: 0.15, 1.8756: 0.4, 1.9451: 0.2}
_STELLAR |= {2.1661: 0.25, 2.6259: 0.3, 4.0523: 0.3}

# band heads [micrometre] and depths in cool stars
_CARBON_MONOXIDE = {1.78: 0.15, 2.2935: 0.30, 2.3227: 0.25, 2.3525: 0.20, 4.30: 0.30}


def wavelength_grid(blue, red):
    """
    Logarithmic grid with four samples per resolution element.

    Parameters
    ----------
    blue, red : float
        Range, micrometre.

    Returns
    -------
    ndarray
        Shape (n,).
    """
    if not 0 < blue < red:
        msg = f"blue={blue} and red={red}: a range needs 0 < blue < red, in micrometre"
        raise ValueError(msg)
    count = int(np.ceil(np.log(red / blue) * RESOLVING_POWER * 4)) + 1
    return np.geomspace(blue, red, count)


def _lines(wavelength, lines):
    out = np.zeros_like(wavelength)
    for centre, strength in lines.items():
        sigma = centre / RESOLVING_POWER / 2.355
        out += strength * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)
    return out


def _hot_star(wavelength):
    return (2.0 / wavelength) ** 2.2 * (1 - _lines(wavelength, _STELLAR))


def _cool_star(wavelength):
    absorbed = np.zeros_like(wavelength)
    for edge, depth in _CARBON_MONOXIDE.items():
        beyond = np.maximum(wavelength - edge, 0)
        absorbed += depth * (1 - np.exp(-beyond / 0.002)) * np.exp(-beyond / 0.06)
    return (2.0 / wavelength) ** 1.2 * np.clip(1 - absorbed, 0.1, None)


def single_star(
    *, ra=83.8187, dec=-5.4083, blue=1.6, red=2.5, peak=4.0, field=7.0, pixel_scale=0.02
):
    """
    One hot star in the middle of an empty field.

    Parameters
    ----------
    ra, dec : float
        Centre, degree; the star stands 0.03 arcsec beside it.
    blue, red : float
        Wavelength range, micrometre.
    peak : float
        Flux, MJy/sr arcsec^2 at 2 micrometre.
    field : float
        Side of the field, arcsec.
    pixel_scale : float
        Scale of the map, arcsec.

    Returns
    -------
    Scene
        Scene of one component: a point source.
    """
    wavelength = wavelength_grid(blue, red)
    size = _odd(field / pixel_scale)
    return Scene(
        wavelength,
        _hot_star(wavelength)[None],
        np.zeros((1, size, size)),
        pixel_scale,
        ra,
        dec,
        (PointSource(0, 0.03, -0.02, peak),),
    )


def nebula(*, ra=83.8187, dec=-5.4083, blue=1.6, red=2.5, field=8.0, pixel_scale=0.02):
    """
    A young star with a disk in a nebula: stars, dusty disk, lines, gradients.

    Six components with spectra of their own: hot stars, cool stars, a dusty disk with a dark
    lane, ionised gas with a gradient, a molecular shell, a continuum ridge.

    Parameters
    ----------
    ra, dec : float
        Centre, degree.
    blue, red : float
        Wavelength range, micrometre.
    field : float
        Side of the field, arcsec.
    pixel_scale : float
        Scale of the maps, arcsec.

    Returns
    -------
    Scene
        Scene of six components, two of which are point sources alone.
    """
    wavelength = wavelength_grid(blue, red)
    x = (wavelength - blue) / (red - blue)
    spectra = np.array(
        [
            _hot_star(wavelength),
            _cool_star(wavelength),
            20 * (wavelength / 2) ** 2.0 * (1 - 0.4 * np.exp(-0.5 * ((x - 0.55) / 0.1) ** 2)),
            6 * (wavelength / 2) ** -0.3 + 250 * _lines(wavelength, _HYDROGEN),
            2 + 150 * _lines(wavelength, _MOLECULAR) + 60 * _lines(wavelength, _IRON),
            12 * (0.6 + 0.8 * x + 0.15 * np.sin(9 * x)),
        ]
    )
    size = _odd(field / pixel_scale)
    north, west = (np.mgrid[:size, :size] - size // 2) * pixel_scale
    east = -west
    tilt = np.radians(30)
    u = east * np.cos(tilt) + north * np.sin(tilt)
    v = -east * np.sin(tilt) + north * np.cos(tilt)
    radius = np.hypot(u, v / 0.45)
    edge = 0.45
    disk = 2.2 * np.exp(-0.5 * (np.maximum(radius - edge, 0) / 0.05) ** 2)
    disk *= 0.35 + 0.65 * np.clip(radius / edge, 0, 1) ** 2
    disk *= 1 - 0.7 * np.exp(-0.5 * (v / 0.06) ** 2) * (np.abs(u) < 0.5)
    gas = 1.2 + 0.25 * east + 0.2 * north + 0.15 * np.sin(2 * np.pi * east / 0.9 + 1)
    gas = np.clip(gas * (1 - 0.5 * np.exp(-0.5 * (radius / (0.8 * edge)) ** 4)), 0, None)
    shell = 2.5 * np.exp(-0.5 * ((radius - 1.5 * edge) / 0.07) ** 2) + 0.2
    shell *= 1 + 0.5 * np.sin(2 * np.arctan2(v, u))
    ridge = 0.4 + 1 / (1 + np.exp(-(east + 0.5 * north - 0.5) / 0.05))
    nothing = np.zeros_like(disk)
    sources = (
        PointSource(0, -0.62, 0.55, 1.6),
        PointSource(0, 0.85, -0.35, 0.5),
        PointSource(1, 0.55, 0.80, 0.9),
        PointSource(1, -0.33, -0.81, 0.35),
        PointSource(1, -0.95, -0.15, 0.15),
        PointSource(0, 0.20, -0.98, 0.2),
    )
    maps = np.array([nothing, nothing, disk, gas, shell, ridge])
    return Scene(wavelength, spectra, maps, pixel_scale, ra, dec, sources)


def orion_bar(path, *, column=300, field=8.0, red=2.45, ra=83.8340, dec=-5.4190):
    """
    Part of the Orion Bar scene of Guilloteau et al. (2020), continued by mirrors where it ends.

    Parameters
    ----------
    path : str or pathlib.Path
        The scene's npz file: maps (4, 90, 620), spectra (4, n), wavelength (n,), pixel_scale.
    column : int
        Column of the scene in the middle of the field.
    field : float
        Side of the field, arcsec.
    red : float
        Wavelength to which spectra are continued at the level at which the file ends, micrometre.
    ra, dec : float
        Centre on the sky, degree.

    Returns
    -------
    Scene
        With pixels of half the file's scale.
    """
    with np.load(path, allow_pickle=False) as file:
        maps, spectra = file["maps"].astype(float), file["spectra"].astype(float)
        wavelength, scale = file["wavelength"].astype(float), float(file["pixel_scale"])
    # the file's lines are narrower than the spectrograph shows them
    step = np.median(np.diff(wavelength))
    sigma = np.median(wavelength) / RESOLVING_POWER / 2.355 / step
    spectra = ndimage.gaussian_filter1d(spectra, sigma, axis=1, mode="nearest")
    if red > wavelength[-1]:
        wavelength = np.append(wavelength, [wavelength[-1] + 1e-4, red])
        level = np.median(spectra[:, -50:], axis=1)
        spectra = np.column_stack([spectra, level, level])
    half = int(np.ceil(field / scale / 2))
    height, width = maps.shape[1:]
    if not 0 <= column < width:
        msg = f"column={column} lies outside the {width} columns of the scene {path}"
        raise ValueError(msg)
    pad = [(0, 0), (half, half), (half, half)]
    wide = np.pad(maps, pad, mode="symmetric")
    middle = height // 2
    crop = wide[:, middle : middle + 2 * half + 1, column : column + 2 * half + 1]
    # twice as fine: at the blue end the PSF is sharper than the file's pixels can carry
    size = 2 * crop.shape[1] - 1
    fine = np.array([ndimage.zoom(m, size / crop.shape[1], order=3, mode="nearest") for m in crop])
    return Scene(wavelength, spectra, np.clip(fine, 0, None), scale / 2, ra, dec)


def with_stars(scene, stars, *, blackbody=False):
    """
    Add hot stars to a scene as one more component.

    Parameters
    ----------
    scene : Scene
        Scene to add to; it stays as it is.
    stars : sequence of tuple
        (east, north, flux) in arcsec and MJy/sr arcsec^2 at 2 micrometre.
    blackbody : bool
        Leave the absorption lines out.

    Returns
    -------
    Scene
        Scene with one more component.
    """
    wavelength = scene.wavelength
    spectrum = (2.0 / wavelength) ** 2.2 if blackbody else _hot_star(wavelength)
    index = len(scene.maps)
    added = tuple(PointSource(index, *star) for star in stars)
    return replace(
        scene,
        spectra=np.concatenate([scene.spectra, spectrum[None]]),
        maps=np.concatenate([scene.maps, np.zeros_like(scene.maps[:1])]),
        sources=scene.sources + added,
    )


def _odd(size):
    return round(size) // 2 * 2 + 1
