"""The step ``adaptive_trace_model``: read exposures, model their traces in parallel, write them."""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from jwst.datamodels import ModelLibrary, SourceModelContainer
from stdatamodels.jwst import datamodels
from threadpoolctl import threadpool_limits

from jwst_fusion.adaptive_trace_model.exposure import trace_exposure
from jwst_fusion.adaptive_trace_model.extraction import extract_slit
from jwst_fusion.adaptive_trace_model.geometry import GeometryError, make_geometry
from jwst_fusion.adaptive_trace_model.modes import MODEL_TYPES, find_mode
from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.input_files import reading
from jwst_fusion.messages import warn
from jwst_fusion.numerics.cores import SHARES, count_cores
from jwst_fusion.parameters import option, options_of, spec_of
from jwst_fusion.products.exposure import (
    PRODUCTS,
    check_shapes,
    has_type,
    is_series,
    make_product,
    read_images,
    record_oversampling,
    record_slices,
    spectra,
    unit_of,
    write_result,
)
from jwst_fusion.products.extracted_spectra import (
    EXTRACTIONS,
    background_of,
    cannot_extract,
    extracted_spectra,
    psf_of_slit,
    spectrum_of_field,
    spectrum_of_slit,
)
from jwst_fusion.products.time_series import fill_integrations
from jwst_fusion.products.traced_exposure import TracedExposure, facts_of, traced_spectrum
from jwst_fusion.products.whole_file import save_whole
from jwst_fusion.report.names import report_path
from jwst_fusion.report.trace.page import write_trace_report
from jwst_fusion.steps.base import FusionBaseStep

