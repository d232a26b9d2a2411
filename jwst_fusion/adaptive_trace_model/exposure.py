"""Fit and oversample all slices of an exposure, in threads, and put the image together.

Images are (row, column) with the dispersion along the columns.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.adaptive_trace_model.combination import oversample_slice
from jwst_fusion.adaptive_trace_model.compact import collapse, row_pitch, significance, steep_ranges
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.adaptive_trace_model.slices import oversampled_size
from jwst_fusion.adaptive_trace_model.trace import fit_trace
from jwst_fusion.numerics.robust import robust_sigma

__all__ = [
    "ExposureImages",
    "OversampledImages",
    "SliceRecord",
    "estimate_noise",
    "fit_slice",
    "trace_exposure",
]

log = logging.getLogger(__name__)

#: Distance over which model and linear interpolation are blended, in native pixels, so that no
#: step shows.
_TAPER = 1.0


@dataclass(frozen=True)
class ExposureImages:
    """
    Native images of an exposure.

    Parameters
    ----------
    flux, error : ndarray
        Flux and 1-sigma error, NaN where invalid.
    variances : dict of str to ndarray
        Arrays to propagate as variances.
    """

    flux: np.ndarray
    error: np.ndarray
    variances: dict = field(default_factory=dict)


@dataclass(frozen=True)
class SliceRecord:
    """
    How the model fared in one slice.

    Parameters
    ----------
    outcome : {"fitted", "faint", "failed", "empty"}
        As in `OversampledImages`.
    chi2 : float
        Chi-square per pixel, median of the columns, see `TraceFit`; NaN without a fit.
    refused : float
        Part of the places where the model would have been used that are interpolated, see
        `OversampledSlice`.
    """

    outcome: str
    chi2: float = np.nan
    refused: float = 0.0


@dataclass
class OversampledImages:
    """
    Images on the oversampled rows, float32, NaN outside the slices.

    Parameters
    ----------
    images : dict of str to ndarray
        ``flux``, ``wavelength`` (micrometre), ``spline_used``, and, if asked for, ``spline_full``,
        ``linear`` and ``residual``; the variances under their own names.
    estimated : ndarray of bool
        Pixels filled by the model.
    outcomes : dict of int to str
        By number of the slice: ``fitted``; ``faint``, if it is below the threshold; ``failed``, if
        the fit has no solution; ``empty``, if it holds next to no data.
    records : dict of int to SliceRecord
        By number of the slice.
    n_columns_without_model : int
        Columns of fitted slices that hold data, but too few good pixels for a scale.
    """

    images: dict
    estimated: np.ndarray
    outcomes: dict = field(default_factory=dict)
    records: dict = field(default_factory=dict)
    n_columns_without_model: int = 0

    def count(self, outcome):
        """
        Count the slices with an outcome.

        Parameters
        ----------
        outcome : {"fitted", "faint", "failed", "empty"}
            The outcome.

        Returns
        -------
        int
            Number of slices.
        """
        return list(self.outcomes.values()).count(outcome)


def trace_exposure(native, geometry, mode, settings, *, intermediate=False, threads=1):
    """
    Fit the traces of an exposure and oversample it.

    Parameters
    ----------
    native : ExposureImages
        The exposure.
    geometry : object
        With ``layouts`` and ``coordinates(layout)``, see `NirspecIfuGeometry`.
    mode : TraceMode
        What depends on the instrument mode.
    settings : TraceSettings
        What is chosen by the user, whatever the mode.
    intermediate : bool, optional
        Whether to return ``spline_full``, ``linear`` and ``residual``.
    threads : int, optional
        Number of threads.

    Returns
    -------
    OversampledImages
        With factor 1, too: then the flux is the native one and only the models matter.
    """
    shape = (oversampled_size(native.flux.shape[0], settings.oversample), native.flux.shape[1])
    names = ["flux", "wavelength", "spline_used", *native.variances]
    names += ["spline_full", "linear", "residual"] if intermediate else []
    result = OversampledImages(
        images={name: np.full(shape, np.nan, dtype=np.float32) for name in names},
        estimated=np.zeros(shape, dtype=bool),
    )

    def work(layout):
        return _trace_slice(layout, native, geometry, mode, settings, result)

    with threadpool_limits(1, user_api="blas"):
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                outcomes = list(pool.map(work, geometry.layouts))
        else:
            outcomes = [work(layout) for layout in geometry.layouts]
    for layout, (record, without_model) in zip(geometry.layouts, outcomes, strict=True):
        result.outcomes[layout.label] = record.outcome
        result.records[layout.label] = record
        result.n_columns_without_model += without_model
    return result


def _trace_slice(layout, native, geometry, mode, settings, result):
    """Process one slice and write it into the images, where no other slice writes."""
    flux, error = layout.cut(native.flux), layout.cut(native.error)
    error[np.isnan(flux)] = np.nan
    coordinate, wavelength = geometry.coordinates(layout)
    known = np.isfinite(coordinate)
    pitch = row_pitch(coordinate)
    fit, outcome = fit_slice(flux, error, coordinate, mode, settings)
    ranges = []
    if fit is not None:
        limit = 0.0 if settings.psf_optimal else settings.slope_limit
        ranges = steep_ranges(fit, coordinate, error, slope_limit=limit, pad=mode.pad, pitch=pitch)
    rows, valid, position = layout.oversampled_rows(settings.oversample)
    sliced = oversample_slice(
        flux,
        {name: layout.cut(image) for name, image in native.variances.items()},
        position,
        valid,
        factor=settings.oversample,
        fit=fit,
        coordinate=interpolate_smooth(coordinate, known, position) if fit else None,
        ranges=ranges,
        taper_width=_TAPER * pitch,
        psf_optimal=settings.psf_optimal,
        spaxel=mode.spaxel_size(layout.label),
    )
    images = {
        "flux": sliced.flux,
        "wavelength": interpolate_smooth(wavelength, known, position),
        "spline_used": sliced.spline_used,
        "spline_full": sliced.spline_full,
        "linear": sliced.linear,
        "residual": sliced.residual,
        **sliced.variances,
    }
    targets = [*result.images.values(), result.estimated]
    layout.paste(
        targets, rows, valid, [*(images[name] for name in result.images), sliced.estimated]
    )
    log.debug("slice %d: %s, model used in %s", layout.label, outcome, ranges)
    without_model, chi2 = 0, np.nan
    if fit is not None:
        seen = fit.chi2 > 0
        chi2 = float(np.median(fit.chi2[seen])) if seen.any() else np.nan
        without_model = int(np.sum(np.isfinite(flux).any(axis=1) & ~np.isfinite(fit.scale)))
    return SliceRecord(outcome, chi2, sliced.refused), without_model


def fit_slice(flux, error, coordinate, mode, settings, *, background=True):
    """
    Fit one slice if it holds a source that is bright enough.

    Parameters
    ----------
    flux, error, coordinate : ndarray
        Flux, its 1-sigma error and the slit coordinate, shape ``(column, row)``; NaN where missing.
    mode : TraceMode
        What depends on the instrument mode.
    settings : TraceSettings
        What is chosen by the user.
    background : bool, optional
        Whether the slice may have a background of its own, see `fit_trace`.

    Returns
    -------
    fit : TraceFit or None
        The fit.
    outcome : {"fitted", "faint", "failed", "empty"}
        How it fared.
    """
    pitch = row_pitch(coordinate)
    good = np.isfinite(flux) & np.isfinite(coordinate) & (error > 0)
    if good.sum() < 4 or not np.isfinite(pitch):
        return None, "empty"
    if settings.fit_threshold > 0 and not settings.psf_optimal:
        collapsed = collapse(flux, error, coordinate, good=good, step=pitch / 2)
        if significance(collapsed) < settings.fit_threshold:
            return None, "faint"
    fit = fit_trace(
        flux,
        error,
        coordinate,
        profile_model=settings.profile_model,
        knots_per_pixel=mode.knots_per_pixel,
        node_spacing=mode.node_spacing,
        stiffness=mode.stiffness,
        bending=mode.bending,
        min_good=mode.min_good,
        background=background,
    )
    return fit, "failed" if fit is None else "fitted"


def estimate_noise(flux):
    """
    Estimate the noise of an image from the differences of neighbouring columns.

    Parameters
    ----------
    flux : ndarray
        Image, NaN where invalid.

    Returns
    -------
    float
        Robust standard deviation of a pixel; NaN without data.
    """
    difference = np.diff(flux, axis=1)
    difference = difference[np.isfinite(difference)]
    return float(robust_sigma(difference) / np.sqrt(2)) if difference.size else np.nan
