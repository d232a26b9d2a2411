"""Fusion from arrays to arrays: subspace, operators, hyperparameters, solution, products."""

from __future__ import annotations

import logging

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.fusion.solver.gains import Gains, fit_gains
from jwst_fusion.fusion.solver.nonnegative import solve_nonnegative
from jwst_fusion.fusion.solver.outliers import Rejection, impossible_contrasts, wild_residuals
from jwst_fusion.fusion.solver.problem import Problem, find_subspace, initial_strength, plain_noise
from jwst_fusion.fusion.solver.proximal import solve_sparse
from jwst_fusion.fusion.solver.refinement import refine_subspace
from jwst_fusion.fusion.solver.rendering import assemble, render_rows, row_covariance
from jwst_fusion.fusion.solver.result import FusionResult
from jwst_fusion.fusion.solver.settings import Settings
from jwst_fusion.fusion.solver.whitening import is_complete, usable_data
from jwst_fusion.messages import warn

__all__ = ["FusionResult", "fuse"]

log = logging.getLogger(__name__)

_DRAFT = 0.05  # accuracy of the first of two solves, in posterior standard deviations
_PASSES = 3  # first solves at most, each without the outliers of the one before
_HARMFUL = 30.0  # robust standard deviations above which an outlier spoils the first solve


