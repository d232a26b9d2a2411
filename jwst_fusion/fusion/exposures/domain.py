"""The periodic domain around the grid of the product, and pixels placed on it."""

from dataclasses import dataclass

import numpy as np
import scipy.fft as sf

from jwst_fusion.fusion.exposures.operator import PlacedPixels
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.solver.grid import Grid

__all__ = ["Domain", "positions_on"]

# Fine pixels around the product whose data are explained as well: light that the PSF brings across
# the border is then known from both sides.
_MARGIN = 16
_RIM = 2  # pixels at the rim of these that are left out, for the taps of the splines


def positions_on(sky, ra, dec):
    """
    Positions of sky coordinates on a grid, some of which may be unknown.

    Parameters
    ----------
    sky : SkyGrid
        The grid.
    ra, dec : array (n,)
        Coordinates, degree; NaN where unknown.

    Returns
    -------
    x : array (n,)
        Columns, 0 at the centre of the first pixel; NaN where unknown.
    y : array (n,)
        Rows, likewise.
    """
    known = np.isfinite(ra) & np.isfinite(dec)
    centre = sky.wcs.wcs.crval
    x, y = sky.wcs.wcs_world2pix(np.where(known, ra, centre[0]), np.where(known, dec, centre[1]), 0)
    return np.where(known, x, np.nan), np.where(known, y, np.nan)


@dataclass(frozen=True)
class Domain:
    """
    A periodic domain and where the product lies on it.

    Attributes
    ----------
    grid : Grid
        Domain, of factor one.
    sky : SkyGrid
        Sky coordinates of its pixels.
    product : SkyGrid
        Grid of the product, which begins at row and column `margin` of the domain.
    margin : int
        Fine pixels.
    """

    grid: Grid
    sky: SkyGrid
    product: SkyGrid
    margin: int

    @classmethod
    def around(cls, product, reach):
        """
        Make the domain around a product.

        Parameters
        ----------
        product : SkyGrid
            Grid of the product, of square pixels.
        reach : int
            Size of the largest PSF, fine pixels: so far apart are the borders across which the
            domain repeats.

        Returns
        -------
        Domain
            The domain, of even sizes that are fast to transform.
        """
        shape = []
        for size in product.shape:
            number = sf.next_fast_len(size + 2 * _MARGIN + reach, real=True)
            while number % 2:
                number = sf.next_fast_len(number + 1, real=True)
            shape.append(number)
        after = [total - size - _MARGIN for total, size in zip(shape, product.shape, strict=True)]
        sky = product.padded((_MARGIN, after[0]), (_MARGIN, after[1]))
        return cls(Grid(*shape, 1), sky, product, _MARGIN)

    @property
    def inside(self):
        """Rows and columns of the product on the domain."""
        return tuple(slice(self.margin, self.margin + size) for size in self.product.shape)

    def near(self, x, y):
        """
        Tell which positions lie on the product or in the margin around it.

        Parameters
        ----------
        x, y : array (n,)
            Columns and rows on the domain; may hold NaN.

        Returns
        -------
        bool array (n,)
            Whether they do.
        """
        ny, nx = (size + 2 * self.margin for size in self.product.shape)
        with np.errstate(invalid="ignore"):
            inside = (x >= _RIM) & (x <= nx - 1 - _RIM)
            return inside & (y >= _RIM) & (y <= ny - 1 - _RIM)

    def place(self, exposure, axis, offset=(0.0, 0.0)):
        """
        Place the pixels of an exposure.

        Parameters
        ----------
        exposure : ExposureObservation
            The exposure.
        axis : ChannelAxis
            Channels of the scene.
        offset : tuple of float, optional
            By how much it sees other places than its coordinates say, (x, y) in fine pixels.

        Returns
        -------
        PlacedPixels
            Its pixels; usable are those that are good, near the product, and within the channels.
        """
        x, y = positions_on(self.sky, exposure.ra, exposure.dec)
        x, y = x + offset[0], y + offset[1]
        with np.errstate(invalid="ignore"):
            good = exposure.good & np.isfinite(exposure.data) & (exposure.err > 0)
        usable = (
            good & np.isfinite(exposure.err) & axis.covers(exposure.wavelength) & self.near(x, y)
        )
        return PlacedPixels(x, y, exposure.wavelength, exposure.label, usable)

    def place_image(self, image):
        """
        Place the pixels of an image.

        Parameters
        ----------
        image : ImageObservation
            The image.

        Returns
        -------
        index : int array (n,)
            Flat index of the pixels that may be used.
        x, y : array (n,)
            Their columns and rows on the domain.
        """
        row, column = np.indices(image.data.shape)
        sky = image.grid.sky(column.ravel(), row.ravel())
        x, y = self.sky.pixels(sky)
        with np.errstate(invalid="ignore"):
            good = image.good & np.isfinite(image.data) & (image.err > 0) & np.isfinite(image.err)
        index = np.flatnonzero(good.ravel() & self.near(x, y))
        return index, x[index], y[index]
