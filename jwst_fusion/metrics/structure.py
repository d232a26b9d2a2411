"""Measures of structure, from windows that slide over the images."""

import numpy as np
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

from jwst_fusion.metrics.pairs import valid_pair

__all__ = ["ssim", "uiqi"]

# Size and parameters of scikit-image for each window.
_SSIM_WINDOWS = {
    "uniform": (7, {"win_size": 7}),
    "gaussian": (11, {"gaussian_weights": True, "use_sample_covariance": False}),
}
_UIQI_WINDOW = 8  # pixels a side, as in Wang & Bovik (2002)


def ssim(truth, estimate, mask=None, *, window="uniform", extent="range"):
    r"""
    Structural similarity.

    Parameters
    ----------
    truth, estimate : array_like
        Image (y, x) or cube (channel, y, x), at least as large as the window; NaN marks missing
        pixels.
    mask : array_like of bool, optional
        Pixels to use, of the shape of the data or of one image.
    window : {"uniform", "gaussian"}
        Windows of 7 x 7 pixels with sample covariances, or of 11 x 11 weighted by a Gaussian of
        standard deviation 1.5 with covariances of the whole.
    extent : {"range", "peak"} or float
        R below: largest minus smallest valid pixel of the true image, largest pixel alone, or a
        value.

    Returns
    -------
    float
        At most 1, for a perfect estimate. For a cube the mean over channels that hold data.

    Raises
    ------
    ValueError
        If shapes disagree, an option is unknown, an image is smaller than the window, no window is
        free of missing pixels or R is not positive in any channel.

    Notes
    -----
    Wang et al. 2004 (IEEE Trans. Image Process. 13, 600), eq. 13,

    .. math:: \frac{(2 \bar t \bar e + c_1)(2 \sigma_{te} + c_2)}
              {(\bar t^2 + \bar e^2 + c_1)(\sigma_t^2 + \sigma_e^2 + c_2)},
              \quad c_1 = (0.01 R)^2, \quad c_2 = (0.03 R)^2,

    averaged over all windows that lie within the image and hold no missing pixel, computed by
    scikit-image. Channels of constant truth are left out. Papers differ:

    * "uniform" and "range" are eq. 11 of Marquis et al. 2026. It prints the product of the squared
      means in the denominator where Wang et al. have the sum; the sum is meant and used.
    * "gaussian" is Wang et al. 2004, whose R is the range that the data format allows, 255 for
      their images; for data without such a limit "peak" comes nearest.
    * Lascar et al. 2025, eq. A.3, give one minus the mean over channels, and neither window nor R.
    """
    if window not in _SSIM_WINDOWS:
        msg = f"window must be one of {tuple(_SSIM_WINDOWS)}, got {window!r}"
        raise ValueError(msg)
    if isinstance(extent, str) and extent not in ("range", "peak"):
        msg = f"extent must be 'range', 'peak' or a number, got {extent!r}"
        raise ValueError(msg)
    size, options = _SSIM_WINDOWS[window]
    truth, estimate, good = valid_pair(truth, estimate, mask)
    values, flat = [], False
    for t, e, g, whole in _windowed(truth, estimate, good, size):
        value = extent
        if isinstance(extent, str):
            value = t[g].max() - (t[g].min() if extent == "range" else 0.0)
        if not value > 0:
            flat = True
            continue
        similar = structural_similarity(t, e, data_range=value, full=True, **options)[1]
        half = size // 2
        values.append(similar[half:-half, half:-half][whole].mean())
    if not values:
        msg = f"no {size} x {size} window is free of missing pixels"
        if flat:
            msg = f"truth has no range (parameter extent = {extent!r}): SSIM is not defined"
        raise ValueError(msg)
    return float(np.mean(values))


def uiqi(truth, estimate, mask=None):
    r"""
    Universal image quality index.

    Parameters
    ----------
    truth, estimate : array_like
        Image (y, x) or cube (channel, y, x), at least 8 x 8 pixels; NaN marks missing pixels.
    mask : array_like of bool, optional
        Pixels to use, of the shape of the data or of one image.

    Returns
    -------
    float
        From -1 to 1, for a perfect estimate. For a cube the mean over channels that hold data.

    Raises
    ------
    ValueError
        If shapes disagree, an image is smaller than the window or no window is free of missing
        pixels.

    Notes
    -----
    Wang & Bovik 2002 (IEEE Signal Process. Lett. 9, 81), eq. 2, over all windows of 8 x 8 pixels
    that lie within the image and hold no missing pixel:

    .. math:: Q = \frac{4 \sigma_{te} \, \bar t \, \bar e}
              {(\sigma_t^2 + \sigma_e^2)(\bar t^2 + \bar e^2)}.

    Where one of the sums vanishes, its factor is 1, as in the authors' program. Without the
    constants of `ssim`, windows of little structure weigh as much as all others.
    """
    truth, estimate, good = valid_pair(truth, estimate, mask)
    size = _UIQI_WINDOW
    values = []
    for t, e, _, whole in _windowed(truth, estimate, good, size):
        # A common offset changes no covariance, and without it they suffer less from cancellation.
        offset = t.mean()
        x, y = t - offset, e - offset
        mean_x, mean_y, xx, yy, xy = (
            uniform_filter(plane, size)[_inner(size, plane.shape)][whole]
            for plane in (x, y, x * x, y * y, x * y)
        )
        spread = np.maximum(xx - mean_x**2, 0) + np.maximum(yy - mean_y**2, 0)
        covariance = xy - mean_x * mean_y
        mean_x, mean_y = mean_x + offset, mean_y + offset
        power = mean_x**2 + mean_y**2
        ones = np.ones_like(power)
        structure = np.divide(2 * covariance, spread, out=ones.copy(), where=spread > 0)
        values.append(
            np.mean(structure * np.divide(2 * mean_x * mean_y, power, out=ones, where=power > 0))
        )
    if not values:
        msg = f"no {size} x {size} window is free of missing pixels"
        raise ValueError(msg)
    return float(np.mean(values))


def _windowed(truth, estimate, good, size):
    """Yield the channels, gaps filled, that have windows without a gap, and which these are."""
    if min(truth.shape[1:]) < size:
        msg = f"images must have at least {size} x {size} pixels, got {truth.shape[1:]}"
        raise ValueError(msg)
    for t, e, g in zip(truth, estimate, good, strict=True):
        share = uniform_filter(g.astype(float), size)[_inner(size, g.shape)]
        whole = share > 1.0 - 0.5 / size**2
        if whole.any():
            fill = t[g].mean()
            yield np.where(g, t, fill), np.where(g, e, fill), g, whole


def _inner(size, shape):
    """Rows and columns at which a window of this size lies within the image."""
    return tuple(slice(size // 2, n - (size - 1) // 2) for n in shape)
