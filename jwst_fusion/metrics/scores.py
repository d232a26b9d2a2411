"""The four scores by which Lascar et al. (2025) compare fused cubes."""

from jwst_fusion.metrics.errors import ergas, nmse, sam
from jwst_fusion.metrics.structure import ssim

__all__ = ["hyperspectral_scores"]


def hyperspectral_scores(truth, estimate, ratio, mask=None):
    r"""
    Compute the scores of Table 2 of Lascar et al. (2025).

    Parameters
    ----------
    truth, estimate : array_like
        Cube (channel, y, x), at least 11 x 11 pixels; NaN marks missing values.
    ratio : float
        Pixel size of the coarse cube divided by that of the fine one, at least 1.
    mask : array_like of bool, optional
        Values to use, of the shape of the cube or of one image.

    Returns
    -------
    dict of str to float
        ``nmse`` [dB, high is good]; ``asam`` [radian], ``acssim`` and ``ergas`` [low is good].

    Raises
    ------
    ValueError
        If shapes disagree or a score is not defined.

    Notes
    -----
    Where the printed formula and the printed values differ, the values are followed:

    * NMSE (A.1): :math:`10 \log_{10} (\sum t^2 / \sum (e - t)^2)`.
    * aSAM (A.2) is printed as a sum over pixels divided by the number of channels. It is the mean
      over pixels; the values of 0.55 to 0.71 are radians. `~jwst_fusion.metrics.sam` gives degrees.
    * acSSIM (A.3): one minus the mean over channels of the SSIM. Neither window nor range are
      given; the window of Wang et al. (2004), a Gaussian of 1.5 pixels, and the largest value of
      each channel are taken.
    * ERGAS (A.4) is printed with a factor of 100; values of 0.1 to 0.6 are those without it. The
      factor d is fine over coarse, 1 / `ratio`. `~jwst_fusion.metrics.ergas` has the factor of 100.
    """
    return {
        "nmse": nmse(truth, estimate, mask, decibel=True),
        "asam": sam(truth, estimate, mask, unit="radian"),
        "acssim": 1.0 - ssim(truth, estimate, mask, window="gaussian", extent="peak"),
        "ergas": ergas(truth, estimate, ratio, mask, percent=False),
    }
