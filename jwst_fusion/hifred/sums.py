"""Errors of sums over a fused cube: aperture spectra, line fluxes, band images, colours."""

from __future__ import annotations

from jwst_fusion.hifred.solver.result import HifredResult
from jwst_fusion.hifred.solver.sums import sum_errors
from jwst_fusion.hifred.stored_posterior import EXTENSIONS, unpacked
from jwst_fusion.numerics.linear_measure import linear_measure
from jwst_fusion.numerics.stored_arrays import stored_arrays

__all__ = ["error_of"]


def error_of(product, mask=None, weights=None):
    """
    Error of any linear measure of a fused cube.

    The errors of voxels, ERR, do not tell it: neighbouring pixels and all channels share what is
    wrong with them, so that the root of the sum of squares of ERR is mostly too small, and where
    noise cancels too large.

    Parameters
    ----------
    product : str, `~pathlib.Path`, data model, FitsProduct or HifredResult
        What the step wrote or returned, or the result of `fuse`.
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
        unit of SCI. Voxels that are NaN are left out; NaN where all are.

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
    Sampled deviations of the coefficient maps give the correlations of noise
    (`~jwst_fusion.hifred.solver.sums.sum_errors`), and the noise of the spectra and what they
    lack add to it (`~jwst_fusion.hifred.solver.subspace_error.SubspaceError`). The error of a
    single voxel is that in ERR within some per cent.

    Examples
    --------
    The flux of a line over two channels in an aperture, and its error:

    >>> import numpy as np
    >>> from jwst_fusion import hifred
    >>> rng = np.random.default_rng(1)
    >>> truth = np.full((12, 12, 12), 2.0)
    >>> truth[5:7, 4:8, 4:8] = 200.0
    >>> response_x = hifred.Response.build(truth.shape, rebin=(4, 1, 1))
    >>> response_y = hifred.Response.build(truth.shape, rebin=(1, 2, 2))
    >>> x, y = (rng.poisson(one.forward(truth)) for one in (response_x, response_y))
    >>> result = hifred.fuse(x, y, response_x, response_y)
    >>> aperture, line = np.zeros((12, 12)), np.zeros(12)
    >>> aperture[4:8, 4:8] = line[5:7] = 1
    >>> flux = line @ (result.cube * aperture).sum(axis=(1, 2))
    >>> error = hifred.error_of(result, aperture, line)
    >>> bool(abs(flux - 2 * 16 * 200) < 3 * error), bool(error < 0.1 * flux)
    (True, True)
    """
    if isinstance(product, HifredResult):
        cube, error, posterior, wcs = product.cube, product.error, product.posterior, None
        name = "the result"
    else:
        names = {"data": ("SCI",), "err": ("ERR",)}
        names |= {key: ("HIF" + value, value) for key, value in EXTENSIONS.items()}
        found = stored_arrays(product, names)
        cube, error, wcs, name = found["data"], found["err"], found.wcs, found.name
        known = found["posterior_samples"] is not None
        posterior = unpacked(found.arrays) if known and cube is not None else None
    if posterior is None:
        msg = (
            f"{name} has no posterior, which errors of sums need: fuse again, with errors = True "
            "(products of earlier versions have none)"
        )
        raise ValueError(msg)
    measure = linear_measure(mask, weights, cube.shape, wcs=wcs)
    return measure.answer(sum_errors(posterior, measure, cube, error))
