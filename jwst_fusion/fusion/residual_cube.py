"""What exposures leave of a fused cube, averaged in spaxels and channels, and put back."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.exposures.spectra import ChannelAxis

__all__ = ["ResidualCube", "with_residual"]

_SUM = 3  # spaxels and channels to a side of the sums that are searched for structure
_WILD = 1e4  # times the usual error, beyond which a cell tells nothing
_FULL = 0.5  # of the cells of such a sum that need a pixel


@dataclass(frozen=True)
class ResidualCube:
    """
    Residuals of all exposures, averaged.

    Attributes
    ----------
    data : array (L, h, w)
        Mean of the residuals of the pixels in each spaxel and channel, weighted by their inverse
        variance, MJy/sr; 0 without any.
    error : array (L, h, w)
        Its standard deviation from the errors of the pixels, with the noise scales, MJy/sr; 0
        without any.
    """

    data: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, exposures, result, factor):
        """
        Average what a fusion leaves of its exposures.

        Parameters
        ----------
        exposures : list of ExposureObservation
            The exposures.
        result : ExposureFusion
            The result; outliers are left out.
        factor : int
            Pixels of the cube per spaxel, a divisor of its sides.

        Returns
        -------
        ResidualCube
            The averages. Each pixel counts where its centre looks, so that neighbours share no
            noise.
        """
        grid, axis = result.grid, ChannelAxis(result.wavelength)
        shape = (len(result.wavelength), *(size // factor for size in grid.shape))
        total, weights = np.zeros(np.prod(shape)), np.zeros(np.prod(shape))
        for number, one in enumerate(exposures):
            residuals = result.residuals[number]
            used = np.flatnonzero(np.isfinite(residuals) & ~result.rejected[number])
            x, y = result.places(number, one.ra[used], one.dec[used])
            column, row = (np.floor((at + 0.5) / factor).astype(int) for at in (x, y))
            channel = np.rint(axis.channel(one.wavelength[used])).astype(int)
            inside = (channel >= 0) & (channel < shape[0])
            inside &= (row >= 0) & (row < shape[1]) & (column >= 0) & (column < shape[2])
            used = used[inside]
            cell = np.ravel_multi_index((channel[inside], row[inside], column[inside]), shape)
            # On the brightness scale of the cube.
            gain = result.gains[number]
            weight = (gain / (one.err[used] * result.scales[number])) ** 2
            total += np.bincount(cell, weight * residuals[used] / gain, total.size)
            weights += np.bincount(cell, weight, total.size)
        seen = weights > 0
        data, error = np.zeros(total.size, np.float32), np.zeros(total.size, np.float32)
        data[seen] = total[seen] / weights[seen]
        error[seen] = weights[seen] ** -0.5
        return cls(data.reshape(shape), error.reshape(shape))

    def structure(self):
        """
        Search for what noise does not explain.

        Returns
        -------
        significance : float
            Of the strongest sum over 3 x 3 spaxels and 3 channels, in standard deviations, with its
            sign; NaN if there is no pixel.
        place : tuple of int
            Channel, row and column of its middle, in spaxels.
        scatter : float
            Root mean square of all such sums in standard deviations; 1 for noise alone, less
            where the scene follows it.
        """
        seen = self.error > 0
        # A running sum loses the digits of all others beside a variance of 1e20.
        usual = np.median(self.error[seen]) if seen.any() else 0.0
        seen &= self.error < _WILD * usual
        data = np.where(seen, self.data, 0.0)
        variance = np.where(seen, self.error.astype(float) ** 2, 0.0)

        def summed(values):
            return ndimage.uniform_filter(values, _SUM, mode="constant")

        # Sums of the data, the noise of each being independent.
        enough = summed(seen.astype(float)) > _FULL
        pulls = np.zeros(self.data.shape)
        spread = summed(variance)
        pulls[enough] = summed(data)[enough] / np.sqrt(spread[enough] / _SUM**3)
        if not enough.any():
            return np.nan, (0, 0, 0), np.nan
        place = np.unravel_index(np.argmax(np.abs(pulls)), pulls.shape)
        scatter = np.sqrt(np.mean(pulls[enough] ** 2))
        return float(pulls[place]), tuple(int(one) for one in place), float(scatter)


def with_residual(result, residual):
    """
    Put what the exposures leave of a cube back, with its noise.

    Parameters
    ----------
    result : ExposureFusion
        The result.
    residual : ResidualCube
        What it leaves, on spaxels that the pixels of the cube divide.

    Returns
    -------
    ExposureFusion
        With the mean of each spaxel in all of its pixels, its error in `error` and in `posterior`.

    Notes
    -----
    Where in a spaxel the light belongs is not known: it has the resolution of the spaxels, whatever
    that of the cube is.
    """
    factor = result.cube.shape[1] // residual.data.shape[1]
    cube, error = result.cube.copy(), result.error.copy()
    for channel, (plane, spread) in enumerate(zip(residual.data, residual.error, strict=True)):
        cube[channel] += plane.repeat(factor, 0).repeat(factor, 1)
        error[channel] = np.hypot(error[channel], spread.repeat(factor, 0).repeat(factor, 1))
    posterior = replace(result.posterior, residual=residual.error)
    return replace(result, cube=cube, error=error, posterior=posterior)
