"""Read the spectra of an exposure as images, and write the oversampled ones back.

A spectrum is a datamodel with one detector image, or one slit of a MultiSlitModel. Engine images
are (row, column) with the dispersion along the columns; where a geometry is transposed, they are
transposed detector images.
"""

import logging

import numpy as np
from stcal.resample.utils import is_flux_density
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.exposure import ExposureImages, SliceRecord, estimate_noise
from jwst_fusion.adaptive_trace_model.integrations import median_image
from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.messages import warn

__all__ = [
    "PRODUCTS",
    "bad_pixels",
    "check_shapes",
    "has_type",
    "is_series",
    "make_product",
    "read_images",
    "record_oversampling",
    "record_slices",
    "slice_records",
    "spectra",
    "unit_of",
    "write_result",
]

log = logging.getLogger(__name__)

#: Arrays of a datamodel that do not fit the oversampled pixels.
_OBSOLETE = (
    "area",
    "barshadow",
    "flatfield_point",
    "flatfield_uniform",
    "pathloss_point",
    "pathloss_uniform",
    "photom_point",
    "photom_uniform",
    "zeroframe",
)
_VARIANCES = ("var_rnoise", "var_poisson", "var_flat")
#: Intermediate products: name of the image and suffix of the file.
PRODUCTS = {
    "spline_full": "spline_full",
    "spline_used": "spline_used",
    "linear": "linear_interp",
    "residual": "spline_residual",
}
# Keywords of oversampled exposures, as schemas of data models have them.
_KEYWORDS = {
    "oversample": {
        "title": "Oversampling factor along the slit",
        "type": "number",
        "fits_keyword": "TRCFACT",
    },
    "psf_optimal": {
        "title": "Whether data is the trace model alone",
        "type": "boolean",
        "fits_keyword": "TRCPSF",
    },
    "sums": {"title": "Errors of sums", "type": "string", "fits_keyword": "TRCSUMS"},
}
# Columns of the table of slices: chi-square per pixel, part of the model that was refused.
_SLICES = [
    {"name": "slit", "datatype": ["ascii", 20]},
    {"name": "slice", "datatype": "int32"},
    {"name": "outcome", "datatype": ["ascii", 8]},
    {"name": "chi2", "datatype": "float32"},
    {"name": "refused", "datatype": "float32"},
]
_SUMS = "jwst_fusion.adaptive_trace_model.error_of; rows are correlated"
#: Flux whose square is beyond single precision is not a measurement; in any unit of the pipeline.
_LARGEST = 1e18
_DO_NOT_USE = np.uint32(dqflags.pixel["DO_NOT_USE"])
_ESTIMATED = np.uint32(dqflags.pixel["FLUX_ESTIMATED"])


def has_type(model, names):
    """
    Tell whether a datamodel is of one of several types.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The datamodel.
    names : sequence of str
        Names of classes in `stdatamodels.jwst.datamodels`.

    Returns
    -------
    bool
        Whether it is.
    """
    return isinstance(model, tuple(getattr(datamodels, name) for name in names))


def spectra(model):
    """
    List the spectra of an exposure.

    Parameters
    ----------
    model : IFUImageModel, SlitModel or MultiSlitModel
        The exposure.

    Returns
    -------
    list
        The slits of a MultiSlitModel, else the model itself.
    """
    return list(model.slits) if isinstance(model, datamodels.MultiSlitModel) else [model]


def is_series(spectrum):
    """
    Tell whether a spectrum has several integrations.

    Parameters
    ----------
    spectrum : datamodel or slit
        The spectrum.

    Returns
    -------
    bool
        Whether its data have three axes and more than one image.
    """
    return spectrum.data.ndim == 3 and len(spectrum.data) > 1


