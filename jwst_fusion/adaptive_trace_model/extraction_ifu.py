"""Spectrum of a point source from all slices of an integral field unit.

Each slice has a spectrum of its own, see `extract_spectrum`. Slices are weighted by the light that
they hold, as pixels are by the profile: an optimal extraction over the field. The light beyond the
slices with a trace is that of the PSF.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.exposure import fit_slice
from jwst_fusion.adaptive_trace_model.extraction import extract_spectrum, mean_wavelength

log = logging.getLogger(__name__)

__all__ = ["SliceLight", "SlicePlace", "combine_slices", "extract_slices"]

#: Slices around the brightest one that tell where the source is, in widths of a slice; distances
#: from the first guess that are tried, in the same, and their number.
_NEAR, _SEARCH, _TRIALS = 3.2, 0.7, 29
#: Distance along the slices from the trace of the brightest slice from which on a trace is that of
#: another source, in native pixels.
_ASIDE = 3.0
#: Width over which the share of a slice is averaged along the dispersion, in columns.
_SMOOTH = 50.0
#: Smallest information on the flux of a column, relative to that of others, with which it is known:
#: with less, its brightest slices have no data.
_TOLD = 0.2
#: Smallest part of the light of the PSF on the slices with a trace.
_LEAST = 0.3


@dataclass(frozen=True)
class SlicePlace:
    """
    Where a slice lies on the sky.

    Parameters
    ----------
    across : float
        Distance of its middle from a common origin across the slices, arcsec.
    pitch : float
        Distance of its rows on the sky, arcsec.
    width : float
        Its width on the sky, arcsec.
    """

    across: float
    pitch: float
    width: float


@dataclass(frozen=True)
class SliceLight:
    """
    Light of the source in one slice; arrays have the shape ``(column,)``.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre.
    flux, background : ndarray
        See `ExtractedSpectrum`; the flux in the unit of the image times arcsec^2.
    variances, background_variances : dict of str to ndarray
        Variances of both, by the names of the exposure's.
    share : ndarray
        Part of all light of the source that the PSF has in the slice.
    n_pixel : ndarray of int
        Pixels that tell the flux.
    peak : tuple of int
        Row and column of the engine image where the trace is in its middle.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    background: np.ndarray
    variances: dict
    background_variances: dict
    share: np.ndarray
    n_pixel: np.ndarray
    peak: tuple


