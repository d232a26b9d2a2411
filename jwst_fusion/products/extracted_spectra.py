"""Spectra extracted with the trace model, as extract_1d of the pipeline writes spectra."""

import numpy as np
from jwst.extract_1d.extract import copy_keyword_info
from jwst.extract_1d.spec_wcs import create_spectral_wcs
from stcal.resample.utils import is_flux_density
from stdatamodels.jwst.datamodels import IFUImageModel, MultiSpecModel, SpecModel, dqflags

from jwst_fusion.adaptive_trace_model.extraction_ifu import combine_slices, extract_slices
from jwst_fusion.adaptive_trace_model.slit_psf import SlitPsf
from jwst_fusion.products.exposure import is_series, unit_of
from jwst_fusion.products.slice_sky import places_of_slices, sky_of_slice
from jwst_fusion.psf import aperture_angle
from jwst_fusion.psf.instruments import pixel_of

__all__ = [
    "EXTRACTIONS",
    "background_of",
    "cannot_extract",
    "extracted_spectra",
    "psf_of_slit",
    "spectrum_of_field",
    "spectrum_of_slit",
]

#: How spectra are extracted: what the user may choose.
EXTRACTIONS = ("none", "auto", "with_background", "without_background")
# Widths of slits, arcsec; a shutter's is the same for all.
_FIXED_SLITS = {"S400A1": 0.4, "S1600A1": 1.6}
_SLIT_WIDTH = {"NIRSPEC": 0.2, "MIRI": 0.51}
_NO_SLIT = 8.0
# Names of the PSF's instruments.
_CHANNELS = {"NIRSPEC": "NIRSPEC", "MIRI": "MIRI_IMAGER"}
_JANSKY = 1e6  # in MJy
_ARCSEC2_PER_SR = float(np.degrees(1) * 3600) ** 2
# As extract_1d gives them.
_UNITS = {
    "wavelength": "um",
    **dict.fromkeys(("flux", "flux_error"), "Jy"),
    **dict.fromkeys(("flux_var_poisson", "flux_var_rnoise", "flux_var_flat"), "Jy^2"),
    **dict.fromkeys(("surf_bright", "sb_error", "background", "bkgd_error"), "MJy/sr"),
    **dict.fromkeys(
        (f"{kind}_var_{part}" for kind in ("sb", "bkgd") for part in ("poisson", "rnoise", "flat")),
        "MJy^2 / sr^2",
    ),
}


def background_of(model, choice):
    """
    Tell whether a background is to be fitted to the slits of an exposure.

    Parameters
    ----------
    model : SlitModel or MultiSlitModel
        The exposure.
    choice : {"auto", "with_background", "without_background"}
        What the user has chosen.

    Returns
    -------
    bool
        Of ``auto``: whether none of the steps of the pipeline has subtracted a background.
    """
    if choice != "auto":
        return choice == "with_background"
    steps = model.meta.cal_step
    return "COMPLETE" not in (steps.bkg_subtract, steps.master_background)


def cannot_extract(spectrum, model, choice):
    """
    Say why no spectrum can be extracted from a slit.

    Parameters
    ----------
    spectrum : datamodel or slit
        The slit.
    model : SlitModel or MultiSlitModel
        The exposure that it belongs to.
    choice : {"auto", "with_background", "without_background"}
        What the user has chosen: only ``auto`` asks whether the source is a point.

    Returns
    -------
    str
        The reason; empty if one can.
    """
    if model.meta.exposure.type == "MIR_MRS":
        return "it is an exposure of the MRS: extract_1d takes its cube"
    if is_series(spectrum):
        return "it is a time series: extract_1d takes its integrations"
    unit = unit_of(spectrum, model)
    if choice == "auto" and str(_source_type(spectrum, model) or "").upper() == "EXTENDED":
        return "its source is EXTENDED: only with_background and without_background take it"
    if unit not in ("MJy", "MJy/sr"):
        return f"its unit is {unit or 'not known'}, not MJy or MJy/sr: run photom before"
    ifu = isinstance(model, IFUImageModel)
    if ifu and unit == "MJy":
        return "the exposure is in MJy, not in MJy/sr as those of integral field units are"
    if not ifu and spectrum.meta.photometry.pixelarea_steradians is None:
        return "the area of its pixels (PIXAR_SR) is not known"
    return ""


