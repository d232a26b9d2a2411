"""Predict the images of one filter from all other data, at little cost beside the fusion."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from jwst_fusion.fusion.solver.evidence import LocalWeights
from jwst_fusion.fusion.solver.rendering import render_rows, row_covariance, spectral_leverage
from jwst_fusion.messages import warn

__all__ = ["Prediction", "hardest_filter", "predict_images"]

log = logging.getLogger(__name__)

# Accuracy of the solve, in posterior standard deviations without these images: what is left of them
# in the prediction is a twentieth of what a prediction can be wrong by.
_LOOSE = 0.05
_FEWEST = 3  # filters, of which one may be left out: from two on, those that stay tell of spectra
_ALIKE = 1e-6  # relative difference of responses up to which two images are of one filter


@dataclass(frozen=True)
class Prediction:
    """
    What all other data predict for the images of one filter.

    Attributes
    ----------
    images : ndarray (n,) of int
        Indices of the images.
    predicted : ndarray (n, Y, X)
        What is predicted for them, MJy/sr.
    error : ndarray (n, Y, X)
        1-sigma error of what is predicted, MJy/sr.
    """

    images: np.ndarray
    predicted: np.ndarray
    error: np.ndarray


def hardest_filter(data, models):
    r"""
    Find the filter for which the other data should tell the least.

    Parameters
    ----------
    data : FusionData
        Observations.
    models : ndarray (F, Y, X)
        The fused scene through each filter, MJy/sr.

    Returns
    -------
    ndarray of int
        Indices of its images; none if there are fewer than three filters with signal.

    Notes
    -----
    The cube holds all that its PSF leaves of an image. Of the detail :math:`d_f` beyond it, the
    other images hold the best combination :math:`\sum_g c_g d_g`. The filter is the one whose
    remaining detail is largest in units of the noise of its image: where the most has to come from
    spectra and prior, and shows the most clearly if it does not.
    """
    groups = _of_one_filter(data.response)
    if len(groups) < _FEWEST:
        return np.zeros(0, int)
    psf = data.psf_cube[len(data.psf_cube) // 2]
    good = np.all(data.image_weight > 0, axis=0)
    details = np.empty((len(groups), max(np.count_nonzero(good), 1)))
    for one, group in zip(details, groups, strict=True):
        model = models[group[0]] - models[group[0]].mean()
        one[:] = (model - fftconvolve(model, psf, mode="same"))[good] if good.any() else 0.0
    size = np.array([data.image_noise[group].min() for group in groups])
    left = np.empty(len(groups))
    for index, one in enumerate(details):
        others = np.delete(details, index, axis=0)
        weight, *_ = np.linalg.lstsq(others.T, one, rcond=None)
        left[index] = np.linalg.norm(one - weight @ others)
    if not np.any(left > 0):
        return np.zeros(0, int)
    return groups[int(np.argmax(left / size))]


def _of_one_filter(response):
    """Indices of the images of each filter: those whose responses differ by a factor alone."""
    sums = response.sum(axis=1)
    groups = []
    for index in np.flatnonzero(sums > 0):
        shape = response[index] / sums[index]
        for group in groups:
            other = response[group[0]] / sums[group[0]]
            if np.abs(shape - other).max() <= _ALIKE * other.max():
                group.append(int(index))
                break
        else:
            groups.append([int(index)])
    return [np.array(group) for group in groups]


def predict_images(problem, tuned, settings, chosen):
    """
    Predict images from all other data.

    Parameters
    ----------
    problem : LowRankProblem
        With all images, and a quadratic prior.
    tuned : Tuning
        Its hyperparameters and solution.
    settings : FusionSettings
        Options.
    chosen : ndarray of int
        Indices of the images that are left out.

    Returns
    -------
    Prediction or None
        What is predicted; None, with a warning, if the solve fails.

    Notes
    -----
    A solve with the weight of these images set to zero. It begins at the solution with all images
    and goes on until its error is a twentieth of the posterior standard deviation without them: all
    that they alone told has then left the scene. Hyperparameters, noise scales, spectra, positions
    of sources and gains are those that all images gave together.
    """
    problem.system.blocks.forget()  # two preconditioners would be a matter of memory
    system = problem.system.without_images(chosen)
    try:
        solution = system.solve(
            tuned.mu,
            tuned.scale_image,
            tuned.scale_cube,
            start=tuned.solution.solution,
            tolerance=max(settings.tolerance, _LOOSE),
            max_iterations=settings.max_iterations,
        )
    except np.linalg.LinAlgError as reason:
        # The fusion with all images is kept, whether or not this solve succeeds.
        warn(log, "No filter could be left out: %s", reason)
        return None
    if not solution.converged:
        warn(log, "The solve without a filter stopped after %d iterations", solution.iterations)
        return None
    log.info("One filter is predicted from all other data, %d iterations", solution.iterations)
    groups = solution.solution
    error = np.array([_error(problem, system, tuned, groups, index) for index in chosen])
    return Prediction(chosen, problem.images_of(groups)[chosen], error)


def _error(problem, system, tuned, groups, index):
    """Error (Y, X) of the prediction for one image: as `ERR` of a cube, for a sum of channels."""
    data, subspace, grid = problem.data, problem.subspace, system.grid
    local = LocalWeights(system.image_weight, system.spaxel_weight)
    if problem.edges is not None:
        local = local.with_prior(problem.edges)
    response = data.response[index]
    mixing = np.einsum("l,lr,la->ra", response, data.psf_weights, subspace.basis, optimize=True)
    scales = tuned.scale_image, tuned.scale_cube
    found = row_covariance(system, local, tuned.mu, scales, data.psf_image, mixing[None])[:, 0, 0]
    share = local.share[(slice(None), *problem.window)]
    variance = np.exp(np.tensordot(np.log(np.maximum(found, np.finfo(float).tiny)), share, 1))
    psf = data.psf_image[len(data.psf_image) // 2]
    *_, leverage = spectral_leverage(grid, psf, groups, subspace, data.spaxel_weight)
    noise = np.where(subspace.valid, subspace.noise * subspace.sigma, 0.0)
    variance += np.sum((response * noise) ** 2) * leverage
    if system.prior.sources is None:
        return np.sqrt(variance)
    # Free amplitudes: of one source without the others, as in the errors of the cube.
    image_weight, cube_weight = system.typical_weights()
    weights = (scales[0] * image_weight, scales[1] * cube_weight, tuned.mu)
    covariance = system.point_information(*weights).covariance()
    count, rank = len(data.sources), system.rank
    cells = covariance.reshape(count, rank, count, rank)
    points, band = system.prior.sources.points, response @ subspace.basis
    for j in range(count):
        shape = render_rows(grid, psf[None], np.ones((1, 1, 1)), points[:, :, j : j + 1])
        variance += (band @ cells[j, :, j] @ band) * shape[0][problem.window] ** 2
    return np.sqrt(variance)
