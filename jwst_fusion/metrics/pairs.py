"""Check two arrays that are to be compared, and find the pixels that both hold."""

import numpy as np

__all__ = ["channel_mean", "valid_pair"]


def valid_pair(truth, estimate, mask, least=2):
    """
    Check two arrays that are to be compared, and say where both hold data.

    Parameters
    ----------
    truth, estimate : array_like
        Image (y, x) or cube (channel, y, x); NaN marks missing pixels.
    mask : array_like of bool or None
        Pixels to use, of the shape of the data or of one image.
    least : int
        Smallest number of dimensions that is allowed.

    Returns
    -------
    truth, estimate : ndarray of float64 (channel, y, x)
        The data.
    good : ndarray of bool (channel, y, x)
        Where both are finite and used.

    Raises
    ------
    ValueError
        If shapes disagree or no pixel is valid.
    """
    truth = np.asarray(truth, dtype=np.float64)
    estimate = np.asarray(estimate, dtype=np.float64)
    if truth.shape != estimate.shape:
        msg = f"truth and estimate must have the same shape, got {truth.shape} and {estimate.shape}"
        raise ValueError(msg)
    if truth.ndim not in range(least, 4):
        wanted = "(channel, y, x)" if least == 3 else "(y, x) or (channel, y, x)"
        msg = f"truth must have shape {wanted}, got {truth.shape}"
        raise ValueError(msg)
    good = np.isfinite(truth) & np.isfinite(estimate)
    if mask is not None:
        mask = np.asarray(mask, dtype=bool)
        if mask.shape not in (truth.shape, truth.shape[-2:]):
            msg = (
                f"mask must have the shape {truth.shape} of the data or {truth.shape[-2:]} of one "
                f"image, got {mask.shape}"
            )
            raise ValueError(msg)
        good &= mask
    if not good.any():
        msg = "no pixel is valid in both truth and estimate"
        raise ValueError(msg)
    shape = (-1, *truth.shape[-2:])
    return truth.reshape(shape), estimate.reshape(shape), good.reshape(shape)


def channel_mean(values, good):
    """
    Average the valid pixels of each channel.

    Parameters
    ----------
    values : ndarray (channel, y, x)
        Data.
    good : ndarray of bool (channel, y, x)
        Valid pixels.

    Returns
    -------
    ndarray (channel,)
        The means; NaN where a channel has no valid pixel.
    """
    count = good.sum(axis=(1, 2))
    total = np.where(good, values, 0.0).sum(axis=(1, 2))
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
