"""The pipeline from exposures and images to the fused cube."""

import logging
import os
from contextlib import contextmanager
from pathlib import Path

from jwst.assign_mtwcs import AssignMTWcsStep
from jwst.cube_build import CubeBuildStep
from jwst.datamodels import ModelContainer
from jwst.lib.suffix import remove_suffix
from jwst.master_background import MasterBackgroundStep
from jwst.pipeline import Spec3Pipeline
from jwst.stpipe import Pipeline
from stdatamodels.jwst import datamodels

from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.associations.headers import read_headers
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.fusion.exposure_options import check_exposure_options
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.numerics.cores import count_cores
from jwst_fusion.parameters import numbers_as_text
from jwst_fusion.products.open import close_left_open, open_model
from jwst_fusion.steps.base import FusionBaseStep
from jwst_fusion.steps.defaults import OversamplingStep, ReplacingStep
from jwst_fusion.steps.exposures import (
    check_exposures,
    check_names,
    keywords_of_first,
    needs_preparation,
    oversampling,
    prepare_together,
    read_all,
    sort_members,
)
from jwst_fusion.steps.fusion import FusionStep, with_text
from jwst_fusion.steps.idle import warn_of_idle_steps
from jwst_fusion.steps.outliers import FrugalOutlierStep
from jwst_fusion.steps.resume import Record
from jwst_fusion.steps.reuse import Reusable
from jwst_fusion.steps.stages import Stages, is_not_fused
from jwst_fusion.steps.stock import forget_steps

__all__ = ["FusionPipeline"]

log = logging.getLogger(__name__)


