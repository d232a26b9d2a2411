"""Light beyond the data, which they see in the wings of their PSF only, for a preconditioner."""

import numpy as np
import scipy.fft as sf
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from jwst_fusion.fusion.exposures.operator import half_plane, to_groups

__all__ = ["Surroundings"]

# Fine pixels between the nodes of what is found of the light beyond the data: it is smooth there.
_NODES = 4.0
# Of the typical density of pixels: where there is less, the prior says what the scene is.
_DARK = 0.1


class Surroundings:
    r"""
    The part of a domain that has no data, and preconditioners that know of it.

    A preconditioner that takes pixels to be everywhere leaves the light beyond them where it was:
    it would take hundreds of iterations to get there. What comes from there in the wings of the PSF
    would then be made up for within.

    Parameters
    ----------
    grid : Grid
        Periodic domain, of factor one.
    densities : list of array (rows, columns)
        Density of the pixels of each set of data.

    Notes
    -----
    Where there are no data, the normal matrix Q is nearly the prior :math:`\mu L` with the
    Laplacian L. On smooth functions U beyond the data it is inverted as such:

    .. math:: T = U (U^T \mu L U)^{-1} U^T, \quad
              M^{-1} = T + (1 - T \mu L) B^{-1} (1 - \mu L T)

    with a given inverse :math:`B^{-1}` (balancing; Tang, Nabben, Vuik & Erlangga 2009, Journal of
    Scientific Computing 39, 340). What :math:`B^{-1}` changes within is continued beyond as the
    prior expects it.
    """

    def __init__(self, grid, densities):
        self.grid, self._solver = grid, None
        dark = np.ones(grid.shape, bool)
        for one in densities:
            dark &= one <= _DARK * np.sum(one**2) / max(one.sum(), np.finfo(float).tiny)
        dark = dark.ravel()
        if not dark.any() or dark.all():
            return
        smooth = sp.kron(*(_hats(size) for size in grid.shape), format="csr")
        smooth = sp.diags_array(dark.astype(float)) @ smooth
        smooth = smooth[:, np.flatnonzero(np.asarray(smooth.sum(0)).ravel() > 0)].tocsr()
        rows, columns = (_second_difference(size) for size in grid.shape)
        laplacian = sp.kron(rows, sp.eye_array(grid.shape[1]))
        laplacian = laplacian + sp.kron(sp.eye_array(grid.shape[0]), columns)
        self._solver = splu((smooth.T @ (laplacian @ smooth)).tocsc())
        self._smooth = smooth.astype(np.float32)
        self._turned = self._smooth.T.tocsr()

    def preconditioner(self, precondition, strength, mu):
        """
        Make a preconditioner.

        Parameters
        ----------
        precondition : callable
            Inverse of the system if pixels were everywhere, of component groups.
        strength : array (group, 1, k)
            Prior of the diffuse scene at every frequency, its weight times the squared gradient.
        mu : array (k,)
            That weight.

        Returns
        -------
        callable
            From component groups (group, 1, k) to component groups.
        """
        if self._solver is None:
            return precondition

        def settled(groups):
            beyond = self._beyond(groups) / mu
            within = precondition(groups - strength * beyond)
            return beyond + within - self._beyond(strength * within) / mu

        return settled

    def _beyond(self, groups):
        """Invert the Laplacian on smooth functions beyond the data."""
        grid = self.grid
        spectra = half_plane(grid, groups.astype(np.complex64))
        maps = sf.irfft2(spectra, grid.shape, norm="ortho")
        seen = self._turned @ maps.reshape(len(maps), -1).T
        found = self._smooth @ self._solver.solve(seen.astype(float)).astype(np.float32)
        found = np.ascontiguousarray(found.T).reshape(maps.shape)
        return to_groups(sf.rfft2(found, norm="ortho"))


def _hats(size):
    """Matrix (size, n) of periodic linear splines on nodes that are evenly spread."""
    count = max(round(size / _NODES), 1)
    at = np.arange(size) * (count / size)
    first = np.floor(at).astype(int)
    share = at - first
    index = np.arange(size)
    values = np.concatenate([1 - share, share])
    places = np.concatenate([index, index]), np.concatenate([first, first + 1]) % count
    return sp.csr_array((values, places), shape=(size, count))


def _second_difference(size):
    """Matrix (size, size) of minus the second differences on a ring."""
    index = np.arange(size)
    ones = np.ones(size)
    ahead = sp.csr_array((ones, (index, (index + 1) % size)), shape=(size, size))
    return 2 * sp.eye_array(size) - ahead - ahead.T
