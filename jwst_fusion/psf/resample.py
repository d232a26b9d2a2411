"""Resampling of a PSF from its native grid to any other: rotation, pixel kernels, exact shifts."""

import numpy as np
from scipy.fft import fftfreq, fftshift, irfft2, next_fast_len, rfft2, rfftfreq
from scipy.ndimage import map_coordinates

from jwst_fusion.psf.centre import core_centre

__all__ = ["native_field", "resample_psf"]

# Samples of the intermediate image per sample of the band-limited input. At four, quintic splines
# interpolate a PSF to better than 1e-5 of its peak.
_FINER = 4


def native_field(npix, pixel_scale, pixel_kernels=(), broadening=0.0):
    """
    Side of the native image that an output grid needs at any rotation.

    Parameters
    ----------
    npix : int
        Output pixels a side.
    pixel_scale : float
        Output pixel [arcsec].
    pixel_kernels : sequence of tuple
        Rectangles (width_x, width_y, angle) as for `resample_psf`.
    broadening : float
        Gaussian sigma [arcsec].

    Returns
    -------
    float
        Side of a centred square [arcsec].
    """
    diagonal = npix * pixel_scale * np.sqrt(2.0)
    reach = sum(np.hypot(kernel[0], kernel[1]) for kernel in pixel_kernels)
    return diagonal + reach + 8.0 * broadening + 0.3


def resample_psf(
    image,
    scale,
    *,
    npix,
    pixel_scale,
    angle=0.0,
    pixel_kernels=(),
    broadening=0.0,
    centre=None,
    recentre=False,
):
    r"""
    Rotate a centred PSF, convolve it with pixels and a Gaussian, and sample it on a new grid.

    Parameters
    ----------
    image : ndarray
        PSF on its native grid, shape (n, n), with samples no further apart than the Nyquist limit
        of the optics, lambda / (2 D).
    scale : float
        Native pixel [arcsec].
    npix : int
        Output pixels a side, odd.
    pixel_scale : float
        Output pixel [arcsec].
    angle : float
        Counterclockwise rotation of the image (x to the right, y upwards) [deg].
    pixel_kernels : sequence of tuple
        Rectangles (width_x, width_y, angle): widths [arcsec] along axes that are turned by an angle
        [deg] counterclockwise from the axes of the output grid. The PSF is convolved with each.
    broadening : float
        Sigma of a Gaussian with which the PSF is convolved too [arcsec].
    centre : tuple of float, optional
        Row and column of the PSF's centre, by default the middle of the array, (n - 1) / 2.
    recentre : bool
        Whether the core of the widened PSF, as `core_centre` finds it, comes to lie on the middle
        pixel instead.

    Returns
    -------
    ndarray
        Point-sampled values at the pixel centres, shape (npix, npix), with unit sum.

    Notes
    -----
    The image of a telescope is band-limited, so convolution in Fourier space is exact,

    .. math:: \hat p(k) \prod_b \mathrm{sinc}(a_b\, k \cdot u_b)\, \mathrm{sinc}(b_b\, k \cdot v_b)
        \; e^{-2 \pi^2 \sigma^2 |k|^2},

    up to the cut at the edge of the native field, beyond which the result is zero. The result, on
    a grid four times finer, is evaluated at the rotated pixel centres with quintic splines.
    """
    size = image.shape[0]
    reach = sum(np.hypot(kernel[0], kernel[1]) for kernel in pixel_kernels) + 8.0 * broadening
    row, column = ((size - 1) / 2.0,) * 2 if centre is None else centre
    # Room for the side of the image that is the longer one from an eccentric centre.
    away = 2.0 * max(abs(row - (size - 1) / 2.0), abs(column - (size - 1) / 2.0))
    period = next_fast_len(size + 4 + int(np.ceil(reach / scale + away)))
    period += period % 2
    fx, fy = rfftfreq(period, scale)[None, :], fftfreq(period, scale)[:, None]

    spectrum = rfft2(image, (period, period))
    spectrum *= np.exp(2j * np.pi * scale * column * fx) * np.exp(2j * np.pi * scale * row * fy)
    for width_x, width_y, kernel_angle in pixel_kernels:
        turn = np.deg2rad(kernel_angle - angle)
        cosine, sine = np.cos(turn), np.sin(turn)
        spectrum *= np.sinc(width_x * (cosine * fx + sine * fy))
        spectrum *= np.sinc(width_y * (cosine * fy - sine * fx))
    if broadening > 0:
        spectrum *= np.exp(-2.0 * (np.pi * broadening) ** 2 * (fx**2 + fy**2))

    fine = _fine_image(spectrum)
    step = (np.arange(npix) - (npix - 1) / 2.0) * pixel_scale
    turn = np.deg2rad(angle)
    cosine, sine = np.cos(turn), np.sin(turn)
    native_x = cosine * step[None, :] + sine * step[:, None]
    native_y = cosine * step[:, None] - sine * step[None, :]
    origin = (fine.shape[0] // 2,) * 2
    if recentre:
        origin = core_centre(fine)
    position = np.stack([native_y, native_x]) * (_FINER / scale)
    position += np.reshape(origin, (2, 1, 1))
    out = map_coordinates(fine, position, order=5, mode="grid-wrap", prefilter=False)
    # Beyond the image there is nothing; its periodic copies are not part of the PSF.
    out[((position < 0) | (position > len(fine) - 1)).any(axis=0)] = 0.0
    return out / out.sum()


def _fine_image(spectrum):
    """
    Transform half a spectrum to quintic spline coefficients on a finer grid, origin in the middle.

    Dividing by the transform of the sampled spline is what the prefilter of a periodic image does.
    """
    period = spectrum.shape[0]
    fine_period = _FINER * period
    padded = np.zeros((fine_period, fine_period // 2 + 1), dtype=complex)
    # The Nyquist frequency, beyond the optics' limit, is left out: it has no definite sign.
    half = period // 2
    padded[:half, :half] = spectrum[:half, :half]
    padded[1 - half :, :half] = spectrum[1 - half :, :half]
    turns = 2.0 * np.pi * fftfreq(fine_period)
    spline = (66.0 + 52.0 * np.cos(turns) + 2.0 * np.cos(2.0 * turns)) / 120.0
    padded /= spline[:, None] * spline[: fine_period // 2 + 1]
    return fftshift(irfft2(padded, (fine_period, fine_period)))
