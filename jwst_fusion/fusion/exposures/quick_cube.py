"""A quick native cube from exposures, for the start of the spectra."""

from dataclasses import dataclass

import numpy as np

__all__ = ["QuickCube", "quick_cube"]

# Spaxels, arcsec: about the slices and pixels of the instruments, so that few voxels are empty.
_SPAXEL = 0.1

# A pixel further than this from the cube is left out of the second pass: in standard deviations
# and as part of the brightness there, because a cube of interpolated pixels wiggles around stars.
_OUTLIER, _WIGGLE = 10.0, 0.2


@dataclass(frozen=True)
class QuickCube:
    """
    Quick native cube of the product's field.

    Attributes
    ----------
    cube, error : array (L, rows, columns)
        As `quick_cube` gives them.
    factor : int
        Fine pixels per spaxel along each side.
    """

    cube: np.ndarray
    error: np.ndarray
    factor: int

    @classmethod
    def of(cls, exposures, placed, domain, axis):
        """
        Make the cube of exposures.

        Parameters
        ----------
        exposures : list of ExposureObservation
            The exposures.
        placed : list of PlacedPixels
            Their pixels on the domain.
        domain : Domain
            The domain.
        axis : ChannelAxis
            Channels of the scene.

        Returns
        -------
        QuickCube
            The cube, of two spaxels along each side at least.
        """
        factor = max(1, round(_SPAXEL / domain.product.scale))
        shape = tuple(max(2, size // factor) for size in domain.product.shape)
        pixels = []
        for exposure, one in zip(exposures, placed, strict=True):
            used = one.usable
            channel = axis.channel(one.wavelength[used])
            x, y = one.x[used] - domain.margin, one.y[used] - domain.margin
            data, error = (array[used].astype(float) for array in (exposure.data, exposure.err))
            pixels.append((x, y, channel, data, error))
        found = quick_cube(pixels, len(axis.wavelength), shape=shape, spaxel=factor)
        return cls(*found, factor)


def quick_cube(exposures, channels, *, shape, spaxel):
    """
    Spread the pixels of exposures over the voxels of a cube.

    Parameters
    ----------
    exposures : list of tuple
        Each: columns x and rows y on the fine grid, positions in channels (0 at the first), data
        and errors in MJy/sr; flat arrays of the pixels that may be used.
    channels : int
        Number of channels.
    shape : tuple of int
        Rows and columns of spaxels.
    spaxel : int
        Fine pixels per spaxel along each side; spaxel i has its centre at the fine position
        ``spaxel * i + (spaxel - 1) / 2``.

    Returns
    -------
    cube : array (L, rows, columns)
        Surface brightness, MJy/sr; NaN without data. Every pixel is shared linearly between the
        eight voxels around it.
    error : array (L, rows, columns)
        Its standard deviation.
    """
    volume = (channels, *shape)
    placed = []
    for x, y, channel, data, error in exposures:
        centre = (spaxel - 1) / 2
        placed.append(((channel, (y - centre) / spaxel, (x - centre) / spaxel), data, error))
    kept = [np.ones(len(data), bool) for _, data, _ in placed]
    for _ in range(2):
        total, square, count = (np.zeros(np.prod(volume)) for _ in range(3))
        for (where, data, error), keep in zip(placed, kept, strict=True):
            for index, weight in _voxels([one[keep] for one in where], volume):
                total += np.bincount(index, weight * data[keep], len(total))
                square += np.bincount(index, (weight * error[keep]) ** 2, len(total))
                count += np.bincount(index, weight, len(total))
        known = count > 0.25  # of a pixel: less is an extrapolation from afar
        total[known] /= count[known]
        total[~known] = np.nan
        for number, (where, data, error) in enumerate(placed):
            expected = _sampled(total, where, volume)
            margin = _OUTLIER * error + _WIGGLE * np.abs(expected)
            with np.errstate(invalid="ignore"):
                kept[number] = ~(np.abs(data - expected) > margin)
    error = np.full(len(total), np.nan)
    error[known] = np.sqrt(square[known]) / count[known]
    return total.reshape(volume), error.reshape(volume)


def _voxels(where, volume):
    """Iterate over the eight voxels around every pixel: flat index and weight."""
    first = [np.floor(one).astype(np.intp) for one in where]
    share = [one - low for one, low in zip(where, first, strict=True)]
    for corner in np.ndindex(2, 2, 2):
        index, weight = 0, 1.0
        for low, part, side, size in zip(first, share, corner, volume, strict=True):
            at = low + side
            weight = weight * (part if side else 1 - part) * ((at >= 0) & (at < size))
            index = index * size + np.clip(at, 0, size - 1)
        yield index, weight


def _sampled(values, where, volume):
    """Values of the nearest voxel, NaN outside."""
    index, inside = 0, True
    for one, size in zip(where, volume, strict=True):
        at = np.rint(one).astype(np.intp)
        inside = inside & (at >= 0) & (at < size)
        index = index * size + np.clip(at, 0, size - 1)
    return np.where(inside, values[index], np.nan)
