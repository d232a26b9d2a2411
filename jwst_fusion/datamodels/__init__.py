"""Data models of the products of this package: schemas and their classes."""

import lazy_loader

# asdf imports this package to find the schemas, possibly while stdatamodels is itself being
# imported; the models must therefore load only when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fused_cube": ["FusedCubeModel", "allow_fusion_status"],
        "source_spectra": ["SourceSpectraModel"],
        "hifred_cube": ["HifredCubeModel", "allow_hifred_status"],
    },
)
