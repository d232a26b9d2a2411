"""WCS of slits that needs no reference file: NIRSpec slits and slitlets, MIRI LRS.

The frames are those of the pipeline after extract_2d. The numbers are those of the instruments
rounded: NIRSpec traces climb a pixel every 80 columns at one side of the detector and run flat at
the other; the trace of the LRS is bent by a pixel. Columns and rows are 0-based in the cutout.
"""

from dataclasses import dataclass

import gwcs
import numpy as np
from astropy import coordinates
from astropy import units as u
from astropy.modeling import bind_bounding_box, models
from gwcs import coordinate_frames
from jwst.assign_wcs import pointing
from jwst.assign_wcs.nirspec import create_frames, mask_slit

__all__ = ["LRS_PITCH", "NIRSPEC_PITCH", "SPECTRA", "SlitPlace", "lrs_wcs", "nirspec_slit_wcs"]

NIRSPEC_PITCH = 0.1  # arcsec per row
LRS_PITCH = 0.11  # arcsec per column
LRS_MIDDLE = {"slit": 325.3, "slitless": 37.6}  # column of the middle of the slit
LRS_BOX = {  # limits of column and row
    "slit": ((302.5, 347.5), (6.3, 396.6)),
    "slitless": ((3.5, 71.5), (6.3, 396.6)),
}
# micrometre at the first column, and per column
SPECTRA = {
    "G140M": (0.97, 6.4e-4),
    "G140H": (0.97, 2.36e-4),
    "G235M": (1.66, 1.07e-3),
    "G235H": (1.66, 3.97e-4),
    "G395M": (2.87, 1.80e-3),
    "G395H": (2.87, 6.68e-4),
}

_ARCSEC_PER_METRE = 2600.0  # at the shutters
_TILT = 1 / 80  # rows per column where the trace is steepest
_LINE_TILT = 0.09  # columns per row along a line of constant wavelength
_ALONG_ANGLE = -41.03  # degree from V3 towards V2
# micrometre, and micrometre per column there
_PRISM = ((0.5, 0.6, 1.0, 1.5, 2, 3, 4, 5, 5.5), (6, 9.5, 17.5, 18.7, 16.5, 11.7, 8.6, 6.8, 6.2))
_LRS_BEND = 5e-5  # columns per squared row


@dataclass(frozen=True)
class SlitPlace:
    """
    Where a NIRSpec slit lies in its own coordinates, on the sky and on the detector.

    Parameters
    ----------
    unit : float
        Length on the sky of one unit of the slit coordinate, arcsec.
    ymin, ymax : float
        Ends of the slit in slit coordinates.
    width : float
        Width on the sky, arcsec.
    across, along : float
        Middle of the slit on the sky beside the reference point, arcsec.
    corner : tuple of int
        Column and row on the detector of the first pixel of the cutout.
    columns : int
        Columns of the cutout.
    """

    unit: float
    ymin: float = -0.55
    ymax: float = 0.55
    width: float = 0.2
    across: float = 0.0
    along: float = 0.0
    corner: tuple = (0, 0)
    columns: int = 600

    @property
    def rise(self):
        """Rows by which the trace climbs from end to end."""
        return _TILT * self.columns * (1 - 1 / 2.4)

    @property
    def shape(self):
        """Shape (rows, columns) of the cutout."""
        length = (self.ymax - self.ymin) * self.unit / NIRSPEC_PITCH
        return int(np.ceil(length + self.rise)) + 2, self.columns


