"""One instrument's likelihood as a function of the coefficient maps of a spectral subspace."""

from __future__ import annotations

import numpy as np

from jwst_fusion.hifred.response.operators import apply, apply_right

__all__ = ["InstrumentLikelihood"]

_BLOCKS = 64_000_000  # elements of stored curvature blocks (0.5 GB); above, they are not stored


class InstrumentLikelihood:
    r"""
    Likelihood of the data of one instrument for :math:`Z = V W`.

    Parameters
    ----------
    likelihood : Poisson or Gaussian
        Data.
    response : Response
        Response.
    basis : ndarray (L, r)
        Spectra V that span the subspace.
    most_elements : int
        Largest number of elements of curvature blocks that are stored; beyond, the curvature is
        applied by factors.

    Notes
    -----
    With :math:`a_t = A_t V` and :math:`u_t = W B_t^T`, the model is :math:`\sum_t a_t u_t`:
    energies appear in the small matrices only. The curvature of a pixel q of the instrument is
    the block :math:`G_q = \sum_k h_{kq} a_k a_k^T` over the stacked terms, so that the products
    of conjugate gradients involve neither energies nor channels.
    """

    def __init__(self, likelihood, response, basis, *, most_elements=_BLOCKS):
        self.likelihood = likelihood
        self.terms = response.terms
        self.rank = basis.shape[1]
        spectra = [apply(t.spectral, basis[t.energies]) for t in self.terms]
        self.spectra = np.concatenate(spectra, axis=1)  # l, T * r
        stacked = self.spectra.shape[1]
        pixels = response.observed_shape[1] * response.observed_shape[2]
        few = pixels * stacked**2 <= most_elements
        self.blocked = stacked <= 2 * len(self.spectra) and few
        self._upper = np.triu_indices(stacked)
        self._products = None
        if self.blocked:
            i, j = self._upper
            self._products = self.spectra[:, i] * self.spectra[:, j]
        self.blocks = self.curvature = None

    def project(self, maps):
        """
        Bring maps to the pixels of the instrument.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        ndarray (T * r, m * n)
            The maps seen by the spatial matrix of each of T terms.
        """
        return np.concatenate([apply_right(t.spatial, maps) for t in self.terms])

    def _to_source(self, stacked):
        parts = np.split(stacked, len(self.terms))
        maps = zip(self.terms, parts, strict=True)
        return sum(apply_right(t.spatial_t, p) for t, p in maps)

    def back(self, values):
        """
        Adjoint of `signal`.

        Parameters
        ----------
        values : ndarray (l, m * n)
            Values in the data.

        Returns
        -------
        ndarray (r, M * N)
            What they give the coefficients.
        """
        return self._to_source(self.spectra.T @ values)

    def signal(self, maps):
        """
        Model of the data, without the background.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        ndarray (l, m * n)
            Expected data.
        """
        return self.spectra @ self.project(maps)

    def local(self, maps):
        """
        Value, gradient and curvature at maps.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        value : float
            Negative log-likelihood.
        gradient : ndarray (r, M * N)
            Its gradient.
        curvature : ndarray (l, m * n)
            Second derivatives with respect to the model, for `freeze`.
        """
        value, slope, curvature = self.likelihood.local(self.signal(maps))
        return value, self._to_source(self.spectra.T @ slope), curvature

    def freeze(self, curvature):
        """
        Fix the curvature of the model's values.

        Parameters
        ----------
        curvature : ndarray (l, m * n)
            Second derivatives with respect to the model.
        """
        self.curvature = np.broadcast_to(curvature, self.likelihood.data.shape)
        if self.blocked:
            self.blocks = self._full(self.curvature)

    def _full(self, curvature):
        """Blocks (m * n, T * r, T * r)."""
        i, j = self._upper
        half = curvature.T @ self._products
        n = self.spectra.shape[1]
        blocks = np.empty((half.shape[0], n, n))
        blocks[:, i, j] = half
        blocks[:, j, i] = half
        return blocks

    def hessian(self, maps):
        """
        Product of the curvature, as fixed by `freeze`, with maps.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        ndarray (r, M * N)
            The product.
        """
        projected = self.project(maps)
        if self.blocked:
            out = np.matmul(self.blocks, projected.T[:, :, None])[:, :, 0].T
        else:
            out = self.spectra.T @ (self.curvature * (self.spectra @ projected))
        return self._to_source(out)

    def sample(self, rng):
        """
        Draw noise whose covariance is the curvature, as fixed by `freeze`.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray (r, M * N)
            One sample.
        """
        noise = np.sqrt(self.curvature) * rng.standard_normal(self.curvature.shape)
        return self._to_source(self.spectra.T @ noise)

    def diagonal_blocks(self):
        """Blocks (M * N, r, r) of the curvature that couple a pixel with itself."""
        r, total = self.rank, 0.0
        for s, one in enumerate(self.terms):
            for t, other in enumerate(self.terms):
                a, b = (slice(k * r, (k + 1) * r) for k in (s, t))
                if self.blocked:
                    blocks = self.blocks[:, a, b]
                else:
                    product = self.spectra[:, a][:, :, None] * self.spectra[:, b][:, None, :]
                    blocks = (self.curvature.T @ product.reshape(len(product), -1)).reshape(
                        -1, r, r
                    )
                total = total + _squared_back(one, other, blocks)
        return total


def _squared_back(one, other, blocks):
    """Sum over pixels q of B_s[q, p] B_t[q, p] blocks[q]."""
    if one.spatial is None and other.spatial is None:
        return blocks
    if one.spatial is not None and one.spatial.ndim == 1:
        return (one.spatial * other.spatial)[:, None, None] * blocks
    square = (one.spatial * other.spatial).T
    return (square @ blocks.reshape(len(blocks), -1)).reshape(-1, *blocks.shape[1:])
