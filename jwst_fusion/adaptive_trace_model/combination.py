"""Combination of trace model, linear interpolation and residual on oversampled rows of a slice.

Arrays are (column, row), NaN outside the slice.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.background import line_values
from jwst_fusion.adaptive_trace_model.compact import taper
from jwst_fusion.adaptive_trace_model.guard import share_of_model
from jwst_fusion.adaptive_trace_model.interpolation import LinearInterpolation
from jwst_fusion.adaptive_trace_model.local_scale import local_scale
from jwst_fusion.adaptive_trace_model.uncertainty import (
    overlap_factor,
    propagate_model,
    propagate_variances,
)

__all__ = ["OversampledSlice", "oversample_slice"]

#: Largest value between pixels over that of the pixels around it. Of the sharpest PSF, a star
#: between two pixels, it is 1.5; more is a part of the profile that no pixel has seen.
_OVERSHOOT = 1.6
#: Largest step beyond the outermost pixel over the one before it.
_ONWARDS = 2.0
#: Residuals on both sides of a gap that differ by so many standard deviations are not of a source.
_SPIKE = 5.0
#: Columns with fewer good pixels are not interpolated.
_MIN_GOOD = 4


@dataclass(frozen=True)
class OversampledSlice:
    """
    One slice on the oversampled rows.

    Parameters
    ----------
    flux : ndarray
        Combined flux, shape ``(column, oversampled row)``.
    estimated : ndarray of bool
        Pixels without native data, filled by the model where other columns have seen the profile.
    nearest : ndarray of intp
        Native row of the column that each oversampled row lies on.
    linear, residual, spline_full, spline_used : ndarray
        Linearly interpolated flux; linearly interpolated residual of the model; the model where
        it exists; the model where it was used.
    variances : dict of str to ndarray
        Variances under the names of the input.
    refused : float
        Part of the places where the model would have been used at which interpolation predicts the
        data better and takes its place; 0 without a model.
    """

    flux: np.ndarray
    estimated: np.ndarray
    nearest: np.ndarray
    linear: np.ndarray
    residual: np.ndarray
    spline_full: np.ndarray
    spline_used: np.ndarray
    variances: dict
    refused: float = 0.0


def oversample_slice(
    flux,
    variances,
    position,
    valid,
    *,
    factor,
    fit=None,
    coordinate=None,
    ranges=(),
    taper_width=1.0,
    psf_optimal=False,
    spaxel=1.0,
):
    r"""
    Oversample one slice along the slit.

    With the linear interpolation :math:`L`, the model :math:`m` and the weight :math:`t` of the
    model, the flux is

    .. math:: F = L f + t\,(m - L m),

    which is the model plus the interpolated residual :math:`L (f - m)` where :math:`t = 1` ([1]_,
    section II.5), and linear interpolation where :math:`t = 0`. The scale of the model follows
    significant changes along the slit, see `local_scale`.

    Parameters
    ----------
    flux : ndarray
        Native flux, shape ``(column, row)``; NaN where missing.
    variances : dict of str to ndarray
        Native variances, same shape.
    position, valid : ndarray
        From `SliceLayout.oversampled_rows`.
    factor : float
        Oversampling factor.
    fit : TraceFit, optional
        Model of the slice.
    coordinate : ndarray, optional
        Slit coordinates of the oversampled rows; needed with `fit`.
    ranges : list of (float, float), optional
        Ranges of the slit coordinate in which the model is used.
    taper_width : float, optional
        Distance beside the ranges over which the weight of the model falls to 0.
    psf_optimal : bool, optional
        Replace the flux by the model, without the residual.
    spaxel : float, optional
        See `overlap_factor`.

    Returns
    -------
    OversampledSlice
        The slice on the new rows.

    References
    ----------
    .. [1] Law, D. R., et al. 2026, "Mitigating Resampling Artifacts for the JWST IFU Spectrometers
       with Adaptive Trace Modeling".
    """
    good = np.isfinite(flux)
    good &= good.sum(axis=1, keepdims=True) >= _MIN_GOOD
    interpolation = LinearInterpolation(good, position)
    nearest = np.clip(np.floor(position + 0.5).astype(np.intp), 0, flux.shape[1] - 1)
    nearest = np.broadcast_to(nearest, valid.shape)
    has_native = valid & np.take_along_axis(good, nearest, axis=1)
    interpolated = interpolation.apply(np.where(good, flux, 0.0))
    linear = np.where(has_native, interpolated, np.nan)
    overlap = overlap_factor(factor, spaxel)
    known = {key: np.where(good & (value >= 0), value, 0.0) for key, value in variances.items()}
    if fit is None:
        estimated, blank = np.zeros(valid.shape, dtype=bool), np.full(valid.shape, np.nan)
        propagated = propagate_variances(
            known, interpolation, None, None, has_native, overlap=overlap
        )
        return OversampledSlice(
            flux=linear,
            estimated=estimated,
            nearest=nearest,
            linear=linear,
            residual=blank,
            spline_full=blank,
            spline_used=blank,
            variances=_masked_variances(propagated, variances, linear, nearest, estimated),
        )

    coordinate = np.where(valid, coordinate, np.nan)
    profile = fit.evaluate(coordinate)
    modelled = np.isfinite(profile) & interpolation.has_data[:, None]
    profile = np.where(modelled, profile, 0.0)
    position = np.where(modelled, fit.position(coordinate), 0.0)
    background = line_values(_finite(fit.background), position)
    scale = _finite(fit.scale)[:, None]
    weight = np.where(modelled, taper(coordinate, ranges, width=taper_width), 0.0)
    at_pixels = np.where(good, _finite(fit.profile), 0.0)
    interpolated_background = interpolation.apply(
        np.where(good, _finite(fit.background_at_pixels), 0.0)
    )
    local = np.broadcast_to(scale, at_pixels.shape)
    refused = 0.0
    if not psf_optimal:
        rest = np.where(good, flux - fit.background_at_pixels - scale * fit.profile, 0.0)
        change = local_scale(_finite(rest), np.where(good, fit.inverse, 0.0), at_pixels)
        # No source can lose more light than it has.
        local = scale + np.maximum(change, -np.maximum(scale, 0.0))
        seen = np.where(good, _finite(fit.background_at_pixels) + local * at_pixels, 0.0)
        share = share_of_model(flux, seen, good & np.isfinite(fit.profile), fit.inverse)
        wanted = np.sum(weight, where=has_native)
        weight = weight * interpolation.apply(share)
        refused = 1 - float(np.sum(weight, where=has_native) / wanted) if wanted > 0 else 0.0
    source = interpolation.apply(local) * profile
    around = ndimage.maximum_filter1d(np.abs(local * _finite(fit.profile)), 3, axis=1)
    around = _OVERSHOOT * np.take_along_axis(around, nearest, axis=1)
    first, last = _outermost(good)
    between = (interpolation.position >= first) & (interpolation.position <= last)
    source = np.where(between, np.clip(source, -around, around), source)
    interpolated_model = interpolation.apply(local * at_pixels)
    estimated = (weight >= 0.5) & ~has_native & fit.support.at(coordinate)
    filled = has_native | estimated
    change = weight * (source - interpolated_model)
    change = _tamed_at_ends(change, interpolation, local * at_pixels, good)
    combined = np.where(filled, interpolated + change, np.nan)
    if estimated.any() and not psf_optimal:
        spike = _spike(interpolation, np.where(good, flux - seen, 0.0), fit.inverse)
        combined = np.where(estimated, combined - weight * spike, combined)
    residual = np.where(
        modelled, interpolated - interpolated_background - interpolated_model, np.nan
    )
    spline_full = np.where(modelled, source + background, np.nan)
    used = modelled & (weight > 0) & filled
    correction = weight * (profile - interpolation.apply(at_pixels))
    propagated = propagate_variances(
        known, interpolation, fit.gain, correction, filled, overlap=overlap
    )
    if psf_optimal:
        combined = np.where(used, spline_full, combined)
        shapes = np.where(used, np.stack([profile, np.ones_like(profile), position]), 0.0)
        gains = np.stack([fit.gain, *fit.background_gain])
        for key, value in known.items():
            alone = propagate_model(value, gains, shapes, overlap=overlap)
            propagated[key] = np.where(used, alone, propagated[key])
    return OversampledSlice(
        flux=combined,
        estimated=estimated,
        nearest=nearest,
        linear=linear,
        residual=residual,
        spline_full=spline_full,
        spline_used=np.where(used, spline_full, np.nan),
        variances=_masked_variances(propagated, variances, combined, nearest, estimated),
        refused=refused,
    )


def _tamed_at_ends(change, interpolation, model, good):
    """Change of the flux beyond the outermost pixels, less than half a pixel away.

    It is held by the last step between two pixels: nothing else holds a spline there.
    """
    step = np.where(good[:, 1:] & good[:, :-1], np.abs(np.diff(model, axis=1)), 0.0)
    column, rows = np.arange(len(good)), good.shape[1]
    has = good.any(axis=1)
    first, last = _outermost(good)
    for outside, at in (
        (interpolation.position < first, np.minimum(first, rows - 2)),
        (interpolation.position > last, np.maximum(last - 1, 0)),
    ):
        limit = _ONWARDS * np.where(has, step[column, at[:, 0]], 0.0)[:, None]
        change = np.where(outside, np.clip(change, -limit, limit), change)
    return change


def _outermost(good):
    """First and last good row of each column, shape ``(column, 1)``."""
    first, last = np.argmax(good, axis=1), np.argmax(good[:, ::-1], axis=1)
    return first[:, None], good.shape[1] - 1 - last[:, None]


def _spike(interpolation, residual, inverse):
    """What a pixel beside a gap that the other side contradicts adds to the interpolated residual.

    A cosmic ray whose neighbours are flagged would be spread over them.
    """
    (left, right), weights = interpolation.ends(residual), interpolation.ends(inverse)
    variance = sum(np.divide(1, one, out=np.zeros_like(one), where=one > 0) for one in weights)
    apart = (left - right) ** 2 > _SPIKE**2 * variance
    quiet = np.where(np.abs(left) < np.abs(right), left, right)
    whole = left + interpolation.fraction * (right - left)
    return np.where(apart, whole - quiet, 0.0)


def _finite(values):
    """Copy with zeros in place of missing values."""
    return np.where(np.isfinite(values), values, 0.0)


def _masked_variances(propagated, native, flux, nearest, estimated):
    """Variances, blank where there is no flux, or none was known at an observed pixel."""
    missing = np.isnan(flux)
    masked = {}
    for key, values in native.items():
        unknown = ~np.take_along_axis(np.isfinite(values), nearest, axis=1)
        masked[key] = np.where(missing | (unknown & ~estimated), np.nan, propagated[key])
    return masked
