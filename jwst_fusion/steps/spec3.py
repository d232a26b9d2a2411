"""The pipeline of combined spectroscopic exposures with our trace model in place of jwst's."""

from jwst.pipeline import Spec3Pipeline

from jwst_fusion.steps.stock import WithTraceModel, with_trace_model

__all__ = ["FusionSpec3Pipeline"]


class FusionSpec3Pipeline(WithTraceModel, Spec3Pipeline):
    """
    Process JWST spectroscopic exposures from Level 2b to 3 as calwebb_spec3 does.

    The step adaptive_trace_model, between outlier_detection and pixel_replace, is that of
    jwst_fusion and is not skipped by default. All other steps, their order, parameters, products
    and logs are those of jwst's ``Spec3Pipeline``.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    step_defs = with_trace_model(Spec3Pipeline.step_defs)
