"""Profile of a point source along a slit: the PSF summed over the width of the slit."""

from functools import lru_cache

import numpy as np

from jwst_fusion.psf import make_psf

__all__ = ["RANGES", "SlitPsf"]

#: Wavelengths that slits see and for which there is a PSF, micrometre.
RANGES = {"NIRSPEC": (0.6, 5.3), "MIRI": (4.8, 14.0)}

#: Half length of the profile, arcsec: more than the slits have from a source in their middle.
_HALF = 4.0
#: Samples per native pixel, and wavelengths at which the PSF is made.
_SAMPLES, _NODES = 4, 7


class SlitPsf:
    """
    Light of a point source along a slit.

    Between the wavelengths at which the PSF is made, the light within a distance from the source is
    interpolated at the same distance in units of the wavelength. The PSF is made when it is first
    asked for, and kept for other slits.

    Parameters
    ----------
    instrument : {"NIRSPEC", "MIRI"}
        The instrument, see `jwst_fusion.psf.make_psf`.
    pitch : float
        Native pixel along the slit, arcsec.
    width : float
        Width of the slit, arcsec. The source is in its middle.
    angle : float
        Position angle of V3 minus that of the slit's direction, degree.
    source : str, optional
        How the PSF is made, see `jwst_fusion.psf.make_psf`.
    """

    def __init__(self, instrument, *, pitch, width, angle=0.0, source="auto"):
        self.pitch = pitch
        self._request = (instrument, pitch, width, angle, source)

    def __call__(self, distance, wavelength):
        """
        Part of the light in each native pixel.

        Parameters
        ----------
        distance : ndarray
            Distance of the pixels from the source, in native pixels.
        wavelength : ndarray
            Micrometre, same shape. Beyond the range of `RANGES` its ends stand for it.

        Returns
        -------
        ndarray
            Part of the light that the slit lets through, same shape; 0 where a distance is NaN.
        """
        nodes, edge, within = _tables(*self._request)
        wavelength = np.clip(np.nan_to_num(wavelength), nodes[0], nodes[-1])
        distance = np.nan_to_num(distance, nan=np.inf)
        index = np.clip(np.searchsorted(nodes, wavelength) - 1, 0, len(nodes) - 2)
        weight = (wavelength - nodes[index]) / (nodes[index + 1] - nodes[index])
        total = np.zeros(distance.shape)
        for one, node in enumerate(nodes):
            part = np.where(index == one, 1 - weight, np.where(index == one - 1, weight, 0.0))
            used = part > 0
            for side in (0.5, -0.5):
                scaled = (distance[used] + side) * self.pitch * node / wavelength[used]
                light = np.interp(scaled, edge, within[one], left=0.0, right=1.0)
                total[used] += np.sign(side) * part[used] * light
        return total


@lru_cache(maxsize=16)
def _tables(instrument, pitch, width, angle, source):
    """Wavelengths, upper edges of samples, and the light up to these at each wavelength."""
    scale = pitch / _SAMPLES
    half = int(_HALF / scale)
    offset = np.arange(-half, half + 1)
    cube = make_psf(
        instrument,
        wavelength=np.geomspace(*RANGES[instrument], _NODES),
        pixel_scale=scale,
        npix=2 * half + 1,
        angle=angle,
        source=source,
    )
    across = np.clip(0.5 * width / scale + 0.5 - np.abs(offset), 0, 1)
    within = np.cumsum(np.asarray(cube.data) @ across, axis=1)
    return np.asarray(cube.wavelength), (offset + 0.5) * scale, within / within[:, -1:]
