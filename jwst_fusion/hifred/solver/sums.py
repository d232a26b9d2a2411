"""Errors of sums over pixels and channels of a source, from its compact posterior."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter, uniform_filter1d

from jwst_fusion.hifred.solver.posterior import WINDOW
from jwst_fusion.hifred.solver.subspace_error import SHARP

__all__ = ["sum_errors"]

_LEAST = 600  # products of samples and shifts that an average is made of: 3 % of independent ones
_FARTHEST = 8  # pixels; farther away the source has another posterior
_SMOOTH = 3  # pixels over which the size of samples is averaged
_VOXELS = 64  # pixels of a sum whose errors are compared with those of the voxels
_CHANGE = 2.0  # factor by which that comparison may change an error
_REACH = 4.0  # standard deviations of correlations


def sum_errors(posterior, measure, cube, error):
    r"""
    Errors of sums over a source.

    Parameters
    ----------
    posterior : LowRankPosterior
        Posterior of the source, in its unit.
    measure : LinearMeasure
        The sums.
    cube, error : ndarray (L, M, N)
        The source and the errors of its voxels; NaN where it is not known.

    Returns
    -------
    ndarray (n,) or (L,)
        1-sigma errors of the sums, in the unit of the source; NaN of channels that no pixel of the
        sum has.

    Notes
    -----
    The covariance of the coefficients of an aperture's sum is the mean over samples, and over
    places nearby to which the aperture is moved, of products of sums over samples. The samples are
    brought to the size that they have in the aperture, so that only the correlations, which change
    slowly, are averaged over places. What the penalty takes away, and what a full cube has beyond
    the low rank, are moved and squared in the same way, over the window that the voxels' errors
    have; what the subspace lacks is described in `SubspaceError`. In the end, all is multiplied
    by what makes errors of single voxels on average those in `error`.
    """
    known = np.isfinite(cube) & np.isfinite(error)
    mask = np.where(known.any(axis=0), measure.mask, 0.0)
    weights = measure.weights
    held = (known & (mask != 0)).any(axis=(1, 2))
    if not held.any():
        count = len(cube) if weights is None else len(weights)
        return np.full(count, np.nan)
    pixels = np.nonzero(mask)
    amount = mask[pixels]
    basis = posterior.basis
    cube = np.where(known, cube, 0.0)
    if weights is not None:
        weights = weights * held
    parts = _correlated(posterior, pixels, amount)
    variance = _quadratic(parts, basis, weights)
    around = _places(cube.shape[1:], pixels, [size // 2 for size in WINDOW[1:]])
    for one in _beyond(posterior, cube, around.ravel()):
        rows = one.reshape(len(cube), *around.shape) @ amount
        variance = variance + _squares(rows, weights)
    if posterior.subspace is not None:
        variance = variance + _of_spectra(posterior, pixels, amount, weights)
        variance = variance + _outside(posterior, pixels, amount, cube, weights)
    found = np.sqrt(np.maximum(variance, 0.0))
    found *= _scale(posterior, pixels, amount, weights, cube, np.where(known, error, 0.0))
    return np.where(held, found, np.nan) if weights is None else found


def _reach(posterior):
    """Shifts in pixels that make enough samples, in a field that is much larger."""
    wanted = np.ceil(0.5 * (np.sqrt(_LEAST / len(posterior.samples)) - 1.0))
    field = posterior.maps.shape[1:]
    return [int(min(wanted, _FARTHEST, size // 4)) for size in field]


def _sizes(posterior):
    """Local rms of the samples (r, M, N)."""
    square = np.mean(np.square(posterior.samples), axis=0, dtype=float)
    mean = uniform_filter(square, size=(1, _SMOOTH, _SMOOTH), mode="nearest")
    return np.sqrt(np.maximum(mean, 1e-12 * mean.mean(axis=(1, 2), keepdims=True) + 1e-300))


def _places(shape, pixels, reach):
    """Flat numbers (shift, pixel) of moved pixels, around the edges of the field."""
    rows, columns = pixels
    dy, dx = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    rows = (rows + dy.reshape(-1, 1)) % shape[0]
    return rows * shape[1] + (columns + dx.reshape(-1, 1)) % shape[1]


def _correlated(posterior, pixels, amount):
    """Covariance (r, r) of the sums of coefficients over pixels."""
    size = _sizes(posterior)
    rank, shape = len(size), posterior.maps.shape[1:]
    factors = size[:, pixels[0], pixels[1]] * amount
    white = (posterior.samples / size).reshape(len(posterior.samples), rank, -1)
    total, count = 0.0, 0
    for places in _places(shape, pixels, _reach(posterior)):
        sums = np.einsum("skp,kp->sk", white[:, :, places], factors)
        total = total + sums.T @ sums
        count += len(sums)
    return total / count


def _quadratic(covariance, basis, weights):
    """Variances of sums whose coefficients have a covariance."""
    rows = basis if weights is None else weights @ basis
    return np.einsum("li,ij,lj->l", rows, covariance, rows)


def _squares(rows, weights):
    """Mean squares over shifts in space and energy of rows (L, shift), or of sums over them."""
    if weights is None:
        return uniform_filter1d(np.mean(rows**2, axis=1), WINDOW[0], mode="nearest")
    total, half, index = 0.0, WINDOW[0] // 2, np.arange(len(rows))
    for shift in range(-half, half + 1):
        moved = rows[np.clip(index + shift, 0, len(rows) - 1)]
        total = total + np.mean((weights @ moved) ** 2, axis=1)
    return total / WINDOW[0]


def _of_spectra(posterior, pixels, amount, weights):
    """Variances of sums by the noise of the spectra."""
    subspace = posterior.subspace
    light = posterior.maps[:, pixels[0], pixels[1]] @ amount
    size = light @ subspace.inverse @ light
    shared, width = subspace.smooth
    directions = subspace.directions(posterior.basis)
    if weights is None:
        row = subspace.row**2 * size
        if shared > 0:
            smooth = gaussian_filter1d(subspace.row**2, width, mode="nearest")
            row = row + shared * light[0] ** 2 * smooth / (2.0 * np.sqrt(np.pi) * width)
        return row * (1.0 - (directions**2).sum(axis=1))
    total = size * _free(weights, subspace.row, directions)
    if shared > 0:
        smooth = gaussian_filter1d(weights, width, axis=1, mode="nearest")
        total = total + shared * light[0] ** 2 * _free(smooth, subspace.row, directions)
    return total


def _free(weights, row, directions):
    """Sum of squares of weights (n, L) in units of noise, without the part in the subspace."""
    scaled = weights * row
    inside = scaled @ directions
    return np.maximum((scaled**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)


def _outside(posterior, pixels, amount, cube, weights):
    """Variances of sums by signal outside the subspace."""
    subspace = posterior.subspace
    blur, width = subspace.lengths
    # what the data do not show of it is sharper than they are
    parts = ((blur, 1.0), (SHARP, subspace.contrast**2 - 1.0))
    fields = [one * amount for one in subspace.fields(cube[:, pixels[0], pixels[1]])]
    fields = [one for one in fields if one.any()]
    if not fields:
        return 0.0
    # sums that the data show are what the coefficients follow, whatever the subspace lacks
    lacking = (None, None) if weights is None else subspace.lacking(weights, posterior.basis)
    total = 0.0
    for (length, share), left in zip(parts, lacking, strict=True):
        images = [_correlated_images(one, pixels, length) for one in fields]
        images = np.sqrt(share) * np.concatenate(images, axis=1)
        if weights is None:
            total = total + (images**2).sum(axis=1)
            continue
        # zero but near the diagonal: lines are narrow
        lag = np.arange(len(images))
        along = np.exp(-0.25 * (lag / width) ** 2)[np.abs(lag - lag[:, None])]
        total = total + np.einsum("nl,nl->n", left @ (along * (images @ images.T)), left)
    return total


def _correlated_images(found, pixels, blur):
    """Images (L, pixel) whose products are those of a field of rms `found`, correlated in space."""
    border = int(np.ceil(_REACH * blur))
    low = [one.min() for one in pixels]
    shape = tuple(
        one.max() - first + 1 + 2 * border for one, first in zip(pixels, low, strict=True)
    )
    inner = tuple(one - first + border for one, first in zip(pixels, low, strict=True))
    images = np.zeros((len(found), *shape))
    images[:, inner[0], inner[1]] = found
    # what is blurred by a Gaussian is white noise smoothed with it
    for axis in (1, 2):
        images = gaussian_filter1d(images, blur, axis=axis, mode="constant", truncate=_REACH)
    return images.reshape(len(images), -1) * np.sqrt(4.0 * np.pi) * blur


def _beyond(posterior, cube, places):
    """Yield what counts as error by its size (L, place): what penalty or low rank take away."""
    flat = posterior.lost.reshape(len(posterior.lost), -1)
    yield posterior.basis @ flat[:, places]
    if posterior.subspace is None:
        maps = posterior.maps.reshape(len(flat), -1)
        yield cube.reshape(len(cube), -1)[:, places] - posterior.basis @ maps[:, places]


def _scale(posterior, pixels, amount, weights, cube, error):
    """Factor of each sum that makes errors of its voxels on average those that are stated."""
    step = max(1, len(amount) // _VOXELS)
    rows, columns, amount = pixels[0][::step], pixels[1][::step], amount[::step]
    basis, power = posterior.basis, amount**2
    size = _sizes(posterior)[:, rows, columns]
    white = posterior.samples / _sizes(posterior)
    rank, shape = len(size), posterior.maps.shape[1:]
    white = white.reshape(len(white), rank, -1)
    total, count = np.zeros((rank, rank)), 0
    factors = size * np.abs(amount)
    for places in _places(shape, (rows, columns), _reach(posterior)):
        values = (white[:, :, places] * factors).transpose(1, 0, 2).reshape(rank, -1)
        total += values @ values.T
        count += len(white)
    variance = _quadratic(total / count, basis, None)
    around = _places(shape, (rows, columns), [size // 2 for size in WINDOW[1:]])
    for one in _beyond(posterior, cube, around.ravel()):
        mean = np.mean(one.reshape(len(basis), *around.shape) ** 2, axis=1)
        variance = variance + uniform_filter1d(mean, WINDOW[0], axis=0, mode="nearest") @ power
    if posterior.subspace is not None:
        maps, values = posterior.maps[:, rows, columns], cube[:, rows, columns]
        more = posterior.subspace.variance(basis, maps[:, None], values[:, None])
        variance = variance + more[:, 0] @ power
    here = error[:, rows, columns]
    stated = here**2 @ power
    variance = np.where((here > 0).any(axis=1), variance, 0.0)
    if weights is not None:
        stated, variance = weights**2 @ stated, weights**2 @ variance
    good = (variance > 0) & (stated > 0)
    ratio = np.divide(stated, variance, out=np.ones_like(stated), where=good)
    return np.clip(np.sqrt(ratio), 1.0 / _CHANGE, _CHANGE)
