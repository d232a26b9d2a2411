"""Old place of `AdaptiveTraceModelStep`, which saved parameter files may name; until 1.0."""

from importlib import import_module


def __getattr__(name):
    return getattr(import_module("jwst_fusion.steps.adaptive_trace_model"), name)