def unit_of(spectrum, model):
    """
    Return the unit of the data of a spectrum, if it or its exposure says it.

    Parameters
    ----------
    spectrum : datamodel or slit
        The spectrum.
    model : IFUImageModel, SlitModel or MultiSlitModel
        The exposure that it belongs to.

    Returns
    -------
    str or None
        Unit (keyword BUNIT); None if it is not known.
    """
    for part in (spectrum, model):
        unit = getattr(part.meta, "bunit_data", None)
        if unit is not None:
            return unit
    return None


def check_shapes(model):
    """
    Check that the images of each spectrum of an exposure have the shape of its data.

    Parameters
    ----------
    model : IFUImageModel, SlitModel or MultiSlitModel
        The exposure.

    Raises
    ------
    ValueError
        If an image is of another shape, or the data are not images.
    """
    several = isinstance(model, datamodels.MultiSlitModel)
    for spectrum in spectra(model):
        where = model.meta.filename
        if several:
            where = f"{where}, slit {getattr(spectrum, 'name', '')}"
        shape = spectrum.data.shape
        if len(shape) not in (2, 3):
            msg = f"{where}: data has the shape {shape}: two or three axes are needed"
            raise ValueError(msg)
        for name in ("dq", "err", *_VARIANCES):
            if _has(spectrum, name) and getattr(spectrum, name).shape != shape:
                found = getattr(spectrum, name).shape
                msg = f"{where}: {name} has the shape {found}, data {shape}"
                raise ValueError(msg)


def bad_pixels(spectrum):
    """
    Find the pixels of a spectrum that must not be used.

    Parameters
    ----------
    spectrum : datamodel or slit
        The spectrum.

    Returns
    -------
    ndarray of bool
        Pixels that are not finite, no measurement, or flagged DO_NOT_USE; shape of the data.
    """
    bad = ~(np.abs(np.asarray(spectrum.data)) < _LARGEST)
    if _has(spectrum, "dq"):
        bad |= (np.asarray(spectrum.dq) & _DO_NOT_USE) > 0
    return bad


def read_images(spectrum, *, transposed=False):
    """
    Read flux and errors of a spectrum, NaN at pixels that must not be used.

    Parameters
    ----------
    spectrum : datamodel or slit
        It is not changed. Of several integrations the median is taken, see `median_image`.
    transposed : bool, optional
        Whether to transpose the images.

    Returns
    -------
    native : ExposureImages or None
        Engine images; `None` if no pixel holds data.
    reason : str
        Why there are no data; empty otherwise.
    """
    flux = np.array(spectrum.data, dtype=np.float32)
    bad = bad_pixels(spectrum)
    flux[bad] = np.nan
    if bad.all():
        return None, "all pixels are NaN or flagged DO_NOT_USE"
    if not np.any(flux[~bad]):
        return None, "all pixels are zero"
    error = np.asarray(spectrum.err) if _has(spectrum, "err") else np.zeros_like(flux)
    names = [name for name in _VARIANCES if _has(spectrum, name)]
    if is_series(spectrum):
        flux, error = median_image(flux, error)
        bad = np.isnan(flux)
        names = []

    def image(values):
        values = np.asarray(values).reshape(np.shape(values)[-2:])
        return values.T if transposed else values

    flux, error, bad = image(flux), image(error), image(bad)
    # An error whose square overflows single precision carries no information.
    usable = (error > 0) & (error < _LARGEST)
    n_unknown = int(np.sum(~usable & ~bad))
    if n_unknown == np.sum(~bad):
        noise = estimate_noise(flux)
        warn(log, "err holds no positive error: the fit assumes %.3g everywhere", noise)
        error = np.full_like(flux, noise)
    with np.errstate(over="ignore"):
        square = np.square(error, dtype=np.float64).astype(np.float32)
    variances = {"err": _finite(square)}
    if 0 < n_unknown < np.sum(~bad):
        warn(log, "%d pixels without positive error take no part in the fit", n_unknown)
        error = np.where(usable, error, np.nan)
    for name in names:
        variances[name] = _finite(image(getattr(spectrum, name)))
    return ExposureImages(flux, error, variances), ""


