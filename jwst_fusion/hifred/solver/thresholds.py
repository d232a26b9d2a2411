"""Noise of the starlet coefficients of a likelihood's gradient: the scale of their thresholds."""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["gradient_noise"]

# Energies between two terms of a response beyond which no starlet is taken to reach both: exact for
# up to three scales, whose starlets end 14 energies from their middle.
_APART = 2**5


def gradient_noise(starlet, likelihoods, responses, models):
    r"""
    Standard deviation of the starlet coefficients of the gradient of all likelihoods.

    Parameters
    ----------
    starlet : Starlet2D1D
        Transform.
    likelihoods : list of Poisson or Gaussian
        Data of each instrument.
    responses : list of Response
        Their responses.
    models : list of ndarray (l, m * n)
        Models, without background, at which the noise is taken.

    Returns
    -------
    list of ndarray (L, M, N) of float32
        For each band b, the square root of
        :math:`\sum_i (W_b K^T)_{\cdot i}^2 \operatorname{Var}(\partial L / \partial m_i)`.

    Notes
    -----
    A coefficient stays zero while the dual variable outweighs the gradient's coefficient, so that
    a threshold of :math:`\kappa` of these lets :math:`\kappa` sigma of noise pass for significant.
    The variance of the gradient of a datum is its Fisher information. Space and energy separate,
    and the squares are those of small matrices, so that no simulation is needed.
    """
    shape = starlet.shape
    lines = [sparse.csr_array(m.astype(np.float32)) for m in starlet.spectra.matrices()]
    images = [m.astype(np.float32) for m in starlet.images.matrices()]
    out = [np.zeros((shape[0], shape[1] * shape[2]), np.float32) for _ in starlet.bands]
    for likelihood, response, model in zip(likelihoods, responses, models, strict=True):
        fisher = np.ascontiguousarray(likelihood.expected_curvature(model), dtype=np.float32)
        for s, one in enumerate(response.terms):
            for other in response.terms[s:]:
                if (
                    other.energies.start >= one.energies.stop + _APART
                    or one.energies.start >= other.energies.stop + _APART
                ):
                    continue
                twice = 1.0 if one is other else 2.0
                spectral = [_product(line, one, other, shape[0]) for line in lines]
                for a, image in enumerate(images):
                    p = _spatial(image, one.spatial)
                    q = p if one is other else _spatial(image, other.spatial)
                    spread = (fisher @ (p * q).T) * np.float32(twice)
                    for b, square in enumerate(spectral):
                        if (a, b) in starlet.bands:
                            out[a * len(lines) + b] += square @ spread
    return [np.sqrt(np.maximum(one, 0.0)).reshape(shape) for one in out]


def _spatial(image, matrix):
    """W B^T as a full matrix."""
    if matrix is None:
        return image
    if matrix.ndim == 1:
        return image * matrix.astype(np.float32)
    if sparse.issparse(matrix):
        return np.asarray((matrix.astype(np.float32) @ image.T).T)
    return image @ matrix.astype(np.float32).T


def _product(line, one, other, size):
    """Elementwise product of W A_s^T and W A_t^T."""

    def folded(term):
        part = line[:, term.energies]
        matrix = term.spectral
        if matrix is None:
            return part
        if matrix.ndim == 1:
            return part @ sparse.diags_array(matrix.astype(np.float32))
        return part @ (matrix.T.astype(np.float32))

    a = folded(one)
    b = a if one is other else folded(other)
    if sparse.issparse(a) and sparse.issparse(b):
        return sparse.csr_array(a.multiply(b))
    full = [m.toarray() if sparse.issparse(m) else m for m in (a, b)]
    return full[0] * full[1]
