"""Fuse arrays: outliers, subspace, hyperparameters, solution, cube and error."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.fusion.fitted_sources import choose_sources, locate
from jwst_fusion.fusion.rendered_cube import add_light, not_darker, render_cube, shapes_of
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.gains import Gains, fit_gains
from jwst_fusion.fusion.solver.nonnegative import solve_nonnegative
from jwst_fusion.fusion.solver.outliers import Rejection, residual_outliers, sharper_than_psf
from jwst_fusion.fusion.solver.posterior import SourcePosterior
from jwst_fusion.fusion.solver.prediction import hardest_filter, predict_images
from jwst_fusion.fusion.solver.problem import (
    LowRankProblem,
    choose_subspace,
    initial_mu,
    plain_noise,
)
from jwst_fusion.fusion.solver.proximal import solve_sparse
from jwst_fusion.fusion.solver.psf_fit import fit_psf
from jwst_fusion.fusion.solver.refinement import refine_subspace
from jwst_fusion.fusion.solver.residual_lines import unexplained_lines
from jwst_fusion.fusion.solver.result import FusionResult
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.source_errors import add_source_errors, point_response
from jwst_fusion.fusion.solver.source_fit import light_of
from jwst_fusion.fusion.solver.structure import local_structure
from jwst_fusion.fusion.solver.truncation import truncation
from jwst_fusion.fusion.solver.whitening import is_complete, usable_data
from jwst_fusion.messages import warn
from jwst_fusion.parameters import settings_of

__all__ = ["FusionResult", "fuse"]

log = logging.getLogger(__name__)

# Accuracy of the first of two solves, in posterior standard deviations: its solution only finds
# outliers and serves to fit spectra. With 0.05 these cost half a decibel in a nebula with stars.
_DRAFT = 0.01
_PASSES = 3  # first solves at most, each without the outliers of the one before
# Robust standard deviations above which an outlier spoils the subspace and the noise of the first
# solve, which is then made again.
_HARMFUL = 30.0


def fuse(data, options=None):
    r"""Fuse imager and spectrometer data into one cube with the resolution of both.

    Parameters
    ----------
    data : FusionData
        Observations, weights, responses and PSFs on one grid.
    options : FusionSettings, optional
        Rank, hyperparameters, regularisation, outliers, accuracy; all at their defaults if left
        out.

    Returns
    -------
    FusionResult
        Cube, error, coefficients, diagnostics.

    Raises
    ------
    TypeError
        If data or options are of another type.
    ValueError
        If the data cannot be fused, or an option does not suit them; the message says which and
        why.
    numpy.linalg.LinAlgError
        If the normal equations are not finite or not positive definite.

    Notes
    -----
    Minimises, with the component maps :math:`z_a`,

    .. math:: \sum_f g_m \frac{|y_f - L_f W_m(VZ + m)|^2}{\sigma_f^2}
        + \sum_l g_h \frac{|y_l - S W_h(VZ + m)_l|^2}{\sigma_l^2} + \sum_a \mu_a ||D|^{s_a} z_a|^2

    which is equation 9 of Marquis et al. 2026 with inverse-variance weights, and one weight and one
    exponent of the prior per component. The error holds the posterior covariance in the
    block-diagonal approximation of `LocalWeights`, with what is missed of the scene scaled by its
    structure around each pixel, and the noise of mean and basis; it is calibrated if the
    hyperparameters are. Of spectra outside the subspace it knows what the cube shows of components
    that stand out of the noise and were left out.
    """
    if not isinstance(data, FusionData):
        msg = f"data must be FusionData(...), got {type(data).__name__}"
        raise TypeError(msg)
    settings = settings_of(options, FusionSettings)
    with threadpool_limits(1, user_api="blas"):
        data, rejected = _without_gross_outliers(usable_data(data), settings)
        data, stars = choose_sources(data, settings)
        gross = rejected
        problem, tuned, rejected = _first_solution(data, gross, settings)
        searched = len(stars) > 0
        if searched:
            problem, tuned, stars = locate(problem, tuned, stars, settings)
        fitted = Gains.fixed(len(data.images))
        if settings.gains == "fitted":
            # Noise scales of data with wrong gains would hide what is to be fitted.
            tolerance = settings.tolerance
            if settings.refining:
                tolerance = max(tolerance, _DRAFT)
            problem, tuned, fitted = _calibrated_solution(
                problem,
                tuned,
                fitted,
                settings,
                scales=(1.0, tuned.scale_cube),
                tolerance=tolerance,
            )
        psf_fit = None
        if settings.fits_psf:
            problem, tuned, psf_fit = fit_psf(problem, tuned, settings)
            if psf_fit is not None and psf_fit.matters:
                problem, tuned, rejected, stars = _seen_again(
                    data, gross, problem, tuned, stars, psf_fit, settings
                )
                problem, tuned, psf_fit = fit_psf(problem, tuned, settings, psf_fit)
                searched |= len(stars) > 0
        if settings.refining:
            problem, tuned, rejected, stars = _refined_solution(
                problem, tuned, rejected, stars, settings
            )
            if settings.gains == "fitted":
                problem, tuned, fitted = _calibrated_solution(
                    problem,
                    tuned,
                    fitted,
                    settings,
                    scales=(tuned.scale_image, tuned.scale_cube),
                    tolerance=settings.tolerance,
                )
        elif searched or psf_fit is not None:
            data = problem.data
            if len(stars):
                data, stars = stars.deviating(problem, tuned)
            problem = problem.posed_again(data, problem.subspace, settings)
            tuned = _tuned_again(problem, tuned, settings)
        if settings.regularisation == "wavelet":
            tuned = solve_sparse(problem, tuned, settings)
        if settings.nonnegative:
            tuned = solve_nonnegative(problem, tuned, settings)
        _log(tuned)
        groups = tuned.solution.solution
        coefficients = problem.system.grid.synthesise(groups)[(slice(None), *problem.window)]
        images_model, cube_model = problem.images_of(groups), problem.cube_of(groups)
        spectra, whole, structure = None, problem.data.cube, None
        if settings.errors or len(stars):
            structure = local_structure(problem.system, problem.local, tuned)
        if len(stars):
            spectra, deviations, amplitudes, shared = stars.measured(
                problem, tuned, structure, psf_fit
            )
            believed = deviations.believed()
            if settings.nonnegative:
                believed = not_darker(believed, spectra.flux - deviations.spectra)
            light = light_of(problem.data, believed, stars.points)
            cube_model, images_model = cube_model + light[0], images_model + light[1]
            whole = whole + light_of(problem.data, stars.believed, stars.points)[0]
        # Before there are cube and errors, which need the most memory.
        data = replace(problem.data, cube=whole)
        lines = None
        if settings.boundary == "free" and settings.tuning != "syfu":  # the others are as published
            lines = unexplained_lines(data, cube_model, scale=tuned.scale_cube)
        if lines is not None and settings.nonnegative:
            lines = replace(lines, light=np.maximum(lines.light, 0))
        cube, error, posterior = render_cube(problem, tuned, settings, structure)
        if len(stars):
            shapes = shapes_of(problem, stars, settings)
            weights = problem.data.psf_weights
            add_light(cube, weights, believed, shapes, nonnegative=settings.nonnegative)
        if posterior is not None and len(stars):
            single, broad = deviations.spread()
            own = SourcePosterior(
                positions=problem.data.sources,
                covariance=amplitudes,
                deviation=single,
                shared=shared,
                broad=broad,
                response=point_response(problem, tuned, posterior.covariance.shape[-1] // 2),
            )
            posterior = replace(posterior, sources=own)
            psf = (
                posterior.psf[len(posterior.psf) // 2] if settings.resolution == "imager" else None
            )
            speckles = stars.speckles(problem, tuned, spectra.flux) * np.nan_to_num(spectra.flux)
            add_source_errors(error, problem, own, shapes, psf, np.abs(speckles))
        if lines is not None:
            cube_model = cube_model + lines.light
            lines.added_to(cube, error)
            log.info("%d lines of few spaxels have no component; they are put back", lines.count)
            if posterior is not None:
                posterior = replace(posterior, residual=lines.error)
        left = truncation(data, cube_model, problem.subspace) if posterior is not None else None
        if left is not None:
            left.added_to(error)
            posterior = replace(posterior, left_spectra=left.spectra, left_maps=left.maps)
        prediction = _predicted(problem, tuned, settings, images_model)
        if prediction is not None and len(stars):
            light = light_of(problem.data, believed, stars.points)[1][prediction.images]
            prediction = replace(prediction, predicted=prediction.predicted + light)
    return FusionResult(
        cube=cube,
        error=error,
        coefficients=coefficients,
        images_model=images_model,
        cube_model=cube_model,
        subspace=problem.subspace,
        mu=tuned.mu,
        exponents=problem.exponents,
        noise_scale_image=tuned.scale_image**-0.5,
        noise_scale_cube=tuned.scale_cube**-0.5,
        boundary=settings.boundary,
        iterations=tuned.solution.iterations,
        converged=tuned.solution.converged and tuned.converged,
        history=tuned.solution.history,
        tuning_path=tuned.path,
        gains=fitted.values,
        gain_errors=fitted.errors,
        rejected_images=rejected.images,
        rejected_voxels=rejected.voxels,
        sources=spectra,
        posterior=posterior,
        psf_fit=psf_fit,
        prediction=prediction,
    )


def _predicted(problem, tuned, settings, models):
    """Images of one filter as all other data predict them; None if that is not to be."""
    if not settings.predict:
        return None
    if settings.nonnegative or settings.regularisation == "wavelet":
        log.info("No filter is left out: that would take as long as the fusion")
        return None
    chosen = hardest_filter(problem.data, models)
    return predict_images(problem, tuned, settings, chosen) if len(chosen) else None


def _without_gross_outliers(data, settings):
    """Data without what is sharper than the PSF, and which samples those are."""
    if settings.tuning == "syfu":
        data = plain_noise(data)
    rejected = Rejection.nothing(data)
    if settings.outlier_sigma is not None:
        rejected = sharper_than_psf(data)
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
    # Of sources not yet in their place, what is left looks like edges.
    draft = len(data.sources) > 0
    if settings.refining:
        tolerance = max(tolerance, _DRAFT)
    for attempt in range(_PASSES):
        problem = LowRankProblem.pose(data, choose_subspace(data, settings), settings)
        mu = initial_mu(problem.subspace, data.factor, settings)
        tuned = problem.tune(mu, settings, tolerance=tolerance, path=path, draft=draft)
        path = tuned.path
        found, worst = _residual_outliers(problem, tuned, settings)
        if not found.any():
            break
        rejected, data = rejected.add(found), _without(found, data)
        if worst < _HARMFUL or attempt == _PASSES - 1:
            problem = problem.posed_again(data, problem.subspace, settings)
            if not settings.refining:
                tuned = _tuned_again(problem, tuned, settings)
            break
    return problem, tuned, rejected


def _seen_again(data, gross, problem, tuned, stars, fit, settings):
    """Look for outliers and sources again with PSFs that have been fitted.

    With wrong ones, cores of stars look like outliers, and rings around them like sources.
    """
    now = problem.data
    data = replace(
        data,
        psf_image=fit.psf_image,
        psf_cube=fit.psf_cube,
        sources=now.sources,
        response=now.response,
    )
    found, _ = _residual_outliers(replace(problem, data=data), tuned, settings)
    data, rejected = _without(found, data), gross.add(found)
    if settings.sources == "given":
        stars = stars.unplaced()
    else:
        data, stars = choose_sources(data, settings)
    # What wrong PSFs have switched off or bent gets another chance.
    grid = problem.system.grid
    problem = LowRankProblem.pose(
        data, problem.subspace, settings, edges=problem.edges, domain=(grid.rows, grid.columns)
    )
    tuned = replace(tuned, mu=initial_mu(problem.subspace, data.factor, settings))
    tuned = _tuned_again(
        problem,
        tuned,
        settings,
        tolerance=max(settings.tolerance, _DRAFT),
        draft=len(stars) > 0,
        fresh=True,
    )
    if len(stars):
        problem, tuned, stars = locate(problem, tuned, stars, settings)
    return problem, tuned, rejected, stars


def _refined_solution(problem, tuned, rejected, stars, settings):
    """Solve with spectra fitted to the first solution, and once more without new outliers."""
    data = problem.data
    if len(stars):
        data, stars = stars.deviating(problem, tuned)
    problem = _refined(data, problem, tuned, settings)
    tuned = _tuned_again(problem, tuned, settings)
    found, _ = _residual_outliers(problem, tuned, settings, stars)
    if found.any():
        rejected = rejected.add(found)
        problem = _refined(_without(found, problem.data), problem, tuned, settings)
        tuned = _tuned_again(problem, tuned, settings)
    return problem, tuned, rejected, stars


def _refined(data, problem, tuned, settings):
    """Problem of data with the spectra that fit a solution of a similar one."""
    groups = tuned.solution.solution
    subspace = refine_subspace(data, problem.subspace, problem.system.grid, groups)
    return problem.posed_again(data, subspace, settings)


def _calibrated_solution(problem, tuned, gains, settings, *, scales, tolerance):
    """Fit the gains, and tune for them."""
    problem, tuned, gains = fit_gains(
        problem, tuned, gains, settings, scales=scales, tolerance=tolerance
    )
    tuned = problem.tune(
        tuned.mu,
        settings,
        tolerance=tolerance,
        scales=scales,
        start=tuned.solution.solution,
        path=tuned.path,
    )
    return problem, tuned, gains


def _residual_outliers(problem, tuned, settings, stars=()):
    """Outliers among the residuals of a solution, and the size of the worst.

    What errors of the PSF may explain is a part of the light, that of sources included which was
    taken off the data.
    """
    skipped = settings.boundary == "mirror" or settings.tuning == "syfu"
    if settings.outlier_sigma is None or skipped:
        return Rejection.nothing(problem.data), 0.0
    groups = tuned.solution.solution
    data, images, cube = problem.data, problem.images_of(groups), problem.cube_of(groups)
    if len(stars):
        light = light_of(data, stars.believed, stars.points)
        data = replace(data, cube=data.cube + light[0], images=data.images + light[1])
        images, cube = images + light[1], cube + light[0]
    return residual_outliers(data, images, cube, settings.outlier_sigma)


def _tuned_again(problem, tuned, settings, *, tolerance=None, draft=False, fresh=False):
    """Tune from the hyperparameters and the solution of a similar problem."""
    return problem.tune(
        tuned.mu,
        settings,
        tolerance=tolerance or settings.tolerance,
        scales=(tuned.scale_image, tuned.scale_cube),
        start=tuned.solution.solution,
        path=tuned.path,
        draft=draft,
        fresh=fresh,
    )


def _log(tuned):
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
