"""Match images to the resolution and the spaxels of the cube."""

import numpy as np
from scipy import fft, signal

__all__ = ["blur_with_gaps", "matching_kernel", "sample_spaxels"]

# Squared transfer function of the imager below which frequencies are left alone; there the cube
# passes nothing.
_FLOOR = 1e-5


def matching_kernel(psf_image, psf_cube, factor):
    """
    Return the kernel that turns the PSF of an image into that of the cube.

    Parameters
    ----------
    psf_image, psf_cube : array (m, m)
        PSFs of both on the fine grid, unit sum, odd size, of which m is the larger one.
    factor : int
        Fine pixels per spaxel, d. If it is even, the kernel also shifts by half a pixel, so that
        centres of spaxels, which lie between pixels, come to lie on pixels.

    Returns
    -------
    array (m, m)
        The kernel, unit sum.

    Notes
    -----
    The ratio of the two transfer functions. It is well defined because the cube resolves less.
    """
    size = max(psf_image.shape[0], psf_cube.shape[0])
    shape = (2 * size, 2 * size)
    middle = size // 2
    ours, theirs = (_transform(psf, shape, psf.shape[0] // 2) for psf in (psf_image, psf_cube))
    ratio = theirs * ours.conj() / (np.abs(ours) ** 2 + _FLOOR)
    if factor % 2 == 0:
        y, x = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])
        ratio = ratio * np.exp(1j * np.pi * (y + x))
    kernel = np.roll(fft.irfft2(ratio, shape), (middle, middle), (0, 1))[:size, :size]
    return kernel / kernel.sum()


def blur_with_gaps(image, kernel):
    """
    Convolve an image that has gaps.

    Parameters
    ----------
    image : array (y, x)
        The image; NaN where there are no data.
    kernel : array (m, m)
        Kernel of unit sum, odd size.

    Returns
    -------
    total : array (y, x)
        Sum over the data under the kernel.
    share : array (y, x)
        Part of the kernel that fell on data; `total` over it is the convolved image.
    """
    good = np.isfinite(image)
    total = signal.fftconvolve(np.where(good, image, 0.0), kernel, "same")
    return total, signal.fftconvolve(good.astype(float), kernel, "same")


def sample_spaxels(image, factor):
    """
    Sample an image that was convolved with a matching kernel at the centres of the spaxels.

    Parameters
    ----------
    image : array (d h, d w)
        The image on the fine grid.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    array (h, w)
        One value per spaxel.
    """
    start = (factor - 1) // 2
    return image[start::factor, start::factor]


def _transform(psf, shape, middle):
    padded = np.zeros(shape)
    padded[: psf.shape[0], : psf.shape[1]] = psf
    return fft.rfft2(np.roll(padded, (-middle, -middle), (0, 1)))
