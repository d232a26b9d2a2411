"""What a grid of pixels gets wrong of a point between them, which is moved by its band limit."""

import numpy as np
from scipy import ndimage

from jwst_fusion.psf import make_psf
from psf_benchmark.figures import Figure

__all__ = ["sampling"]

_PIXELS = (0.031, 0.033, 0.025)  # arcsec: NIRCam's short wave, its spread, and a fused grid
_WAVELENGTHS = (1.6, 1.75, 1.9, 2.1)  # micrometre
_SPAXEL = 0.1  # arcsec, of NIRSpec
_FINER = {3: (1.9, 1.55, 1.3, 0.9), 4: (1.55, 1.25), 5: (1.25, 0.9, 0.7)}  # micrometre
_FINE = 8  # samples along a pixel, even: a shift of half a pixel is a number of samples
_SIZE = 96  # pixels along the periodic domain
_FAR = 8.0  # pixels from the star from which on its pattern is looked at


def sampling(quick=False):
    """
    Move a star into the corner of four pixels by its band limit, and compare with its image there.

    Parameters
    ----------
    quick : bool
        The shortest wavelength only.

    Returns
    -------
    list of Figure
        Root mean square of the error over that of the image, and largest error far from the star
        over its peak.
    """
    rows = []
    for pixel in _PIXELS:
        for wavelength in _WAVELENGTHS[: 1 if quick else None]:
            error, far = _errors("NIRCAM", "NRCB1", pixel, pixel, wavelength)
            name = f"pixels of {pixel:g} arcsec, {wavelength:g} um"
            rows.append(
                Figure(f"{name}: error of a star between pixels", 100 * error, "%", None, 2)
            )
            rows.append(Figure(f"{name}: largest beyond 8 pixels", 100 * far, "%", None, 2))
    for factor, wavelengths in _FINER.items():
        for wavelength in wavelengths[: 1 if quick else None]:
            error, _ = _errors("NIRSPEC", "NRS1", _SPAXEL / factor, _SPAXEL, wavelength)
            name = f"{factor} x {factor} pixels to a spaxel of NIRSpec, {wavelength:g} um"
            rows.append(
                Figure(f"{name}: error of a star between pixels", 100 * error, "%", None, 2)
            )
    return rows


def _errors(instrument, detector, pixel, seen, wavelength):
    """Both errors of a grid of pixels, of light that squares of a side `seen` average, arcsec."""
    optics = make_psf(
        instrument,
        wavelength=[wavelength],
        pixel_scale=pixel / _FINE,
        npix=_SIZE * _FINE + 1,
        detector=detector,
        source="aperture",
        use_cache=False,
    ).data[0]
    # Even number of samples in a side: half of the first and of the last one.
    width = 2 * round(_FINE * seen / pixel / 2)
    box = np.r_[0.5, np.ones(width - 1), 0.5] / width
    for axis in (0, 1):
        optics = ndimage.convolve1d(optics, box, axis=axis, mode="constant")
    middle, half = _SIZE * _FINE // 2, _FINE // 2
    start = middle % _FINE
    centred = optics[start::_FINE, start::_FINE][:_SIZE, :_SIZE]
    true = optics[start + half :: _FINE, start + half :: _FINE][:_SIZE, :_SIZE]
    frequency = np.fft.fftfreq(_SIZE)
    phase = np.exp(2j * np.pi * 0.5 * frequency)
    moved = np.fft.ifft2(np.fft.fft2(centred) * phase[:, None] * phase).real
    place = np.arange(_SIZE) - (middle // _FINE - 0.5)
    distance = np.hypot(place[:, None], place)
    wrong = moved - true
    # Away from the rim, beyond which the domain repeats.
    seen = np.maximum(abs(place[:, None]), abs(place)) < 0.4 * _SIZE
    far = np.abs(wrong[seen & (distance > _FAR)]).max() / true.max()
    return np.sqrt(np.sum(wrong[seen] ** 2) / np.sum(true[seen] ** 2)), far
