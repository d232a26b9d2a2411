"""Fuse observations: common grid, photometry, PSFs, alignment, solution, validation."""

import logging
from dataclasses import replace
from itertools import compress

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.exclusion import excluded_channels
from jwst_fusion.fusion.filter_curves import known_bandpasses
from jwst_fusion.fusion.fused_observation import FusedObservation, Pointing
from jwst_fusion.fusion.left_out import left_out_images, report, validate
from jwst_fusion.fusion.memory import estimate_fusion_memory
from jwst_fusion.fusion.observed.alignment import align, filter_offsets, report_alignment
from jwst_fusion.fusion.observed.assemble import cross_calibrate, cube_arrays, fusion_data
from jwst_fusion.fusion.observed.background import Backgrounds, find_backgrounds
from jwst_fusion.fusion.observed.disagreement import mend_images
from jwst_fusion.fusion.observed.likeness import likeness
from jwst_fusion.fusion.observed.photometry import Calibration, filter_responses
from jwst_fusion.fusion.observed.registration import choose_factor, common_grid, independent_share
from jwst_fusion.fusion.origin import voxel_origin, without_rejected
from jwst_fusion.fusion.psf.observation_psf import broadened, psf_angles, psfs_of
from jwst_fusion.fusion.solver.outliers import isolated_outliers
from jwst_fusion.fusion.sources.catalogue import coordinates_of_images, read_catalogue
from jwst_fusion.fusion.validation import assess, table
from jwst_fusion.messages import warn

__all__ = ["fuse_observations"]

log = logging.getLogger(__name__)

_MAS = 1000.0  # milliarcsec per arcsec
# Scatter over stated errors above which the errors, the PSF or the calibration are hardly right.
_NOISE_SCALE = 2.5
# Wavelengths of the PSFs that are expected, for the estimate of memory, as long as their number is
# not known: 10 to 20 for the ranges of one grating or channel.
_NODES = 16
# Times that images are mended, each time with the alignment that follows.
_MENDINGS = 2
# The error of a calibration by means: its own, which is that of noise, so many times, and what PSFs
# and light from beyond the field leave in small ones: 1.3 per cent (rms) in those of benchmarks.
_MEANS = 1.0, 0.012


