"""Channels of the MIRI medium-resolution spectrometer within a cube."""

import itertools

import numpy as np

from jwst_fusion.psf.instruments import MRS_BANDS

__all__ = ["mrs_band", "mrs_parts"]


def mrs_parts(wavelength, channels=""):
    """
    Divide the wavelengths of a cube among the channels of the spectrometer.

    Parameters
    ----------
    wavelength : array (L,)
        Wavelengths, micrometre.
    channels : str, optional
        Channels that the header names, such as "2" or "12"; by default any.

    Returns
    -------
    dict of str to bool array (L,)
        The wavelengths of each channel that has some. Where two overlap, they meet in the middle.

    Notes
    -----
    Detector pixels and slices differ between the channels, and so does the PSF of the cube. Within
    a channel the three bands differ only by 0.2 deg in angle.
    """
    wavelength = np.asarray(wavelength, float)
    known = [one for one in "1234" if one in channels] or list("1234")
    limits = [
        0.5 * (MRS_BANDS[f"{blue}C"][2] + MRS_BANDS[f"{red}A"][1])
        for blue, red in itertools.pairwise(known)
    ]
    index = np.searchsorted(limits, wavelength, side="right")
    parts = {one: index == number for number, one in enumerate(known)}
    return {one: inside for one, inside in parts.items() if inside.any()}


def mrs_band(channel, low, high):
    """
    Return the band of a channel whose middle is nearest to that of a range of wavelengths.

    Parameters
    ----------
    channel : {"1", "2", "3", "4"}
        Channel.
    low, high : float
        Ends of the range, micrometre.

    Returns
    -------
    str
        Band, such as "2A".
    """
    bands = [band for band in MRS_BANDS if band[0] == channel]
    return min(bands, key=lambda band: abs(sum(MRS_BANDS[band][1:]) - low - high))
