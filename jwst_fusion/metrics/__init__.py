"""Measures of how well an estimated image or cube agrees with the truth."""

from jwst_fusion.metrics.errors import ergas, mean_spectrum_error, nmse, psnr, sam
from jwst_fusion.metrics.structure import ssim, uiqi

__all__ = ["ergas", "mean_spectrum_error", "nmse", "psnr", "sam", "ssim", "uiqi"]
