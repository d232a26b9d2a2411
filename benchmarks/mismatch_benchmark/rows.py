"""Sections of the benchmark: what differs, what it costs, and the targets."""

import numpy as np
from fusion_benchmark.lines import Line

from mismatch_benchmark.fused import fuse_products
from mismatch_benchmark.observe import FILTERS, Fault, Size, observe
from mismatch_benchmark.optics import RIGHT, TWIN, Truth

__all__ = ["SECTIONS"]

_PSFS = {
    'PSF of the cube wider by 0.05"': Truth(wider=0.05),
    "wavefront off by 20 % of its rms": Truth(wavefront=0.2),
    "wavefront off by half of its rms": Truth(wavefront=0.5),
    "jitter 7 mas instead of 0.8": Truth(jitter=7.0),
    "aperture model, data by STPSF": Truth(stpsf=True),
}
_LOSS, _LOSS_STPSF = 1.0, 2.0  # dB
_CONTINUUM = 2.5  # %, rms
_PULLS = 0.8, 1.25
_CORRELATED_PULLS = 0.85, 1.15
_FLUX = 0.3  # %
_MOVED, _MOVED_STARS = 52.0, 1.0  # dB, %
_ANGLE, _OFFSET = 0.02, 0.003  # degree, arcsec
_ELSEWHERE, _PART = 48.0, 50.0  # dB
_SLOWER = 2.0
_AWAY = 0.3  # arcsec from a star, where its wings no longer matter
_OFF = 2.0  # stated errors, up to which a source counts as right
# Calibration of the images, wavelength dependent.
_GAINS = dict(zip(FILTERS, (1.10, 1.05, 1.0, 0.95, 0.90), strict=True))
_EAST, _NORTH, _ROLL = 0.2, -0.15, 0.3  # arcsec, degree
_BOTH = {"right PSF": RIGHT, "twin": TWIN}


def _between(what, value, limits, beside=""):
    reached = bool(limits[0] <= value <= limits[1])
    return Line(what, f"{value:.2f}", f"{limits[0]:g} to {limits[1]:g}", reached, beside)


def psf_section():
    """
    Fuse with PSFs that are not those of the data, and with those.

    Returns
    -------
    list of Line
    """
    lines = []
    for name, truth in _PSFS.items():
        products = observe(psf=truth)
        given, right = fuse_products(products), fuse_products(products, right=True)
        limit = _LOSS_STPSF if truth.stpsf else _LOSS
        both = [one.quality() for one in (given, right)]
        beside = f"{both[0]:.1f} dB; right PSF {both[1]:.1f}; interpolated {_interpolated(given)}"
        lines.append(Line.at_most(f"{name}: loss", both[1] - both[0], limit, "dB", beside=beside))
        beside = f"right PSF {100 * right.continuum:.2f} %; {_biases(given)}"
        text = f"{name}: continua of stars, rms"
        lines.append(Line.at_most(text, 100 * given.continuum, _CONTINUUM, "%", beside=beside))
        beside = f"right PSF {right.pull(right.at_stars):.2f}; all voxels {given.pull():.2f}"
        text = f'{name}: 68 % of abs(error)/ERR within 0.1" of stars'
        lines.append(_between(text, given.pull(given.at_stars), _PULLS, beside))
        if truth.jitter > 1:
            plain = fuse_products(products, psf_fit="none")
            lines.append(
                Line.at_most(
                    "time over that of a fusion without a fit (same data)",
                    given.seconds / plain.seconds,
                    _SLOWER,
                    beside=f"{given.seconds:.0f} s of the processor; without a fit "
                    f"{plain.quality():.1f} dB, {100 * plain.continuum:.1f} %",
                )
            )
    return lines


def _interpolated(result):
    return f"{result.quality(cube=result.interpolated):.1f}"


def _biases(result):
    return "bias by star " + ", ".join(f"{100 * star.bias:.1f}" for star in result.stars) + " %"


def level_section():
    """
    Fuse images with light or a calibration that the cube does not have.

    Returns
    -------
    list of Line
    """
    lines = []
    for name, psf in _BOTH.items():
        products = observe(psf=psf, fault=Fault(sky=0.3))
        result = fuse_products(products)
        what = f"background +30 % in images, {name}"
        beside = f"{result.quality():.1f} dB"
        lines.append(
            Line.at_most(f"{what}: flux bias", abs(100 * result.bias), _FLUX, "%", beside=beside)
        )
        found = result.fused.backgrounds
        off = np.abs(found.taken - products.skies) / found.errors
        beside = f"errors {100 * np.max(found.errors / products.skies):.1f} % at most"
        lines.append(
            Line.at_most(f"{what}: error over its error, worst", off.max(), _OFF, beside=beside)
        )
        result = fuse_products(observe(psf=psf, fault=Fault(gains=_GAINS)))
        what = f"calibration +-10 %, {name}"
        beside = f"{result.quality():.1f} dB"
        lines.append(
            Line.at_most(f"{what}: flux bias", abs(100 * result.bias), _FLUX, "%", beside=beside)
        )
        factors = np.array([one.factor for one in result.fused.calibrations])
        errors = np.array([one.error for one in result.fused.calibrations])
        off = np.abs(factors - [_GAINS[one.filter] for one in result.fused.images])
        beside = f"off by {100 * off.max():.2f} % at most"
        lines.append(
            Line.at_most(
                f"{what}: error over its error, worst", (off / errors).max(), _OFF, beside=beside
            )
        )
    return lines


