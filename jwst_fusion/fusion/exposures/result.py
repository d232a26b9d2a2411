"""Result of a fusion from exposures."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.exposures.spectra import SplineSpectra
from jwst_fusion.fusion.observed.sky import SkyGrid

__all__ = ["ExposureFusion"]


@dataclass(frozen=True)
class ExposureFusion:
    """
    What `~jwst_fusion.fusion.fuse_exposures` returns.

    Attributes
    ----------
    cube : array (L, ny, nx) of float32
        Fused cube at the resolution of the product's PSF, MJy/sr.
    error : array (L, ny, nx) of float32 or None
        Posterior standard deviation of the same; None if it was not asked for.
    wavelength : array (L,)
        Channels, micrometre.
    grid : `~jwst_fusion.fusion.SkyGrid`
        Sky coordinates of the cube.
    coefficients : array (k, ny, nx)
        Deconvolved component maps.
    spectra : SplineSpectra
        Mean and basis spectra as splines.
    residuals : list of array (n,)
        Data minus model of the pixels of each exposure, MJy/sr; NaN where a pixel lies outside the
        channels or the field, or may not be used.
    rejected : list of bool array (n,)
        Pixels of each exposure that were left out as outliers.
    image_residuals : list of array (y, x)
        Data minus model of each image; NaN likewise.
    source_flux, source_error : array (J, L)
        Flux densities of the point sources and their standard deviations, Jy.
    scales, image_scales : array
        Factors on the stated errors of each exposure and image.
    offsets, offset_errors : array (n, 2)
        By how much each exposure sees other places than its coordinates say, along x and y of the
        grid, and the standard deviation of that, arcsec; zero if not fitted.
    image_gains, image_gain_errors : array (n,)
        Factor by which each image is brighter than the scene; 1 if not fitted.
    image_levels, image_level_errors : array (n,)
        What each image shows beyond that, MJy/sr; 0 if not fitted.
    mu : array (k,)
        Weight of the prior per component.
    converged : bool
        Whether the weights settled and the last linear solve reached its tolerance.
    iterations : int
        Iterations of all linear solves with all pixels.
    departure : float
        Worst distance of a pixel from the line of its slice, fine pixels.
    """

    cube: np.ndarray
    error: np.ndarray | None
    wavelength: np.ndarray
    grid: SkyGrid
    coefficients: np.ndarray
    spectra: SplineSpectra
    residuals: list
    rejected: list
    image_residuals: list
    source_flux: np.ndarray
    source_error: np.ndarray
    scales: np.ndarray
    image_scales: np.ndarray
    offsets: np.ndarray
    offset_errors: np.ndarray
    image_gains: np.ndarray
    image_gain_errors: np.ndarray
    image_levels: np.ndarray
    image_level_errors: np.ndarray
    mu: np.ndarray
    converged: bool
    iterations: int
    departure: float
