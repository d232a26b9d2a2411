"""Old place of `jwst_fusion.steps.outliers`, which saved parameter files may name; until 1.0."""

from importlib import import_module


def __getattr__(name):
    return getattr(import_module("jwst_fusion.steps.outliers"), name)
