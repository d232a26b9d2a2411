"""The step ``hifred``: read a pair of cubes, fuse them, write the product and its report."""

from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import numpy as np
from stdatamodels.jwst import datamodels

from jwst_fusion.associations.hifred import collect_hifred_members
from jwst_fusion.associations.members import stem
from jwst_fusion.datamodels import allow_hifred_status
from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.options import HifredOptions
from jwst_fusion.hifred.run import fuse_data
from jwst_fusion.hifred.s3d_data import data_from_s3d
from jwst_fusion.hifred.xray.counts import CountCube, read_counts
from jwst_fusion.hifred.xray.fits_tables import open_fits
from jwst_fusion.hifred.xray_data import data_from_counts, sort_cubes
from jwst_fusion.input_files import check_whole, one_line, reading
from jwst_fusion.messages import collected_warnings
from jwst_fusion.parameters import numbers_as_text, spec_of
from jwst_fusion.products.counts import count_product, unchanged_product
from jwst_fusion.products.hifred_cube import hifred_product
from jwst_fusion.products.observations import read_cube
from jwst_fusion.products.open import open_model
from jwst_fusion.products.whole_file import in_memory_file
from jwst_fusion.steps.base import FusionBaseStep
from jwst_fusion.steps.reports import save_hifred_report

__all__ = ["HifredStep"]


class HifredStep(FusionBaseStep):
    """
    Fuse two hyperspectral cubes: one with finer pixels, one with finer channels.

    Input is an association, a list or a dictionary of two cubes: FITS cubes of X-ray counts, with
    Poisson likelihood, or JWST cubes (s3d), with Gaussian likelihood. The result has the pixels of
    the first and the channels of the second.
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
        Fuse two cubes.

        Parameters
        ----------
        input_data : str, path, dict, list, ModelContainer or ModelLibrary
            Association of two cubes as ``science`` with ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``
            and ``arf_y``; list of two cubes (files, data models or
            `~jwst_fusion.hifred.xray.counts.CountCube`); or dictionary of ``cubes`` and files.

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
        if kinds[0] != kinds[1]:
            msg = "one cube is a JWST product and the other is not: give two of one kind"
            raise ValueError(msg)
        options.check_kind(jwst=kinds[0])
        responses = options.responses(members.responses)
        for kind, path in responses.items():
            _check_whole(path, kind.partition("_")[0].upper())
        fuse_pair = self._fuse_s3d if kinds[0] else self._fuse_counts
        return fuse_pair(members, responses, options)

    def _fuse_counts(self, members, responses, options):
        first, second = (_counts(cube) for cube in members.cubes)
        filename = f"{members.product_name or 'fused'}_{self.suffix}.fits"
        names = ", ".join(str(one) for one in (first.name, second.name, *responses.values()))
        with reading(names, what="one of their headers or tables"):
            y = sort_cubes(first, second, responses)[1]
        try:
            with collected_warnings() as messages:
                with reading(names, what="one of their headers or tables"):
                    data, x, y = data_from_counts(first, second, responses, options)
                result = fuse_data(data, options)
        except NotFusableError as reason:
            return self.skip_model(unchanged_product(y, filename), str(reason))
        except (np.linalg.LinAlgError, FloatingPointError) as reason:
            return self.fail_model(unchanged_product(y, filename), str(reason))
        product = count_product(data, result, x, y, options, filename, messages)
        self.set_status(product, "COMPLETE")
        if options.save_report:
            product.header["S_HIFRED"] = "COMPLETE"
            self._save_report(product.hdus, product, data, filename)
        return product

    def _fuse_s3d(self, members, responses, options):
        with ExitStack() as opened:
            models = []
            for cube in members.cubes:
                models.append(open_model(cube))
                if models[-1] is not cube:
                    opened.callback(models[-1].close)
            name = members.product_name or stem(models[0].meta.filename or "fused")
            product, data = self._fuse_models(models, responses, options)
        product.meta.filename = f"{name}_{self.suffix}.fits"
        if members.table_name:
            product.meta.asn.table_name = members.table_name
        if options.save_report and data is not None:
            with in_memory_file(product) as hdus:
                self._save_report(hdus, product, data, product.meta.filename)
        return product

    def _save_report(self, hdus, product, data, filename):
        given = self.search_attr("output_file")
        if given is not None:
            filename = f"{self.remove_suffix(Path(given).stem)[0]}_{self.suffix}.fits"
        path = Path(self.make_output_path(basepath=filename))
        cubes = [
            np.where(response.mask, values, np.nan)
            for values, response in (
                (data.x, data.response_x),
                (data.y, data.response_y),
            )
        ]
        save_hifred_report(path, hdus, product, cubes)

    def _fuse_models(self, models, responses, options):
        """Fuse two open models; the product and the data, or a copy of the finer one, None."""
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
                result = fuse_data(data, options)
        except NotFusableError as reason:
            return self.skip_model(allow_hifred_status(finest.copy()), str(reason)), None
        except (np.linalg.LinAlgError, FloatingPointError) as reason:
            return self.fail_model(allow_hifred_status(finest.copy()), str(reason)), None
        model = models[next(i for i, cube in enumerate(cubes) if cube is y)]
        product = hifred_product(data, result, x, y, model, options, messages)
        return self.set_status(product, "COMPLETE"), data

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
