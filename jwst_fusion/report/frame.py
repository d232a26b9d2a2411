"""The field of a report: its size, its orientation, and places in it."""

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

__all__ = ["Frame", "celestial"]

# Lengths [arcsec] that a scale bar may have.
_BARS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


@dataclass(frozen=True)
class Frame:
    """
    A field of rows and columns on the sky; places are arcsec to the right of and above its middle.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    scale : float
        Arcsec per pixel.
    wcs : `~astropy.wcs.WCS` or None
        Celestial coordinates; without them, places are in pixels.
    """

    shape: tuple
    scale: float
    wcs: object

    @classmethod
    def of(cls, product):
        """
        Field of a product.

        Parameters
        ----------
        product : FusedProduct or HifredProduct
            Of whose ``data`` (channel, y, x), ``scale`` and ``wcs`` the field is made.

        Returns
        -------
        Frame
            The field.
        """
        return cls(product.data.shape[1:], product.scale, product.wcs)

    @property
    def extent(self):
        """Left, right, bottom and top edge."""
        height, width = (0.5 * size * self.scale for size in self.shape)
        return -width, width, -height, height

    @property
    def bar(self):
        """Length of a scale bar, a quarter of the field or so, and its text."""
        wanted = 0.3 * self.shape[1] * self.scale
        length = max((one for one in _BARS if one <= wanted), default=_BARS[0])
        if self.wcs is None:
            return length, f"{length:g} px"
        return length, f'{length:g}"' if length < 60 else f"{length / 60:g}'"

    @property
    def north(self):
        """Direction of North, (x, y) of unit length."""
        return self._direction(0.0, 1.0)

    @property
    def east(self):
        """Direction of East."""
        return self._direction(1.0, 0.0)

    def place(self, y, x):
        """
        Place of a pixel.

        Parameters
        ----------
        y, x : float or array
            Row and column, from 0.

        Returns
        -------
        tuple of float or array
            How far it lies to the right of and above the middle, arcsec; pixels without celestial
            coordinates.
        """
        height, width = self.shape
        return (x - (width - 1) / 2) * self.scale, (y - (height - 1) / 2) * self.scale

    def extent_of(self, wcs, shape):
        """
        Edges of another image whose axes are parallel to those of the field.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            Celestial coordinates of the image.
        shape : tuple of int
            Its rows and columns.

        Returns
        -------
        tuple of float
            Left, right, bottom and top edge, arcsec from the middle of the field.
        """
        x, y = np.array([-0.5, shape[1] - 0.5]), np.array([-0.5, shape[0] - 0.5])
        columns, rows = self.wcs.all_world2pix(*wcs.all_pix2world(x, y, 0), 0)
        (left, bottom), (right, top) = (self.place(rows[i], columns[i]) for i in (0, 1))
        return left, right, bottom, top

    def _direction(self, east, north):
        height, width = self.shape
        x, y = (width - 1) / 2, (height - 1) / 2
        ra, dec = self.wcs.all_pix2world([x], [y], 0)
        step = 0.1 / 3600
        ra = ra + east * step / np.cos(np.deg2rad(dec))
        there = np.ravel(self.wcs.all_world2pix(ra, dec + north * step, 0))
        vector = there - [x, y]
        return tuple(vector / np.hypot(*vector))


def celestial(header):
    """
    Read the celestial coordinates of a cube or image.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        With keywords of two or three axes.

    Returns
    -------
    `~astropy.wcs.WCS`
        Two axes.
    """
    wcs = WCS(naxis=2)
    for axis in (1, 2):
        wcs.wcs.ctype[axis - 1] = header[f"CTYPE{axis}"]
        wcs.wcs.cunit[axis - 1] = header.get(f"CUNIT{axis}", "deg")
        for key, values in (("CRVAL", wcs.wcs.crval), ("CRPIX", wcs.wcs.crpix)):
            values[axis - 1] = header[f"{key}{axis}"]
        wcs.wcs.cdelt[axis - 1] = header.get(f"CDELT{axis}", 1.0)
    kind = "CD" if "CD1_1" in header else "PC"
    matrix = np.array(
        [[header.get(f"{kind}{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)]
    )
    if kind == "CD":
        wcs.wcs.cd = matrix
    else:
        wcs.wcs.pc = matrix
    wcs.wcs.set()
    return wcs
