"""Measure against the images how much wider the PSF of a cube is than its model."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft, optimize

from jwst_fusion.fusion.observed.matching import blur_with_gaps, matching_kernel, sample_spaxels
from jwst_fusion.messages import warn
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA

__all__ = ["Broadening", "broaden", "fit_broadening"]

log = logging.getLogger(__name__)

# No cube of JWST is blurred by more than this beyond its model (arcsec).
_WIDEST = 0.5
# Where less than this share of a PSF falls on data, a spaxel is not compared.
_COMPLETE = 0.98
# Spaxels at least from which two widths are fitted, with four numbers that are free besides.
_FEWEST = 25
# The residual has to fall by this factor for a broadening to be accepted: a smaller gain may
# be noise that the two widths fit.
_IMPROVEMENT = 0.95


@dataclass(frozen=True)
class Broadening:
    """
    A Gaussian that widens the PSF of the cube.

    Attributes
    ----------
    across, along : float
        FWHM across and along the slices, arcsec.
    angle : float
        Degrees counterclockwise from +x of the grid to the direction across the slices.
    """

    across: float
    along: float
    angle: float


def broaden(psf, broadening, pixel_scale):
    """
    Widen the PSF of the cube.

    Parameters
    ----------
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both instruments.
    broadening : Broadening
        The Gaussian.
    pixel_scale : float
        Fine pixel, arcsec.

    Returns
    -------
    `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        The same with the PSF of the cube convolved with the Gaussian, of unit sum.
    """
    wide = np.array([_smooth(one, broadening, pixel_scale) for one in psf.cube])
    return replace(psf, cube=wide / wide.sum((1, 2), keepdims=True))


def fit_broadening(images, synthetics, psfs_image, psfs_cube, *, factor, pixel_scale, angle):
    """
    Fit a Gaussian, elongated along or across the slices, that makes cube and images agree.

    Parameters
    ----------
    images : array (F, d h, d w)
        Images on the fine grid; NaN where there are no data.
    synthetics : array (F, h, w)
        The cube through the same filters; NaN where there are no data.
    psfs_image, psfs_cube : array (F, m, m)
        PSFs of both in the bands, on the fine grid.
    factor : int
        Fine pixels per spaxel, d.
    pixel_scale : float
        Fine pixel, arcsec.
    angle : float
        Degrees counterclockwise from +x of the grid to the direction across the slices.

    Returns
    -------
    Broadening
        The Gaussian; of width zero if none brings cube and images closer.

    Notes
    -----
    The image, smoothed to the resolution of the cube and blurred with the Gaussian, should equal
    the cube up to a factor, a constant and a small shift, which are free. The sum over filters of
    the squared residuals, in units of the variance of the cube, is minimised over the two widths.
    Light from outside the image does not enter: only spaxels are
    compared on which all blurring falls on data.
    """
    parts = [
        _Comparison(*four, factor)
        for four in zip(images, synthetics, psfs_image, psfs_cube, strict=True)
    ]
    parts = [part for part in parts if part.usable]
    none = Broadening(0.0, 0.0, angle)
    if not parts:
        warn(log, "Too little of the images overlaps with the cube to fit the PSF of the cube")
        return none

    def cost(widths):
        trial = Broadening(abs(widths[0]), abs(widths[1]), angle)
        return sum(part.residual(trial, pixel_scale) for part in parts)

    round_ = optimize.minimize_scalar(
        lambda width: cost((width, width)), bounds=(0, _WIDEST), method="bounded"
    )
    best = optimize.minimize(
        cost,
        [round_.x, round_.x],
        method="Nelder-Mead",
        bounds=[(0, _WIDEST)] * 2,
        options={"xatol": 5e-4, "fatol": 1e-9, "maxiter": 120},
    )
    before = cost((0.0, 0.0))
    if best.fun > _IMPROVEMENT * before:
        log.info("The PSF of the cube is no wider than its model")
        return none
    found = Broadening(float(abs(best.x[0])), float(abs(best.x[1])), angle)
    log.info(
        'The PSF of the cube is wider than its model by a Gaussian of FWHM %.3f" across and %.3f" '
        "along the slices (relative residual %.2g instead of %.2g)",
        found.across,
        found.along,
        np.sqrt(best.fun / len(parts)),
        np.sqrt(before / len(parts)),
    )
    return found


class _Comparison:
    """One image at the resolution of the cube against the cube through its filter."""

    def __init__(self, image, synthetic, psf_image, psf_cube, factor):
        self._factor, self._cube = factor, synthetic
        kernel = matching_kernel(psf_image, psf_cube, factor)
        self._sum, self._share = blur_with_gaps(image, kernel)
        enough = np.isfinite(synthetic) & (sample_spaxels(self._share, factor) > _COMPLETE)
        self.usable = np.count_nonzero(enough) >= _FEWEST and np.var(synthetic[enough]) > 0

    def residual(self, broadening, pixel_scale):
        share = np.maximum(_smooth(self._share, broadening, pixel_scale), 1e-6)
        image = _smooth(self._sum, broadening, pixel_scale) / share
        image = sample_spaxels(image, self._factor)
        used = np.isfinite(self._cube) & (sample_spaxels(share, self._factor) > 0.9 * _COMPLETE)
        if np.count_nonzero(used) < _FEWEST:
            return 1.0
        slope_y, slope_x = np.gradient(image)
        terms = np.stack([image, slope_x, slope_y, np.ones_like(image)], -1)[used]
        target = self._cube[used]
        solution = np.linalg.lstsq(terms, target, rcond=None)[0]
        return float(np.var(target - terms @ solution) / np.var(target))


def _smooth(image, broadening, pixel_scale):
    """Convolve with the Gaussian, exactly for any width, on a field surrounded by zeros."""
    across, along = (w / FWHM_OF_SIGMA / pixel_scale for w in (broadening.across, broadening.along))
    if across == along == 0:
        return image
    shape = tuple(
        fft.next_fast_len(size + 2 * int(4 * max(across, along) + 1)) for size in image.shape
    )
    y, x = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])
    cos, sin = np.cos(np.deg2rad(broadening.angle)), np.sin(np.deg2rad(broadening.angle))
    power = (across * (x * cos + y * sin)) ** 2 + (along * (y * cos - x * sin)) ** 2
    spectrum = fft.rfft2(image, shape) * np.exp(-2 * np.pi**2 * power)
    return fft.irfft2(spectrum, shape)[: image.shape[0], : image.shape[1]]
