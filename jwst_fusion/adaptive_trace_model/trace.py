"""Robust fit of the trace in one slice: scale and background per column, a profile surface.

Arrays are (column, row) with NaN outside the slice. Fluxes and errors have the same unit.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.alternation import SMOOTH, alternate
from jwst_fusion.adaptive_trace_model.background import first_background, line_values
from jwst_fusion.adaptive_trace_model.bspline import SurfaceFitter, UniformKnots, evaluate_surface
from jwst_fusion.adaptive_trace_model.columns import (
    CLIP,
    OUTLIER_FLOOR,
    first_columns,
    model_variance,
)
from jwst_fusion.adaptive_trace_model.compact import collapse, row_pitch
from jwst_fusion.adaptive_trace_model.support import Support, find_support
from jwst_fusion.adaptive_trace_model.window import WindowFitter

log = logging.getLogger(__name__)

__all__ = ["PROFILE_MODELS", "TraceFit", "fit_trace"]

#: Fits of the profile by their names for the user.
PROFILE_MODELS = {"surface": SurfaceFitter, "window": WindowFitter}
#: The more accurate of them, the default.
PROFILE_MODEL = "surface"
#: Width of the window's flanks at the ends of the slit, in native pixels: wider than a PSF's core.
_EDGE = 4.0
#: Distance beyond the outermost pixel centres to which the model reaches, in native pixels: the
#: outermost oversampled rows lie there.
_MARGIN = 0.4
#: Light in the median row times the number of rows, relative to all light, of a slice that may have
#: no empty rows, and of a crowded one.
_FILLED_SHARE, _CROWDED_SHARE = 0.05, 0.5
#: Chi-square per pixel above which the background is in doubt.
_DOUBTFUL = 1.15
#: Part of the chi-square with a background that is left without it where the source was in it.
_CLEARLY = 0.8
#: Chi-square per pixel of a fit that is good enough.
_FITS = 2.0
#: How far below the background, relative to it, the sky beside a disc is whose plateau passed for
#: background, and smallest background relative to the source then.
_DARK_SKY, _PLATEAU = (0.5, 1.2), 0.2
#: Signal-to-noise ratio of the brightest pixels of a column that shows no source, by how much that
#: of the brightest columns exceeds it if a source shines in lines only, and the share of these.
_DARK, _BRIGHT, _LIT_SHARE = 5.0, 4.0, 0.03
#: Peak of the profile common to these over their own from which on they show one source.
_COHERENT = 0.3
#: Smallest mean squared signal-to-noise ratio of its pixels.
_MIN_POWER = 4.0
#: What one number per column has to gain in chi-square to be worth it (Akaike's criterion). A
#: background that gains less is left out.
_PER_COLUMN = 2.0


@dataclass(frozen=True)
class TraceFit:
    r"""
    Model of the flux of one slice, :math:`m(x, a) = S(x)\,p(x, a) + b_0(x) + b_1(x)\,s(a)`.

    Parameters
    ----------
    knots : UniformKnots
        Knots along the slit coordinate.
    coefficients : ndarray
        B-spline coefficients of the profile of each column, shape ``(column, n_coef)``.
    scale : ndarray
        :math:`S`, shape ``(column,)``; NaN where the column could not be fitted.
    background : ndarray
        :math:`b_0, b_1`, shape ``(2, column)``; zero if the slice has none of its own.
    gain : ndarray
        Derivative of the scale to each pixel's flux, shape ``(column, row)``.
    background_gain : ndarray
        Derivatives of the background, shape ``(2, column, row)``.
    profile : ndarray
        :math:`p` at the native pixels, shape ``(column, row)``. The sum over the rows of its
        positive part is 1 in the median column; that of the profile does not depend on the pixel
        phase of the trace.
    inverse : ndarray
        Inverse variances of the native pixels, the model's error included; 0 for missing ones.
    bounds : tuple of float
        Range of the slit coordinate in which the model holds.
    span : tuple of float
        Slit coordinates at which the position :math:`s` is -1 and 1.
    pixel_position : ndarray
        :math:`s` at the native pixels, shape ``(column, row)``; 0 outside the slice.
    support : Support
        Where the profile has been seen.
    chi2 : ndarray
        Chi-square per pixel of each column, with an error of the source of 5 %, shape
        ``(column,)``; 0 where there is no good pixel.
    """

    knots: UniformKnots
    coefficients: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    gain: np.ndarray
    background_gain: np.ndarray
    profile: np.ndarray
    inverse: np.ndarray
    bounds: tuple
    span: tuple
    pixel_position: np.ndarray
    support: Support
    chi2: np.ndarray

    def position(self, coordinate):
        """
        Positions along the slit for the background.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates.

        Returns
        -------
        ndarray
            Positions, from -1 to 1 at the outermost native pixels.
        """
        low, high = self.span
        return (2 * coordinate - low - high) / (high - low)

    def evaluate(self, coordinate):
        """
        Evaluate the normalised profile.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Profile, NaN outside the bounds and in columns without a fit.
        """
        low, high = self.bounds
        inside = (coordinate >= low) & (coordinate <= high)
        inside &= np.isfinite(self.scale)[:, None]
        interval, basis = self.knots.locate(np.where(inside, coordinate, low))
        return np.where(inside, evaluate_surface(self.coefficients, interval, basis), np.nan)

    @property
    def background_at_pixels(self):
        """Background at the native pixels, shape ``(column, row)``; NaN where there is no fit."""
        return line_values(self.background, self.pixel_position)

    def model(self, coordinate):
        """
        Evaluate the model.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Flux, NaN where the profile is.
        """
        source = self.scale[:, None] * self.evaluate(coordinate)
        return source + line_values(self.background, self.position(coordinate))


def fit_trace(
    flux,
    error,
    coordinate,
    *,
    profile_model=PROFILE_MODEL,
    knots_per_pixel=3.0,
    node_spacing=50.0,
    stiffness=0.3,
    bending=1e-3,
    min_good=0.3,
    background=True,
):
    """
    Fit the trace of one slice.

    Parameters
    ----------
    flux, error : ndarray
        Flux and its 1-sigma error, shape ``(column, row)``; NaN where missing. Pixels whose error
        is not positive are left out.
    coordinate : ndarray
        Slit coordinate, same shape, NaN outside the slice.
    profile_model : {"surface", "window"}, optional
        How the profile depends on the column, see `SurfaceFitter` and `WindowFitter`.
    knots_per_pixel : float, optional
        Number of spline knots per native pixel along the slit.
    node_spacing : float, optional
        Columns over which the profile may change, the half width of the window of [1]_.
    stiffness, bending : float, optional
        Weights of the smoothness along the dispersion, see `SurfaceFitter`.
    min_good : float, optional
        Columns with a smaller share of good pixels do not take part in the profile.
    background : bool, optional
        Whether the slice may have a background of its own. Without, all that is in it follows the
        trace, as where a background has been subtracted already.

    Returns
    -------
    TraceFit or None
        `None` if there are too few good pixels or the fit has no solution.

    References
    ----------
    .. [1] Law, D. R., et al. 2026, "Mitigating Resampling Artifacts for the JWST IFU Spectrometers
       with Adaptive Trace Modeling", section II.3.
    """
    inside = np.isfinite(coordinate)
    good = inside & np.isfinite(flux) & np.isfinite(error) & (error > 0)
    enough = good.sum(axis=1) >= np.maximum(min_good * inside.sum(axis=1), 4)
    if good[enough].sum() < 50:
        return None
    pitch = row_pitch(coordinate)
    if not collapse(flux, error, coordinate, good=good, step=pitch / 2).filled()[0].size:
        return None
    low, high = np.min(coordinate[inside]), np.max(coordinate[inside])
    bounds = (low - _MARGIN * pitch, high + _MARGIN * pitch)
    knots = UniformKnots.spanning(*bounds, step=pitch / knots_per_pixel)
    interval, basis = knots.locate(np.where(inside, coordinate, low))
    fitter = PROFILE_MODELS[profile_model](
        interval,
        basis,
        good & enough[:, None],
        n_coef=knots.n_coef,
        node_spacing=node_spacing,
        stiffness=stiffness,
        bending=bending,
    )
    position = np.where(inside, (2 * coordinate - low - high) / (high - low), 0.0)
    data = np.where(good, flux, 0.0)
    variance = np.where(good, error, 1.0) ** 2
    lines = first_background(data, good, position) if background else np.zeros((2, len(data)))
    # A gradient that lasts is known better than that of a single column.
    lasting = ndimage.median_filter(lines[1], SMOOTH, mode="nearest")
    data = np.where(good, data - lasting[:, None] * position, 0.0)
    lines[1] -= lasting
    window = _edge_window(coordinate, low, high, _EDGE * pitch)
    arrays = (data, variance, good, inside, position)
    common = {"fitter": fitter, "interval": interval, "basis": basis, "window": window}
    start = _first_fit(arrays, lines, error, coordinate, pitch)
    if not background:
        start = replace(start, separable=False)
    result = alternate(arrays, start, **common)
    if result is not None and result.at_end:
        # The fit decides which normalisation is right for a source at the end of the slit.
        other = alternate(arrays, start, smooth_sum=True, **common)
        if other is not None and other.columns.misfit < result.columns.misfit:
            result = other
    if background and (result is None or _doubtful(result, good)):
        # Without empty rows, what is smooth of the source may pass for a background: a part of the
        # profile that depends on the pixel phase, or the plateau of a disc. It stays only if the
        # data ask for it, and so does the gradient that was taken off.
        whole = (np.where(good, flux, 0.0), *arrays[1:])
        start = _first_fit(whole, np.zeros_like(lines), error, coordinate, pitch)
        other = alternate(whole, replace(start, separable=False), **common)
        if other is not None and _asks_for_less(result, other, data, whole[0], arrays):
            result, lasting = other, np.zeros_like(lasting)
    if result is None or not result.columns.trusted.any():
        return None
    columns, profile, coefficients = result.columns, result.profile, result.coefficients
    trusted = columns.trusted
    line = columns.background + np.stack([np.zeros_like(lasting), lasting])
    unit = np.median(np.sum(np.maximum(profile, 0), axis=1, where=inside)[trusted])
    if not unit > 0:
        unit = 1.0
    return TraceFit(
        knots=knots,
        coefficients=coefficients / unit,
        scale=np.where(trusted, columns.fitted * unit, np.nan),
        background=np.where(trusted, line, np.nan),
        gain=columns.gain * unit,
        background_gain=columns.background_gain,
        profile=np.where(inside & trusted[:, None], profile / unit, np.nan),
        inverse=good / (variance + model_variance(columns.fitted, profile)),
        bounds=bounds,
        span=(low, high),
        pixel_position=position,
        support=find_support(
            coordinate, columns.weight > 0, pitch=pitch, node_spacing=node_spacing
        ),
        chi2=columns.chi2 / np.maximum(good.sum(axis=1), 1),
    )


def _doubtful(result, good):
    """Whether a part of the source may have passed for background."""
    return result.power > _MIN_POWER and (
        result.filled > _FILLED_SHARE
        or result.columns.misfit > _DOUBTFUL * good.sum()
        or _plateau_taken(result, good)
    )


def _plateau_taken(result, good):
    """Whether a plateau on most rows passed for background, so that the sky is negative."""
    level = np.median(result.columns.background[0])
    source = result.columns.fitted[:, None] * result.profile
    lowest = np.median(np.min(source, axis=1, where=good, initial=np.inf))
    highest = np.median(np.max(np.abs(source), axis=1, where=good, initial=0.0))
    return _DARK_SKY[0] * level < -lowest < _DARK_SKY[1] * level and level > _PLATEAU * highest


def _asks_for_less(result, other, taken, whole, arrays):
    """Whether the fit of all data without a background is as good as the one with it."""
    if result is None:
        return True
    _, variance, good, _, position = arrays
    # What tolerates errors of the source would tolerate more where the background is in it.
    residuals, sources = [], []
    for one, data in ((result, taken), (other, whole)):
        source = one.columns.fitted[:, None] * one.profile
        residuals.append(data - source - line_values(one.columns.background, position))
        sources.append(np.abs(source))
    tolerance = variance + (OUTLIER_FLOOR * np.minimum(*sources)) ** 2
    misfit, others = (
        np.sum(np.minimum(one**2 / tolerance, CLIP**2), where=good) for one in residuals
    )
    pixels = good.sum()
    limit = _CLEARLY * misfit
    if result.filled > _CROWDED_SHARE:
        limit = misfit + _PER_COLUMN * len(good) * max(misfit / pixels, 1.0)
    if _plateau_taken(result, good):
        # The sum of light of both signs depends on the pixel phase, too: such a profile may fit
        # the pixels and be wrong between them.
        limit = max(limit, _FITS * pixels)
    log.debug("chi-square %.2f with a background, %.2f without", misfit / pixels, others / pixels)
    return others <= limit


def _first_fit(arrays, background, error, coordinate, pitch):
    """First scales, from the median profile above the background, or with it if it is broad."""
    data, variance, good, inside, position = arrays
    for line in (background, np.zeros_like(background)):
        flux = data - line_values(line, position)
        profile = _median_profile(flux, error, coordinate, good, pitch)
        total = np.median(np.sum(np.maximum(profile, 0), axis=1, where=inside))
        profile /= total if total > 0 else 1.0
        columns = first_columns(data, variance, profile, good, position, line)
        if columns.separable:
            break
    return columns


def _edge_window(coordinate, low, high, width):
    """Window along the slit that is 1 inside and falls smoothly to 0 at the ends of the slit."""
    distance = np.minimum(coordinate - low, high - coordinate) / min(width, 0.25 * (high - low))
    return np.where(np.isfinite(distance), np.sin(0.5 * np.pi * np.clip(distance, 0, 1)) ** 2, 0.0)


def _lit_columns(flux, error, good):
    """Columns in which a source shines that most columns do not show; none if most show it.

    With them, how bright they typically are.
    """
    # Medians of three rows leave single bad pixels out.
    values = ndimage.median_filter(np.where(good, flux, 0.0), (1, 3), mode="nearest")
    size = np.max(np.abs(values), axis=1)
    peak = np.max(np.abs(values) / np.where(good, error, np.inf), axis=1)
    bright = np.quantile(peak, 1 - _LIT_SHARE)
    if np.median(peak) > _DARK or bright < _BRIGHT * max(np.median(peak), 1.0):
        return np.zeros(len(peak), bool), 0.0
    lit = peak >= bright
    return lit, np.median(size[lit])


def _median_profile(flux, error, coordinate, good, pitch):
    """Profile common to all columns, from medians in bins of half a pixel."""
    lit, size = _lit_columns(flux, error, good)
    collapsed = None
    if lit.any():
        seen = good & lit[:, None]
        collapsed = collapse(flux, error, coordinate, good=seen, step=pitch / 2)
        # Tilted lines of light that fills the slit are bright in another row of each column.
        if not np.nanmax(np.abs(collapsed.flux), initial=0.0) > _COHERENT * size:
            collapsed = None
    if collapsed is None:
        collapsed = collapse(flux, error, coordinate, good=good, step=pitch / 2)
    return np.interp(np.where(good, coordinate, collapsed.center[0]), *collapsed.filled())
