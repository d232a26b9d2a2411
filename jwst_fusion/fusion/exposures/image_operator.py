"""Images at their native pixels as a linear operator on component maps, and its adjoint."""

from itertools import pairwise

import numpy as np

from jwst_fusion.fusion.exposures.operator import half_plane, psf_modes, to_groups
from jwst_fusion.fusion.exposures.sampling import FineSampler
from jwst_fusion.fusion.solver.operators import Imager

__all__ = ["ImageOperator"]


class ImageOperator:
    """
    Images through filters, each at the positions of its own pixels.

    Blur and filter are those of `~jwst_fusion.fusion.solver.operators.Imager`; what is seen is then
    sampled where the pixels are, so that no image is resampled. Images may have structure up to the
    highest frequency of the fine grid: splines take their samples of maps that are twice as fine.

    Parameters
    ----------
    grid : Grid
        Periodic domain, of factor one.
    psf : `~jwst_fusion.psf.PsfCube`
        PSFs of optics and pixel, on the fine grid.
    axis : ChannelAxis
        Channels and knots of the spectra.
    responses : array (n, L)
        Weights of the channels in every image.
    positions : list of tuple of array
        Columns x and rows y of the pixels of every image on the domain, flat arrays.

    Attributes
    ----------
    parts : list of slice
        Where the pixels of each image stand in a vector of pixels.
    size : int
        Number of all of them.
    source : None
        All pixels are seen, in the order in which they are given.
    """

    source = None

    def __init__(self, grid, psf, axis, responses, positions):
        self.grid, self.axis, self.responses = grid, axis, np.asarray(responses, float)
        self.psf, self._nodes = psf_modes(psf, axis.wavelength)
        self._samplers = [FineSampler(grid.shape, x, y) for x, y in positions]
        # Blur and filter have been applied before.
        unit = np.ones((1, grid.rows, grid.half))
        self._units = [one.transfer(unit) for one in self._samplers]
        ends = np.cumsum([0, *(len(x) for x, _ in positions)])
        self.parts = [slice(*pair) for pair in pairwise(ends)]
        self.size = int(ends[-1])

    def set_spectra(self, spectra):
        """
        Take basis spectra.

        Parameters
        ----------
        spectra : SplineSpectra
            On the same channels; the mean is not part of the operator.
        """
        basis = spectra.at(self.axis.wavelength)[1]
        mixing = np.einsum("nl,lr,lk->nrk", self.responses, self._nodes, basis, optimize=True)
        self.imager = Imager(self.grid, self.psf, mixing)
        self.rank = spectra.rank

    def forward(self, groups, factors=None):
        """
        Light of component maps in every pixel.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.
        factors : array (rows, columns // 2 + 1), optional
            Transfer function that the maps pass before, as that of a derivative.

        Returns
        -------
        array (size,)
            Pixels of all images, single precision.
        """
        grid = self.grid
        spectra = half_plane(grid, self.imager.forward_groups(groups))
        if factors is not None:
            spectra *= factors
        values = np.empty(self.size, np.float32)
        for part, sampler, unit, spectrum in zip(
            self.parts, self._samplers, self._units, spectra, strict=True
        ):
            values[part] = sampler.taps @ sampler.maps(spectrum, unit)[0]
        return values

    def adjoint(self, values):
        """
        Apply the adjoint, tap for tap.

        Parameters
        ----------
        values : array (size,)
            Values of the pixels.

        Returns
        -------
        array (group, 1, k)
            Component groups.
        """
        values = np.asarray(values, np.float32)
        spectra = np.array(
            [
                sampler.spectrum((sampler.transposed @ values[part])[None], unit)
                for part, sampler, unit in zip(self.parts, self._samplers, self._units, strict=True)
            ]
        ).astype(complex)
        return self.imager.adjoint_groups(to_groups(spectra))

    def mean(self, spectra):
        """
        Light of the mean spectrum in every pixel.

        Parameters
        ----------
        spectra : SplineSpectra
            On the same channels.

        Returns
        -------
        array (size,)
            MJy/sr.
        """
        level = self.responses @ spectra.at(self.axis.wavelength)[0]
        return np.repeat(level, [part.stop - part.start for part in self.parts])

    def gram(self, weights, area):
        """
        Blocks of the normal matrix for pixels spread evenly over an area.

        Parameters
        ----------
        weights : array (size,)
            Inverse variance of every pixel.
        area : float
            Fine pixels over which they are spread.

        Returns
        -------
        array (group, 1, k, k)
            The blocks.
        """
        level = np.array([weights[part].sum() for part in self.parts]) / area
        transfer = self.imager.transfer  # group, 1, n, k
        weighted = transfer.conj() * level[:, None]
        return weighted.transpose(0, 1, 3, 2) @ transfer
