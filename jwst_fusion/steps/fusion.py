"""The pipeline step: parameters, products in and out."""

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
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.run import fuse_observations
from jwst_fusion.messages import collected_warnings, warn
from jwst_fusion.products.fused_cube import fused_product
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.products.open import open_model
from jwst_fusion.products.reobserved import reobserved_products
from jwst_fusion.products.several_cubes import joined_product, stacked_cube
from jwst_fusion.steps.base import FusionBaseStep
from jwst_fusion.steps.reports import save_fusion_report, save_joined_report

__all__ = ["FusionStep"]

log = logging.getLogger(__name__)


class FusionStep(FusionBaseStep):
    """
    Fuse an IFU cube with images of the same field.

    The result has the angular resolution of the images and the spectral resolution of the cube.
    Input is an association with the cube (s3d) as ``science`` and images (i2d) as
    ``direct_image``, or a list of such files or datamodels.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    class_alias = "fusion"

    spec = """
    rank = string(default='auto') # Number of spectral components, the part of the signal's variance that they are to explain (as 0.999), or 'auto'
    max_rank = integer(default=12, min=1) # Largest number of components that 'auto' chooses
    tuning = option('evidence', 'syfu', 'manual', default='evidence') # Rule for the regularisation: maximum evidence, the rule of Marquis et al. (2026), or mu and gamma by hand
    mu = force_list(default=None) # Regularisation for tuning = manual, above 0: one value, or one per component, as 1e-3,1e-2,1e-2
    gamma = float(default=None) # Weight of the cube for tuning = manual
    noise_scales = boolean(default=True) # Let tuning = evidence also fit the noise of both instruments
    regularisation = option('sobolev', 'edge_weighted', 'wavelet', 'none', default='sobolev') # What is known of the maps of the components: they are smooth, as exponent says; smooth but for the edges that the images show; sparse in starlets; or nothing
    exponent = float(default=1.0) # Power of the gradient for regularisation = sobolev, 0.5 to 3; higher for smoother scenes
    nonnegative = boolean(default=False) # Allow no negative brightness at the resolution of the images; takes several times longer
    outlier_sigma = float(default=6.0) # Leave out pixels and voxels beyond this many sigma, and those that stand out more than a point source can; 3 or more, 0: believe all data
    resolution = option('imager', 'deconvolved', default='imager') # Angular resolution of the result
    factor = string(default='auto') # Pixels of the result per spaxel along each side, or 'auto': nearest whole ratio of the pixel scales
    margin = float(default=0.5) # [arcsec] Rim around the field in which images are used too
    wave_min = float(default=None) # [um] Shortest wavelength
    wave_max = float(default=None) # [um] Longest wavelength
    exclude_wave = force_list(default=None) # [um] Wavelengths to leave out, as 1.87-1.88,2.12-2.13
    exclude_channels = force_list(default=None) # Channels of the cube to leave out, counted from 0, as 57,100-120
    field_ra = float(default=None) # [deg] Centre of the field; default: the whole cube
    field_dec = float(default=None) # [deg] Centre of the field
    field_width = float(default=None) # [arcsec] Width of the field, along x of the cube
    field_height = float(default=None) # [arcsec] Height of the field, along y of the cube
    filters = force_list(default=None) # Use only images of these filters
    throughputs = force_list(default=None) # Files of filter curves, as F212N=file.txt,F182M=file.fits
    min_coverage = float(default=0.98) # Smallest part of a filter's band that the cube must cover
    crosscal = option('eroded', 'mean', 'fitted', 'off', default='fitted') # Cross-calibration: means free of light that crosses the border, plain means, one factor per image fitted together with the scene, starting from the first, or none
    gratings = option('joined', 'separate', 'shared', default='joined') # Several cubes: fuse each and join the results where wavelengths meet, do not join, or fuse them as one with a common spectral subspace, for which spaxels must be the same
    alignment = option('auto', 'wcs', 'measured', default='auto') # Align images by their WCS, or by the offset measured against the cube, or auto: measured for moving targets, else by WCS
    search = float(default=2.0) # [arcsec] Largest offset that is looked for
    offsets = force_list(default=None) # Known offsets of the images, as F182M:0.012:-0.034 in arcsec along x and y of the cube
    psf_source = option('auto', 'webbpsf', 'aperture', 'file', 'data', default='auto') # PSFs by STPSF, by a model of the aperture, from files, from exposures of a star, or auto: the first two by what is there
    psf_image = force_list(default=None) # PSF of the images. For psf_source = file: a file with the complete PSF on the grid of the result. For data: images (i2d) of a star, separated by commas
    psf_cube = string(default=None) # PSF of the cube, likewise. For data: a cube (s3d) of a star
    psf_nodes = string(default='auto') # Number of wavelengths at which PSFs are computed, or 'auto': enough that no OTF is off by 1e-3
    psf_size = float(default=None) # [arcsec] Side of the PSFs; default: 3, with MIRI 20 times the longest wavelength over the telescope's diameter, up to 10
    psf_broadening = string(default='auto') # [arcsec] FWHM of a Gaussian that widens the PSF of the cube: a number, two as 0.15x0.10 across and along the slices, 'fit' to the images, or 'auto': fit a model, leave a file as it is
    psf_broadening_image = float(default=0.0) # [arcsec] FWHM of a Gaussian that widens the PSF of the images
    psf_opd = string(default=None) # Wavefront of the telescope for STPSF: a file, a date, 'observation' for the dates of the data, 'none'; default: the example of STPSF
    psf_jitter = float(default=None) # [milliarcsec] Jitter of the telescope per axis, sigma; default: 0.8, as in STPSF
    psf_position = force_list(default=None) # Column,row of the imager's detector for which STPSF computes; default: its middle
    trace_oversample = float(default=1.0) # Factor by which the exposures of the cube were oversampled
    roll_image = float(default=None) # [deg] Position angle of V3 for the images, if their headers lack it
    roll_cube = float(default=None) # [deg] Position angle of V3 for the cube, if its header lacks it
    validate_filters = force_list(default=None) # Leave these filters out one by one, fuse again, and compare with their images: F187N, several together as F187N+F212N, or all for each in turn
    save_report = boolean(default=False) # Save a page (report.html) with pictures and numbers that tell whether to trust the result
    save_reobserved = boolean(default=False) # Save the result as each filter (i2d) and the spectrometer (s3d) would see it
    memory_limit = float(default=16.0) # [GB] Stop before anything is computed if more memory is needed
    maximum_cores = string(default='none') # Processes for PSFs: 'none', 'quarter', 'half', 'all' or a number
    suffix = string(default='fused_s3d') # Suffix of the product
    """  # noqa: E501

    @classmethod
    def build_config(cls, input, **kwargs):
        """Build the configuration; numbers are allowed where 'auto' is."""
        return super().build_config(input, **cls.numbers_as_text(kwargs))

    @staticmethod
    def numbers_as_text(parameters):
        """Return parameters with those as text that may be a number or a word."""
        names = ("rank", "factor", "maximum_cores", "psf_broadening", "psf_nodes")
        return {key: str(one) if key in names else one for key, one in parameters.items()}

    def process(self, input_data):
        """
        Fuse every cube of the input with its images.

        Parameters
        ----------
        input_data : str, path, dict, list, datamodel, ModelContainer or ModelLibrary
            Association, or files or datamodels of a cube and of images.

        Returns
        -------
        FusedCubeModel or ModelContainer
            The fused cube. Of several cubes, one for each, and the joined cube last; or a single
            one for gratings = shared. If nothing can be fused, an unmodified copy of the cube with
            status SKIPPED or FAILED. Of several cubes, one that is invalid FAILED too, and one
            whose file cannot be read is left out.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If a parameter or file is invalid, of several cubes: if this is so for each of them;
            or the input of another kind.
        """
        options = FusionOptions.from_step(self)
        members = collect_members(self._locate(input_data))
        # The product is named after the association unless the caller names it.
        given = self.search_attr("output_file")
        self.output_use_model = given is None
        if given is not None:
            members = replace(members, product_name=self.remove_suffix(Path(given).stem)[0])
        if members.backgrounds:
            log.info("%d background members are not used in a fusion", len(members.backgrounds))
        if not members.cubes or isinstance(input_data, datamodels.IFUImageModel):
            return self._no_cube(input_data)
        if len(members.cubes) == 1:
            return self._fuse_one(members.cubes[0], members, members.product_name, options)
        stack = self._stacked(members.cubes) if options.gratings == "shared" else None
        if stack is not None:
            return self._fuse_one(stack, members, members.product_name, options)
        # Each product has a name of its own.
        self.output_use_model = True
        return self._fuse_each(members, options)

    def _stacked(self, members):
        """Put several cubes into one; None if they cannot be."""
        cubes = []
        try:
            cubes.extend(read_cube(member) for member in members)
            return stacked_cube(cubes)
        except (NotFusableError, ValueError) as reason:
            warn(log, "The cubes are fused without a shared subspace: %s", reason)
            return None
        finally:
            for cube, member in zip(cubes, members, strict=False):
                if cube.model is not member:
                    cube.model.close()

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
                # A file that cannot be read has no data to hand on.
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

    def _fuse_one(self, member, members, product_name, options):
        with collected_warnings() as messages:
            return self._fuse_or_skip(member, members, product_name, options, messages)

    def _fuse_or_skip(self, member, members, product_name, options, messages):
        try:
            cube = read_cube(member)
        except NotFusableError as reason:
            return self._unchanged(member, self.skip_model, str(reason), product_name)
        try:
            return self._fuse_with_images(cube, members, product_name, options, messages)
        except NotFusableError as reason:
            return self._unchanged(cube.model, self.skip_model, str(reason), product_name)
        except np.linalg.LinAlgError as reason:
            return self._unchanged(cube.model, self.fail_model, str(reason), product_name)
        finally:
            if cube.model is not member:
                cube.model.close()

    def _fuse_with_images(self, cube, members, product_name, options, messages):
        images = self._read_images(cube, members.images, options)
        self._check_oversampling(cube, options)
        outcome = fuse_observations(cube, images, options)
        given = len(members.images)
        product = fused_product(cube.model, outcome, options, images_given=given, messages=messages)
        for line in outcome.report:
            log.info(line)
        product.meta.filename = f"{product_name}_{self.suffix}.fits"
        if members.table_name:
            product.meta.asn.table_name = members.table_name
        self.set_status(product, "COMPLETE")
        if options.save_reobserved:
            self._save_reobserved(cube.model, outcome, product_name)
        if options.save_report:
            save_fusion_report(self._path(product), product, cube.model)
        return product

    def _path(self, product):
        return self.make_output_path(basepath=product.meta.filename)

    def _save_reobserved(self, template, outcome, product_name):
        for name, suffix, model in reobserved_products(template, outcome):
            model.meta.filename = f"{product_name}_{name}.fits"
            self.save_model(model, output_file=model.meta.filename, suffix=suffix, force=True)
            model.close()

    def _check_oversampling(self, cube, options):
        """Warn if the PSF of the cube would be made for exposures that were not oversampled."""
        traced = cube.model.meta.cal_step.adaptive_trace_model == "COMPLETE"
        if traced and options.trace_oversample == 1:
            warn(
                log,
                "%s was built from exposures with a trace model: if they were oversampled, give "
                "the factor as trace_oversample, for its PSF is sharper then",
                cube.name,
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
        present = {image.filter for image in images}
        named = {
            "filters": options.filters,
            "throughputs": options.throughput_files(),
            "offsets": where["offsets"],
        }
        for parameter, given in named.items():
            missing = [name for name in given if name not in present]
            if missing:
                warn(log, "%s names %s, of which no image is used", parameter, ", ".join(missing))
        return images

    def _locate(self, input_data):
        if isinstance(input_data, str):
            return self.make_input_path(input_data)
        if isinstance(input_data, (list, tuple)):
            return [self.make_input_path(item) for item in input_data]
        return input_data

    def _no_cube(self, input_data):
        if isinstance(input_data, datamodels.JwstDataModel):
            models = input_data.copy()
        elif isinstance(input_data, str) and not input_data.endswith(".json"):
            models = open_model(self.make_input_path(input_data))
        else:
            msg = "the input has no cube (s3d, science): give one cube and at least one image"
            raise ValueError(msg)
        kind = type(models).__name__
        allow_fusion_status(models)
        return self.fail_model(models, f"data of type {kind} are no IFU cube (IFUCubeModel)")

    def _unchanged(self, member, verdict, reason, product_name):
        model = open_model(member).copy()
        allow_fusion_status(model)
        model.meta.filename = f"{product_name}_{self.suffix}.fits"
        return verdict(model, reason)
