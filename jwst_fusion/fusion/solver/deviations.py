"""Spectra of point sources beyond the subspace: what of them is believed, and its errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from jwst_fusion.fusion.solver.posterior import BLOCK
from jwst_fusion.numerics.starlet import SPLINE

__all__ = ["Deviations"]

# Channels, about two resolution elements, over which a deviation must be significant; at broader
# scales as many times more.
_WINDOW = 5
_SCALES = 5  # at most: the smooth rest is some hundred channels wide
_SINGLE = 2  # scales whose details are those of single channels and of lines
_CORRELATED = 2.0  # channels over which the noise of a detail is correlated, by its width
_TINY = np.finfo(float).tiny
_BROADEST = 16  # widths of the smooth rest that a spectrum has at least
_BELIEVED = 2.0  # mean square of noise-normalised deviations below which they are taken for noise


@dataclass(frozen=True)
class Deviations:
    """Spectra of sources beyond what the subspace holds.

    Attributes
    ----------
    spectra : ndarray (J, L)
        Deviations, MJy/sr times fine pixel; 0 in channels without data.
    errors : ndarray (J, L)
        Their 1-sigma noise in the cube; infinite in channels without data.
    """

    spectra: np.ndarray
    errors: np.ndarray

    @classmethod
    def none(cls, count, channels):
        """Sources within the subspace.

        Parameters
        ----------
        count, channels : int
            Number of sources and of channels.

        Returns
        -------
        Deviations
            Of zero.
        """
        return cls(np.zeros((count, channels)), np.full((count, channels), np.inf))

    def believed(self):
        """Part of the deviations that is not noise.

        Returns
        -------
        ndarray (J, L)
            Sum over the scales of the spectra, from single channels to broad bands, of what they
            have there times the positive part of ``1 - (2 / e)**2``, with the mean square e of
            deviation over error around: 0 where they look like noise at this scale.

        Notes
        -----
        What a subspace lacks of the continuum of a star is far below the noise of single channels,
        and far above that of sums over many of them. Scales are those of starlets (Starck, Murtagh
        & Fadili 2010).
        """
        total = np.zeros_like(self.spectra)
        for one in self._scales():
            total += one.gain * one.values
        return np.where(np.isfinite(self.errors), total, 0.0)

    def spread(self):
        """Errors of what is believed.

        Noise of what is believed, and for the rest what deviations of this source that look like
        noise have more than that. What is believed or missed at broad scales, neighbouring channels
        share: sums over them need to know.

        Returns
        -------
        single : ndarray (J, L)
            1-sigma error of every channel on its own.
        broad : ndarray (J, L)
            That which all channels of a block of `~jwst_fusion.fusion.solver.posterior.BLOCK`
            share.
        """
        single, broad, whole = np.zeros_like(self.spectra), np.zeros_like(self.spectra), 0.0
        finest = np.zeros_like(self.spectra)
        for j, one in enumerate(self._scales()):
            quiet = (one.gain == 0) & np.isfinite(self.errors)
            # Neighbours at a broad scale are not independent.
            count = np.maximum(quiet.sum(1) / one.width, 1)
            excess = np.sum(np.where(quiet, one.energy, 0.0), axis=1)
            excess = excess / np.maximum(quiet.sum(1), 1) - 1
            # A mean of so many squares of noise does not tell less than its own error from nothing.
            hidden = (np.maximum(excess, 0.0) + np.sqrt(2 / count))[:, None]
            hidden = np.where(one.gain > 0, np.maximum(one.energy - 1, hidden), hidden)
            missed = (1 - one.gain) ** 2 * hidden
            # Of few channels the rest is all there is.
            if j == 0 or (j < _SINGLE and not one.rest):
                single += one.share * (one.gain**2 + missed)
                whole += one.share
                finest = one.gain if j == 0 else finest
            elif not one.rest:
                broad += one.share * _CORRELATED * one.width * missed
            else:
                # Sums over many channels have the noise of the rest alone, unless that of single
                # channels has it already.
                broad += np.maximum(one.gain**2 - finest**2, 0.0) + missed
        errors = np.where(np.isfinite(self.errors), self.errors, 0.0)
        return errors * np.sqrt(single / max(whole, _TINY)), errors * np.sqrt(broad / BLOCK)

    def _scales(self):
        """What the spectra have at each scale, the finest first, and the smooth rest."""
        there = np.isfinite(self.errors)
        variance = np.where(there, self.errors, 0.0) ** 2
        values, impulse = np.where(there, self.spectra, 0.0), _impulse()
        channels = max(there.sum(1).max(initial=0), 1)
        scales = int(np.clip(np.log2(channels / _BROADEST), 0, _SCALES))
        for j in range(scales + 1):
            width, smooth, wide = 2**j, np.zeros_like(values), np.zeros_like(impulse)
            if j < scales:
                smooth, wide = _smoothed(values, there, width), _smoothed(impulse, None, width)
            square = (impulse - wide) ** 2
            share, detail = float(square.sum()), values - smooth
            noise = share * _averaged(variance, there, np.trim_zeros(square[0]))
            square = np.where(there & (noise > 0), detail**2, 0.0) / np.where(noise > 0, noise, 1.0)
            window = min(_WINDOW * width, values.shape[1])
            energy = ndi.uniform_filter1d(square, window, axis=1, mode="nearest")
            gain = 1 - (_BELIEVED / np.maximum(energy, _BELIEVED)) ** 2
            yield _Scale(detail, energy, gain, share, width, j == scales)
            values, impulse = smooth, wide


@dataclass(frozen=True)
class _Scale:
    """Deviations at one scale: values, energy in units of noise, and gain (J, L)."""

    values: np.ndarray
    energy: np.ndarray
    gain: np.ndarray
    share: float  # of the variance of independent noise
    width: int  # channels
    rest: bool  # whether it is what no scale has


def _smoothed(values, there, step):
    """Spectra (J, L) smoothed at a dyadic step, over the channels that are there."""
    kernel = np.zeros(4 * step + 1)
    kernel[::step] = SPLINE
    if there is None:
        return ndi.convolve1d(values, kernel, axis=1, mode="reflect")
    return _averaged(values, there, kernel)


def _averaged(values, there, kernel):
    """Weighted mean around every channel of spectra (J, L), over the channels that are there."""
    total, weight = (
        ndi.convolve1d(one, kernel, axis=1, mode="reflect")
        for one in (np.where(there, values, 0.0), there.astype(float))
    )
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), 0.0)


def _impulse():
    """One channel amid so many others that no scale reaches their ends, (1, n)."""
    reach = 2 ** (_SCALES + 2)
    return np.eye(1, 2 * reach + 1, reach)
