"""The product of a HIFReD fusion of two JWST cubes: pixels, flags and provenance."""

import numpy as np

from jwst_fusion.datamodels.hifred_cube import HifredCubeModel
from jwst_fusion.hifred.stored_posterior import packed
from jwst_fusion.products.agreement_tables import agreement_arrays, solver_tables
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.hifred_provenance import SOFTWARE, flags, notes, parameters, summary
from jwst_fusion.products.map_coordinates import give_map_coordinates
from jwst_fusion.products.software import software

__all__ = ["hifred_product"]


def hifred_product(data, result, x, y, model, options, messages=()):
    """
    Make the data model of a cube fused from two.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.
    x, y : `~jwst_fusion.fusion.observed.observation.CubeObservation`
        The sharper cube, and that with the finer channels.
    model : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The model of Y, whose metadata the product takes over.
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings to be kept in the product.

    Returns
    -------
    HifredCubeModel
        The product, with the metadata of Y, the spaxels of X and channels of Y in its order.
    """
    found = flags(data, result)
    unknown = found & 1 > 0
    error = np.full(found.shape, np.nan) if result.error is None else result.error
    arrays = {
        "data": np.where(unknown, np.nan, result.cube),
        "err": np.where(unknown, np.nan, error),
        "dq": found,
    }
    channels, depth = data.channels[1], len(y.wavelength)
    falling = y.wavelength[0] > y.wavelength[-1]
    if falling:
        arrays = {name: array[::-1] for name, array in arrays.items()}
        channels = slice(depth - channels.stop, depth - channels.start)
    product = cube_product(model, grid=x.grid, channels=channels, kind=HifredCubeModel, **arrays)
    for name, value in summary(data, result).items():
        if value is not None:
            setattr(product.meta.hifred, name, value)
    product.model_x = np.ascontiguousarray(result.model_x, np.float32)
    order = slice(None, None, -1 if falling else 1)
    product.model_y = np.ascontiguousarray(result.model_y[order], np.float32)
    arrays, tables = agreement_arrays(data, result)
    if result.basis is not None:
        arrays["spectra"] = np.asarray(result.basis.T[:, order], np.float32)
    if result.coefficients is not None:
        arrays["maps"] = np.asarray(result.coefficients, np.float32)
    if result.posterior is not None:
        stored = packed(result.posterior)
        stored["posterior_spectra"] = stored["posterior_spectra"][:, order]
        if "posterior_noise" in stored:
            stored["posterior_noise"] = stored["posterior_noise"][order]
        if "posterior_pulls" in stored:
            stored["posterior_pulls"] = stored["posterior_pulls"][:, :, order]
        arrays |= stored
    for name, array in arrays.items():
        setattr(product, name, np.ascontiguousarray(array))
    for name, columns in (tables | solver_tables(result)).items():
        _add(product, f"{name}_table", columns)
    _add_texts(product, "parameter_table", parameters(options))
    _add_texts(product, "software_table", software(SOFTWARE))
    texts = notes(data, result, messages)
    if texts:
        _add_texts(product, "note_table", [(text,) for text in texts], end=False)
    give_map_coordinates(product)
    return product


def _add(product, name, columns):
    table = np.zeros(len(next(iter(columns.values()))), product.get_dtype(name))
    for column, values in columns.items():
        table[column] = values
    setattr(product, name, table)
    for column in ("low", "high"):
        if column in table.dtype.names:
            getattr(product, name).columns[column].unit = "um"


def _add_texts(product, name, rows, *, end=True):
    """Add rows of text; of one that is too long, its end is kept, or its beginning."""
    table = np.zeros(len(rows), product.get_dtype(name))
    for column, values in zip(table.dtype.names, zip(*rows, strict=True), strict=True):
        size = table.dtype[column].itemsize
        part = slice(-size, None) if end else slice(size)
        table[column] = [str(value).encode("ascii", "replace")[part] for value in values]
    setattr(product, name, table)
