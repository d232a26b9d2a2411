"""Spectra of what the images show and noise hides in the cube."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from scipy import signal

__all__ = ["with_image_components"]

log = logging.getLogger(__name__)

# Standard deviations by which the spectra of patterns exceed noise, together.
_SIGNIFICANCE = 2.0
# Noise of a pattern in units of the cube's noise times the pattern above which it tells nothing.
_NOISY = 0.5
_LEAST = 8  # spaxels that images and cube have in common
_COVERED = 0.5  # of the spaxels that the best image covers, for another to count


def with_image_components(data, subspace, *, max_rank):
    r"""Add components that are too faint for the cube alone, but whose maps the images know.

    Principal components of a noisy cube show only what stands out of the noise of all directions of
    spectra and maps together. Where images tell a map, its spectrum is a regression on that map,
    which finds what is several times fainter. A subspace without it could not explain the images,
    and their small errors would bend everything else.

    Parameters
    ----------
    data : FusionData
        Observations.
    subspace : WhitenedSubspace
        Principal components of the cube.
    max_rank : int
        Most components.

    Returns
    -------
    WhitenedSubspace
        With more components, if there are any.

    Notes
    -----
    The images at the resolution of the cube, their means and what is less than their noise taken
    off, have orthonormal patterns :math:`P` (spaxels, p) under the weights of the spaxels. With the
    whitened residuals :math:`D` (channels, spaxels) of the principal components, :math:`D P` is
    white noise of known level unless the cube holds the patterns; its singular vectors whose values
    exceed the largest one of noise, :math:`\sqrt{L} + \sqrt{p}`, are the spectra.
    """
    patterns = _patterns(data, subspace)
    room = int(max_rank) - subspace.rank
    if not patterns.shape[1] or room < 1:
        return subspace
    valid, known = subspace.valid, np.isfinite(subspace.scores).all(0)
    weight = data.spaxel_weight[known]
    sigma = subspace.sigma[valid]
    cube = np.asarray(data.cube[valid][:, known], float)
    white = (cube - subspace.mean[valid, None]) / sigma[:, None]
    basis = subspace.basis[valid] / sigma[:, None]
    white = np.where(np.isfinite(white), white, basis @ subspace.scores[:, known])
    inside = np.linalg.qr(basis)[0]
    left = white - inside @ (inside.T @ white)
    seen = left @ (np.sqrt(weight)[:, None] * patterns)
    spectra, values, _ = np.linalg.svd(seen, full_matrices=False)
    channels, count = len(sigma) - subspace.rank, patterns.shape[1]
    # The largest singular value of noise has a scatter of one half at most.
    edge = np.sqrt(max(channels, 1)) + np.sqrt(count) + 0.5 * _SIGNIFICANCE
    # The noise of single spaxels is less than that of patterns where neighbours share it.
    noise = subspace.noise / np.sqrt(data.cube_independent)
    found = min(int(np.sum(values > edge * noise)), room)
    if not found:
        return subspace
    spectra = spectra[:, :found]
    more = np.zeros((len(subspace.sigma), found))
    more[valid] = spectra * sigma[:, None]
    scores = np.full((found, *known.shape), np.nan)
    scores[:, known] = spectra.T @ white
    log.info("%d components more, whose maps the images know", found)
    return replace(
        subspace,
        basis=np.concatenate([subspace.basis, more], axis=1),
        scores=np.concatenate([subspace.scores, scores]),
    )


def _patterns(data, subspace):
    """Orthonormal patterns (n, p) of the images at the spaxels that have data, weights included."""
    known = np.isfinite(subspace.scores).all(0)
    factor, shape = data.factor, known.shape
    found, noises = [], []
    for f in range(len(data.images)):
        weight, image = data.image_weight[f], data.images[f]
        good = (weight > 0) & np.isfinite(image)
        # The cube's PSF in the middle of the filter.
        share = np.maximum(data.response[f], 0)
        nodes = share @ data.psf_weights / max(share.sum(), np.finfo(float).tiny)
        psf = np.tensordot(nodes, data.psf_cube, 1)
        smooth, area = (
            signal.fftconvolve(np.where(good, values, 0.0), psf, mode="same")
            for values in (image, good.astype(float))
        )
        noise = signal.fftconvolve(
            np.where(good, data.image_sigma[f] ** 2 / np.where(good, weight, 1), 0.0),
            psf**2,
            mode="same",
        )
        smooth, area, noise = (_at_spaxels(one, factor, shape) for one in (smooth, area, noise))
        # What is outside the image is missing: only spaxels that see next to nothing of it count.
        whole = area > 0.95 * psf.sum()
        found.append(np.where(whole, smooth / np.where(whole, area, 1), np.nan))
        noises.append(noise)
    found = np.array(found)
    # An image of another part of the field must not hide what the others show.
    covered = np.sum(np.isfinite(found) & known, axis=(1, 2))
    kept = covered >= _COVERED * covered.max(initial=1)
    found, noises = found[kept], [one for one, keep in zip(noises, kept, strict=True) if keep]
    both = known & np.isfinite(found).all(0)
    if both.sum() < _LEAST:
        return np.zeros((int(known.sum()), 0))
    weight = data.spaxel_weight[both]
    values = found[:, both] - np.average(found[:, both], axis=1, weights=weight)[:, None]
    scale = np.sqrt(np.average(values**2, axis=1, weights=weight))
    noise = np.sqrt([np.average(one[both], weights=weight) for one in noises])
    used = scale > noise
    if not used.any():
        return np.zeros((int(known.sum()), 0))
    values = values[used] / scale[used, None] * np.sqrt(weight)
    level = np.max(noise[used] / scale[used]) * np.sqrt(weight.sum())
    _, size, patterns = np.linalg.svd(values, full_matrices=False)
    patterns = patterns[size > level / _NOISY]
    out = np.zeros((int(known.sum()), len(patterns)))
    out[both[known]] = patterns.T
    return out


def _at_spaxels(values, factor, shape):
    """Mean over the fine pixels around the centre of each spaxel (h, w)."""
    start, end = (factor - 1) // 2, factor // 2 + 1
    parts = [
        values[i::factor, j::factor][: shape[0], : shape[1]]
        for i in range(start, end)
        for j in range(start, end)
    ]
    return np.mean(parts, axis=0)
