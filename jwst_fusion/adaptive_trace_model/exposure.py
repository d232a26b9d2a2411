"""One exposure: fit and oversample all its slices, in threads, and put the image together.

Images are (row, column) with the dispersion along the columns.
"""

import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.adaptive_trace_model.combination import oversample_slice
from jwst_fusion.adaptive_trace_model.compact import collapse, row_pitch, significance, steep_ranges
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.adaptive_trace_model.slices import oversampled_size
from jwst_fusion.adaptive_trace_model.trace import PROFILE_MODELS, fit_trace

__all__ = [
    "ExposureImages",
    "OversampledImages",
    "TraceOptions",
    "count_threads",
    "estimate_noise",
    "trace_exposure",
]

log = logging.getLogger(__name__)

#: Largest oversampling factor; more than three or four brings no gain (Law & Clarke 2026, III.1).
_MAX_OVERSAMPLE = 10.0
#: Distance over which model and linear interpolation are blended, in native pixels.
_TAPER = 1.0


@dataclass(frozen=True)
class TraceOptions:
    """
    The user's choices, with the meaning of the step's parameters of the same names.

    Parameters
    ----------
    oversample : float
        Oversampling factor, at least 1.
    fit_threshold : float
        Smallest significance of a source for its slice to be fitted; not positive: fit all.
    slope_limit : float
        Smallest relative slope of a trace for the model to be used; not positive: use it all over.
    psf_optimal : bool
        Replace the flux by the model in all slices.
    profile_model : {"surface", "window"}
        How the profile depends on the column, see `fit_trace`.

    Raises
    ------
    ValueError
        If a number is not finite or out of its range, or `profile_model` is none of the two.
    """

    oversample: float = 1.0
    fit_threshold: float = 10.0
    slope_limit: float = 0.1
    psf_optimal: bool = False
    profile_model: str = "surface"

    def __post_init__(self):
        for name in ("oversample", "fit_threshold", "slope_limit"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not math.isfinite(value):
                msg = f"{name} is {value}: it must be a finite number"
                raise ValueError(msg)
        if not 1 <= self.oversample <= _MAX_OVERSAMPLE:
            msg = f"oversample is {self.oversample}: it must be from 1 to {_MAX_OVERSAMPLE:g}"
            raise ValueError(msg)
        if self.profile_model not in PROFILE_MODELS:
            allowed = ", ".join(PROFILE_MODELS)
            msg = f"profile_model is {self.profile_model!r}: allowed are {allowed}"
            raise ValueError(msg)


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
    n_fitted, n_faint, n_failed : int
        Numbers of slices that were fitted, were below the threshold, and could not be fitted.
    n_blind : int
        Columns of fitted slices that hold data, but too few good pixels for a scale.
    """

    images: dict
    estimated: np.ndarray
    n_fitted: int = 0
    n_faint: int = 0
    n_failed: int = 0
    n_blind: int = 0


def trace_exposure(native, geometry, mode, options, *, intermediate=False, threads=1):
    """
    Fit the traces of an exposure and oversample it.

    Parameters
    ----------
    native : ExposureImages
        The exposure.
    geometry : object
        With ``layouts`` and ``coordinates(layout)``, see `NirspecIfuGeometry`.
    mode : TraceMode
        Settings of the instrument mode.
    options : TraceOptions
        The user's choices.
    intermediate : bool, optional
        Whether to return ``spline_full``, ``linear`` and ``residual``.
    threads : int, optional
        Number of threads.

    Returns
    -------
    OversampledImages
        With factor 1, too: then the flux is the native one and only the models matter.
    """
    shape = (oversampled_size(native.flux.shape[0], options.oversample), native.flux.shape[1])
    names = ["flux", "wavelength", "spline_used", *native.variances]
    names += ["spline_full", "linear", "residual"] if intermediate else []
    result = OversampledImages(
        images={name: np.full(shape, np.nan, dtype=np.float32) for name in names},
        estimated=np.zeros(shape, dtype=bool),
    )

    def work(layout):
        return _trace_slice(layout, native, geometry, mode, options, result)

    with threadpool_limits(1, user_api="blas"):
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                outcomes = list(pool.map(work, geometry.layouts))
        else:
            outcomes = [work(layout) for layout in geometry.layouts]
    kinds = [kind for kind, _ in outcomes]
    result.n_fitted = kinds.count("fitted")
    result.n_faint = kinds.count("faint")
    result.n_failed = kinds.count("failed")
    result.n_blind = sum(blind for _, blind in outcomes)
    return result


def _trace_slice(layout, native, geometry, mode, options, result):
    """Process one slice and write it into the images, where no other slice writes."""
    flux, error = layout.cut(native.flux), layout.cut(native.error)
    error[np.isnan(flux)] = np.nan
    coordinate, wavelength = geometry.coordinates(layout)
    known = np.isfinite(coordinate)
    pitch = row_pitch(coordinate)
    fit, outcome = _fit(flux, error, coordinate, pitch, mode, options)
    ranges = []
    if fit is not None:
        limit = 0.0 if options.psf_optimal else options.slope_limit
        ranges = steep_ranges(fit, coordinate, error, slope_limit=limit, pad=mode.pad, pitch=pitch)
    rows, valid, position = layout.oversampled_rows(options.oversample)
    sliced = oversample_slice(
        flux,
        {name: layout.cut(image) for name, image in native.variances.items()},
        position,
        valid,
        factor=options.oversample,
        fit=fit,
        coordinate=interpolate_smooth(coordinate, known, position) if fit else None,
        ranges=ranges,
        taper_width=_TAPER * pitch,
        psf_optimal=options.psf_optimal,
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
    blind = 0
    if fit is not None:
        blind = int(np.sum(np.isfinite(flux).any(axis=1) & ~np.isfinite(fit.scale)))
    return outcome, blind


def _fit(flux, error, coordinate, pitch, mode, options):
    """Fit one slice if it holds a source that is bright enough."""
    good = np.isfinite(flux) & np.isfinite(coordinate) & (error > 0)
    if good.sum() < 4 or not np.isfinite(pitch):
        return None, "empty"
    if options.fit_threshold > 0 and not options.psf_optimal:
        collapsed = collapse(flux, error, coordinate, good=good, step=pitch / 2)
        if significance(collapsed) < options.fit_threshold:
            return None, "faint"
    fit = fit_trace(
        flux,
        error,
        coordinate,
        profile_model=options.profile_model,
        knots_per_pixel=mode.knots_per_pixel,
        node_spacing=mode.node_spacing,
        stiffness=mode.stiffness,
        bending=mode.bending,
        min_good=mode.min_good,
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
    return float(1.4826 * np.median(np.abs(difference)) / np.sqrt(2)) if difference.size else np.nan


def count_threads(maximum_cores):
    """
    Translate the parameter ``maximum_cores``.

    Parameters
    ----------
    maximum_cores : str
        A whole number, 'none', 'quarter', 'half' or 'all'.

    Returns
    -------
    int
        Number of threads, at least 1 and at most the number of cores.

    Raises
    ------
    ValueError
        If the value is none of these.
    """
    available = os.cpu_count() or 1
    text = str(maximum_cores).strip().lower()
    shares = {"none": 1, "quarter": available // 4, "half": available // 2, "all": available}
    if text not in shares and not (text.isdecimal() and int(text) >= 1):
        msg = (
            f"maximum_cores is {maximum_cores!r}: allowed are a whole number from 1 on, 'none', "
            "'quarter', 'half' and 'all'"
        )
        raise ValueError(msg)
    return min(max(shares[text] if text in shares else int(text), 1), available)
