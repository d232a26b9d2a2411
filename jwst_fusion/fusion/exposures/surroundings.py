"""Light beyond the data, which they see in the wings of their PSF only."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

__all__ = ["Surroundings"]

# Fine pixels between the nodes of what is found of the light beyond the data: it is smooth there.
_NODES = 4.0
# Of the typical density of pixels: where there is less, the prior says what the scene is.
_DARK = 0.1
# Of the information on a node, what is added to it: nodes that see the same pixels share alike.
_RIDGE = 1e-13


class Surroundings:
    """
    The part of a domain that has no data, and the light that a scene is expected to have there.

    A linear solve whose preconditioner takes pixels to be everywhere leaves the light beyond them
    where it was: it would take hundreds of iterations to get there. What comes from there in the
    wings of the PSF would then be made up for within.

    Parameters
    ----------
    grid : Grid
        Periodic domain, of factor one.
    densities : list of array (rows, columns)
        Density of the pixels of each set of data.
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
        self._smooth, self._turned = smooth, smooth.T.tocsr()
        normal = (self._turned @ (laplacian @ smooth)).tocsc()
        try:
            self._solver = splu(normal)
        except RuntimeError:
            # Nodes around a gap of a few pixels see the same ones and cannot be told apart.
            self._solver = splu((normal + sp.diags_array(_RIDGE * normal.diagonal())).tocsc())
        self._power = grid.gradient_power()[:, :, None]

    def continued(self, groups):
        r"""
        Continue a scene beyond the data as a prior of gradients expects it.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups of the diffuse scene.

        Returns
        -------
        array (group, 1, k)
            What is to be added.

        Notes
        -----
        On smooth functions U beyond the data, with the Laplacian L, it is
        :math:`-U (U^T L U)^{-1} U^T L z`: the least sum of squared gradients, whatever the weight.
        """
        if self._solver is None:
            return np.zeros_like(groups)
        grid = self.grid
        seen = (
            self._turned
            @ grid.synthesise_coarse((self._power * groups)[:, 0]).reshape(groups.shape[2], -1).T
        )
        found = np.ascontiguousarray(-(self._smooth @ self._solver.solve(seen)).T)
        return grid.analyse_coarse(found.reshape(-1, *grid.shape))[:, None]


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
