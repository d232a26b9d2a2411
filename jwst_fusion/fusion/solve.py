"""Fusion from arrays to arrays: subspace, operators, hyperparameters, solution, products."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.fusion.evidence import (
    LocalWeights,
    Tuning,
    difference_noise,
    gradient_energy,
    maximise_evidence,
)
from jwst_fusion.fusion.product import assemble, render_rows, row_covariance
from jwst_fusion.fusion.refinement import refine_subspace
from jwst_fusion.fusion.subspace import Subspace, estimate_subspace
from jwst_fusion.fusion.whitening import Compression, is_complete, usable_data, whitened_system

__all__ = ["FusionResult", "fuse"]

log = logging.getLogger(f"stpipe.{__name__}")

_TUNINGS = ("evidence", "syfu", "manual")
_RESOLUTIONS = ("imager", "deconvolved")
_BOUNDARIES = ("free", "mirror")
_DRAFT = 0.05  # accuracy of the first of two solves, in posterior standard deviations


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
    subspace : Subspace
        Mean, basis and diagnostics of the spectral subspace that was used.
    mu : ndarray (k,)
        Strength of the gradient prior per component, for noise-whitened data.
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
    """

    cube: np.ndarray
    error: np.ndarray | None
    coefficients: np.ndarray
    subspace: Subspace
    mu: np.ndarray
    noise_scale_image: float
    noise_scale_cube: float
    images_model: np.ndarray
    cube_model: np.ndarray
    boundary: str
    iterations: int
    converged: bool
    history: list


def fuse(
    data,
    *,
    rank="auto",
    max_rank=12,
    tuning="evidence",
    mu=None,
    gamma=None,
    noise_scales=True,
    resolution="imager",
    boundary="free",
    refine=True,
    uncertainty=True,
    tolerance=0.01,
    max_iterations=500,
):
    r"""Fuse imager and spectrometer data into one cube with the resolution of both.

    Parameters
    ----------
    data : FusionData
        Observations, weights, responses and PSFs on one grid.
    rank : "auto" or int
        Dimension of the spectral subspace.
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
    resolution : {"imager", "deconvolved"}
        Give every channel the imager's PSF at its wavelength, or none.
    boundary : {"free", "mirror"}
        Outside the data the scene is estimated by the prior, or mirrored. The mirror needs
        complete, uniformly weighted data; its solve is direct and fast, but its error at the edges
        raises the fitted noise of the imager.
    refine : bool
        Solve twice, the second time with spectra fitted to the cube through its PSFs, see
        `~jwst_fusion.fusion.refinement.refine_subspace`. Without effect on "syfu".
    uncertainty : bool
        Compute `error`.
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
        + \sum_l g_h \frac{|y_l - S W_h(VZ + m)_l|^2}{\sigma_l^2} + \sum_a \mu_a |D z_a|^2

    which is equation 9 of Marquis et al. 2026 with inverse-variance weights and one strength per
    component. The error holds the posterior covariance in the block-diagonal approximation of
    `LocalWeights` and the noise of mean and basis; it is calibrated if the hyperparameters are, and
    does not know of spectra outside the subspace.
    """
    _check_options(tuning, mu, gamma, resolution, boundary, tolerance, max_iterations)
    with threadpool_limits(1, user_api="blas"):
        data = usable_data(data)
        if tuning == "syfu":
            data = _plain_noise(data)
        if boundary == "mirror" and not is_complete(data):
            msg = "boundary='mirror' needs complete data of uniform weight; use 'free'"
            raise ValueError(msg)
        subspace = _subspace(data, rank, max_rank, tuning)
        log.info("Subspace of rank %d, noise level %.2f", subspace.rank, subspace.noise)
        compression = Compression(data.psf_weights, subspace)
        system = whitened_system(data, subspace, compression, boundary)
        local = LocalWeights(system.image_weight, system.spaxel_weight)
        solver = {"tolerance": tolerance, "max_iterations": max_iterations}
        strength = _initial_strength(subspace, data.factor, tuning, mu)
        groups = None
        if refine and tuning != "syfu":
            draft = {**solver, "tolerance": max(tolerance, _DRAFT)}
            first = _tune(system, local, tuning, strength, gamma, noise_scales, draft)
            groups, strength = first.solution.solution, first.mu
            subspace = refine_subspace(data, subspace, system.grid, groups)
            compression = Compression(data.psf_weights, subspace)
            system = whitened_system(data, subspace, compression, boundary)
        solver["start"] = groups
        tuned = _tune(system, local, tuning, strength, gamma, noise_scales, solver)
        _report(tuned)
        covariance = None
        if resolution == "imager":
            view = (data.psf_image, compression.mixing, compression.expand)
        else:
            view = (None, None, subspace.basis / subspace.sigma[:, None])
        if uncertainty:
            scales = (tuned.scale_image, tuned.scale_cube)
            covariance = row_covariance(system, local, tuned.mu, scales, *view[:2])
        products = _products(system, local, tuned, data, subspace, compression, view, covariance)
    return FusionResult(
        **products,
        subspace=subspace,
        mu=tuned.mu,
        noise_scale_image=tuned.scale_image**-0.5,
        noise_scale_cube=tuned.scale_cube**-0.5,
        boundary=boundary,
        iterations=tuned.solution.iterations,
        converged=tuned.solution.converged and tuned.converged,
        history=tuned.solution.history,
    )


