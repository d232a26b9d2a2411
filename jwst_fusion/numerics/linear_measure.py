"""Linear measures of a cube: which pixels and channels a sum is made of, with what weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["LinearMeasure", "channel_weights", "linear_measure", "spatial_weights"]


@dataclass(frozen=True)
class LinearMeasure:
    """
    Sums over a cube (channel, y, x): over pixels of the mask times the data, over channels.

    Attributes
    ----------
    mask : ndarray (Y, X)
        Weight of each pixel.
    weights : ndarray (n, L) or None
        Weights of the channels in each of n sums; None for each channel on its own.
    single : bool
        Whether a single sum was asked for, whose error is a number and no array.
    """

    mask: np.ndarray
    weights: np.ndarray | None
    single: bool

    def answer(self, values):
        """
        Return values of the sums in the form that was asked for.

        Parameters
        ----------
        values : ndarray (n,) or (L,)
            One value for each sum.

        Returns
        -------
        float or ndarray (n,) or (L,)
            The same; a number if a single sum was asked for.
        """
        return float(values[0]) if self.single else np.asarray(values)

    def of(self, cube):
        """
        Apply the sums to a cube.

        Parameters
        ----------
        cube : array (L, Y, X)
            The cube; voxels that are NaN or infinite are left out.

        Returns
        -------
        float or ndarray (n,) or (L,)
            The sums, in the unit of the cube.
        """
        cube = np.asarray(cube, float)
        spectrum = np.tensordot(np.where(np.isfinite(cube), cube, 0.0), self.mask, axes=2)
        return self.answer(spectrum if self.weights is None else self.weights @ spectrum)


def linear_measure(mask, weights, shape, *, wcs=None):
    """
    Read which pixels and channels a sum is made of.

    Parameters
    ----------
    mask, weights : object
        See `spatial_weights` and `channel_weights`.
    shape : tuple of int
        Shape (L, Y, X) of the cube.
    wcs : `~astropy.wcs.WCS` or callable, optional
        See `spatial_weights`.

    Returns
    -------
    LinearMeasure
        The sums.

    Raises
    ------
    TypeError, ValueError, ImportError
        If mask or weights cannot be used; the message names what is wrong.
    """
    found = channel_weights(weights, shape[0])
    single = found is not None and np.ndim(weights) == 1
    return LinearMeasure(spatial_weights(mask, shape[1:], wcs=wcs), found, single)


def spatial_weights(mask, shape, *, wcs=None):
    """
    Bring a mask or a region to weights of pixels.

    Parameters
    ----------
    mask : array (Y, X), region, aperture, str, `~pathlib.Path` or None
        Weight of each pixel, of type bool or float; a pixel or sky region of the package
        ``regions``, or an aperture of photutils, with the weights that its own ``to_mask()`` gives;
        a file of regions that ``regions`` can read, whose pixels count once however many of its
        regions hold them; None for all pixels.
    shape : tuple of int
        Shape (Y, X) of the images.
    wcs : `~astropy.wcs.WCS` or callable, optional
        Celestial coordinates of the images, or a function that returns them; needed for regions
        on the sky only.

    Returns
    -------
    ndarray (Y, X) of float
        The weights.

    Raises
    ------
    TypeError
        If the mask is of no such type.
    ValueError
        If its shape is another, values are not finite, no pixel has a weight, or a region on the
        sky has no coordinates to go by.
    FileNotFoundError
        If the file does not exist.
    ImportError
        If a file is given and ``regions`` is not installed.
    """
    shape = tuple(shape)
    if mask is None:
        return np.ones(shape)
    if isinstance(mask, (str, Path)):
        parts = _regions_of(Path(mask))
        found = np.max([_region_weights(one, shape, wcs) for one in parts], axis=0)
    elif hasattr(mask, "to_mask") or hasattr(mask, "to_pixel"):
        found = _region_weights(mask, shape, wcs)
    else:
        found = _numbers("mask", mask)
        if found.shape != shape:
            msg = f"mask has the shape {found.shape}, but the images of the product are {shape}"
            raise ValueError(msg)
    if not found.any():
        what = (
            "mask is zero everywhere"
            if isinstance(mask, np.ndarray)
            else (f"mask: no pixel of the images {shape} lies within {_named(mask)}")
        )
        msg = f"{what}: there is nothing to sum over"
        raise ValueError(msg)
    return found


def channel_weights(weights, channels):
    """
    Check weights of channels.

    Parameters
    ----------
    weights : array (L,), (n, L) or None
        Weights of the channels, of one sum or of several; None for each channel on its own.
    channels : int
        Number L of channels.

    Returns
    -------
    ndarray (n, L) of float or None
        The weights, n = 1 if they are of one sum.

    Raises
    ------
    TypeError
        If they are not numbers.
    ValueError
        If their shape is another, or they are not finite.
    """
    if weights is None:
        return None
    found = _numbers("weights", weights)
    if found.ndim not in (1, 2) or found.shape[-1] != channels or not found.size:
        msg = (
            f"weights has the shape {found.shape}, but the product has {channels} channels: "
            f"expected ({channels},), or (n, {channels}) for several sums"
        )
        raise ValueError(msg)
    return np.atleast_2d(found)


def _numbers(name, values):
    try:
        found = np.asarray(values)
        if found.dtype.kind not in "biuf":
            raise TypeError
        found = found.astype(float)
    except (TypeError, ValueError) as error:
        what = (
            "an array of numbers"
            if name == "weights"
            else ("an array, a region, an aperture or a file of regions")
        )
        msg = f"{name} is {type(values).__name__}: expected {what}"
        raise TypeError(msg) from error
    if not np.isfinite(found).all():
        msg = f"{name} holds values that are not finite: give 0 to what is not to be summed"
        raise ValueError(msg)
    return found


def _region_weights(region, shape, wcs):
    """Weights of a region or an aperture as it gives them itself."""
    if not hasattr(region, "to_mask"):
        wcs = wcs() if callable(wcs) else wcs
        if wcs is None:
            msg = f"{_named(region)} lies on the sky, but the product has no celestial coordinates"
            raise ValueError(msg)
        region = region.to_pixel(wcs)
    found = region.to_mask()
    if isinstance(found, (list, tuple)):
        msg = f"{_named(region)} holds {len(found)} apertures: give one at a time"
        raise ValueError(msg)
    image = found.to_image(shape)
    return np.zeros(shape) if image is None else np.asarray(image, float)


def _regions_of(path):
    """Regions of a file."""
    if importlib.util.find_spec("regions") is None:
        msg = (
            f"{path} as a mask needs the package 'regions': install it (pip install regions), or "
            "give an array or an aperture of photutils"
        )
        raise ImportError(msg)
    if not path.is_file():
        msg = f"mask: file {path} does not exist"
        raise FileNotFoundError(msg)
    # An optional package, which loads much: only for those who give a file.
    from regions import Regions

    found = list(Regions.read(str(path)))
    if not found:
        msg = f"mask: {path} holds no region"
        raise ValueError(msg)
    return found


def _named(mask):
    return str(mask) if isinstance(mask, (str, Path)) else type(mask).__name__
