"""Spectra of point sources: in a fused cube, and as a product of their own."""

import logging

import numpy as np
from jwst.extract_1d.spec_wcs import create_spectral_wcs
from stdatamodels.jwst.datamodels import SpecModel, dqflags

from jwst_fusion.datamodels.source_spectra import SourceSpectraModel

__all__ = ["add_sources", "source_spectra_product", "store_sources"]

log = logging.getLogger(__name__)

_JANSKY = 1e6  # in MJy
_TABLE_UNITS = {"ra": "deg", "dec": "deg"}
_TABLE_UNITS |= dict.fromkeys(("x", "y", "x_error", "y_error"), "pixel")
# As extract_1d of the pipeline gives them.
_UNITS = {
    "wavelength": "um",
    "flux": "Jy",
    "flux_error": "Jy",
    **dict.fromkeys(("flux_var_poisson", "flux_var_rnoise", "flux_var_flat"), "Jy^2"),
    **dict.fromkeys(("surf_bright", "sb_error", "background", "bkgd_error"), "MJy/sr"),
    **dict.fromkeys(("sb_var_poisson", "sb_var_rnoise", "sb_var_flat"), "(MJy/sr)^2"),
    **dict.fromkeys(("bkgd_var_poisson", "bkgd_var_rnoise", "bkgd_var_flat"), "(MJy/sr)^2"),
}
# Of a fit of point sources these say nothing.
_UNDEFINED = ("surf_bright", "sb_error", "background", "bkgd_error")


def add_sources(product, fused):
    """
    Add positions and spectra of the point sources in the field to a fused cube.

    Parameters
    ----------
    product : FusedCubeModel
        The product with its pixels; changed in place.
    fused : `~jwst_fusion.fusion.fused_observation.FusedObservation`
        The result. Sources beside the field of the cube are left out: the spectrometer did not see
        them.
    """
    spectra = fused.result.sources
    if spectra is None or not len(spectra):
        return
    grid = fused.grid.product
    window = fused.grid.inner(fine=True)
    x, y = spectra.positions.x - window[1].start, spectra.positions.y - window[0].start
    inside = (x >= -0.5) & (x < grid.shape[1] - 0.5) & (y >= -0.5) & (y < grid.shape[0] - 0.5)
    if not inside.all():
        log.info("%d point sources lie beside the field of the cube", np.sum(~inside))
    if not inside.any():
        return
    spectra, x, y = spectra.chosen(inside), x[inside], y[inside]
    to_jansky = _JANSKY * product.meta.photometry.pixelarea_steradians
    factor = None
    if spectra.covariance_factor.shape[2]:
        # channels without data share nothing
        factor = np.nan_to_num(spectra.covariance_factor * to_jansky)
    columns = grid.shape[1] - 1 - x if fused.mirrored else x
    store_sources(
        product,
        spectra.positions,
        columns,
        y,
        sky=grid.sky(x, y),
        flux=spectra.flux * to_jansky,
        error=spectra.error * to_jansky,
        covariance_factor=factor,
    )


def store_sources(product, found, x, y, *, sky, flux, error, covariance_factor=None):
    """
    Add point sources to a fused cube.

    Parameters
    ----------
    product : FusedCubeModel
        The product; changed in place.
    found : `~jwst_fusion.fusion.sources.source_list.SourceList`
        Names, errors of the positions, significance of J sources.
    x, y : array (J,)
        Columns and rows of the product.
    sky : `~astropy.coordinates.SkyCoord`
        The same on the sky.
    flux, error : array (J, L)
        Spectra and their errors, Jy.
    covariance_factor : array (J, L, factor), optional
        What of the errors channels share, Jy.
    """
    table = np.zeros(len(found), product.get_dtype("source_table"))
    size = table.dtype["name"].itemsize
    table["name"] = [name.encode("ascii", "replace")[:size] for name in found.name]
    table["ra"], table["dec"] = sky.ra.deg, sky.dec.deg
    table["x"], table["y"] = x, y
    for name in ("x_error", "y_error", "significance", "given"):
        table[name] = getattr(found, name)
    product.source_table = table
    _give_units(product.source_table, _TABLE_UNITS)
    product.source_flux, product.source_error = flux, error
    if covariance_factor is not None:
        product.source_covariance = covariance_factor.astype(np.float32)
        product.meta.fusion.unit_source_covariance = "Jy"
    product.meta.fusion.unit_source_flux = product.meta.fusion.unit_source_error = "Jy"


def source_spectra_product(product):
    """
    Make a product of the spectra of the point sources of a fused cube.

    Parameters
    ----------
    product : FusedCubeModel
        The fused cube.

    Returns
    -------
    SourceSpectraModel or None
        One spectrum for each source, as extract_1d writes spectra, with the name of the fused cube
        in its file name; None if there are no sources.
    """
    if not product.hasattr("source_table") or not len(product.source_table):
        return None
    wavelength = np.array(product.channel_table["wavelength"], float)
    model = SourceSpectraModel()
    model.update(product, only="PRIMARY")
    for number, row in enumerate(product.source_table):
        flux, error = (
            np.array(getattr(product, name)[number], float)
            for name in ("source_flux", "source_error")
        )
        model.spec.append(_spectrum(product, row, number + 1, wavelength, flux, error))
    model.source_table = np.array(product.source_table)
    _give_units(model.source_table, _TABLE_UNITS)
    if product.hasattr("source_covariance"):
        model.covariance_factor = np.array(product.source_covariance)
    model.meta.wcs = None  # each spectrum has its own
    stem = str(product.meta.filename).removesuffix(".fits").removesuffix("_s3d")
    model.meta.filename = f"{stem.removesuffix('_fused')}_sources_x1d.fits"
    return model


def _spectrum(product, row, number, wavelength, flux, error):
    table = np.zeros(len(wavelength), SpecModel().get_dtype("spec_table"))
    known = np.isfinite(flux) & np.isfinite(error)
    columns = {name.lower(): name for name in table.dtype.names}
    table[columns["wavelength"]] = wavelength
    table[columns["flux"]] = np.where(known, flux, np.nan)
    table[columns["flux_error"]] = np.where(known, error, np.nan)
    table[columns["dq"]] = np.where(known, 0, dqflags.pixel["DO_NOT_USE"])
    for name in _UNDEFINED:
        table[columns[name]] = np.nan
    spec = SpecModel(spec_table=table)
    _give_units(spec.spec_table, _UNITS)
    ra, dec = float(row["ra"]), float(row["dec"])
    spec.meta.wcs = create_spectral_wcs(ra, dec, wavelength)
    spec.source_id = number
    spec.source_name = _text(row["name"])
    spec.source_type = "POINT"
    spec.source_ra = spec.slit_ra = ra
    spec.source_dec = spec.slit_dec = dec
    spec.extraction_x, spec.extraction_y = float(row["x"]), float(row["y"])
    spec.name = product.meta.exposure.type
    spec.detector = product.meta.instrument.detector
    spec.position_angle = product.meta.aperture.position_angle
    return spec


def _text(value):
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _give_units(table, units):
    for name, unit in units.items():
        table.columns[name].unit = unit
