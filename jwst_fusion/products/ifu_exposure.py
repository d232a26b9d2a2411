"""Read the native pixels of IFU exposures that have passed assign_wcs."""

import dataclasses

import numpy as np
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.geometry import GeometryError, make_geometry
from jwst_fusion.adaptive_trace_model.smooth_map import evaluate_smooth
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposures.observation import ExposureObservation
from jwst_fusion.products.observations import BRIGHTEST
from jwst_fusion.products.slice_sky import sky_of_slice

__all__ = ["read_ifu_exposure"]

# Pixels that were not measured: bad ones, and such that a step has filled from their neighbours.
_UNMEASURED = np.uint32(dqflags.pixel["DO_NOT_USE"] | dqflags.pixel["FLUX_ESTIMATED"])
_GEOMETRIES = {"NRS_IFU": "nirspec_ifu", "MIR_MRS": "miri_mrs"}
_BANDS = {"SHORT": "A", "MEDIUM": "B", "LONG": "C"}
_DETECTORS = {"nirspec_ifu": ("NRS1", "NRS2"), "miri_mrs": ("MIRIFUSHORT", "MIRIFULONG")}
_GRATINGS = ("PRISM", *(f"G{number}{kind}" for number in (140, 235, 395) for kind in "MH"))
_CHANNEL = 100  # slices of the MIRI spectrometer are numbered 100 times the channel plus their own


def read_ifu_exposure(source):
    """
    Read an IFU exposure of NIRSpec or of the MIRI spectrometer at its native pixels.

    Parameters
    ----------
    source : str, pathlib.Path or `~stdatamodels.jwst.datamodels.IFUImageModel`
        Exposure (cal, crf) with a WCS, in MJy/sr; it is not changed.

    Returns
    -------
    list of `~jwst_fusion.fusion.exposures.observation.ExposureObservation`
        One of NIRSpec; of MIRI one for each channel on the detector.

    Raises
    ------
    NotFusableError
        If it is no such exposure, does not say its detector and grating or band, has no WCS, is
        oversampled already, is not in MJy/sr, or has no pixel that may be used.
    ValueError
        If the arrays differ in shape.
    """
    if not isinstance(source, datamodels.JwstDataModel):
        with datamodels.open(source) as model:
            return read_ifu_exposure(model)
    model, name = source, str(source.meta.filename)
    kind = _GEOMETRIES.get(str(model.meta.exposure.type))
    if kind is None or not isinstance(model, datamodels.IFUImageModel):
        msg = (
            f"{name} is not an IFU exposure of NIRSpec or MIRI (EXP_TYPE {model.meta.exposure.type}"
            f", {type(model).__name__}): give cal or crf files of NRS_IFU or MIR_MRS"
        )
        raise NotFusableError(msg)
    _check_setup(model, name, kind)
    if model.meta.bunit_data is None:
        msg = f"{name} has no unit (keyword BUNIT): run photom on it, which makes it MJy/sr"
        raise NotFusableError(msg)
    unit = str(model.meta.bunit_data)
    if unit.replace(" ", "").lower() != "mjy/sr":
        msg = f"{name} is in {unit}, not in MJy/sr: run flat_field and photom on it first"
        raise NotFusableError(msg)
    try:
        geometry = make_geometry(kind, model)
    except GeometryError as error:
        msg = f"{name}: {error}; give the exposure before the trace model (cal), with its WCS"
        raise NotFusableError(msg) from error
    parts = [
        _slice_pixels(geometry, layout, sky_of_slice(geometry, layout))
        for layout in geometry.layouts
    ]
    pixels = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.lexsort((pixels["column"], pixels["row"]))
    pixels = {key: values[order] for key, values in pixels.items()}
    where = pixels["row"], pixels["column"]
    for extension, array in (("ERR", model.err), ("DQ", model.dq)):
        if array.shape != model.data.shape:
            msg = (
                f"{name} has extension {extension} of shape {array.shape}, but SCI has "
                f"{model.data.shape}"
            )
            raise ValueError(msg)
    data, err, flags = (np.asarray(array)[where] for array in (model.data, model.err, model.dq))
    good = (flags.astype(np.uint32) & _UNMEASURED) == 0
    with np.errstate(invalid="ignore"):
        good &= (np.abs(data) < BRIGHTEST) & (err > 0) & (err < BRIGHTEST)
    for key in ("ra", "dec", "wavelength"):
        good &= np.isfinite(pixels[key])
    if not np.any(data[good]):
        msg = (
            f"{name} has no pixel that may be used: all are NaN, zero, without an error (ERR), or "
            "flagged DO_NOT_USE or FLUX_ESTIMATED"
        )
        raise NotFusableError(msg)
    instrument = model.meta.instrument
    whole = ExposureObservation(
        data=data,
        err=err,
        good=good,
        shape=model.data.shape,
        slit_axis="column" if geometry.transposed else "row",
        pa_v3=model.meta.wcsinfo.roll_ref,
        instrument="NIRSPEC" if kind == "nirspec_ifu" else "MIRI_MRS",
        detector=str(instrument.detector),
        grating=str(instrument.grating) if kind == "nirspec_ifu" else "",
        name=name,
        **pixels,
    )
    return [whole] if kind == "nirspec_ifu" else _by_channel(whole, str(instrument.band))


def _check_setup(model, name, kind):
    """Refuse an exposure that does not say with what it was taken: its PSF follows from that."""
    instrument = model.meta.instrument
    needed = {"DETECTOR": (instrument.detector, _DETECTORS[kind])}
    if kind == "nirspec_ifu":
        needed["GRATING"] = instrument.grating, _GRATINGS
    else:
        needed["BAND"] = instrument.band, tuple(_BANDS)
    for keyword, (value, known) in needed.items():
        if value not in known:
            msg = f"{name} has the keyword {keyword} {value}, which is none of {', '.join(known)}"
            raise NotFusableError(msg)


def _by_channel(whole, band):
    """Exposures of the channels of the MIRI spectrometer."""
    parts = []
    for channel in np.unique(whole.label // _CHANNEL):
        inside = whole.label // _CHANNEL == channel
        arrays = {
            field.name: getattr(whole, field.name)[inside]
            for field in dataclasses.fields(whole)
            if isinstance(getattr(whole, field.name), np.ndarray)
        }
        parts.append(dataclasses.replace(whole, grating=f"{channel}{_BANDS[band]}", **arrays))
    return parts


def _slice_pixels(geometry, layout, sky):
    """Coordinates of the pixels of one slice as flat arrays."""
    rows, columns = np.broadcast_arrays(*layout.index())
    inside = layout.inside
    reference = []

    def coordinates(first, second):
        x, y = (second, first) if geometry.transposed else (first, second)
        ra, dec, wavelength = sky(x, y)[:3]
        if not reference:
            known = ra[np.isfinite(ra)]
            reference.append(known[0] if known.size else 0.0)
        # One branch within the slice, also where right ascension passes 360 degrees.
        ra = (ra - reference[0] + 180) % 360 + reference[0] - 180
        return ra, dec, wavelength

    ra, dec, wavelength = (
        values[inside] for values in evaluate_smooth(coordinates, layout, inside)
    )
    row, column = rows[inside], columns[inside]
    if geometry.transposed:
        row, column = column, row
    return {
        "ra": ra % 360,
        "dec": dec,
        "wavelength": wavelength,
        "label": np.full(len(ra), layout.label, np.int32),
        "row": row,
        "column": column,
    }
