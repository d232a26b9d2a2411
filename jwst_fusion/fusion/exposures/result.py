"""Result of a fusion from exposures."""

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import SkyCoord

from jwst_fusion.fusion.exposures.domain import positions_on
from jwst_fusion.fusion.exposures.spectra import SplineSpectra
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.solver.posterior import CubePosterior

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
    posterior : `~jwst_fusion.fusion.solver.posterior.CubePosterior` or None
        Posterior of the cube, for `~jwst_fusion.fusion.error_of`; None without errors.
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
    source_factor : array (J, L, k)
        What of these errors channels share, F, Jy: spectrum j has the covariance
        ``diag(source_error**2 - sum(F**2)) + F F^T``.
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
    gains, gain_errors : array (n,)
        Factor by which each exposure is brighter than the first; 1 if not fitted.
    levels, level_errors : array (n,)
        What each exposure shows beyond the first, MJy/sr; 0 if not fitted.
    rolls, roll_errors : array (n,)
        By how much each exposure is turned against its coordinates about the middle of the product,
        from columns to rows of the grid, degree; 0 if not fitted.
    psf_widths, psf_width_errors : array (n, 3)
        Variances along x and y of the grid and covariance of the Gaussian by which the PSF of each
        exposure is wider than the given one, arcsec squared; 0 if not fitted.
    image_psf_widths, image_psf_width_errors : array (n, 3)
        The same of each image.
    exposure_psfs, image_psfs : list of PsfCube
        The PSFs that follow.
    sources : `~astropy.coordinates.SkyCoord` or None
        Positions of the point sources, fitted ones if they were.
    source_position_errors : array (J, 2)
        Their standard deviations along x and y of the grid, arcsec; 0 if not fitted.
    """

    cube: np.ndarray
    error: np.ndarray | None
    posterior: CubePosterior | None
    wavelength: np.ndarray
    grid: SkyGrid
    coefficients: np.ndarray
    spectra: SplineSpectra
    residuals: list
    rejected: list
    image_residuals: list
    source_flux: np.ndarray
    source_error: np.ndarray
    source_factor: np.ndarray
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
    gains: np.ndarray
    gain_errors: np.ndarray
    levels: np.ndarray
    level_errors: np.ndarray
    rolls: np.ndarray
    roll_errors: np.ndarray
    psf_widths: np.ndarray
    psf_width_errors: np.ndarray
    image_psf_widths: np.ndarray
    image_psf_width_errors: np.ndarray
    exposure_psfs: list
    image_psfs: list
    sources: SkyCoord | None
    source_position_errors: np.ndarray

    def places(self, number, ra, dec):
        """
        Find where pixels of an exposure look, which is not where their coordinates say.

        Parameters
        ----------
        number : int
            Number of the exposure.
        ra, dec : array (n,)
            Coordinates of its pixels, degree.

        Returns
        -------
        x : array (n,)
            Columns of the cube, with offset and roll of the exposure.
        y : array (n,)
            Rows, likewise.
        """
        x, y = positions_on(self.grid, ra, dec)
        middle_y, middle_x = ((size - 1) / 2 for size in self.grid.shape)
        angle = np.radians(self.rolls[number])
        x, y = x - middle_x, y - middle_y
        offset = self.offsets[number] / self.grid.scale
        return (
            middle_x + np.cos(angle) * x - np.sin(angle) * y + offset[0],
            middle_y + np.sin(angle) * x + np.cos(angle) * y + offset[1],
        )
