"""
All steps and pipelines of the package, under the names that ``strun`` and pipelines use.

A step is imported when it is first asked for, without what the other steps need.
"""

from importlib import import_module

_MODULES = {
    "AdaptiveTraceModelStep": "jwst_fusion.steps.adaptive_trace_model",
    "FusionStep": "jwst_fusion.steps.fusion",
    "HifredStep": "jwst_fusion.steps.hifred",
    "FusionPipeline": "jwst_fusion.steps.fusion_pipeline",
    "FusionSpec2Pipeline": "jwst_fusion.steps.spec2",
    "FusionSpec3Pipeline": "jwst_fusion.steps.spec3",
    "FusionTso3Pipeline": "jwst_fusion.steps.tso3",
}
# Steps within FusionPipeline alone, which its parameter files name.
_WITHIN = {
    "FrugalOutlierStep": "jwst_fusion.steps.outliers",
    "OversamplingStep": "jwst_fusion.steps.defaults",
    "ReplacingStep": "jwst_fusion.steps.defaults",
}

__all__ = list(_MODULES)


def __getattr__(name):
    module = {**_MODULES, **_WITHIN}.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(module), name)


def __dir__():
    return [*globals(), *__all__]