def extract_slices(native, geometry, mode, settings, *, places, psf, background):
    """
    Extract the light of the brightest source in each slice with a trace.

    Parameters
    ----------
    native : ExposureImages
        The exposure.
    geometry : NirspecIfuGeometry
        Its geometry.
    mode : TraceMode
        What depends on the instrument mode.
    settings : TraceSettings
        What is chosen by the user.
    places : dict of int to SlicePlace
        Where the slices lie, by their labels.
    psf : callable
        Makes the PSF along a slice from its place and the distance of the source from its middle
        across it, arcsec, see `SlitPsf`.
    background : bool
        Whether slices have backgrounds of their own.

    Returns
    -------
    list of SliceLight
        The brightest slice first; empty if there is no trace.
    """
    fitted = {}
    for layout in geometry.layouts:
        flux, error = layout.cut(native.flux), layout.cut(native.error)
        error[np.isnan(flux)] = np.nan
        coordinate, wavelength = geometry.coordinates(layout)
        fit, _ = fit_slice(flux, error, coordinate, mode, settings, background=background)
        if fit is not None and np.nanmedian(fit.scale) > 0:
            fitted[layout.label] = (layout, fit, flux, error, coordinate, wavelength)
    if not fitted:
        return []
    bright = {label: float(np.nanmedian(one[1].scale)) for label, one in fitted.items()}
    order = sorted(bright, key=bright.get, reverse=True)
    middle = np.nanmedian(fitted[order[0]][5])
    origin = _across(bright, places, psf, middle)
    slices, along = [], None
    for label in order:
        layout, fit, flux, error, coordinate, wavelength = fitted[label]
        own = psf(places[label], origin - places[label].across)
        found = extract_spectrum(
            fit,
            flux,
            error,
            coordinate,
            node_spacing=mode.node_spacing,
            psf=lambda distance, own=own, at=wavelength: own(distance, at),
            background=background,
        )
        if found is None:
            continue
        distance = (coordinate - found.centre[:, None]) / found.pitch
        known = np.flatnonzero(np.isfinite(found.flux))
        if known.size < 2:
            continue
        place = np.median(found.centre[known]) / found.pitch
        along = place if along is None else along
        if abs(place - along) > _ASIDE:
            log.debug("slice %d: its trace is that of another source", label)
            continue
        column = known[known.size // 2]
        row = layout.first_row[column] + found.profile[column].argmax()
        area = places[label].pitch * places[label].width
        variances = {name: layout.cut(image) for name, image in native.variances.items()}
        slices.append(
            SliceLight(
                wavelength=mean_wavelength(found.profile, wavelength),
                flux=found.flux * area,
                background=found.background,
                variances={name: found.variance(one) * area**2 for name, one in variances.items()},
                background_variances={
                    name: found.background_variance(one) for name, one in variances.items()
                },
                share=np.sum(own(distance, wavelength), axis=1),
                n_pixel=np.sum(found.gain != 0, axis=1),
                peak=(int(row), int(layout.first_column + column)),
            )
        )
    return slices


def _across(bright, places, psf, wavelength):
    """Position of the source across the slices at which the PSF gives their brightness."""
    first = max(bright, key=bright.get)
    width = places[first].width
    near = [
        label
        for label in bright
        if abs(places[label].across - places[first].across) < _NEAR * width
    ]
    light = np.array([bright[label] for label in near])
    across = np.array([places[label].across for label in near])
    trials = places[first].across + np.linspace(-_SEARCH, _SEARCH, _TRIALS) * width
    rows = np.arange(-20.0, 21.0)
    misfit = []
    for trial in trials:
        share = np.array(
            [
                np.sum(psf(places[label], trial - one)(rows, np.full(41, wavelength)))
                for label, one in zip(near, across, strict=True)
            ]
        )
        scale = np.sum(light * share) / np.sum(share**2)
        misfit.append(np.sum((light - scale * share) ** 2))
    best = int(np.argmin(misfit))
    if 0 < best < _TRIALS - 1:
        left, here, right = misfit[best - 1 : best + 2]
        bend = left - 2 * here + right
        shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
        return float(trials[best] + shift * (trials[1] - trials[0]))
    return float(trials[best])


def combine_slices(slices):
    r"""
    Combine the light in the slices of one exposure.

    Parameters
    ----------
    slices : sequence of SliceLight
        The slices; the wavelengths of the first are those of the result.

    Returns
    -------
    SliceLight
        All light of the source, that beyond the slices included, with ``share`` the part that the
        slices hold.

    Raises
    ------
    ValueError
        If there is no slice.

    Notes
    -----
    With the light :math:`T_i` of slice i, its variance :math:`v_i` and the part :math:`s_i` of the
    light that it holds of that in all slices, smooth along the dispersion, the light in all slices
    is :math:`\sum_i s_i T_i / v_i` over :math:`\sum_i s_i^2 / v_i`. It is divided by the part
    that the PSF has in the slices.
    """
    if not slices:
        msg = "no slice is given: at least one is needed"
        raise ValueError(msg)
    grid = slices[0].wavelength
    names = list(slices[0].variances)
    light, share, count = [], [], []
    variances = {name: [] for name in names}
    for one in slices:
        known = np.flatnonzero(np.isfinite(one.wavelength))
        known = known[np.argsort(one.wavelength[known])]
        place = one.wavelength[known]
        index = np.clip(np.searchsorted(place, grid) - 1, 0, place.size - 2)
        part = (grid - place[index]) / (place[index + 1] - place[index])
        inside = (part >= 0) & (part <= 1)
        part = np.where(inside, part, np.nan)
        low, high = known[index], known[index + 1]

        def between(values, power=1, part=part, low=low, high=high):
            # A value of no weight may be missing.
            first, second = (1 - part) ** power, part**power
            left = np.where(first == 0, 0.0, first * values[low])
            return left + np.where(second == 0, 0.0, second * values[high])

        light.append(between(one.flux))
        # Columns that hold a part of the slice only have another share.
        held = known[np.isfinite(one.flux[known])]
        share.append(np.interp(grid, one.wavelength[held], one.share[held]))
        count.append(np.where(inside, one.n_pixel[low], 0))
        for name in names:
            variances[name].append(between(one.variances[name], 2))
    light, share, variance = np.array(light), np.array(share), np.array(variances["err"])
    seen = np.isfinite(light) & np.isfinite(variance) & (variance > 0)

    def smooth(values):
        values = np.where(seen, values, 0.0)
        pair = (
            ndimage.gaussian_filter1d(v, _SMOOTH, mode="constant") for v in (values, seen * 1.0)
        )
        above, below = pair
        return np.divide(above, below, out=np.zeros_like(above), where=below > 1e-6)

    held = np.maximum(smooth(light), 0.0)
    held = held / np.maximum(held.sum(axis=0), np.finfo(float).tiny)
    spread = smooth(variance)
    weight = np.where(seen & (spread > 0), held / np.where(spread > 0, spread, 1.0), 0.0)
    information = np.sum(weight * held, axis=0)
    whole = share.sum(axis=0)
    typical = np.median(information[information > 0]) if np.any(information > 0) else np.inf
    solved = (information > _TOLD * typical) & (whole > _LEAST)
    norm = np.where(solved, information * whole, 1.0)
    weight = np.where(solved, weight / norm, 0.0)

    def total(values, power=1):
        summed = np.sum(weight**power * np.where(weight > 0, values, 0.0), axis=0)
        return np.where(solved, summed, np.nan)

    return SliceLight(
        wavelength=grid,
        flux=total(light),
        background=slices[0].background,
        variances={name: total(np.array(variances[name]), 2) for name in names},
        background_variances=slices[0].background_variances,
        share=whole,
        n_pixel=np.sum(np.where(weight > 0, count, 0), axis=0),
        peak=slices[0].peak,
    )
