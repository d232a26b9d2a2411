"""Old place of `jwst_fusion.steps.hifred`, which saved parameter files may name; until 1.0."""

from importlib import import_module


def __getattr__(name):
    return getattr(import_module("jwst_fusion.steps.hifred"), name)