def nirspec_slit_wcs(model, place):
    """
    Make the WCS of one slit or slitlet.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        Exposure with detector, grating and pointing set.
    place : SlitPlace
        Where the slit is.

    Returns
    -------
    gwcs.wcs.WCS
        From "detector" by "slit_frame" (wavelength in metre) to "world" (micrometre); its bounding
        box is that of the cutout. Its "gwa" frame holds pixels of the cutout, not real angles.
    """
    x, y = place.corner
    to_sca = (models.Shift(x) & models.Shift(y)).rename("dms2sca")
    to_gwa = models.Shift(-x) & models.Shift(-y) | models.Mapping((0, 1, 1))
    to_gwa.inverse = models.Mapping((0, 1), n_inputs=3) | models.Shift(x) & models.Shift(y)
    to_gwa.name = "det2gwa"
    metre = 1 / _ARCSEC_PER_METRE
    to_msa = (
        models.Scale(place.width * metre) & models.Scale(place.unit * metre)
        | models.Shift(place.across * metre) & models.Shift(place.along * metre)
    ) & models.Identity(1)
    to_oteip = (
        models.Scale(_ARCSEC_PER_METRE / 3600)
        & models.Scale(_ARCSEC_PER_METRE / 3600)
        & models.Identity(1)
    )
    info = model.meta.wcsinfo
    angle = np.radians(_ALONG_ANGLE)
    matrix = 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_telescope = models.AffineTransformation2D(
        matrix=matrix, translation=[info.v2_ref, info.v3_ref]
    ) & models.Scale(1e6)
    steps = [
        (to_sca, "dms2sca"),
        (to_gwa, "det2gwa"),
        (_gwa_to_slit(model, place), "gwa2slit"),
        (to_msa, "slit2msa"),
        (to_oteip, "msa2oteip"),
        (to_telescope, "oteip2v23"),
        (models.Identity(3), "va_corr"),
        (pointing.v23tosky(model) & models.Identity(1), "v2v3_to_sky"),
    ]
    frames = [f for f in create_frames() if f.name not in ("slicer", "oteip_chromcorr")]
    wcs = gwcs.WCS(_pipeline(frames, steps))
    rows, columns = place.shape
    wcs.bounding_box = ((-0.5, columns - 0.5), (-0.5, rows - 0.5))
    return wcs


def _pipeline(frames, steps):
    for transform, name in steps:
        transform.name = name
    return list(zip(frames, [*(t for t, _ in steps), None], strict=True))


def _gwa_to_slit(model, place):
    """
    Transform from column and row in the cutout to slit coordinates and metres of wavelength.

    With u = y - row - linear x - quadratic x^2, it is y_slit = -u / scale and
    lam = spectrum(x + t u).
    """
    if model.meta.instrument.detector == "NRS1":
        linear, quadratic = _TILT, -_TILT / (2.4 * place.columns)
    else:
        linear, quadratic = _TILT / 6, _TILT / (2.4 * place.columns)
    scale, tilt = place.unit / NIRSPEC_PITCH, _LINE_TILT
    row = place.ymax * scale + 0.8
    position = models.Polynomial2D(
        2, c0_0=row / scale, c1_0=linear / scale, c2_0=quadratic / scale, c0_1=-1 / scale
    )
    column = models.Polynomial2D(
        2, c0_0=-tilt * row, c1_0=1 - tilt * linear, c2_0=-tilt * quadratic, c0_1=tilt
    )
    spectrum = _spectrum(model.meta.instrument.grating)
    forward = (
        models.Mapping((0, 1, 0, 1, 0, 1), n_inputs=3)
        | models.Polynomial2D(1) & position & (column | spectrum)
        | mask_slit(place.ymin, place.ymax)
    )
    # back, with w = x + t u the column where the line crosses the middle: x = w + t scale y_slit,
    # y = row + linear x + quadratic x^2 - scale y_slit
    slope = tilt * scale
    to_column = models.Polynomial2D(1, c1_0=slope, c0_1=1.0)
    to_row = models.Polynomial2D(
        2,
        c0_0=row,
        c1_0=linear * slope - scale,
        c0_1=linear,
        c2_0=quadratic * slope**2,
        c0_2=quadratic,
        c1_1=2 * quadratic * slope,
    )
    forward.inverse = (
        models.Mapping((1, 2), n_inputs=3)
        | models.Identity(1) & spectrum.inverse
        | models.Mapping((0, 1, 0, 1, 1))
        | to_column & to_row & models.Identity(1)
    )
    return forward


def _spectrum(grating):
    """Transform from columns to metres of wavelength, with its inverse."""
    if grating in SPECTRA:
        blue, step = SPECTRA[grating]
        return models.Scale(step * 1e-6) | models.Shift(blue * 1e-6)
    if grating != "PRISM":
        known = ", ".join([*SPECTRA, "PRISM"])
        msg = f"no built-in spectrum for the grating {grating!r}; choose one of {known}"
        raise ValueError(msg)
    wavelength = np.geomspace(0.5, 5.5, 400)
    step = 1e-3 * np.interp(wavelength, *_PRISM)
    column = np.append(0, np.cumsum(np.diff(wavelength) * 2 / (step[1:] + step[:-1])))
    column -= np.interp(0.6, wavelength, column)
    return _table(column, wavelength * 1e-6)