class FusionPipeline(Reusable, Pipeline):
    """
    Make a fused cube of exposures of an integral field unit and images.

    Input is an association with calibrated exposures of the NIRSpec IFU or the MIRI MRS as
    ``science`` and images (i2d) as ``direct_image``. The steps are assign_mtwcs (moving targets),
    master_background (if the association has spectra of the background), and fusion of the
    exposures at their native pixels.

    With ``steps.fusion.input=cube``, or if cubes (s3d) stand beside or instead of exposures, cubes
    are fused: after the first two steps come outlier_detection (two or more exposures), then on
    each exposure adaptive_trace_model and pixel_replace, then cube_build and, on each cube, fusion.

    What was made is recorded in the output folder: a run that was interrupted, or is started again
    with other parameters, makes only what is missing or differs.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    class_alias = "fusion_pipeline"

    spec = """
    resume = boolean(default=True) # Use products of an earlier run again if inputs, parameters and software versions are the same, as <product>_fusion_pipeline.json in the output folder tells
    """  # noqa: E501

    #: Parameters of steps that the last reference file set, which nobody has asked for.
    _referenced = {}  # noqa: RUF012

    step_defs = {  # noqa: RUF012
        "assign_mtwcs": AssignMTWcsStep,
        "master_background": MasterBackgroundStep,
        "outlier_detection": FrugalOutlierStep,
        "adaptive_trace_model": OversamplingStep,
        "pixel_replace": ReplacingStep,
        "cube_build": CubeBuildStep,
        "fusion": FusionStep,
    }

    @classmethod
    def get_config_reftype(cls):
        """Return the type of calwebb_spec3's parameter file in CRDS."""
        return Spec3Pipeline.get_config_reftype()

    @classmethod
    def get_config_from_reference(cls, dataset, disable=None, crds_observatory=None):
        """
        Return the parameters of the steps of jwst as in calwebb_spec3, but not which run.

        Parameters
        ----------
        dataset : datamodel or dict
            Input, or keywords of it, for which CRDS selects the file.
        disable : bool, optional
            Whether to leave CRDS alone; by default as the environment says.
        crds_observatory : str, optional
            Name of the observatory, needed for keywords.

        Returns
        -------
        `~stpipe.config_parser.ConfigObj`
            Parameters by step; none of the trace model and of the fusion.
        """
        config = super().get_config_from_reference(
            dataset, disable=disable, crds_observatory=crds_observatory
        )
        steps = config.get("steps", {})
        for name in set(steps) - set(cls.step_defs):
            del steps[name]
        for parameters in steps.values():
            parameters.pop("skip", None)
        config = forget_steps(config, ["adaptive_trace_model", "fusion"])
        for name in ("class", "name"):
            config.pop(name, None)
        cls._referenced = {name: dict(one) for name, one in config.get("steps", {}).items()}
        return config

    @classmethod
    def _get_crds_parameters(cls, dataset):
        """Keywords of the first member, for which CRDS selects parameters."""
        try:
            return super()._get_crds_parameters(dataset)
        except Exception as error:  # it does not say what is wrong with the input
            close_left_open(error)
            return keywords_of_first(dataset)

    @classmethod
    def build_config(cls, input, **kwargs):
        """
        Build the configuration; numbers are allowed where the fusion takes 'auto'.

        Parameters
        ----------
        input : object
            Input of the pipeline, for which CRDS selects parameters.
        **kwargs
            Parameters, ``steps`` with those of each step, and ``config_file``.

        Returns
        -------
        config : `~stpipe.config_parser.ConfigObj`
            The configuration.
        config_file : str or None
            The parameter file that was given.
        """
        steps = kwargs.get("steps") or {}
        if "fusion" in steps:
            fusion = numbers_as_text(FusionOptions, steps["fusion"])
            kwargs["steps"] = {**steps, "fusion": fusion}
        config, config_file = super().build_config(input, **kwargs)
        return _with_text(config), config_file

    @classmethod
    def merge_config(cls, config, config_file):
        """
        Return the configuration as it is checked: numbers of a file as text beside 'auto'.

        Parameters
        ----------
        config : `~stpipe.config_parser.ConfigObj`
            The configuration.
        config_file : str or None
            The parameter file that it comes from.

        Returns
        -------
        `~stpipe.config_parser.ConfigObj`
            The configuration.
        """
        return _with_text(super().merge_config(config, config_file))

    def prefetch(self, *args):
        """
        Fetch reference files before anything is computed, if there are exposures.

        Parameters
        ----------
        *args
            The input of the pipeline, as for `process`.
        """
        if not args:
            return
        _, exposures, cubes = sort_members(self.fusion.locate(args[0]))
        # At native pixels no reference file is needed.
        if exposures and self._road(exposures, cubes) == "cube":
            super().prefetch(*args)

    def process(self, input_data):
        """
        Run the pipeline.

        Parameters
        ----------
        input_data : str, path, dict, list, datamodel, ModelContainer or ModelLibrary
            Association, or files or datamodels of exposures or cubes and of images.

        Returns
        -------
        FusedCubeModel or ModelContainer
            The fused cube, one for each grating, or for each cube that the exposures make; the
            status of one that could not be fused is SKIPPED or FAILED.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If a parameter or a file is invalid, or there are neither exposures nor cubes, or no
            images beside cubes.
        """
        self._check_parameters()
        members, exposures, cubes = sort_members(self.fusion.locate(input_data))
        road = self._road(exposures, cubes)
        if road == "exposures":
            check_exposure_options(FusionOptions.from_step(self.fusion))
            warn_of_idle_steps(self, self._referenced)
        for kind, found in (
            ("exposure or cube (science)", [*exposures, *cubes]),
            ("image (direct_image)", members.images),
        ):
            if not found and not (kind.startswith("image") and road == "exposures"):
                msg = f"{members.table_name or 'the input'} has no {kind}: nothing can be fused"
                raise ValueError(msg)
        check_exposures(exposures)
        if self.save_results:
            check_names(exposures)
            check_names(cubes)
        product = members.product_name
        if self.output_file is not None:
            product = FusionBaseStep.remove_suffix(self.fusion, Path(self.output_file).stem)[0]
        stages = self._stages(product, [*exposures, *cubes, *members.images, *members.backgrounds])
        fusion = self.fusion
        if road == "exposures":
            prepared = self._prepare(stages, exposures, members, outliers=False)
            return self._fuse_native(stages, prepared, members, product)
        if exposures:
            prepared = self._prepare(stages, exposures, members)
            traced = self._trace(stages, prepared, exposures)
            fusion = self._fusion_of(traced)
            cubes = [*self._build(stages, traced, product), *cubes]
        return self._fuse(stages, fusion, cubes, members, product)

    def save_model(self, model, *args, **kwargs):
        """
        Give the files of the products, which have been written as soon as they were complete.

        Parameters
        ----------
        model : datamodel or sequence of datamodels
            Products of this run.
        *args, **kwargs
            As for `stpipe.Step.save_model`; not used.

        Returns
        -------
        list of str
            The files; none of what is not fused.
        """
        models = [model] if isinstance(model, datamodels.JwstDataModel) else model
        folder = self._folder()
        return [str(folder / one.meta.filename) for one in models if not is_not_fused(one)]

    def _check_parameters(self):
        """Raise at once for what a step would reject after minutes."""
        FusionOptions.from_step(self.fusion)
        trace = self.adaptive_trace_model
        TraceSettings.from_step(trace)
        count_cores(trace.maximum_cores)

    def _stages(self, product, members):
        files = [member for member in members if isinstance(member, str)]
        if not self.save_results:
            log.info("Nothing is written (save_results is false): the run cannot be continued")
            return Stages(None, files)
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True)
        return Stages(Record(folder / f"{product}_fusion_pipeline.json", use=self.resume), files)

    def _folder(self):
        # Absolute, because steps look for files without a folder beside the association.
        return Path(os.path.expandvars(os.path.expanduser(self.output_dir or "."))).resolve()

    def _road(self, exposures, cubes):
        """Say whether exposures are fused at their native pixels, or cubes of them."""
        wanted = self.fusion.input
        if wanted == "exposures" and cubes:
            name = cubes[0] if isinstance(cubes[0], str) else cubes[0].meta.filename
            msg = f"{name} is a cube, but steps.fusion.input is 'exposures': leave it out"
            raise ValueError(msg)
        return "exposures" if exposures and not cubes and wanted != "cube" else "cube"

    def _fuse_native(self, stages, exposures, members, product):
        """Fuse exposures and images at their native pixels."""
        fusion, given = self.fusion, [*exposures, *members.images]

        def make():
            filename = f"{product}_{fusion.suffix}.fits"
            with self._output(filename):
                found = fusion.run(given)
            found = [found] if isinstance(found, datamodels.JwstDataModel) else list(found)
            for model in found:
                model.meta.asn.table_name = members.table_name
            return found

        key = _fusion_key(stages, fusion, given, product)
        found, _ = stages.run(f"Fusion of {len(exposures)} exposures", key, make)
        found = [_open_product(one) if isinstance(one, str) else one for one in found]
        found = [self._with_sources(fusion, one) for one in found]
        return found[0] if len(found) == 1 else ModelContainer(found)

    def _prepare(self, stages, exposures, members, *, outliers=True):
        """Do what needs all exposures at once; return them as files or models."""
        wanted = needs_preparation(
            exposures,
            backgrounds=bool(members.backgrounds) and not self.master_background.skip,
            outliers=outliers and not self.outlier_detection.skip,
        )
        if not wanted:
            return exposures
        steps = {name: getattr(self, name) for name in wanted}
        suffix = "crf" if "outlier_detection" in wanted else wanted[-1]

        def make():
            log.info("All exposures together: %s", ", ".join(wanted))
            backgrounds = read_all(members.backgrounds, exptype="background")
            models = prepare_together(read_all(exposures), backgrounds, steps)
            for model in models:
                model.meta.asn.table_name = members.table_name
                model.meta.filename = _renamed(model, suffix, members.asn_id)
            return models

        key = stages.key(list(steps.values()), [*exposures, *members.backgrounds])
        return stages.run("Preparation of all exposures", key, make)[0]

    def _trace(self, stages, exposures, given):
        """Model the traces of each exposure and replace its bad pixels."""
        run = [step for step in (self.adaptive_trace_model, self.pixel_replace) if not step.skip]
        if not run:
            return exposures

        def job(exposure):
            made = given is not exposures and not isinstance(exposure, str)

            def make():
                # A model of the caller is copied, one made by the stage before is not.
                (model,) = (exposure,) if made else read_all([exposure])
                name = model.meta.filename
                for step in run:
                    model = step.run(model)
                model.meta.filename = name
                model.meta.filename = _renamed(model, run[-1].class_alias)
                return model

            name = exposure if isinstance(exposure, str) else exposure.meta.filename
            return Path(name).name, stages.key(run, [exposure]), make

        return stages.each("Trace model", [job(exposure) for exposure in exposures])

    def _fusion_of(self, exposures):
        """Return the fusion for cubes of exposures: it is told how these were oversampled."""
        factor = oversampling(exposures)
        if factor <= 1 or self.fusion.trace_oversample != 1:
            return self.fusion
        log.info("The PSF of the cube is made for exposures oversampled by %g", factor)
        parameters = {**self.fusion.get_pars(), "trace_oversample": factor}
        return type(self.fusion)(
            self.fusion.name, parent=self, config_file=self.fusion.config_file, **parameters
        )

    @contextmanager
    def _output(self, name):
        """Let the steps name their products: those of jwst ask the pipeline's output_file."""
        asked = self.output_file
        self.output_file = name
        try:
            yield
        finally:
            self.output_file = asked

    def _build(self, stages, exposures, product):
        """Build the cubes."""

        def make():
            models = [open_model(exposure) for exposure in exposures]
            with self._output(product):
                cubes = list(self.cube_build.run(ModelContainer(models)))
            for cube in cubes:
                cube.meta.filename = f"{Path(cube.meta.filename).name}_s3d.fits"
            for model, exposure in zip(models, exposures, strict=True):
                if model is not exposure:
                    model.close()
            return cubes

        key = stages.key([self.cube_build], exposures, extra={"product": product})
        return stages.run("Cubes", key, make)[0]

    def _fuse(self, stages, fusion, cubes, members, product):
        """Fuse each cube with the images, and join the results; or all of them as one."""
        if len(cubes) > 1 and fusion.gratings == "shared":
            return self._fuse_as_one(stages, fusion, cubes, members, product)
        results = []
        for number, cube in enumerate(cubes, 1):
            name = product
            if len(cubes) > 1:
                name = _stem(cube if isinstance(cube, str) else cube.meta.filename)
                log.info("Fusion of cube %d of %d: %s", number, len(cubes), name)

            def make(cube=cube, name=name):
                filename = f"{name}_{fusion.suffix}.fits"
                with self._output(filename):
                    model = fusion.run([cube, *members.images])
                model.meta.filename = filename
                model.meta.asn.table_name = members.table_name
                return [model]

            key = _fusion_key(stages, fusion, [cube, *members.images], name)
            (fused,), _ = stages.run(f"Fusion of {name}", key, make)
            if isinstance(fused, str):
                fused = _open_product(fused)
            results.append(self._with_sources(fusion, fused))
        results += _join(stages, fusion, results, [*cubes, *members.images], product)
        return results[0] if len(results) == 1 else ModelContainer(results)

    def _fuse_as_one(self, stages, fusion, cubes, members, product):
        """Fuse all cubes with a common spectral subspace, or each by itself if that cannot be."""
        given = [*cubes, *members.images]

        def make():
            filename = f"{product}_{fusion.suffix}.fits"
            with self._output(filename):
                found = fusion.run(given)
            found = [found] if isinstance(found, datamodels.JwstDataModel) else list(found)
            if len(found) == 1:
                found[0].meta.filename = filename
            for model in found:
                model.meta.asn.table_name = members.table_name
            return found

        key = _fusion_key(stages, fusion, given, product)
        found, _ = stages.run(f"Fusion of {len(cubes)} cubes", key, make)
        found = [_open_product(one) if isinstance(one, str) else one for one in found]
        found = [self._with_sources(fusion, one) for one in found]
        return found[0] if len(found) == 1 else ModelContainer(found)

    def _with_sources(self, fusion, fused):
        """Save the spectra of point sources beside a product, used again or not; return that."""
        if self.save_results and isinstance(fused, FusedCubeModel):
            fusion.save_sources(fused)
        return fused


