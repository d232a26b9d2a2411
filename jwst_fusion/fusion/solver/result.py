"""Result of a fusion of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.solver.posterior import CubePosterior
from jwst_fusion.fusion.solver.prediction import Prediction
from jwst_fusion.fusion.solver.psf_fit import PsfFit
from jwst_fusion.fusion.solver.subspace import WhitenedSubspace

__all__ = ["FusionResult"]


@dataclass
class FusionResult:
    """What `fuse` returns; cubes are (wavelength, y, x), in the unit of the input.

    Attributes
    ----------
    cube : ndarray (L, d * h, d * w) of float32
        Fused cube; NaN in channels without any data.
    error : ndarray (L, d * h, d * w) of float32 or None
        Posterior 1-sigma of the same.
    coefficients : ndarray (k, d * h, d * w)
        Deconvolved component maps.
    subspace : WhitenedSubspace
        Mean, basis and diagnostics of the spectral subspace that was used.
    mu : ndarray (k,)
        Weight of the prior per component, for noise-whitened data.
    exponents : ndarray (k,)
        Exponent of the prior per component; 1 is the gradient.
    noise_scale_image, noise_scale_cube : float
        Factors by which the given 1-sigma errors were multiplied.
    images_model : ndarray (F, d * h, d * w)
        The fused scene seen by the imager through each filter.
    cube_model : ndarray (L, h, w) of float32
        The fused scene seen by the spectrometer.
    boundary : str
        Treatment of the edge that was used, "free" or "mirror".
    iterations : int
        Iterations of the linear solves, 0 if they were direct (with `refine`, in the second pass).
    converged : bool
        Whether the linear solve and the hyperparameters converged.
    history : list of float
        Residuals of these solves, one after the other, in posterior standard deviations.
    tuning_path : list of TuningStep
        Steps by which the hyperparameters were found; empty if they were given.
    gains : ndarray (F,)
        Factors by which the images are brighter than the given responses say; 1 if not fitted.
    gain_errors : ndarray (F,)
        1-sigma errors of the gains; 0 if not fitted.
    rejected_images : ndarray (F, d * h, d * w) of bool
        Pixels that were not used because they are outliers.
    rejected_voxels : ndarray (L, h, w) of bool
        Voxels that were not used because they are outliers.
    sources : SourceSpectra or None
        Point sources with their spectra; None if there are none.
    posterior : CubePosterior or None
        Posterior of the cube, for errors of sums; None without errors.
    psf_fit : PsfFit or None
        How the PSFs differ from those given; None if they were not fitted.
    prediction : Prediction or None
        What all other data predict for the images of one filter; None if that was not asked for, or
        there are fewer than three filters.
    """

    cube: np.ndarray
    error: np.ndarray | None
    coefficients: np.ndarray
    subspace: WhitenedSubspace
    mu: np.ndarray
    exponents: np.ndarray
    noise_scale_image: float
    noise_scale_cube: float
    images_model: np.ndarray
    cube_model: np.ndarray
    boundary: str
    iterations: int
    converged: bool
    history: list
    tuning_path: list
    gains: np.ndarray
    gain_errors: np.ndarray
    rejected_images: np.ndarray
    rejected_voxels: np.ndarray
    sources: object = None
    posterior: CubePosterior | None = None
    psf_fit: PsfFit | None = None
    prediction: Prediction | None = None
