"""Tables and arrays of a fused cube: how it was made and how well it agrees with the data."""

from dataclasses import fields

import numpy as np

from jwst_fusion.fusion.stored_posterior import packed
from jwst_fusion.products.bands import band_maps, band_weights
from jwst_fusion.products.software import software
from jwst_fusion.products.wavelength import wavelengths

__all__ = [
    "QUALITY",
    "add_arrays",
    "add_posterior",
    "add_record",
    "add_tables",
    "as_text",
    "filter_columns",
    "give_units",
    "stored",
    "summarise",
]

_SOFTWARE = ("jwst", "stdatamodels", "stpipe", "stpsf", "numpy", "scipy", "scikit-image", "astropy")
#: Columns of the table of images that say how well they agree with the cube.
QUALITY = ("psnr", "psnr_ceiling", "ssim", "ssim_ceiling", "relative_error", "chi2", "pixels")

# Columns of the same table that products of 0.2 do not have: the schema must open these, too.
_LATER = ("measured_calibration", "likeness", "unexplained")

# What the header says about errors of sums, which are not those of ERR added in square.
_SUMS = "jwst_fusion.fusion.error_of; root sum square of ERR: up to 4x too small"
_BRIGHTNESS = "MJy/sr"
# PSNR is in decibels, which the FITS standard does not have as a unit.
_UNITS = {
    "filter_table": dict.fromkeys(
        ("offset_x", "offset_y", "offset_error", "applied_x", "applied_y"), "arcsec"
    )
    | {"applied_rotation": "deg"}
    | dict.fromkeys(("background", "background_error", "applied_background"), _BRIGHTNESS),
    "exposure_table": dict.fromkeys(
        ("offset_x", "offset_y", "offset_x_error", "offset_y_error", "psf_x", "psf_y"), "arcsec"
    )
    | {"roll": "deg", "level": _BRIGHTNESS, "level_error": _BRIGHTNESS},
    "channel_table": {
        "wavelength": "um",
        **dict.fromkeys(("noise", "subspace_mean", "bias"), _BRIGHTNESS),
        **dict.fromkeys(("mean_cube", "mean_fused", "mean_reobserved"), _BRIGHTNESS),
    },
}


def add_tables(product, template, fused, options, messages=()):
    """
    Add all tables to a product.

    Parameters
    ----------
    product : FusedCubeModel
        The product, changed in place.
    template : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The input cube.
    fused : `~jwst_fusion.fusion.fused_observation.FusedObservation`
        The result.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        The parameters.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings.
    """
    table = _filters(fused, filter_columns(product))
    product.filter_table = table
    summarise(product.meta.fusion, table)
    product.component_table = _components(fused.result, product.get_dtype("component_table"))
    wave = wavelengths(template, str(template.meta.filename))[fused.channels]
    product.channel_table = _channels(wave, fused, product.get_dtype("channel_table"))
    if fused.left_out:
        product.left_out_table = _left_out(fused, product.get_dtype("left_out_table"))
    if fused.result.tuning_path:
        product.tuning_table = _tuning(fused.result, product.get_dtype("tuning_table"))
    add_record(product, options, messages)
    give_units(product)


def filter_columns(product):
    """
    Columns of the table of the images.

    Parameters
    ----------
    product : FusedCubeModel
        The product.

    Returns
    -------
    dtype
        Those of the schema, which every product has, and those of later versions.
    """
    later = [(f"{name}{end}", float) for name in _LATER for end in ("", "_error")]
    return np.dtype(product.get_dtype("filter_table").descr + later)


def add_record(product, options, messages=()):
    """
    Add the tables of warnings, parameters and versions.

    Parameters
    ----------
    product : FusedCubeModel
        The product, changed in place.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        The parameters.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings.
    """
    if messages:
        size = product.get_dtype("message_table")["text"].itemsize
        rows = [(one.source, one.kind, one.text[:size]) for one in messages]
        product.message_table = _pairs(rows, product.get_dtype("message_table"))
    product.parameter_table = _pairs(_parameters(options), product.get_dtype("parameter_table"))
    product.software_table = _pairs(software(_SOFTWARE), product.get_dtype("software_table"))


