"""Read exposures before and after the trace model as arrays, from files or datamodels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from stcal.resample.utils import is_flux_density
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.geometry import GeometryError, make_geometry
from jwst_fusion.adaptive_trace_model.modes import find_mode
from jwst_fusion.adaptive_trace_model.slices import oversampled_size
from jwst_fusion.products.exposure import read_images, slice_records, spectra, unit_of
from jwst_fusion.products.open import open_model

__all__ = [
    "TracedExposure",
    "TracedSpectrum",
    "exposure_of",
    "facts_of",
    "read_traced_exposure",
    "traced_spectrum",
]

# Suffix of the product, and name of the step in ``meta.cal_step``.
_SUFFIX = "adaptive_trace_model"


@dataclass(frozen=True)
class TracedSpectrum:
    """
    An exposure, or one slit of it, before and after; images are (row, column).

    Attributes
    ----------
    name : str
        Name of the slit; empty for an IFU.
    geometry : object
        See `jwst_fusion.adaptive_trace_model.geometry`.
    flux, error : array
        The exposure; NaN where invalid.
    after, model : array
        Flux and trace model on the oversampled rows, per native pixel; NaN where there is none.
    factor : float
        Oversampling factor.
    records : dict of int to SliceRecord
        How the model fared in each slice; empty if the product does not say it.
    """

    name: str
    geometry: object
    flux: np.ndarray
    error: np.ndarray
    after: np.ndarray
    model: np.ndarray
    factor: float
    records: dict = field(default_factory=dict)


@dataclass(frozen=True)
class TracedExposure:
    """
    An exposure with a trace model.

    Attributes
    ----------
    name, source : str
        File names of the product and of the exposure it was made of.
    mode : str
        Instrument mode.
    unit : str
        Of the flux.
    spectra : list of TracedSpectrum
        The exposure, or its slits.
    filled : int
        Oversampled pixels without data that the model fills.
    facts : list of (str, str)
        More about it: names and values.
    """

    name: str
    source: str
    mode: str
    unit: str
    spectra: list
    filled: int
    facts: list


def read_traced_exposure(product, source=None):
    """
    Read an exposure with a trace model, and the exposure that it was made of.

    Parameters
    ----------
    product : str or `~pathlib.Path`
        File of the product.
    source : str or `~pathlib.Path`, optional
        File of the exposure, or the folder where it lies; by default it is looked for beside the
        product. Not needed if the product is not oversampled.

    Returns
    -------
    TracedExposure
        Both.

    Raises
    ------
    ValueError
        If the product has no trace model, or the exposure is not found or is another.
    """
    product = Path(product)
    with open_model(product) as model:
        if getattr(model.meta.cal_step, _SUFFIX, None) != "COMPLETE":
            msg = f"{product} has no trace model: its keyword S_TRCMOD is not 'COMPLETE'"
            raise ValueError(msg)
        path = _source(product, source)
        if path is None:
            return exposure_of(model, model, product.name, product.name)
        with open_model(path) as native:
            return exposure_of(native, model, path.name, product.name)


def _source(product, given):
    """File of the exposure; None if there is none to be found."""
    given = product.parent if given is None else Path(given)
    if given.is_file():
        return given
    stem = product.name.removesuffix(".fits")
    for suffix in (f"fusion_{_SUFFIX}", _SUFFIX):
        stem = stem.removesuffix("_" + suffix)
    return next(
        (
            given / f"{stem}_{ending}.fits"
            for ending in ("cal", "photom", "srctype", "flat_field", "assign_wcs")
            if (given / f"{stem}_{ending}.fits").is_file()
        ),
        None,
    )


def exposure_of(native, product, source, name):
    """
    Bring an exposure before and after the trace model together.

    Parameters
    ----------
    native, product : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The exposure, and what became of it; the same if it was not oversampled.
    source, name : str
        Their files.

    Returns
    -------
    TracedExposure
        Both.

    Raises
    ------
    ValueError
        If the geometry of the exposure is not known, or the two do not belong together.
    """
    instrument = native.meta.instrument
    mode, reason = find_mode(native.meta.exposure.type, instrument.detector, instrument.grating)
    if mode is None:
        msg = f"{source}: {reason}"
        raise ValueError(msg)
    before, after = spectra(native), spectra(product)
    if len(before) != len(after):
        msg = (
            f"{source} has {len(before)} slits, {name} {len(after)}: "
            "is that the exposure it was made of?"
        )
        raise ValueError(msg)
    found, filled, records = [], 0, slice_records(product)
    for one, other in zip(before, after, strict=True):
        if not other.hasattr("trace_model") or other.trace_model is None:
            continue
        try:
            geometry = make_geometry(mode.geometry, one)
        except GeometryError as error:
            msg = f"{source}: {error}. A report needs the exposure before it was oversampled"
            raise ValueError(msg) from error
        images, reason = read_images(one, transposed=geometry.transposed)
        if images is None:
            continue
        unit, fared = unit_of(one, native), records.get(_name(one), {})
        found.append(_spectrum(one, other, geometry, images, unit, source, fared))
        filled += int(np.sum((np.asarray(other.dq) & dqflags.pixel["FLUX_ESTIMATED"]) > 0))
    if not found:
        msg = f"{name} has no trace model"
        raise ValueError(msg)
    return TracedExposure(
        name=name,
        source=source,
        mode=mode.name,
        unit=unit_of(before[0], native) or "",
        spectra=found,
        filled=filled,
        facts=facts_of(native),
    )


def facts_of(model):
    """
    List what the header of an exposure says about it.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The exposure.

    Returns
    -------
    list of (str, str)
        Names and values.
    """
    instrument = model.meta.instrument
    optics = " ".join(str(x) for x in (instrument.filter, instrument.grating) if x)
    target = getattr(model.meta.target, "catalog_name", None)
    facts = (("Detector", instrument.detector), ("Optics", optics), ("Target", target))
    return [(name, str(value)) for name, value in facts if value]


def traced_spectrum(spectrum, geometry, native, result, factor):
    """
    Keep what a report needs of a spectrum, before the result is written into the model.

    Parameters
    ----------
    spectrum : datamodel or slit
        The spectrum.
    geometry : object
        Its geometry.
    native : `~jwst_fusion.adaptive_trace_model.exposure.ExposureImages`
        The exposure.
    result : `~jwst_fusion.adaptive_trace_model.exposure.OversampledImages`
        Its oversampled images; they are copied.
    factor : float
        Oversampling factor.

    Returns
    -------
    TracedSpectrum
        The spectrum before and after; images on native pixels if it was not oversampled.
    """
    return TracedSpectrum(
        name=_name(spectrum),
        geometry=geometry,
        flux=native.flux,
        error=native.error,
        after=result.images["flux"].copy() if factor > 1 else native.flux,
        model=result.images["spline_used"].copy(),
        factor=float(factor),
        records=dict(result.records),
    )


def _name(spectrum):
    return str(getattr(spectrum, "name", None) or "")


def _spectrum(before, after, geometry, images, unit, source, records):
    def engine(values):
        values = np.asarray(values)
        values = values.reshape(values.shape[-2:]) if len(values) == 1 else values
        return values.T if geometry.transposed else values

    model, rows = engine(after.trace_model), len(images.flux)
    factor = _factor(before, after, len(model) / rows)
    if model.shape != (oversampled_size(rows, factor), images.flux.shape[1]):
        msg = (
            f"{source} does not have the pixels of the product: "
            "is that the exposure it was made of?"
        )
        raise ValueError(msg)
    flux = images.flux
    if factor > 1:
        flux = engine(after.data)
        if is_flux_density(unit):
            # The flux of a pixel was shared among its parts.
            flux, model = flux * factor, model * factor
    return TracedSpectrum(
        _name(before), geometry, images.flux, images.error, flux, model, factor, records
    )


def _factor(before, after, ratio):
    """Oversampling factor, by which the area of a pixel was divided; the size is rounded up."""
    areas = [getattr(one.meta.photometry, "pixelarea_arcsecsq", None) for one in (before, after)]
    return round(areas[0] / areas[1], 6) if all(areas) else round(ratio, 2)
