"""Products with the fused cube as either instrument would have seen it."""

from collections import Counter

import numpy as np
from jwst.assign_wcs.pointing import create_fitswcs
from stdatamodels.jwst.datamodels import ImageModel, dqflags

from jwst_fusion.datamodels.whole_file import WholeFile
from jwst_fusion.products.cube import cube_product

__all__ = ["ReobservedImageModel", "reobserved_image", "reobserved_products"]

_EXPOSURE = {"NIRCAM": "NRC_IMAGE", "MIRI": "MIR_IMAGE", "NIRISS": "NIS_IMAGE"}


class ReobservedImageModel(WholeFile, ImageModel):
    """An image that a fused cube predicts; on disk an ImageModel."""

    written_as = ImageModel.__name__


def reobserved_products(template, fused):
    """
    Make the re-observed images and the re-observed cube of a fusion.

    Parameters
    ----------
    template : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The input cube.
    fused : `~jwst_fusion.fusion.fused_observation.FusedObservation`
        The result.

    Yields
    ------
    name : str
        What distinguishes the file, such as ``reobserved_f212n``. Several images of one filter are
        numbered in the order of the input.
    suffix : str
        Suffix of the file, ``i2d`` or ``s3d``.
    model : ReobservedImageModel or FusedCubeModel
        The product, in MJy/sr. Images have the brightness scale of the image they stand for, and
        the pixels of the fused cube. The cube has the pixels of the input cube; those outside the
        field and the wavelength range of the fusion are NaN and DO_NOT_USE. Its errors are NaN, for
        they are not known.
    """
    count, seen = Counter(image.filter for image in fused.images), Counter()
    for image, model in zip(fused.images, fused.result.images_model, strict=True):
        seen[image.filter] += 1
        number = f"-{seen[image.filter]}" if count[image.filter] > 1 else ""
        yield (
            f"reobserved_{image.filter.lower()}{number}",
            "i2d",
            _image(template, fused, image, model),
        )
    yield "reobserved", "s3d", _cube(template, fused)


def _image(template, fused, observation, model):
    grid, data = fused.grid.product, model[fused.grid.inner(fine=True)]
    if fused.mirrored:
        grid, data = grid.mirror(), data[:, ::-1]
    return reobserved_image(template, observation, data, grid)


def reobserved_image(template, observation, data, grid):
    """
    Make a re-observed image.

    Parameters
    ----------
    template : datamodel
        Where the metadata of the observation come from that images share with it.
    observation : ImageObservation
        The image that it stands for.
    data : array (y, x)
        Brightness, MJy/sr.
    grid : SkyGrid
        Sky coordinates of its pixels.

    Returns
    -------
    ReobservedImageModel
        The image.
    """
    product = ReobservedImageModel(data=np.ascontiguousarray(data, np.float32))
    product.update(template, only="PRIMARY")
    meta = product.meta
    meta.instrument.instance.clear()
    meta.exposure.instance.clear()
    meta.instrument.name, meta.instrument.filter = observation.instrument, observation.filter
    meta.instrument.detector = observation.detector or None
    meta.exposure.type = _EXPOSURE.get(observation.instrument)
    meta.bunit_data = "MJy/sr"
    info, wcs = meta.wcsinfo, grid.wcs.wcs
    info.instance.clear()
    info.wcsaxes = 2
    matrix = wcs.get_pc()
    for axis in range(2):
        for key in ("crpix", "crval"):
            setattr(info, f"{key}{axis + 1}", float(getattr(wcs, key)[axis]))
        setattr(info, f"ctype{axis + 1}", wcs.ctype[axis])
        setattr(info, f"cunit{axis + 1}", "deg")
        setattr(info, f"cdelt{axis + 1}", float(wcs.get_cdelt()[axis]))
        for other in range(2):
            setattr(info, f"pc{axis + 1}_{other + 1}", float(matrix[axis, other]))
    meta.wcs = create_fitswcs(product)
    area = grid.scale**2
    meta.photometry.pixelarea_arcsecsq = area
    meta.photometry.pixelarea_steradians = area * np.deg2rad(1 / 3600) ** 2
    return product


def _cube(template, fused):
    data = np.full(template.data.shape, np.nan, np.float32)
    part = fused.result.cube_model[(slice(None), *fused.grid.inner())]
    data[(fused.channels, *fused.grid.field)] = part
    if fused.mirrored:
        data = data[..., ::-1]
    pixel = dqflags.pixel
    flags = np.where(np.isfinite(data), 0, pixel["DO_NOT_USE"] | pixel["NON_SCIENCE"])
    return cube_product(template, data=data, err=np.full(data.shape, np.nan), dq=flags)