def pointing_section():
    """
    Fuse images whose headers are off and turned.

    Returns
    -------
    list of Line
    """
    lines = []
    fault = Fault(offset=(_EAST, _NORTH), roll=_ROLL)
    for name, psf in _BOTH.items():
        result = fuse_products(observe(psf=psf, fault=fault))
        what = f'headers off by 0.25" and 0.3 deg, {name}'
        beside = f"interpolated {_interpolated(result)} dB"
        lines.append(Line.at_least(what, result.quality(), _MOVED, "dB", beside=beside))
        worst = 100 * max(abs(star.bias) for star in result.stars[:3])
        text = f"{what}: three brightest stars"
        lines.append(Line.at_most(text, worst, _MOVED_STARS, "%", beside=_biases(result)))
        found = result.fused.pointing
        # x of the cube runs to the West; y to the North
        off = np.hypot(found.offset[0] + _EAST, found.offset[1] - _NORTH)
        beside = f'stated error {found.offset_error:.4f}"'
        lines.append(Line.at_most(f"{what}: offset", off, _OFFSET, "arcsec", beside=beside))
        beside = f"stated error {found.angle_error:.3f} deg"
        off = abs(abs(found.angle) - _ROLL)
        lines.append(Line.at_most(f"{what}: rotation", off, _ANGLE, "deg", beside=beside))
    return lines


def source_section():
    """
    Fuse images with a damaged core, and with a star that varied.

    Returns
    -------
    list of Line
    """
    lines = []
    faults = {
        "core NaN": Fault(core="nan"),
        "core zero": Fault(core="zero"),
        "core clipped at half": Fault(core="clipped"),
        "star 1.5 times as bright in images": Fault(brighter=1.5),
    }
    for what, fault in faults.items():
        for name, psf in _BOTH.items():
            result = fuse_products(observe(psf=psf, fault=fault))
            star = result.stars[0]
            elsewhere = result.quality(result.distance(star) > _AWAY)
            lines.append(
                Line.at_least(
                    f"{what}, {name}: elsewhere",
                    elsewhere,
                    _ELSEWHERE,
                    "dB",
                    beside=f"everywhere {result.quality():.1f}",
                )
            )
            kinds = {one.kind for one in result.warnings}
            told = bool(kinds & {"damaged_core", "varied_source"})
            lines.append(
                Line(
                    f"{what}, {name}: the star within its error, or told",
                    f"{100 * star.bias:.1f} %",
                    f"<= {_OFF:g} errors, or told",
                    bool(told or star.pull < _OFF),
                    f"68 % of abs(error)/ERR of its spectrum {star.pull:.2f}"
                    + ("; told" if told else ""),
                )
            )
    return lines


def noise_section():
    """
    Fuse a cube whose noise spaxels share, and images on a part of the cube.

    Returns
    -------
    list of Line
    """
    lines = []
    for name, psf in _BOTH.items():
        result = fuse_products(observe(psf=psf, fault=Fault(correlated=True)))
        what = f"noise of the cube shared by spaxels, {name}: 68 % of abs(error)/ERR"
        beside = f"near stars {result.pull(result.at_stars):.2f}; {result.quality():.1f} dB"
        lines.append(_between(what, result.pull(), _CORRELATED_PULLS, beside))
        result = fuse_products(observe(psf=psf, size=Size(spaxels=20, images=1.4)))
        inner = result.fused.grid.inner(fine=True)
        seen = (result.fused.inputs.image_weight[(slice(None), *inner)] > 0).all(0)
        what = f'images of 1.4" on a cube of 2", {name}'
        beside = f"68 % of abs(error)/ERR {result.pull(seen):.2f}"
        lines.append(
            Line.at_least(f"{what}: inside", result.quality(seen), _PART, "dB", beside=beside)
        )
        limit = result.quality(~seen, cube=result.interpolated)
        lines.append(
            Line.at_least(
                f"{what}: outside, against the interpolated cube",
                result.quality(~seen),
                round(limit, 1),
                "dB",
                beside=f"68 % of abs(error)/ERR {result.pull(~seen):.2f}",
            )
        )
    return lines


#: Title and function of each section.
SECTIONS = {
    "psf": ("PSFs that are not those of the data", psf_section),
    "levels": ("Background and calibration", level_section),
    "pointing": ("Headers that do not agree", pointing_section),
    "sources": ("Damaged cores and a star that varied", source_section),
    "noise": ("Shared noise, and images on a part of the cube", noise_section),
}
