"""Base class of the steps of jwst_fusion: names, status, opening of input, errors."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from jwst.datamodels import ModelContainer, ModelLibrary
from jwst.stpipe import Step
from stpipe.config_parser import ConfigObj

from jwst_fusion.messages import warn
from jwst_fusion.products.open import INPUT_TYPES, fast_files, open_model
from jwst_fusion.products.whole_file import save_whole
from jwst_fusion.steps.reuse import Reusable

__all__ = ["SUFFIXES", "FusionBaseStep"]

log = logging.getLogger(__name__)

# What the package logs is shown, saved in cal_logs and silenced with what stpipe logs.
logging.getLogger("jwst_fusion").parent = logging.getLogger("stpipe")

#: File name suffixes written by the steps of this package.
SUFFIXES = (
    "fusion_adaptive_trace_model",
    "adaptive_trace_model",
    "trace_x1d",
    "fused_s3d",
    "fusion_residual",
    "fused",
    "hifred",
)


class FusionBaseStep(Reusable, Step):
    """
    Base class of the steps of jwst_fusion.

    A subclass sets ``class_alias`` (the key in ``meta.cal_step`` and in the calibration logs) and
    puts ``suffix = string(default=...)`` in its spec.

    Parameters
    ----------
    *args, **kwargs
        As for `stpipe.Step`; parameters of the step are taken under old names, too.

    Notes
    -----
    * No parameter file for these steps exists in CRDS. They look for none, so that they neither
      pick up a file meant for a step of jwst with the same class name nor need a CRDS server.
    * ``skip`` is `False` by default: a step given as a hook takes ``skip`` from its spec.
    * A parameter that was renamed is taken under its old name, too, with a warning, if
      ``old_names`` has it: from parameter files, keywords and the command line.
    """

    #: Whether an unmodified copy of the input, handed on if the step is skipped, is saved. Those of
    #: a fusion are not: a file named fused would hold what is not fused.
    saves_unchanged: ClassVar = True

    #: Present names of parameters by their old ones, which are taken until version 1.0.
    old_names: ClassVar = {}

    spec = """
    skip = boolean(default=False) # Skip this step
    """

    @classmethod
    def get_config_reftype(cls):
        """Return the CRDS type of this step's parameter file, distinct from any type of jwst."""
        return f"pars-jwst_fusion-{cls.__name__.lower()}"

    @classmethod
    def get_config_from_reference(cls, dataset, disable=None, crds_observatory=None):
        """
        Return no parameters: CRDS holds no file for these steps.

        Parameters
        ----------
        dataset : datamodel or dict
            Not used.
        disable : bool, optional
            Not used.
        crds_observatory : str, optional
            Not used.

        Returns
        -------
        `~stpipe.config_parser.ConfigObj`
            An empty configuration.
        """
        return ConfigObj()

    @classmethod
    def _get_config_from_parameters(cls, crds_parameters, crds_observatory):
        # A pipeline asks its steps in this way.
        return ConfigObj()

    @classmethod
    def build_config(cls, dataset, /, **kwargs):
        """
        Build the configuration of the step from a parameter file and keywords only.

        Parameters
        ----------
        dataset : object
            Input of the step; not used, since CRDS holds no parameters for it.
        **kwargs
            Parameters, under present or old names, and ``config_file``.

        Returns
        -------
        config : `~stpipe.config_parser.ConfigObj`
            The configuration.
        config_file : str or None
            The parameter file that was given.
        """
        # The input matters to the parent class only for finding parameters in CRDS. Passing it on
        # would open every file twice and fail obscurely on arrays.
        # Keywords are renamed before they meet the parameter file, which they override.
        # A parameter called input would be taken for an argument of the parent class.
        own = {name: kwargs.pop(name) for name in ("input",) if name in kwargs}
        config, config_file = super().build_config(None, **_renamed(cls, kwargs))
        config.update(own)
        return config, config_file

    @classmethod
    def merge_config(cls, config, config_file):
        """
        Return the configuration as it is checked: with the present names of all parameters.

        Parameters
        ----------
        config : `~stpipe.config_parser.ConfigObj`
            The configuration, which may have old names.
        config_file : str or None
            The parameter file that it comes from.

        Returns
        -------
        `~stpipe.config_parser.ConfigObj`
            The configuration.
        """
        return super().merge_config(_renamed(cls, config), config_file)

    @classmethod
    def load_spec_file(cls, *args, **kwargs):
        """
        Return the specification of all parameters; the command line takes old names, too.

        Parameters
        ----------
        *args, **kwargs
            As for `stpipe.Step.load_spec_file`.

        Returns
        -------
        `~stpipe.config_parser.ConfigObj`
            Kind, default and description by the name of each parameter.
        """
        spec = super().load_spec_file(*args, **kwargs)
        for old, new in cls.old_names.items():
            spec[old] = re.sub(r"default=(list\(\)|[^,)]*)", "default=None", spec[new])
            spec.inline_comments[old] = f"# Old name of {new}, until version 1.0"
        return spec

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **_renamed(type(self), kwargs))

    def __setattr__(self, name, value):
        if name in self.old_names:
            # None is the default with which stpipe fills up what is not given.
            if value is None:
                return
            _warn_of_old_name(name, self.old_names[name])
            name = self.old_names[name]
        super().__setattr__(name, value)

    def remove_suffix(self, name):
        """
        Remove a known suffix, of this package or of jwst, from a file name.

        Parameters
        ----------
        name : str
            File name without extension.

        Returns
        -------
        name : str
            The name without its suffix.
        separator : str
            The character that stood before the suffix.
        """
        for suffix in SUFFIXES:
            for separator in "_-":
                if name.endswith(separator + suffix) and len(name) > len(suffix) + 1:
                    # A product name may carry a suffix of jwst in front of ours.
                    return super().remove_suffix(name[: -len(suffix) - 1])[0], separator
        return super().remove_suffix(name)

    def open_input(self, init, **kwargs):
        """
        Open the input, whatever its form, as datamodels that may be changed.

        Parameters
        ----------
        init : str, `~pathlib.Path`, dict, list, datamodel, ModelContainer or ModelLibrary
            File, association file or dictionary, datamodel(s), or list of files or models.
        **kwargs
            Passed to `~stdatamodels.jwst.datamodels.open` if a file is opened.

        Returns
        -------
        `~stdatamodels.jwst.datamodels.JwstDataModel`, ModelContainer or ModelLibrary
            Deep copies of models given by a caller outside a pipeline.

        Raises
        ------
        FileNotFoundError
            If a file does not exist.
        TypeError
            If the input is of another kind.
        ValueError
            If a file cannot be read as a JWST product.
        """
        if isinstance(init, INPUT_TYPES):
            return self.prepare_output(init)
        if isinstance(init, dict):
            return ModelContainer(init)
        if isinstance(init, (list, tuple)):
            if len(init) == 0:
                msg = "input is an empty list: give at least one file or datamodel"
                raise ValueError(msg)
            return self.prepare_output(
                ModelContainer([open_model(item) for item in init])
                if any(isinstance(item, (str, Path)) for item in init)
                else list(init)
            )
        if isinstance(init, (str, Path)):
            return open_model(self.make_input_path(str(init)), **kwargs)
        msg = (
            f"input of type {type(init).__name__} is not supported: give a file name, an "
            "association, a JWST datamodel, or a list, ModelContainer or ModelLibrary of them"
        )
        raise TypeError(msg)

    def locate(self, init):
        """
        Look for files without a folder in the input folder of the step.

        Parameters
        ----------
        init : str, `~pathlib.Path`, list, tuple or other object
            A file, or several files and datamodels; other input is returned as it is.

        Returns
        -------
        str, list or object
            The same with the paths of files.
        """
        if isinstance(init, (list, tuple)):
            return [self.locate(item) for item in init]
        return self.make_input_path(str(init) if isinstance(init, Path) else init)

    def named_by_model(self, idx):
        """
        Say whether a product that is saved has its file name from its model.

        Parameters
        ----------
        idx : int or None
            Number of the product among several; None for a single one.

        Returns
        -------
        bool
            Each of several products has a name of its own; a single one that of the caller, if
            there is one.
        """
        return idx is not None or self.search_attr("output_file") is None

    def save_model(self, model, suffix=None, idx=None, output_file=None, force=False, **components):
        """
        Save models under the names of the pipeline; no partial file stays if that fails.

        Parameters
        ----------
        model : datamodel or sequence of datamodels
            What to save.
        suffix : str, optional
            Suffix in place of that of the step.
        idx : int, optional
            Number of the model among several.
        output_file : str, optional
            Name in place of that of the step or of the model.
        force : bool
            Whether to save it even if the step is to save nothing.
        **components : object
            As for `stpipe.Step.save_model`.

        Returns
        -------
        str, list of str or None
            The file or files; None if nothing is saved, as for what is not fused.
        """
        if not (self.saves_unchanged or isinstance(model, (Sequence, ModelLibrary))) and (
            getattr(model.meta.cal_step, self.class_alias, None) in ("SKIPPED", "FAILED")
        ):
            return None
        given = output_file or self.output_file
        with fast_files():
            if isinstance(model, (Sequence, ModelLibrary)):
                return super().save_model(model, suffix, idx, output_file, force, **components)
            if not (force or self.save_results or given):
                return None
            if not output_file and self.named_by_model(idx):
                given, idx = model.meta.filename, None
            path = self.make_output_path(basepath=given, suffix=suffix, idx=idx, **components)
            path = save_whole(model, path)
            log.info("Saved model in %s", path)
            return path

    def set_status(self, models, status):
        """
        Record the status of this step in ``meta.cal_step``.

        Parameters
        ----------
        models : datamodel or sequence of datamodels
            The models that are to carry the status.
        status : {"COMPLETE", "SKIPPED", "FAILED"}
            The status.

        Returns
        -------
        datamodel or sequence of datamodels
            The same object.
        """
        if status not in ("COMPLETE", "SKIPPED", "FAILED"):
            msg = f"status is {status!r}: allowed are 'COMPLETE', 'SKIPPED' and 'FAILED'"
            raise ValueError(msg)
        many = isinstance(models, (Sequence, ModelLibrary))
        for model in models if many else [models]:
            setattr(model.meta.cal_step, self.class_alias, status)
        return models

    def skip_model(self, models, reason):
        """
        Log why the data stay as they are and mark them as SKIPPED.

        Parameters
        ----------
        models : datamodel or sequence of datamodels
            The unmodified models.
        reason : str
            What is missing or unsuitable, and what to do.

        Returns
        -------
        datamodel or sequence of datamodels
            The same object.
        """
        warn(log, "%s: step skipped: %s", self.name, reason)
        return self._left(models, "SKIPPED", reason)

    def fail_model(self, models, reason):
        """
        Log why the data could not be processed and mark them as FAILED.

        Parameters
        ----------
        models : datamodel or sequence of datamodels
            The models, unmodified or with the last good result.
        reason : str
            What went wrong.

        Returns
        -------
        datamodel or sequence of datamodels
            The same object.
        """
        warn(log, "%s: step failed: %s", self.name, reason)
        return self._left(models, "FAILED", reason)

    def _left(self, models, status, reason):
        """Mark models that stay as they are; the last line of a fusion says why."""
        if not self.saves_unchanged:
            self.note_not_fused(f"{reason} (status {status}; no product is saved)")
        return self.set_status(models, status)


def _warn_of_old_name(old, new):
    warn(log, "Parameter %s is called %s now; its old name is taken until version 1.0", old, new)


def _renamed(step, given):
    """Parameters with the present names of those that have old ones; present names win."""
    for old, new in step.old_names.items():
        if old not in given:
            continue
        defaults = tuple(getattr(given, "defaults", ()))  # what stpipe has filled up
        value = given.pop(old)
        if old in defaults or (value is None and new in given):
            continue
        _warn_of_old_name(old, new)
        if new not in given or new in defaults or given[new] is None:
            given[new] = value
        else:
            warn(log, "Parameter %s is not used, because %s is given", old, new)
    return given
