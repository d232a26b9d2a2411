"""Measures from differences: of images, of spectra, of whole cubes."""

import numpy as np

from jwst_fusion.metrics.maps import sam_map
from jwst_fusion.metrics.pairs import channel_mean, valid_pair

__all__ = ["ergas", "mean_spectrum_error", "nmse", "psnr", "sam"]


def psnr(truth, estimate, mask=None):
    r"""
    Peak signal-to-noise ratio.

    Parameters
    ----------
    truth, estimate : array_like
        Image (y, x) or cube (channel, y, x); NaN marks missing pixels.
    mask : array_like of bool, optional
        Pixels to use, of the shape of the data or of one image.

    Returns
    -------
    float
        Decibel; infinite for a perfect estimate. For a cube the mean over channels that hold data.

    Raises
    ------
    ValueError
        If shapes disagree or no pixel is valid.

    Notes
    -----
    Marquis et al. 2026, eq. 10:
    :math:`10 \log_{10} (\max(\mathrm{truth})^2 / \mathrm{MSE})`, per channel.
    """
    truth, estimate, good = valid_pair(truth, estimate, mask)
    error = channel_mean((truth - estimate) ** 2, good)
    peak = np.where(good, truth, -np.inf).max(axis=(1, 2))
    held = np.isfinite(error)
    with np.errstate(divide="ignore"):
        values = 10.0 * (np.log10(peak[held] ** 2) - np.log10(error[held]))
    return float(np.mean(values))


def sam(truth, estimate, mask=None, *, unit="degree"):
    r"""
    Spectral angle: mean angle between true and estimated spectra.

    Parameters
    ----------
    truth, estimate : array_like
        Cube (channel, y, x); NaN marks missing values.
    mask : array_like of bool, optional
        Values to use, of the shape of the cube or of one image.
    unit : {"degree", "radian"}
        Unit of the result.

    Returns
    -------
    float
        0 for spectra that differ by a factor only.

    Raises
    ------
    ValueError
        If shapes disagree, the unit is unknown or no spectrum can be compared.

    Notes
    -----
    The mean over spaxels of `~jwst_fusion.metrics.sam_map`; spaxels where a spectrum is zero
    throughout are left out. Lascar et al. 2025, eq. A.2, is this mean in radians.
    """
    if unit not in ("degree", "radian"):
        msg = f"unit must be 'degree' or 'radian', got {unit!r}"
        raise ValueError(msg)
    angle = sam_map(truth, estimate, mask)
    if np.isnan(angle).all():
        msg = "no spaxel has a spectrum that is not zero in both truth and estimate"
        raise ValueError(msg)
    mean = np.nanmean(angle)
    return float(np.rad2deg(mean) if unit == "degree" else mean)


def ergas(truth, estimate, ratio, mask=None, *, multiplied=False, percent=True):
    r"""
    Relative dimensionless global error in synthesis (ERGAS).

    Parameters
    ----------
    truth, estimate : array_like
        Cube (channel, y, x); NaN marks missing values.
    ratio : float
        Pixel size of the coarse cube divided by that of the fine images, at least 1; 3 for NIRSpec
        and the short-wavelength channel of NIRCam.
    mask : array_like of bool, optional
        Values to use, of the shape of the cube or of one image.
    multiplied : bool
        Multiply by `ratio` instead of dividing by it.
    percent : bool
        With the factor of 100 of the definition.

    Returns
    -------
    float
        0 for a perfect estimate, smaller is better.

    Raises
    ------
    ValueError
        If shapes disagree, no value is valid or `ratio` is less than 1.

    Notes
    -----
    Wald 2000 ("Quality of high resolution synthesised images: is there a simple criterion?"):

    .. math:: \frac{100}{\mathrm{ratio}} \sqrt{\frac{1}{L} \sum_l
              \frac{\mathrm{MSE}_l}{\bar t_l^2}}.

    Channels whose mean is zero are left out. Lascar et al. 2025, eq. A.4, print a factor d instead
    of 1 / ratio, "the ratio between the spatial resolutions": read as the ratio of pixel sizes,
    fine to coarse, it is the same; read the other way round it is ``multiplied=True``. Their values
    are those of ``percent=False``.
    """
    if not (np.isfinite(ratio) and ratio >= 1):
        msg = f"ratio must be at least 1, got {ratio}"
        raise ValueError(msg)
    truth, estimate, good = valid_pair(truth, estimate, mask)
    error = channel_mean((truth - estimate) ** 2, good)
    mean = channel_mean(truth, good)
    held = np.isfinite(error) & (mean != 0)
    if not held.any():
        msg = "the mean of every channel of truth is zero; ERGAS is not defined"
        raise ValueError(msg)
    factor = ratio if multiplied else 1.0 / ratio
    factor *= 100.0 if percent else 1.0
    return float(factor * np.sqrt(np.mean(error[held] / mean[held] ** 2)))


def nmse(truth, estimate, mask=None, *, decibel=False):
    r"""
    Normalised mean squared error.

    Parameters
    ----------
    truth, estimate : array_like
        Image (y, x) or cube (channel, y, x); NaN marks missing values.
    mask : array_like of bool, optional
        Values to use, of the shape of the data or of one image.
    decibel : bool
        Return :math:`-10 \log_{10}` of it, as Lascar et al. 2025, eq. A.1: higher is better.

    Returns
    -------
    float
        :math:`\sum (t - e)^2 / \sum t^2` over all valid values; 0 for a perfect estimate.

    Raises
    ------
    ValueError
        If shapes disagree, no value is valid or the truth is zero throughout.
    """
    truth, estimate, good = valid_pair(truth, estimate, mask)
    power = np.sum(truth[good] ** 2)
    if power == 0:
        msg = "truth is zero at every valid pixel; the normalised error is not defined"
        raise ValueError(msg)
    value = np.sum((truth[good] - estimate[good]) ** 2) / power
    if not decibel:
        return float(value)
    with np.errstate(divide="ignore"):
        return float(-10.0 * np.log10(value))


def mean_spectrum_error(truth, estimate, mask=None):
    r"""
    Relative error of the spectrum averaged over the field.

    Parameters
    ----------
    truth, estimate : array_like
        Cubes (channel, y, x); NaN marks missing values.
    mask : array_like of bool, optional
        Values to use, of the shape of the cube or of one image.

    Returns
    -------
    ndarray
        Shape (channel,), :math:`(\bar e - \bar t) / \bar t`; NaN where a channel holds no data or
        its mean is zero.

    Raises
    ------
    ValueError
        If shapes disagree or no value is valid.

    Notes
    -----
    Marquis et al. 2026, Appendix D.2: the relative error of mean spectra.
    """
    truth, estimate, good = valid_pair(truth, estimate, mask, least=3)
    mean_truth, mean_estimate = channel_mean(truth, good), channel_mean(estimate, good)
    out = np.full(mean_truth.shape, np.nan)
    held = np.isfinite(mean_truth) & (mean_truth != 0)
    np.divide(mean_estimate - mean_truth, mean_truth, out=out, where=held)
    return out