def _fusion_key(stages, fusion, given, name, *, joined=False):
    if fusion.save_reobserved and not joined:
        return None  # products beside the product are not recorded
    extra = {"name": name, "joined": joined, "stpsf": os.environ.get("STPSF_PATH")}
    return stages.key([fusion], given, extra=extra)


def _join(stages, fusion, results, given, product):
    """Join fused cubes; an empty list if they are to be separate or cannot be joined."""
    if len(results) < 2 or fusion.gratings == "separate":
        return []
    key = _fusion_key(stages, fusion, given, product, joined=True)
    found, _ = stages.run("Joined cube", key, lambda: fusion.join(results, product))
    return [_open_product(one) if isinstance(one, str) else one for one in found]


def _open_product(path):
    """Open a fused cube with its provenance, or the unmodified cube if it could not be fused."""
    complete = read_headers(path)[0].get("S_FUSION") == "COMPLETE"
    return FusedCubeModel(path) if complete else open_model(path)


def _stem(path):
    return remove_suffix(Path(path).name.removesuffix(".gz").removesuffix(".fits"))[0]


def _renamed(model, suffix, asn_id=None):
    """Name of a file after a step, as jwst gives it."""
    stem = _stem(model.meta.filename or "exposure").removesuffix("_adaptive_trace_model")
    identifier = "" if asn_id is None or stem.endswith(f"_{asn_id}") else f"_{asn_id}"
    return f"{stem}{identifier}_{suffix}.fits"


def _with_text(config):
    """Configuration of the pipeline with numbers as text where the fusion takes 'auto'."""
    fusion = config.get("steps", {}).get("fusion")
    if fusion is not None:
        with_text(fusion)
    return config
