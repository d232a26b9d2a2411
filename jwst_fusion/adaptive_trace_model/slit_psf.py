"""Profile of a point source along a slit or slice: the PSF summed over its width."""

from functools import lru_cache

import numpy as np

from jwst_fusion.psf import make_psf

__all__ = ["RANGES", "SlitPsf"]

#: Wavelengths that slits see and for which there is a PSF, micrometre.
RANGES = {"NIRSPEC": (0.6, 5.3), "MIRI": (4.8, 14.0)}
#: Half side of the PSF, and distance of its samples, arcsec. It holds all light.
_HALF, _SAMPLE = 4.0, 0.025
#: Wavelengths at which it is made.
_NODES = 7


class SlitPsf:
    """
    Light of a point source along a slit or a slice.

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
        Width of the slit, arcsec.
    angle : float, optional
        Position angle of V3 minus that of the slit's direction, degree.
    across : float, optional
        Distance of the source from the middle of the slit across it, arcsec.
    source : str, optional
        How the PSF is made, see `jwst_fusion.psf.make_psf`.
    """

    def __init__(self, instrument, *, pitch, width, angle=0.0, across=0.0, source="auto"):
        self.pitch = pitch
        self._request = (instrument, width, angle, across, source)

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
            Part of all light of the source, same shape; 0 where a distance is NaN.
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
                light = np.interp(scaled, edge, within[one])
                total[used] += np.sign(side) * part[used] * light
        return total


@lru_cache(maxsize=64)
def _tables(instrument, width, angle, across, source):
    """Wavelengths, upper edges of samples, and the light up to these at each wavelength."""
    cube = _cube(instrument, angle, source)
    half = cube.data.shape[-1] // 2
    offset = np.arange(-half, half + 1)
    # The source is in the middle of the PSF, the slit beside it.
    beside = np.abs(offset + across / _SAMPLE)
    inside = np.clip(0.5 * width / _SAMPLE + 0.5 - beside, 0, 1)
    within = np.cumsum(np.asarray(cube.data) @ inside, axis=1)
    # Below the first sample there is nothing.
    edge = (np.arange(-half - 1, half + 1) + 0.5) * _SAMPLE
    return np.asarray(cube.wavelength), edge, np.pad(within, ((0, 0), (1, 0)))


@lru_cache(maxsize=4)
def _cube(instrument, angle, source):
    """PSF at wavelengths over the range of the instrument, the slit along y."""
    return make_psf(
        instrument,
        wavelength=np.geomspace(*RANGES[instrument], _NODES),
        pixel_scale=_SAMPLE,
        npix=2 * int(_HALF / _SAMPLE) + 1,
        angle=angle,
        source=source,
    )