__all__ = ["AdaptiveTraceModelStep"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _StepOptions:
    """Parameters of the step beside those of the trace model."""

    fill_integrations: bool = option(
        True,
        "Fill pixels without data in each integration of a time series with the trace scaled to "
        "that integration (FLUX_ESTIMATED)",
    )
    extract: str = option(
        "none",
        "Save spectra of point sources (trace_x1d): of that in each slit, or of the brightest one "
        "in the field of the NIRSpec IFU; fits of the trace, without an aperture. auto: with a "
        "background unless a step of the pipeline has subtracted it; with_background, "
        "without_background: whatever the steps have done; none: no spectra",
        choices=EXTRACTIONS,
    )
    save_report: bool = option(
        False,
        "Save a page (report.html) with pictures and numbers: wiggles before and after, traces, "
        "slices fitted",
    )
    save_intermediate_results: bool = option(
        False,
        "Save the files spline_full, spline_used and, if oversampled, linear_interp and "
        "spline_residual",
    )
    suffix: str = option("adaptive_trace_model", "Suffix of the output file")
    output_use_model: bool = option(
        True, "Name the output after the input files; a single exposure after output_file, if given"
    )
    maximum_cores: str = option(
        "none",
        "Number of threads: a whole number >= 1, 'none' (1), 'quarter', 'half' or 'all' of the "
        "cores",
        words=tuple(SHARES),
    )


class AdaptiveTraceModelStep(FusionBaseStep):
    """
    Model the spectral traces of compact sources, and oversample the exposure with the model.

    In each slice, the flux is modelled as a scale per detector column times a profile that varies
    smoothly along the slit and along the dispersion. Where the profile is too steep for linear
    interpolation, the exposure is resampled along the slit with the model and the interpolated
    residual, elsewhere by linear interpolation (Law & Clarke 2026, "Mitigating Resampling Artifacts
    for the JWST IFU Spectrometers with Adaptive Trace Modeling").

    Input are calibrated exposures: a file, a datamodel, an association, or a list,
    ``ModelContainer`` or ``ModelLibrary`` of them.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    class_alias = "adaptive_trace_model"

    # whether the slits of an exposure are processed one by one
    _by_slit = False

    spec = spec_of(TraceSettings, _StepOptions)

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
            status SKIPPED, or COMPLETE if it holds the result of an earlier run already; one of an
            unsupported type with the status FAILED. The exposures
            of a ModelLibrary are changed in place, as by the steps of jwst; of all other input
            copies are changed.

        Raises
        ------
        ValueError
            If a parameter is out of its range, arrays of an exposure differ in shape, or several
            exposures would be written to the same file.
        """
        settings = TraceSettings.from_step(self)
        threads = count_cores(self.maximum_cores)
        models = self.open_input(input_data)
        self.add_asn_id_to_output_name(models)
        # The name that the user gives one exposure takes precedence over that of the input.
        single = isinstance(models, datamodels.JwstDataModel)
        given = self.output_file if single else None
        # In Spec3 the slits of an exposure come one by one, sorted by source, under one name.
        self._by_slit = isinstance(models, SourceModelContainer)
        if self._saves() and not self._by_slit:
            _check_names(models)
        if isinstance(models, ModelLibrary):
            with models:
                for index, model in enumerate(models):
                    self._process_exposure(model, settings, threads, given)
                    models.shelve(model, index)
            return models
        for model in [models] if single else models:
            self._process_exposure(model, settings, threads, given)
        return models

    def skip_model(self, models, reason):
        """
        Leave an exposure as it is; one that an earlier run has completed keeps its status.

        Parameters
        ----------
        models : datamodel
            The unmodified exposure.
        reason : str
            What is missing or unsuitable, and what to do.

        Returns
        -------
        datamodel
            The same object.
        """
        if models.meta.cal_step.adaptive_trace_model == "COMPLETE":
            warn(log, "%s: step skipped: %s; the earlier result is kept", self.name, reason)
            return models
        return super().skip_model(models, reason)

    def named_by_model(self, idx):
        """
        Say whether an exposure that is saved has its file name from its model.

        Parameters
        ----------
        idx : int or None
            Number of the exposure among several; None for a single one.

        Returns
        -------
        bool
            Whether ``output_use_model`` is set; but the name that the user gives one exposure goes
            before that of the input.
        """
        return self.output_use_model and (idx is not None or self.output_file is None)

    def _process_exposure(self, model, settings, threads, output_file):
        """Process one exposure in place, or mark it as skipped or failed."""
        name = model.meta.filename or "exposure"
        instrument = model.meta.instrument
        mode, reason = find_mode(model.meta.exposure.type, instrument.detector, instrument.grating)
        allowed = MODEL_TYPES if mode is None else mode.model_types
        if not has_type(model, allowed):
            wrong = f"{name} is of type {type(model).__name__}, not {' or '.join(allowed)}"
            if mode is not None and has_type(model, mode.outdated_types):
                wrong += ": reprocess it with jwst 2.0 or later"
            self.fail_model(model, wrong)
            return
        if mode is None:
            self.skip_model(model, f"{name}: {reason}")
            return
        steps = model.meta.cal_step
        if steps.resample == "COMPLETE":
            reason = "it is rectified (S_RESAMP = COMPLETE), its traces are gone: give the cal file"
            self.skip_model(model, f"{name}: {reason}")
            return
        if steps.adaptive_trace_model == "COMPLETE":
            reason = "it has a trace model already (S_TRCMOD = COMPLETE): give the cal file"
            self.skip_model(model, f"{name}: {reason}")
            return
        with reading(name):
            check_shapes(model)
            series = any(is_series(spectrum) for spectrum in spectra(model))
        if settings.oversample > 1 and series:
            reason = "a time series cannot be oversampled, it needs oversample=1"
            self.skip_model(model, f"{name}: {reason}")
            return
        log.info("Fitting the traces of %s (%s)", name, mode.name)
        with threadpool_limits(1, user_api="blas"):
            self._process_spectra(model, name, mode, settings, threads, output_file)

    def _process_spectra(self, model, name, mode, settings, threads, output_file):
        """Trace the spectra of an exposure of a known mode, write the results, set the status."""
        parts = spectra(model)
        products = {key: [] for key in self._products(settings)}
        counts, unused, traced, fared, extracted = Counter(), [], [], [], []
        # Datamodels, files and WCS are not made for use in several threads at a time.
        lock = Lock()
        for spectrum, (geometry, native, result, reason) in zip(
            parts, self._trace(parts, name, mode, settings, threads, lock), strict=True
        ):
            if not reason and self.extract != "none":
                # Before the slit is oversampled, and its pixels have another area.
                with lock:
                    found = self._extract(spectrum, model, geometry, native, mode, settings)
                extracted += [] if found is None else [found]
            if reason:
                unused.append(reason)
            else:
                counts.update(result.outcomes.values())
                slit = str(getattr(spectrum, "name", None) or "")
                fared += [(slit, *one) for one in result.records.items()]
                counts.update(without_model=result.n_columns_without_model)
                counts.update(filled=int(result.estimated.sum()))
                if self.save_report:
                    factor = settings.oversample
                    traced.append(traced_spectrum(spectrum, geometry, native, result, factor))
                with lock:
                    unit = unit_of(spectrum, model)
                    write_result(spectrum, result, geometry, settings.oversample, unit=unit)
                    if self._fills(spectrum):
                        filled, left = fill_integrations(spectrum, native, result, geometry)
                        counts.update(in_series=filled, left_in_series=left, series=1)
            for key, images in products.items():
                images.append(None if reason else (result.images[key], geometry.transposed))
        reasons = "; ".join(dict.fromkeys(unused)) or "it holds no slit"
        if len(unused) == len(parts):
            self.skip_model(model, f"{name}: {reasons}")
            return
        if unused:
            text = "%d of %d slits of %s are left as they are: %s"
            warn(log, text, len(unused), len(parts), name, reasons)
        text = "%d slices or slits fitted, %d below fit_threshold"
        log.info(text, counts["fitted"], counts["faint"])
        if counts["failed"]:
            text = "%d slices or slits could not be fitted and are interpolated linearly"
            warn(log, text, counts["failed"])
        if counts["without_model"]:
            text = "%d detector columns of fitted slices have too few good pixels for the model"
            log.info(text, counts["without_model"])
        if counts["series"]:
            text = "%d pixels without data filled in the integrations, %d of the trace left"
            log.info(text, counts["in_series"], counts["left_in_series"])
        if settings.oversample > 1:
            log.info("%d oversampled pixels without data filled", counts["filled"])
            record_oversampling(model, settings)
        record_slices(model, fared)
        self.set_status(model, "COMPLETE")
        for key, images in products.items():
            self._save_product(model, images, PRODUCTS[key])
        if extracted:
            with extracted_spectra(model, extracted) as product:
                path = self._path_beside(model, "trace_x1d")
                save_whole(product, path)
                log.info("Saved %d spectra in %s", len(extracted), path)
        if traced:
            self._save_report(model, name, mode, traced, counts["filled"], output_file)

    def _extract(self, spectrum, model, geometry, native, mode, settings):
        """Spectrum of a slit or field; None, with the reason in the log, if there is none."""
        where = getattr(spectrum, "name", None) or model.meta.filename
        reason = cannot_extract(spectrum, model, self.extract)
        spec = None
        if not reason:
            common = (native, geometry, mode, settings)
            background = background_of(model, self.extract)
            if isinstance(model, datamodels.IFUImageModel):
                spec, reason = spectrum_of_field(model, *common, background=background)
            else:
                psf = psf_of_slit(spectrum, model)
                slit, reason = extract_slit(*common, psf=psf, background=background)
                if slit is not None:
                    turned = geometry.transposed
                    spec = spectrum_of_slit(spectrum, model, slit, transposed=turned)
        if reason:
            warn(log, "No spectrum of %s is extracted: %s", where, reason)
        return spec

    def _save_report(self, model, source, mode, traced, filled, output_file):
        name = output_file or model.meta.filename
        product = Path(self.make_output_path(basepath=name, slit=self._slit_of(model)))
        exposure = TracedExposure(
            name=product.name,
            source=source,
            mode=mode.name,
            unit=unit_of(spectra(model)[0], model) or "",
            spectra=traced,
            filled=filled,
            facts=facts_of(model),
        )
        parameters = [(name, str(getattr(self, name))) for name in options_of(TraceSettings)]
        path = write_trace_report(report_path(product), exposure, parameters=parameters)
        log.info("Saved report in %s", path)

    def _trace(self, parts, name, mode, settings, threads, lock):
        """Yield geometry, exposure, result and why there is none for each spectrum."""
        # Threads work on several slits, or on the slices of a single exposure.
        inner = threads if len(parts) == 1 else 1

        def work(spectrum):
            with lock, reading(name):
                try:
                    geometry = make_geometry(mode.geometry, spectrum)
                except GeometryError as error:
                    return None, None, None, str(error)
                native, reason = read_images(spectrum, transposed=geometry.transposed)
            if native is None:
                return None, None, None, reason
            result = trace_exposure(
                native,
                geometry,
                mode,
                settings,
                intermediate=self.save_intermediate_results or self._fills(spectrum),
                threads=inner,
            )
            if np.isnan(result.images["flux"]).all():
                return None, None, None, "no slice or slit holds data"
            return geometry, native, result, ""

        if inner == threads:
            yield from map(work, parts)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(work, parts)

    def _saves(self):
        """Whether files are written whose names come from those of the exposures."""
        more = (self.save_results, self.save_intermediate_results, self.save_report)
        return any(more) or self.extract != "none"

    def _fills(self, spectrum):
        """Whether pixels without data are filled in each integration."""
        return self.fill_integrations and is_series(spectrum)

    def _products(self, settings):
        """Names of the images to be saved as intermediate products."""
        if not self.save_intermediate_results:
            return ()
        return tuple(PRODUCTS) if settings.oversample > 1 else ("spline_full", "spline_used")

    def _path_beside(self, model, suffix):
        """Path of a file beside the output."""
        slit = self._slit_of(model)
        return self.make_output_path(basepath=model.meta.filename, suffix=suffix, slit=slit)

    def _slit_of(self, model):
        """What names of files have of the slit; None if all slits of an exposure are in one."""
        name = str(getattr(model, "name", None) or "") if self._by_slit else ""
        return (f"slit{name}" if name.isdigit() else name.lower()) or None

    def _save_product(self, model, images, suffix):
        """Save an intermediate product beside the output."""
        with make_product(model, images) as product:
            path = self._path_beside(model, suffix)
            save_whole(product, path)
            log.info("Saved %s", path)


def _check_names(models):
    """Refuse exposures of the same name, of which only the last would stay."""
    if isinstance(models, datamodels.JwstDataModel):
        return
    if isinstance(models, ModelLibrary):
        names = [Path(member["expname"]).name for member in models.asn["products"][0]["members"]]
    else:
        names = [model.meta.filename for model in models]
    for name, count in Counter(names).items():
        if name and count > 1:
            msg = (
                f"{count} exposures have the name {name} and would be written to the same file: "
                "rename them, or process them one at a time with different output_dir"
            )
            raise ValueError(msg)
