"""Data models of the products of this package."""

import importlib

# asdf imports this package to find the schemas, possibly while stdatamodels is itself being
# imported; the models must therefore load only when they are asked for.
_MODULE_OF = {
    "FusedCubeModel": "fused_cube",
    "HifredCubeModel": "hifred_cube",
    "allow_fusion_status": "fused_cube",
    "allow_hifred_status": "hifred_cube",
    "cube_product": "product",
    "flags_of": "provenance",
    "fused_product": "provenance",
    "hifred_product": "two_cubes",
    "joined_product": "several_cubes",
    "reobserved_products": "reobserved",
    "stacked_cube": "several_cubes",
}

__all__ = [
    "FusedCubeModel",
    "HifredCubeModel",
    "allow_fusion_status",
    "allow_hifred_status",
    "cube_product",
    "flags_of",
    "fused_product",
    "hifred_product",
    "joined_product",
    "reobserved_products",
    "stacked_cube",
]


def __getattr__(name):
    if name in _MODULE_OF:
        module = importlib.import_module(f"jwst_fusion.datamodels.{_MODULE_OF[name]}")
        return getattr(module, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
