"""Rotation, and the rest of the offset, between an image and the cube through the same filter."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.observed.matching import blur_with_gaps, matching_kernel, sample_spaxels

__all__ = ["Motion", "image_motion"]

# Where less than this share of a PSF falls on data, a spaxel is not compared.
_COMPLETE = 0.98
# Spaxels at least from which five numbers (offset, rotation, scale, background) are fitted.
_FEWEST = 25
# Residuals of spaxels in squares of this side, two PSFs of the cube, are not independent.
_BLOCK = 4
# Parts along each side of the field that are left out in turn: what a few of them decide is not
# known, whatever the noise.
_PARTS = 4
# Rolls in headers are never wrong by more (degrees): what is found beyond is something else.
_LARGEST_ANGLE = 2.0
_SINGULAR = 1e12  # condition from which on a part that is left out leaves too little
_STEPS = 8  # of which two or three are needed
# Changes at which the iteration ends: fine pixels, and radians, half a thousandth at its ends of a
# field of 100 fine pixels.
_SETTLED = np.array([1e-3, 1e-3, 1e-5])


@dataclass(frozen=True)
class Motion:
    """
    How an image is moved against the cube.

    Attributes
    ----------
    offset : array (2,)
        (x, y) of the middle of the field, fine pixels: what the cube shows there, the image shows
        at this offset.
    angle : float
        By how much the image shows the scene turned from +x to +y, degrees.
    offset_error, angle_error : float
        Standard errors, of the offset per axis; infinite where nothing can be measured.
    angle_spread : float
        Standard error of the angle if places of the cube are off for themselves, whatever the
        noise, degrees.
    parts : float
        Number of parts of the field, equally weighty, that tell the angle.
    """

    offset: np.ndarray
    angle: float
    offset_error: float
    angle_error: float
    angle_spread: float = np.inf
    parts: float = 0.0

    @classmethod
    def unknown(cls):
        """
        Return what cannot be measured.

        Returns
        -------
        Motion
            No motion, of infinite errors.
        """
        return cls(np.zeros(2), 0.0, np.inf, np.inf)


def image_motion(image, synthetic, *, psf_image, psf_cube, factor):
    """
    Measure rotation and offset of an image that nearly lies on the cube.

    Parameters
    ----------
    image : array (d h, d w)
        The image on the fine grid, misplaced by a fraction of the PSF of the cube at most; NaN
        where there are no data.
    synthetic : array (h, w)
        The cube seen through the filter of the image; NaN where there are no data.
    psf_image, psf_cube : array (m, m)
        PSFs of both in the band, on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    Motion
        Offset and rotation.

    Notes
    -----
    Least squares on the derivatives of the image, smoothed to the resolution of the cube (Lucas &
    Kanade 1981), with scale and background free. Errors are those of residuals that are
    correlated within squares of spaxels (cluster-robust covariance, Liang & Zeger 1986), but not
    less than those of independent ones: what PSFs leave at sources is not white. Whether parts of
    the field agree on the rotation, the jackknife tells (Efron 1982).
    """
    total, share = blur_with_gaps(image, matching_kernel(psf_image, psf_cube, factor))
    fine = total / np.maximum(share, 1e-6)
    used = np.isfinite(synthetic) & (sample_spaxels(share, factor) > _COMPLETE)
    count = np.count_nonzero(used)
    if count < _FEWEST:
        return Motion.unknown()
    target = synthetic[used]
    rows, columns = np.indices(fine.shape)
    y, x = (axis - (size - 1) / 2 for axis, size in zip((rows, columns), fine.shape, strict=True))
    motion = np.zeros(3)
    for _ in range(_STEPS):
        moved = _moved(fine, motion)
        slope_y, slope_x = np.gradient(moved)
        terms = (slope_x, slope_y, x * slope_y - y * slope_x, moved)
        terms = [sample_spaxels(term, factor)[used] for term in terms] + [np.ones(count)]
        matrix = np.stack(terms, -1)
        # In units of its columns, which differ by powers of ten.
        unit = np.maximum(np.linalg.norm(matrix, axis=0), np.finfo(float).tiny)
        solution, _, rank, _ = np.linalg.lstsq(matrix / unit, target, rcond=1e-6)
        solution = solution / unit
        if rank < len(unit) or solution[3] <= 0:
            return Motion.unknown()
        step = solution[:3] / solution[3]
        motion = motion + step
        if abs(np.rad2deg(motion[2])) > _LARGEST_ANGLE or np.hypot(*motion[:2]) > 2 * factor:
            return Motion.unknown()
        if np.all(np.abs(step) < _SETTLED):
            break
    else:
        return Motion.unknown()
    residual = target - matrix @ solution
    errors = np.sqrt(_variances(matrix / unit, residual, used)) / unit / solution[3]
    spread, parts = _spread(matrix / unit, target, used)
    return Motion(
        offset=motion[:2],
        angle=float(np.rad2deg(motion[2])),
        offset_error=float(errors[:2].max()),
        angle_error=float(np.rad2deg(errors[2])),
        angle_spread=float(np.rad2deg(spread * unit[3] / unit[2])),
        parts=parts,
    )


def _spread(matrix, target, used):
    """Standard error of the rotation from parts of the field left out in turn, and their number.

    This is the jackknife, in units of the scale; the number is that of parts of equal weight that
    would tell as much.
    """
    rows, columns = (
        np.minimum(_PARTS * (index - index.min()) // (np.ptp(index) + 1), _PARTS - 1)
        for index in np.nonzero(used)
    )
    part = rows * _PARTS + columns
    others = np.delete(matrix, 2, axis=1)
    own = matrix[:, 2] - others @ np.linalg.lstsq(others, matrix[:, 2], rcond=None)[0]
    told = np.bincount(part, own**2)
    number = float(told.sum() ** 2 / np.sum(told**2))
    normal, right = matrix.T @ matrix, matrix.T @ target
    found = []
    for one in np.unique(part):
        inside = part == one
        rest = normal - matrix[inside].T @ matrix[inside]
        if not np.linalg.cond(rest) < _SINGULAR:
            return np.inf, number
        solution = np.linalg.solve(rest, right - matrix[inside].T @ target[inside])
        found.append(solution[2] / solution[3])
    return float(np.sqrt((len(found) - 1) * np.var(found))), number


def _moved(fine, motion):
    """Image whose pixel at d from the middle shows what the image shows at R d + offset."""
    cos, sin = np.cos(motion[2]), np.sin(motion[2])
    turn = np.array([[cos, sin], [-sin, cos]])  # of (y, x)
    middle = (np.array(fine.shape) - 1) / 2
    start = middle + motion[1::-1] - turn @ middle
    return ndimage.affine_transform(fine, turn, start, order=3, mode="nearest")


def _variances(matrix, residual, used):
    """Variances of the coefficients of least squares, the larger ones of two estimates."""
    rows, columns = np.nonzero(used)
    count = len(residual)
    bread = np.linalg.inv(matrix.T @ matrix)
    white = np.diag(bread) * np.sum(residual**2) / (count - matrix.shape[1])
    block = rows // _BLOCK * used.shape[1] + columns // _BLOCK
    _, block = np.unique(block, return_inverse=True)
    scores = np.zeros((block.max() + 1, matrix.shape[1]))
    np.add.at(scores, block, matrix * residual[:, None])
    clusters = len(scores)
    meat = scores.T @ scores * clusters / max(clusters - 1, 1)
    return np.maximum(white, np.diag(bread @ meat @ bread))
