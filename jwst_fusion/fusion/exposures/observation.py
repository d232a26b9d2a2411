"""
The pixels of an IFU exposure as arrays with sky coordinates, wavelengths, units and masks.

Pixels are flat arrays: those that belong to a slice, in the order of the detector, row by row.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["ExposureObservation"]


@dataclass(frozen=True)
class ExposureObservation:
    """
    The native pixels of an IFU exposure, or of one channel of it, as flat arrays.

    Attributes
    ----------
    data, err : array (n,)
        Surface brightness and its standard deviation, MJy/sr, as stored (bad pixels included).
    good : bool array (n,)
        Pixels that may be used.
    ra, dec : array (n,)
        Sky coordinates of the centres of the pixels, degree.
    wavelength : array (n,)
        Wavelength, micrometre.
    label : int array (n,)
        Number of the slice.
    row, column : int array (n,)
        Position on the detector.
    shape : tuple of int
        Rows and columns of the detector.
    slit_axis : {"row", "column"}
        Along which of them the slices run.
    pa_v3 : float or None
        Position angle of the telescope's V3 axis, degrees East of North.
    instrument, detector, grating, name : str
        "NIRSPEC" or "MIRI_MRS", detector, grating or band (such as "1A"), and file name.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """

    data: np.ndarray
    err: np.ndarray
    good: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    wavelength: np.ndarray
    label: np.ndarray
    row: np.ndarray
    column: np.ndarray
    shape: tuple
    slit_axis: str
    pa_v3: float | None
    instrument: str
    detector: str
    grating: str
    name: str

    def __post_init__(self):
        size = np.shape(self.data)
        names = ("err", "good", "ra", "dec", "wavelength", "label", "row", "column")
        for name in names:
            if np.shape(getattr(self, name)) != size:
                msg = (
                    f"{self.name}: {name} has the shape {np.shape(getattr(self, name))}, data "
                    f"{size}; give one value per pixel"
                )
                raise ValueError(msg)

    def image(self, values, fill=np.nan):
        """
        Put values of the pixels where they are on the detector.

        Parameters
        ----------
        values : array (n,)
            One value per pixel.
        fill : float, optional
            Value of the pixels outside the slices.

        Returns
        -------
        array (row, column)
            The image.
        """
        image = np.full(self.shape, fill, dtype=np.asarray(values).dtype)
        image[self.row, self.column] = values
        return image
