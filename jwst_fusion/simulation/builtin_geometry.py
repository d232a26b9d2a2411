"""A NIRSpec IFU geometry that needs no reference file: 30 tilted, curved slices on a detector.

The numbers are those of the instrument rounded: slices 0.1 arcsec wide and 3.1 arcsec long, traces
that climb a pixel every 80 columns at one side of the detector and run flat at the other, lines
of constant wavelength slightly tilted, a gap between the detectors.
"""

from dataclasses import dataclass

import gwcs
import numpy as np
from astropy import coordinates
from astropy import units as u
from astropy.modeling import bind_bounding_box, models
from gwcs import coordinate_frames, selector
from jwst.assign_wcs import pointing

__all__ = ["GRATINGS", "attach_builtin_geometry"]

SHAPE = (2048, 2048)  # rows and columns of a detector
SLICES = 30  # of the image slicer of the NIRSpec IFU
# micrometre at the blue end, at the red end, and per column
GRATINGS = {
    ("G140M", "F070LP"): (0.70, 1.27, 6.4e-4),
    ("G140M", "F100LP"): (0.97, 1.89, 6.4e-4),
    ("G140H", "F070LP"): (0.70, 1.27, 2.36e-4),
    ("G140H", "F100LP"): (0.97, 1.89, 2.36e-4),
    ("G235M", "F170LP"): (1.66, 3.17, 1.07e-3),
    ("G235H", "F170LP"): (1.66, 3.17, 3.97e-4),
    ("G395M", "F290LP"): (2.87, 5.27, 1.80e-3),
    ("G395H", "F290LP"): (2.87, 5.27, 6.68e-4),
}

_ROWS_BETWEEN_SLICES = 66.5  # from centre to centre
_FIRST_ROW = 26.0  # centre of the lowest slice
_HALF_LENGTH = 15.3  # rows
_ALONG = 4.0e-4  # metre at the slicer per row
_ACROSS = 8.0e-4  # metre at the slicer per slice
_ARCSEC_PER_METRE = (125.0, 250.0)  # across, along
_ALONG_ANGLE = -41.03  # degree from V3 towards V2
_TILT = 1 / 80  # rows per column where the trace is steepest
_FLAT_AT = 2100.0  # columns from there to where it runs flat
_GAP = 150  # columns between the detectors
_LINE_TILT = 0.09  # columns per row along a line of constant wavelength


@dataclass(frozen=True)
class _Slice:
    """Where one slice falls on the detector."""

    row: float
    column: float
    across: float


def attach_builtin_geometry(model):
    """
    Give an exposure the built-in WCS and region map.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.IFUImageModel
        Exposure with detector, grating, filter and pointing set; changed in place: `meta.wcs` in
        coordinate style, `regions`, and the wavelength range.

    Raises
    ------
    ValueError
        For a grating and filter, or a detector, on which no light falls or which is unknown.
    """
    instrument = model.meta.instrument
    key = (instrument.grating, instrument.filter)
    if key not in GRATINGS:
        known = ", ".join("/".join(k) for k in GRATINGS)
        msg = f"no built-in geometry for {'/'.join(map(str, key))}; choose one of {known}"
        raise ValueError(msg)
    high = instrument.grating.endswith("H") and key != ("G140H", "F070LP")
    if instrument.detector not in ("NRS1", "NRS2") or (instrument.detector == "NRS2" and not high):
        msg = f"no light of {'/'.join(key)} falls on detector {instrument.detector}"
        raise ValueError(msg)
    blue, red, _ = GRATINGS[key]
    info = model.meta.wcsinfo
    info.waverange_start, info.waverange_end = blue * 1e-6, red * 1e-6
    info.spectral_order = -1
    info.dispersion_direction = 1
    slices = _slices(instrument.grating)
    transforms, regions = {}, np.zeros(SHAPE, np.int32)
    for number, one in enumerate(slices, start=1):
        transform = _detector_to_slicer(one, key, instrument.detector)
        box, inside = _footprint(transform, one, (blue * 1e-6, red * 1e-6))
        regions[box][inside] = number
        rows, columns = np.nonzero(inside)
        rows, columns = rows + box[0].start, columns + box[1].start
        edges = (
            (columns.min() - 0.5, columns.max() + 0.5),
            (rows.min() - 0.5, rows.max() + 0.5),
        )
        bind_bounding_box(transform, edges, order="F")
        transforms[number] = transform
    model.regions = regions
    model.meta.wcs = _assemble(model, transforms, regions, slices)


def _slices(grating):
    """
    Slices by their number: even ones from the middle of the detector down, odd ones up.

    The numbering is that of the instrument; cube_build takes the width of a slice from the
    distance between the first and the third.
    """
    start = 200.0 if grating.endswith("H") else 500.0
    slices = []
    for i in range(SLICES):
        place = 14 - i // 2 if i % 2 == 0 else 15 + i // 2
        slices.append(
            _Slice(
                row=_FIRST_ROW + _ROWS_BETWEEN_SLICES * place,
                column=start + 60.0 * np.sin(1.7 * i),
                across=round(((SLICES - 1) / 2 - place) * _ACROSS, 5),
            )
        )
    return slices


