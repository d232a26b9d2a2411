"""Spectra by least squares on the detector pixels, for given maps."""

from dataclasses import replace

import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp

__all__ = ["refine_spectra"]

_TAPS = 4  # knots of a cubic B-spline that know of each other
# Of the mean information on a component that every knot is given: knots that no pixel sees stay.
_RIDGE = 1e-4


def refine_spectra(spectra, data, groups, *, covariance=None):
    r"""
    Fit mean and basis spectra to all pixels, with the maps as they are.

    Parameters
    ----------
    spectra : SplineSpectra
        Present spectra, from which those that come out differ where pixels say so.
    data : list of PixelData
        Exposures; images say little of single channels and are left out by the caller.
    groups : array (group, 1, k)
        Component groups of the scene.
    covariance : array (group, 1, k, k), optional
        Posterior covariance of the groups; none by default.

    Returns
    -------
    spectra : SplineSpectra
        Spectra of the same rank.
    covariance : array (knots, k + 1, k + 1)
        Covariance of mean and basis around every knot, from the pixels that it has.

    Notes
    -----
    With :math:`S_{ik} = \sum_r w_r(\lambda_i) (h_r * Z_k)(x_i)`, and S = 1 for the mean, minimise

    .. math:: \sum_i W_i \Big(y_i - \sum_{kj} c_{kj} B_j(\lambda_i) S_{ik}\Big)^2

    over the coefficients c of cubic B-splines, with two knots per channel unless the axis says
    otherwise: a banded system, as splines four knots apart never meet. Dithers and tilted slices
    sample the line-spread function finer than one pixel does. With the posterior covariance of the
    maps the expectation of the misfit over the posterior is minimised: :math:`S_k S_l` becomes
    :math:`S_k S_l + \mathrm{cov}(S_k, S_l)` (variational principal components, Bishop 1999, Proc.
    ICANN 1, 509). Spectra of maps that are mostly noise shrink, where least squares would fit noise
    of the pixels by noise of the maps.
    """
    rank, knots = spectra.rank + 1, spectra.axis.knots
    upper = np.triu_indices(rank)
    table = np.concatenate([spectra.mean[:, None], spectra.basis], axis=1)
    pairs = [(a, b) for a in range(_TAPS) for b in range(a, _TAPS)]
    sums = np.zeros((len(pairs) * knots, len(upper[0])))
    rhs = np.zeros((knots, rank))
    for one in data:
        weights = one.weights
        spread = np.zeros((rank, rank))
        if covariance is not None:
            spread[1:, 1:] = one.operator.variance(covariance)
        for part, matrix, seen in one.operator.components(groups):
            regressors = np.concatenate([np.ones((len(seen), 1), np.float32), seen], axis=1)
            weight = weights[part]
            model = np.einsum("nk,nk->n", matrix @ table.astype(np.float32), regressors)
            left = (one.values[part] - model) * weight
            rhs += matrix.T @ (regressors * left[:, None])
            rhs -= matrix.T @ ((matrix @ table) @ spread * weight[:, None])
            taps = matrix.data.reshape(-1, _TAPS)
            first = matrix.indices[::_TAPS]
            products = np.stack([taps[:, a] * taps[:, b] * weight for a, b in pairs], axis=1)
            index = first[:, None] + knots * np.arange(len(pairs), dtype=first.dtype)
            start = np.arange(0, len(pairs) * len(first) + 1, len(pairs))
            shares = sp.csr_array(
                (products.ravel(), index.ravel(), start), shape=(len(first), len(sums))
            )
            squares = regressors[:, upper[0]] * regressors[:, upper[1]] + spread[upper]
            sums += shares.T @ squares
    blocks = _blocks(sums.reshape(len(pairs), knots, -1), pairs, upper, rank)
    band = _banded(blocks)
    band[0] += np.tile(_RIDGE * band[0].reshape(knots, rank).mean(0), knots)
    change = sla.solveh_banded(band, rhs.ravel(), lower=True).reshape(knots, rank)
    table = table + change
    found = replace(spectra, mean=table[:, 0], basis=table[:, 1:])
    return found, _around_knots(blocks)


def _around_knots(blocks):
    """Inverse of the information of every knot: splines vary as one value per knot would."""
    total = blocks[0].copy()
    for offset in range(1, _TAPS):
        total[:-offset] += blocks[offset, :-offset]
        total[offset:] += blocks[offset, :-offset].transpose(0, 2, 1)
    diagonal = np.einsum("jkk->jk", total)
    ridge = _RIDGE * diagonal.mean(0)
    return np.linalg.inv(total + ridge[:, None] * np.eye(len(ridge)))


def _blocks(sums, pairs, upper, rank):
    """Blocks of the normal matrix of knots up to three apart, (offset, knot, k + 1, k + 1)."""
    knots = sums.shape[1]
    blocks = np.zeros((_TAPS, knots, rank, rank))
    for one, (a, b) in zip(sums, pairs, strict=True):
        full = np.zeros((knots, rank, rank))
        full[:, upper[0], upper[1]] = one
        full[:, upper[1], upper[0]] = one
        # Sums stand at the first of the four knots; the pair's lower knot is `a` further on.
        blocks[b - a, a:] += full[: knots - a]
    return blocks


def _banded(blocks):
    """Normal matrix of the coefficients (knot, component) in lower banded form."""
    _, knots, rank, _ = blocks.shape
    band = np.zeros((_TAPS * rank, knots * rank))
    for offset in range(_TAPS):
        for p in range(rank):
            for q in range(rank):
                below = offset * rank + q - p
                if 0 <= below < len(band):
                    at = np.arange(knots - offset)
                    band[below, at * rank + p] = blocks[offset, at, p, q]
    return band
