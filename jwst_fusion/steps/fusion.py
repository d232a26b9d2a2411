"""The step ``fusion``: read cubes and images, fuse them, write the fused cubes."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from jwst.datamodels import ModelContainer
from stdatamodels.jwst import datamodels

from jwst_fusion.associations import collect_members
from jwst_fusion.datamodels import allow_fusion_status
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.alignment import filter_offsets
from jwst_fusion.fusion.observed.repeats import without_repeats
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.run import fuse_observations
from jwst_fusion.messages import collected_warnings, warn
from jwst_fusion.parameters import numbers_as_text, spec_of
from jwst_fusion.products.fused_cube import fused_product
from jwst_fusion.products.observations import open_cube, read_image
from jwst_fusion.products.open import open_model
from jwst_fusion.products.reobserved import reobserved_products
from jwst_fusion.products.several_cubes import joined_product, stacked_cube
from jwst_fusion.products.source_spectra import source_spectra_product
from jwst_fusion.products.whole_file import save_whole
from jwst_fusion.steps.base import FusionBaseStep
from jwst_fusion.steps.fusion_exposures import (
    ExposureFusionMixin,
    check_kinds,
    warn_of_unused_names,
)
from jwst_fusion.steps.reports import save_fusion_report, save_joined_report

__all__ = ["FusionStep", "with_text"]

log = logging.getLogger(__name__)


_SAME_FRAME = 0.03  # arcsec, a pixel of NIRCam: cubes whose pointing differs less may be joined


def _frames_apart(models):
    """Largest distance of the offsets of fused cubes against their images, arcsec."""
    found = np.zeros((len(models), 2))
    for one, model in zip(found, models, strict=True):
        meta = model.meta.fusion
        if meta.registration == "corrected":
            one[:] = meta.offset_x or 0.0, meta.offset_y or 0.0
    return float(np.hypot(*(found[:, None] - found).T).max())


class FusionStep(FusionBaseStep, ExposureFusionMixin):
    """
    Fuse exposures of an integral field unit, or a cube of it, with images of the same field.

    The result has the angular resolution of the images and the spectral resolution of the
    spectrometer. Input is an association with exposures (cal) or a cube (s3d) as ``science`` and
    images (i2d) as ``direct_image``, or a list of such files or datamodels. Exposures may be fused
    without images.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    class_alias = "fusion"
    saves_unchanged = False

    spec = (
        spec_of(FusionOptions) + "    suffix = string(default='fused_s3d') # Suffix of the product"
    )

    @classmethod
    def build_config(cls, dataset, /, **kwargs):
        """
        Build the configuration; numbers are allowed where 'auto' is.

        Parameters
        ----------
        dataset : object
            Input of the step; not used.
        **kwargs
            Parameters, and ``config_file``.

        Returns
        -------
        config : `~stpipe.config_parser.ConfigObj`
            The configuration.
        config_file : str or None
            The parameter file that was given.
        """
        kwargs = numbers_as_text(FusionOptions, kwargs)
        config, config_file = super().build_config(dataset, **kwargs)
        return with_text(config), config_file

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
        with_text(config)
        return super().merge_config(config, config_file)

    def process(self, input_data):
        """
        Fuse the exposures, or every cube, of the input with the images.

        Parameters
        ----------
        input_data : str, path, dict, list, datamodel, ModelContainer or ModelLibrary
            Association, or files or datamodels of exposures or of a cube, and of images.

        Returns
        -------
        FusedCubeModel or ModelContainer
            The fused cube. Of several cubes, one for each, and the joined cube last; or a single
            one for gratings = shared. If nothing can be fused, an unmodified copy of the cube with
            status SKIPPED or FAILED. Of several cubes, one that is invalid FAILED too, and one
            whose file cannot be read is left out. Exposures likewise, each grating for itself.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If a parameter or file is invalid, of several cubes: if this is so for each of them;
            or the input of another kind.
        """
        options = FusionOptions.from_step(self)
        members = collect_members(self.locate(input_data))
        # The product is named after the association unless the caller names it.
        given = self.search_attr("output_file")
        if given is not None:
            members = replace(members, product_name=self.remove_suffix(Path(given).stem)[0])
        if members.backgrounds:
            log.info("%d background members are not used in a fusion", len(members.backgrounds))
        if not members.cubes and not members.exposures:
            return self._no_cube(input_data)
        if check_kinds(members, options.input) == "exposures":
            return self.fuse_exposure_members(members, options)
        if len(members.cubes) == 1:
            return self._fuse_one(members.cubes[0], members, members.product_name, options)
        stack = self._stacked(members.cubes) if options.gratings == "shared" else None
        if stack is not None:
            return self._fuse_one(stack, members, members.product_name, options)
        return self._fuse_each(members, options)

    def _stacked(self, members):
        """Put several cubes into one; None if they cannot be."""
        opened = []
        try:
            opened.extend(open_cube(member) for member in members)
            cubes, models = zip(*opened, strict=True)
            return stacked_cube(cubes, models)
        except (NotFusableError, ValueError) as reason:
            warn(log, "The cubes are fused without a shared subspace: %s", reason)
            return None
        finally:
            for (_, model), member in zip(opened, members, strict=False):
                if model is not member:
                    model.close()

    def _fuse_each(self, members, options):
        """Fuse several cubes; one that is invalid does not discard the others."""
        results, errors = [], []
        for number, cube in enumerate(members.cubes, 1):
            name = f"{members.product_name}_{number:02d}"
            try:
                results.append(self._fuse_one(cube, members, name, options))
                continue
            except ValueError as error:
                errors.append(error)
            try:
                results.append(self._unchanged(cube, self.fail_model, str(errors[-1]), name))
            except ValueError as reason:
                # A file that cannot be read has no data to pass on.
                warn(log, "%s: cube %d is left out: %s", self.name, number, reason)
        if len(errors) == len(members.cubes):
            raise errors[0]
        if options.gratings != "separate":
            results += self.join(results, members.product_name)
        return ModelContainer(results)

    def join(self, results, product_name):
        """
        Join fused cubes of several gratings.

        Parameters
        ----------
        results : sequence of datamodel
            Results for each cube. Those that are not COMPLETE are left out.
        product_name : str
            Name of the product without suffix.

        Returns
        -------
        list of FusedCubeModel
            The joined cube, or nothing if there are not two cubes that can be joined.
        """
        fused = [model for model in results if model.meta.cal_step.fusion == "COMPLETE"]
        if len(fused) < 2:
            return []
        apart = _frames_apart(fused)
        if apart > _SAME_FRAME:
            warn(
                log,
                'The coordinates of the cubes differ by %.2f": they are joined as they are, and '
                "what they show lies that far apart",
                apart,
            )
        try:
            product = joined_product(fused, memory_limit=self.memory_limit)
        except NotFusableError as reason:
            warn(log, "The fused cubes are not joined: %s", reason)
            return []
        product.meta.filename = f"{product_name}_{self.suffix}.fits"
        product.meta.asn.table_name = fused[0].meta.asn.table_name
        for row in product.cube_table[1:]:
            if np.isfinite(row["ratio"]):
                text = "%s is %.4f times as bright as the cube before it where both overlap"
                log.info(text, row["filename"], row["ratio"])
        if self.save_report:
            save_joined_report(self._path(product), product, fused)
        return [product]

    def save_sources(self, product):
        """
        Save the spectra of the point sources of a fused cube beside it.

        Parameters
        ----------
        product : FusedCubeModel
            The fused cube; without sources, nothing is saved.
        """
        spectra = source_spectra_product(product)
        if spectra is None:
            return
        with spectra:
            path = save_whole(spectra, Path(self._path(product)).with_name(spectra.meta.filename))
        log.info("Saved spectra of %d point sources in %s", len(product.source_table), path)

    def _fuse_one(self, member, members, product_name, options):
        with collected_warnings() as messages:
            return self._fuse_or_skip(member, members, product_name, options, messages)

    def _fuse_or_skip(self, member, members, product_name, options, messages):
        try:
            cube, model = open_cube(member)
        except NotFusableError as reason:
            return self._unchanged(member, self.skip_model, str(reason), product_name)
        try:
            return self._fuse_with_images(cube, model, members, product_name, options, messages)
        except NotFusableError as reason:
            return self._unchanged(model, self.skip_model, str(reason), product_name)
        except np.linalg.LinAlgError as reason:
            text = (
                f"the fit of {cube.name} has no solution ({reason}): it has too few good spaxels, "
                "or they show too little"
            )
            return self._unchanged(model, self.fail_model, text, product_name)
        finally:
            if model is not member:
                model.close()

    def _fuse_with_images(self, cube, model, members, product_name, options, messages):
        images = self._read_images(cube, members.images, options)
        self._check_oversampling(model, cube.name, options)
        fused = fuse_observations(cube, images, options)
        given = len(members.images)
        product = fused_product(model, fused, options, images_given=given, messages=messages)
        for line in fused.report:
            log.info(line)
        product.meta.filename = f"{product_name}_{self.suffix}.fits"
        if members.table_name:
            product.meta.asn.table_name = members.table_name
        self.set_status(product, "COMPLETE")
        if options.save_reobserved:
            self._save_reobserved(model, fused, product_name)
        if self.save_results or self.output_file:
            self.save_sources(product)
        if options.save_report:
            save_fusion_report(self._path(product), product, model)
        return product

    def _path(self, product):
        return self.make_output_path(basepath=product.meta.filename)

    def _save_reobserved(self, template, fused, product_name):
        for name, suffix, model in reobserved_products(template, fused):
            model.meta.filename = f"{product_name}_{name}.fits"
            self.save_model(model, output_file=model.meta.filename, suffix=suffix, force=True)
            model.close()

    def _check_oversampling(self, model, name, options):
        """Warn if the PSF of the cube would be made for exposures that were not oversampled."""
        traced = model.meta.cal_step.adaptive_trace_model == "COMPLETE"
        if traced and options.trace_oversample == 1:
            warn(
                log,
                "%s was built from exposures with a trace model: if they were oversampled, give "
                "the factor as trace_oversample, for its PSF is sharper then",
                name,
            )

    def _read_images(self, cube, members, options):
        """Read the images that can be used; say of each other one why it cannot."""
        if not members:
            msg = "no image (i2d) is given: nothing to fuse the cube with"
            raise NotFusableError(msg)
        # A measured offset may bring an image onto the cube.
        measured = options.measures_offsets(moving=cube.moving)
        rim = options.margin + (options.search if measured else 0.0)
        extra = int(np.ceil(rim / cube.grid.scale)) + 1
        where = {
            "grid": cube.grid.padded((extra, extra), (extra, extra)),
            "reach": 0.0 if measured else options.search,
            "offsets": filter_offsets(options.offsets),
            "target": cube.target,
        }
        images, reasons = [], []
        for member in members:
            try:
                image = read_image(member, **where)
                if options.filters and image.filter not in options.filters:
                    log.info("%s (%s) is not among the filters asked for", image.name, image.filter)
                    continue
                if not np.any(image.data[image.good]):
                    msg = f"{image.name} has no usable pixel on the cube (all bad, or all zero)"
                    raise NotFusableError(msg)
                images.append(image)
            except NotFusableError as reason:
                warn(log, "Image not used: %s", reason)
                reasons.append(str(reason))
        if not images:
            msg = "no image can be used: " + "; ".join(reasons or ["none of the filters asked for"])
            raise NotFusableError(msg)
        warn_of_unused_names(images, options)
        return without_repeats(images)

    def _no_cube(self, input_data):
        if isinstance(input_data, datamodels.JwstDataModel):
            models = input_data.copy()
        elif isinstance(input_data, str) and not input_data.endswith(".json"):
            models = open_model(self.make_input_path(input_data))
        else:
            msg = (
                "the input has no cube (s3d) and no exposure (cal) as science: give exposures, or "
                "a cube and at least one image"
            )
            raise ValueError(msg)
        kind = type(models).__name__
        allow_fusion_status(models)
        return self.fail_model(models, f"{kind} is not an IFU cube (IFUCubeModel expected)")

    def _unchanged(self, member, verdict, reason, product_name):
        model = open_model(member).copy()
        allow_fusion_status(model)
        model.meta.filename = f"{product_name}_{self.suffix}.fits"
        return verdict(model, reason)


def with_text(config):
    """
    Turn numbers of a configuration into text where the fusion takes 'auto' as well, in place.

    Parameters
    ----------
    config : `~stpipe.config_parser.ConfigObj`
        Configuration of the step.

    Returns
    -------
    `~stpipe.config_parser.ConfigObj`
        The same.
    """
    for name, value in numbers_as_text(FusionOptions, config).items():
        # What is set, even to what it was, no longer counts as a default.
        if value is not config[name] and value != config[name]:
            config[name] = value
    return config
