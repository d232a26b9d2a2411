"""Adaptive trace modelling and imager-spectrograph fusion for JWST, as pipeline steps."""

from importlib import import_module
from importlib.metadata import version

__all__ = ["__version__", "adaptive_trace_model", "fusion", "hifred"]

__version__ = version("jwst_fusion")


def __getattr__(name):
    # The engines load when they are asked for, so that listing the steps stays quick.
    if name in __all__:
        return import_module(f"jwst_fusion.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__():
    return [*globals(), *__all__]
