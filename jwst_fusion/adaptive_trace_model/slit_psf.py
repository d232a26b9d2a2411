"""Profile of a point source along a slit: the PSF summed over the width of the slit."""

import numpy as np

from jwst_fusion.psf import chebyshev_nodes, make_psf

__all__ = ["SlitPsf"]

#: Half length of the profile, arcsec: more than the slits have from a source in their middle.
_HALF = 4.0
#: Samples per native pixel, and wavelengths at which the PSF is made.
_SAMPLES, _NODES = 5, 9


class SlitPsf:
    """
    Light of a point source along a slit.

    Between the wavelengths at which the PSF is made, the light within a distance from the source is
    interpolated at the same distance in units of the wavelength.

    Parameters
    ----------
    instrument : {"NIRSPEC", "MIRI"}
        The instrument, see `jwst_fusion.psf.make_psf`.
    wavelength : tuple of float
        Shortest and longest, micrometre.
    pitch : float
        Native pixel along the slit, arcsec.
    width : float
        Width of the slit, arcsec. The source is in its middle.
    angle : float
        Position angle of V3 minus that of the slit's direction, degree.
    source : str, optional
        How the PSF is made, see `jwst_fusion.psf.make_psf`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(self, instrument, wavelength, *, pitch, width, angle=0.0, source="auto"):
        low, high = wavelength
        nodes = chebyshev_nodes(low, high, _NODES) if high > low else np.array([low])
        scale = pitch / _SAMPLES
        half = int(_HALF / scale)
        cube = make_psf(
            instrument,
            wavelength=nodes,
            pixel_scale=scale,
            npix=2 * half + 1,
            angle=angle,
            source=source,
        )
        across = np.clip(0.5 * width / scale + 0.5 - np.abs(np.arange(-half, half + 1)), 0, 1)
        within = np.cumsum(np.asarray(cube.data) @ across, axis=1)
        self.pitch = pitch
        self._nodes = np.asarray(cube.wavelength)
        self._within = within / within[:, -1:]
        # Light up to the upper edge of each sample.
        self._edge = (np.arange(-half, half + 1) + 0.5) * scale

    def __call__(self, distance, wavelength):
        """
        Part of the light in each native pixel.

        Parameters
        ----------
        distance : ndarray
            Distance of the pixels from the source, in native pixels.
        wavelength : ndarray
            Micrometre, same shape.

        Returns
        -------
        ndarray
            Part of the light that the slit lets through, same shape; 0 where a value is NaN.
        """
        wavelength = np.clip(np.nan_to_num(wavelength), self._nodes[0], self._nodes[-1])
        distance = np.nan_to_num(distance, nan=np.inf)
        upper = self._light((distance + 0.5) * self.pitch, wavelength)
        return upper - self._light((distance - 0.5) * self.pitch, wavelength)

    def _light(self, distance, wavelength):
        """Part of the light below a distance, arcsec."""
        if len(self._nodes) == 1:
            return np.interp(distance, self._edge, self._within[0], left=0.0, right=1.0)
        index = np.clip(np.searchsorted(self._nodes, wavelength) - 1, 0, len(self._nodes) - 2)
        total = np.zeros(distance.shape)
        weight = (wavelength - self._nodes[index]) / (self._nodes[index + 1] - self._nodes[index])
        for one, node in enumerate(self._nodes):
            part = np.where(index == one, 1 - weight, np.where(index == one - 1, weight, 0.0))
            used = part > 0
            scaled = distance[used] * node / wavelength[used]
            total[used] += part[used] * np.interp(
                scaled, self._edge, self._within[one], left=0.0, right=1.0
            )
        return total
