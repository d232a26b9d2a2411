"""The two instruments as linear operators on component maps.

These are the operator and its exact adjoint, for maps and for their groups in the Fourier plane.
The scene is ``X = mean + V Z`` with component maps ``Z (k, y, x)`` on the fine (imager) grid. Both
operators act on a periodic domain, grouped so that the ``d * d`` fine frequencies that alias onto
one coarse frequency lie side by side. Images are (y, x), cubes (wavelength, y, x).
"""

from __future__ import annotations

import numpy as np

__all__ = ["Imager", "Spectrometer"]


class Imager:
    r"""Imager: wavelength-dependent blur, then one or more spectral sums.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    psf : ndarray (R, m, m)
        Point spread functions at the wavelength nodes.
    mixing : ndarray (n, R, k)
        Contribution of component a seen with PSF r to image n.

    Notes
    -----
    .. math:: y_n = \sum_{ra} M_{nra} (h_r * z_a), \quad
              (A^T y)_a = \sum_{nr} M_{nra} (\tilde h_r * y_n)

    with :math:`\tilde h(x) = h(-x)`. Equation 4 of Marquis et al. 2026 restricted to the subspace.
    """

    def __init__(self, grid, psf, mixing):
        self.grid = grid
        count, nodes, rank = mixing.shape
        otf = grid.group(grid.otf(psf))
        table = mixing.transpose(1, 0, 2).reshape(nodes, count * rank)
        self.transfer = (otf @ table).reshape(grid.groups, grid.aliases, count, rank)

    def forward_groups(self, groups):
        """Images of component groups, both in the Fourier plane.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, d * d, n)
            Groups of the images.
        """
        return (self.transfer @ groups[..., None])[..., 0]

    def adjoint_groups(self, groups):
        """Apply the adjoint in the Fourier plane.

        Parameters
        ----------
        groups : ndarray (group, d * d, n)
            Groups of images.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups.
        """
        return (groups[..., None, :].conj() @ self.transfer)[..., 0, :].conj()

    def forward(self, maps):
        """Images of component maps.

        Parameters
        ----------
        maps : ndarray (k, Y, X)
            Component maps.

        Returns
        -------
        ndarray (n, Y, X)
            The images.
        """
        return self.grid.synthesise(self.forward_groups(self.grid.analyse(maps)))

    def adjoint(self, images):
        """Apply the adjoint.

        Parameters
        ----------
        images : ndarray (n, Y, X)
            Images.

        Returns
        -------
        ndarray (k, Y, X)
            Component maps.
        """
        return self.grid.synthesise(self.adjoint_groups(self.grid.analyse(images)))


class Spectrometer:
    r"""Spectrometer: wavelength-dependent blur, then sampling at the spaxel centres.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    psf : ndarray (R, m, m)
        Point spread functions at the wavelength nodes, on the fine grid.
    mixing : ndarray (n, R, k)
        Contribution of component a seen with PSF r to output row n (a channel, or a combination).

    Notes
    -----
    .. math:: y_n = S \sum_{ra} M_{nra} (h_r * z_a)

    where S takes the value at fine index d i + (d - 1) / 2. Equation 5 of Marquis et al. 2026
    restricted to the subspace. Sampling sums the aliased frequencies, divided by d.
    """

    def __init__(self, grid, psf, mixing):
        self.grid = grid
        self.rows, self.nodes, self.rank = mixing.shape
        self.reach = max(psf.shape[1:]) // 2  # fine pixels over which a point spreads
        self.mixing = mixing.reshape(self.rows, -1)
        transfer = grid.group(grid.otf(psf) * (grid.sampling_phase() / grid.factor))
        self.transfer = np.ascontiguousarray(transfer.transpose(0, 2, 1))  # group, node, alias

    def forward_groups(self, groups):
        """Sampled rows of component groups, both in the Fourier plane.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, n)
            Fourier coefficients of the sampled rows.
        """
        folded = self.transfer @ groups
        return folded.reshape(len(groups), -1) @ self.mixing.T

    def adjoint_groups(self, coarse):
        """Apply the adjoint in the Fourier plane.

        Parameters
        ----------
        coarse : ndarray (group, n)
            Fourier coefficients of sampled rows.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups.
        """
        spread = (coarse @ self.mixing).reshape(-1, self.nodes, self.rank)
        return self.transfer.conj().transpose(0, 2, 1) @ spread

    def forward(self, maps):
        """Sampled rows of component maps.

        Parameters
        ----------
        maps : ndarray (k, Y, X)
            Component maps.

        Returns
        -------
        ndarray (n, h, w)
            One value per row and spaxel.
        """
        return self.grid.synthesise_coarse(self.forward_groups(self.grid.analyse(maps)))

    def adjoint(self, rows):
        """Apply the adjoint.

        Parameters
        ----------
        rows : ndarray (n, h, w)
            Sampled rows.

        Returns
        -------
        ndarray (k, Y, X)
            Component maps.
        """
        return self.grid.synthesise(self.adjoint_groups(self.grid.analyse_coarse(rows)))

    def blocks(self, start, stop):
        """Write the operator as one matrix per group.

        Parameters
        ----------
        start, stop : int
            First group, and the one after the last.

        Returns
        -------
        ndarray (stop - start, n, d * d * k)
            The matrices; the column of alias b and component a is ``b * k + a``.
        """
        transfer = self.transfer[start:stop]
        table = self.mixing.reshape(self.rows, self.nodes, self.rank).transpose(1, 0, 2)
        product = transfer.transpose(0, 2, 1) @ table.reshape(self.nodes, -1)
        shape = (len(transfer), self.grid.aliases, self.rows, self.rank)
        return product.reshape(shape).transpose(0, 2, 1, 3).reshape(len(transfer), self.rows, -1)
