"""The pipeline of time series with our trace model in place of jwst's."""

from jwst.pipeline import Tso3Pipeline

from jwst_fusion.steps.stock import WithTraceModel, with_trace_model

__all__ = ["FusionTso3Pipeline"]


class FusionTso3Pipeline(WithTraceModel, Tso3Pipeline):
    """
    Process JWST time series from Level 2b to 3 as calwebb_tso3 does.

    The step adaptive_trace_model, between outlier_detection and pixel_replace, is that of
    jwst_fusion and is not skipped by default: it fills pixels without data in each integration with
    the trace scaled to that integration. All other steps, their order, parameters, products and
    logs are those of jwst's ``Tso3Pipeline``.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    step_defs = with_trace_model(Tso3Pipeline.step_defs)