def _source_type(spectrum, model):
    """POINT or EXTENDED; None if srctype has not said it."""
    own = getattr(spectrum, "source_type", None)
    return own or getattr(model.meta.target, "source_type", None)


def _name(spectrum):
    """Name of a slit; empty if it has none."""
    return str(getattr(spectrum, "name", None) or "")


def psf_of_slit(spectrum, model):
    """
    Find the PSF in a slit.

    Parameters
    ----------
    spectrum : datamodel or slit
        The slit.
    model : SlitModel or MultiSlitModel
        The exposure that it belongs to.

    Returns
    -------
    SlitPsf
        The PSF, to be made when it is needed.
    """
    instrument = model.meta.instrument.name.upper()
    width = _FIXED_SLITS.get(_name(spectrum).upper(), _SLIT_WIDTH[instrument])
    if model.meta.exposure.type == "MIR_LRS-SLITLESS":
        width = _NO_SLIT
    angle = -aperture_angle(instrument)
    along_x = instrument == "MIRI"  # the slit; that of NIRSpec is along y
    return SlitPsf(
        instrument,
        pitch=pixel_of(_CHANNELS[instrument])[0 if along_x else 1],
        width=width,
        angle=angle - 90.0 if along_x else angle,
    )


def extracted_spectra(model, found):
    """
    Make the product of the spectra of an exposure.

    Parameters
    ----------
    model : SlitModel or MultiSlitModel
        The exposure.
    found : sequence of `~stdatamodels.jwst.datamodels.SpecModel`
        Its spectra, see `spectrum_of_slit`.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.MultiSpecModel`
        One spectrum per slit.
    """
    product = MultiSpecModel()
    product.update(model, only="PRIMARY")
    for spec in found:
        product.spec.append(spec)
    product.meta.wcs = None  # each spectrum has its own
    # It would ask for an image of its own in the file.
    product.meta.target.source_type = None
    product.meta.cal_step.extract_1d = "COMPLETE"
    return product


def spectrum_of_slit(spectrum, model, slit, *, transposed):
    """
    Make the table of the spectrum of a slit, with the metadata that extract_1d gives it.

    Parameters
    ----------
    spectrum : datamodel or slit
        The native slit.
    model : SlitModel or MultiSlitModel
        The exposure that it belongs to.
    slit : SlitSpectrum
        The spectrum of its source.
    transposed : bool
        Whether engine images are transposed detector images.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.SpecModel`
        FLUX is the light on the rows of the slit; surface brightnesses have no meaning and are 0,
        as in the optimal extraction of extract_1d.
    """
    density = is_flux_density(unit_of(spectrum, model))
    area = spectrum.meta.photometry.pixelarea_steradians
    row, column = slit.peak
    x, y = (row, column) if transposed else (column, row)
    spec = _spec(
        slit,
        to_jansky=_JANSKY * (1.0 if density else area),
        to_brightness=1 / area if density else 1.0,
        place=spectrum.meta.wcs(float(x), float(y))[:2],
    )
    seen = np.flatnonzero(np.isfinite(slit.wavelength))
    spec.spectral_order = spectrum.meta.wcsinfo.spectral_order or 1
    spec.dispersion_direction = 2 if transposed else 1
    spec.detector = model.meta.instrument.detector
    # As extract_1d: of the slit, where all else about its place is.
    spec.position_angle = getattr(spectrum.meta.aperture, "position_angle", None)
    along = (slit.first_column + seen[0] + 1, slit.first_column + seen[-1] + 1)
    across = (slit.rows[0] + 1, slit.rows[1])
    for axis, limits in zip("yx" if transposed else "xy", (along, across), strict=True):
        setattr(spec, f"extraction_{axis}start", int(limits[0]))
        setattr(spec, f"extraction_{axis}stop", int(limits[1]))
    copy_keyword_info(spectrum, _name(spectrum) or model.meta.exposure.type, spec)
    # What it has been taken for, even if srctype has not said it.
    spec.source_type = "POINT"
    return spec


