"""Errors of sums over a fused cube: aperture spectra, line fluxes, band images, colours."""

from __future__ import annotations

import numpy as np

from jwst_fusion.fusion.exposures.result import ExposureFusion
from jwst_fusion.fusion.joined_posterior import (
    PART_EXTENSIONS,
    JoinedPart,
    joined_variances,
)
from jwst_fusion.fusion.solver.posterior import sum_variances
from jwst_fusion.fusion.solver.result import FusionResult
from jwst_fusion.fusion.stored_posterior import EXTENSIONS, unpacked
from jwst_fusion.numerics.linear_measure import linear_measure
from jwst_fusion.numerics.stored_arrays import stored_arrays, stored_items

__all__ = ["error_of"]


def error_of(product, mask=None, weights=None):
    """
    Error of any linear measure of a fused cube.

    The errors of voxels, ERR, do not tell it: neighbouring pixels and channels share what is wrong
    with them, so that the root of the sum of squares of ERR is too small by factors.

    Parameters
    ----------
    product : str, `~pathlib.Path`, data model, FusionResult or ExposureFusion
        What the step wrote or returned, or the result of `fuse` or `fuse_exposures`.
    mask : array (Y, X), region, aperture, str, `~pathlib.Path`, optional
        Weight of each pixel in the sum, of type bool or float; or a region of the package
        ``regions``, on pixels or on the sky, or an aperture of photutils, with the weights that its
        own ``to_mask()`` gives; or a file of regions. By default all pixels count once.
    weights : array (L,) or (n, L), optional
        Weight of each channel in the sum, of one sum or of several: 1 over a band, 1 over a line
        and less than 0 beside it for a line flux above the continuum. By default each channel is
        a sum of its own.

    Returns
    -------
    float or ndarray (n,) or (L,)
        1-sigma error of the sum over pixels and channels of mask times weights times SCI, in the
        unit of SCI. Pixels that have no data are left out; NaN where all are.

    Raises
    ------
    TypeError
        If the product is no product, or mask or weights are of another type.
    ValueError
        If the product has no posterior, or mask or weights do not fit it.
    FileNotFoundError
        If a file does not exist.
    ImportError
        If a file of regions is given and ``regions`` is not installed.

    Notes
    -----
    From the covariance of the component maps as a function of distance, what they miss of structure
    around each pixel, the noise of mean and spectra, the errors of point sources, and what the cube
    shows of components above the noise that were left out, see
    `~jwst_fusion.fusion.solver.posterior.sum_variances`. The error of a single voxel is that in
    ERR within 5 to 20 %, close to sources 30 %. Of a cube joined from several gratings, the errors
    of sums over its parts are combined, see
    `~jwst_fusion.fusion.joined_posterior.joined_variances`. Nothing is known of errors that no data
    show, as those of the flux calibration that images and cube share.

    Examples
    --------
    >>> import numpy as np
    >>> from jwst_fusion import fusion
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.indices((31, 31)) - 15
    >>> psfs = [np.exp(-0.5 * (x**2 + y**2) / width**2) for width in (1.0, 2.5)]
    >>> image, soft = (psf[None] / psf.sum() for psf in psfs)
    >>> data = fusion.FusionData(
    ...     cube=5 + 0.05 * rng.standard_normal((30, 12, 12)),
    ...     cube_sigma=np.full(30, 0.05),
    ...     spaxel_weight=np.ones((12, 12)),
    ...     images=5 + 0.02 * rng.standard_normal((1, 36, 36)),
    ...     image_sigma=np.full(1, 0.02),
    ...     image_weight=np.ones((1, 36, 36)),
    ...     response=np.full((1, 30), 1 / 30),
    ...     psf_weights=np.ones((30, 1)),
    ...     psf_image=image,
    ...     psf_cube=soft,
    ...     factor=3,
    ... )
    >>> result = fusion.fuse(data)
    >>> aperture, line = np.zeros((36, 36)), np.zeros(30)
    >>> aperture[12:20, 12:20] = line[10:13] = 1
    >>> value = line @ (result.cube * aperture).sum((1, 2))
    >>> error = fusion.error_of(result, aperture, line)
    >>> bool(abs(value - 3 * 64 * 5) < 3 * error)
    True
    """
    mirrored, cube, parts = False, None, []
    if isinstance(product, (FusionResult, ExposureFusion)):
        cube, posterior, name = product.cube, product.posterior, "the result"
        wcs = product.grid.wcs if isinstance(product, ExposureFusion) else None
    else:
        names = {"data": ("SCI",)} | {key: (value,) for key, value in EXTENSIONS.items()}
        found = stored_arrays(product, names)
        cube, wcs, name, posterior = found["data"], found.wcs, found.name, None
        if found["posterior_covariance"] is not None and cube is not None:
            posterior, mirrored = unpacked(found.arrays)
        elif cube is not None:
            items = stored_items(product, "joined_posteriors", PART_EXTENSIONS)
            parts = [JoinedPart.unpacked(one) for one in items]
    if posterior is None and not parts:
        msg = (
            f"{name} has no posterior, which errors of sums need: fuse again (products of earlier "
            "versions have none), or take the cubes of which a joined cube consists"
        )
        raise ValueError(msg)
    measure = linear_measure(mask, weights, cube.shape, wcs=wcs)
    used = measure.mask
    finite = np.isfinite(cube)
    seen = finite.any(0)
    used = np.where(seen, used, 0.0)
    if mirrored:
        used = used[:, ::-1]
    if not used.any():
        count = len(cube) if measure.weights is None else len(measure.weights)
        return measure.answer(np.full(count, np.nan))
    if parts:
        variance = joined_variances(parts, used, measure.weights, len(cube))
    else:
        variance = sum_variances(posterior, used, measure.weights)
    error = np.sqrt(np.maximum(variance, 0.0))
    if measure.weights is None:
        error[~finite.any((1, 2))] = np.nan
    return measure.answer(error)
