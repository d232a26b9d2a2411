"""Cubes of several gratings as one: before they are fused, and after."""

import logging

import numpy as np
from stdatamodels.jwst.datamodels import IFUCubeModel, dqflags

from jwst_fusion import __version__
from jwst_fusion.base import open_model
from jwst_fusion.datamodels.product import cube_product
from jwst_fusion.datamodels.wavelengths import set_wavelengths
from jwst_fusion.fusion.joining import CubePart, joined, memory_of_join, same_grid, union_grid
from jwst_fusion.fusion.keywords import UnsuitableError, celestial_wcs, wavelengths
from jwst_fusion.fusion.keywords import surface_brightness_factor as brightness_factor
from jwst_fusion.fusion.sky import SkyGrid

__all__ = ["joined_product", "stacked_cube"]

log = logging.getLogger(f"stpipe.{__name__}")

_EMPTY = dqflags.pixel["DO_NOT_USE"] | dqflags.pixel["NON_SCIENCE"]
# Spaxels that differ by less than this part of their size are the same.
_SAME_SPAXEL = 0.02


def joined_product(products, *, memory_limit):
    """
    Join fused cubes of neighbouring wavelengths.

    Parameters
    ----------
    products : sequence of FusedCubeModel
        The cubes; they are not changed.
    memory_limit : float
        Largest amount of memory that may be needed, GB.

    Returns
    -------
    FusedCubeModel
        The joined cube, with a wavelength table, and a table of the cubes it consists of.

    Raises
    ------
    UnsuitableError
        If they cannot be joined, with the reason.
    """
    parts = [_part(product) for product in products]
    grid = union_grid([part.grid for part in parts])
    need = memory_of_join(sum(len(part.wavelength) for part in parts), grid.shape) / 1e9
    if need > memory_limit:
        msg = f"this needs about {need:.1f} GB, more than memory_limit = {memory_limit:g} GB"
        raise UnsuitableError(msg)
    whole, parts = joined(parts, empty=_EMPTY)
    order = {str(product.meta.filename): product for product in products}
    first = order[parts[0].name]
    template = IFUCubeModel((len(whole.wavelength), 1, 1))
    template.update(first)
    set_wavelengths(template, whole.wavelength)
    arrays = {name: getattr(whole, name) for name in ("data", "err", "dq", "weightmap")}
    product = cube_product(template, grid=whole.grid, **arrays)
    _describe(product, first, [order[part.name] for part in parts], parts)
    return product


def _part(product):
    name = str(product.meta.filename)
    wave = wavelengths(product, name)
    order = slice(None, None, -1 if wave[0] > wave[-1] else 1)
    arrays = {key: getattr(product, key)[order] for key in ("data", "err", "dq", "weightmap")}
    grid = SkyGrid(celestial_wcs(product, name), product.data.shape[1:])
    return CubePart(name=name, wavelength=wave[order], grid=grid, **arrays)


def _describe(product, first, products, parts):
    meta, given = product.meta.fusion, first.meta.fusion
    meta.software_version = __version__
    meta.joined = len(parts)
    meta.resolution, meta.psf_source = given.resolution, given.psf_source
    meta.origin = given.origin.instance.copy()
    table = np.zeros(len(parts), product.get_dtype("cube_table"))
    for row, one, part in zip(table, products, parts, strict=True):
        instrument = one.meta.instrument
        row["filename"] = part.name.encode("ascii", "replace")[-128:]
        row["grating"] = str(instrument.grating or instrument.channel or "").encode("ascii")
        row["filter"] = str(instrument.filter or instrument.band or "").encode("ascii")
        row["first"], row["last"] = part.wavelength[0], part.wavelength[-1]
        row["ratio"], row["resampled"] = part.ratio, part.resampled
    product.cube_table = table
    for name in ("first", "last"):
        product.cube_table.columns[name].unit = "um"
    for name in ("parameter_table", "software_table"):
        setattr(product, name, np.array(getattr(first, name)))
    product.meta.cal_step.fusion = "COMPLETE"


def stacked_cube(members):
    """
    Put cubes of several gratings with the same spaxels into one, channel by channel.

    Parameters
    ----------
    members : sequence of str or `~stdatamodels.jwst.datamodels.IFUCubeModel`
        Files or models of the cubes; they are not changed.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.IFUCubeModel`
        All channels in the order of their wavelengths, in MJy/sr, with a wavelength table. Where
        gratings overlap, channels of both stand side by side.

    Raises
    ------
    UnsuitableError
        If the spaxels are not the same, or a cube has no coordinates.
    ValueError
        If a file cannot be read.
    """
    models = [open_model(member) for member in members]
    try:
        names = [str(m.meta.filename or member) for m, member in zip(models, members, strict=True)]
        waves = [wavelengths(m, name) for m, name in zip(models, names, strict=True)]
        _check_spaxels(models, names)
        order = np.argsort(np.concatenate(waves), kind="stable")
        factors = [brightness_factor(m, name) for m, name in zip(models, names, strict=True)]
        stack = IFUCubeModel(data=_stack(models, "data", factors)[order])
        stack.update(models[0])
        stack.err = _stack(models, "err", factors)[order]
        stack.dq = _stack(models, "dq")[order]
        if all(model.hasattr("weightmap") for model in models):
            stack.weightmap = _stack(models, "weightmap")[order]
        set_wavelengths(stack, np.concatenate(waves)[order])
        stack.meta.bunit_data = stack.meta.bunit_err = "MJy/sr"
        stack.meta.filename = names[0]
        channels = {c for m in models for c in str(m.meta.instrument.channel or "") if c.isdigit()}
        if models[0].meta.instrument.name == "MIRI":
            stack.meta.instrument.channel = "".join(sorted(channels))
        log.info("Channels of %s share one spectral subspace", " and ".join(names))
        return stack
    finally:
        for model, member in zip(models, members, strict=True):
            if model is not member:
                model.close()


def _stack(models, name, factors=None):
    kind = np.uint32 if name == "dq" else np.float32
    found = []
    for index, model in enumerate(models):
        # Asking a model for an array that it does not have would add one to it.
        array = getattr(model, name) if model.hasattr(name) else np.zeros(model.data.shape)
        factor = 1 if factors is None else factors[index]
        found.append(np.asarray(array if factor == 1 else array * factor, kind))
    return np.concatenate(found)


def _check_spaxels(models, names):
    grids = [
        SkyGrid(celestial_wcs(model, name), model.data.shape[1:])
        for model, name in zip(models, names, strict=True)
    ]
    for grid, name in zip(grids[1:], names[1:], strict=True):
        if not same_grid(grids[0], grid, tolerance=_SAME_SPAXEL):
            msg = (
                f"{names[0]} and {name} have other spaxels: build them with the same ra_center, "
                "dec_center, cube_pa, nspax_x, nspax_y and scalexy (cube_build)"
            )
            raise UnsuitableError(msg)
