"""Write a cube with the metadata of another: other pixels, other channels, same header."""

import numpy as np
from jwst.assign_wcs.pointing import create_fitswcs

from jwst_fusion.datamodels.fused_cube import FusedCubeModel
from jwst_fusion.products.preserve import preserve_extensions
from jwst_fusion.products.wavelength import wavelength_table, write_plain_axis

__all__ = ["cube_product"]

_UNIT = "MJy/sr"


def cube_product(
    template, *, data, err, dq, weightmap=None, grid=None, channels=None, kind=FusedCubeModel
):
    """
    Make a cube product.

    Parameters
    ----------
    template : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube whose metadata the product takes over; it is not changed.
    data, err : array (L, y, x)
        Surface brightness and standard deviation, MJy/sr.
    dq : array (L, y, x)
        Data quality flags.
    weightmap : array (L, y, x), optional
        Weights.
    grid : `~jwst_fusion.fusion.observed.sky.SkyGrid`, optional
        Sky coordinates of the product; by default those of the template.
    channels : slice, optional
        The channels of the template that the product has; by default all.
    kind : type
        Data model of the product, a subclass of `~stdatamodels.jwst.datamodels.IFUCubeModel`.

    Returns
    -------
    FusedCubeModel or other `kind`
        The product.

    Raises
    ------
    ValueError
        If the arrays do not have the same shape, or not that of the grid and the channels.
    """
    channels = slice(None) if channels is None else channels
    depth = len(range(*channels.indices(template.data.shape[0])))
    shape = (depth, *(template.data.shape[1:] if grid is None else grid.shape))
    arrays = {"data": data, "err": err, "dq": dq, "weightmap": weightmap}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    for name, array in arrays.items():
        if array.shape != shape:
            msg = f"{name} has shape {array.shape}, but the grid and the channels ask for {shape}"
            raise ValueError(msg)
    product = kind(template.copy())
    preserve_extensions(product)
    for name, array in arrays.items():
        setattr(product, name, np.asarray(array, "u4" if name == "dq" else "f4"))
    if weightmap is None and product.hasattr("weightmap") and product.weightmap.shape != shape:
        del product.weightmap
    product.meta.bunit_data = product.meta.bunit_err = _UNIT
    _take_channels(product, channels, template.data.shape[0])
    if grid is not None:
        _take_grid(product, grid)
    _attach_wcs(product)
    return product


def _take_channels(product, channels, depth):
    start, stop, _ = channels.indices(depth)
    if (start, stop) == (0, depth):
        return
    info = product.meta.wcsinfo
    if info.ctype3 != "WAVE-TAB":
        info.crpix3 = info.crpix3 - start
    if product.hasattr("wavetable"):
        column = np.asarray(product.wavetable["wavelength"], "f4").reshape(-1)[start:stop]
        product.wavetable = wavelength_table(column)
        if info.ctype3 == "WAVE-TAB":
            product.wavedim = f"(1,{column.size:d})"


def _take_grid(product, grid):
    info, wcs = product.meta.wcsinfo, grid.wcs.wcs
    matrix = wcs.get_pc()
    for axis in range(2):
        setattr(info, f"crpix{axis + 1}", float(wcs.crpix[axis]))
        setattr(info, f"crval{axis + 1}", float(wcs.crval[axis]))
        setattr(info, f"cdelt{axis + 1}", float(wcs.get_cdelt()[axis]))
        for other in range(2):
            setattr(info, f"pc{axis + 1}_{other + 1}", float(matrix[axis, other]))
            info.instance.pop(f"cd{axis + 1}_{other + 1}", None)
    corners = grid.corners()
    text = " ".join(f"{sky.ra.deg:.9f} {sky.dec.deg:.9f}" for sky in corners)
    info.s_region = f"POLYGON ICRS  {text}"
    area = abs(np.linalg.det(grid.wcs.pixel_scale_matrix))
    product.meta.photometry.pixelarea_arcsecsq = float(area * 3600**2)
    product.meta.photometry.pixelarea_steradians = float(area * np.deg2rad(1) ** 2)


def _attach_wcs(product):
    depth, height, width = product.data.shape
    info = product.meta.wcsinfo
    write_plain_axis(product)
    # What was assumed on reading where the header of the input says nothing.
    for name, usual in (("cunit1", "deg"), ("cunit2", "deg"), ("cunit3", "um"), ("pc3_3", 1.0)):
        if getattr(info, name) is None:
            setattr(info, name, usual)
    if product.meta.coordinates.reference_frame is None:
        product.meta.coordinates.reference_frame = "ICRS"
    product.meta.wcs = create_fitswcs(product)
    product.meta.wcs.bounding_box = (
        (-0.5, width - 0.5),
        (-0.5, height - 0.5),
        (-0.5, depth - 0.5),
    )
