"""Offset between an image and the cube seen through the same filter."""

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from jwst_fusion.fusion.observed.matching import blur_with_gaps, matching_kernel, sample_spaxels
from jwst_fusion.fusion.observed.photometry import noise_of_image

__all__ = ["coarse_offset", "image_offset", "measure_offset"]

# Where less than this share of a PSF falls on data, a pixel is not compared: two per cent at most
# stand for what is missing.
_COMPLETE = 0.98
# Spaxels at least from which four numbers (offset, scale, background) are fitted.
_FEWEST = 16
# A match counts if its correlation coefficient exceeds this many of its standard deviations in
# noise, 1 / sqrt(number of spaxels), and the first but not more than the second of these.
_SIGNIFICANCE, _CORRELATION = 6.0, (0.3, 0.8)
# Noise aside, at most this share of the cube's variance may differ from the image. Of nebulae, PSFs
# that are wrong leave less than a hundredth, and other places of similar shape a tenth or more.
_UNEXPLAINED = 0.04
# An offset is measured if its standard error is smaller than this, fine pixels.
_LARGEST_ERROR = 1.0
# The whole spaxel from which the rest is measured is at most this far away, spaxels.
_NEAREST = 0.75
# At every offset compared, at least this share of the cube's spaxels lies on the image.
_OVERLAP = 0.5


def image_offset(image, synthetic, *, psf_image, psf_cube, factor, rim=0, unexplained=_UNEXPLAINED):
    """
    Measure by how much an image is shifted against the cube.

    Parameters
    ----------
    image : array (d (h + 2 rim), d (w + 2 rim))
        The image on the fine grid; NaN where there are no data.
    synthetic : array (h, w)
        The cube seen through the filter of the image; NaN where there are no data.
    psf_image, psf_cube : array (m, m)
        PSFs of both in the band, on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.
    rim : int, optional
        Spaxels by which the image extends beyond the cube on every side.
    unexplained : float, optional
        Share of the cube's variance that may differ from the image, noise aside.

    Returns
    -------
    offset : tuple of float
        (x, y) in fine pixels: what the cube shows at a position, the image shows at this position
        plus the offset.
    error : float
        Standard error per axis, fine pixels; infinite where nothing can be measured.

    Notes
    -----
    The image is first smoothed to the resolution of the cube. Whole spaxels are found by
    `coarse_offset`, the rest by `measure_offset`. The result stands only if image and cube are
    then correlated significantly, not less than they are without an offset, and as closely as the
    noise of the cube allows: in a small field, another place may look alike.
    """
    total, share = blur_with_gaps(image, matching_kernel(psf_image, psf_cube, factor))
    fine, complete = total / np.maximum(share, 1e-6), share > _COMPLETE
    inner, used = _part(fine, complete, (rim, rim), synthetic, factor)
    unmoved = _correlation(inner, synthetic, used, factor)
    start = coarse_offset(
        sample_spaxels(fine, factor), sample_spaxels(complete, factor), synthetic, rim
    )
    if start is None:
        return (0.0, 0.0), np.inf
    start = np.array(start)
    for _ in range(3):
        inner, used = _part(fine, complete, start + rim, synthetic, factor)
        if np.count_nonzero(used) < _FEWEST:
            return (0.0, 0.0), np.inf
        (x, y), error = measure_offset(inner, synthetic, used, factor)
        rest = np.array([y, x]) / factor
        # Halfway between two spaxels, either is right.
        step = np.where(np.abs(rest) > _NEAREST, np.rint(rest), 0).astype(int)
        if not step.any():
            break
        start += step
    moved = ndimage.shift(inner, (-y, -x), order=3, mode="nearest")
    found = _correlation(moved, synthetic, used, factor)
    if (
        step.any()
        or error > _LARGEST_ERROR
        or not found >= max(unmoved, _needed(synthetic, used, unexplained))
    ):
        return (0.0, 0.0), np.inf
    return (float(start[1] * factor + x), float(start[0] * factor + y)), error


