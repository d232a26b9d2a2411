"""Sums over a fused cube and their truth: light in bands, line fluxes, spectra of stars."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion import error_of
from verdict_benchmark.scenes import LINES

__all__ = ["Sum", "sums_of"]

_BRIGHTEST = 2 / 3  # quantile of the brightness of a map above which its pixels count
_APERTURE, _RING = 0.1, (0.16, 0.26)  # arcsec: around a star, and where its surroundings are taken
_LINE = 0.012  # micrometre on both sides of a line, three times its sigma
_BESIDE = 0.030  # micrometre from a line within which its continuum is taken


@dataclass(frozen=True)
class Sum:
    """
    One sum over pixels and channels, per pixel and channel of it.

    Attributes
    ----------
    name : str
        What it is.
    error : float
        What is found less the truth, MJy/sr.
    stated : float
        Its error from `jwst_fusion.fusion.error_of`, MJy/sr.
    size : float
        Brightness that the error is relative to, MJy/sr: the truth of the sum; of a line at a star
        the continuum of the star.
    """

    name: str
    error: float
    stated: float
    size: float


def sums_of(model, product, truth, stars):
    """
    Compare sums with their truth.

    Parameters
    ----------
    model : data model or pathlib.Path
        The product, with its posterior.
    product : jwst_fusion.report.fused.product.FusedProduct
        The same, read for the report.
    truth : array (L, y, x)
        MJy/sr.
    stars : list of tuple of float
        Row and column of each star.

    Returns
    -------
    list of Sum
        The brightest third in the band of each filter and in lines above their continuum; each
        star above its surroundings, likewise. The order is the same for all products of one
        observation.
    """
    found = np.asarray(product.data, float)
    channels = np.isfinite(found).any((1, 2)) & np.isfinite(truth).all((1, 2))
    bands = {
        label: _normal(np.where(channels, response, 0.0))
        for label, response in zip(product.labels, product.arrays["responses"], strict=True)
    }
    lines = {
        f"line {wave} um": _line(product.wavelength, wave, channels)
        for wave in LINES
        if _covered(product.wavelength[channels], wave)
    }
    seen = np.isfinite(found).any(0)
    clean = [np.where(seen, np.nan_to_num(one), 0.0) for one in (found, truth)]
    out = []
    for name, weights in (bands | lines).items():
        map_ = np.tensordot(weights, clean[1], 1)
        mask = seen & (map_ > np.quantile(map_[seen], _BRIGHTEST))
        out += _measured(model, clean, mask / mask.sum(), {name: weights}, "brightest third")
    for number, (y, x) in enumerate(stars, 1):
        mask = _star(seen, y, x, product.scale)
        if mask is not None:
            out += _measured(model, clean, mask, bands | lines, f"star {number}")
    return out


def _measured(model, cubes, mask, weights, where):
    errors = error_of(model, mask, np.array(list(weights.values())))
    out = []
    for (name, weight), stated in zip(weights.items(), errors, strict=True):
        found, truth = (float(np.tensordot(weight, one, 1).ravel() @ mask.ravel()) for one in cubes)
        size = abs(truth)
        if where.startswith("star") and name.startswith("line"):
            # Light of gas and an absorption line may cancel.
            beside = np.where(weight < 0, -weight, 0.0)
            size = max(size, float(np.tensordot(beside, cubes[1], 1).ravel() @ mask.ravel()))
        out.append(Sum(f"{name}, {where}", found - truth, float(stated), size))
    return out


def _normal(weights):
    return weights / weights.sum()


def _covered(wavelength, line):
    return wavelength[0] + _BESIDE < line < wavelength[-1] - _BESIDE


def _line(wavelength, line, channels):
    """Mean over the channels of a line less the mean beside it."""
    distance = np.abs(wavelength - line)
    others = np.min(np.abs(wavelength[:, None] - np.array(LINES)), axis=1)
    within = channels & (distance <= _LINE)
    beside = channels & (others > _LINE) & (distance < _BESIDE)
    return within / within.sum() - beside / beside.sum()


def _star(seen, y, x, scale):
    """Mean over an aperture less that over a ring."""
    rows, columns = np.indices(seen.shape)
    distance = np.hypot(rows - y, columns - x) * scale
    aperture = seen & (distance < _APERTURE)
    ring = seen & (distance > _RING[0]) & (distance < _RING[1])
    if not (aperture.any() and ring.any()):
        return None
    return aperture / aperture.sum() - ring / ring.sum()