def fuse_observations(cube, images, options):
    """
    Fuse a cube with images.

    Parameters
    ----------
    cube : `~jwst_fusion.fusion.observed.observation.CubeObservation`
        The cube.
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images, or the parts of them on the cube.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.

    Returns
    -------
    FusedObservation
        The fused cube.

    Raises
    ------
    NotFusableError
        If the observations cannot be fused, with the reason.
    ValueError
        If a parameter does not suit the observations.
    """
    if options.add_residual:
        msg = (
            "add_residual is for exposures (input = exposures): with cubes, lines that no "
            "component has are put back by themselves"
        )
        raise ValueError(msg)
    if options.resolution == "ifu":
        msg = (
            f"resolution is 'ifu', which is for exposures (input = exposures): {cube.name} has the "
            "resolution of the spectrograph as it is; choose imager or deconvolved"
        )
        raise ValueError(msg)
    if options.outlier_sigma > 0:
        cube, images = _without_isolated_outliers(cube, images)
    data, err, good, cube_grid = _oriented(cube)
    good = good & ~_excluded(cube, options)[:, None, None]
    channels = _channels(cube.wavelength, options)
    wavelength = cube.wavelength[channels]
    data, err, good = data[channels], err[channels], good[channels]
    if not np.any(data[good]):
        msg = f"{cube.name} has no usable data (all bad, or all zero)"
        raise NotFusableError(msg)
    images, responses, coverages, throughputs = _usable_filters(
        cube, wavelength, good, images, options
    )
    factor = options.factor
    if factor == "auto":
        factor = choose_factor(cube_grid.scale, [image.grid.scale for image in images])
    field = _field(good, cube_grid, options)
    grid = common_grid(cube_grid, field=field, factor=factor, margin=options.margin)
    _check_memory(len(wavelength), grid, len(images), options)
    log.info(
        'Common grid: %d x %d pixels of %.4f", %d per spaxel; %d channels, %d images',
        *grid.product.shape[::-1],
        grid.fine.scale,
        factor,
        len(wavelength),
        len(images),
    )
    padded, padded_err = cube_arrays(data, err, good, grid)
    angles = psf_angles(cube, images, grid.fine, options)
    psf = psfs_of(wavelength, cube, images, grid, angles, options)
    measure = options.measures_offsets(moving=cube.moving)
    apply = "each" if measure else "common" if options.alignment == "auto" else "none"
    how = {"psf": psf, "grid": grid, "search": options.search, "apply": apply}
    given = _given_offsets(images, cube.grid, grid.fine, options)
    aligned = align(padded, images, responses, given=given, **how)
    images, throughputs = (list(compress(one, aligned.kept)) for one in (images, throughputs))
    responses, coverages = responses[aligned.kept], coverages[aligned.kept]
    given = given[aligned.kept]
    for _ in range(_MENDINGS if options.outlier_sigma > 0 else 0):
        images, count = mend_images(padded, images, responses, aligned, psf=psf, grid=grid)
        if not count:
            break
        # Such sources have drawn offsets to themselves.
        aligned = align(padded, images, responses, given=given, **how)
    report_alignment(images, aligned, given, scale=grid.fine.scale, apply=apply)
    psf, broadening = broadened(psf, cube, padded, aligned.data, responses, grid, angles, options)
    backgrounds = Backgrounds.none(len(images))
    if options.background == "fitted":
        backgrounds = find_backgrounds(padded, images, responses, aligned, psf=psf, factor=factor)
    seen = aligned.data - backgrounds.taken[:, None, None]
    arrays = {"cube": padded, "err": padded_err, "images": seen, "image_err": aligned.err}
    # The fit of gains starts from those of the means; where nothing is to be calibrated, they tell
    # whether that was right.
    method = "mean" if options.crosscal == "mean" else "eroded"
    measured = cross_calibrate(**arrays, responses=responses, psf=psf, factor=factor, method=method)
    calibrations = [None] * len(images) if options.crosscal == "off" else measured
    alike = likeness(**arrays, responses=responses, psf=psf, factor=factor)
    factors = _factors(images, calibrations, options.crosscal)
    inputs = fusion_data(
        **arrays,
        responses=responses * factors[:, None],
        psf=psf,
        factor=factor,
        independent=np.array([independent_share(image.grid, grid.fine) for image in images]),
        told=_told(calibrations),
    )
    settings = options.solver()
    sky = aligned.sky_of(grid.fine)
    if options.source_file is not None:
        beside = given if aligned.corrected else aligned.applied
        sky = coordinates_of_images(sky, beside, options.source_file)
    inputs, names = _with_catalogue(inputs, cube, sky, options)
    result = fuse(inputs, settings)
    if names is not None and result.sources is not None:
        result = replace(result, sources=result.sources.renamed(names))
    _warn_of_noise(result)
    inputs = without_rejected(inputs, result.rejected_images, result.rejected_voxels)
    if result.psf_fit is not None:
        fitted = result.psf_fit
        inputs = replace(inputs, psf_image=fitted.psf_image, psf_cube=fitted.psf_cube)
        psf = replace(psf, image=fitted.psf_image, cube=fitted.psf_cube)
        # Filters that are left out are predicted with the PSFs that all images gave.
        settings = replace(settings, psf_fit="none")
    if options.crosscal == "fitted":
        calibrations = _with_gains(calibrations, result)
        # Images that are left out for validation are compared with their gains, too.
        inputs = replace(inputs, response=inputs.response * result.gains[:, None])
    products = (result.images_model, result.cube_model, result.cube)
    quality = assess(inputs, *products, inner=grid.inner())
    names = [image.filter for image in images]
    if options.predicts:
        left_out = left_out_images(inputs, names, result.prediction, inner=grid.inner())
    else:
        groups = options.validate_filters
        left_out = validate(inputs, names, groups, inner=grid.inner(), settings=settings)
    window = (slice(None), *grid.inner(fine=True))
    offsets = aligned.measured * grid.fine.scale
    return FusedObservation(
        cube=result.cube[window],
        error=result.error[window],
        origin=voxel_origin(inputs, responses, grid.inner(fine=True)),
        grid=grid,
        mirrored=cube.grid.mirrored,
        channels=channels,
        images=images,
        calibrations=calibrations,
        measured_calibrations=measured,
        likenesses=alike,
        offsets=offsets,
        offset_errors=aligned.errors * grid.fine.scale,
        applied_offsets=aligned.applied * grid.fine.scale,
        alignment="measured" if measure else "corrected" if aligned.corrected else "wcs",
        pointing=_pointing(aligned, grid.fine.scale),
        backgrounds=backgrounds,
        coverages=coverages,
        throughputs=throughputs,
        psf=psf,
        broadening=broadening,
        angles=angles,
        inputs=inputs,
        result=result,
        quality=quality,
        left_out=left_out,
        report=table(quality, names, calibrations, offsets * _MAS) + report(left_out),
    )


