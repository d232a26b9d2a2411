"""The product of a fusion of count cubes: arrays, energies and provenance in FITS extensions."""

import numpy as np
from astropy.io import fits

from jwst_fusion.hifred.stored_posterior import EXTENSIONS, packed
from jwst_fusion.products.agreement_tables import (
    agreement_arrays,
    observation_table,
    solver_tables,
)
from jwst_fusion.products.fits_product import FitsProduct, energy_header, pairs_table
from jwst_fusion.products.hifred_provenance import SOFTWARE, flags, notes, parameters, summary
from jwst_fusion.products.software import software

__all__ = ["count_product", "unchanged_product"]

# Keywords of the header, with the names and descriptions of the JWST product.
_KEYWORDS = {
    "software_version": ("HIFVER", "version of jwst_fusion"),
    "cube_x": ("HIFCUBEX", "file name of the sharper cube"),
    "cube_y": ("HIFCUBEY", "file name of the cube with finer channels"),
    "likelihood": ("HIFLIKE", "likelihood of the data"),
    "regularisation": ("HIFREGUL", "regularisation"),
    "rank": ("HIFRANK", "number of spectral components"),
    "strength": ("HIFSTREN", "strength of the regularisation (mu, kappa)"),
    "chosen": ("HIFCHOSE", "how rank and strength were chosen"),
    "objective": ("HIFOBJEC", "value of the objective"),
    "accuracy": ("HIFACCUR", "decrement or gap relative to objective"),
    "iterations": ("HIFITER", "number of iterations of the solver"),
    "converged": ("HIFCONV", "whether the solver converged"),
    "chi2_x": ("HIFCHI2X", "reduced chi2 of the sharper cube"),
    "chi2_y": ("HIFCHI2Y", "reduced chi2 of the finer cube"),
    "clipped": ("HIFCLIP", "part of the light that was negative"),
    "sums": ("HIFSUMS", "errors of sums"),
    "offset_x": ("HIFOFFX", "offset of Y from X along x [pixels of X]"),
    "offset_x_error": ("HIFOFFXE", "its error"),
    "offset_y": ("HIFOFFY", "offset of Y from X along y [pixels of X]"),
    "offset_y_error": ("HIFOFFYE", "its error"),
    "gain": ("HIFGAIN", "energies of X beyond those of Y [keV]"),
    "gain_error": ("HIFGAINE", "its error"),
}
_UNITS = {"LOW": "keV", "HIGH": "keV", "OBSERVED": "count", "EXPECTED": "count", "ERROR": "count"}
_UNITS |= {"SECONDS": "s", "COUNTS": "count", "OFFSET_X": "pixel", "OFFSET_Y": "pixel"}
_UNITS |= {"OFFSET_X_ERROR": "pixel", "OFFSET_Y_ERROR": "pixel"}
# Characters that value and comment have of a card of 80, beside keyword and punctuation.
_CARD = 65
# What describes the target and the observation, taken over from the cube with the finer channels.
_KEPT = ("OBJECT", "TELESCOP", "INSTRUME", "OBS_ID", "DATE-OBS", "TIME-OBS", "DATE-END")
_KEPT += ("RA_OBJ", "DEC_OBJ", "MJD-OBS", "OBSERVER")


