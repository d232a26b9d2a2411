"""Spectrum of the source of a slit from its trace model: an optimal extraction without aperture.

Arrays are (column, row). The flux of a column is what one fits to its pixels times the sum of the
profile over the rows: the light that falls into the slit, in the unit of the image.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.alternation import SMOOTH
from jwst_fusion.adaptive_trace_model.background import Lines
from jwst_fusion.adaptive_trace_model.columns import CLIP, OUTLIER_FLOOR, robust_misfit
from jwst_fusion.adaptive_trace_model.compact import row_pitch
from jwst_fusion.adaptive_trace_model.exposure import fit_slice
from jwst_fusion.adaptive_trace_model.halo import CORE, Halo, negative_images, smooth_sum

__all__ = [
    "ExtractedSpectrum",
    "SlitSpectrum",
    "extract_slit",
    "extract_spectrum",
    "mean_wavelength",
    "source_centre",
]

#: Turns of weights and flux; one more changes fluxes by less than 1e-6 of their error.
_TURNS = 3
#: Width over which the level of the profile is averaged along the dispersion, in distances of the
#: nodes between which the profile itself changes; in cycles of the pixel phase, which that level
#: may depend on; and its smallest value in columns.
_LEVEL_WIDTH, _OF_CYCLE, _LEAST_WIDTH = 1.5, 0.1, 3.0
#: A pixel whose variance is this many times what its light lets expect has a weight of its own.
_UNUSUAL = 4.0
#: Columns over which the variance is compared with that of its neighbours.
_NEIGHBOURS = 15
#: Part of the rows of the core that other columns have which a column needs.
_WHOLE = 0.7
#: Part of the peak above which pixels tell where the trace is, and columns of the running median.
_UPPER, _STEADY = 0.3, 31
#: Why a slit has no spectrum, by the outcome of its fit.
_REASONS = {
    "faint": "its source is below fit_threshold",
    "failed": "its trace could not be fitted",
    "empty": "it holds next to no data",
}


@dataclass(frozen=True)
class ExtractedSpectrum:
    """
    Spectrum of the source of one slit.

    Attributes
    ----------
    flux : ndarray
        Light of the source on the rows of the slit, in the unit of the image times pixels, shape
        ``(column,)``; NaN where the column is not known.
    gain : ndarray
        Derivative of the flux to that of each pixel, shape ``(column, row)``; 0 at pixels that were
        not used.
    background : ndarray
        Background of a pixel, mean over the rows, in the unit of the image, shape ``(column,)``; 0
        if none was fitted.
    background_gain : ndarray
        Its derivative, shape ``(column, row)``.
    profile : ndarray
        Profile of all that follows the trace, its sum over the rows 1 unless there are negative
        images, shape ``(column, row)``; 0 outside the slit.
    centre : ndarray
        Slit coordinate of the trace, shape ``(column,)``.
    pitch : float
        Distance of neighbouring rows in the slit coordinate.
    """

    flux: np.ndarray
    gain: np.ndarray
    background: np.ndarray
    background_gain: np.ndarray
    profile: np.ndarray
    centre: np.ndarray
    pitch: float

    def variance(self, variance):
        """
        Variance of the flux.

        Parameters
        ----------
        variance : ndarray
            Variance of each pixel, or one part of it, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Shape ``(column,)``; NaN where the flux is.
        """
        return self._propagate(self.gain, variance)

    def background_variance(self, variance):
        """
        Variance of the background.

        Parameters
        ----------
        variance : ndarray
            Variance of each pixel, or one part of it, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Shape ``(column,)``; NaN where the flux is.
        """
        return self._propagate(self.background_gain, variance)

    def _propagate(self, gain, variance):
        total = np.sum(np.where(gain == 0, 0.0, gain**2 * variance), axis=1)
        return np.where(np.isfinite(self.flux), total, np.nan)


@dataclass(frozen=True)
class SlitSpectrum:
    """
    Spectrum of the source of a slit with its wavelengths; arrays have the shape ``(column,)``.

    Attributes
    ----------
    wavelength : ndarray
        Micrometre, mean over the trace; NaN outside the slit.
    flux, background : ndarray
        See `ExtractedSpectrum`.
    variances, background_variances : dict of str to ndarray
        Their variances, by the names of the exposure's.
    n_pixel : ndarray of int
        Pixels that tell the flux.
    first_column : int
        Column of the engine image that the first value belongs to.
    rows : tuple of int
        First row of the slit in the engine image, and the one after its last.
    peak : tuple of int
        Row and column of the engine image where the trace is in its middle.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    background: np.ndarray
    variances: dict
    background_variances: dict
    n_pixel: np.ndarray
    first_column: int
    rows: tuple
    peak: tuple