def give_units(product):
    """
    Give the columns of the tables their units.

    Parameters
    ----------
    product : FusedCubeModel
        The product with its tables, changed in place.
    """
    for name, units in _UNITS.items():
        if not product.hasattr(name):
            continue
        for column, unit in units.items():
            getattr(product, name).columns[column].unit = unit


def add_arrays(product, fused):
    """
    Add maps and spectra of the components, the images and their residuals.

    Parameters
    ----------
    product : FusedCubeModel
        The product, changed in place.
    fused : `~jwst_fusion.fusion.fused_observation.FusedObservation`
        The result.
    """
    solution, problem = fused.result, fused.inputs
    window = (slice(None), *fused.grid.inner(fine=True))
    used = problem.image_weight > 0
    images = np.where(used, problem.images, np.nan)
    sigma = problem.image_sigma[:, None, None] / np.sqrt(np.where(used, problem.image_weight, 1))
    residuals = images - solution.images_model
    order = slice(None, None, -1) if fused.mirrored else slice(None)
    product.component_maps = stored(solution.coefficients[window][..., order])
    product.observed_images = stored(images[window][..., order])
    product.image_errors = stored(np.where(used, sigma, np.nan)[window][..., order])
    response = problem.response / problem.response.sum(1, keepdims=True)
    product.filter_responses = stored(response)
    coarse = (slice(None), slice(None), *fused.grid.inner())
    spectrum = fused.quality.channels.cube
    weights = band_weights(response, product.channel_table["wavelength"], spectrum)
    maps = band_maps(problem, solution.cube_model, weights)[coarse][..., order]
    product.band_images, product.band_models, product.band_errors = map(stored, maps)
    product.cube_residuals = stored(((maps[0] - maps[1]) / maps[2])[: len(response)])
    product.residual_images = stored(residuals[window][..., order])
    product.component_spectra = stored(solution.subspace.basis.T)
    if solution.posterior is not None:
        rows, columns = fused.grid.inner(fine=True)
        posterior = solution.posterior.cropped(rows, columns, fused.grid.factor)
        add_posterior(product, posterior, mirrored=fused.mirrored)
    for name in ("spectra", "images", "image_errors", "residuals"):
        setattr(product.meta.fusion, f"unit_{name}", _BRIGHTNESS)


def add_posterior(product, posterior, *, mirrored=False):
    """
    Add what errors of sums need.

    Parameters
    ----------
    product : FusedCubeModel
        The product with the spectra of its components, changed in place.
    posterior : `~jwst_fusion.fusion.solver.posterior.CubePosterior`
        The posterior, on the pixels of the product.
    mirrored : bool, optional
        Whether the columns of the product are reversed against those of the posterior.
    """
    for name, array in packed(posterior, mirrored=mirrored).items():
        setattr(product, name, np.ascontiguousarray(array))
    product.meta.fusion.sums = _SUMS


def summarise(meta, table):
    """
    Give the extremes of what each image has as keywords; none for what was not measured.

    Parameters
    ----------
    meta : object
        ``meta.fusion`` of the product, changed in place.
    table : structured array
        Table of the images.
    """
    measured = np.hypot(table["offset_x"], table["offset_y"])
    values = {
        "calibration_min": (np.min, table["calibration"]),
        "calibration_max": (np.max, table["calibration"]),
        "offset_measured": (np.max, measured),
        "offset_applied": (np.max, np.hypot(table["applied_x"], table["applied_y"])),
        "background_applied": (np.max, np.abs(table["applied_background"])),
    }
    for name, (choose, found) in values.items():
        found = found[np.isfinite(found)]
        setattr(meta, name, float(choose(found)) if found.size else None)


