"""Noise that neighbouring spaxels share, since cubes are drizzled from detector pixels."""

import logging

import numpy as np
from scipy import fft

__all__ = ["independent_spaxels"]

log = logging.getLogger(__name__)

_REACH = 3  # spaxels, between which noise is correlated at most
# Spaxels and channels at least from which a correlation is measured.
_FEWEST, _CHANNELS = 25, 10
# Standard errors of the scatter between channels, and excess of the variance, from which on it
# counts.
_SIGNIFICANT, _LEAST = 5.0, 0.05
_LARGEST = 20.0  # factor on the variance at most: more is structure, not noise
_SPREAD = 3.0  # robust standard deviations within which noise lies


def independent_spaxels(cube, psf_cube, factor):
    r"""
    Find the share of the spaxels of a cube whose noise is independent.

    Parameters
    ----------
    cube : array (L, h, w)
        The cube; NaN where there are no data.
    psf_cube : array (m, m)
        Its PSF on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    float
        Share, at most 1; 1 where no correlation is significant or too little can be compared.

    Notes
    -----
    Drizzling gives the light of a detector pixel to several spaxels. With the autocorrelation
    :math:`\rho` of the noise and that of the PSF, A, the flux of a source has a variance larger
    than that of independent spaxels with the same errors by

    .. math:: \sum_\delta \rho(\delta) A(\delta) / A(0) ,

    of which the share is the reciprocal. The noise is taken from second differences of neighbouring
    channels, which hold little of the scene; the median over channels passes by its lines. Noise
    that channels share as well changes the size of the differences, not their correlation.
    """
    lags = _autocorrelation(cube)
    if lags is None:
        return 1.0
    middle = psf_cube.shape[0] // 2
    start = middle % factor
    seen = psf_cube[start::factor, start::factor]
    size = [2 * max(n, _REACH + 1) for n in seen.shape]
    own = fft.irfft2(np.abs(fft.rfft2(seen, size)) ** 2, size)
    own = _near(own / own[0, 0])
    excess = np.tensordot(lags, own, 2) - 1.0
    factor_of_variance = 1.0 + float(np.median(excess))
    error = 1.2533 * np.std(excess) / np.sqrt(len(excess))  # of a median
    if factor_of_variance - 1 < max(_LEAST, _SIGNIFICANT * error):
        return 1.0
    factor_of_variance = min(factor_of_variance, _LARGEST)
    log.info(
        "Neighbouring spaxels share noise: fluxes of the cube are %.2f times less certain than "
        "errors of single spaxels say",
        np.sqrt(factor_of_variance),
    )
    return 1.0 / factor_of_variance


def _autocorrelation(cube):
    """Correlation (n, 2 * reach + 1, 2 * reach + 1) of the noise of spaxels in each channel."""
    found = []
    for middle in range(1, len(cube) - 1):
        # The second difference of noise, of unit variance; NaN where a channel has no data.
        before, own, after = (np.asarray(one, float) for one in cube[middle - 1 : middle + 2])
        plane = (2 * own - before - after) / np.sqrt(6.0)
        good = np.isfinite(plane)
        if np.count_nonzero(good) < _FEWEST:
            continue
        values = plane[good]
        level = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - level))
        if not spread > 0:
            continue
        # Lines that differ between channels stand out.
        good &= np.abs(plane - level) < _SPREAD * spread
        flat = np.where(good, plane - np.mean(plane[good]), 0.0)
        size = [fft.next_fast_len(n + _REACH, real=True) for n in plane.shape]
        power, count = (
            fft.irfft2(np.abs(fft.rfft2(one, size)) ** 2, size)
            for one in (flat, good.astype(float))
        )
        products = _near(power) / np.maximum(_near(count), 1.0)
        found.append(products / products[_REACH, _REACH])
    return np.array(found) if len(found) >= _CHANNELS else None


def _near(array):
    """Values at lags within reach, the lag 0 in the middle."""
    steps = np.arange(-_REACH, _REACH + 1)
    return array[np.ix_(steps, steps)]