def _detector_to_slicer(one, key, detector):
    """Transform from column and row to metres at the slicer and metres of wavelength."""
    blue, _, step = GRATINGS[key]
    step = step * 1e-6
    if detector == "NRS1":
        start, linear, quadratic = one.column, _TILT, -_TILT / (2 * _FLAT_AT)
    else:
        start, linear, quadratic = one.column - SHAPE[1] - _GAP, 0.0, _TILT / (2 * _FLAT_AT)
    # u = y - row - linear x - quadratic x^2, along = -0.4 mm u, lam = blue + step (x - start + t u)
    across = models.Polynomial2D(1, c0_0=one.across)
    along = models.Polynomial2D(
        2,
        c0_0=_ALONG * one.row,
        c1_0=_ALONG * linear,
        c2_0=_ALONG * quadratic,
        c0_1=-_ALONG,
    )
    origin = blue * 1e-6 - step * start
    wavelength = models.Polynomial2D(
        2,
        c0_0=origin - step * _LINE_TILT * one.row,
        c1_0=step * (1 - _LINE_TILT * linear),
        c2_0=-step * _LINE_TILT * quadratic,
        c0_1=step * _LINE_TILT,
    )
    forward = models.Mapping((0, 1, 0, 1, 0, 1)) | (across & along & wavelength)
    # back: x = (lam - origin) / step + (t / 0.4 mm) along,
    # y = row + linear x + quadratic x^2 - along / 0.4 mm
    a0, a1, a2 = -origin / step, 1 / step, _LINE_TILT / _ALONG
    column = models.Polynomial2D(1, c0_0=a0, c1_0=a2, c0_1=a1)
    row = models.Polynomial2D(
        2,
        c0_0=one.row + linear * a0 + quadratic * a0**2,
        c1_0=linear * a2 + 2 * quadratic * a0 * a2 - 1 / _ALONG,
        c0_1=linear * a1 + 2 * quadratic * a0 * a1,
        c2_0=quadratic * a2**2,
        c0_2=quadratic * a1**2,
        c1_1=2 * quadratic * a1 * a2,
    )
    back = models.Mapping((1, 2, 1, 2), n_inputs=3) | (column & row)
    forward.inverse = back
    # jwst binds the bounding box of a slice by these names
    forward.inputs, forward.outputs = ("x", "y"), ("x_slice", "y_slice", "lam")
    return forward


def _footprint(transform, one, wavelength_range):
    """Box on the detector that holds a slice, and the pixels of it in the slice."""
    low = max(0, int(one.row - _HALF_LENGTH) - 2)
    high = min(SHAPE[0], int(one.row + _HALF_LENGTH + _TILT * _FLAT_AT) + 3)
    y, x = np.mgrid[low:high, : SHAPE[1]].astype(float)
    _, along, wavelength = transform(x, y)
    inside = np.abs(along) <= _ALONG * _HALF_LENGTH
    inside &= (wavelength >= wavelength_range[0]) & (wavelength <= wavelength_range[1])
    return (slice(low, high), slice(0, SHAPE[1])), inside


def _assemble(model, transforms, regions, slices):
    """Join the slices and the pointing into one WCS in coordinate style."""
    mapper = selector.LabelMapperArray(regions)
    mapper.inverse = selector.LabelMapperDict(
        inputs=("x_slice", "y_slice", "lam"),
        mapper={
            one.across: models.Mapping((0,), n_inputs=3) | models.Const1D(number)
            for number, one in enumerate(slices, start=1)
        },
        inputs_mapping=models.Mapping((0,), n_inputs=3),
        atol=1e-4,
    )
    to_slicer = selector.RegionsSelector(
        ("x", "y"),
        ("x_slice", "y_slice", "lam"),
        label_mapper=mapper,
        selector=transforms,
        name="det2slicer",
    )
    to_slicer.inputs = ("x", "y")
    to_slicer.outputs = ("x_slice", "y_slice", "lam")
    start = models.Identity(2, name="coord2det")
    start.inputs = start.outputs = ("x", "y")
    angle = np.radians(_ALONG_ANGLE)
    across, along = _ARCSEC_PER_METRE
    matrix = [
        [-across * np.cos(angle), along * np.sin(angle)],
        [across * np.sin(angle), along * np.cos(angle)],
    ]
    info = model.meta.wcsinfo
    telescope = models.AffineTransformation2D(
        matrix=matrix, translation=[info.v2_ref, info.v3_ref]
    ) & models.Scale(1e6)
    telescope.name = "slicer2v2v3"
    sky = pointing.v23tosky(model) & models.Identity(1)
    sky.name = "v2v3_to_sky"
    frames = _frames()
    return gwcs.WCS(
        list(zip(frames, (start, to_slicer, telescope, sky, None), strict=True)), name="NIRSpec IFU"
    )


def _frames():
    """Frames by the names under which jwst looks for them."""

    def flat(name, unit, axes):
        return coordinate_frames.Frame2D(
            name=name, axes_order=(0, 1), unit=(unit, unit), axes_names=axes
        )

    spectral = coordinate_frames.SpectralFrame(
        name="spectral", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",)
    )
    composite = coordinate_frames.CompositeFrame
    sky = coordinate_frames.CelestialFrame(
        name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS()
    )
    return [
        coordinate_frames.Frame2D(name="coordinates", axes_order=(0, 1)),
        coordinate_frames.Frame2D(name="detector", axes_order=(0, 1)),
        composite([flat("slicer_spatial", "", ("x_slicer", "y_slicer")), spectral], name="slicer"),
        composite([flat("v2v3_spatial", u.arcsec, ("v2", "v3")), spectral], name="v2v3"),
        composite([sky, spectral], name="world"),
    ]
