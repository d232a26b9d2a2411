"""Maps of spectral angles, of relative errors, and of how spectra change between neighbours."""

import numpy as np

from jwst_fusion.metrics.pairs import valid_pair

__all__ = ["relative_error_map", "sam_map", "spectral_variability"]


def sam_map(truth, estimate, mask=None):
    r"""
    Spectral angle of each spaxel.

    Parameters
    ----------
    truth, estimate : array_like
        Cube (channel, y, x); NaN marks missing values.
    mask : array_like of bool, optional
        Values to use, of the shape of the cube or of one image.

    Returns
    -------
    ndarray (y, x)
        Radians; NaN where a spectrum is zero throughout or missing.

    Raises
    ------
    ValueError
        If shapes disagree or no value is valid.

    Notes
    -----
    Kruse et al. 1993 (Remote Sens. Environ. 44, 145); Lascar et al. 2025, eq. 23:
    :math:`\arccos(\langle t, e\rangle / \lVert t\rVert\lVert e\rVert)` over the channels that both
    hold. The angle is computed as :math:`2 \arctan(\lVert u - v\rVert / \lVert u + v\rVert)` of
    the unit vectors, which stays exact for small angles.
    """
    truth, estimate, good = valid_pair(truth, estimate, mask, least=3)
    return _angles(np.where(good, truth, 0.0), np.where(good, estimate, 0.0))


def relative_error_map(truth, estimate, mask=None, *, of="amplitude"):
    r"""
    Relative error of each spaxel.

    Parameters
    ----------
    truth, estimate : array_like
        Cube (channel, y, x); NaN marks missing values.
    mask : array_like of bool, optional
        Values to use, of the shape of the cube or of one image.
    of : {"amplitude", "voxels"}
        Error of the sum over channels, or mean over channels of the errors of the voxels.

    Returns
    -------
    ndarray (y, x)
        Per cent, positive where the estimate is too large; NaN where the truth is zero.

    Raises
    ------
    ValueError
        If shapes disagree, no value is valid or `of` is unknown.

    Notes
    -----
    Lascar et al. 2025, Fig. B.3: :math:`100 (e - t) / t`, "averaged per pixel". Voxels whose
    truth is close to zero dominate a mean over channels ("voxels"); the error of the amplitude,
    the sum over channels of their Fig. B.1, does not depend on them.
    """
    if of not in ("amplitude", "voxels"):
        msg = f"of must be 'amplitude' or 'voxels', got {of!r}"
        raise ValueError(msg)
    truth, estimate, good = valid_pair(truth, estimate, mask, least=3)
    if of == "amplitude":
        truth = np.where(good, truth, 0.0).sum(axis=0)
        estimate = np.where(good, estimate, 0.0).sum(axis=0)
        out = np.full(truth.shape, np.nan)
        return 100.0 * np.divide(estimate - truth, truth, out=out, where=truth != 0)
    good = good & (truth != 0)
    errors = np.divide(estimate - truth, truth, out=np.zeros(truth.shape), where=good)
    count = good.sum(axis=0)
    out = np.full(count.shape, np.nan)
    return 100.0 * np.divide(errors.sum(axis=0), count, out=out, where=count > 0)


def spectral_variability(cube):
    r"""
    Mean spectral angle between each spaxel and its neighbours.

    Parameters
    ----------
    cube : array_like
        Cube (channel, y, x); spaxels with a NaN are left out.

    Returns
    -------
    ndarray (y, x)
        Radians; NaN where a spectrum is zero throughout or missing, or has no neighbour.

    Raises
    ------
    ValueError
        If the cube does not have three dimensions.

    Notes
    -----
    Lascar et al. 2025, eq. 22: the mean over the eight closest pixels, fewer at the border.
    """
    cube = np.asarray(cube, dtype=np.float64)
    if cube.ndim != 3:
        msg = f"cube must have shape (channel, y, x), got {cube.shape}"
        raise ValueError(msg)
    height, width = cube.shape[1:]
    total, count = np.zeros((2, height, width))
    # Each pair of neighbours is looked at once and counts for both.
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
        angle = _angles(cube[:, *here], cube[:, *there])
        known = np.isfinite(angle)
        for part in (here, there):
            total[part] += np.where(known, angle, 0.0)
            count[part] += known
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _angles(first, second):
    """Angle between the spectra of each spaxel, NaN where one has no direction."""
    norms = [np.sqrt((part * part).sum(axis=0)) for part in (first, second)]
    held = (norms[0] > 0) & (norms[1] > 0)
    u, v = first[:, held] / norms[0][held], second[:, held] / norms[1][held]
    angle = np.full(held.shape, np.nan)
    angle[held] = 2.0 * np.arctan2(np.linalg.norm(u - v, axis=0), np.linalg.norm(u + v, axis=0))
    return angle