def fuse(
    data,
    *,
    rank="auto",
    max_rank=12,
    tuning="evidence",
    mu=None,
    gamma=None,
    noise_scales=True,
    regularisation="sobolev",
    exponent=1.0,
    nonnegative=False,
    resolution="imager",
    boundary="free",
    refine=True,
    uncertainty=True,
    gains="fixed",
    gain_prior=0.1,
    outlier_sigma=6.0,
    tolerance=0.01,
    max_iterations=500,
):
    r"""Fuse imager and spectrometer data into one cube with the resolution of both.

    Parameters
    ----------
    data : FusionData
        Observations, weights, responses and PSFs on one grid.
    rank : "auto", int, float or str
        Dimension of the spectral subspace; or the fraction of the signal's variance that it is to
        explain, as 0.999 or "explained:0.999".
    max_rank : int
        Upper limit of the automatic rank.
    tuning : {"evidence", "syfu", "manual"}
        Hyperparameters by maximum evidence with one prior strength per component; by the automatic
        rule of Marquis et al. 2026, appendix B; or as given by `mu` and `gamma`.
    mu : float or ndarray (k,), optional
        Prior strength for noise-whitened data; needed by, and only allowed with, "manual".
    gamma : float, optional
        Extra weight on the cube, 1 by default; only allowed with "manual".
    noise_scales : bool
        With "evidence", also fit one factor per instrument on the errors, which protects against
        wrong error arrays, correlated noise and imperfect registration.
    regularisation : {"sobolev", "edge_weighted", "wavelet", "none"}
        Penalise :math:`|D|^s z`; or gradients, less where the images have edges (Guilloteau et al.
        2022); or the absolute values of starlet coefficients, see
        `~jwst_fusion.fusion.solver.proximal.solve_sparse`, where errors, strengths and noise scales
        are those of the gradient that it begins with; or nothing, but for a trace of the gradient
        that makes the solution unique.
    exponent : float
        s of "sobolev", 0.5 to 3; 1 is the gradient, higher values suit smoother scenes.
    nonnegative : bool
        Keep the scene at the imager's resolution from being negative, see
        `~jwst_fusion.fusion.solver.nonnegative.solve_nonnegative`; the errors do not know of it.
        Not for background-subtracted data, and not with "wavelet".
    resolution : {"imager", "deconvolved"}
        Give every channel the imager's PSF at its wavelength, or none.
    boundary : {"free", "mirror"}
        Outside the data the scene is estimated by the prior, or mirrored. The mirror needs
        complete, uniformly weighted data; its solve is direct and fast, but its error at the edges
        raises the fitted noise of the imager.
    refine : bool
        Solve twice, the second time with spectra fitted to the cube through its PSFs, see
        `~jwst_fusion.fusion.solver.refinement.refine_subspace`. Without effect on "syfu".
    uncertainty : bool
        Compute `error`.
    gains : {"fixed", "fitted"}
        Believe `FusionData.response`, or fit one factor per image together with the scene, see
        `~jwst_fusion.fusion.solver.gains.fit_gains`.
    gain_prior : float
        1-sigma width of the prior of these factors about one, at most 1.
    outlier_sigma : float or None
        Leave out what stands out more than a point source can, and residuals of the first solve
        beyond this many robust standard deviations, see `~jwst_fusion.fusion.solver.outliers`; 3 or
        more. None believes all data. With the boundary "mirror", or with "syfu", residuals are not
        looked at.
    tolerance : float
        Accuracy of the iterative solve in posterior standard deviations.
    max_iterations : int
        Upper limit of its iterations.

    Returns
    -------
    FusionResult
        Cube, error, coefficients, diagnostics.

    Raises
    ------
    ValueError
        If an option is invalid or the data cannot be fused; the message says which and why.

    Notes
    -----
    Minimises, with the component maps :math:`z_a`,

    .. math:: \sum_f g_m \frac{|y_f - L_f W_m(VZ + m)|^2}{\sigma_f^2}
        + \sum_l g_h \frac{|y_l - S W_h(VZ + m)_l|^2}{\sigma_l^2} + \sum_a \mu_a ||D|^s z_a|^2

    which is equation 9 of Marquis et al. 2026 with inverse-variance weights and one strength per
    component. The error holds the posterior covariance in the block-diagonal approximation of
    `LocalWeights` and the noise of mean and basis; it is calibrated if the hyperparameters are, and
    does not know of spectra outside the subspace.
    """
    settings = Settings(
        rank=rank,
        max_rank=max_rank,
        tuning=tuning,
        mu=mu,
        gamma=gamma,
        noise_scales=noise_scales,
        regularisation=regularisation,
        exponent=exponent,
        nonnegative=nonnegative,
        resolution=resolution,
        boundary=boundary,
        refine=refine,
        uncertainty=uncertainty,
        gains=gains,
        gain_prior=gain_prior,
        outlier_sigma=outlier_sigma,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    with threadpool_limits(1, user_api="blas"):
        data, rejected = _clean(usable_data(data), settings)
        problem, tuned, rejected = _first_solution(data, rejected, settings)
        fitted = Gains.fixed(len(data.images))
        if settings.gains == "fitted":
            # Noise scales of data with wrong gains would hide what is to be fitted.
            solver = {"scales": (1.0, tuned.scale_cube), "tolerance": tolerance}
            if settings.refining:
                solver["tolerance"] = max(tolerance, _DRAFT)
            problem, tuned, fitted = _calibrated_solution(
                problem, tuned, fitted, settings, **solver
            )
        if settings.refining:
            problem, tuned, rejected = _refined_solution(problem, tuned, rejected, settings)
            if settings.gains == "fitted":
                solver = {"scales": (tuned.scale_image, tuned.scale_cube), "tolerance": tolerance}
                problem, tuned, fitted = _calibrated_solution(
                    problem, tuned, fitted, settings, **solver
                )
        if settings.regularisation == "wavelet":
            tuned = solve_sparse(problem, tuned, settings)
        if nonnegative:
            tuned = solve_nonnegative(problem, tuned, settings)
        _report(tuned)
        products = _products(problem, tuned, settings)
    return FusionResult(
        **products,
        subspace=problem.subspace,
        mu=tuned.mu,
        noise_scale_image=tuned.scale_image**-0.5,
        noise_scale_cube=tuned.scale_cube**-0.5,
        boundary=boundary,
        iterations=tuned.solution.iterations,
        converged=tuned.solution.converged and tuned.converged,
        history=tuned.solution.history,
        tuning_path=tuned.path,
        gains=fitted.values,
        gain_errors=fitted.errors,
        rejected_images=rejected.images,
        rejected_voxels=rejected.voxels,
    )


def _clean(data, settings):
    """Data without gross outliers, and which those are."""
    if settings.tuning == "syfu":
        data = plain_noise(data)
    rejected = Rejection.nothing(data)
    if settings.outlier_sigma is not None:
        rejected = impossible_contrasts(data)
        data = _without(rejected, data)
    if settings.boundary == "mirror" and not is_complete(data):
        msg = "boundary='mirror' needs complete data of uniform weight; use 'free'"
        if rejected.any():
            msg += " or, as outliers were left out, outlier_sigma=None"
        raise ValueError(msg)
    return data, rejected


def _without(rejected, data):
    return usable_data(rejected.removed_from(data)) if rejected.any() else data


def _first_solution(data, rejected, settings):
    """Solve, leave out what the solution cannot explain, and solve again if that has done harm."""
    tolerance, path = settings.tolerance, ()
    if settings.refining:
        tolerance = max(tolerance, _DRAFT)
    for attempt in range(_PASSES):
        problem = Problem.pose(data, find_subspace(data, settings), settings)
        strength = initial_strength(problem.subspace, data.factor, settings)
        tuned = problem.tune(strength, settings, tolerance=tolerance, path=path)
        path = tuned.path
        found, worst = _unexplained(problem, tuned, settings)
        if not found.any():
            break
        rejected, data = rejected.add(found), _without(found, data)
        if worst < _HARMFUL or attempt == _PASSES - 1:
            problem = Problem.pose(data, problem.subspace, settings)
            if not settings.refining:
                tuned = _again(problem, tuned, settings)
            break
    return problem, tuned, rejected


def _refined_solution(problem, tuned, rejected, settings):
    """Solve with spectra fitted to the first solution, and once more without new outliers."""
    groups = tuned.solution.solution
    subspace = refine_subspace(problem.data, problem.subspace, problem.system.grid, groups)
    problem = Problem.pose(problem.data, subspace, settings)
    tuned = _again(problem, tuned, settings)
    found, _ = _unexplained(problem, tuned, settings)
    if found.any():
        rejected, data = rejected.add(found), _without(found, problem.data)
        groups = tuned.solution.solution
        subspace = refine_subspace(data, subspace, problem.system.grid, groups)
        problem = Problem.pose(data, subspace, settings)
        tuned = _again(problem, tuned, settings)
    return problem, tuned, rejected


def _calibrated_solution(problem, tuned, gains, settings, *, scales, tolerance):
    """Fit the gains, and tune for them."""
    solver = {"scales": scales, "tolerance": tolerance}
    problem, tuned, gains = fit_gains(problem, tuned, gains, settings, **solver)
    solver |= {"start": tuned.solution.solution, "path": tuned.path}
    tuned = problem.tune(tuned.mu, settings, **solver)
    return problem, tuned, gains


def _unexplained(problem, tuned, settings):
    """Outliers among the residuals of a solution, and the size of the worst."""
    skipped = settings.boundary == "mirror" or settings.tuning == "syfu"
    if settings.outlier_sigma is None or skipped:
        return Rejection.nothing(problem.data), 0.0
    groups = tuned.solution.solution
    seen = problem.images_of(groups), problem.cube_of(groups)
    return wild_residuals(problem.data, *seen, settings.outlier_sigma)


def _again(problem, tuned, settings, *, tolerance=None):
    """Tune from the hyperparameters and the solution of a similar problem."""
    return problem.tune(
        tuned.mu,
        settings,
        tolerance=tolerance or settings.tolerance,
        scales=(tuned.scale_image, tuned.scale_cube),
        start=tuned.solution.solution,
        path=tuned.path,
    )


def _report(tuned):
    """Log the hyperparameters, and what did not converge."""
    if not tuned.converged:
        warn(log, "Evidence had not settled after %d steps", tuned.steps)
    if not tuned.solution.converged:
        warn(
            log,
            "The linear solve stopped at %.2g standard deviations after %d iterations",
            tuned.solution.history[-1],
            tuned.solution.iterations,
        )
    log.info(
        "mu %s, noise scales %.2f (imager) and %.2f (cube), %d iterations",
        np.array2string(tuned.mu, precision=3),
        tuned.scale_image**-0.5,
        tuned.scale_cube**-0.5,
        tuned.solution.iterations,
    )


def _products(problem, tuned, settings):
    """Everything that is rendered from the solution, on the grid of the input."""
    data, subspace, system = problem.data, problem.subspace, problem.system
    grid, groups = system.grid, tuned.solution.solution
    psf, mixing, expand = None, None, subspace.basis / subspace.sigma[:, None]
    if settings.resolution == "imager":
        compression = problem.compression
        psf, mixing, expand = data.psf_image, compression.mixing, compression.expand
    window = (slice(None), *problem.window)
    extra = {}
    if settings.uncertainty:
        scales = (tuned.scale_image, tuned.scale_cube)
        extra["covariance"] = row_covariance(system, problem.local, tuned.mu, scales, psf, mixing)
        extra["share"] = problem.local.share[window]
        middle = None if psf is None else psf[len(psf) // 2][None]
        maps = render_rows(grid, middle, np.eye(subspace.rank)[:, None], groups)[window]
        power = subspace.eigenvalues[: subspace.rank] * (subspace.samples - 1)
        leverage = 1 / subspace.samples + np.einsum("ayx,a->yx", maps**2, 1 / power)
        extra |= {"leverage": leverage, "noise": subspace.noise}
    rows = render_rows(grid, psf, mixing, groups)[window]
    cube, error = assemble(rows, expand, subspace, **extra)
    return {
        "cube": cube,
        "error": error,
        "coefficients": grid.synthesise(groups)[window],
        "images_model": problem.images_of(groups),
        "cube_model": problem.cube_of(groups),
    }
