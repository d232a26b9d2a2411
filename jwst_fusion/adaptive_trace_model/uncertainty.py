r"""Variances of oversampled pixels, derived from the covariance of the combined estimate.

In one column, the oversampled fluxes are linear in the native fluxes :math:`f` for a given profile,

.. math:: F_q = \sum_i A_{qi} f_i, \qquad A = L + d\,g^T,

with the linear interpolation :math:`L`, the gain :math:`g = \partial S / \partial f` of the scale
of the trace, and :math:`d_q = t_q\,(p_q - (L p)_q)`, the correction of the interpolated profile by
the profile itself (:math:`t_q` is the weight of the model). Their covariance is
:math:`C = A\,\mathrm{diag}(\sigma^2)\,A^T`.

Programs that combine the pixels, ``cube_build`` among them, take them for independent. The variance
to give them is the one with which the sum over a slice gets the variance that it truly has: the row
sum :math:`\sum_{q'} C_{qq'}`. For photon noise and a bright trace this is the photon noise that a
pixel at the oversampled position would have had; without a trace it is ``factor`` times the
interpolated native variance.

A spaxel averages a few pixels with partial overlaps. For independent pixels of size h and variance
v, and spaxels of size s (in native pixels), the variance of the average is, in the mean over all
phases, :math:`v\,h\,(s - h/3) / s^2` for :math:`h \le s`. With native pixels (h = s = 1) that is
2/3 v: their cubes are smoothed and correlated. With the row sums, :math:`v \propto 1/h`, it tends
to v. So that the errors of a spaxel do not depend on the oversampling, the row sums are multiplied
with the ratio of the two. As in cubes from native pixels, errors of sums over many spaxels that are
taken for independent then come out too small, by a factor of about the square root of 2/3.
"""

import numpy as np

__all__ = ["overlap_factor", "propagate_model", "propagate_variances"]


def overlap_factor(factor, spaxel=1.0):
    """
    Ratio by which partial overlaps lower a spaxel's error, native against oversampled pixels.

    Parameters
    ----------
    factor : float
        Oversampling factor, at least 1.
    spaxel : float, optional
        Size of a spaxel along the slit in native pixels.

    Returns
    -------
    float
        1 for `factor` 1, falling to 2/3 for large factors if `spaxel` is 1.
    """

    def mean_squared_overlap(pixel):
        small, large = min(pixel, spaxel), max(pixel, spaxel)
        return small**2 * (large - small / 3) / pixel

    native = mean_squared_overlap(1.0)
    return native / (factor * mean_squared_overlap(1.0 / factor))


def propagate_variances(variances, interpolation, gain, correction, valid, *, overlap):
    """
    Variances of oversampled pixels that account for their covariance.

    Parameters
    ----------
    variances : dict of str to ndarray
        Variances of the native pixels, shape ``(column, row)``; finite and not negative.
    interpolation : LinearInterpolation
        From native to oversampled rows.
    gain : ndarray or None
        Derivative of the scale of the trace to the native fluxes, shape ``(column, row)``; `None`
        without a trace.
    correction : ndarray or None
        Derivative of the oversampled fluxes to the scale, shape ``(column, oversampled row)``.
    valid : ndarray of bool
        Oversampled pixels that carry a flux, shape ``(column, oversampled row)``.
    overlap : float
        From `overlap_factor`.

    Returns
    -------
    dict of str to ndarray
        Variances, shape ``(column, oversampled row)``. They are at least the pixel's own variance.
    """
    coverage = interpolation.adjoint(valid.astype(float))
    if gain is not None:
        total = np.sum(correction, axis=1, keepdims=True, where=valid)
    result = {}
    for name, variance in variances.items():
        row_sum = interpolation.apply(coverage * variance)
        own = interpolation.apply_squared(variance)
        if gain is not None:
            weighted = gain * variance
            cross = interpolation.apply(weighted)
            scale_variance = np.sum(gain * weighted, axis=1, keepdims=True)
            with_scale = np.sum(coverage * weighted, axis=1, keepdims=True)
            row_sum += total * cross
            row_sum += correction * (with_scale + total * scale_variance)
            own += correction * (2 * cross + correction * scale_variance)
        row_sum *= overlap
        result[name] = np.maximum(row_sum, own, out=own)
    return result


def propagate_model(variance, gains, shapes, *, overlap):
    r"""
    Variances of oversampled pixels that hold the model alone, :math:`F = \sum_k d_k\,(g_k f)`.

    Parameters
    ----------
    variance : ndarray
        Variances of the native pixels, shape ``(column, row)``; finite and not negative.
    gains : ndarray
        Derivatives :math:`g_k` of scale, level and slope to the native fluxes, shape
        ``(k, column, row)``.
    shapes : ndarray
        What they are multiplied with: the profile, one, and the position along the slit; shape
        ``(k, column, oversampled row)``, 0 at pixels that do not hold the model.
    overlap : float
        From `overlap_factor`.

    Returns
    -------
    ndarray
        Variances, shape ``(column, oversampled row)``.
    """
    covariance = np.einsum("kcr,lcr->klc", gains * variance, gains)
    with_all = np.einsum("klc,lc->kc", covariance, np.sum(shapes, axis=2))
    row_sum = np.einsum("kcq,kc->cq", shapes, with_all)
    own = np.einsum("kcq,klc,lcq->cq", shapes, covariance, shapes, optimize=True)
    return np.maximum(overlap * row_sum, own)
