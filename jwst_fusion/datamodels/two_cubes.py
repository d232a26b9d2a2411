"""The product of a HIFReD fusion of two JWST cubes: pixels, flags and provenance."""

import numpy as np

from jwst_fusion.datamodels.hifred_cube import HifredCubeModel
from jwst_fusion.datamodels.product import cube_product
from jwst_fusion.hifred.provenance import flags, parameters, software, summary

__all__ = ["hifred_product"]


def hifred_product(problem, result, x, y, options):
    """
    Make the data model of a cube fused from two.

    Parameters
    ----------
    problem : `~jwst_fusion.hifred.problem.Problem`
        The problem.
    result : `~jwst_fusion.hifred.result.Result`
        Its solution.
    x, y : `~jwst_fusion.fusion.observation.CubeObservation`
        The sharper cube, and that with the finer channels.
    options : `~jwst_fusion.hifred.parameters.HifredOptions`
        The parameters.

    Returns
    -------
    HifredCubeModel
        The product, with the metadata of Y, the spaxels of X and channels of Y in its order.
    """
    found = flags(problem, result)
    unknown = found & 1 > 0
    error = np.full(found.shape, np.nan) if result.error is None else result.error
    arrays = {
        "data": np.where(unknown, np.nan, result.cube),
        "err": np.where(unknown, np.nan, error),
        "dq": found,
    }
    channels, depth = problem.channels[1], len(y.wavelength)
    falling = y.wavelength[0] > y.wavelength[-1]
    if falling:
        arrays = {name: array[::-1] for name, array in arrays.items()}
        channels = slice(depth - channels.stop, depth - channels.start)
    product = cube_product(y.model, grid=x.grid, channels=channels, kind=HifredCubeModel, **arrays)
    for name, value in summary(problem, result).items():
        if value is not None:
            setattr(product.meta.hifred, name, value)
    product.model_x = np.ascontiguousarray(result.model_x, np.float32)
    order = slice(None, None, -1 if falling else 1)
    product.model_y = np.ascontiguousarray(result.model_y[order], np.float32)
    history = np.zeros(len(result.history), product.get_dtype("history_table"))
    history["iteration"] = np.arange(1, len(history) + 1)
    for column, values in zip(history.dtype.names[1:], np.transpose(result.history), strict=True):
        history[column] = values
    product.history_table = history
    for name, rows in (("parameter_table", parameters(options)), ("software_table", software())):
        table = np.zeros(len(rows), product.get_dtype(name))
        for column, values in zip(table.dtype.names, zip(*rows, strict=True), strict=True):
            size = table.dtype[column].itemsize
            table[column] = [str(value).encode("ascii", "replace")[-size:] for value in values]
        setattr(product, name, table)
    return product