def _check_options(tuning, mu, gamma, resolution, boundary, tolerance, iterations):
    choices = (
        ("tuning", tuning, _TUNINGS),
        ("resolution", resolution, _RESOLUTIONS),
        ("boundary", boundary, _BOUNDARIES),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            msg = f"{name} must be one of {allowed}, got {value!r}"
            raise ValueError(msg)
    if tuning == "manual" and mu is None:
        msg = "tuning='manual' needs mu"
        raise ValueError(msg)
    if tuning != "manual" and (mu is not None or gamma is not None):
        msg = f"mu and gamma are only used with tuning='manual', got tuning={tuning!r}"
        raise ValueError(msg)
    for name, value in (("mu", mu), ("gamma", gamma)):
        if value is not None and not (np.all(np.isfinite(value)) and np.all(np.asarray(value) > 0)):
            msg = f"{name} must be finite and positive, got {value!r}"
            raise ValueError(msg)
    if not 0 < tolerance < 1:
        msg = f"tolerance must be between 0 and 1, got {tolerance!r}"
        raise ValueError(msg)
    if iterations < 1:
        msg = f"max_iterations must be at least 1, got {iterations!r}"
        raise ValueError(msg)


def _plain_noise(data):
    """One noise level per instrument, estimated from the data, as the SyFu rule assumes."""
    live, good = np.isfinite(data.cube_sigma), data.spaxel_weight > 0
    cube = difference_noise(np.where(good, data.cube[live], np.nan))
    image = difference_noise(np.where(data.image_weight > 0, data.images, np.nan))
    return replace(
        data,
        cube_sigma=np.where(live, cube, np.nan),
        spaxel_weight=good.astype(float),
        image_sigma=np.full(len(data.images), image),
        image_weight=(data.image_weight > 0).astype(float),
    )


def _subspace(data, rank, max_rank, tuning):
    syfu = tuning == "syfu" and rank == "auto"
    subspace = estimate_subspace(
        data.cube,
        data.cube_sigma,
        weight=data.spaxel_weight,
        rank=max_rank if syfu else rank,
        max_rank=max_rank,
    )
    if syfu:
        k = max(1, int(np.sum(subspace.eigenvalues[: subspace.rank] > 1)))
        subspace = replace(subspace, basis=subspace.basis[:, :k], scores=subspace.scores[:k])
    return subspace


def _initial_strength(subspace, factor, tuning, mu):
    """Prior strengths (k,) that are given or follow from the gradients of the cube."""
    energy = gradient_energy(subspace.scores, factor)
    if tuning == "evidence":
        return 1 / energy
    strength = np.asarray(1 / np.mean(energy) if tuning == "syfu" else mu, float)
    if strength.ndim > 1 or strength.size not in (1, subspace.rank):
        msg = f"mu must have one value, or one per component ({subspace.rank}), got {mu!r}"
        raise ValueError(msg)
    return np.full(subspace.rank, strength) if strength.size == 1 else strength


def _tune(system, local, tuning, mu, gamma, noise_scales, solver):
    """Hyperparameters and the solution for them."""
    if tuning == "evidence":
        return maximise_evidence(system, local, mu, noise_scales=noise_scales, **solver)
    scale_cube = 1.0 if gamma is None else float(gamma)
    return Tuning(mu, 1.0, scale_cube, system.solve(mu, 1.0, scale_cube, **solver), 0, True)


def _report(tuned):
    """Log the hyperparameters, and what did not converge."""
    if not tuned.converged:
        log.warning("Evidence had not settled after %d steps", tuned.steps)
    if not tuned.solution.converged:
        log.warning(
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


def _products(system, local, tuned, data, subspace, compression, view, covariance):
    """Everything that is rendered from the solution, on the grid of the input."""
    grid, groups = system.grid, tuned.solution.solution
    psf, mixing, expand = view
    h, w = data.cube.shape[1:]
    y, x = slice(0, data.factor * h), slice(0, data.factor * w)
    rows = render_rows(grid, psf, mixing, groups)[:, y, x]
    extra = {}
    if covariance is not None:
        middle = None if psf is None else psf[len(psf) // 2][None]
        maps = render_rows(grid, middle, np.eye(subspace.rank)[:, None], groups)[:, y, x]
        power = subspace.eigenvalues[: subspace.rank] * (subspace.samples - 1)
        leverage = 1 / subspace.samples + np.einsum("ayx,a->yx", maps**2, 1 / power)
        extra = {"covariance": covariance, "share": local.share[:, y, x]}
        extra |= {"leverage": leverage, "noise": subspace.noise}
    cube, error = assemble(rows, expand, subspace, **extra)
    seen = grid.synthesise_coarse(system.spectrometer.forward_groups(groups))[:, :h, :w]
    valid = subspace.valid
    level = (data.response[:, valid] @ subspace.mean[valid])[:, None, None]
    images = grid.synthesise(system.imager.forward_groups(groups))[:, y, x]
    return {
        "cube": cube,
        "error": error,
        "coefficients": grid.synthesise(groups)[:, y, x],
        "images_model": images * data.image_sigma[:, None, None] + level,
        "cube_model": assemble(seen, compression.expand, subspace)[0],
    }
