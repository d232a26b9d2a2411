"""All steps of the package, under the names that ``strun`` and pipelines use."""

from jwst_fusion.adaptive_trace_model.step import AdaptiveTraceModelStep
from jwst_fusion.fusion.step import FusionStep

__all__ = ["AdaptiveTraceModelStep", "FusionStep"]
