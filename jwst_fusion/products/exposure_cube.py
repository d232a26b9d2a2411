"""The product of a fusion from exposures: a fused cube, and what it leaves of each exposure."""

import logging

import numpy as np
from jwst.model_blender import ModelBlender
from stdatamodels.jwst.datamodels import IFUCubeModel, dqflags

from jwst_fusion import __version__
from jwst_fusion.fusion.observed.registration import resample_image
from jwst_fusion.fusion.origin import CUBE
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.fused_cube import RANK_RULES, extreme, flags_of
from jwst_fusion.products.map_coordinates import give_map_coordinates
from jwst_fusion.products.reobserved import reobserved_image
from jwst_fusion.products.source_spectra import store_sources
from jwst_fusion.products.tables import (
    QUALITY,
    add_posterior,
    add_record,
    as_text,
    filter_columns,
    give_units,
    stored,
    summarise,
)
from jwst_fusion.products.wavelength import set_wavelengths

__all__ = [
    "blended_template",
    "exposure_product",
    "reobserved_images",
    "residual_exposure",
    "residual_product",
]

log = logging.getLogger(__name__)

_PIXEL = dqflags.pixel
# What the numbers in WMAP mean, for the header.
_LEGEND = {
    "cube": "exposures measured this channel",
    "image": "image whose filter covers the channel",
    "image_subspace": "image of other filters, through subspace",
    "cube_subspace": "exposures in other channels, thr. subspace",
}
# Of the exposures, as those say where each of them points.
_NOT_BLENDED = ["meta.filename", "meta.wcsinfo", "meta.asn"]
# Of what is not blended: where a moving target is, roll, and the frame of the wavelengths with the
# velocity by which they were brought there. jwst's cube_build takes those of the first exposure.
_OF_THE_FIRST = ("mt_avra", "mt_avdec", "roll_ref", "specsys", "velosys")


def blended_template(models, channels, *, channel=None):
    """
    Make an empty cube with the metadata of exposures, as cube building blends them.

    Parameters
    ----------
    models : iterable of `~stdatamodels.jwst.datamodels.IFUImageModel`
        The exposures; each is only needed until the next.
    channels : `~jwst_fusion.fusion.exposures.product_grid.ProductChannels`
        Channels of the cube.
    channel : str, optional
        Channel of the MIRI spectrometer of which it is.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.IFUCubeModel`
        A cube of one pixel (L, 1, 1) with wavelengths.
    """
    blender, kept = ModelBlender(_NOT_BLENDED), None
    for model in models:
        blender.accumulate(model)
        info = model.meta.wcsinfo
        if kept is None:
            kept = {key: getattr(info, key) for key in _OF_THE_FIRST}
    template = IFUCubeModel((len(channels.wavelength), 1, 1))
    blender.finalize_model(template)
    _drop_unknown(template.meta.instance)
    info, wavelength = template.meta.wcsinfo, channels.wavelength
    info.wcsaxes = 3
    info.ctype1, info.ctype2, info.cunit1, info.cunit2 = "RA---TAN", "DEC--TAN", "deg", "deg"
    info.ctype3, info.cunit3, info.pc3_3, info.crpix3 = "WAVE", "um", 1.0, 1.0
    for name in ("pc1_3", "pc2_3", "pc3_1", "pc3_2"):
        setattr(info, name, 0.0)
    if channels.even:
        info.crval3 = float(wavelength[0])
        info.cdelt3 = float((wavelength[-1] - wavelength[0]) / (len(wavelength) - 1))
        info.waverange_start, info.waverange_end = float(wavelength[0]), float(wavelength[-1])
    else:
        set_wavelengths(template, wavelength)
    for key, value in (kept or {}).items():
        if value is not None:
            setattr(info, key, value)
    if template.meta.target.type == "MOVING" and info.mt_avra is not None:
        info.mt_ra = template.meta.target.ra = info.mt_avra
        info.mt_dec = template.meta.target.dec = info.mt_avdec
    if channel is not None:
        template.meta.instrument.channel = channel
    return template


def _drop_unknown(tree):
    """Take out keywords that no exposure has, which the blender sets to None."""
    for key in list(tree):
        if tree[key] is None:
            del tree[key]
        elif isinstance(tree[key], dict):
            _drop_unknown(tree[key])