def extract_spectrum(fit, flux, error, coordinate, *, node_spacing, psf, background):
    r"""
    Extract the spectrum of the source of a slit.

    Parameters
    ----------
    fit : TraceFit
        Trace model of the slit, fitted with or without a background, see `fit_trace`.
    flux, error : ndarray
        Flux and its 1-sigma error, shape ``(column, row)``; NaN where missing.
    coordinate : ndarray
        Slit coordinate, same shape, NaN outside the slit.
    node_spacing : float
        Columns over which the profile may change.
    psf : callable
        Gives the part of a point source's light in each pixel from the distances of the pixels from
        the source, in native pixels, shape ``(column, row)``. It is called if there is a background
        or a negative image.
    background : bool
        Whether each column of the slit has a background of its own. Without, all light that the fit
        has seen is the source's, as where a background has been subtracted already.

    Returns
    -------
    ExtractedSpectrum or None
        `None` if no column is known, or the core of the trace lies outside the slit.

    Raises
    ------
    ValueError
        If arrays differ in shape.

    Notes
    -----
    The flux of a column is that of the least-squares fit of the profile (Horne 1986 [1]_), which is
    measured, times the profile's sum over the rows. Weights are inverse variances, each the sum of
    a constant and a multiple of the model's light: with those of the noisy pixels themselves,
    fluxes would be too low.

    If there is a background, it has taken what the wings of the PSF leave on all rows of a short
    slit, and the data do not tell one from the other. The profile then gets a level and a slope
    with which the rows outside the core of the trace hold the part of the light that the PSF has
    there, and its first moment. The core itself is never taken from the PSF. The same ratio tells
    the light of a source whose wings overlap with the negative images of nods.

    References
    ----------
    .. [1] Horne, K. 1986, "An optimal extraction algorithm for CCD spectroscopy", PASP 98, 609.
    """
    if not flux.shape == error.shape == coordinate.shape == fit.profile.shape:
        shapes = ", ".join(str(one.shape) for one in (flux, error, coordinate, fit.profile))
        msg = f"flux, error, coordinate and profile differ in shape: {shapes}"
        raise ValueError(msg)
    known = np.isfinite(fit.scale)
    inside = np.isfinite(coordinate) & known[:, None]
    if not known.any():
        return None
    good = inside & np.isfinite(flux) & np.isfinite(error) & (error > 0)
    profile = np.where(inside, np.nan_to_num(fit.profile), 0.0)
    line = np.where(known, fit.background, 0.0)
    centre, width, pitch = source_centre(fit, coordinate)
    if not np.isfinite(centre).any():
        return None
    distance = np.where(inside, (coordinate - centre[:, None]) / pitch, 0.0)
    # Where a slit ends, and the trace leaves it, its light is not in the column.
    core = np.sum(inside & (np.abs(distance) <= CORE * width[:, None]), axis=1) / width
    known &= core >= _WHOLE * np.median(core[known])
    images = negative_images(profile, distance, good)
    halo = None
    if background or images:
        halo = Halo(distance, inside, width, images, psf)
        known &= halo.core.any(axis=1)
        if not known.any():
            return None
    data = np.where(good, flux, 0.0).astype(float)
    variance = np.where(good, error, 1.0).astype(float) ** 2
    position = np.where(inside, fit.pixel_position, 0.0)
    scale = np.where(known, fit.scale, 0.0)
    smooth = _LEVEL_WIDTH * node_spacing
    if background:
        data -= np.where(good, line[1][:, None] * position, 0.0)
        cycle = 1 / max(np.nanmedian(np.abs(np.diff(coordinate, axis=0))) / pitch, 1e-6)
        width = np.clip(_OF_CYCLE * cycle, _LEAST_WIDTH, smooth)
        profile = halo.complete(profile, position, width)
    level = line[0]
    for _ in range(_TURNS):
        source = scale[:, None] * profile
        model = source + level[:, None]
        spread = _expected_variance(variance, model, good, node_spacing)
        chi2 = (data - model) ** 2 / (variance + (OUTLIER_FLOOR * source) ** 2)
        keep = good & (chi2 <= CLIP**2 * robust_misfit(chi2, good)[:, None])
        gain, level_gain, solved = _solve(keep / spread, profile, background=background)
        scale = np.sum(gain * data, axis=1)
        level = np.sum(level_gain * data, axis=1)
    total = halo.total(profile) if images else profile.sum(axis=1)
    if background:
        # The slope of the background has an error of its own.
        for one in (gain, level_gain):
            one -= np.sum(one * position, axis=1, keepdims=True) * fit.background_gain[1]
    solved &= known & (total > 0)
    norm = np.where(total > 0, total, 1.0)[:, None]
    return ExtractedSpectrum(
        flux=np.where(solved, scale * total, np.nan),
        gain=gain * norm,
        background=np.where(solved, level, np.nan),
        background_gain=level_gain,
        profile=profile / norm,
        centre=centre,
        pitch=pitch,
    )


