"""Fit the spectral subspace to the cube again, with component maps and PSFs known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jwst_fusion.fusion.solver.operators import Spectrometer

__all__ = ["refine_subspace"]

_CHUNK = 64_000_000  # bytes of design matrices at once
_RIDGE = 1e-8  # relative pull towards the old spectra, for components that have no maps


def refine_subspace(data, subspace, grid, groups):
    r"""Fit mean and basis spectra to the cube, given the component maps.

    Principal components of the cube describe spectra of the blurred scene. As the blur changes with
    wavelength, they differ from the spectra of the scene: around a star, the wings redden it. With
    the maps of a first solution, every channel is a linear fit of its own that knows its PSF.

    Parameters
    ----------
    data : FusionData
        Observations, from `usable_data`.
    subspace : WhitenedSubspace
        Subspace of the first solution.
    grid : Grid
        Domain of the first solution.
    groups : ndarray (group, d * d, k)
        Component groups of the first solution.

    Returns
    -------
    WhitenedSubspace
        With new mean and basis; the basis is no longer exactly orthonormal.

    Notes
    -----
    Per channel, over the voxels s that are there,

    .. math:: \min_{m_l, v_l} \sum_s w_s \bigl(y_{ls} - m_l
        - \sum_a v_{la} (S W_l z_a)_s\bigr)^2
    """
    h, w = data.cube.shape[1:]
    nodes, k = data.psf_weights.shape[1], subspace.rank
    identity = np.eye(nodes * k).reshape(nodes * k, nodes, k)
    seen = Spectrometer(grid, data.psf_cube, identity).forward_groups(groups)
    good = data.spaxel_weight > 0
    maps = grid.synthesise_coarse(seen)[:, :h, :w][:, good].reshape(nodes, -1)
    weight, valid = data.spaxel_weight[good], np.flatnonzero(subspace.valid)
    mean, basis = subspace.mean.copy(), subspace.basis.copy()
    count = len(weight)
    step = max(1, _CHUNK // (24 * (k + 1) * count))
    for start in range(0, len(valid), step):
        part = valid[start : start + step]
        design = np.ones((len(part), k + 1, count))
        design[:, 1:] = (data.psf_weights[part] @ maps).reshape(len(part), k, count)
        spectra = np.column_stack([mean[part], basis[part]])
        values = data.cube[part][:, good]
        there = np.isfinite(values)
        residual = np.where(there, values, 0.0) - np.einsum("lc,lcs->ls", spectra, design)
        weighted = design * (weight * there)[:, None, :]
        normal = weighted @ design.transpose(0, 2, 1)
        index = np.arange(k + 1)
        normal[:, index, index] += _RIDGE * normal[:, index, index].max(1, keepdims=True)
        change = np.linalg.solve(normal, (weighted @ residual[..., None]))[..., 0]
        mean[part] += change[:, 0]
        basis[part] += change[:, 1:]
    return replace(subspace, mean=mean, basis=basis)
