"""PSFs from an 18-segment model of the JWST pupil with a wavefront error budget; needs no data."""

from functools import cache

import numpy as np

from jwst_fusion.psf.instruments import INSTRUMENTS

__all__ = ["MODEL_VERSION", "native_psf", "propagate", "pupil", "wavefront_error"]

#: To be raised whenever the model gives other numbers: cached PSFs carry it.
MODEL_VERSION = 3

#: Circumscribed diameter of the primary mirror [m].
DIAMETER = 6.603464

# Segment flat-to-flat distance and gap, radius of the hole behind the secondary, struts [m]. The
# vertical strut points to +V3. Geometry of the pupil "RevW" of STPSF, matched to 0.99 in overlap.
_FLAT_TO_FLAT = 1.3088
_GAP = 0.0132  # m
_SECONDARY = 0.37  # m, radius
_STRUT_ANGLES = (0.0, 150.0, 210.0)  # degree from +V3
_STRUT_WIDTHS = (0.09, 0.12, 0.12)  # m

_SAMPLES = 512  # of the pupil along a side, 13 mm apart: about as wide as a gap
_SUBSAMPLES = 2  # within a sample along a side: its transmission at edges and gaps

# Shares of the telescope in the wavefront error [nm rms]: pistons and tilts of the segments,
# figure of the segments (power and astigmatism). The instrument makes up the rest.
_SEGMENT_ALIGNMENT = 22.0
_SEGMENT_FIGURE = 23.0  # nm rms
# Focus of NIRCam against wavelength: wavelength [um], defocus [nm rms]. Its lenses are not quite
# achromatic. Read from the models of STPSF 2.2 (data 2.1) in the middle of NRCA1 and NRCB1, NRCA5
# and NRCB5; means of the two.
_FOCUS = {
    "NIRCAM_SW": (
        (0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4),
        (-22.0, 46.0, 60.0, 46.0, 24.0, -10.0, -18.0, -11.0, -1.0, 15.0, 44.0, 73.0),
    ),
    "NIRCAM_LW": (
        (2.3, 2.4, 2.7, 3.0, 3.3, 3.6, 3.9, 4.2, 4.5, 4.8, 5.0, 5.3),
        (-8.0, -21.0, -54.0, -82.0, -101.0, -110.0, -106.0, -87.0, -49.0, 10.0, 62.0, 162.0),
    ),
}
_INSTRUMENT_TERMS = range(5, 16)  # Zernike terms (Noll) from astigmatism on; focus is given apart
# Where each instrument begins in the sequence of deviates.
_STARTS = {
    "NIRCAM_LW": 0.5,
    "NIRCAM_SW": 0.6,
    "NIRSPEC": 0.7,
    "MIRI_IMAGER": 0.8,
    "MIRI_MRS": 0.9,
}


def _normal_deviates(count, start):
    """Return fixed numbers spread like a normal distribution: the golden-ratio sequence."""
    from scipy.special import ndtri

    golden = 0.5 * (np.sqrt(5.0) - 1.0)
    return ndtri((start + golden * np.arange(1, count + 1)) % 1.0)


@cache
def pupil():
    """
    Transmission of the pupil.

    Returns
    -------
    ndarray
        Shape (512, 512), values from 0 to 1, over a square with the side `DIAMETER`. The entrance
        pupil with rows along +V3 and columns along +V2.
    """
    import poppy

    wave = poppy.Wavefront(npix=_SAMPLES * _SUBSAMPLES, diam=DIAMETER, wavelength=2e-6)
    mirror = poppy.MultiHexagonAperture(rings=2, flattoflat=_FLAT_TO_FLAT, gap=_GAP)
    shadow = poppy.AsymmetricSecondaryObscuration(
        secondary_radius=_SECONDARY, support_angle=_STRUT_ANGLES, support_width=_STRUT_WIDTHS
    )
    fine = (mirror.get_transmission(wave) * shadow.get_transmission(wave)).real
    shape = (_SAMPLES, _SUBSAMPLES, _SAMPLES, _SUBSAMPLES)
    return np.asarray(fine, dtype=float).reshape(shape).mean(axis=(1, 3))


def _segment_coordinates():
    """Return segment index and position within the segment [units of its radius] of all samples."""
    pitch = _FLAT_TO_FLAT + _GAP
    step = (np.arange(_SAMPLES) - (_SAMPLES - 1) / 2.0) * (DIAMETER / _SAMPLES)
    y, x = np.meshgrid(step, step, indexing="ij")
    centres = [
        (pitch * np.sqrt(3.0) / 2.0 * q, pitch * (r + 0.5 * q))
        for q in range(-2, 3)
        for r in range(-2, 3)
        if abs(q + r) <= 2
    ]
    squared = np.array([(x - cx) ** 2 + (y - cy) ** 2 for cx, cy in centres])
    index = np.argmin(squared, axis=0)
    cx, cy = np.array(centres).T
    radius = _FLAT_TO_FLAT / np.sqrt(3.0)
    return index, (x - cx[index]) / radius, (y - cy[index]) / radius, len(centres)


def _scaled(surface, open_area, rms):
    """Scale a surface to a given rms over the open area, after removing its mean and its tilt."""
    step = np.linspace(-1.0, 1.0, _SAMPLES)
    y, x = np.meshgrid(step, step, indexing="ij")
    terms = np.stack([np.ones_like(x)[open_area], x[open_area], y[open_area]], axis=1)
    values = surface[open_area]
    values = values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0]
    out = np.zeros_like(surface)
    out[open_area] = values * (rms / np.sqrt(np.mean(values**2)))
    return out