def _table(points, values, fill=None):
    """Tabulated transform of one variable, continued linearly unless filled, with its inverse."""
    order = np.argsort(values)
    options = {"bounds_error": False, "fill_value": fill}
    table = models.Tabular1D(points=points, lookup_table=values, **options)
    table.inverse = models.Tabular1D(points=values[order], lookup_table=points[order], **options)
    return table


def lrs_wcs(model, kind):
    """
    Make the WCS of the LRS.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.SlitModel
        Exposure with its pointing set.
    kind : {"slit", "slitless"}
        With the slit on the full detector, or without it on its subarray.

    Returns
    -------
    gwcs.wcs.WCS
        From "detector" by "alpha_beta" (arcsec, micrometre) to "world".
    """
    middle, (_, rows) = LRS_MIDDLE[kind], LRS_BOX[kind]
    wavelength = np.linspace(4.0, 14.4, 400)
    # a pixel is 0.05 micrometre wide at 5 micrometre, less towards the red
    row = -np.cumsum(np.append(0, np.diff(wavelength) / (0.05 * (5 / wavelength[1:]) ** 1.2)))
    row = (row - row[-1]) * (rows[1] - rows[0]) / (row[0] - row[-1]) + rows[0]
    to_wavelength = _table(row[::-1], wavelength[::-1], fill=np.nan)
    # the trace stands at middle + bend (y - 200)^2
    bend = {"c0_0": -middle - 4e4 * _LRS_BEND, "c0_1": 400 * _LRS_BEND, "c0_2": -_LRS_BEND}
    offset = models.Polynomial2D(2, c1_0=1.0, **bend)
    back_bend = {"c0_0": middle + 4e4 * _LRS_BEND, "c0_1": -400 * _LRS_BEND, "c0_2": _LRS_BEND}
    forward = models.Mapping((0, 1, 0, 1, 1)) | (
        (offset | models.Scale(LRS_PITCH)) & models.Polynomial2D(1) & to_wavelength
    )
    forward.inverse = (
        models.Mapping((0, 2), n_inputs=3)
        | models.Scale(1 / LRS_PITCH) & to_wavelength.inverse
        | models.Mapping((0, 1, 1))
        | models.Polynomial2D(2, c1_0=1.0, **back_bend) & models.Identity(1)
    )
    bind_bounding_box(forward, LRS_BOX[kind], order="F")
    angle = np.radians(4.8)
    matrix = [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    info = model.meta.wcsinfo
    to_telescope = models.AffineTransformation2D(
        matrix=matrix, translation=[info.v2_ref, info.v3_ref]
    ) & models.Identity(1)
    steps = [
        (forward, "det2alpha_beta"),
        (to_telescope, "alpha_beta2v23"),
        (models.Identity(3), "va_corr"),
        (pointing.v23tosky(model) & models.Identity(1), "v2v3_to_sky"),
    ]
    return gwcs.WCS(_pipeline(_lrs_frames(), steps))


def _lrs_frames():
    def flat(name, axes):
        return coordinate_frames.Frame2D(
            name=name, axes_order=(0, 1), unit=(u.arcsec, u.arcsec), axes_names=axes
        )

    spectral = coordinate_frames.SpectralFrame(
        name="spec", axes_order=(2,), unit=(u.micron,), axes_names=("lambda",)
    )
    composite = coordinate_frames.CompositeFrame
    telescope = ("v2", "v3")
    sky = coordinate_frames.CelestialFrame(
        name="icrs", axes_order=(0, 1), reference_frame=coordinates.ICRS()
    )
    return [
        coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix)),
        composite([flat("alpha_beta_spatial", ("alpha", "beta")), spectral], name="alpha_beta"),
        composite([flat("v2v3_spatial", telescope), spectral], name="v2v3"),
        composite([flat("v2v3vacorr_spatial", telescope), spectral], name="v2v3vacorr"),
        composite([sky, spectral], name="world"),
    ]
