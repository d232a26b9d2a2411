"""Amplitude of the oscillations that resampling leaves in the spectra of single spaxels.

Cubes are (wavelength, y, x), spectra (wavelength,).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.numerics.robust import robust_sigma

__all__ = ["Wiggles", "aperture_spectrum", "brightest_spaxels", "measure_wiggles"]

# a sine of amplitude one spends 90 % of its time between -0.988 and 0.988
_SINE_90 = np.sin(0.45 * np.pi)


@dataclass(frozen=True)
class Wiggles:
    """
    Half-amplitudes of the oscillation of single spaxels.

    Parameters
    ----------
    half_amplitude : ndarray
        Relative half-amplitude per spaxel, shape (n,).
    spaxels : ndarray
        Row and column of each spaxel, shape (n, 2).
    ratio : ndarray
        Detrended, smoothed ratio of each spaxel to its reference, shape (n, wavelength).
    """

    half_amplitude: np.ndarray
    spaxels: np.ndarray
    ratio: np.ndarray

    @property
    def mean(self):
        """Mean half-amplitude over the spaxels."""
        return float(np.mean(self.half_amplitude))


def brightest_spaxels(cube, count=20, *, centre=None, radius=None):
    """
    Spaxels of the largest median over wavelength.

    Parameters
    ----------
    cube : ndarray
        Shape (wavelength, y, x); spaxels with less than half of the channels are left out.
    count : int
        Number of spaxels.
    centre : tuple of float, optional
        Row and column around which to look. Default: the whole cube.
    radius : float, optional
        Largest distance from `centre`, spaxels.

    Returns
    -------
    ndarray
        Row and column, brightest first, shape (count, 2).

    Raises
    ------
    ValueError
        If fewer than `count` spaxels have data.
    """
    seen = np.mean(np.isfinite(cube), axis=0) > 0.5
    if centre is not None and radius is not None:
        row, column = np.indices(seen.shape)
        seen &= np.hypot(row - centre[0], column - centre[1]) <= radius
    if seen.sum() < count:
        msg = f"count={count}: only {seen.sum()} spaxels have data"
        raise ValueError(msg)
    level = np.full(seen.shape, -np.inf)
    level[seen] = np.nanmedian(cube[:, seen], axis=0)
    order = np.argsort(level, axis=None)[::-1][:count]
    return np.column_stack(np.unravel_index(order, level.shape))


def aperture_spectrum(cube, centre, half_width):
    """
    Sum over a box of spaxels, edges counted by the fraction inside.

    Parameters
    ----------
    cube : ndarray
        Shape (wavelength, y, x); NaN in a channel makes that channel NaN.
    centre : tuple of float
        Row and column of the centre.
    half_width : float
        Half of the side of the box, spaxels.

    Returns
    -------
    ndarray
        Shape (wavelength,).
    """
    weights = [
        np.clip(np.minimum(i + 0.5, c + half_width) - np.maximum(i - 0.5, c - half_width), 0, 1)
        for i, c in zip((np.arange(n) for n in cube.shape[1:]), centre, strict=True)
    ]
    rows, columns = (np.flatnonzero(w) for w in weights)
    box = cube[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.einsum("lyx,y,x->l", box, weights[0][rows], weights[1][columns])


def measure_wiggles(cube, reference, spaxels, *, order=4, smooth=5):
    """
    Half-amplitude of the ratio between single spaxels and a reference spectrum.

    The measure of Law & Clarke (2026, Section III.1): the ratio is divided by its slow trend, the
    change of the PSF with wavelength, and what oscillates is measured.

    Parameters
    ----------
    cube : ndarray
        Shape (wavelength, y, x).
    reference : ndarray
        Spectrum without wiggles: of a large aperture, shape (wavelength,), or a cube of them.
    spaxels : ndarray
        Row and column of each spaxel, shape (n, 2).
    order : int
        Order of the polynomial in wavelength that is the slow trend.
    smooth : int
        Channels of the running median that removes noise and single bad channels.

    Returns
    -------
    Wiggles
        The half-amplitude is half of the range that holds 90 % of the channels, scaled so that a
        sine gives its amplitude.
    """
    x = np.linspace(-1, 1, cube.shape[0])
    ratios, amplitudes = [], []
    for row, column in spaxels:
        expected = reference if reference.ndim == 1 else reference[:, row, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = cube[:, row, column] / expected
        good = np.isfinite(ratio)
        ratio = np.interp(x, x[good], ratio[good])
        ratio = ndimage.median_filter(ratio, smooth, mode="nearest")
        ratio /= _robust_trend(x, ratio, good, order)
        low, high = np.percentile(ratio[good], [5, 95])
        ratios.append(np.where(good, ratio, np.nan))
        amplitudes.append((high - low) / 2 / _SINE_90)
    return Wiggles(np.array(amplitudes), np.asarray(spaxels), np.array(ratios))


def _robust_trend(x, ratio, good, order):
    """Polynomial through the ratio with points beyond three sigma left out."""
    for _ in range(3):
        trend = np.polynomial.Chebyshev.fit(x[good], ratio[good], order)(x)
        residual = ratio - trend
        sigma = robust_sigma(residual[good]) + 1e-12
        good = good & (np.abs(residual) < 3 * sigma)
    return trend
