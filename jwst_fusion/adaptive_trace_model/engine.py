"""Oversample detector images given as plain arrays along their slits."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.adaptive_trace_model.exposure import ExposureImages, trace_exposure
from jwst_fusion.adaptive_trace_model.geometry_array import ArrayGeometry
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.adaptive_trace_model.modes import TraceMode, mode_of_name
from jwst_fusion.adaptive_trace_model.settings import OVERSAMPLE, TraceSettings
from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.parameters import settings_of

__all__ = ["TraceResult", "oversample"]


@dataclass(frozen=True)
class TraceResult:
    """
    Oversampled image and trace model; images are (oversampled row, column), NaN without data.

    Attributes
    ----------
    flux, error : ndarray of float32
        Oversampled flux and its 1-sigma error, in the unit of the input and per native pixel: a
        flux that is to be shared among the parts of a pixel has to be divided by `oversample`.
        Errors are for programs that take pixels for independent and average them into spaxels; for
        those of sums see `error_of`.
    model : ndarray of float32
        The trace model where it was used, same unit.
    estimated : ndarray of bool
        Pixels without data that the model has filled.
    coordinate : ndarray
        Coordinate along the slit, in the unit of the input.
    wavelength : ndarray of float32
        Wavelength, in the unit of the input.
    row : ndarray
        Native row of each oversampled row, shape ``(oversampled row,)``; centres of native pixels
        are at whole numbers.
    outcomes : dict of int to str
        By number of the slice: ``fitted``; ``faint``, if its source is below `fit_threshold`;
        ``failed``, if the fit has no solution; ``empty``, if it holds next to no data. All but
        the first are interpolated linearly.
    slices : ndarray of int
        Number of the slice at each oversampled pixel, 0 outside.
    mode : str
        Name of the instrument mode.
    oversample : float
        Oversampling factor.
    psf_optimal : bool
        Whether the flux is the trace model alone.
    """

    flux: np.ndarray
    error: np.ndarray
    model: np.ndarray
    estimated: np.ndarray
    coordinate: np.ndarray
    wavelength: np.ndarray
    row: np.ndarray
    outcomes: dict
    slices: np.ndarray
    mode: str
    oversample: float
    psf_optimal: bool


def oversample(
    flux,
    error,
    coordinate,
    *,
    wavelength=None,
    regions=None,
    mode="NIRSpec IFU",
    options=None,
    threads=1,
):
    """
    Fit the traces in a detector image and oversample it along the slits with them.

    Parameters
    ----------
    flux : ndarray
        Detector image with the dispersion along the columns, ``(row, column)``, in any unit. NaN
        marks pixels that must not be used.
    error : ndarray
        1-sigma error, same shape and unit. Pixels whose error is not positive take no part in the
        fit; those where it is not finite have no flux in the result.
    coordinate : ndarray
        Coordinate along the slit at the pixel centres, same shape, in any unit; NaN outside the
        slices. It grows, or falls, with the row.
    wavelength : ndarray, optional
        Wavelength, same shape, in any unit. It is interpolated, and not used otherwise.
    regions : ndarray of int, optional
        Number of the slice at each pixel, 0 outside, same shape. By default all pixels with a
        coordinate are one slice. Slices of the MIRI MRS are numbered 100 times the channel plus
        their number within it.
    mode : str or TraceMode, optional
        Instrument mode, or its name in `~jwst_fusion.adaptive_trace_model.MODES`: how smooth
        profiles are.
    options : TraceSettings, optional
        What else can be chosen; ``TraceSettings(oversample=2.0)`` by default.
    threads : int, optional
        Number of threads; each works on a slice at a time.

    Returns
    -------
    TraceResult
        Oversampled flux and error, trace model, coordinates.

    Raises
    ------
    TypeError
        If options are of another type.
    ValueError
        If shapes differ, no flux is finite, no error is positive, there is no slice, a pixel within
        a slice has no coordinate, or `mode` is none of the known names.
    """
    settings = settings_of(options, TraceSettings, oversample=OVERSAMPLE)
    mode = mode if isinstance(mode, TraceMode) else mode_of_name(mode)
    flux, error = np.asarray(flux, dtype=float), np.asarray(error, dtype=float)
    geometry = ArrayGeometry(coordinate, wavelength, regions)
    for name, values in (("flux", flux), ("error", error)):
        if values.shape != geometry.regions.shape:
            msg = f"{name} has the shape {values.shape}, coordinate {geometry.regions.shape}"
            raise ValueError(msg)
    _check_numbers(geometry, mode)
    flux = np.where(np.isfinite(flux), flux, np.nan)
    used = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if not used.any():
        msg = "no pixel has a finite flux and a positive error"
        raise ValueError(msg)
    # Squares of physical units may leave single precision; a power of two costs no digit.
    unit = np.exp2(np.round(np.log2(np.median(error[used]))))
    error = np.where(np.isfinite(error), error / unit, np.nan)
    native = ExposureImages(
        flux=flux / unit,
        error=np.where(error > 0, error, np.nan),
        variances={"variance": error**2},
    )
    traced = trace_exposure(native, geometry, mode, settings, threads=threads)
    images = traced.images
    size = np.float32(unit)
    row = oversampled_position(np.arange(len(images["flux"])), settings.oversample)
    nearest = np.minimum(np.floor(row + 0.5).astype(np.intp), len(flux) - 1)
    known = np.isfinite(images["flux"]) & np.isfinite(images["variance"])
    return TraceResult(
        flux=np.where(known, images["flux"] * size, np.nan),
        error=np.where(known, np.sqrt(images["variance"]) * size, np.nan),
        model=images["spline_used"] * size,
        estimated=traced.estimated,
        coordinate=_oversampled_coordinate(geometry, settings.oversample, known.shape),
        wavelength=images["wavelength"],
        row=row,
        outcomes=traced.outcomes,
        slices=geometry.regions[nearest],
        mode=mode.name,
        oversample=float(settings.oversample),
        psf_optimal=settings.psf_optimal,
    )


def _check_numbers(geometry, mode):
    """Refuse numbers of slices that do not tell the channel where a mode has several."""
    channels = len(mode.spaxels)
    wrong = [one.label for one in geometry.layouts if not 1 <= one.label // 100 <= channels]
    if channels > 1 and wrong:
        msg = (
            f"regions has the slices {', '.join(map(str, wrong))}: those of {mode.name} are "
            "numbered 100 times the channel plus their number within it"
        )
        raise ValueError(msg)


def _oversampled_coordinate(geometry, factor, shape):
    """Slit coordinates of an oversampled image, NaN outside the slices."""
    image = np.full(shape, np.nan)
    for layout in geometry.layouts:
        rows, valid, position = layout.oversampled_rows(factor)
        coordinate, _ = geometry.coordinates(layout)
        layout.paste(
            [image],
            rows,
            valid,
            [interpolate_smooth(coordinate, layout.between_ends, position)],
        )
    return image
