"""Adaptive trace modelling and imager-spectrograph fusion for JWST, as pipeline steps."""

from importlib.metadata import version

import lazy_loader

# The engines load when they are asked for, so that listing the steps stays quick.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["adaptive_trace_model", "fusion", "hifred"],
    submod_attrs={"errors": ["NotFusableError"]},
)

__version__ = version("jwst_fusion")
__all__ += ["__version__"]
