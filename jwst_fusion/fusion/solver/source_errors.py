"""Errors that sources of their own add to a cube around them."""

from __future__ import annotations

import numpy as np
import scipy.fft as sf

from jwst_fusion.fusion.solver.point_sources import point_groups

__all__ = ["add_source_errors", "point_response"]

_SLAB = 16_000_000  # bytes of errors that are worked on at once
_SPECKLE = 1e-2  # of the error at the peak of a source: what is less is not added
_FAINT = 1e-3  # of the largest variance of a source: what is less is not added


def add_source_errors(error, problem, posterior, points, psf, speckles=None):
    r"""Add the uncertainty of the sources to the errors of a cube, in place.

    Parameters
    ----------
    error : ndarray (L, Y, X)
        Errors of the diffuse scene, as if there were no sources.
    problem : LowRankProblem
        With sources.
    posterior : SourcePosterior
        Of the sources.
    points : callable
        From the index of a source to its image (R, Y, X) at each node of the PSF, of unit flux.
    psf : ndarray (m, m) or None
        PSF of the cube at a middle wavelength; None for a deconvolved cube.
    speckles : ndarray (J, L), optional
        Error of the light at the peak of each source that errors of the PSF leave, MJy/sr times
        pixel; around it, it falls with the root of the PSF.

    Notes
    -----
    Free amplitudes with the covariance :math:`\Sigma` add
    :math:`B^{-1} P D \, \Sigma \, D^T P B^{-1}` to the covariance of the maps. All sources take the
    response :math:`B^{-1} P D` of a source in the middle of a spaxel, shifted by whole pixels.
    """
    response = posterior.response
    if psf is not None:
        reach = np.array(psf.shape) // 2
        wide = np.pad(response, [(0, 0), (0, 0), *((r, r) for r in reach)])
        size = [sf.next_fast_len(n + 2 * r) for n, r in zip(wide.shape[2:], reach, strict=True)]
        seen = sf.irfft2(sf.rfft2(wide, size) * sf.rfft2(psf, size), size)
        rows, columns = (
            slice(2 * r, 2 * r + n) for n, r in zip(response.shape[2:], reach, strict=True)
        )
        response = seen[:, :, rows, columns]
    middle = np.array(response.shape[2:]) // 2
    height, width = error.shape[1:]
    basis = problem.subspace.basis
    weights = problem.data.psf_weights
    for j, (x, y) in enumerate(np.rint(posterior.positions).astype(int)):
        values, vectors = np.linalg.eigh(posterior.covariance[j])
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        maps = np.einsum("abyx,bq->aqyx", response, root)
        size = np.sum(maps**2, axis=(0, 1))
        near = np.argwhere(size > _FAINT * size.max()) - middle + (y, x)
        inside = np.all((near >= 0) & (near < (height, width)), axis=1)
        rows, columns = near[inside].T
        part = maps[:, :, rows - y + middle[0], columns - x + middle[1]]
        spread = basis @ part.reshape(len(part), -1)
        variance = np.sum(spread.reshape(len(basis), *part.shape[1:]) ** 2, axis=1)
        error[:, rows, columns] = np.sqrt(error[:, rows, columns] ** 2 + variance)
        shape = points(j)
        bright = np.sum(shape**2, axis=0)
        rows, columns = np.nonzero(bright > _FAINT * bright.max())
        own = np.hypot(posterior.deviation[j], posterior.shared[j])
        if posterior.broad is not None:
            own = np.hypot(own, posterior.broad[j])
        light = (weights @ shape[:, rows, columns]) * own[:, None]
        error[:, rows, columns] = np.hypot(error[:, rows, columns], light)
        if speckles is not None and speckles[j].any():
            _add_speckles(error, weights, shape, speckles[j])


def _add_speckles(error, weights, shape, amount):
    """Add errors of the PSF around one source, in place."""
    peak = shape.max(axis=(1, 2), keepdims=True)
    root = np.sqrt(np.maximum(shape, 0.0) * peak)
    rows, columns = np.nonzero(root.max(axis=0) > _SPECKLE * peak.max())
    root = root[:, rows, columns].astype(np.float32)
    step = max(1, _SLAB // (8 * len(rows)))
    for start in range(0, len(error), step):
        part = slice(start, start + step)
        table = (weights[part] * amount[part, None]).astype(np.float32)
        error[part, rows, columns] = np.hypot(error[part, rows, columns], table @ root)


def point_response(problem, tuned, reach):
    """Diffuse maps that a free point replaces, for a point in the middle of a spaxel.

    Parameters
    ----------
    problem : LowRankProblem
        With sources.
    tuned : Tuning
        Its solution.
    reach : int
        Largest distance along an axis, pixels.

    Returns
    -------
    ndarray (k, k, 2 reach + 1, 2 reach + 1)
        :math:`B^{-1} P D`, by the component of the point along the second axis.
    """
    system, mu = problem.system, tuned.mu
    grid, rank, factor = system.grid, system.rank, system.grid.factor
    image_weight, cube_weight = system.typical_weights()
    weights = (tuned.scale_image * image_weight, tuned.scale_cube * cube_weight, mu)
    solve = system.blocks.preconditioner(*weights)
    at = [size // 2 // factor * factor + factor // 2 for size in grid.shape]
    power = system.prior.sources.power
    power = (power[:, :, None] if power.ndim == 2 else power) * mu
    pulled = point_groups(grid, [at[::-1]]) * power
    window = tuple(slice(one - reach, one + reach + 1) for one in at)
    response = np.empty((rank, rank, 2 * reach + 1, 2 * reach + 1))
    for a in range(rank):
        one = np.zeros((grid.groups, grid.aliases, rank), complex)
        one[:, :, a] = pulled[:, :, a]
        response[:, a] = grid.synthesise(solve(one))[(slice(None), *window)]
    return response