def _without_isolated_outliers(cube, images):
    """Observations without gross outliers, which resampling would smear over their neighbours."""
    outliers = isolated_outliers(cube.data, cube.good, spectral=True)
    count = [int(outliers.sum()), 0]
    cube = replace(cube, good=cube.good & ~outliers)
    cleaned = []
    for image in images:
        outliers = isolated_outliers(image.data[None], image.good[None])[0]
        count[1] += int(outliers.sum())
        cleaned.append(replace(image, good=image.good & ~outliers))
    if any(count):
        text = "%d voxels and %d pixels stand out more than a point source can and are not used"
        warn(log, text, *count)
    return cube, cleaned


def _oriented(cube):
    """Arrays and grid of the cube with East to the left of North, as the PSFs need it."""
    if not cube.grid.square:
        scales = " x ".join(f"{scale:.4f}" for scale in cube.grid.scales)
        msg = f"{cube.name} has spaxels of {scales} arcsec that are not square: rebuild the cube"
        raise NotFusableError(msg)
    if not cube.grid.mirrored:
        return cube.data, cube.err, cube.good, cube.grid
    flipped = (array[..., ::-1] for array in (cube.data, cube.err, cube.good))
    return (*flipped, cube.grid.mirror())


def _channels(wavelength, options):
    inside = np.ones(wavelength.size, bool)
    if options.wave_min is not None:
        inside &= wavelength >= options.wave_min
    if options.wave_max is not None:
        inside &= wavelength <= options.wave_max
    found = np.flatnonzero(inside)
    if found.size < 2:
        msg = (
            f"wave_min and wave_max leave {found.size} of the cube's channels, which run from "
            f"{wavelength.min():.4f} to {wavelength.max():.4f} um"
        )
        raise ValueError(msg)
    return slice(int(found[0]), int(found[-1]) + 1)


def _excluded(cube, options):
    out = excluded_channels(
        cube.wavelength, channels=options.exclude_channels, wave=options.exclude_wave
    )
    if out.any() or options.exclude_wave:
        log.info("%d channels are left out as asked for", np.count_nonzero(out))
    return out


def _usable_filters(cube, wavelength, good, images, options):
    """Leave out images whose filter the cube does not cover."""
    known, bandpasses = known_bandpasses(images, options.throughput_files())
    seen = good.any(0).sum()
    usable = good.sum((1, 2)) >= max(0.5 * seen, 1)
    responses, coverages = filter_responses(
        wavelength, bandpasses, usable=usable, minimum_coverage=options.min_coverage
    )
    covered = coverages >= options.min_coverage
    for image, coverage in zip(known, coverages, strict=True):
        if coverage < options.min_coverage:
            warn(
                log,
                "%s (%s) is not used: the cube covers %.1f %% of the filter's band",
                image.name,
                image.filter,
                100 * coverage,
            )
    covered &= _of_one_instrument(known, covered)
    if not covered.any():
        msg = (
            "no filter lies within the cube's wavelengths, "
            f"{wavelength.min():.3f} to {wavelength.max():.3f} um (parameter min_coverage)"
        )
        partly = [image.filter for image, part in zip(known, coverages, strict=True) if part > 0]
        if partly and cube.instrument == "MIRI":
            msg += (
                f"; {', '.join(dict.fromkeys(partly))} reaches beyond it: build the cubes of whole "
                "channels, or of several (cube_build with output_type=channel or multi)"
            )
        raise NotFusableError(msg)
    kept = [image for image, keep in zip(known, covered, strict=True) if keep]
    sources = [band.source for band, keep in zip(bandpasses, covered, strict=True) if keep]
    return kept, responses[covered], coverages[covered], sources


def _of_one_instrument(images, covered):
    """Whether images are of the instrument of the first one that the cube covers."""
    first = next((image for image, keep in zip(images, covered, strict=True) if keep), None)
    same = np.ones(len(images), bool)
    for index in np.flatnonzero(covered):
        image = images[index]
        if image.instrument != first.instrument:
            same[index] = False
            warn(
                log,
                "%s (%s) is not used: the first image is of %s, whose PSF stands for all",
                image.name,
                image.instrument,
                first.instrument,
            )
    return same


