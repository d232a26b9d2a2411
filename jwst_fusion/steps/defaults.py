"""Steps with the defaults that they have in the fusion pipeline."""

from dataclasses import dataclass

from jwst.pixel_replace import PixelReplaceStep

from jwst_fusion.adaptive_trace_model.settings import OVERSAMPLE, TraceSettings
from jwst_fusion.parameters import same_option, spec_of
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep
from jwst_fusion.steps.reuse import Reusable

__all__ = ["OversamplingStep", "ReplacingStep"]


@dataclass(frozen=True, kw_only=True)
class _Oversampling:
    """What the pipeline sets otherwise than the trace model alone."""

    oversample: float = same_option(TraceSettings, "oversample", default=OVERSAMPLE)


class OversamplingStep(AdaptiveTraceModelStep):
    """The trace model, which oversamples by 2."""

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    spec = spec_of(_Oversampling)


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
