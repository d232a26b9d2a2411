"""What a fusion of two cubes of counts returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jwst_fusion.hifred.solver.posterior import LowRankPosterior

__all__ = ["HifredResult"]


@dataclass
class HifredResult:
    """
    What `~jwst_fusion.hifred.fuse` returns; cubes are (energy, y, x).

    Attributes
    ----------
    cube : ndarray (L, M, N) of float32
        Fused source, not negative unless ``nonnegative=False``.
    error : ndarray (L, M, N) of float32 or None
        1-sigma error of each voxel.
    model_x, model_y : ndarray, or list of ndarray
        Expected counts of the instruments for `cube`, background and normalisations included;
        lists where lists of cubes were given.
    objective : float
        Value of the objective at `cube`; the likelihood as half a deviance, which is 0 where the
        model equals the data.
    history : ndarray (iterations, 3)
        Objective, Newton decrement or gap, and CPU seconds after each iteration.
    converged : bool
        Whether the tolerance was reached.
    iterations : int
        Number of iterations of the final solve.
    accuracy : float
        What the stop compares with the tolerance: low-rank solutions, the Newton decrement divided
        by half the number of data; the others, the gap between primal and dual divided by the
        objective without the constants that make it half a deviance; with a denoiser, the
        relative change of the last iteration.
    regularisation, likelihood : str
        As asked for.
    rank : int
        Dimension of the spectral subspace, for a full cube that of the low-rank source it starts
        from.
    mu : float
        Weight of the penalty that was used; of "wavelet_2d1d" this is `kappa`, and 0 without a
        penalty.
    chosen : str
        How rank and weight of the penalty were chosen, in words.
    tuning : list of dict
        ``mu`` (or `kappa`) that were tried and their held-out ``deviance``, above the smallest, in
        order; empty if the weight was given.
    basis : ndarray (L, r) or None
        Spectra that span the subspace.
    coefficients : ndarray (r, M, N) or None
        Their maps.
    clipped : float
        Part of the sum of the cube that the final projection onto values that are not negative
        took away.
    seconds : float
        CPU time.
    state : dict
        What a continuation needs; see `start` of `fuse`.
    notes : list of str
        What the user should know: data that were left out, no convergence.
    posterior : LowRankPosterior or None
        What `~jwst_fusion.hifred.error_of` needs for errors of sums; None without errors.
    normalisations : ndarray (n,) or None
        By which factor more each observation shows of the source than its response says, those of
        `x` first; 1 for the first. None if they were not fitted.
    normalisation_errors : ndarray (n,) or None
        1-sigma errors of these; 0 for the first.
    offsets : ndarray (n, 2) or None
        How far the source lies in each observation from where its response says, along x and y,
        pixels of the source relative to the first, to first order; measured where normalisations
        are fitted, and not corrected.
    offset_errors : ndarray (n, 2) or None
        1-sigma errors of these; 0 for the first.
    """

    cube: np.ndarray
    error: np.ndarray | None
    model_x: np.ndarray
    model_y: np.ndarray
    objective: float
    history: np.ndarray
    converged: bool
    iterations: int
    accuracy: float
    regularisation: str
    likelihood: str
    rank: int
    mu: float
    chosen: str
    tuning: list
    basis: np.ndarray | None
    coefficients: np.ndarray | None
    clipped: float
    seconds: float
    state: dict = field(repr=False)
    notes: list = field(default_factory=list)
    posterior: LowRankPosterior | None = field(default=None, repr=False)
    normalisations: np.ndarray | None = None
    normalisation_errors: np.ndarray | None = None
    offsets: np.ndarray | None = None
    offset_errors: np.ndarray | None = None
