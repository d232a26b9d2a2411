"""Render a solution: the fused cube, its errors and posterior, and sources of their own."""

from __future__ import annotations

import numpy as np

from jwst_fusion.fusion.solver.map_covariance import covariance_reach, local_covariance, logarithmic
from jwst_fusion.fusion.solver.posterior import CubePosterior
from jwst_fusion.fusion.solver.rendering import (
    cube_from_rows,
    render_rows,
    row_covariance,
    spectral_leverage,
)
from jwst_fusion.fusion.solver.structure import missed_share

__all__ = ["add_light", "not_darker", "render_cube", "shapes_of"]

_SLAB = 32_000_000  # bytes of cube that are worked on at once


def shapes_of(problem, sources, settings):
    """Sources as they are to look in the cube.

    Parameters
    ----------
    problem : LowRankProblem
        With sources.
    sources : FittedSources
        The same.
    settings : FusionSettings
        Resolution.

    Returns
    -------
    callable
        From the index of a source to its image (R, Y, X) of unit flux at each node of the PSF. They
        are made one by one, as in `PointImages`.
    """
    if settings.resolution == "imager":
        return sources.points.in_images
    grid, prior = problem.system.grid, problem.system.prior.sources
    nodes = problem.data.psf_weights.shape[1]

    def point(index):
        whole = grid.synthesise(prior.points[:, :, index : index + 1])
        one = whole[0][problem.window]
        return np.broadcast_to(one, (nodes, *one.shape))

    return point


def not_darker(deviations, spectra):
    """Limit deviations to what sources have in the components.

    Parameters
    ----------
    deviations, spectra : ndarray (J, L)
        Deviations, and spectra in the components.

    Returns
    -------
    ndarray (J, L)
        Deviations that take no more.
    """
    return np.maximum(deviations, -np.maximum(np.nan_to_num(spectra), 0.0))


def add_light(cube, weights, spectra, shapes, *, nonnegative=False):
    """Add sources to a cube, in place.

    Parameters
    ----------
    cube : ndarray (L, Y, X)
        The cube.
    weights : ndarray (L, R)
        Weights of the PSFs in each channel.
    spectra : ndarray (J, L)
        Spectra of the sources.
    shapes : callable
        From `shapes_of`.
    nonnegative : bool
        Whether what they take from a pixel may not make it negative.
    """
    pixels = cube[0].size
    step = max(1, _SLAB // (4 * pixels))
    for index in np.flatnonzero(spectra.any(axis=1)):
        spectrum, shape = spectra[index], shapes(index)
        flat = shape.reshape(len(shape), -1).astype(np.float32)
        channels = np.flatnonzero(spectrum)
        for start in range(0, len(channels), step):
            part = channels[start : start + step]
            table = (weights[part] * spectrum[part, None]).astype(np.float32)
            light = (table @ flat).reshape(-1, *shape.shape[1:])
            if nonnegative:
                np.maximum(light, -np.maximum(cube[part], 0.0), out=light)
            cube[part] += light


def render_cube(problem, tuned, settings, structure):
    """Fused cube on the grid of the input, without what sources deviate from the components.

    Parameters
    ----------
    problem : LowRankProblem
        The problem.
    tuned : Tuning
        Its solution.
    settings : FusionSettings
        Resolution, and whether errors are wanted.
    structure : Structure or None
        Structure of the diffuse scene; what the prior expects if None.

    Returns
    -------
    cube, error : ndarray (L, Y, X) of float32
        The cube and its 1-sigma error; None without errors.
    posterior : CubePosterior or None
        Posterior of the cube; None without errors.
    """
    data, subspace, system = problem.data, problem.subspace, problem.system
    grid, groups = system.grid, tuned.solution.solution
    psf, mixing, expand = None, None, subspace.basis / subspace.sigma[:, None]
    if settings.resolution == "imager":
        compression = problem.compression
        psf, mixing, expand = data.psf_image, compression.mixing, compression.expand
    window = (slice(None), *problem.window)
    covariance, share, leverage, posterior = None, None, None, None
    missed, amount = None, None
    if settings.errors:
        scales = (tuned.scale_image, tuned.scale_cube)
        covariance = row_covariance(system, problem.local, tuned.mu, scales, psf, mixing)
        share = problem.local.share[window]
        if structure is not None:
            sharp = None if psf is None else psf[len(psf) // 2]
            basis = subspace.basis / subspace.sigma[:, None]
            missed = missed_share(system, structure, sharp, basis)
            amount = 1 + (structure.amount[window] - 1) * structure.share[window]
        middle = None if psf is None else psf[len(psf) // 2]
        maps, inverse, leverage = spectral_leverage(
            grid, middle, groups, subspace, data.spaxel_weight
        )
        weights = data.psf_weights if psf is not None else np.ones((len(data.cube), 1))
        reach = covariance_reach(data.cube.shape, data.factor, subspace.rank, len(share))
        factor = logarithmic(share, np.trace(covariance, axis1=1, axis2=2))
        kernels, response = local_covariance(
            system, problem.local, tuned.mu, scales, reach=reach, structure=structure
        )
        if structure is not None:
            informed = np.tensordot(problem.local.informed.astype(float), share, 1)
            structured = structure.amount[window] * structure.missed[window]
            structured = (structured * informed * factor).astype(np.float32)
        posterior = CubePosterior(
            covariance=kernels,
            share=(share * factor).astype(np.float32),
            basis=subspace.basis,
            psf_weights=weights,
            psf=np.ones((1, 1, 1)) if psf is None else psf,
            maps=maps,
            noise=np.where(subspace.valid, subspace.noise * subspace.sigma, np.nan),
            inverse=inverse,
            samples=float(data.spaxel_weight.sum()),
            response=response,
            structure=None if structure is None else structured,
        )
    rows = render_rows(grid, psf, mixing, groups)[window]
    cube, error = cube_from_rows(
        rows,
        expand,
        subspace,
        covariance=covariance,
        share=share,
        leverage=leverage,
        noise=subspace.noise,
        missed=missed,
        structure=amount,
    )
    return cube, error, posterior
