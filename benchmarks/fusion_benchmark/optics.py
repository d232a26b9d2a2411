"""PSFs of a segmented telescope with a random wavefront, by direct Fourier transform."""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Pupil", "chebyshev_optics", "segmented_pupil"]

_ARCSEC = 206264.806
_DIAMETER = 6.7  # metre, side of the square in which the pupil is sampled
_FLAT_TO_FLAT, _GAP = 1.32, 0.007
_STRUTS = (0.5 * np.pi, 0.5 * np.pi + 0.834 * np.pi, 0.5 * np.pi - 0.834 * np.pi)
_STRUT_WIDTH = 0.1
_OVERSAMPLING = 3


@dataclass(frozen=True)
class Pupil:
    """
    Transmission and wavefront of a telescope.

    Parameters
    ----------
    transmission : ndarray
        0 or 1, shape (n, n).
    wavefront : ndarray
        Optical path difference, metre, shape (n, n).
    """

    transmission: np.ndarray
    wavefront: np.ndarray

    def disturbed(self, other, share):
        """
        Add a part of another wavefront.

        Parameters
        ----------
        other : Pupil
            Its wavefront is scaled to the rms of this one.
        share : float
            Rms of what is added in units of the rms of this wavefront.

        Returns
        -------
        Pupil
        """
        size, added = (one.wavefront[self.transmission > 0].std() for one in (self, other))
        return replace(self, wavefront=self.wavefront + share * size / added * other.wavefront)

    def psf(self, wavelength, count, pixel, box):
        """
        Monochromatic PSF, integrated over a square box.

        Parameters
        ----------
        wavelength : float
            Micrometre.
        count : int
            Pixels along each side, odd: the middle one is centred.
        pixel, box : float
            Distance of the pixels, and side of the box, arcsec.

        Returns
        -------
        ndarray
            Unit sum, shape (count, count).
        """
        samples = len(self.transmission)
        field = self.transmission * np.exp(2j * np.pi * self.wavefront / (wavelength * 1e-6))
        fine = pixel / _OVERSAMPLING
        size = count * _OVERSAMPLING
        angle = (np.arange(size) - (size - 1) / 2) * fine / _ARCSEC
        position = (np.arange(samples) - (samples - 1) / 2) / samples * _DIAMETER
        kernel = np.exp(-2j * np.pi * np.outer(angle, position) / (wavelength * 1e-6))
        intensity = np.abs(kernel @ field @ kernel.T) ** 2
        window = np.ones(round(box / fine))
        if len(window) % 2 == 0:
            # a window of odd length stays centred: its ends count half
            window = np.r_[0.5, window[1:], 0.5]
        for axis in (0, 1):
            intensity = np.apply_along_axis(np.convolve, axis, intensity, window, "same")
        middle = _OVERSAMPLING // 2
        psf = intensity[middle::_OVERSAMPLING, middle::_OVERSAMPLING]
        return psf / psf.sum()


def segmented_pupil(wavefront_nm, seed, samples=256):
    """
    Eighteen hexagons and three struts, with segment errors and low-order aberrations.

    Parameters
    ----------
    wavefront_nm : float
        Rms of the wavefront error, nanometre.
    seed : int
        Seed of its shape.
    samples : int
        Samples along the side of the pupil.

    Returns
    -------
    Pupil
    """
    rng = np.random.default_rng(seed)
    axis = (np.arange(samples) - (samples - 1) / 2) / samples * _DIAMETER
    x, y = np.meshgrid(axis, axis)
    open_area, error = np.zeros_like(x), np.zeros_like(x)
    pitch = _FLAT_TO_FLAT + _GAP
    cells = [(q, r) for q in range(-2, 3) for r in range(-2, 3)]
    for q, r in cells:
        if max(abs(q), abs(r), abs(q + r)) not in (1, 2):
            continue
        u, v = x - pitch * (q + r / 2), y - pitch * np.sqrt(3) / 2 * r
        inside = np.ones(x.shape, bool)
        for turn in (0, np.pi / 3, 2 * np.pi / 3):
            inside &= np.abs(u * np.cos(turn) + v * np.sin(turn)) <= _FLAT_TO_FLAT / 2
        open_area[inside] = 1
        piston, tilt_x, tilt_y = 30 * rng.normal(size=3)
        error[inside] += piston + tilt_x * u[inside] + tilt_y * v[inside]
    for turn in _STRUTS:
        away = np.abs(y * np.cos(turn) - x * np.sin(turn))
        along = x * np.cos(turn) + y * np.sin(turn)
        open_area[(away < _STRUT_WIDTH / 2) & (along > 0)] = 0
    radius, azimuth = np.hypot(x, y) / (_DIAMETER / 2), np.arctan2(y, x)
    terms = (
        radius**2 * np.cos(2 * azimuth),
        radius**2 * np.sin(2 * azimuth),
        (3 * radius**3 - 2 * radius) * np.cos(azimuth),
        (3 * radius**3 - 2 * radius) * np.sin(azimuth),
        2 * radius**2 - 1,
    )
    for term, weight in zip(terms, rng.normal(size=5), strict=True):
        error += 0.35 * wavefront_nm * weight * term
    lit = open_area > 0
    error = (error - error[lit].mean()) * lit
    return Pupil(open_area, error * (wavefront_nm * 1e-9 / error[lit].std()))


def chebyshev_optics(nodes, *, image, cube, pixel, spaxel, size=61):
    """
    PSFs of imager and spectrometer at wavelength nodes.

    Parameters
    ----------
    nodes : ndarray
        Wavelengths, micrometre, shape (R,).
    image, cube : Pupil
        Telescopes with the wavefronts of the two instruments.
    pixel, spaxel : float
        Pixel of the fine grid and spaxel of the cube, arcsec: light is summed over these squares.
    size : int
        Pixels along each side of the PSFs, odd.

    Returns
    -------
    image, cube : ndarray
        Shape (R, size, size), unit sum.
    """
    return (
        np.array([image.psf(node, size, pixel, pixel) for node in nodes]),
        np.array([cube.psf(node, size, pixel, spaxel) for node in nodes]),
    )
