"""Robust fit of the trace in one slice: scale and background per column, a profile surface.

Arrays are (column, row) with NaN outside the slice. Fluxes and errors have the same unit.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.bspline import SurfaceFitter, UniformKnots, evaluate_surface
from jwst_fusion.adaptive_trace_model.columns import first_columns, fit_columns
from jwst_fusion.adaptive_trace_model.compact import collapse, row_pitch

__all__ = ["TraceFit", "fit_trace"]

_ROUNDS = 3
#: Width of the window's flanks at the ends of the slit, in native pixels.
_EDGE = 4.0
#: Share of the slit, faintest first, whose profile is defined to be zero.
_LEVEL_SHARE = 0.1


@dataclass(frozen=True)
class TraceFit:
    r"""
    Model of the flux of one slice, :math:`m(x, a) = S(x)\,p(x, a) + b(x)`.

    Parameters
    ----------
    knots : UniformKnots
        Knots along the slit coordinate.
    coefficients : ndarray
        B-spline coefficients of the profile of each column, shape ``(column, n_coef)``.
    scale : ndarray
        :math:`S`, shape ``(column,)``; NaN where the column could not be fitted.
    background : ndarray
        :math:`b`, shape ``(column,)``; zero if the slice has none of its own.
    gain, background_gain : ndarray
        Derivatives of scale and background to each pixel's flux, shape ``(column, row)``.
    profile : ndarray
        :math:`p` at the native pixels, shape ``(column, row)``. Its sum over the rows is 1 in the
        median column and does not depend on the pixel phase of the trace.
    bounds : tuple of float
        Range of the slit coordinate of the pixels that took part.
    """

    knots: UniformKnots
    coefficients: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    gain: np.ndarray
    background_gain: np.ndarray
    profile: np.ndarray
    bounds: tuple

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
        return self.scale[:, None] * self.evaluate(coordinate) + self.background[:, None]


def fit_trace(
    flux, error, coordinate, *, knots_per_pixel=3.0, node_spacing=50.0, stiffness=0.1, min_good=0.3
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
    knots_per_pixel : float, optional
        Number of spline knots per native pixel along the slit.
    node_spacing : float, optional
        Columns over which the profile may change, the half width of the window of [1]_.
    stiffness : float, optional
        Weight of the smoothness along the dispersion, see `SurfaceFitter`.
    min_good : float, optional
        Columns with a smaller share of good pixels do not take part in the profile.

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
    low, high = np.min(coordinate[inside]), np.max(coordinate[inside])
    knots = UniformKnots.spanning(low, high, step=pitch / knots_per_pixel)
    interval, basis = knots.locate(np.where(inside, coordinate, low))
    surface = SurfaceFitter(
        interval,
        basis,
        good & enough[:, None],
        n_coef=knots.n_coef,
        node_spacing=node_spacing,
        stiffness=stiffness,
    )
    data = np.where(good, flux, 0.0)
    variance = np.where(good, error, 1.0) ** 2
    window = _edge_window(coordinate, low, high, _EDGE * pitch)
    first = _median_profile(flux, error, coordinate, good, pitch)
    columns = first_columns(data, variance, first, good)
    for _ in range(_ROUNDS + 1):
        scale = columns.scale[:, None]
        target = np.divide(
            data - columns.background[:, None], scale, out=np.zeros_like(data), where=scale > 0
        )
        coefficients = surface.solve(target, columns.weight)
        if coefficients is None:
            return None
        profile = evaluate_surface(coefficients, interval, basis)
        level = _level(profile, window) if columns.separable else np.zeros((len(profile), 1))
        profile -= level
        coefficients = coefficients - level
        total = _gauge(profile, window)
        columns = fit_columns(data, variance, profile, good, inside, previous=columns, total=total)
    trusted = columns.trusted
    if not trusted.any():
        return None
    unit = np.median(np.sum(profile, axis=1, where=inside)[trusted])
    if not unit > 0:
        unit = 1.0
    return TraceFit(
        knots=knots,
        coefficients=coefficients / unit,
        scale=np.where(trusted, columns.fitted * unit, np.nan),
        background=np.where(trusted, columns.background, np.nan),
        gain=columns.gain * unit,
        background_gain=columns.background_gain,
        profile=np.where(inside & trusted[:, None], profile / unit, np.nan),
        bounds=(low, high),
    )


def _level(profile, window):
    """Level of the faintest part of each column's profile, smooth along the dispersion."""
    ordered = np.sort(np.where(window > 0.5, profile, np.inf), axis=1)
    count = np.sum(window > 0.5, axis=1)
    rank = (_LEVEL_SHARE * np.maximum(count - 1, 0)).astype(np.intp)
    level = np.take_along_axis(ordered, rank[:, None], axis=1)[:, 0]
    known = np.isfinite(level)
    index = np.arange(len(level))
    level = np.interp(index, index[known], level[known]) if known.any() else np.zeros(len(level))
    return ndimage.uniform_filter1d(level, min(101, len(level)), mode="nearest")[:, None]


def _edge_window(coordinate, low, high, width):
    """Window along the slit that is 1 inside and falls smoothly to 0 at the ends of the slit."""
    distance = np.minimum(coordinate - low, high - coordinate) / min(width, 0.25 * (high - low))
    return np.where(np.isfinite(distance), np.sin(0.5 * np.pi * np.clip(distance, 0, 1)) ** 2, 0.0)


def _gauge(profile, window):
    r"""
    Sum of the profile over the rows of each column: what the profile is to be divided by.

    The fluxes stay the same if the scale is multiplied, and the profile divided, by any function
    of the pixel phase of the trace; only the values between the pixels change. What fixes it is
    that a profile that has been integrated over pixels has the same sum over the rows for every
    phase. The window keeps rows that enter or leave at the ends of the slice from spoiling this.
    """
    level = min(np.quantile(profile[window > 0], _LEVEL_SHARE), 0.0)
    return np.sum(window * (profile - level), axis=1)


def _median_profile(flux, error, coordinate, good, pitch):
    """Profile common to all columns, from medians in bins of half a pixel."""
    collapsed = collapse(flux, error, coordinate, good=good, step=pitch / 2)
    return np.interp(np.where(good, coordinate, collapsed.center[0]), *collapsed.filled())
