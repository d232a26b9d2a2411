"""Grids of pixels on the sky: scale, orientation, refinement, overlap."""

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

__all__ = ["SkyGrid", "crop_to_grid"]


@dataclass(frozen=True)
class SkyGrid:
    """
    A rectangular array of pixels with sky coordinates.

    Attributes
    ----------
    wcs : `~astropy.wcs.WCS`
        Two-dimensional celestial WCS of pixel (x, y).
    shape : tuple of int
        Number of pixels (y, x).
    """

    wcs: WCS
    shape: tuple

    @property
    def scales(self):
        """Pixel scale along x and y, arcsec."""
        return tuple(float(scale) * 3600 for scale in proj_plane_pixel_scales(self.wcs))

    @property
    def scale(self):
        """Mean pixel scale, arcsec: the square root of the pixel's area."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix)))) * 3600

    @property
    def square(self):
        """Whether pixels are square to one part in a thousand."""
        matrix = self.wcs.pixel_scale_matrix * 3600 / self.scale
        return bool(np.allclose(matrix @ matrix.T, np.eye(2), atol=2e-3))

    @property
    def mirrored(self):
        """Whether East lies to the right when North is up."""
        return bool(np.linalg.det(self.wcs.pixel_scale_matrix) > 0)

    @property
    def centre(self):
        """Sky coordinates of the middle of the array."""
        y, x = ((size - 1) / 2 for size in self.shape)
        return self.sky(x, y)

    @property
    def pa_y(self):
        """Position angle of the +y axis in the middle of the array, degrees East of North."""
        y, x = ((size - 1) / 2 for size in self.shape)
        return float(self.sky(x, y - 0.5).position_angle(self.sky(x, y + 0.5)).wrap_at("180d").deg)

    @property
    def radius(self):
        """Angular distance from the centre to the farthest corner, degrees."""
        return float(self.corners().separation(self.centre).deg.max())

    def sky(self, x, y):
        """
        Return the sky coordinates of pixel positions.

        Parameters
        ----------
        x, y : array_like
            Columns and rows, 0 at the centre of the first pixel; of shapes that broadcast.

        Returns
        -------
        `~astropy.coordinates.SkyCoord`
            Their coordinates, in the shape of the positions.
        """
        ra, dec = self.wcs.wcs_pix2world(x, y, 0)
        return SkyCoord(ra, dec, unit="deg")

    def pixels(self, sky):
        """
        Return the pixel positions of sky coordinates.

        Parameters
        ----------
        sky : `~astropy.coordinates.SkyCoord`
            The coordinates.

        Returns
        -------
        list of array
            Columns x and rows y, 0 at the centre of the first pixel, in the shape of `sky`.
        """
        return self.wcs.wcs_world2pix(sky.ra.deg, sky.dec.deg, 0)

    def corners(self):
        """Return the sky coordinates of the four outer corners."""
        ny, nx = self.shape
        x = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5])
        y = np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
        return self.sky(x, y)

    def describe(self):
        """Return centre and size in words."""
        ny, nx = self.shape
        size = f'{nx * self.scales[0]:.1f}" x {ny * self.scales[1]:.1f}"'
        return f"{size} around {self.centre.to_string('hmsdms', precision=2)}"

    def cropped(self, window):
        """
        Return the grid of a part of the array.

        Parameters
        ----------
        window : tuple of slice
            The rows and columns that remain.

        Returns
        -------
        SkyGrid
            The smaller grid.
        """
        rows, columns = (part.indices(size) for part, size in zip(window, self.shape, strict=True))
        return self.padded(
            (-rows[0], rows[1] - self.shape[0]), (-columns[0], columns[1] - self.shape[1])
        )

    def padded(self, rows, columns):
        """
        Return the grid with pixels added (or, if negative, removed) at its edges.

        Parameters
        ----------
        rows, columns : tuple of int
            Pixels to add before and after.

        Returns
        -------
        SkyGrid
            The other grid.
        """
        wcs = self.wcs.deepcopy()
        wcs.wcs.crpix = wcs.wcs.crpix + np.array([columns[0], rows[0]])
        return SkyGrid(_set(wcs), (self.shape[0] + sum(rows), self.shape[1] + sum(columns)))

    def refined(self, factor):
        """
        Return the grid with each pixel divided into factor x factor.

        Parameters
        ----------
        factor : int
            The number of fine pixels along each side of a pixel. The centre of pixel i is fine
            position ``factor * i + (factor - 1) / 2``.

        Returns
        -------
        SkyGrid
            The finer grid of the same area.
        """
        wcs = self.wcs.deepcopy()
        wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) * factor + 0.5
        if wcs.wcs.has_cd():
            wcs.wcs.cd = wcs.wcs.cd / factor
        else:
            wcs.wcs.cdelt = np.asarray(wcs.wcs.cdelt) / factor
        return SkyGrid(_set(wcs), (self.shape[0] * factor, self.shape[1] * factor))

    def mirror(self):
        """Return the grid of the array with its columns in reverse order."""
        wcs = self.wcs.deepcopy()
        crpix = np.array(wcs.wcs.crpix)
        crpix[0] = self.shape[1] + 1 - crpix[0]
        wcs.wcs.crpix = crpix
        name = "cd" if wcs.wcs.has_cd() else "pc"
        matrix = np.array(getattr(wcs.wcs, name))
        matrix[:, 0] *= -1
        setattr(wcs.wcs, name, matrix)
        return SkyGrid(_set(wcs), self.shape)

    def shifted(self, x, y):
        """
        Return the grid whose pixel (i, j) shows what pixel (i + x, j + y) showed.

        Parameters
        ----------
        x, y : float
            Shift in columns and rows, pixels.

        Returns
        -------
        SkyGrid
            The grid, in the same shape.
        """
        wcs = self.wcs.deepcopy()
        wcs.wcs.crpix = wcs.wcs.crpix - np.array([x, y])
        return SkyGrid(_set(wcs), self.shape)

    def turned(self, angle):
        """
        Return the grid turned around the middle of the array.

        Parameters
        ----------
        angle : float
            Degrees, from +x to +y. The pixel at a distance d from the middle shows what the pixel
            at this distance turned by the angle showed.

        Returns
        -------
        SkyGrid
            The grid, in the same shape.
        """
        cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        turn = np.array([[cos, -sin], [sin, cos]])
        wcs = self.wcs.deepcopy()
        middle = (np.array(self.shape[::-1]) + 1) / 2
        wcs.wcs.crpix = middle + turn.T @ (wcs.wcs.crpix - middle)
        name = "cd" if wcs.wcs.has_cd() else "pc"
        setattr(wcs.wcs, name, np.array(getattr(wcs.wcs, name)) @ turn)
        return SkyGrid(_set(wcs), self.shape)

    def recentred(self, source, target):
        """
        Return the grid that shows one position of the sky where it showed another.

        Parameters
        ----------
        source, target : `~astropy.coordinates.SkyCoord`
            The pixel that shows ``source`` is to show ``target``; directions relative to local
            North stay.

        Returns
        -------
        SkyGrid
            The other grid, a tangent plane at ``target``.
        """
        x, y = (float(one) for one in self.pixels(source))
        steps = np.array([[0.5, -0.5, 0, 0], [0, 0, 0.5, -0.5]])
        east, north = source.spherical_offsets_to(self.sky(x + steps[0], y + steps[1]))
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.crval = [target.ra.deg, target.dec.deg]
        wcs.wcs.crpix = [x + 1, y + 1]
        wcs.wcs.cd = [[one[0] - one[1], one[2] - one[3]] for one in (east.deg, north.deg)]
        return SkyGrid(_set(wcs), self.shape)

    def window(self, centre, width, height):
        """
        Return the rows and columns of a rectangle on the sky.

        Parameters
        ----------
        centre : `~astropy.coordinates.SkyCoord`
            Centre of the rectangle.
        width, height : float
            Size along x and y, arcsec.

        Returns
        -------
        tuple of slice or None
            Rows and columns; None if the rectangle lies outside.
        """
        if self.centre.separation(centre).deg > self.radius + np.hypot(width, height) / 3600:
            return None
        position = self.pixels(centre)
        parts = []
        for axis, size, length in ((1, height, self.shape[0]), (0, width, self.shape[1])):
            half = size / self.scales[axis] / 2
            start = max(int(np.ceil(position[axis] - half - 1e-6)), 0)
            stop = min(int(np.floor(position[axis] + half + 1e-6)) + 1, length)
            if stop <= start:
                return None
            parts.append(slice(start, stop))
        return tuple(parts)


def crop_to_grid(grid, target, *, border=0):
    """
    Return the part of one array that another covers.

    Parameters
    ----------
    grid : SkyGrid
        The array to be cropped.
    target : SkyGrid
        The area that is needed.
    border : int, optional
        Pixels of ``grid`` to add on every side.

    Returns
    -------
    tuple of slice or None
        Rows and columns; None if the two areas do not overlap.
    """
    if grid.centre.separation(target.centre).deg > grid.radius + target.radius:
        return None
    ny, nx = target.shape
    along = np.linspace(-0.5, 0.5, 33)
    rim = np.full(33, 0.5)
    edge_x = (nx - 1) / 2 + nx * np.concatenate([along, along, -rim, rim])
    edge_y = (ny - 1) / 2 + ny * np.concatenate([-rim, rim, along, along])
    x, y = grid.pixels(target.sky(edge_x, edge_y))
    window = []
    for position, size in ((y, grid.shape[0]), (x, grid.shape[1])):
        if position.max() < -0.5 or position.min() > size - 0.5:
            return None
        start = max(int(np.floor(position.min())) - border, 0)
        window.append(slice(start, min(int(np.ceil(position.max())) + border + 1, size)))
    return tuple(window)


def _set(wcs):
    wcs.wcs.set()
    return wcs
