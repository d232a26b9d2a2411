"""Measures of how well an estimated image or cube agrees with the truth."""

from jwst_fusion.metrics.errors import ergas, mean_spectrum_error, nmse, psnr, sam
from jwst_fusion.metrics.maps import relative_error_map, sam_map, spectral_variability
from jwst_fusion.metrics.scores import hyperspectral_scores
from jwst_fusion.metrics.structure import ssim, uiqi

__all__ = [
    "ergas",
    "hyperspectral_scores",
    "mean_spectrum_error",
    "nmse",
    "psnr",
    "relative_error_map",
    "sam",
    "sam_map",
    "spectral_variability",
    "ssim",
    "uiqi",
]
