"""Write the product of a fusion: pixels, flags and provenance."""

import numpy as np
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion import __version__
from jwst_fusion.fusion.origin import CUBE, IMAGE, IMAGE_SUBSPACE
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.map_coordinates import give_map_coordinates
from jwst_fusion.products.source_spectra import add_sources
from jwst_fusion.products.tables import add_arrays, add_tables

__all__ = ["RANK_RULES", "extreme", "flags_of", "fused_product"]

#: How the number of components was chosen, by the type of the parameter rank.
RANK_RULES = {str: "auto", int: "given", float: "explained"}
# What the numbers in WMAP mean, for the header; see jwst_fusion.fusion.origin.
_LEGEND = {
    "cube": "cube measured this channel",
    "image": "image whose filter covers the channel",
    "image_subspace": "image of other filters, through subspace",
    "cube_subspace": "cube in other channels, through subspace",
}


def flags_of(origin):
    """
    Turn what constrains a voxel into data quality flags.

    Parameters
    ----------
    origin : uint8 array
        As from `~jwst_fusion.fusion.origin.voxel_origin`.

    Returns
    -------
    uint32 array
        0 where the cube measured the voxel and some image its pixel. FLUX_ESTIMATED where the
        spectral subspace or the prior give what is missing: the cube lacks the voxel, or no image
        has the pixel. DO_NOT_USE and NON_SCIENCE where nothing constrains the voxel.
    """
    pixel = dqflags.pixel
    measured = (origin & CUBE > 0) & (origin & (IMAGE | IMAGE_SUBSPACE) > 0)
    flags = np.where(measured, 0, pixel["FLUX_ESTIMATED"]).astype(np.uint32)
    flags[origin == 0] = pixel["DO_NOT_USE"] | pixel["NON_SCIENCE"]
    return flags


def fused_product(template, fused, options, *, images_given=None, messages=()):
    """
    Make the data model of a fused cube.

    Parameters
    ----------
    template : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The input cube, for its metadata.
    fused : `~jwst_fusion.fusion.fused_observation.FusedObservation`
        The result.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        The parameters.
    images_given : int, optional
        Number of images that the step was given, used or not.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings to be kept in the product.

    Returns
    -------
    FusedCubeModel
        The product, in the orientation of the input cube.
    """
    origin = fused.origin * np.isfinite(fused.cube)
    arrays = {
        "data": np.where(origin > 0, fused.cube, np.nan),
        "err": np.where(origin > 0, fused.error, np.nan),
        "dq": flags_of(origin),
        "weightmap": origin,
    }
    grid = fused.grid.product
    if fused.mirrored:
        arrays = {name: array[..., ::-1] for name, array in arrays.items()}
        grid = grid.mirror()
    product = cube_product(template, grid=grid, channels=fused.channels, **arrays)
    _provenance(product, template, fused, options)
    product.meta.fusion.images_given = images_given
    add_tables(product, template, fused, options, messages)
    add_arrays(product, fused)
    add_sources(product, fused)
    give_map_coordinates(product)
    return product


def _provenance(product, template, fused, options):
    solution, meta = fused.result, product.meta.fusion
    meta.software_version = __version__
    meta.input = "cube"
    meta.cube = template.meta.filename
    meta.images = len(fused.images)
    meta.factor = fused.grid.factor
    meta.resolution = options.resolution
    meta.psf_source = fused.psf.source
    meta.psf_nodes = len(fused.psf.nodes)
    meta.psf_broadening_across = fused.broadening.across
    meta.psf_broadening_along = fused.broadening.along
    meta.psf_broadening_image = float(options.psf_broadening_image)
    _fitted_psfs(meta, solution.psf_fit, fused.grid.fine.scale, mirrored=fused.mirrored)
    meta.psf_wavefront = None if options.psf_opd is None else str(options.psf_opd)[-64:]
    meta.angle_image, meta.angle_cube = (float(angle) for angle in fused.angles)
    meta.components = int(solution.subspace.rank)
    meta.rank_rule = RANK_RULES[type(options.rank)]
    meta.components_above_noise = int(solution.subspace.signal)
    meta.truncated = solution.subspace.truncated
    meta.tuning = options.tuning
    meta.subspace_noise = float(solution.subspace.noise)
    meta.noise_scale_image = float(solution.noise_scale_image)
    meta.noise_scale_cube = float(solution.noise_scale_cube)
    meta.cross_calibration = options.crosscal
    meta.registration = fused.alignment
    _pointing(meta, fused.pointing, mirrored=fused.mirrored)
    meta.iterations = int(solution.iterations)
    meta.converged = bool(solution.converged)
    meta.origin = dict(_LEGEND)
    _quality(meta, fused)


def _pointing(meta, pointing, *, mirrored):
    """Record offset and rotation of most images, as far as they were measured."""
    if pointing is None:
        return
    if np.isfinite(pointing.offset_error):
        x, y = (float(one) for one in pointing.offset)
        meta.offset_x, meta.offset_y = -x if mirrored else x, y
        meta.offset_error = float(pointing.offset_error)
    if np.isfinite(pointing.angle_error):
        meta.rotation = float(pointing.angle)
        meta.rotation_error = float(pointing.angle_error)


def _fitted_psfs(meta, fit, scale, *, mirrored):
    """Record how PSFs differ from their models: FWHM along x and y, below 0 if narrower."""
    if fit is None:
        return
    for name, variance in (("image", fit.image), ("cube", fit.cube)):
        for axis, value in zip("xy", variance[:2], strict=True):
            width = FWHM_OF_SIGMA * scale * np.sign(value) * np.sqrt(abs(value))
            setattr(meta, f"psf_fit_{name}_{axis}", float(width))
    apart = (fit.cube - fit.image)[:2]
    known = np.hypot(*fit.errors[3:5])
    if np.isfinite(known) and known > 0:
        meta.psf_fit_significance = float(np.sum(apart) / known)
    x, y = fit.shift * scale
    meta.psf_fit_shift_x, meta.psf_fit_shift_y = float(-x if mirrored else x), float(y)
    meta.psf_fit_flux = float(np.sqrt(np.sum(fit.flux**2)))
    for number, (before, after) in enumerate(fit.left.T, start=1):
        setattr(meta, f"psf_fit_before_{number}", float(before))
        setattr(meta, f"psf_fit_after_{number}", float(after))


def _quality(meta, fused):
    quality, filters, left_out = fused.quality, fused.quality.filters, fused.left_out
    smallest = {
        "spectrum_error": [quality.spectrum_error],
        "reobserved_error": [quality.reobserved_error],
        "chi2_cube": [quality.chi2],
        "psnr": [one.psnr for one in filters],
        "ssim": [one.ssim for one in filters],
        "psnr_left_out": [one.quality.psnr for one in left_out],
    }
    for name, values in smallest.items():
        setattr(meta, name, extreme(min, values))
    meta.chi2_images = extreme(max, [one.chi2 for one in filters])


def extreme(choose, values):
    """
    Choose among the finite values.

    Parameters
    ----------
    choose : callable
        Such as `min`.
    values : iterable of float
        Values, some of which may not be known.

    Returns
    -------
    float or None
        The chosen one; None, for which no keyword is written, if there is none.
    """
    values = [float(value) for value in values if np.isfinite(value)]
    return choose(values) if values else None
