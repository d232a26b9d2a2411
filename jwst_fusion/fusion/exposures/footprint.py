"""The area on the sky that a pixel of an exposure sees: its height along a slice, and its width."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposures.domain import positions_on
from jwst_fusion.fusion.exposures.slice_lines import pixel_height, slice_width, trace_slices

__all__ = ["PixelFootprint"]

# Fine pixels: so far from its middle a pixel of the detector may lie within the fine one it is in.
_ROUNDED = 0.5


@dataclass(frozen=True)
class PixelFootprint:
    """
    A rectangle on the fine grid.

    Attributes
    ----------
    height, width : float
        Sides along and across the slices, fine pixels.
    angle : float
        Direction of the slices from columns to rows of the grid, degree.
    """

    height: float
    width: float
    angle: float

    @classmethod
    def of(cls, exposure, grid, wavelength):
        """
        Measure the pixels of an exposure.

        Parameters
        ----------
        exposure : ExposureObservation
            The exposure.
        grid : SkyGrid
            The fine grid.
        wavelength : array (L,)
            Ascending channels of the product, micrometre.

        Returns
        -------
        PixelFootprint
            Their common footprint.

        Raises
        ------
        NotFusableError
            If fewer than two slices have good pixels within the channels.
        """
        inside = exposure.good & (exposure.wavelength >= wavelength[0])
        inside &= exposure.wavelength <= wavelength[-1]
        x, y = positions_on(grid, exposure.ra, exposure.dec)
        lines = trace_slices(x, y, exposure.label, inside)
        if len(lines) < 2:
            msg = f"{exposure.name} has {len(lines)} slices within the channels of the product"
            raise NotFusableError(msg)
        direction = np.mean(
            [line.direction * np.sign(line.direction @ lines[0].direction) for line in lines],
            axis=0,
        )
        height = pixel_height(
            x, y, exposure.label, exposure.row, exposure.column, exposure.slit_axis
        )
        angle = float(np.degrees(np.arctan2(direction[1], direction[0])))
        return cls(height, slice_width(lines), angle)

    def steps(self):
        """
        Fine pixels that a pixel of the detector reaches, from the one that its middle is in.

        Returns
        -------
        int array (n, 2)
            Rows and columns, relative to that one.
        """
        reach = int(np.hypot(self.height, self.width) / 2 + _ROUNDED)
        row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        cosine, sine = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        along = np.abs(cosine * column + sine * row) <= self.height / 2 + _ROUNDED
        across = np.abs(cosine * row - sine * column) <= self.width / 2 + _ROUNDED
        return np.stack([row, column], -1)[along & across]