def _filters(fused, dtype):
    table = np.zeros(len(fused.images), dtype)
    table["filter"] = [image.filter for image in fused.images]
    table["filename"] = [as_text(image.name, 128) for image in fused.images]
    for name, found, none in (
        ("calibration", fused.calibrations, 1.0),
        ("measured_calibration", fused.measured_calibrations, np.nan),
        ("likeness", fused.likenesses, np.nan),
    ):
        table[name] = [one.factor if one else none for one in found]
        table[f"{name}_error"] = [one.error if one else np.nan for one in found]
    for name in ("unexplained", "unexplained_error"):
        table[name] = [getattr(one, name) if one else np.nan for one in fused.likenesses]
    table["coverage"] = fused.coverages
    table["throughput"] = [as_text(source, 128) for source in fused.throughputs]
    for name in QUALITY:
        table[name] = [getattr(quality, name) for quality in fused.quality.filters]
    table["offset_x"], table["offset_y"] = fused.offsets.T
    table["applied_x"], table["applied_y"] = fused.applied_offsets.T
    table["applied_rotation"] = 0.0 if fused.pointing is None else fused.pointing.turned
    if fused.mirrored:
        table["offset_x"] *= -1
        table["applied_x"] *= -1
    found = fused.backgrounds
    table["background"], table["applied_background"] = found.values, found.taken
    table["background_error"] = np.where(np.isfinite(found.errors), found.errors, np.nan)
    known = np.isfinite(fused.offset_errors)
    table["offset_error"] = np.where(known, fused.offset_errors, np.nan)
    return table


def _left_out(fused, dtype):
    table = np.zeros(len(fused.left_out), dtype)
    table["filter"] = [one.filter for one in fused.left_out]
    table["filename"] = [as_text(fused.images[one.image].name, 128) for one in fused.left_out]
    table["stated_error"] = [one.stated for one in fused.left_out]
    table["left_out"] = [as_text("+".join(one.group), 128) for one in fused.left_out]
    for name in QUALITY:
        table[name] = [getattr(one.quality, name) for one in fused.left_out]
    return table


def _components(solution, dtype):
    subspace = solution.subspace
    table = np.zeros(subspace.rank, dtype)
    table["eigenvalue"] = subspace.eigenvalues[: subspace.rank]
    table["explained"] = subspace.explained[: subspace.rank]
    table["regularisation"] = solution.mu
    table["exponent"] = solution.exponents
    return table


def _tuning(solution, dtype):
    path = solution.tuning_path
    table = np.zeros(len(path), dtype)
    table["run"] = [step.run for step in path]
    table["change"] = [step.change for step in path]
    table["noise_scale_image"] = [step.scale_image**-0.5 for step in path]
    table["noise_scale_cube"] = [step.scale_cube**-0.5 for step in path]
    for name, choose in (("low", np.min), ("median", np.median), ("high", np.max)):
        table[f"regularisation_{name}"] = [choose(step.mu) for step in path]
    return table


def _channels(wavelength, fused, dtype):
    subspace, quality = fused.result.subspace, fused.quality.channels
    table = np.zeros(len(wavelength), dtype)
    table["wavelength"] = wavelength
    table["noise"] = np.where(subspace.valid, subspace.sigma, np.nan)
    table["subspace_mean"] = subspace.mean
    table["voxels"] = quality.voxels
    for name in ("cube", "fused", "reobserved"):
        table[f"mean_{name}"] = getattr(quality, name)
    for name in ("spectrum_error", "reobserved_error", "bias", "chi2"):
        table[name] = getattr(quality, name)
    return table


def _parameters(options):
    """Name and value of every parameter; one row for each item of a list."""
    rows = []
    for one in fields(options):
        value = getattr(options, one.name)
        items = (value or (None,)) if isinstance(value, tuple) else (value,)
        rows += [(one.name, str(item)) for item in items]
    return rows


def _pairs(rows, dtype):
    table = np.zeros(len(rows), dtype)
    for name, values in zip(dtype.names, zip(*rows, strict=True), strict=True):
        table[name] = [as_text(value, dtype[name].itemsize) for value in values]
    return table


def as_text(value, size):
    """
    Return text as FITS tables hold it, ASCII.

    Parameters
    ----------
    value : object
        What is to be written.
    size : int
        Bytes of the column; of what is too long, the end says most.

    Returns
    -------
    bytes
        The text.
    """
    return str(value).encode("ascii", "replace")[-size:]


def stored(array):
    """
    Return an array as products hold it.

    Parameters
    ----------
    array : array
        Of any type and order.

    Returns
    -------
    array of float32
        The same, contiguous.
    """
    return np.ascontiguousarray(array, np.float32)
