"""Data models of the products of this package: schemas and their classes."""

import importlib

# asdf imports this package to find the schemas, possibly while stdatamodels is itself being
# imported; the models must therefore load only when they are asked for.
_MODULE_OF = {
    "FusedCubeModel": "fused_cube",
    "HifredCubeModel": "hifred_cube",
    "allow_fusion_status": "fused_cube",
    "allow_hifred_status": "hifred_cube",
    "in_memory_file": "whole_file",
}

__all__ = [
    "FusedCubeModel",
    "HifredCubeModel",
    "allow_fusion_status",
    "allow_hifred_status",
    "in_memory_file",
]


def __getattr__(name):
    if name in _MODULE_OF:
        module = importlib.import_module(f"jwst_fusion.datamodels.{_MODULE_OF[name]}")
        return getattr(module, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__():
    return [*globals(), *__all__]
