"""Errors of sums over oversampled exposures, whose neighbouring rows are correlated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_fusion.adaptive_trace_model.engine import TraceResult
from jwst_fusion.adaptive_trace_model.modes import find_mode, mode_of_name
from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.adaptive_trace_model.uncertainty import overlap_factor
from jwst_fusion.numerics.linear_measure import linear_measure
from jwst_fusion.numerics.stored_arrays import stored_arrays

__all__ = ["error_of"]

_TRANSPOSED = ("miri_mrs", "miri_lrs")  # geometries whose slits lie along x


@dataclass(frozen=True)
class _Rows:
    """Oversampled images (row, column), and how they were made."""

    error: np.ndarray
    slices: np.ndarray
    mode: object
    factor: float
    transposed: bool


def error_of(product, mask=None, weights=None, *, slit=None):
    r"""
    Error of a sum over pixels of an oversampled exposure.

    Oversampled rows are interpolated between native ones, so that neighbours share noise. ERR is
    the error for programs that take pixels for independent and average them into spaxels. As a
    pixel's own error it is too large, and so it is, taken for independent, in sums of one or two
    native rows; in sums of many it is too small by the factor for partial overlaps with spaxels.

    Parameters
    ----------
    product : str, `~pathlib.Path`, data model or TraceResult
        Exposure that the step has oversampled, or result of `oversample`.
    mask : array (Y, X), region, aperture, str, `~pathlib.Path`, optional
        Weight of each pixel of the image in the sum, of type bool or float; or a region of the
        package ``regions`` in pixels, a file of these, or an aperture of photutils. By default all
        pixels count once.
    weights : array (L,) or (n, L), optional
        Weight of each of the L detector columns along the dispersion (of MIRI: rows), of one sum or
        of several. By default each column is a sum of its own, as for a spectrum.
    slit : str, optional
        Name of the slit; needed if the exposure has several.

    Returns
    -------
    float or ndarray (n,) or (L,)
        1-sigma error of the sum over pixels of mask times SCI, over columns with their weights, in
        the unit of SCI. Pixels without data are left out; NaN where there is none.

    Raises
    ------
    TypeError
        If the product is no product, or mask or weights are of another type.
    ValueError
        If the product has not been oversampled or holds the model alone (``psf_optimal``), the
        slit is not known, or mask or weights do not fit.
    FileNotFoundError
        If a file does not exist.
    ImportError
        If a file of regions is given and ``regions`` is not installed.

    Notes
    -----
    With the linear interpolation L and native pixels of variance v, the covariance of the rows of a
    column is :math:`L\,\mathrm{diag}(v)\,L^T`, and each row of it has the sum r that ERR is made
    of. Here v is brought to the oversampled rows as r,

    .. math:: C_{qq'} = \sqrt{\frac{r_q r_{q'}}{s_q s_{q'}}}\,(L L^T)_{qq'}, \qquad
              s_q = \sum_{q'} (L L^T)_{qq'} .

    Without a trace this is exact where v changes slowly. With one, where the product is
    :math:`L f + d\,g^T f` (`~jwst_fusion.adaptive_trace_model.uncertainty`), the corrections d of
    the interpolated profile nearly cancel in sums, and r has what they change: errors of sums over
    1 to 90 rows on and beside a trace are 0.89 to 1.01 of those from the whole covariance. Columns
    are independent. The error of the profile itself is not included.
    """
    rows = _of_result(product) if isinstance(product, TraceResult) else _of_file(product, slit)
    image = rows.error.T if rows.transposed else rows.error
    weighed = linear_measure(mask, None, (1, *image.shape)).mask
    weighed = weighed.T if rows.transposed else weighed
    columns = rows.error.shape[1]
    measure = linear_measure(None, weights, (columns, 1, 1))
    used = np.isfinite(rows.error) & (weighed != 0)
    held = used.any(axis=0)
    variance = _column_variances(rows, weighed)
    if measure.weights is None:
        return np.where(held, np.sqrt(variance), np.nan)
    found = np.sqrt(measure.weights**2 @ variance)
    known = ((measure.weights != 0) & held).any(axis=1)
    return measure.answer(np.where(known, found, np.nan))


def _column_variances(rows, mask):
    """Variance (column,) of the sums over rows."""
    error, factor = rows.error, rows.factor
    valid = np.isfinite(error) & (rows.slices > 0)
    if not valid.any():
        return np.zeros(error.shape[1])
    size, columns = error.shape
    position = oversampled_position(np.arange(size), factor)
    owner = np.floor(position + 0.5).astype(np.intp)
    # the slice of each native pixel that holds data
    native = np.zeros((owner[-1] + 1, columns), rows.slices.dtype)
    np.maximum.at(native, owner, np.where(valid, rows.slices, 0))
    side = np.where(position >= owner, 1, -1)
    neighbour = np.clip(owner + side, 0, len(native) - 1)
    share = np.abs(position - owner)[:, None]
    share = np.where(native[neighbour] == rows.slices, share, 0.0) * valid
    own = np.where(valid, 1.0, 0.0) - share

    def back(values):
        """Transpose of the interpolation."""
        total = np.zeros(native.shape)
        np.add.at(total, owner, own * values)
        np.add.at(total, neighbour, share * values)
        return total

    coverage = back(np.ones(error.shape))
    sums = own * coverage[owner] + share * coverage[neighbour]
    overlap = np.ones(int(rows.slices.max()) + 1)
    for label in np.unique(rows.slices[valid]):
        overlap[label] = overlap_factor(factor, rows.mode.spaxel_size(int(label)))
    scale = np.sqrt(overlap[np.maximum(rows.slices, 0)] * np.where(sums > 0, sums, 1.0))
    amount = np.where(valid, error, 0.0) * mask / scale
    return (back(amount) ** 2).sum(axis=0)


def _of_result(result):
    mode = mode_of_name(result.mode)
    if result.psf_optimal:
        raise ValueError(_alone("the result"))
    return _Rows(result.error, result.slices, mode, result.oversample, transposed=False)


def _alone(name):
    return (
        f"{name} holds the trace model alone (psf_optimal): the rows of a column are one "
        "measurement, and their sum has no error of its own. Oversample without psf_optimal"
    )


def _of_file(product, slit):
    names = {"err": ("ERR",), "regions": ("REGIONS",)}
    file = stored_arrays(product, names, slit=slit)
    factor = file.keyword("TRCFACT", ("trace", "oversample"))
    if factor is None:
        msg = (
            f"{file.name} does not say how it was oversampled (keyword TRCFACT): it needs the step "
            "adaptive_trace_model of this version with oversample above 1"
        )
        raise ValueError(msg)
    if file.keyword("TRCPSF", ("trace", "psf_optimal")):
        raise ValueError(_alone(file.name))
    keys = (
        ("EXP_TYPE", ("exposure", "type")),
        ("DETECTOR", ("instrument", "detector")),
        ("GRATING", ("instrument", "grating")),
    )
    mode, reason = find_mode(*(file.keyword(*one) for one in keys))
    if mode is None:
        msg = f"{file.name}: {reason}"
        raise ValueError(msg)
    if file["err"] is None:
        msg = f"{file.name} has no errors (ERR)"
        raise ValueError(msg)
    error = np.asarray(file["err"], float)
    error = error.reshape(error.shape[-2:])
    regions = file["regions"]
    slices = np.ones(error.shape, int) if regions is None else np.asarray(regions, int)
    transposed = mode.geometry in _TRANSPOSED
    if transposed:
        error, slices = error.T, slices.T
    return _Rows(error, slices, mode, float(factor), transposed)
