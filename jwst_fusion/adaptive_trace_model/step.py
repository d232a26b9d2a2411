"""The step for pipelines: parameters, datamodels in and out."""

import logging

import numpy as np
from jwst.datamodels import ModelLibrary
from stcal.resample.utils import is_flux_density
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.exposure import (
    ExposureImages,
    TraceOptions,
    count_threads,
    estimate_noise,
    trace_exposure,
)
from jwst_fusion.adaptive_trace_model.geometry import GeometryError, make_geometry
from jwst_fusion.adaptive_trace_model.modes import find_mode
from jwst_fusion.base import FusionBaseStep

__all__ = ["AdaptiveTraceModelStep"]

log = logging.getLogger(f"stpipe.{__name__}")

#: Images that do not fit the oversampled pixels.
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
_PRODUCTS = {
    "spline_full": "spline_full",
    "spline_used": "spline_used",
    "linear": "linear_interp",
    "residual": "spline_residual",
}


class AdaptiveTraceModelStep(FusionBaseStep):
    """
    Model the spectral traces of compact sources, and oversample the exposure with the model.

    In each slice, the flux is modelled as a scale per detector column times a profile that varies
    smoothly along the slit and along the dispersion. Where the profile is too steep for linear
    interpolation, the exposure is resampled along the slit with the model and the interpolated
    residual, elsewhere by linear interpolation (Law et al. 2026, "Mitigating Resampling Artifacts
    for the JWST IFU Spectrometers with Adaptive Trace Modeling").

    Input are calibrated IFU exposures: a file, a datamodel, an association, or a list,
    ``ModelContainer`` or ``ModelLibrary`` of them.
    """

    class_alias = "adaptive_trace_model"

    spec = """
    fit_threshold = float(default=10.0) # Smallest brightness of a source above the background of its slice, in sigma of a pixel (median over wavelength), for the slice to be fitted. Any number; <= 0: fit all slices
    oversample = float(default=1.0) # Oversampling factor along the slit, 1 to 10, not necessarily whole. 1: only attach the trace model
    slope_limit = float(default=0.1) # Smallest change of the normalised profile per native pixel (fraction of the source's flux) for the model to be used. Any number; smaller: use it for fainter and wider sources; <= 0: use it all over
    psf_optimal = boolean(default=False) # Replace the flux by the model alone, in all slices, for isolated point sources; fit_threshold and slope_limit are ignored
    save_intermediate_results = boolean(default=False) # Save the files spline_full, spline_used and, if oversampled, linear_interp and spline_residual
    suffix = string(default='adaptive_trace_model') # Suffix of the output file
    output_use_model = boolean(default=True) # Name the output after the input files
    maximum_cores = string(default='none') # Number of threads: a whole number >= 1, 'none' (1), 'quarter', 'half' or 'all' of the cores
    """  # noqa: E501

    def process(self, input_data):
        """
        Fit the traces of one or several exposures and oversample them.

        Parameters
        ----------
        input_data : str, dict, list, datamodel, ModelContainer or ModelLibrary
            Exposures that have passed assign_wcs; normally ``cal`` products.

        Returns
        -------
        `~stdatamodels.jwst.datamodels.IFUImageModel`, ModelContainer or ModelLibrary
            The exposures with ``trace_model`` attached and, if ``oversample`` is above 1, on the
            oversampled pixels. An exposure that cannot be used comes back as it was, with the
            status SKIPPED, and one of an unsupported type with the status FAILED. The exposures
            of a ModelLibrary are changed in place, as by the steps of jwst; of all other input
            copies are changed.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or arrays of an exposure differ in shape.
        """
        options = TraceOptions(
            oversample=self.oversample,
            fit_threshold=self.fit_threshold,
            slope_limit=self.slope_limit,
            psf_optimal=self.psf_optimal,
        )
        threads = count_threads(self.maximum_cores)
        models = self.open_input(input_data)
        self.add_asn_id_to_output_name(models)
        if isinstance(models, ModelLibrary):
            with models:
                for index, model in enumerate(models):
                    self._process_exposure(model, options, threads)
                    models.shelve(model, index)
            return models
        for model in [models] if isinstance(models, datamodels.JwstDataModel) else models:
            self._process_exposure(model, options, threads)
        return models

    def _process_exposure(self, model, options, threads):
        """Process one exposure in place, or mark it as skipped or failed."""
        name = model.meta.filename or "exposure"
        if not isinstance(model, datamodels.IFUImageModel):
            self.fail_model(
                model, f"{name} is of type {type(model).__name__}: only IFUImageModel is supported"
            )
            return
        instrument = model.meta.instrument
        mode, reason = find_mode(model.meta.exposure.type, instrument.detector, instrument.grating)
        if mode is None:
            self.skip_model(model, f"{name}: {reason}")
            return
        check_shapes(model)
        try:
            geometry = make_geometry(mode.geometry, model)
        except GeometryError as error:
            self.skip_model(model, f"{name}: {error}")
            return
        native, reason = read_images(model)
        if native is None:
            self.skip_model(model, f"{name}: {reason}")
            return

        log.info("Fitting the traces of %s (%s)", name, mode.name)
        result = trace_exposure(
            native,
            geometry,
            mode,
            options,
            intermediate=self.save_intermediate_results,
            threads=threads,
        )
        log.info("%d slices fitted, %d below fit_threshold", result.n_fitted, result.n_faint)
        if result.n_failed:
            log.warning(
                "%d slices could not be fitted and are interpolated linearly", result.n_failed
            )
        if options.oversample > 1:
            wcs = geometry.oversampled_wcs(options.oversample)
            write_oversampled(model, result, wcs, options.oversample)
            log.info("%d oversampled pixels without data filled", int(result.estimated.sum()))
        else:
            model.trace_model = result.images["spline_used"]
        self.set_status(model, "COMPLETE")
        if self.save_intermediate_results:
            self._save_products(model, result, options)

    def _save_products(self, model, result, options):
        """Save the intermediate products beside the output."""
        for name, suffix in _PRODUCTS.items():
            if options.oversample == 1 and name in ("linear", "residual"):
                continue
            with datamodels.IFUImageModel(data=result.images[name]) as product:
                product.update(model)
                product.dq = None
                product.err = None
                product.meta.bunit_err = None
                path = self.make_output_path(basepath=model.meta.filename, suffix=suffix)
                product.save(path)
                log.info("Saved %s", path)


