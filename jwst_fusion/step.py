"""
All steps and pipelines of the package, under the names that ``strun`` and pipelines use.

A step is imported when it is first asked for: one does not wait for what another needs.
"""

from importlib import import_module

_MODULES = {
    "AdaptiveTraceModelStep": "jwst_fusion.adaptive_trace_model.step",
    "FusionStep": "jwst_fusion.fusion.step",
    "HifredStep": "jwst_fusion.hifred.step",
    "FusionPipeline": "jwst_fusion.pipeline.fusion",
    "FusionSpec2Pipeline": "jwst_fusion.pipeline.spec2",
    "FusionSpec3Pipeline": "jwst_fusion.pipeline.spec3",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_MODULES[name]), name)


def __dir__():
    return [*globals(), *__all__]