def extract_slit(native, geometry, mode, settings, *, psf, background):
    """
    Extract the spectrum of the source in the slit of an exposure.

    Parameters
    ----------
    native : ExposureImages
        The exposure; its variances are propagated.
    geometry : SlitGeometry
        Its geometry; with one layout.
    mode : TraceMode
        What depends on the instrument mode.
    settings : TraceSettings
        What is chosen by the user.
    psf : callable
        Gives the part of a point source's light in each pixel from distances (native pixels) and
        wavelengths (micrometre) of the same shape, see `SlitPsf`.
    background : bool
        Whether the slit may have a background of its own.

    Returns
    -------
    spectrum : SlitSpectrum or None
        The spectrum.
    reason : str
        Why there is none; empty otherwise.
    """
    layout = geometry.layouts[0]
    flux, error = layout.cut(native.flux), layout.cut(native.error)
    error[np.isnan(flux)] = np.nan
    coordinate, wavelength = geometry.coordinates(layout)
    fit, outcome = fit_slice(flux, error, coordinate, mode, settings, background=background)
    if fit is None:
        return None, _REASONS[outcome]
    found = extract_spectrum(
        fit,
        flux,
        error,
        coordinate,
        node_spacing=mode.node_spacing,
        psf=lambda distance: psf(distance, wavelength),
        background=background,
    )
    if found is None:
        return None, _REASONS["failed"]
    variances = {name: layout.cut(image) for name, image in native.variances.items()}
    rows = layout.first_row, layout.first_row + layout.n_row
    known = np.flatnonzero(np.isfinite(found.flux))
    if not known.size:
        return None, _REASONS["failed"]
    middle = known[known.size // 2]
    peak = layout.first_row[middle] + found.profile[middle].argmax()
    return SlitSpectrum(
        wavelength=mean_wavelength(found.profile, wavelength),
        flux=found.flux,
        background=found.background,
        variances={name: found.variance(image) for name, image in variances.items()},
        background_variances={
            name: found.background_variance(image) for name, image in variances.items()
        },
        n_pixel=np.sum(found.gain != 0, axis=1),
        first_column=layout.first_column,
        rows=(int(rows[0][layout.n_row > 0].min()), int(rows[1].max())),
        peak=(int(peak), int(layout.first_column + middle)),
    ), ""


def mean_wavelength(profile, wavelength):
    """
    Wavelength of each column where its source is.

    Parameters
    ----------
    profile : ndarray
        Profile, shape ``(column, row)``; 0 in columns without a fit, whose wavelength is that of
        the middle of the slit.
    wavelength : ndarray
        Wavelengths, same shape; NaN outside the slit.

    Returns
    -------
    ndarray
        Shape ``(column,)``; NaN outside the slit.
    """
    seen = np.isfinite(wavelength)
    weight = np.where(seen, np.maximum(profile, 0.0), 0.0)
    weight = np.where((weight.sum(axis=1) > 0)[:, None], weight, seen)
    total = weight.sum(axis=1)
    mean = np.sum(weight * np.where(seen, wavelength, 0.0), axis=1)
    return np.where(total > 0, mean / np.where(total > 0, total, 1.0), np.nan)


def source_centre(fit, coordinate):
    """
    Find where the trace runs, how wide it is, and the distance of the rows.

    Parameters
    ----------
    fit : TraceFit
        Trace model.
    coordinate : ndarray
        Slit coordinate, shape ``(column, row)``, NaN outside the slit.

    Returns
    -------
    centre : ndarray
        Slit coordinate of the brightest trace in each column, shape ``(column,)``.
    width : ndarray
        Sum of the positive part of the profile over its peak, in native pixels, same shape.
    pitch : float
        Distance of neighbouring rows in the slit coordinate.
    """
    profile = np.maximum(np.nan_to_num(fit.profile), 0.0)
    pitch = row_pitch(coordinate)
    # Columns at the ends of a slice may have lost the trace.
    rows = np.isfinite(coordinate).sum(axis=1)
    whole = rows >= _WHOLE * np.median(rows[rows > 0])
    known = np.flatnonzero(np.isfinite(fit.scale) & (profile.max(axis=1) > 0) & whole)
    if not known.size:
        return (*np.full((2, len(profile)), np.nan), pitch)
    some, place = profile[known], np.nan_to_num(coordinate[known])
    peak = some.max(axis=1, keepdims=True)
    first = np.take_along_axis(place, some.argmax(axis=1)[:, None], axis=1)
    core = np.where((some > _UPPER * peak) & (np.abs(place - first) < 4 * pitch), some, 0.0)
    centre = np.sum(core * place, axis=1) / core.sum(axis=1)
    width = some.sum(axis=1) / peak[:, 0]
    column = np.arange(len(profile))
    centre = ndimage.median_filter(centre, min(_STEADY, known.size), mode="nearest")
    width = ndimage.median_filter(width, min(SMOOTH, known.size), mode="nearest")
    return np.interp(column, known, centre), np.interp(column, known, width), pitch


def _expected_variance(variance, model, good, width):
    """Variance of each pixel from the light of the model, or its own where it is larger by far."""
    typical = np.median(variance[good])
    steady = ndimage.median_filter(np.where(good, variance, typical), (_NEIGHBOURS, 1))
    value = np.where(good, np.minimum(variance, _UNUSUAL * steady), 0.0)
    light = np.where(good, np.maximum(model, 0), 0.0)
    # That of a flat field would take weight from the core, where the profile is known best.
    number, first, second, own, mixed = (
        smooth_sum(np.sum(one, axis=1), width)
        for one in (good.astype(float), light, light**2, value, light * value)
    )
    below = number * second - first**2
    slope = np.divide(
        number * mixed - first * own,
        below,
        out=np.zeros_like(below),
        where=below > 1e-9 * number * second,
    )
    slope = np.maximum(slope, 0.0)
    rest = np.divide(own - slope * first, number, out=np.zeros_like(own), where=number > 0)
    expected = rest[:, None] + slope[:, None] * light
    # Sums may make it smaller than any noise.
    least = np.min(value, axis=1, where=good, initial=np.inf)
    expected = np.where(good, np.maximum(expected, least[:, None]), 1.0)
    return np.where(good & (variance > _UNUSUAL * expected), variance, expected)


def _solve(weight, profile, *, background):
    """Derivatives of scale and level to the data, and the columns that have a solution."""
    whole = np.sum(weight * profile**2, axis=1)
    if not background:
        solved = whole > 0
        gain = weight * profile / np.where(solved, whole, 1.0)[:, None]
        return gain, np.zeros_like(gain), solved
    lines = Lines(weight, np.zeros_like(weight), 1.0)
    mimic = lines.fit(profile)[0][:, None]
    own = weight * (profile - mimic)
    information = np.sum(own * profile, axis=1)
    solved = information > 0.05 * whole
    gain = np.where(solved[:, None], own / np.where(solved, information, 1.0)[:, None], 0.0)
    return gain, lines.gain()[0] - mimic * gain, solved
