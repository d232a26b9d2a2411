"""Light beyond the data, which they see in the wings of their PSF only, for a preconditioner."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

__all__ = ["SurroundingsPreconditioner"]

# Fine pixels between the nodes of what is found of the light beyond the data: it is smooth there.
_NODES = 4.0
# Of the typical density of pixels: where there is less, the prior says what the scene is.
_DARK = 0.1


class SurroundingsPreconditioner:
    r"""
    Preconditioner of a problem whose data end before its domain does.

    One that takes pixels to be everywhere leaves the light beyond them where it was: it would take
    hundreds of iterations to get there. What comes from there in the wings of the PSF would then be
    made up for within.

    Parameters
    ----------
    precondition : callable
        Inverse of the system if pixels were everywhere.
    grid : Grid
        Periodic domain, of factor one.
    densities : list of array (rows, columns)
        Density of the pixels of each set of data.
    strength : array (group, 1, k)
        Prior of the diffuse scene at every frequency, its weight times the squared gradient.
    mu : array (k,)
        That weight.

    Notes
    -----
    Where there are no data, the normal matrix Q is nearly the prior :math:`\mu L` with the
    Laplacian L. On smooth functions U beyond the data it is inverted as such:

    .. math:: T = U (U^T \mu L U)^{-1} U^T, \quad
              M^{-1} = T + (1 - T \mu L) B^{-1} (1 - \mu L T)

    with the given inverse :math:`B^{-1}` (balancing; Tang, Nabben, Vuik & Erlangga 2009, Journal of
    Scientific Computing 39, 340). What :math:`B^{-1}` changes within is continued beyond as the
    prior expects it.
    """

    def __init__(self, precondition, grid, densities, strength, mu):
        self.precondition, self.grid = precondition, grid
        self.strength, self.mu = strength, np.asarray(mu, float)
        dark = np.ones(grid.shape, bool)
        for one in densities:
            dark &= one <= _DARK * np.sum(one**2) / max(one.sum(), np.finfo(float).tiny)
        dark = dark.ravel()
        self._solver = None
        if not dark.any() or dark.all():
            return
        smooth = sp.kron(*(_hats(size) for size in grid.shape), format="csr")
        smooth = sp.diags_array(dark.astype(float)) @ smooth
        smooth = smooth[:, np.flatnonzero(np.asarray(smooth.sum(0)).ravel() > 0)].tocsr()
        rows, columns = (_second_difference(size) for size in grid.shape)
        laplacian = sp.kron(rows, sp.eye_array(grid.shape[1]))
        laplacian = laplacian + sp.kron(sp.eye_array(grid.shape[0]), columns)
        self._smooth, self._turned = smooth, smooth.T.tocsr()
        self._solver = splu((self._turned @ (laplacian @ smooth)).tocsc())

    def _beyond(self, groups):
        """Apply T: what the prior makes of groups on smooth functions beyond the data."""
        maps = self.grid.synthesise_coarse(groups[:, 0])
        flat = maps.reshape(len(maps), -1).T
        found = self._smooth @ self._solver.solve(self._turned @ flat)
        found = self.grid.analyse_coarse(np.ascontiguousarray(found.T).reshape(maps.shape))
        return found[:, None] / self.mu

    def __call__(self, groups):
        """
        Apply it.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.

        Returns
        -------
        array (group, 1, k)
            Component groups.
        """
        if self._solver is None:
            return self.precondition(groups)
        beyond = self._beyond(groups)
        within = self.precondition(groups - self.strength * beyond)
        return beyond + within - self._beyond(self.strength * within)


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