def check_shapes(model):
    """
    Check that all images of an exposure have the shape of its data.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        The exposure.

    Raises
    ------
    ValueError
        If an image is of another shape.
    """
    for name in ("dq", "err", *_VARIANCES):
        if model.hasattr(name) and getattr(model, name).shape != model.data.shape:
            msg = (
                f"{model.meta.filename}: {name} has the shape {getattr(model, name).shape}, "
                f"data {model.data.shape}"
            )
            raise ValueError(msg)


def read_images(model):
    """
    Read flux and errors of an exposure, NaN at pixels that must not be used.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        The exposure; it is not changed.

    Returns
    -------
    native : ExposureImages or None
        `None` if no pixel holds data.
    reason : str
        Why there are no data; empty otherwise.
    """
    flux = np.array(model.data, dtype=np.float32)
    bad = ~np.isfinite(flux)
    if model.hasattr("dq"):
        bad |= (np.asarray(model.dq) & dqflags.pixel["DO_NOT_USE"]) > 0
    flux[bad] = np.nan
    if bad.all():
        return None, "all pixels are NaN or flagged DO_NOT_USE"
    if not np.any(flux[~bad]):
        return None, "all pixels are zero"
    error = np.asarray(model.err) if model.hasattr("err") else np.zeros_like(flux)
    with np.errstate(over="ignore"):
        variances = {"err": np.square(error, dtype=np.float64).astype(np.float32)}
    usable = np.isfinite(error) & (error > 0)
    n_unknown = int(np.sum(~usable & ~bad))
    if n_unknown == np.sum(~bad):
        noise = estimate_noise(flux)
        log.warning("err holds no positive error: the fit assumes %.3g everywhere", noise)
        error = np.full_like(flux, noise)
    elif n_unknown:
        log.warning("%d pixels without positive error take no part in the fit", n_unknown)
        error = np.where(usable, error, np.nan)
    for name in _VARIANCES:
        if model.hasattr(name):
            variances[name] = np.asarray(getattr(model, name))
    return ExposureImages(flux, error, variances), ""


def write_oversampled(model, result, wcs, factor):
    """
    Write oversampled images and what goes with them into a datamodel, in place.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        The native exposure.
    result : OversampledImages
        Its oversampled images.
    wcs : `gwcs.wcs.WCS`
        WCS of the oversampled pixels.
    factor : float
        Oversampling factor.
    """
    images = result.images
    n_row = result.estimated.shape[0]
    native_row = np.floor((np.arange(n_row) + 0.5) / factor).astype(int)
    native_row = np.minimum(native_row, model.data.shape[0] - 1)

    if is_flux_density(model.meta.bunit_data):
        # The flux of a pixel, unlike a surface brightness, is shared among its parts.
        for name, image in images.items():
            if name != "wavelength":
                image /= factor**2 if name in ("err", *_VARIANCES) else factor

    dq = np.array(model.dq)[native_row]
    dq[result.estimated] &= ~np.uint32(dqflags.pixel["DO_NOT_USE"])
    dq[result.estimated] |= np.uint32(dqflags.pixel["FLUX_ESTIMATED"])
    regions = np.array(model.regions)[native_row] if model.hasattr("regions") else None
    images["err"] = np.sqrt(images["err"])
    invalid = np.isnan(images["flux"]) | np.isnan(images["err"])
    dq[invalid] |= np.uint32(dqflags.pixel["DO_NOT_USE"])
    for name in ("flux", "err", *_VARIANCES):
        if name in images:
            images[name][invalid] = np.nan

    model.data = images["flux"]
    model.dq = dq
    for name in ("err", *_VARIANCES):
        if name in images and model.hasattr(name):
            setattr(model, name, images[name])
    model.wavelength = images["wavelength"]
    model.trace_model = images["spline_used"]
    if regions is not None:
        model.regions = regions
    for name in _OBSOLETE:
        if model.hasattr(name):
            delattr(model, name)
    model.meta.wcs = wcs
    photometry = model.meta.photometry
    for name in ("pixelarea_steradians", "pixelarea_arcsecsq"):
        if getattr(photometry, name) is not None:
            setattr(photometry, name, getattr(photometry, name) / factor)
