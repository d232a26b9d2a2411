"""Responses of simulated X-ray telescopes: PSFs, spectral responses, effective areas."""

import numpy as np
from scipy import sparse
from scipy.stats import norm

__all__ = [
    "PIXEL",
    "ccd_response",
    "effective_areas",
    "gaussian_kernel",
    "lopsided_psf",
    "rebinned_rows",
    "round_psf",
]

#: Pixel of the sharper telescope, arcsec.
PIXEL = 10.0


def gaussian_kernel(sigma, reach, limit):
    """
    Return a Gaussian that ends at `reach` sigma or at `limit` samples, whichever is shorter.

    Parameters
    ----------
    sigma : float
        Standard deviation, samples.
    reach : float
        Half of the length, standard deviations.
    limit : int
        Largest number of samples.

    Returns
    -------
    ndarray
        Samples around the middle one, shape (n,) with n odd, sum 1.
    """
    half = min(int(np.ceil(reach * sigma)), (limit - 1) // 2)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def round_psf(sigma):
    """
    Return a Gaussian PSF.

    Parameters
    ----------
    sigma : float
        Standard deviation, arcsec.

    Returns
    -------
    ndarray
        PSF on pixels of `PIXEL` arcsec, shape (n, n) with n odd and at most 51, (y, x), sum 1.
    """
    kernel = gaussian_kernel(sigma / PIXEL, 4.0, 51)
    return np.outer(kernel, kernel)


def lopsided_psf(sigma):
    """
    Return a PSF with tilted core, wings and a lobe to one side, its centroid in the middle.

    Parameters
    ----------
    sigma : float
        Scale, arcsec: the core has standard deviations of 0.55 and 0.85 times that.

    Returns
    -------
    ndarray
        PSF on pixels of `PIXEL` arcsec, shape (25, 25), (y, x), sum 1.
    """
    y, x = np.mgrid[-12:13, -12:13] * PIXEL / sigma
    centre = [0.0, 0.0]
    for _ in range(3):
        psf = _lopsided(y + centre[0], x + centre[1])
        psf /= psf.sum()
        centre = [centre[0] + (psf * y).sum(), centre[1] + (psf * x).sum()]
    return psf


def _lopsided(y, x):
    u, v = 0.8 * x + 0.6 * y, -0.6 * x + 0.8 * y
    core = np.exp(-0.5 * ((u / 0.55) ** 2 + (v / 0.85) ** 2))
    wings = 0.25 * np.exp(-0.5 * ((u / 1.4) ** 2 + (v / 1.1) ** 2))
    return core + wings + 0.12 * np.exp(-0.5 * (((u - 0.9) / 0.4) ** 2 + ((v + 1.3) / 0.4) ** 2))


def effective_areas(energy):
    """
    Return effective areas like those of a CCD camera and of a calorimeter.

    Parameters
    ----------
    energy : ndarray
        Energies, keV, shape (n,).

    Returns
    -------
    ccd : ndarray
        Effective area of the camera, cm2, shape (n,).
    calorimeter : ndarray
        Effective area of the calorimeter, cm2, shape (n,).
    """
    edge = np.where(energy > 0.543, 0.85, 1.0)  # absorption by oxygen
    ccd = 550 * (1 - np.exp(-((energy / 0.6) ** 1.6))) * edge
    calorimeter = 220 * np.exp(-0.35 * energy**-3) * np.where(energy > 0.707, 0.95, 1.0)
    return ccd, calorimeter


def rebinned_rows(lsf, fine, coarse):
    """
    Return the matrix of a convolution with a centred kernel and of sums of channels.

    Parameters
    ----------
    lsf : ndarray
        Kernel in steps of the fine channels, shape (k,) with k odd.
    fine : int
        Number of fine channels, before the convolution.
    coarse : int
        Number of channels after the sums, which divides `fine`.

    Returns
    -------
    `~scipy.sparse.csr_array`
        Shape (coarse, fine); what the kernel carries beyond the ends is lost.
    """
    half = lsf.size // 2
    # Nothing lies beyond the ends. Row i, column j holds lsf[half + i - j].
    offsets = np.arange(-half, half + 1)
    taps = [np.full(fine, v) for v in lsf[half - offsets]]
    band = sparse.dia_array((taps, offsets), shape=(fine, fine))
    sums = sparse.kron(sparse.eye_array(coarse), np.ones((1, fine // coarse)))
    return sparse.csr_array(sums @ band)


def ccd_response(edges, channels, sigma):
    """
    Return the response of a CCD: width that grows with energy, tail to lower energies.

    Parameters
    ----------
    edges : ndarray
        Edges of the energies, keV, shape (n + 1,).
    channels : ndarray
        Edges of the channels, keV, shape (m + 1,).
    sigma : float
        Standard deviation at the mean energy, eV; elsewhere it grows with the root of the energy.

    Returns
    -------
    `~scipy.sparse.csr_array`
        Probability that a photon of each energy is counted in each channel, shape (m, n); less than
        1e-7 is taken as 0.
    """
    energy = 0.5 * (edges[1:] + edges[:-1])
    width = 1e-3 * sigma * np.sqrt(energy / energy.mean())
    below = channels[:, None]
    core = norm.cdf((below - energy) / width)
    shifted = norm.cdf((below - energy + 1.8 * width) / (1.5 * width))
    share = np.diff(0.88 * core + 0.12 * shifted, axis=0)
    share[share < 1e-7] = 0.0
    return sparse.csr_array(share)
