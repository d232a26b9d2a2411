"""The step ``hifred``: read cubes, fuse them, write the product and its report."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import numpy as np
from stdatamodels.jwst import datamodels

from jwst_fusion import __version__
from jwst_fusion.associations.hifred import collect_hifred_members
from jwst_fusion.associations.members import stem
from jwst_fusion.datamodels import allow_hifred_status
from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.line_maps import map_lines, parse_lines
from jwst_fusion.hifred.options import HifredOptions
from jwst_fusion.hifred.run import fuse_data
from jwst_fusion.hifred.s3d_data import data_from_s3d
from jwst_fusion.hifred.xray.counts import CountCube, read_counts
from jwst_fusion.hifred.xray.fits_tables import open_fits
from jwst_fusion.hifred.xray_data import sort_cubes
from jwst_fusion.hifred.xray_several import data_from_observations
from jwst_fusion.input_files import check_whole, one_line, reading
from jwst_fusion.messages import collected_warnings
from jwst_fusion.parameters import numbers_as_text, spec_of
from jwst_fusion.products.counts import count_product, unchanged_product
from jwst_fusion.products.hifred_cube import hifred_product
from jwst_fusion.products.hifred_lines import save_lines
from jwst_fusion.products.hifred_provenance import flags
from jwst_fusion.products.observations import check_file, read_cube
from jwst_fusion.products.open import open_model
from jwst_fusion.products.whole_file import in_memory_file
from jwst_fusion.steps.base import FusionBaseStep
from jwst_fusion.steps.reports import save_hifred_report

__all__ = ["HifredStep"]

log = logging.getLogger(__name__)


class HifredStep(FusionBaseStep):
    """
    Fuse hyperspectral cubes: some with finer pixels, some with finer channels.

    Input is an association, a list or a dictionary of cubes: two or more FITS cubes of X-ray
    counts, with Poisson likelihood, or two JWST cubes (s3d), with Gaussian likelihood. The result
    has the finest pixels and the finest channels.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    class_alias = "hifred"

    spec = (
        spec_of(HifredOptions) + "    suffix = string(default='hifred') # Suffix of the product\n"
    )

    old_names: ClassVar = {"maximum_iterations": "max_iterations"}

    @classmethod
    def build_config(cls, input, **kwargs):
        """
        Build the configuration; numbers are allowed where 'auto' is.

        Parameters
        ----------
        input : object
            Input of the step; not used.
        **kwargs
            Parameters, under present or old names, and ``config_file``.

        Returns
        -------
        config : `~stpipe.config_parser.ConfigObj`
            The configuration.
        config_file : str or None
            The parameter file that was given.
        """
        return super().build_config(input, **numbers_as_text(HifredOptions, kwargs))

    def process(self, input_data):
        """
        Fuse cubes.

        Parameters
        ----------
        input_data : str, path, dict, list, ModelContainer or ModelLibrary
            Association of cubes as ``science``, which may have files ``psf``, ``rmf`` and ``arf``
            of their own, with ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y`` and ``arf_y``; list of cubes
            (files, data models or `~jwst_fusion.hifred.xray.counts.CountCube`); or dictionary of
            ``cubes`` and files.

        Returns
        -------
        FitsProduct or HifredCubeModel
            The fused cube, of counts or of JWST cubes. If nothing can be fused, an unmodified copy
            of the cube with the finer channels with status SKIPPED or FAILED.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If a parameter or file is invalid, or the input of another kind.
        """
        options = HifredOptions.from_step(self)
        if isinstance(input_data, datamodels.JwstDataModel):
            return self._one_model(input_data)
        members = collect_hifred_members(self.locate(input_data))
        for cube in members.cubes:
            if isinstance(cube, (str, Path)):
                _check_whole(cube, "cube")
        kinds = [_is_jwst(cube) for cube in members.cubes]
        if len(set(kinds)) > 1:
            msg = "one cube is a JWST product and the other is not: give two of one kind"
            raise ValueError(msg)
        if kinds[0] and len(kinds) > 2:
            msg = f"{len(kinds)} JWST cubes are given, but HIFReD fuses two of them; join those of "
            msg += "one grating or channel first. More than two are for cubes of counts"
            raise ValueError(msg)
        if kinds[0] and any(members.own):
            msg = "files of single cubes (psf, rmf, arf) are for cubes of counts: give psf as a "
            msg += "member of the association"
            raise ValueError(msg)
        options.check_kind(jwst=kinds[0])
        responses = options.responses(members.responses)
        for kind, path in responses.items():
            _check_whole(path, kind.partition("_")[0].upper())
        for files in members.own:
            for kind, path in files.items():
                _check_whole(path, kind.upper())
        fuse_pair = self._fuse_s3d if kinds[0] else self._fuse_counts
        return fuse_pair(members, responses, options)

    def _fuse_counts(self, members, responses, options):
        cubes = [_counts(cube) for cube in members.cubes]
        filename = f"{members.product_name or 'fused'}_{self.suffix}.fits"
        files = (*responses.values(), *(path for one in members.own for path in one.values()))
        names = (*(cube.name for cube in cubes), *files)
        widths = [
            np.inf if cube.energies is None else np.median(np.diff(cube.energies)) for cube in cubes
        ]
        y = cubes[int(np.argmin(widths))]
        if len(cubes) == 2 and not any(members.own):
            with reading(*names, what="one of their headers or tables"):
                y = sort_cubes(*cubes, responses)[1]
        try:
            with collected_warnings() as messages:
                with reading(*names, what="one of their headers or tables"):
                    data, x, y = data_from_observations(cubes, responses, options, own=members.own)
                options.check_lines(data.edges[1], counts=True)
                result = fuse_data(data, options)
        except NotFusableError as reason:
            return self.skip_model(unchanged_product(y, filename), str(reason))
        except (np.linalg.LinAlgError, FloatingPointError) as reason:
            return self.fail_model(unchanged_product(y, filename), str(reason))
        product = count_product(data, result, x, y, options, filename, messages)
        self.set_status(product, "COMPLETE")
        lines = self._save_lines(data, result, options, x.wcs, filename)
        if options.save_report:
            product.header["S_HIFRED"] = "COMPLETE"
            self._save_report(product.hdus, product, data, filename, lines)
        return product

    def _fuse_s3d(self, members, responses, options):
        with ExitStack() as opened:
            models = []
            for cube in members.cubes:
                models.append(open_model(cube))
                if models[-1] is not cube:
                    opened.callback(models[-1].close)
                    with reading(cube):
                        check_file(cube, Path(cube).name)
            name = members.product_name or stem(models[0].meta.filename or "fused")
            product, fused = self._fuse_models(models, responses, options)
        product.meta.filename = f"{name}_{self.suffix}.fits"
        if members.table_name:
            product.meta.asn.table_name = members.table_name
        if fused is None:
            return product
        data, result, wcs = fused
        lines = self._save_lines(data, result, options, wcs, product.meta.filename)
        if options.save_report:
            with in_memory_file(product) as hdus:
                self._save_report(hdus, product, data, product.meta.filename, lines)
        return product

    def _output_path(self, filename):
        """Path of the product, whose name others take over."""
        given = self.search_attr("output_file")
        if given is not None:
            filename = f"{self.remove_suffix(Path(given).stem)[0]}_{self.suffix}.fits"
        return Path(self.make_output_path(basepath=filename))

    def _save_lines(self, data, result, options, wcs, filename):
        """Map the lines that are asked for, and save the maps; None if there are none."""
        if not options.lines:
            return None
        counts = data.sigma_x is None
        maps = map_lines(
            result,
            data.edges[1],
            parse_lines(options.lines),
            unit=data.unit,
            redshift=options.redshift,
            window=options.line_window,
            counts=counts,
        ).where(~(flags(data, result) & 1 > 0).all(axis=0))
        path = self._output_path(filename)
        target = path.with_name(f"{path.stem.removesuffix(f'_{self.suffix}')}_lines.fits")
        keywords = {"HIFVER": __version__, "FUSED": path.name}
        save_lines(target, maps, wcs, keywords)
        log.info("Saved maps of %d lines in %s", len(maps.lines), target)
        return maps

    def _save_report(self, hdus, product, data, filename, lines):
        path = self._output_path(filename)
        cubes = [
            np.where(response.mask, values, np.nan)
            for values, response in (
                (data.x, data.response_x),
                (data.y, data.response_y),
            )
        ]
        save_hifred_report(path, hdus, product, cubes, lines)

    def _fuse_models(self, models, responses, options):
        """Fuse two open models; the product, and data, result and WCS; or a finer cube, None."""
        for model in models:
            if not isinstance(model, datamodels.IFUCubeModel):
                kind = type(model).__name__
                reason = f"{kind} is not an IFU cube (IFUCubeModel expected)"
                return self.fail_model(allow_hifred_status(models[-1].copy()), reason), None
        finest = max(models, key=lambda model: model.data.shape[0])
        try:
            with collected_warnings() as messages:
                cubes = [_brightness(model) for model in models]
                data, x, y = data_from_s3d(*cubes, responses, options)
                options.check_lines(data.edges[1], counts=False)
                result = fuse_data(data, options)
        except NotFusableError as reason:
            return self.skip_model(allow_hifred_status(finest.copy()), str(reason)), None
        except (np.linalg.LinAlgError, FloatingPointError) as reason:
            return self.fail_model(allow_hifred_status(finest.copy()), str(reason)), None
        model = models[next(i for i, cube in enumerate(cubes) if cube is y)]
        product = hifred_product(data, result, x, y, model, options, messages)
        return self.set_status(product, "COMPLETE"), (data, result, x.grid.wcs)

    def _one_model(self, model):
        kind = type(model).__name__
        reason = f"one {kind} is given, but HIFReD fuses two cubes"
        return self.fail_model(allow_hifred_status(model.copy()), reason)


def _check_whole(path, kind):
    """Refuse a file that is damaged before anything is read of it; the message names it."""
    try:
        check_whole(path)
    except OSError as error:
        msg = f"the {kind} {path} is not a readable FITS file: {one_line(error)}"
        raise ValueError(msg) from error


def _brightness(model):
    """Cube of surface brightness in a model."""
    with reading(model.meta.filename or "the model"):
        return read_cube(model)


def _counts(cube):
    """Cube of counts, read if it is a file."""
    if isinstance(cube, CountCube):
        return cube
    with reading(cube):
        return read_counts(cube)


def _is_jwst(cube):
    """Whether a cube is a JWST product; a file is if it says what data model it holds."""
    if isinstance(cube, datamodels.JwstDataModel):
        return True
    if isinstance(cube, CountCube):
        return False
    if not isinstance(cube, (str, Path)):
        msg = f"a cube of the input is a {type(cube).__name__}: give files, data models, CountCubes"
        raise TypeError(msg)
    with reading(cube), open_fits(Path(cube), "cube") as hdus:
        return "DATAMODL" in hdus[0].header