def count_product(data, result, x, y, options, filename, messages=()):
    """
    Make the product of a fusion of count cubes.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.
    x, y : `~jwst_fusion.hifred.xray.counts.CountCube`
        The sharper cube, and that with the finer channels.
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters.
    filename : str
        Name of the file.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings to be kept in the product.

    Returns
    -------
    `~jwst_fusion.products.fits_product.FitsProduct`
        Extensions SCI, ERR and DQ with sky and energy axes, EBOUNDS, MODEL_X and MODEL_Y (expected
        counts; of further observations MODEL_X2 and so on), arrays and tables of
        `~jwst_fusion.products.agreement_tables`, PARAMETERS, SOFTWARE, and, if there are any,
        SPECTRA and MAPS of the components, OBSERVATIONS and NOTES.
    """
    primary = fits.PrimaryHDU()
    for key in _KEPT:
        if key in y.header:
            primary.header[key] = (y.header[key], y.header.comments[key])
    for name, value in summary(data, result).items():
        if value is not None:
            keyword, comment = _KEYWORDS[name]
            # A value that fills its card is worth more than the comment.
            fits_in = not isinstance(value, str) or len(value) + len(comment) <= _CARD
            primary.header[keyword] = (value, comment) if fits_in else value
    edges = data.coordinate
    header = energy_header(edges, x.wcs)
    header["BUNIT"] = data.unit
    found = flags(data, result)
    unknown = found & 1 > 0
    hdus = [primary, fits.ImageHDU(_stored(result.cube, unknown), header, name="SCI")]
    if result.error is not None:
        hdus.append(fits.ImageHDU(_stored(result.error, unknown), header, name="ERR"))
    flag_header = header.copy()
    del flag_header["BUNIT"]
    hdus.append(fits.ImageHDU(found, flag_header, name="DQ"))
    hdus.append(_bounds(edges))
    models = data.models(result)
    places = {"X": (data.edges[0], x.wcs), "Y": (data.edges[1], y.wcs)}
    places |= {one.label: (one.edges, one.wcs) for one in data.more}
    for label, place in places.items():
        own = energy_header(*place)
        own["BUNIT"] = "count"
        model = np.asarray(models[label], np.float32)
        hdus.append(fits.ImageHDU(model, own, name=f"MODEL_{label}"))
    if result.basis is not None:
        hdus.append(fits.ImageHDU(np.asarray(result.basis.T, np.float32), name="SPECTRA"))
    if result.coefficients is not None:
        hdus.append(fits.ImageHDU(np.asarray(result.coefficients, np.float32), name="MAPS"))
    if result.posterior is not None:
        stored = packed(result.posterior)
        hdus += [fits.ImageHDU(array, name=EXTENSIONS[key]) for key, array in stored.items()]
    hdus += _tables(data, result, options, messages)
    return FitsProduct(fits.HDUList(hdus), filename)


def unchanged_product(cube, filename):
    """
    Return the file of a cube as a product: an unmodified copy.

    Parameters
    ----------
    cube : `~jwst_fusion.hifred.xray.counts.CountCube`
        The cube.
    filename : str
        Name of the product.

    Returns
    -------
    `~jwst_fusion.products.fits_product.FitsProduct`
        All extensions of its file; if it does not come from a file, its counts.
    """
    if cube.path is not None:
        with fits.open(cube.path, memmap=False) as hdus:
            copy = fits.HDUList([hdu.copy() for hdu in hdus])
    else:
        header = None if cube.energies is None else energy_header(cube.energies, cube.wcs)
        image = fits.ImageHDU(cube.counts, header, name="COUNTS")
        copy = fits.HDUList([fits.PrimaryHDU(), image])
    return FitsProduct(copy, filename)


def _stored(array, unknown):
    return np.where(unknown, np.float32(np.nan), np.asarray(array, np.float32))


def _bounds(edges):
    columns = [
        fits.Column("CHANNEL", "J", array=np.arange(1, edges.size)),
        fits.Column("E_MIN", "D", unit="keV", array=edges[:-1]),
        fits.Column("E_MAX", "D", unit="keV", array=edges[1:]),
    ]
    return fits.BinTableHDU.from_columns(columns, name="EBOUNDS")


def _tables(data, result, options, messages):
    arrays, tables = agreement_arrays(data, result)
    hdus = [fits.ImageHDU(array, name=name.upper()) for name, array in arrays.items()]
    tables |= solver_tables(result)
    if data.more or result.normalisations is not None:
        tables["observations"] = observation_table(data, result)
    for name, columns in tables.items():
        found = [_column(title.upper(), values) for title, values in columns.items() if values.size]
        if found:
            hdus.append(fits.BinTableHDU.from_columns(found, name=name.upper()))
    hdus += [
        pairs_table(parameters(options), "PARAMETERS", ("NAME", "VALUE")),
        pairs_table(software(SOFTWARE), "SOFTWARE", ("NAME", "VERSION")),
    ]
    texts = [(text,) for text in notes(data, result, messages)]
    if texts:
        hdus.append(pairs_table(texts, "NOTES", ("NOTE",)))
    return hdus


def _column(title, values):
    kind = {"i": "J", "f": "D", "S": f"{values.dtype.itemsize}A"}[values.dtype.kind]
    return fits.Column(title, kind, unit=_UNITS.get(title), array=values)