def write_result(spectrum, result, geometry, factor, *, unit):
    """
    Write the trace model and, if oversampled, all other images into a spectrum, in place.

    Parameters
    ----------
    spectrum : datamodel or slit
        The native spectrum.
    result : OversampledImages
        Its images; if oversampled, their units are changed with those of the spectrum.
    geometry : object
        Geometry of the native spectrum, see `jwst_fusion.adaptive_trace_model.geometry`.
    factor : float
        Oversampling factor; with 1 the trace model is all that is written.
    unit : str or None
        Unit of the data.
    """
    if factor > 1:
        _write_oversampled(spectrum, result, geometry, factor, unit)
    else:
        spectrum.trace_model = _on_detector(result.images["spline_used"], geometry.transposed)


def _write_oversampled(spectrum, result, geometry, factor, unit):
    """Write oversampled images and what goes with them into a spectrum, in place."""
    images, transposed = result.images, geometry.transposed
    if is_flux_density(unit):
        # The flux of a pixel, unlike a surface brightness, is shared among its parts.
        for name, image in images.items():
            if name != "wavelength":
                image /= factor**2 if name in ("err", *_VARIANCES) else factor
    shape = spectrum.data.shape
    axes = shape[:-2]
    native_row = oversampled_position(np.arange(len(result.estimated)), factor)
    native_row = np.floor(native_row + 0.5).astype(np.intp)

    def oversampled(values):
        """Engine image of the nearest native pixels."""
        values = np.asarray(values).reshape(shape[-2:])
        values = values.T if transposed else values
        return values[np.minimum(native_row, len(values) - 1)]

    def on_detector(image):
        image = _on_detector(image, transposed)
        return image.reshape(axes + image.shape)

    dq = spectrum.dq if _has(spectrum, "dq") else np.zeros(shape, dtype=np.uint32)
    dq = oversampled(dq)
    dq[result.estimated] &= ~_DO_NOT_USE
    dq[result.estimated] |= _ESTIMATED
    regions = None if geometry.regions is None else oversampled(geometry.regions)
    np.sqrt(images["err"], out=images["err"])
    invalid = np.isnan(images["flux"]) | np.isnan(images["err"])
    np.bitwise_or(dq, np.uint32(_DO_NOT_USE), out=dq, where=invalid)
    for name in ("flux", "err", *_VARIANCES):
        if name in images:
            np.copyto(images[name], np.nan, where=invalid)

    spectrum.data = on_detector(images["flux"])
    spectrum.dq = on_detector(dq)
    for name in ("err", *_VARIANCES):
        if name in images and _has(spectrum, name):
            setattr(spectrum, name, on_detector(images[name]))
    spectrum.wavelength = _on_detector(images["wavelength"], transposed)
    spectrum.trace_model = _on_detector(images["spline_used"], transposed)
    if regions is not None:
        spectrum.regions = _on_detector(regions, transposed)
    for name in _OBSOLETE:
        if _has(spectrum, name):
            delattr(spectrum, name)
    # An assignment by name would serialise the WCS, only to look at its type.
    spectrum.meta.instance["wcs"] = geometry.oversampled_wcs(factor)
    photometry = getattr(spectrum.meta, "photometry", None)
    for name in ("pixelarea_steradians", "pixelarea_arcsecsq"):
        if getattr(photometry, name, None) is not None:
            setattr(photometry, name, getattr(photometry, name) / factor)


def record_oversampling(model, settings):
    """
    Write into an exposure how it was oversampled, which errors of sums depend on.

    Parameters
    ----------
    model : IFUImageModel, SlitModel or MultiSlitModel
        The exposure, changed in place: keywords TRCFACT, TRCPSF and TRCSUMS.
    settings : TraceSettings
        The factor, and whether the trace model alone was kept.
    """
    schema = {"trace": {"type": "object", "properties": _KEYWORDS}}
    _extend_schema(model, meta={"type": "object", "properties": schema})
    model.meta.trace.oversample = float(settings.oversample)
    model.meta.trace.psf_optimal = bool(settings.psf_optimal)
    model.meta.trace.sums = _SUMS


