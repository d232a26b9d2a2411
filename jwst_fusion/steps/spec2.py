"""The pipeline of single spectroscopic exposures with our trace model in place of jwst's."""

from jwst.pipeline import Spec2Pipeline

from jwst_fusion.steps.stock import WithTraceModel, with_trace_model

__all__ = ["FusionSpec2Pipeline"]


class FusionSpec2Pipeline(WithTraceModel, Spec2Pipeline):
    """
    Process JWST spectroscopic exposures from Level 2a to 2b as calwebb_spec2 does.

    The step adaptive_trace_model is that of jwst_fusion and is not skipped by default. All other
    steps, their order, parameters, products and logs are those of jwst's ``Spec2Pipeline``.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    step_defs = with_trace_model(Spec2Pipeline.step_defs)