def exposure_product(template, fused, options, *, exposures_given, images_given, messages=()):
    """
    Make the data model of a cube fused from exposures.

    Parameters
    ----------
    template : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        From `blended_template`.
    fused : `~jwst_fusion.fusion.fused_exposures.FusedExposures`
        The result.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        The parameters.
    exposures_given, images_given : int
        How many the step was given, used or not.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings to be kept in the product.

    Returns
    -------
    FusedCubeModel
        The product, North up.
    """
    result = fused.result
    origin = fused.origin * np.isfinite(result.cube)
    flags = _flags(fused, origin)
    product = cube_product(
        template,
        grid=result.grid,
        data=np.where(origin > 0, result.cube, np.nan),
        err=np.where(origin > 0, result.error, np.nan),
        dq=flags,
        weightmap=origin,
    )
    _describe(product.meta.fusion, fused, options)
    _describe_residual(product.meta.fusion, fused, options)
    product.meta.fusion.exposures_given = exposures_given
    product.meta.fusion.images_given = images_given
    product.exposure_table = _exposures(fused, product.get_dtype("exposure_table"))
    if fused.images:
        table = _filters(fused, filter_columns(product))
        product.filter_table = table
        summarise(product.meta.fusion, table)
        _add_images(product, fused)
    product.channel_table = _channels(product, fused)
    product.component_table = _components(fused, product.get_dtype("component_table"))
    mean, basis = result.spectra.at(result.wavelength)
    product.component_maps, product.component_spectra = stored(result.coefficients), stored(basis.T)
    product.channel_table["subspace_mean"] = mean
    product.meta.fusion.unit_spectra = "MJy/sr"
    add_posterior(product, result.posterior)
    add_record(product, options, messages)
    give_units(product)
    _add_sources(product, fused)
    give_map_coordinates(product)
    return product


def _flags(fused, origin):
    """Flags of the voxels, of what constrains them."""
    flags = flags_of(origin)
    if not fused.images or fused.resolution == "ifu":
        # Exposures alone measure all that such a cube shows.
        flags[(origin & CUBE) > 0] = 0
    return flags


def _add_sources(product, fused):
    """Add the point sources that exposures look at: images alone do not know a spectrum."""
    result, found = fused.result, fused.sources
    ny, nx = result.grid.shape
    inside = (found.x > -0.5) & (found.x < nx - 0.5) & (found.y > -0.5) & (found.y < ny - 0.5)
    column, row = (np.rint(one[inside]).astype(int) for one in (found.x, found.y))
    inside[inside] = np.any(fused.origin[:, row, column] > 0, axis=0)
    if not inside.all():
        log.info("%d point sources lie beside the field of the cube", np.count_nonzero(~inside))
    if not inside.any():
        return
    found = found.chosen(inside)
    store_sources(
        product,
        found,
        found.x,
        found.y,
        sky=result.grid.sky(found.x, found.y),
        flux=result.source_flux[inside],
        error=result.source_error[inside],
        covariance_factor=result.source_factor[inside],
    )


def _describe(meta, fused, options):
    result = fused.result
    meta.software_version, meta.input = __version__, "exposures"
    meta.exposures = len({one.name for one in fused.exposures})
    meta.images, meta.factor = len(fused.images), fused.factor
    meta.resolution, meta.psf_source = fused.resolution, fused.psf_source
    meta.psf_broadening_image = float(options.psf_broadening_image)
    if options.psf_opd is not None:
        meta.psf_wavefront = str(options.psf_opd)[-64:]
    if fused.exposures[0].pa_v3 is not None:
        meta.angle_cube = float(fused.exposures[0].pa_v3 - result.grid.pa_y)
    if fused.images and fused.images[0].pa_v3 is not None:
        meta.angle_image = float(fused.images[0].pa_v3 - result.grid.pa_y)
    meta.components, meta.rank_rule = len(result.mu), RANK_RULES[type(options.rank)]
    meta.tuning, meta.cross_calibration = options.tuning, options.crosscal
    meta.registration = fused.alignment
    meta.noise_scale_cube = float(np.median(result.scales))
    if fused.images:
        meta.noise_scale_image = float(np.median(result.image_scales))
    meta.psf_fit_cube_x, meta.psf_fit_cube_y = map(float, _full_width(result.psf_widths[0, :2]))
    if fused.images:
        widths = _full_width(result.image_psf_widths[0, :2])
        meta.psf_fit_image_x, meta.psf_fit_image_y = map(float, widths)
    meta.iterations, meta.converged = int(result.iterations), bool(result.converged)
    meta.origin = dict(_LEGEND)
    found = {
        "chi2_cube": extreme(np.median, fused.channel_chi2),
        "chi2_images": extreme(max, [one.chi2 for one in fused.quality]),
        "psnr": extreme(min, [one.psnr for one in fused.quality]),
        "ssim": extreme(min, [one.ssim for one in fused.quality]),
    }
    for name, value in found.items():
        if value is not None:
            setattr(meta, name, float(value))