def wavefront_error(channel, wavelength=None):
    """
    Wavefront error of telescope and instrument.

    Parameters
    ----------
    channel : str
        Name of an `jwst_fusion.psf.instruments.Instrument`, such as "NIRCAM_SW".
    wavelength : float, optional
        Wavelength [um], for the focus of NIRCam; without it that focus is left out.

    Returns
    -------
    ndarray
        Optical path difference over the samples of `pupil`, shape (512, 512) [nm], without mean
        and tilt.

    Notes
    -----
    The budget: segment pistons and tilts 22 nm rms, power and astigmatism of single segments
    23 nm rms, both the same for all instruments, and Zernike polynomials 5 to 15 (Noll) of the
    instrument for the rest of ``Instrument.wavefront_rms``. On top of it comes NIRCam's focus,
    which depends on the wavelength. The amounts are those of STPSF's models with its example of a
    measured telescope. The coefficients are a fixed low-discrepancy sequence, so the result never
    changes: it is a typical wavefront, not the one of a date.
    """
    error = _static_error(channel)
    if wavelength is None or channel not in _FOCUS:
        return error
    return error + float(_focus(channel)(wavelength)) * _defocus()


@cache
def _focus(channel):
    from scipy.interpolate import CubicSpline

    # Smooth, so that PSFs can be interpolated between wavelengths.
    return CubicSpline(*_FOCUS[channel])


@cache
def _defocus():
    """Wavefront of 1 nm rms defocus over the open area."""
    step = np.linspace(-1.0, 1.0, _SAMPLES)
    surface = step[:, None] ** 2 + step[None, :] ** 2
    return _scaled(surface, pupil() > 0, 1.0)


@cache
def _static_error(channel):
    import poppy

    open_area = pupil() > 0
    index, x, y, count = _segment_coordinates()
    draws = _normal_deviates(5 * count, 0.2).reshape(5, count)
    piston, tilt_x, tilt_y = draws[0][index], draws[1][index], draws[2][index]
    alignment = piston + 2.0 * (tilt_x * x + tilt_y * y)
    figure = draws[3][index] * (2.0 * (x**2 + y**2) - 1.0) + draws[4][index] * (x**2 - y**2)

    terms = list(_INSTRUMENT_TERMS)
    weights = _normal_deviates(len(terms), _STARTS[channel]) / np.sqrt(1.0 + np.arange(len(terms)))
    basis = poppy.zernike.zernike_basis(nterms=max(terms), npix=_SAMPLES, outside=0.0)
    instrument = sum(w * basis[j - 1] for w, j in zip(weights, terms, strict=True))

    telescope = np.hypot(_SEGMENT_ALIGNMENT, _SEGMENT_FIGURE)
    total = INSTRUMENTS[channel].wavefront_rms
    rest = np.sqrt(total**2 - telescope**2)
    error = _scaled(alignment, open_area, _SEGMENT_ALIGNMENT)
    error += _scaled(figure, open_area, _SEGMENT_FIGURE)
    error += _scaled(instrument, open_area, rest)
    return _scaled(error, open_area, total)


def native_psf(channel, wavelength, scale, size, *, error=None):
    """
    Monochromatic PSF with V3 up and V2 to the left.

    Parameters
    ----------
    channel : str
        Name of an `jwst_fusion.psf.instruments.Instrument`, such as "NIRCAM_SW".
    wavelength : float
        Wavelength [um].
    scale : float
        Pixel [arcsec].
    size : int
        Pixels a side, odd.
    error : ndarray, optional
        Optical path difference over the samples of `pupil`, shape (512, 512) [nm], instead of
        `wavefront_error`. Where it rises towards +V2 or +V3, light moves to +V2 or +V3.

    Returns
    -------
    ndarray
        Intensity at the pixel centres, shape (size, size), as a share of the light that passes the
        pupil.
    """
    opd = wavefront_error(channel, wavelength) if error is None else error
    return propagate(pupil(), opd, wavelength, scale, size)


def propagate(transmission, opd, wavelength, scale, size):
    """
    Monochromatic PSF of a pupil of the side `DIAMETER`, with V3 up and V2 to the left.

    Parameters
    ----------
    transmission, opd : ndarray
        Transmission of the entrance pupil and optical path difference [nm], both of shape (n, n)
        with rows along +V3 and columns along +V2.
    wavelength : float
        Wavelength [um].
    scale : float
        Pixel [arcsec].
    size : int
        Pixels a side, odd.

    Returns
    -------
    ndarray
        Intensity at the pixel centres, shape (size, size), as a share of the light that passes the
        pupil.
    """
    from poppy.matrixDFT import matrix_dft

    metres = wavelength * 1e-6
    amplitude = transmission * np.exp(2j * np.pi * opd * 1e-9 / metres)
    resolution = np.rad2deg(metres / DIAMETER) * 3600.0
    # The exit pupil is the entrance pupil with V3 inverted; the transform turns V2 to the left.
    field = matrix_dft(amplitude[::-1], size * scale / resolution, size, centering="ADJUSTABLE")
    intensity = np.abs(field) ** 2
    return intensity / np.sum(np.abs(transmission) ** 2)
