r"""
The spectrometer at its native pixels as a linear operator on component maps, and its adjoint.

The scene is ``X = mean + V Z`` with component maps Z on a fine grid. Pixel i at wavelength
:math:`\lambda_i` and sky position :math:`x_i` sees

.. math:: y_i = m(\lambda_i) + \sum_k V_k(\lambda_i) \sum_r w_r(\lambda_i) (h_r * Z_k)(x_i)

with the PSFs h of optics, slice and pixel at wavelength nodes and their interpolation weights w.
They are written as sums of few modes. Every slice is a line on the sky: maps through each mode are
sampled along it by cubic B-splines, from maps that are twice as fine, as splines blur what is close
to the highest frequency of the grid; pixels are interpolated along the line.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jwst_fusion.fusion.exposures.sampling import FineSampler, line_taps
from jwst_fusion.fusion.exposures.slice_lines import trace_slices

__all__ = ["ExposureOperator", "PlacedPixels", "half_plane", "psf_modes", "to_groups"]

# Pixels at once: what is made of them on the way, pixels x components x modes, stays in the cache.
_CHUNK = 8192
_SPARSE = (
    8  # of so many pixels one stands for the others where blocks of the normal matrix are made
)
_TINY = 1e-30  # against division by zero where no pixel of a chunk has weight
#: Relative singular value below which modes of the PSF are left out; and what modes of a component
#: may leave of the PSF at any channel, relative to the light of all components there.
MODES = 5e-4


@dataclass(frozen=True)
class PlacedPixels:
    """
    Pixels of an exposure on the fine grid.

    Attributes
    ----------
    x, y : array (n,)
        Columns and rows on the periodic domain, fine pixels.
    wavelength : array (n,)
        Wavelength, micrometre.
    label : int array (n,)
        Number of the slice.
    usable : bool array (n,)
        Pixels whose light is to be explained: good, within the channels and the domain.
    """

    x: np.ndarray
    y: np.ndarray
    wavelength: np.ndarray
    label: np.ndarray
    usable: np.ndarray


def half_plane(grid, groups):
    """
    Bring groups of a grid of factor one into the order of `scipy.fft.rfft2`.

    Parameters
    ----------
    grid : Grid
        Periodic domain whose spaxels are its fine pixels.
    groups : array (group, 1, n)
        Coefficients.

    Returns
    -------
    array (n, rows, columns // 2 + 1)
        The same.
    """
    return np.ascontiguousarray(groups[:, 0].T).reshape(-1, grid.rows, grid.half)


def to_groups(spectra):
    """
    Bring coefficients in the order of `scipy.fft.rfft2` into groups.

    Parameters
    ----------
    spectra : array (n, rows, columns // 2 + 1)
        Coefficients.

    Returns
    -------
    array (group, 1, n)
        The same.
    """
    return np.ascontiguousarray(spectra.reshape(len(spectra), -1).T)[:, None, :]


def psf_modes(psf, wavelength, *, tolerance=MODES):
    """
    Write PSFs as sums of few modes.

    Parameters
    ----------
    psf : `~jwst_fusion.psf.PsfCube`
        PSFs at wavelength nodes.
    wavelength : array (L,)
        Wavelengths, micrometre; those beyond the nodes take the PSF of the last node.
    tolerance : float, optional
        Relative singular value below which modes are left out.

    Returns
    -------
    modes : array (m, y, x)
        The modes.
    weights : array (L, m)
        Weight of each at every wavelength.
    """
    nodes = psf.weights(np.clip(wavelength, *psf.wavelength[[0, -1]]))
    left, values, right = np.linalg.svd(psf.data.reshape(len(psf.data), -1), full_matrices=False)
    kept = values > tolerance * values[0]
    modes = right[kept].reshape(-1, *psf.data.shape[1:])
    return modes, nodes @ (left[:, kept] * values[kept])


class ExposureOperator:
    """
    Exposures that share one PSF.

    Parameters
    ----------
    grid : Grid
        Periodic domain, of factor one.
    psf : `~jwst_fusion.psf.PsfCube`
        PSFs of optics, slice and pixel, on the fine grid.
    axis : ChannelAxis
        Channels and knots of the spectra.
    exposures : list of PlacedPixels
        The exposures.

    Attributes
    ----------
    source : list of array
        Which pixels of each exposure the operator sees, in its own order: slice by slice.
    parts : list of slice
        Where those of each exposure stand in a vector of pixels.
    size : int
        Number of all of them.
    departure : float
        Worst distance of a pixel from its line, fine pixels.
    otf : array (m, rows, columns // 2 + 1)
        Transfer functions of the modes.
    """

    def __init__(self, grid, psf, axis, exposures):
        self.grid, self.axis = grid, axis
        modes, self._weights = psf_modes(psf, axis.wavelength)
        self.otf = grid.otf(modes)[:, :, : grid.half]
        self._nodes = axis.interpolated(self._weights)
        self.source, self.parts, self._chunks = [], [], []
        self.departure, start, samples = 0.0, 0, [np.zeros((2, 0))]
        offset = 0
        for pixels in exposures:
            lines = trace_slices(pixels.x, pixels.y, pixels.label, pixels.usable)
            order = [np.zeros(0, np.intp)]
            first = start
            for line in lines:
                self.departure = max(self.departure, line.departure)
                samples.append(np.array([line.x, line.y]))
                window = slice(offset, offset + len(line.x))
                offset = window.stop
                # Neighbours in wavelength share knots.
                sort = np.argsort(pixels.wavelength[line.pixels], kind="stable")
                order.append(line.pixels[sort])
                for low in range(0, len(sort), _CHUNK):
                    part = sort[low : low + _CHUNK]
                    knots = axis.matrix(pixels.wavelength[line.pixels[part]])
                    taps = line_taps(line.position[part], len(line.x))
                    self._chunks.append((slice(start, start + len(part)), window, taps, knots))
                    start += len(part)
            self.source.append(np.concatenate(order))
            self.parts.append(slice(first, start))
        self.size, self._samples = start, offset
        self._sampler = FineSampler(grid.shape, *np.concatenate(samples, axis=1))

    def set_spectra(self, spectra):
        """
        Take basis spectra.

        Parameters
        ----------
        spectra : SplineSpectra
            On the same channels; the mean is not part of the operator.
        """
        self.rank = spectra.rank
        shares = spectra.shares()
        self._directions = [self._seen_modes(share) for share in shares.T]
        ends = np.cumsum([0, *(len(one) for one in self._directions)])
        self._first = ends[:-1]
        self._columns = [slice(*pair) for pair in pairwise(ends)]
        # What multiplies the maps of each component through each of its modes.
        self._weight = np.concatenate([self._nodes @ one.T for one in self._directions], axis=1)
        basis = np.repeat(spectra.basis, [len(one) for one in self._directions], axis=1)
        self._table = spectra.axis.product(basis, self._weight).astype(np.float32)
        self._weight = self._weight.astype(np.float32)
        self._transfer = [
            self._sampler.transfer(np.tensordot(one, self.otf, 1)) for one in self._directions
        ]

    def _seen_modes(self, share):
        """Combinations (n, m) of modes through which a component is seen.

        The PSF changes with wavelength; that of a component which is a few lines, or which is faint
        beside others, hardly does.
        """
        weighted = share[:, None] * self._weights
        right = np.linalg.svd(weighted, full_matrices=False)[2]
        limit = MODES * np.linalg.norm(self._weights, axis=1)
        for count in range(1, len(right)):
            left = weighted - weighted @ right[:count].T @ right[:count]
            if np.all(np.linalg.norm(left, axis=1) < limit):
                return right[:count]
        return right

    def _maps(self, groups, factors=None):
        """Spline coefficients of the maps through all modes, (pixel, component and mode)."""
        spectra = half_plane(self.grid, groups).astype(np.complex64)
        if factors is not None:
            spectra *= factors
        maps = np.empty((self._sampler.size, self._columns[-1].stop), np.float32)
        for spectrum, transfer, columns in zip(spectra, self._transfer, self._columns, strict=True):
            maps[:, columns] = self._sampler.maps(spectrum, transfer).T
        return maps

    def components(self, groups, factors=None):
        """
        Iterate over what the pixels see of every component.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.
        factors : array (rows, columns // 2 + 1), optional
            Transfer function that the maps pass before.

        Yields
        ------
        part : slice
            Pixels in the order of the operator.
        knots : `~scipy.sparse.csr_array` (n, knots)
            Values of the splines at their wavelengths.
        values : array (n, k)
            Every component at these pixels, single precision.
        """
        lines = self._sampler.taps @ self._maps(groups, factors)
        for part, window, taps, knots in self._chunks:
            seen = (taps @ lines[window]) * (knots @ self._weight)
            yield part, knots, np.add.reduceat(seen, self._first, axis=1)

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
            Pixels of all exposures in the order of the operator, single precision.
        """
        lines = self._sampler.taps @ self._maps(groups, factors)
        values = np.empty(self.size, np.float32)
        for part, window, taps, knots in self._chunks:
            values[part] = np.einsum("np,np->n", taps @ lines[window], knots @ self._table)
        return values

    def adjoint(self, values):
        """
        Apply the adjoint, tap for tap.

        Parameters
        ----------
        values : array (size,)
            Values of the pixels in the order of the operator.

        Returns
        -------
        array (group, 1, k)
            Component groups.
        """
        grid, values = self.grid, np.asarray(values, np.float32)
        lines = np.zeros((self._samples, self._columns[-1].stop), np.float32)
        for part, window, taps, knots in self._chunks:
            spread = knots @ self._table
            spread *= values[part, None]
            lines[window] += taps.T @ spread
        maps = self._sampler.transposed @ lines
        spectra = np.empty((self.rank, grid.rows, grid.half), np.complex128)
        for spectrum, transfer, columns in zip(spectra, self._transfer, self._columns, strict=True):
            spectrum[:] = self._sampler.spectrum(maps[:, columns].T, transfer)
        return to_groups(spectra)

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
            MJy/sr, in the order of the operator, single precision.
        """
        values = np.empty(self.size, np.float32)
        column = spectra.mean[:, None].astype(np.float32)
        for part, _, _, knots in self._chunks:
            values[part] = (knots @ column)[:, 0]
        return values

    def gram(self, weights, area):
        r"""
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
            :math:`\sum_{rs} \bar H_r H_s \sum_i W_i V_k V_l w_r w_s` over the area.
        """
        count = self._columns[-1].stop
        sums = np.zeros((count, count))
        for part, _, _, knots in self._chunks:
            table = knots[::_SPARSE] @ self._table
            weight = weights[part]
            # All of the weight, whichever pixels stand for the others.
            weight = weight[::_SPARSE] * (weight.sum() / max(weight[::_SPARSE].sum(), _TINY))
            table *= np.sqrt(weight)[:, None]
            sums += table.T @ table
        sums /= area
        otf = self.otf.reshape(len(self.otf), -1)
        otf = np.concatenate([one @ otf for one in self._directions])
        blocks = np.empty((otf.shape[1], 1, self.rank, self.rank), complex)
        for index, columns in enumerate(self._columns):
            seen = sums[: columns.stop, columns] @ otf[columns]
            seen *= otf[: columns.stop].conj()
            above = np.add.reduceat(seen, self._first[: index + 1], axis=0).T
            blocks[:, 0, : index + 1, index] = above
            blocks[:, 0, index, : index + 1] = above.conj()
        return blocks

    def variance(self, covariance):
        """
        Covariance of what a pixel in the middle of the channels sees of the components.

        Parameters
        ----------
        covariance : array (group, 1, k, k)
            Posterior covariance of the component groups.

        Returns
        -------
        array (k, k)
            The same for every pixel, as that of the groups is for even pixels.
        """
        weights = self._nodes[len(self._nodes) // 2]
        seen = np.abs(np.tensordot(weights, self.otf, 1).ravel()) ** 2
        weighted = self.grid.multiplicity * seen / (self.grid.rows * self.grid.columns)
        return np.tensordot(weighted, covariance[:, 0].real, 1)