def _describe_residual(meta, fused, options):
    """Say what of the exposures the scene does not explain."""
    meta.residual_added = bool(options.add_residual)
    significance, (channel, row, column), scatter = fused.residual.structure()
    if not np.isfinite(significance):
        return
    meta.residual_significance, meta.residual_scatter = significance, scatter
    meta.residual_wavelength = float(fused.result.wavelength[channel])
    side = fused.factor
    meta.residual_x, meta.residual_y = (float(side * one + (side - 1) / 2) for one in (column, row))
    near = tuple(slice(max(one - 1, 0), one + 2) for one in (channel, row, column))
    fine = (near[0], *(slice(side * one.start, side * one.stop) for one in near[1:]))
    left, light = float(fused.residual.data[near].mean()), float(fused.result.cube[fine].mean())
    if options.add_residual:
        light -= left
    meta.residual_share = abs(left) / max(abs(light), np.finfo(float).tiny)


def residual_product(template, fused, grid):
    """
    Make a cube of what the exposures leave of a fused cube.

    Parameters
    ----------
    template : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        From `blended_template`.
    fused : `~jwst_fusion.fusion.fused_exposures.FusedExposures`
        The result.
    grid : SkyGrid
        The spaxels.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.IFUCubeModel`
        Mean residuals and their errors, MJy/sr; NaN and DO_NOT_USE without a pixel.
    """
    seen = fused.residual.error > 0
    return cube_product(
        template,
        grid=grid,
        data=np.where(seen, fused.residual.data, np.nan),
        err=np.where(seen, fused.residual.error, np.nan),
        dq=np.where(seen, 0, _PIXEL["DO_NOT_USE"] | _PIXEL["NON_SCIENCE"]),
        weightmap=seen.astype(np.float32),
        kind=IFUCubeModel,
    )


def _exposures(fused, dtype):
    result = fused.result
    table = np.zeros(len(fused.exposures), dtype)
    for name, attribute in (("filename", "name"), ("detector", "detector"), ("grating", "grating")):
        size = dtype[name].itemsize
        table[name] = [as_text(getattr(one, attribute), size) for one in fused.exposures]
    table["roll"] = [np.nan if one.pa_v3 is None else one.pa_v3 for one in fused.exposures]
    table["noise_scale"], table["chi2"] = result.scales, fused.chi2
    table["outliers"] = [int(one.sum()) for one in result.rejected]
    table["pixels"] = [
        int(np.count_nonzero(np.isfinite(residuals) & ~rejected))
        for residuals, rejected in zip(result.residuals, result.rejected, strict=True)
    ]
    table["offset_x"], table["offset_y"] = result.offsets.T
    table["offset_x_error"], table["offset_y_error"] = result.offset_errors.T
    table["gain"], table["gain_error"] = result.gains, result.gain_errors
    table["level"], table["level_error"] = result.levels, result.level_errors
    table["psf_x"], table["psf_y"] = _full_width(result.psf_widths[:, :2].T)
    return table


def _full_width(variance):
    """Full width at half maximum of a Gaussian; of a variance below zero, negative."""
    return FWHM_OF_SIGMA * np.sign(variance) * np.sqrt(np.abs(variance))


def _filters(fused, dtype):
    result = fused.result
    table = np.zeros(len(fused.images), dtype)
    table["filter"] = [image.filter for image in fused.images]
    table["filename"] = [as_text(image.name, 128) for image in fused.images]
    table["calibration"], table["calibration_error"] = (
        result.image_gains,
        result.image_gain_errors,
    )
    # Factors are fitted with the scene; means are not compared.
    for name in ("measured_calibration", "likeness", "unexplained"):
        table[name] = table[f"{name}_error"] = np.nan
    table["coverage"] = fused.coverages
    table["throughput"] = [as_text(one, 128) for one in fused.throughputs]
    for name in QUALITY:
        table[name] = [getattr(one, name) for one in fused.quality]
    # It is the exposures that are moved, not the images.
    for name in ("offset_x", "offset_y", "offset_error"):
        table[name] = np.nan
    table["applied_x"], table["applied_y"] = fused.applied_offsets.T
    table["background"] = table["applied_background"] = result.image_levels
    table["background_error"] = result.image_level_errors
    return table


