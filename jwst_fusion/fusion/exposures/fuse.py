"""Fuse IFU exposures at their native pixels, with or without images, into one scene."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposures.domain import Domain
from jwst_fusion.fusion.exposures.image_operator import ImageOperator
from jwst_fusion.fusion.exposures.nuisance import Parameter, joint_step
from jwst_fusion.fusion.exposures.operator import ExposureOperator, PlacedPixels
from jwst_fusion.fusion.exposures.problem import PixelData, SceneProblem
from jwst_fusion.fusion.exposures.refinement import refine_spectra
from jwst_fusion.fusion.exposures.rendering import error_cube, render_cube, source_spectra
from jwst_fusion.fusion.exposures.result import ExposureFusion
from jwst_fusion.fusion.exposures.settings import ExposureSettings
from jwst_fusion.fusion.exposures.spectra import ChannelAxis
from jwst_fusion.fusion.exposures.start import first_spectra
from jwst_fusion.fusion.exposures.tuning import tune
from jwst_fusion.fusion.observed.photometry import filter_responses
from jwst_fusion.parameters import settings_of
from jwst_fusion.psf import PsfCube

__all__ = ["fuse_exposures"]

log = logging.getLogger(__name__)

# Pixels of exposures that tell the weights of the prior: they are those of the scene, whichever
# part of the pixels is taken, and a part is quicker.
_ENOUGH = 500_000
_SEED = 1
# Residuals beyond these, in standard deviations, are outliers before the spectra have been fitted
# to the pixels, and before the last fit. Bright lines that interpolation smears lie below them.
_FIRST, _SECOND = 15.0, 10.0
_START = 10, 8  # iterations of the first solves, of a part and of all pixels
_CLEAN = 4  # iterations after outliers have been left out
_MOVES = 6  # steps of offsets, factors and levels at most
# Of the last step: fine pixels, relative, and of the errors of the image.
_STILL = {"x": 0.003, "y": 0.003, "gain": 3e-4, "level": 0.03}
_SQUARE = "the grid of the product must have square pixels that are not mirrored"


@dataclass
class _Inputs:
    """Observations placed on the domain."""

    domain: Domain
    axis: ChannelAxis
    exposures: list
    placed: list
    psfs: list
    images: list
    image_places: list
    image_psfs: list
    responses: np.ndarray
    gains: np.ndarray
    levels: np.ndarray


@dataclass
class _Fitted:
    """Parameters of exposures and images that were fitted, with their errors."""

    offsets: np.ndarray  # (exposure, 2), fine pixels
    offset_errors: np.ndarray
    gain_errors: np.ndarray
    level_errors: np.ndarray


def fuse_exposures(
    exposures,
    exposure_psfs,
    *,
    grid,
    wavelength,
    images=(),
    image_psfs=None,
    bandpasses=(),
    product_psf=None,
    sources=None,
    options=None,
):
    r"""
    Fuse IFU exposures at their native pixels, with or without images, into one scene.

    Nothing is resampled: the scene on the sky is found that explains every pixel of the exposures
    and of the images, each at its own position and wavelength.

    Parameters
    ----------
    exposures : list of ExposureObservation
        Exposures as `jwst_fusion.products.ifu_exposure.read_ifu_exposure` reads them.
    exposure_psfs : PsfCube or list of PsfCube
        PSF of optics, slice and pixel on the pixels and in the orientation of `grid`, one for all
        or one for each exposure; exposures that share one should share the object.
    grid : SkyGrid
        Fine grid of the product, of square pixels, at least as fine as the pixels of the images.
    wavelength : array (L,)
        Channels of the product, ascending, about as far apart as the detector's pixels,
        micrometre.
    images : list of ImageObservation, optional
        Images in MJy/sr, each at its native pixels.
    image_psfs : PsfCube or list of PsfCube, optional
        PSF of optics and pixels, one for all or one for each image; needed with images.
    bandpasses : list of `~jwst_fusion.bandpass.Bandpass`, optional
        Filter curve of each image; the channels must cover it.
    product_psf : PsfCube, optional
        PSF of the product. By default that of the first image or, without images, of the first
        exposure.
    sources : `~astropy.coordinates.SkyCoord`, optional
        Positions of point sources, which are fitted with spectra of their own and which the prior
        does not see.
    options : ExposureSettings, optional
        Settings of the solver.

    Returns
    -------
    ExposureFusion
        Cube, errors, residuals of every pixel, spectra of the sources.

    Raises
    ------
    NotFusableError
        If no exposure has pixels within the grid and the channels, or a filter is not covered.
    TypeError
        If `options` is something else.
    ValueError
        If numbers of observations and PSFs do not match, or PSFs are not on the pixels of the grid.

    Notes
    -----
    The scene is ``X = mean + V Z`` with spectra V and maps Z. With both given, a pixel is a sum of
    products, see `jwst_fusion.fusion.exposures.operator`. Maps are found by conjugate gradients
    under a prior of gradients whose weights, and a noise scale for each observation, follow from
    the evidence; spectra by banded least squares over all pixels, in turn. The first spectra are
    principal components of a quick cube.
    """
    settings = settings_of(options, ExposureSettings)
    inputs = _placed(
        exposures, exposure_psfs, grid, wavelength, images, image_psfs, bandpasses, product_psf
    )
    positions = None
    if sources is not None:
        positions = np.stack(inputs.domain.sky.pixels(sources), axis=-1).reshape(-1, 2)
        positions = positions[inputs.domain.near(*positions.T)]
    problem, groups, fitted, settled = _tuned(inputs, positions, settings)
    solution, spread, iterations = _solved(problem, groups, settings)
    groups = solution.solution
    if product_psf is None:
        product_psf = (inputs.image_psfs or inputs.psfs)[0]
    error = None
    if settings.errors:
        error = error_cube(problem, groups, inputs.domain, product_psf, spread)
    flux, flux_error = source_spectra(problem, groups, _steradian(grid))
    residuals, rejected, image_residuals = _unplaced(inputs, problem, groups)
    rows, columns = inputs.domain.inside
    views = [one for one in problem.data if one.operator.source is not None]
    return ExposureFusion(
        cube=render_cube(problem, groups, inputs.domain, product_psf),
        error=error,
        wavelength=inputs.axis.wavelength,
        grid=grid,
        coefficients=problem.maps(groups)[:, rows, columns],
        spectra=problem.spectra,
        residuals=residuals,
        rejected=rejected,
        image_residuals=image_residuals,
        source_flux=flux,
        source_error=flux_error,
        scales=_per_observation(inputs.psfs, views, "scales"),
        image_scales=_per_observation(inputs.image_psfs, problem.data[len(views) :], "scales"),
        offsets=fitted.offsets * grid.scale,
        offset_errors=fitted.offset_errors * grid.scale,
        image_gains=inputs.gains,
        image_gain_errors=fitted.gain_errors,
        image_levels=inputs.levels,
        image_level_errors=fitted.level_errors,
        mu=problem.mu,
        converged=bool(settled and solution.converged),
        iterations=iterations,
        departure=max(one.operator.departure for one in views),
    )


def _placed(exposures, psfs, grid, wavelength, images, image_psfs, bandpasses, product_psf):
    """Check the input and place it on the domain."""
    exposures, images, bandpasses = list(exposures), list(images), list(bandpasses)
    if not exposures:
        msg = "exposures is empty: give at least one IFU exposure"
        raise ValueError(msg)
    if not grid.square or grid.mirrored:
        raise ValueError(_SQUARE)
    psfs = _one_each("exposure_psfs", psfs, len(exposures), grid)
    image_psfs = _one_each("image_psfs", image_psfs, len(images), grid) if images else []
    if product_psf is not None:
        _one_each("product_psf", product_psf, 1, grid)
    if len(bandpasses) != len(images):
        msg = f"there are {len(images)} images and {len(bandpasses)} bandpasses: give one for each"
        raise ValueError(msg)
    axis = ChannelAxis(wavelength)
    reach = max(max(psf.data.shape[1:]) for psf in [*psfs, *image_psfs])
    domain = Domain.around(grid, reach)
    placed = [domain.place(exposure, axis) for exposure in exposures]
    for exposure, one in zip(exposures, placed, strict=True):
        if not one.usable.any():
            msg = (
                f"{exposure.name} has no good pixel within the product's grid and wavelengths "
                f"({axis.wavelength[0]:.3f} to {axis.wavelength[-1]:.3f} um): leave it out, or "
                "make these larger"
            )
            raise NotFusableError(msg)
    usable = np.ones(len(axis.wavelength), bool)
    responses, coverages = filter_responses(axis.wavelength, bandpasses, usable=usable)
    for image, response, coverage in zip(images, responses, coverages, strict=True):
        if not response.any():
            msg = (
                f"the channels cover {100 * coverage:.0f} % of {image.filter} ({image.name}): "
                "leave the image out, or give more channels"
            )
            raise NotFusableError(msg)
    places = [domain.place_image(image) for image in images]
    for image, (index, _, _) in zip(images, places, strict=True):
        if not index.size:
            msg = f"{image.name} has no good pixel within the product's grid: leave it out"
            raise NotFusableError(msg)
    count = len(images)
    return _Inputs(
        domain=domain,
        axis=axis,
        exposures=exposures,
        placed=placed,
        psfs=psfs,
        images=images,
        image_places=places,
        image_psfs=image_psfs,
        responses=responses,
        gains=np.ones(count),
        levels=np.zeros(count),
    )


def _one_each(name, psfs, count, grid):
    """PSFs as a list of the right length, on the pixels of the grid."""
    psfs = [psfs] * count if isinstance(psfs, PsfCube) else list(psfs or ())
    if len(psfs) != count:
        msg = f"{name} holds {len(psfs)} PSFs for {count} observations: give one, or one for each"
        raise ValueError(msg)
    for psf in psfs:
        if not np.isclose(psf.pixel_scale, grid.scale, rtol=1e-3):
            msg = (
                f"{name}: a PSF has pixels of {psf.pixel_scale:g} arcsec, the grid of the product "
                f"{grid.scale:g}: make it on the pixels of the grid"
            )
            raise ValueError(msg)
    return psfs


def _shared(psfs):
    """Indices of the observations that share one PSF, in the order of first appearance."""
    groups = {}
    for index, psf in enumerate(psfs):
        groups.setdefault(id(psf), []).append(index)
    return list(groups.values())


def _data(inputs, part=1.0):
    """Operators and data of all pixels, or of a random part of those of the exposures."""
    data, rng = [], np.random.default_rng(_SEED)
    for members in _shared(inputs.psfs):
        placed = [inputs.placed[i] for i in members]
        if part < 1:
            placed = [
                PlacedPixels(
                    one.x,
                    one.y,
                    one.wavelength,
                    one.label,
                    one.usable & (rng.random(len(one.x)) < part),
                )
                for one in placed
            ]
        psf = inputs.psfs[members[0]]
        operator = ExposureOperator(inputs.domain.grid, psf, inputs.axis, placed)
        found = [
            (
                inputs.exposures[i].data[index],
                inputs.exposures[i].err[index],
                one.x[index],
                one.y[index],
            )
            for i, one, index in zip(members, placed, operator.source, strict=True)
        ]
        data.append(PixelData(operator, *(np.concatenate(one) for one in zip(*found, strict=True))))
    for members in _shared(inputs.image_psfs):
        places = [inputs.image_places[i] for i in members]
        operator = ImageOperator(
            inputs.domain.grid,
            inputs.image_psfs[members[0]],
            inputs.axis,
            inputs.responses[members],
            [place[1:] for place in places],
        )
        found = [
            (
                (inputs.images[i].data.ravel()[index] - inputs.levels[i]) / inputs.gains[i],
                inputs.images[i].err.ravel()[index] / inputs.gains[i],
                x,
                y,
            )
            for i, (index, x, y) in zip(members, places, strict=True)
        ]
        data.append(PixelData(operator, *(np.concatenate(one) for one in zip(*found, strict=True))))
    return data


def _tuned(inputs, positions, settings):
    """Problem of all pixels with offsets and weights fitted to a part; solution of the part."""
    domain = inputs.domain
    part = min(1.0, _ENOUGH / sum(int(one.usable.sum()) for one in inputs.placed))
    parameters, settled = _parameters(inputs, settings), True
    offsets = np.zeros((2, len(inputs.exposures), 2))
    fitted = _Fitted(*offsets, *np.zeros((2, len(inputs.images))))
    problem, groups = _begun(inputs, part, positions, settings)
    if parameters:
        _adjusted(inputs, problem, groups, part, settings, parameters, fitted)
        # Spectra of a cube that is sharper now, and fitted to the pixels.
        problem, groups = _begun(inputs, part, positions, settings)
        views = [one for one in problem.data if one.operator.source is not None]
        covariance = problem.covariance(problem.grams())
        problem.set_spectra(
            refine_spectra(problem.spectra, views, groups, covariance=covariance)[0]
        )
        groups = problem.solve(start=groups, max_iterations=_CLEAN, tolerance=settings.tolerance)
        groups = groups.solution
    fit_mu = settings.mu is None
    if fit_mu or settings.noise_scales:
        tuned = tune(problem, groups, fit_mu=fit_mu, noise_scales=settings.noise_scales)
        groups, settled = tuned.groups, tuned.converged
    if parameters:
        problem, groups, still = _adjusted(
            inputs, problem, groups, part, settings, parameters, fitted
        )
        settled = settled and still
    if part < 1:
        scales = [one.scales for one in problem.data]
        data = _data(inputs)
        for one, scale in zip(data, scales, strict=True):
            one.scales = scale
        problem = SceneProblem(domain.grid, problem.spectra, data, problem.mu, positions)
    return problem, groups, fitted, settled


def _parameters(inputs, settings):
    """What is to be fitted beside the scene: pairs of Parameter and index of the observation."""
    views, wanted = _shared(inputs.psfs), []
    if settings.offsets == "fitted":
        for data, members in enumerate(views):
            for part, index in enumerate(members):
                # Without an image nothing tells where the first exposure itself points.
                if inputs.images or index:
                    wanted += [(Parameter(data, part, kind), index) for kind in "xy"]
    if settings.gains == "fitted":
        for data, members in enumerate(_shared(inputs.image_psfs), start=len(views)):
            for part, index in enumerate(members):
                wanted += [(Parameter(data, part, kind), index) for kind in ("gain", "level")]
    return wanted


def _begun(inputs, part, positions, settings):
    """Problem of a part of the pixels with the spectra of a quick cube, and its solution."""
    spectra, mu = first_spectra(
        inputs.exposures,
        inputs.placed,
        inputs.domain,
        inputs.axis,
        rank=settings.rank,
        max_rank=settings.max_rank,
    )
    log.info("Fusion of %d exposures: rank %d", len(inputs.exposures), spectra.rank)
    mu = mu if settings.mu is None else np.asarray(settings.mu, float)
    data = _data(inputs, part)
    problem = SceneProblem(inputs.domain.grid, spectra, data, mu, positions)
    most = min(_START[0], settings.max_iterations)
    groups = problem.solve(max_iterations=most, tolerance=settings.tolerance).solution
    if settings.outlier_sigma is not None:
        problem.reject(groups, max(_FIRST, settings.outlier_sigma))
    return problem, groups


def _adjusted(inputs, problem, groups, part, settings, parameters, fitted):
    """Fit offsets, factors and levels; change the input accordingly."""
    positions = None if problem.prior.sources is None else problem.prior.positions
    for number in range(_MOVES):
        step, covariance = joint_step(problem, groups, [one for one, _ in parameters])
        _take(inputs, parameters, step, np.sqrt(np.diag(covariance)), fitted)
        data = _data(inputs, part)
        for one, old in zip(data, problem.data, strict=True):
            one.rejected, one.scales = old.rejected, old.scales
        problem = SceneProblem(problem.grid, problem.spectra, data, problem.mu, positions)
        most = min(_START[1], settings.max_iterations)
        groups = problem.solve(start=groups, tolerance=settings.tolerance, max_iterations=most)
        groups = groups.solution
        if settings.outlier_sigma is not None:
            problem.reject(groups, max(_FIRST, settings.outlier_sigma))
        largest = 0.0
        for (one, _), change in zip(parameters, step, strict=True):
            unit = float(np.median(data[one.data].error)) if one.kind == "level" else 1.0
            largest = max(largest, abs(change) / unit / _STILL[one.kind])
        log.info("Offsets, factors, levels: step %d, %.1f times the last one", number + 1, largest)
        if largest < 1:
            return problem, groups, True
    return problem, groups, False


def _take(inputs, parameters, step, errors, fitted):
    """Change offsets, factors and levels by a step."""
    for (one, index), change, error in zip(parameters, step, errors, strict=True):
        if one.kind == "gain":
            inputs.gains[index] *= 1 + change
            fitted.gain_errors[index] = error * inputs.gains[index]
        elif one.kind == "level":
            inputs.levels[index] += inputs.gains[index] * change
            fitted.level_errors[index] = error * inputs.gains[index]
        else:
            axis = "xy".index(one.kind)
            fitted.offsets[index, axis] += change
            fitted.offset_errors[index, axis] = error
            placed = inputs.placed[index]
            moved = getattr(placed, one.kind) + change
            inputs.placed[index] = replace(placed, **{one.kind: moved})


def _solved(problem, groups, settings):
    """Maps and spectra by turns; outliers are left out as the model becomes better.

    Gives the last solution, the covariance of the spectra (None without a fit) and the number of
    iterations.
    """
    most, total, spread = settings.max_iterations, 0, None
    options = {"tolerance": settings.tolerance}
    solution = problem.solve(start=groups, max_iterations=min(_START[1], most), **options)
    total += solution.iterations
    if settings.outlier_sigma is not None:
        problem.reject(solution.solution, max(_FIRST, settings.outlier_sigma))
        last = min(_CLEAN, most) if settings.passes else most
        solution = problem.solve(start=solution.solution, max_iterations=last, **options)
        total += solution.iterations
    views = [one for one in problem.data if one.operator.source is not None]
    for number in range(settings.passes):
        covariance = problem.covariance(problem.grams())
        spectra, spread = refine_spectra(
            problem.spectra, views, solution.solution, covariance=covariance
        )
        problem.set_spectra(spectra)
        if settings.noise_scales:
            tune(problem, solution.solution, fit_mu=False, steps=1, max_iterations=0)
        if settings.outlier_sigma is not None:
            least = 0.0 if number + 1 == settings.passes else _SECOND
            left = problem.reject(solution.solution, max(least, settings.outlier_sigma))
            log.info("Fit %d of the spectra: %d pixels are left out", number + 1, left)
        solution = problem.solve(start=solution.solution, max_iterations=most, **options)
        total += solution.iterations
    return solution, spread, total


def _unplaced(inputs, problem, groups):
    """Residuals and outliers in the order of the observations' own pixels."""
    exposures = [None] * len(inputs.exposures)
    rejected = [None] * len(inputs.exposures)
    images = [None] * len(inputs.images)
    found = problem.residuals(groups)
    views = _shared(inputs.psfs)
    for members, one, values in zip(views, problem.data, found, strict=False):
        operator = one.operator
        for i, index, part in zip(members, operator.source, operator.parts, strict=True):
            size = len(inputs.exposures[i].data)
            exposures[i], rejected[i] = np.full(size, np.nan, np.float32), np.zeros(size, bool)
            exposures[i][index], rejected[i][index] = values[part], one.rejected[part]
    pictures = _shared(inputs.image_psfs)
    for members, one, values in zip(
        pictures, problem.data[len(views) :], found[len(views) :], strict=True
    ):
        for i, part in zip(members, one.operator.parts, strict=True):
            picture = np.full(inputs.images[i].data.size, np.nan)
            picture[inputs.image_places[i][0]] = values[part] * inputs.gains[i]
            images[i] = picture.reshape(inputs.images[i].data.shape)
    return exposures, rejected, images


def _per_observation(psfs, data, name):
    """Values of each set of pixels, in the order of the observations."""
    out = np.ones(len(psfs))
    for members, one in zip(_shared(psfs), data, strict=True):
        out[members] = getattr(one, name)
    return out


def _steradian(grid):
    """Area of a pixel."""
    return float(np.radians(grid.scale / 3600) ** 2)