def _extend_schema(model, **properties):
    """Extend the schema of an exposure without its WCS, which would be serialised to look at it."""
    metas = [model.meta, *(slit.meta for slit in getattr(model, "slits", ()))]
    held = [(meta.instance, meta.instance.pop("wcs", None)) for meta in metas]
    try:
        model.extend_schema({"type": "object", "properties": properties})
    finally:
        for instance, wcs in held:
            if wcs is not None:
                instance["wcs"] = wcs


def record_slices(model, found):
    """
    Write into an exposure how the trace model fared in each slice or slit.

    Parameters
    ----------
    model : IFUImageModel, SlitModel or MultiSlitModel
        The exposure, changed in place: table ``trace_slices`` (extension TRACESLICES).
    found : sequence of (str, int, SliceRecord)
        Name of the slit, number of the slice, and its record.
    """
    schema = {"title": "Trace model by slice", "fits_hdu": "TRACESLICES", "datatype": _SLICES}
    _extend_schema(model, trace_slices=schema)
    table = np.zeros(len(found), model.get_dtype("trace_slices"))
    for row, (slit, number, record) in zip(table, found, strict=True):
        name = slit.encode("ascii", "replace")
        row[0], row[1], row[2] = name, number, record.outcome.encode("ascii")
        row[3], row[4] = record.chi2, record.refused
    model.trace_slices = table


def slice_records(model):
    """
    Read how the trace model fared in each slice or slit.

    Parameters
    ----------
    model : IFUImageModel, SlitModel or MultiSlitModel
        A product of the step.

    Returns
    -------
    dict of str to dict of int to SliceRecord
        By name of the slit (empty for an IFU) and number of the slice; empty for products of
        versions that did not write it.
    """
    table = getattr(model, "trace_slices", None)
    found = {}
    for row in () if table is None else np.asarray(table):
        slit, outcome = (
            bytes(row[key]).decode() if isinstance(row[key], bytes) else str(row[key])
            for key in ("slit", "outcome")
        )
        record = SliceRecord(outcome.strip(), float(row["chi2"]), float(row["refused"]))
        found.setdefault(slit.strip(), {})[int(row["slice"])] = record
    return found


def make_product(model, images):
    """
    Make an intermediate product in the form of the exposure.

    Parameters
    ----------
    model : IFUImageModel, SlitModel or MultiSlitModel
        The exposure as written, whose metadata the product takes.
    images : list of (ndarray, bool) or None
        Engine image of each spectrum, and whether it is transposed; `None` gives NaN in the shape
        of the spectrum's data.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.JwstDataModel`
        IFUImageModel, SlitModel or MultiSlitModel with one slit per slit of the exposure.
    """
    parts = []
    for spectrum, image in zip(spectra(model), images, strict=True):
        ifu = isinstance(model, datamodels.IFUImageModel)
        part = (datamodels.IFUImageModel if ifu else datamodels.SlitModel)(
            data=np.full(spectrum.data.shape[-2:], np.nan, dtype=np.float32)
            if image is None
            else _on_detector(*image)
        )
        part.update(spectrum)
        part.dq = None
        part.err = None
        part.meta.bunit_err = None
        parts.append(part)
    if not isinstance(model, datamodels.MultiSlitModel):
        return parts[0]
    product = datamodels.MultiSlitModel()
    product.update(model, only="PRIMARY")
    product.slits.extend(parts)
    return product


def _has(spectrum, name):
    """Whether a spectrum has an array; asking for one that is missing would make it."""
    return spectrum.hasattr(name) and getattr(spectrum, name) is not None


def _finite(values):
    """Values with NaN in place of infinite ones, which would make every sum infinite."""
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values


def _on_detector(image, transposed):
    """Detector image from an engine image."""
    return np.ascontiguousarray(image.T) if transposed else image