def _add_images(product, fused):
    """Images and their residuals, interpolated to the pixels of the cube, for pictures of them."""
    grid, planes = fused.result.grid, []
    for image, residuals in zip(fused.images, fused.result.image_residuals, strict=True):
        good = np.isfinite(residuals)
        data, err = resample_image(image.data, image.err, good, image.grid, grid)
        filled = np.where(good, residuals, 0.0)
        planes.append((data, err, resample_image(filled, image.err, good, image.grid, grid)[0]))
    images, errors, residuals = (stored(np.array(one)) for one in zip(*planes, strict=True))
    product.observed_images, product.image_errors = images, errors
    product.residual_images, product.filter_responses = residuals, stored(fused.responses)
    for name in ("images", "image_errors", "residuals"):
        setattr(product.meta.fusion, f"unit_{name}", "MJy/sr")


def _channels(product, fused):
    table = np.zeros(len(fused.result.wavelength), product.get_dtype("channel_table"))
    for name in ("mean_cube", "mean_reobserved", "spectrum_error", "reobserved_error", "bias"):
        table[name] = np.nan
    table["wavelength"], table["chi2"] = fused.result.wavelength, fused.channel_chi2
    table["voxels"], table["noise"] = fused.pixels, fused.noise
    measured = (fused.origin & CUBE) > 0
    total = np.where(measured, fused.result.cube, 0).sum((1, 2), dtype=float)
    count = measured.sum((1, 2))
    table["mean_fused"] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return table


def _components(fused, dtype):
    result = fused.result
    table = np.zeros(len(result.mu), dtype)
    # Spectra have a mean square of one, so that maps are in the unit of the noise of a pixel.
    power = np.mean(np.square(result.coefficients, dtype=float), axis=(1, 2))
    table["eigenvalue"] = power / np.nanmedian(fused.noise) ** 2
    table["explained"] = np.cumsum(power) / power.sum()
    table["regularisation"], table["exponent"] = result.mu, 1.0
    return table


def residual_exposure(model, parts):
    """
    Make an exposure of what the fused cube leaves of it.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        The exposure; it is not changed.
    parts : list of tuple
        Its pixels (ExposureObservation), of MIRI by channel, what is left of each pixel, MJy/sr,
        and which of them are outliers, as `~jwst_fusion.fusion.ExposureFusion` has them.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.IFUImageModel`
        Data minus model in SCI, with the errors, flags and WCS of the exposure. Outliers are
        flagged OUTLIER and DO_NOT_USE; pixels that the fusion did not use are NaN and DO_NOT_USE.
    """
    residual = model.copy()
    data = np.full(model.data.shape, np.nan, np.float32)
    outliers = np.zeros(model.data.shape, bool)
    for one, residuals, rejected in parts:
        data[one.row, one.column] = residuals
        outliers[one.row, one.column] |= rejected
    flags = np.array(model.dq, np.uint32)
    flags[outliers] |= _PIXEL["OUTLIER"]
    flags[outliers | ~np.isfinite(data)] |= _PIXEL["DO_NOT_USE"]
    residual.data, residual.dq = data, flags
    return residual


def reobserved_images(product, fused):
    """
    Make the images that a fused cube predicts, at the pixels of those that were given.

    Parameters
    ----------
    product : FusedCubeModel
        The fused cube, for its metadata.
    fused : `~jwst_fusion.fusion.fused_exposures.FusedExposures`
        The result.

    Yields
    ------
    name : str
        What distinguishes the file, such as ``reobserved_f212n``; images of one filter are
        numbered.
    model : ReobservedImageModel
        The image, on the brightness scale of the one it stands for. NaN where that was not used.
    """
    names = [image.filter for image in fused.images]
    seen = dict.fromkeys(names, 0)
    for image, residuals in zip(fused.images, fused.result.image_residuals, strict=True):
        seen[image.filter] += 1
        number = f"-{seen[image.filter]}" if names.count(image.filter) > 1 else ""
        model = reobserved_image(product, image, image.data - residuals, image.grid)
        yield f"reobserved_{image.filter.lower()}{number}", model
