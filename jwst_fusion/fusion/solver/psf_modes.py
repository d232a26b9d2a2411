"""Small changes of PSFs: Gaussians by which they are wider or narrower, and shifts."""

from __future__ import annotations

import numpy as np
import scipy.fft as sf

__all__ = [
    "NARROWEST",
    "PRIOR_CUBE",
    "PRIOR_IMAGE",
    "SHIFTS",
    "WIDTHS",
    "core_variance",
    "mode",
    "reshaped",
    "sound",
]

#: Variances and covariance of a Gaussian along x and y, fine pixels squared; below 0 for a PSF that
#: is narrower.
WIDTHS = ("xx", "yy", "xy")
#: Shifts along x and y, fine pixels.
SHIFTS = ("x", "y")
#: Widths of the priors of these variances, of images and of what an integral field unit sees,
#: relative to the variances of the cores of their PSFs. A jitter of 7 milliarcsec adds 6 % to the
#: variance of the core of NIRCam's PSF at 2 micrometre; NIRSpec's PSF is known less well.
PRIOR_IMAGE, PRIOR_CUBE = 0.15, 0.5
#: Part of the variance of a core by which a PSF may be narrower.
NARROWEST = 0.4
_NEGATIVE = 0.05  # of the peak of a PSF, by which one may be negative
_TOLD = 3e-3  # transfer below which a frequency is not raised any more
_RIM = 24  # fine pixels around a PSF into which it may grow before what leaves it is cut off


def mode(shape, name):
    r"""Derivative of the logarithm of a transfer function with respect to one change.

    Parameters
    ----------
    shape : tuple of int
        Fine pixels (Y, X).
    name : str
        One of `WIDTHS` or `SHIFTS`.

    Returns
    -------
    ndarray (Y, X)
        At all frequencies of the fast Fourier transform: :math:`-k_x^2/2` and so on for variances,
        :math:`-k_x k_y` for the covariance, :math:`-i k_x` and :math:`-i k_y` for shifts. What is
        odd in a frequency is zero at the highest one, so that maps stay real.
    """
    even, odd = [], []
    for n in shape:
        k = 2 * np.pi * np.fft.fftfreq(n)
        even.append(k**2)
        odd.append(np.where(np.abs(k) < np.pi * (1 - 1e-9), k, 0.0))
    (y2, x2), (y, x) = even, odd
    one_y, one_x = np.ones(len(y)), np.ones(len(x))
    return {
        "xx": lambda: -0.5 * np.outer(one_y, x2),
        "yy": lambda: -0.5 * np.outer(y2, one_x),
        "xy": lambda: -np.outer(y, x),
        "x": lambda: -1j * np.outer(one_y, x),
        "y": lambda: -1j * np.outer(y, one_x),
    }[name]()


def reshaped(psf, amounts):
    """Change PSFs.

    Parameters
    ----------
    psf : ndarray (R, m, m)
        PSFs on the fine grid.
    amounts : dict of str to float
        Amount of each change, by the names of `WIDTHS` and `SHIFTS`.

    Returns
    -------
    ndarray (R, m, m)
        PSFs of the same sums.
    """
    if not any(amounts.values()):
        return psf
    size = [sf.next_fast_len(n + _RIM) for n in psf.shape[1:]]
    change = sum(value * mode(size, name) for name, value in amounts.items())
    spectrum = sf.fft2(psf, size)
    # A narrower PSF is a deconvolution: what is noise, or comes from the edge of the array, is not
    # made stronger.
    power = np.abs(spectrum) ** 2
    told = power / (power + _TOLD**2 * power[:, :1, :1])
    change = np.where(change.real > 0, change.real * told, change.real) + 1j * change.imag
    wide = sf.ifft2(spectrum * np.exp(change)).real[:, : psf.shape[1], : psf.shape[2]]
    return wide * (psf.sum((1, 2)) / wide.sum((1, 2)))[:, None, None]


def core_variance(psf):
    """Variance along one axis of the Gaussian whose half-maximum area is that of a PSF.

    Parameters
    ----------
    psf : ndarray (m, m)
        A PSF.

    Returns
    -------
    float
        Fine pixels squared.
    """
    area = np.count_nonzero(psf > psf.max() / 2)
    return max(area, 1) / (2 * np.pi * np.log(2))


def sound(psf):
    """Tell whether PSFs are still such: hardly negative anywhere.

    Parameters
    ----------
    psf : ndarray (R, m, m)
        PSFs.

    Returns
    -------
    bool
        Whether they are.
    """
    return bool(np.all(psf.min((1, 2)) > -_NEGATIVE * psf.max((1, 2))))