def coarse_offset(image, complete, synthetic, rim):
    """
    Find the offset of an image against the cube in whole spaxels.

    Parameters
    ----------
    image : array (h + 2 rim, w + 2 rim)
        The image at the resolution and the spaxels of the cube.
    complete : bool array (h + 2 rim, w + 2 rim)
        Where it has data.
    synthetic : array (h, w)
        The cube seen through the filter of the image; NaN where there are no data.
    rim : int
        Spaxels by which the image extends beyond the cube on every side.

    Returns
    -------
    tuple of int or None
        (y, x) in spaxels; None if too little can be compared.

    Notes
    -----
    The largest normalised cross-correlation with masks (Padfield 2012), computed by
    `skimage.registration.phase_cross_correlation`.
    """
    seen = np.pad(np.isfinite(synthetic), rim)
    reference = np.pad(np.nan_to_num(synthetic), rim)
    if min(np.count_nonzero(seen), np.count_nonzero(complete)) < _FEWEST:
        return None
    planes = []
    for plane, mask in ((reference, seen), (image, complete)):
        level, spread = plane[mask].mean(), plane[mask].std()
        if not spread > 0:
            return None
        planes.append(np.where(mask, (plane - level) / spread, 0.0))
    shift, *_ = phase_cross_correlation(
        *planes, reference_mask=seen, moving_mask=complete, overlap_ratio=_OVERLAP
    )
    return tuple(round(-one) for one in shift)


def measure_offset(fine, coarse, used, factor):
    """
    Measure the offset of a well sampled image against a coarsely sampled one.

    Parameters
    ----------
    fine : array (d h, d w)
        Image at the resolution of the coarse one, with values where `sample_spaxels` takes them.
    coarse : array (h, w)
        The coarse image.
    used : bool array (h, w)
        Spaxels to compare.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    offset : tuple of float
        (x, y) in fine pixels: coarse(position) resembles fine(position + offset).
    error : float
        Standard error per axis from the residual, fine pixels; infinite if nothing is found.

    Notes
    -----
    Least squares on the gradients of the image (Lucas & Kanade 1981) with scale and background
    free, repeated until the step is below a thousandth of a pixel. The fine image is the one that
    is moved, because the coarse one is undersampled.
    """
    offset, target = np.zeros(2), coarse[used]
    for _ in range(30):
        moved = ndimage.shift(fine, -offset[::-1], order=3, mode="nearest")
        slope_y, slope_x = np.gradient(moved)
        terms = (slope_x, slope_y, moved)
        terms = [sample_spaxels(term, factor)[used] for term in terms] + [np.ones(target.size)]
        matrix = np.stack(terms, -1)
        solution, _, rank, _ = np.linalg.lstsq(matrix, target, rcond=1e-10)
        if rank < 4 or solution[2] <= 0:
            return (0.0, 0.0), np.inf
        step = solution[:2] / solution[2]
        offset += np.clip(step, -1, 1)
        if np.abs(offset).max() > 0.25 * min(fine.shape):
            return (0.0, 0.0), np.inf
        if np.abs(step).max() < 1e-3:
            break
    residual = target - matrix @ solution
    covariance = np.linalg.inv(matrix.T @ matrix) * residual.var()
    error = float(np.sqrt(max(covariance[0, 0], covariance[1, 1])) / solution[2])
    return (float(offset[0]), float(offset[1])), error


def _part(fine, complete, start, synthetic, factor):
    """Cut out what the cube shows if it begins at a spaxel (y, x), which may lie outside."""
    shape = tuple(factor * size for size in synthetic.shape)
    out, mask = np.zeros(shape), np.zeros(shape, bool)
    sources, targets = [], []
    for first, size, length in zip(start, shape, fine.shape, strict=True):
        begin = int(first) * factor
        low, high = max(begin, 0), min(begin + size, length)
        if low >= high:
            return out, sample_spaxels(mask, factor)
        sources.append(slice(low, high))
        targets.append(slice(low - begin, high - begin))
    out[tuple(targets)] = fine[tuple(sources)]
    mask[tuple(targets)] = complete[tuple(sources)]
    return out, sample_spaxels(mask, factor) & np.isfinite(synthetic)


def _needed(synthetic, used, unexplained):
    """Return the correlation coefficient that a true match has."""
    chance = np.clip(_SIGNIFICANCE / np.sqrt(np.count_nonzero(used)), *_CORRELATION)
    # The noise is estimated on the safe side: in cubes it is correlated.
    noise = 2 * noise_of_image(synthetic[None])[0] ** 2 / np.var(synthetic[used])
    left = unexplained + (noise if np.isfinite(noise) else 0.0)
    return max(chance, np.sqrt(max(1 - left, 0.0)))


def _correlation(fine, coarse, used, factor):
    """Return the correlation coefficient; -1 where there is none."""
    if np.count_nonzero(used) < _FEWEST:
        return -1.0
    one, two = sample_spaxels(fine, factor)[used], coarse[used]
    one, two = one - one.mean(), two - two.mean()
    norm = np.sqrt(np.sum(one**2) * np.sum(two**2))
    return float(one @ two / norm) if norm > 0 else -1.0