def _field(good, grid, options):
    """Rows and columns that are asked for, or those that have data."""
    if options.field_ra is None:
        seen = good.any(0)
        parts = []
        for axis in (1, 0):
            found = np.flatnonzero(seen.any(axis))
            parts.append(slice(int(found[0]), int(found[-1]) + 1))
        return tuple(parts)
    centre = SkyCoord(options.field_ra, options.field_dec, unit=u.deg)
    window = grid.window(centre, options.field_width, options.field_height)
    if window is None or not good[(slice(None), *window)].any():
        msg = (
            "field_ra, field_dec, field_width and field_height give a field without data of the "
            f"cube, which covers {grid.describe()}"
        )
        raise NotFusableError(msg)
    return window


def _check_memory(channels, grid, filters, options):
    shape = tuple(size // grid.factor for size in grid.fine.shape)
    rank = options.rank if isinstance(options.rank, int) else options.max_rank
    nodes = _NODES if options.psf_nodes == "auto" else options.psf_nodes
    need = estimate_fusion_memory(
        channels, shape, grid.factor, filters=filters, nodes=nodes, rank=rank
    )
    if need / 1e9 > options.memory_limit:
        msg = (
            f"the fusion needs about {need / 1e9:.1f} GB, more than memory_limit = "
            f"{options.memory_limit:g} GB: choose a smaller field (field_width, field_height), "
            "wavelength range or rank (max_rank), or raise the limit"
        )
        raise ValueError(msg)


def _with_catalogue(inputs, cube, sky, options):
    """Data with the sources of a catalogue that lie in the field, and their names.

    Where the headers of cube and images disagree, a catalogue agrees with the images.
    """
    if options.source_file is None:
        return inputs, None
    catalogue = read_catalogue(options.source_file)
    x, y = sky.pixels(catalogue.sky)
    rows, columns = inputs.images.shape[1:]
    inside = (x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5)
    count = np.count_nonzero(inside)
    log.info("%d of %d sources of %s lie in the field", count, len(inside), options.source_file)
    if not count:
        warn(
            log,
            "No source of %s lies in the field of %s: there are none",
            options.source_file,
            cube.name,
        )
    positions = np.column_stack([x, y])[inside]
    return replace(inputs, sources=positions), catalogue.name[inside]


def _warn_of_noise(result):
    """Warn of data that scatter more than their errors say."""
    for name, scale in (
        ("images scatter", result.noise_scale_image),
        ("cube scatters", result.noise_scale_cube),
    ):
        if scale > _NOISE_SCALE:
            text = "The %s %.1f times more than the errors say: look at errors, PSF and calibration"
            warn(log, text, name, scale, kind="noise_scale")


def _pointing(aligned, scale):
    """Offset and rotation of most images against the cube; None where not looked for."""
    offset, angle = aligned.offset, aligned.angle
    if offset is None:
        return None
    return Pointing(
        offset=offset.common * scale,
        offset_error=offset.error * scale,
        angle=float(angle.common[0]),
        angle_error=angle.error,
        turned=aligned.turned,
    )


def _with_gains(calibrations, solution):
    """Calibrations times the gains that were fitted with the scene."""
    return [
        Calibration(
            factor=gain * (1.0 if start is None else start.factor),
            error=error * (1.0 if start is None else start.factor),
            area=1.0,
        )
        for start, gain, error in zip(
            calibrations, solution.gains, solution.gain_errors, strict=True
        )
    ]


def _told(calibrations):
    """Relative errors (F,) of the calibration by means, NaN where there is none."""
    return np.array(
        [
            np.nan if one is None else np.hypot(_MEANS[0] * one.error / one.factor, _MEANS[1])
            for one in calibrations
        ]
    )


def _given_offsets(images, cube_grid, fine, options):
    """Offsets (F, 2) asked for, in fine pixels of the common grid, which is never mirrored."""
    known = filter_offsets(options.offsets)
    offsets = np.array([known.get(image.filter, (0.0, 0.0)) for image in images])
    return offsets * [-1 if cube_grid.mirrored else 1, 1] / fine.scale


def _factors(images, calibrations, method):
    factors = np.ones(len(images))
    for index, (image, calibration) in enumerate(zip(images, calibrations, strict=True)):
        if calibration is not None:
            factors[index] = calibration.factor
        elif method != "off":
            warn(log, "%s has too little signal to be calibrated against the cube", image.name)
    return factors
