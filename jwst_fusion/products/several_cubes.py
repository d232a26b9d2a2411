"""Join cubes of several gratings: before they are fused, and after."""

import logging
from dataclasses import replace

import numpy as np
from stdatamodels.jwst.datamodels import IFUCubeModel, dqflags

from jwst_fusion import __version__
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.joined_posterior import part_place, part_shares
from jwst_fusion.fusion.observed.joining import (
    CubePart,
    joined,
    memory_of_join,
    same_grid,
    union_grid,
)
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.stored_posterior import EXTENSIONS
from jwst_fusion.messages import warn
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.keywords import celestial_wcs, target_position
from jwst_fusion.products.wavelength import set_wavelengths, wavelengths

__all__ = ["joined_product", "stacked_cube"]

log = logging.getLogger(__name__)

_EMPTY = dqflags.pixel["DO_NOT_USE"] | dqflags.pixel["NON_SCIENCE"]
# Spaxels that differ by less than this part of their size are the same.
_SAME_SPAXEL = 0.02
_SAME_PLACE = 1e-3  # arcsec
# Channels of the MIRI spectrometer that the data models know together.
_CHANNELS = ("1", "2", "3", "4", "12", "34", "123", "234", "1234")


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
    NotFusableError
        If they cannot be joined, with the reason.
    """
    parts = _parts(products)
    grid = union_grid([part.grid for part in parts])
    need = memory_of_join(sum(len(part.wavelength) for part in parts), grid.shape) / 1e9
    if need > memory_limit:
        msg = (
            f"this needs about {need:.1f} GB, more than memory_limit = {memory_limit:g} GB: "
            "choose a smaller field or factor, or raise the limit"
        )
        raise NotFusableError(msg)
    grids = {part.name: part.grid for part in parts}
    whole, parts = joined(parts, empty=_EMPTY)
    order = {str(product.meta.filename): product for product in products}
    first = order[parts[0].name]
    template = IFUCubeModel((len(whole.wavelength), 1, 1))
    template.update(first)
    set_wavelengths(template, whole.wavelength)
    arrays = {name: getattr(whole, name) for name in ("data", "err", "dq", "weightmap")}
    product = cube_product(template, grid=whole.grid, **arrays)
    ordered = [order[part.name] for part in parts]
    _describe(product, first, ordered, parts)
    if all(one.hasattr("posterior_covariance") for one in ordered):
        for number, one in enumerate(ordered):
            product.joined_posteriors.append(_posterior(one, number, whole, grids))
        product.meta.fusion.sums = first.meta.fusion.sums
    return product


def _posterior(product, number, whole, grids):
    """Arrays from which errors of sums over the joined cube take those of a part."""
    name = str(product.meta.filename)
    found = {key: getattr(product, key) for key in EXTENSIONS if product.hasattr(key)}
    channels, overlap = part_shares(whole, number)
    found |= {"wavelength": wavelengths(product, name), "channels": channels}
    found["place"] = part_place(grids[name], whole.grid)
    return found | ({"overlap": overlap} if len(overlap) else {})


def _parts(products):
    parts = [_part(product) for product in products]
    first = np.argmin([part.wavelength[0] for part in parts])
    target = target_position(products[first])
    return [
        replace(part, grid=_following(part.grid, target_position(product), target, part.name))
        for part, product in zip(parts, products, strict=True)
    ]


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
    _name_instruments(product, products)
    product.meta.cal_step.fusion = "COMPLETE"


def stacked_cube(cubes, models):
    """
    Put cubes of several gratings with the same spaxels into one, channel by channel.

    Parameters
    ----------
    cubes : sequence of `~jwst_fusion.fusion.observed.observation.CubeObservation`
        The cubes; they are not changed.
    models : sequence of `~stdatamodels.jwst.datamodels.IFUCubeModel`
        Their models, for the metadata.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.IFUCubeModel`
        All channels in the order of their wavelengths, in MJy/sr, with a wavelength table. Where
        gratings overlap, channels of both stand side by side. Errors are those that each cube has,
        or that were estimated for it; voxels that cannot be used are flagged DO_NOT_USE.

    Raises
    ------
    NotFusableError
        If the spaxels are not the same.
    """
    _check_spaxels(cubes)
    wave = np.concatenate([cube.wavelength for cube in cubes])
    order = np.argsort(wave, kind="stable")
    stack = IFUCubeModel(data=_stack([cube.data for cube in cubes], np.float32)[order])
    stack.update(models[0])
    stack.err = _stack([cube.err for cube in cubes], np.float32)[order]
    stack.dq = _stack([_flags(*one) for one in zip(cubes, models, strict=True)], np.uint32)[order]
    if all(model.hasattr("weightmap") for model in models):
        stack.weightmap = _stack([model.weightmap for model in models], np.float32)[order]
    set_wavelengths(stack, wave[order])
    stack.meta.bunit_data = stack.meta.bunit_err = "MJy/sr"
    stack.meta.filename = models[0].meta.filename
    _name_instruments(stack, models)
    names = " and ".join(cube.name for cube in cubes)
    log.info("Channels of %s share one spectral subspace", names)
    return stack


def _stack(arrays, kind):
    return np.concatenate([np.asarray(array, kind) for array in arrays])


def _flags(cube, model):
    # Asking a model for an array that it does not have would add one to it.
    flags = model.dq if model.hasattr("dq") else np.zeros(cube.good.shape, np.uint32)
    return np.where(cube.good, flags, flags | dqflags.pixel["DO_NOT_USE"])


def _check_spaxels(cubes):
    first = cubes[0]
    for cube in cubes[1:]:
        grid = _following(cube.grid, cube.target, first.target, cube.name)
        if not same_grid(first.grid, grid, tolerance=_SAME_SPAXEL):
            msg = (
                f"{first.name} and {cube.name} have other spaxels: build them with the same "
                "ra_center, dec_center, cube_pa, nspax_x, nspax_y and scalexy (cube_build)"
            )
            raise NotFusableError(msg)


def _following(grid, own, target, name):
    """Move the grid of a cube such that its moving target is where that of the first cube is."""
    if target is None:
        return grid
    if own is None:
        warn(log, "%s does not say where its moving target is: it stays where it is", name)
        return grid
    distance = own.separation(target).arcsec
    if distance < _SAME_PLACE:
        return grid
    log.info('%s is moved by %.3f" to the target of the first cube', name, distance)
    return grid.recentred(own, target)


def _name_instruments(product, models):
    """Name what the cubes were observed with, as the pipeline does for data of several kinds."""
    instruments, ours = [model.meta.instrument for model in models], product.meta.instrument
    for name in ("detector", "grating", "filter", "band"):
        if len({getattr(one, name) for one in instruments}) > 1:
            setattr(ours, name, "MULTIPLE")
    channels = "".join(sorted({c for one in instruments for c in str(one.channel or "")}))
    if ours.channel is not None and channels != ours.channel:
        ours.channel = channels if channels in _CHANNELS else "ANY"
