"""Sources in a slit: spectra, an undersampled profile along the slit, background, nods.

Positions along the slit are in arcsec from its middle, towards growing rows (NIRSpec) or columns
(LRS); surface brightness is in MJy/sr, as native pixels centred at the positions would see it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

__all__ = ["LRS_PROFILE", "NIRSPEC_PROFILE", "SlitProfile", "SlitScene", "SlitSource"]

# share, position and width of what a star shows along the slit, in units of its FWHM
_LOBES = ((0.80, 0.0, 1.0), (0.04, -1.7, 0.6), (0.02, 1.6, 0.6))
_WINGS = 0.14  # share of the light beyond the lobes, so that all make one


@dataclass(frozen=True)
class SlitProfile:
    """
    Profile of a point source along the slit, integrated over a native pixel.

    A Gaussian core, two unequal lobes, and wings that fall with the square of the distance, as
    those of a star do when a slit has added them up.

    Parameters
    ----------
    smallest : float
        FWHM of the core at short wavelengths, arcsec.
    growth : float
        Its growth at long ones, arcsec per micrometre.
    pitch : float
        Native pixel, arcsec.
    """

    smallest: float
    growth: float
    pitch: float

    def fwhm(self, wavelength):
        """
        Width of the core.

        Parameters
        ----------
        wavelength : ndarray
            Micrometre.

        Returns
        -------
        ndarray
            FWHM, arcsec.
        """
        return np.hypot(self.smallest, self.growth * np.asarray(wavelength))

    def __call__(self, distance, wavelength):
        """
        Share of a source's light in a native pixel.

        Parameters
        ----------
        distance : ndarray
            Centre of the pixel minus the source, arcsec.
        wavelength : ndarray
            Micrometre.

        Returns
        -------
        ndarray
            Sum one over the pixels of an endless slit.
        """
        width = self.fwhm(wavelength) / self.pitch
        low, high = distance / self.pitch - 0.5, distance / self.pitch + 0.5
        total = np.arctan(high / width) - np.arctan(low / width)
        total *= _WINGS / np.pi
        for share, position, size in _LOBES:
            scale = np.sqrt(2) * size * width / 2.3548
            middle = position * width
            total += 0.5 * share * (erf((high - middle) / scale) - erf((low - middle) / scale))
        return total


# arcsec: FWHM as at wavelength zero, its growth per um, distance of the pixels along the slit
NIRSPEC_PROFILE = SlitProfile(smallest=0.055, growth=0.027, pitch=0.1)
LRS_PROFILE = SlitProfile(smallest=0.14, growth=0.029, pitch=0.11)


@dataclass(frozen=True)
class SlitSource:
    """
    A point source in a slit.

    Parameters
    ----------
    position : float
        Arcsec along the slit.
    brightness : float
        Surface brightness of all native pixels of a column together, MJy/sr, at 2 micrometre.
    slope : float
        Exponent of its continuum.
    lines : tuple of tuple of float
        Wavelength and FWHM (micrometre) and height relative to the continuum of each line;
        negative: absorbed.
    """

    position: float = 0.0
    brightness: float = 1000.0
    slope: float = -1.0
    lines: tuple = ()

    def spectrum(self, wavelength):
        """
        Spectrum of the source.

        Parameters
        ----------
        wavelength : ndarray
            Micrometre.

        Returns
        -------
        ndarray
            MJy/sr times native pixels, same shape.
        """
        relative = np.ones_like(wavelength)
        for centre, fwhm, height in self.lines:
            relative += height * np.exp(-0.5 * (2.3548 * (wavelength - centre) / fwhm) ** 2)
        return self.brightness * (wavelength / 2.0) ** self.slope * relative


@dataclass(frozen=True)
class SlitScene:
    """
    What a slit sees.

    Parameters
    ----------
    sources : tuple of SlitSource
        The point sources.
    background : float
        Extended light in the middle of the slit, MJy/sr; subtracted where there are nods.
    gradient : float
        Its relative growth per arcsec.
    nods : tuple of tuple of float
        Distance (native pixels) and share of each copy subtracted: for a dither of three points
        ``((-8, 0.5), (8, 0.5))``.
    """

    sources: tuple = (SlitSource(),)
    background: float = 0.0
    gradient: float = 0.0
    nods: tuple = ()

    def light(self, position, wavelength, profile):
        """
        Light that falls on the pixels of one exposure.

        Parameters
        ----------
        position : ndarray
            Arcsec along the slit.
        wavelength : ndarray
            Micrometre, same shape.
        profile : SlitProfile
            Of the instrument.

        Returns
        -------
        ndarray
            MJy/sr, same shape; NaN where a coordinate is.
        """
        total = self.background * (1 + self.gradient * position) + 0 * wavelength
        for source in self.sources:
            total += source.spectrum(wavelength) * profile(position - source.position, wavelength)
        return total

    def surface_brightness(self, position, wavelength, profile):
        """
        Surface brightness once the nods are subtracted.

        Parameters
        ----------
        position : ndarray
            Arcsec along the slit.
        wavelength : ndarray
            Micrometre, same shape.
        profile : SlitProfile
            Of the instrument.

        Returns
        -------
        ndarray
            MJy/sr, same shape; NaN where a coordinate is.
        """
        total = self.light(position, wavelength, profile)
        for offset, share in self.nods:
            shifted = position - offset * profile.pitch
            total -= share * self.light(shifted, wavelength, profile)
        return total

    def collected(self, position, wavelength, profile):
        """
        Light behind the photon noise: that of the exposure and of the subtracted ones.

        Parameters
        ----------
        position : ndarray
            Arcsec along the slit.
        wavelength : ndarray
            Micrometre, same shape.
        profile : SlitProfile
            Of the instrument.

        Returns
        -------
        ndarray
            MJy/sr, same shape; NaN where a coordinate is.
        """
        total = self.light(position, wavelength, profile)
        for offset, share in self.nods:
            shifted = position - offset * profile.pitch
            total += share**2 * self.light(shifted, wavelength, profile)
        return total
