"""Spectra by which lines move and change their profiles: derivatives of a mean spectrum."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

__all__ = ["line_changes", "smoothing_width"]

# Orders of the derivatives: lines that move by twice their width need so many.
_ORDERS = 8
# Standard deviations of the Gaussians that a spectrum may be smoothed with, channels.
_WIDTHS = (0.0, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0)
_REACH = 8.0  # standard deviations: high derivatives of a Gaussian end far from its middle
_NARROWEST = 1.0  # channels; derivatives of a narrower Gaussian are not sampled


def smoothing_width(spectrum, variance):
    r"""
    Find the smoothing of a spectrum that predicts its expectation best.

    Parameters
    ----------
    spectrum : ndarray (L,)
        Spectrum with independent noise.
    variance : ndarray (L,)
        Variances of its values.

    Returns
    -------
    float
        Standard deviation of the Gaussian, channels; 0 where smoothing takes away more than noise.

    Notes
    -----
    The smallest of Stein's unbiased estimates of the risk (Stein 1981),
    :math:`\sum_l (d_l - s_l)^2 / v_l + 2 \sum_l h_{ll}`, with the smoothed spectrum s and the part
    h of a value that remains in its place.
    """
    if len(spectrum) < 3:
        return 0.0
    # counts that scatter upwards would get too large a variance
    even = gaussian_filter1d(variance, _WIDTHS[-1], mode="nearest")
    even = np.maximum(even, 1e-12 * even.max())
    if not even.max() > 0:
        return 0.0
    point = np.zeros(2 * int(5 * _WIDTHS[-1]) + 1)
    point[len(point) // 2] = 1.0
    best, found = np.inf, 0.0
    for width in _WIDTHS:
        smooth, kept = spectrum, 1.0
        if width:
            smooth = gaussian_filter1d(spectrum, width, mode="nearest")
            kept = gaussian_filter1d(point, width)[len(point) // 2]
        risk = ((spectrum - smooth) ** 2 / even).sum() + 2.0 * kept * len(spectrum)
        if risk < best:
            best, found = risk, width
    return found


def line_changes(spectrum, width):
    r"""
    Make the spectra that a change of velocity, width and profile of all lines adds to a mean.

    Parameters
    ----------
    spectrum : ndarray (L,)
        Mean spectrum.
    width : float
        Standard deviation of the Gaussian that its derivatives are smoothed with, channels.

    Returns
    -------
    ndarray (L, k)
        Derivatives of order 1 to 8 with respect to the channel, of norm 1; fewer for few channels.

    Notes
    -----
    Taylor's series of lines that are shifted, :math:`s(E - \delta) = s - \delta s' + \delta^2
    s'' / 2 - \ldots`, and broadened, :math:`s + \sigma^2 s'' / 2 + \ldots`: to second order the
    first derivative holds the velocity and the second one the width; the others are needed where
    lines move by more than their own width. Lines that have their own velocities need other
    components.
    """
    orders = range(1, min(_ORDERS, len(spectrum) // 4) + 1)
    width = max(width, _NARROWEST)
    found = [
        gaussian_filter1d(spectrum, width, order=k, mode="nearest", truncate=_REACH) for k in orders
    ]
    sizes = [np.linalg.norm(one) for one in found]
    found = [one / size for one, size in zip(found, sizes, strict=True) if size > 0]
    return np.array(found).reshape(len(found), len(spectrum)).T
