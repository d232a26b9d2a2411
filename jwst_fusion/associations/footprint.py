"""Footprints on the sky: polygons from headers, and how much of one lies within another."""

import math
import re
from functools import cached_property

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["Footprint", "footprint_of"]

# Points per side at which a footprint is looked at.
_SAMPLES = 25


class Footprint:
    """
    One or several polygons on the sky.

    Parameters
    ----------
    polygons : sequence of array (corner, 2)
        RA and Dec of the corners, degree. They need not be convex.

    Attributes
    ----------
    centre : array (3,)
        Unit vector to the middle of the corners.
    radius : float
        Angle from there to the farthest corner, radian.
    """

    def __init__(self, polygons):
        self.polygons = [np.asarray(one, float) for one in polygons]
        vectors = np.concatenate([_vectors(one) for one in self.polygons])
        middle = vectors.mean(axis=0)
        self.centre = middle / np.linalg.norm(middle)
        self.radius = float(np.arccos(np.clip(vectors @ self.centre, -1, 1)).max())

    def separation(self, other):
        """
        Return the angle between the middles of two footprints.

        Parameters
        ----------
        other : Footprint
            The other of the two.

        Returns
        -------
        float
            Degree, 0 to 180.
        """
        chord = math.dist(self.centre, other.centre)
        return math.degrees(2 * math.asin(min(chord / 2, 1.0)))

    def share_within(self, other):
        """
        Return which part of this footprint lies within another.

        Parameters
        ----------
        other : Footprint
            The other one.

        Returns
        -------
        float
            0 to 1, from a grid of points.
        """
        if np.radians(self.separation(other)) > self.radius + other.radius:
            return 0.0
        if not len(self._points):
            return 0.0
        return float(_inside(self._points, [self._plane(one) for one in other._corners]).mean())

    @cached_property
    def _corners(self):
        return [_vectors(one) for one in self.polygons]

    @cached_property
    def _axes(self):
        """Unit vectors along the plane that touches the sky at the centre."""
        pole = np.eye(3)[np.argmin(np.abs(self.centre))]
        first = np.cross(pole, self.centre)
        first /= np.linalg.norm(first)
        return np.stack([first, np.cross(self.centre, first)], axis=1)

    @cached_property
    def _points(self):
        """Points of a grid that lie within the footprint, on the plane."""
        mine = [self._plane(one) for one in self._corners]
        corners = np.concatenate(mine)
        low, high = corners.min(axis=0), corners.max(axis=0)
        steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        x, y = np.meshgrid(*(low[:, None] + (high - low)[:, None] * steps))
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        return points[_inside(points, mine)]

    def _plane(self, vectors):
        """Project unit vectors on the plane; far ones are cut off."""
        return vectors @ self._axes / np.clip(vectors @ self.centre, 1e-3, None)[:, None]


def footprint_of(header):
    """
    Return the footprint of a product.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of the science image, with ``S_REGION`` or celestial coordinates.

    Returns
    -------
    Footprint or None
        None if the header does not say where the product is.
    """
    polygons = _region(str(header.get("S_REGION", "")))
    if not polygons:
        polygons = _from_wcs(header)
    return Footprint(polygons) if polygons else None


def _region(text):
    polygons = []
    for shape, words in re.findall(
        r"(POLYGON|CIRCLE)\s+(?:ICRS|FK5)?([^A-Za-z]*(?:[eE][^A-Za-z]*)*)", text.upper()
    ):
        values = [float(word) for word in words.split()]
        if shape == "CIRCLE" and len(values) == 3:
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            ra, dec, radius = values
            east = radius * np.cos(angle) / np.cos(np.radians(dec))
            polygons.append(np.stack([ra + east, dec + radius * np.sin(angle)], axis=1))
        elif len(values) >= 6 and len(values) % 2 == 0:
            polygons.append(np.reshape(values, (-1, 2)))
    return [one for one in polygons if np.isfinite(one).all()]


def _from_wcs(header):
    """Return the outline of an image or cube with celestial coordinates in its header."""
    shape = header.get("NAXIS2"), header.get("NAXIS1")
    if None in shape or not str(header.get("CTYPE1", "")).startswith(("RA--", "DEC-")):
        return []
    keys = ("CTYPE", "CRPIX", "CRVAL", "CUNIT", "CDELT")
    names = [f"{key}{axis}" for key in keys for axis in (1, 2)]
    names += [f"{key}{i}_{j}" for key in ("PC", "CD") for i in (1, 2) for j in (1, 2)]
    wcs = WCS(fits.Header({name: header[name] for name in names if name in header}), naxis=2)
    height, width = shape
    x = np.array([-0.5, width - 0.5, width - 0.5, -0.5])
    y = np.array([-0.5, -0.5, height - 0.5, height - 0.5])
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    corners = np.stack([ra, dec], axis=1)
    return [corners] if np.isfinite(corners).all() else []


def _vectors(polygon):
    ra, dec = np.radians(polygon).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _inside(points, polygons):
    """Say which points lie within any of the polygons (rays that cross an odd number of sides)."""
    found = np.zeros(len(points), bool)
    for polygon in polygons:
        inside = np.zeros(len(points), bool)
        for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            crosses = (y1 > points[:, 1]) != (y2 > points[:, 1])
            if crosses.any():
                at = x1 + (points[crosses, 1] - y1) * (x2 - x1) / (y2 - y1)
                inside[crosses] ^= points[crosses, 0] < at
        found |= inside
    return found