def spectrum_of_field(model, native, geometry, mode, settings, *, background):
    """
    Extract the spectrum of the brightest point source in the field of the NIRSpec IFU.

    Parameters
    ----------
    model : IFUImageModel
        The native exposure.
    native : ExposureImages
        Its images.
    geometry : NirspecIfuGeometry
        Its geometry.
    mode : TraceMode
        What depends on the instrument mode.
    settings : TraceSettings
        What is chosen by the user.
    background : bool
        Whether slices have backgrounds of their own.

    Returns
    -------
    spec : `~stdatamodels.jwst.datamodels.SpecModel` or None
        FLUX is all light of the source, that beyond the slices included.
    reason : str
        Why there is none; empty otherwise.
    """
    places = places_of_slices(geometry)

    angle = -aperture_angle("NIRSPEC")

    def psf(place, across):
        return SlitPsf("NIRSPEC", pitch=place.pitch, width=place.width, angle=angle, across=across)

    slices = extract_slices(
        native,
        geometry,
        mode,
        settings,
        places=places,
        psf=psf,
        background=background,
    )
    if not slices:
        return None, "no source is above fit_threshold"
    whole = combine_slices(slices)
    if not np.isfinite(whole.flux).any():
        return None, "the slices with a trace hold too little of its light"
    row, column = whole.peak
    layout = next(one for one in geometry.layouts if one.label == geometry.regions[row, column])
    place = sky_of_slice(geometry, layout)(np.array([float(column)]), np.array([float(row)]))
    spec = _spec(
        whole,
        to_jansky=_JANSKY / _ARCSEC2_PER_SR,
        to_brightness=1.0,
        place=[one[0] for one in place[:2]],
    )
    spec.spectral_order = 1
    spec.dispersion_direction = 1
    spec.detector = model.meta.instrument.detector
    spec.position_angle = getattr(model.meta.aperture, "position_angle", None)
    spec.name = model.meta.exposure.type
    spec.source_id = 1
    spec.source_type = "POINT"
    return spec, ""


def _spec(source, *, to_jansky, to_brightness, place):
    """Table of a spectrum with its units, on the sky."""
    table = np.zeros(len(source.wavelength), SpecModel().get_dtype("spec_table"))
    names = {name.lower(): name for name in table.dtype.names}

    def put(name, values):
        table[names[name]] = values

    put("wavelength", source.wavelength)
    put("flux", source.flux * to_jansky)
    put("flux_error", np.sqrt(source.variances["err"]) * to_jansky)
    put("background", source.background * to_brightness)
    put("bkgd_error", np.sqrt(source.background_variances["err"]) * to_brightness)
    put("dq", np.where(np.isfinite(source.flux), 0, dqflags.pixel["DO_NOT_USE"]))
    put("npixels", source.n_pixel)
    for part in ("poisson", "rnoise", "flat"):
        if f"var_{part}" in source.variances:
            put(f"flux_var_{part}", source.variances[f"var_{part}"] * to_jansky**2)
            variance = source.background_variances[f"var_{part}"]
            put(f"bkgd_var_{part}", variance * to_brightness**2)
    seen = np.flatnonzero(np.isfinite(source.wavelength))
    spec = SpecModel(spec_table=table[seen])
    for name, unit in _UNITS.items():
        spec.spec_table.columns[name].unit = unit
    ra, dec = (float(one) for one in place)
    spec.meta.wcs = create_spectral_wcs(ra, dec, source.wavelength[seen])
    spec.slit_ra, spec.slit_dec = ra, dec
    return spec
