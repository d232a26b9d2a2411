"""Adaptive trace modelling and imager-spectrograph fusion for JWST, as pipeline steps."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("jwst_fusion")
