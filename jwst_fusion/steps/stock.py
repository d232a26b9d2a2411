"""Put the trace model of this package into pipelines of jwst."""

from stpipe.config_parser import ConfigObj

from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep
from jwst_fusion.steps.reuse import Reusable

__all__ = ["WithTraceModel", "forget_steps", "with_trace_model"]

_OURS = "adaptive_trace_model"


def with_trace_model(step_defs):
    """
    Put our trace model in place of the stock one.

    Parameters
    ----------
    step_defs : dict
        Steps of a pipeline; not changed.

    Returns
    -------
    dict
        The same names in the same order with our step.

    Raises
    ------
    KeyError
        If the pipeline has no step ``adaptive_trace_model``.
    """
    if _OURS not in step_defs:
        msg = f"the pipeline has no step {_OURS}: jwst 3.0 or later is needed"
        raise KeyError(msg)
    return {**step_defs, _OURS: AdaptiveTraceModelStep}


def forget_steps(config, names):
    """
    Remove what CRDS says of some steps from a configuration.

    Parameters
    ----------
    config : `~stpipe.config_parser.ConfigObj`
        The configuration of a pipeline, changed in place.
    names : iterable of str
        The steps.

    Returns
    -------
    `~stpipe.config_parser.ConfigObj`
        The same object.
    """
    for name in names:
        if name in config.get("steps", {}):
            config["steps"][name] = ConfigObj()
    return config


class WithTraceModel(Reusable):
    """
    Mixin for subclasses of pipelines of jwst.

    Parameters come from CRDS as for the stock pipeline, but none for the trace model: those of
    jwst's own step, which is skipped by default, are not meant for ours.
    """

    @classmethod
    def get_config_reftype(cls):
        """Return the type of the stock pipeline's parameter file in CRDS."""
        stock = next(base for base in cls.__mro__ if base.__module__.startswith("jwst.pipeline"))
        return f"pars-{stock.__name__.lower()}"

    @classmethod
    def get_config_from_reference(cls, dataset, disable=None, crds_observatory=None):
        """
        Return the stock pipeline's parameters without those of jwst's trace model.

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
            Parameters of the pipeline and of its steps.
        """
        config = super().get_config_from_reference(
            dataset, disable=disable, crds_observatory=crds_observatory
        )
        return forget_steps(config, [_OURS])
