"""Steps with the defaults that they have in the fusion pipeline."""

from jwst.pixel_replace import PixelReplaceStep

from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep
from jwst_fusion.steps.reuse import Reusable

__all__ = ["OversamplingStep", "ReplacingStep"]


class OversamplingStep(AdaptiveTraceModelStep):
    """The trace model, which oversamples by 2."""

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    spec = """
    oversample = float(default=2.0) # Oversampling factor along the slit, 1 to 10, not necessarily whole. 1: only attach the trace model
    """  # noqa: E501


class ReplacingStep(Reusable, PixelReplaceStep):
    """The replacement of bad pixels, which is not skipped."""

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    spec = """
    skip = boolean(default=False) # Skip this step
    """

    @classmethod
    def get_config_reftype(cls):
        """Return the type of the stock step's parameter file in CRDS."""
        return PixelReplaceStep.get_config_reftype()
