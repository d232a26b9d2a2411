"""Fuse IFU exposures at their native pixels, with or without images, into one scene."""

import logging

import numpy as np
from astropy.coordinates import SkyCoord

from jwst_fusion.fusion.exposures.adjustment import Adjustment
from jwst_fusion.fusion.exposures.inputs import data_of, place_inputs, shared
from jwst_fusion.fusion.exposures.pointing import first_offsets
from jwst_fusion.fusion.exposures.posterior import scene_posterior
from jwst_fusion.fusion.exposures.problem import SceneProblem
from jwst_fusion.fusion.exposures.quick_cube import QuickCube
from jwst_fusion.fusion.exposures.refinement import refine_spectra
from jwst_fusion.fusion.exposures.rendering import error_cube, render_cube, source_spectra
from jwst_fusion.fusion.exposures.result import ExposureFusion
from jwst_fusion.fusion.exposures.search import search_sources
from jwst_fusion.fusion.exposures.settings import ExposureSettings
from jwst_fusion.fusion.exposures.start import first_spectra
from jwst_fusion.fusion.exposures.tuning import tune
from jwst_fusion.parameters import settings_of

__all__ = ["fuse_exposures"]

log = logging.getLogger(__name__)

# Pixels of exposures that tell the weights of the prior: they are those of the scene, whichever
# part of the pixels is taken, and a part is quicker.
_ENOUGH = 500_000
# Residuals beyond these, in standard deviations, are outliers before the spectra have been fitted
# to the pixels, and before the last fit. Bright lines that interpolation smears lie below them.
_FIRST, _SECOND = 15.0, 10.0
_SAME = 0.3  # pixels of the grid: sources nearer than that cannot be told apart
# Pixels of the grid by which exposures must have moved for the quick cube to become sharper.
_SHARPER = 0.3
_START = 10, 8  # iterations of the first solves, of a part and of all pixels
# Relative change of the brightness of an exposure from which on spectra are fitted anew before the
# factors are final, and how often that is done.
_RESCALED, _RESCALES = 2e-3, 3
_CLEAN = 4  # iterations after outliers have been left out


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
    sources : `~astropy.coordinates.SkyCoord` or "auto", optional
        Positions of point sources, which are fitted with spectra of their own and which the prior
        does not see, or "auto" to search for them in images and exposures.
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
        If one of them is of another type.
    ValueError
        If numbers of observations and PSFs do not match, PSFs are not on the pixels of the grid, or
        sources lie beyond it or at one place.

    Notes
    -----
    The scene is ``X = mean + V Z`` with spectra V and maps Z. With both given, a pixel is a sum of
    products, see `jwst_fusion.fusion.exposures.operator`. Maps are found by conjugate gradients
    under a prior of gradients whose weights, and a noise scale for each observation, follow from
    the evidence; spectra by banded least squares over all pixels, in turn. The first spectra are
    principal components of a quick cube.
    """
    settings = settings_of(options, ExposureSettings)
    inputs = place_inputs(
        exposures, exposure_psfs, grid, wavelength, images, image_psfs, bandpasses, product_psf
    )
    positions = _given(sources, inputs.domain)
    problem, groups, fitted, slopes, settled = _tuned(inputs, positions, settings)
    solution, spread, iterations = _solved(problem, groups, settings)
    groups = solution.solution
    if product_psf is None:
        product_psf = (inputs.image_psfs or inputs.psfs)[0]
    error = posterior = None
    if settings.errors:
        error = error_cube(problem, groups, inputs.domain, product_psf, spread)
        fit = {"slopes": slopes, "elimination": fitted.elimination}
        posterior = scene_posterior(problem, groups, inputs.domain, product_psf, spread, **fit)
    covariance = None if slopes is None else fitted.elimination.own
    flux, flux_error, flux_factor = source_spectra(
        problem, groups, _steradian(grid), spread, slopes=slopes, covariance=covariance
    )
    residuals, rejected, image_residuals = _unplaced(inputs, problem, groups)
    rows, columns = inputs.domain.inside
    views = [one for one in problem.data if one.operator.source is not None]
    return ExposureFusion(
        cube=render_cube(problem, groups, inputs.domain, product_psf),
        error=error,
        posterior=posterior,
        wavelength=inputs.axis.wavelength,
        grid=grid,
        coefficients=problem.maps(groups)[:, rows, columns],
        spectra=problem.spectra,
        residuals=residuals,
        rejected=rejected,
        image_residuals=image_residuals,
        source_flux=flux,
        source_error=flux_error,
        source_factor=flux_factor,
        scales=_per_observation(inputs.psfs, views, "scales"),
        image_scales=_per_observation(inputs.image_psfs, problem.data[len(views) :], "scales"),
        offsets=fitted.offsets * grid.scale,
        offset_errors=fitted.errors["offset"] * grid.scale,
        image_gains=inputs.gains,
        image_gain_errors=fitted.errors["image_gain"],
        image_levels=inputs.levels,
        image_level_errors=fitted.errors["image_level"],
        mu=problem.mu,
        converged=bool(settled and solution.converged),
        iterations=iterations,
        departure=max(one.operator.departure for one in views),
        gains=inputs.exposure_gains,
        gain_errors=fitted.errors["gain"],
        levels=inputs.exposure_levels,
        level_errors=fitted.errors["level"],
        rolls=fitted.rolls,
        roll_errors=fitted.errors["roll"],
        psf_widths=fitted.width_of("exposures") * grid.scale**2,
        psf_width_errors=fitted.width_of("exposures", errors=True) * grid.scale**2,
        image_psf_widths=fitted.width_of("images") * grid.scale**2,
        image_psf_width_errors=fitted.width_of("images", errors=True) * grid.scale**2,
        exposure_psfs=inputs.psfs,
        image_psfs=inputs.image_psfs,
        **_sources(problem, inputs.domain, fitted),
    )


def _given(sources, domain):
    """Positions (J, 2) of sources on the domain; None without any, and "auto" as it is."""
    if sources is None or (isinstance(sources, str) and sources == "auto"):
        return sources
    if not isinstance(sources, SkyCoord):
        msg = f'sources must be a SkyCoord, "auto" or None, got {type(sources).__name__}'
        raise TypeError(msg)
    positions = np.stack(domain.sky.pixels(sources), axis=-1).reshape(-1, 2)
    if not len(positions):
        return None
    lost = np.flatnonzero(~domain.near(*positions.T))
    if lost.size:
        msg = (
            f"sources {', '.join(map(str, lost))} lie beyond the grid and its margin: leave them "
            "out"
        )
        raise ValueError(msg)
    apart = np.hypot(*(positions[:, None] - positions).transpose(2, 0, 1))
    same = np.argwhere(np.triu(apart < _SAME, 1))
    if len(same):
        msg = f"sources {same[0][0]} and {same[0][1]} are at the same place: give one of them"
        raise ValueError(msg)
    return positions


def _tuned(inputs, positions, settings):
    """Problem of all pixels with everything but scene and spectra fitted to a part of them."""
    domain = inputs.domain
    part = min(1.0, _ENOUGH / sum(int(one.usable.sum()) for one in inputs.placed))
    search = isinstance(positions, str)
    start, quick = np.zeros((len(inputs.exposures), 2)), _quick_cube(inputs)
    if settings.offsets == "fitted":
        start = first_offsets(inputs, quick)
        if start.any():
            inputs.placed[:] = [
                domain.place(one, inputs.axis, offset)
                for one, offset in zip(inputs.exposures, start, strict=True)
            ]
            quick = _quick_cube(inputs)
    problem, groups = _begun(inputs, quick, part, None if search else positions, settings)
    if search:
        limits = {"false_alarms": settings.false_alarms, "max_iterations": settings.max_iterations}
        positions = search_sources(inputs, problem, groups, **limits)
        problem = SceneProblem(domain.grid, problem.spectra, problem.data, problem.mu, positions)
        groups = _first(problem, groups, settings)
    adjustment = Adjustment(inputs, settings, sourced=positions is not None, offset=start)
    if len(adjustment):
        problem, groups = adjustment.fit(problem, groups, part)
        moved = adjustment.farthest
        if adjustment.keep_told() or moved > _SHARPER:
            # Spectra of a cube that is sharper now.
            if positions is not None:
                positions = problem.prior.positions
            problem, groups = _begun(inputs, _quick_cube(inputs), part, positions, settings)
        groups = _refined(problem, groups, settings)
    fit_mu, settled = settings.mu is None, True
    if fit_mu or settings.noise_scales:
        tuned = tune(problem, groups, fit_mu=fit_mu, noise_scales=settings.noise_scales)
        groups, settled = tuned.groups, tuned.converged
    if len(adjustment) or positions is not None:
        problem, groups = adjustment.fit(problem, groups, part, fine=True)
        for _ in range(_RESCALES):
            if adjustment.rescaled < _RESCALED:
                break
            # Spectra of exposures that are as bright as each other now.
            groups = _refined(problem, groups, settings)
            problem, groups = adjustment.fit(problem, groups, part, fine=True)
        settled = settled and adjustment.still
    slopes = None
    if positions is not None and adjustment.elimination is not None:
        slopes = adjustment.elimination.amplitudes(problem, groups)
    if part < 1:
        scales = [one.scales for one in problem.data]
        data = data_of(inputs)
        for one, scale in zip(data, scales, strict=True):
            one.scales = scale
        if positions is not None:
            positions = problem.prior.positions
        problem = SceneProblem(domain.grid, problem.spectra, data, problem.mu, positions)
    return problem, groups, adjustment, slopes, settled


def _refined(problem, groups, settings):
    """Fit the spectra to the pixels of a problem; gives the solution that goes with them."""
    views = [one for one in problem.data if one.operator.source is not None]
    covariance = problem.covariance(problem.grams())
    problem.set_spectra(refine_spectra(problem.spectra, views, groups, covariance=covariance)[0])
    accuracy = {"max_iterations": _CLEAN, "tolerance": settings.tolerance}
    return problem.solve(start=problem.continued(groups), **accuracy).solution


def _quick_cube(inputs):
    """Quick cube of the exposures where they are placed now."""
    return QuickCube.of(inputs.exposures, inputs.placed, inputs.domain, inputs.axis)


def _begun(inputs, quick, part, positions, settings):
    """Problem of a part of the pixels with the spectra of a quick cube, and its solution."""
    spectra, mu = first_spectra(quick, inputs.axis, rank=settings.rank, max_rank=settings.max_rank)
    log.info("Fusion of %d exposures: rank %d", len(inputs.exposures), spectra.rank)
    if settings.mu is not None:
        mu = np.asarray(settings.mu, float)
        if len(mu) != spectra.rank:
            msg = (
                f"mu has {len(mu)} values, but the exposures tell only {spectra.rank} components: "
                f"give rank={spectra.rank} and as many"
            )
            raise ValueError(msg)
    data = data_of(inputs, part)
    problem = SceneProblem(inputs.domain.grid, spectra, data, mu, positions)
    return problem, _first(problem, None, settings)


def _first(problem, groups, settings):
    """First solution, with outliers left out that no other spectrum could explain."""
    most = min(_START[0], settings.max_iterations)
    groups = problem.solve(start=groups, max_iterations=most, tolerance=settings.tolerance).solution
    groups = problem.continued(groups)
    if settings.outlier_sigma is not None:
        problem.reject(groups, max(_FIRST, settings.outlier_sigma))
    return groups


def _solved(problem, groups, settings):
    """Maps and spectra by turns; outliers are left out as the model becomes better.

    Gives the last solution, the covariance of the spectra (None without a fit) and the number of
    iterations.
    """
    most, total, spread = settings.max_iterations, 0, None
    options = {"tolerance": settings.tolerance}
    groups = problem.continued(groups)
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
        start = problem.continued(solution.solution)
        solution = problem.solve(start=start, max_iterations=most, **options)
        total += solution.iterations
    return solution, spread, total


def _unplaced(inputs, problem, groups):
    """Residuals and outliers in the order of the observations' own pixels."""
    exposures = [None] * len(inputs.exposures)
    rejected = [None] * len(inputs.exposures)
    images = [None] * len(inputs.images)
    found = problem.residuals(groups)
    views = shared(inputs.psfs)
    for members, one, values in zip(views, problem.data, found, strict=False):
        operator = one.operator
        for i, index, part in zip(members, operator.source, operator.parts, strict=True):
            size = len(inputs.exposures[i].data)
            exposures[i], rejected[i] = np.full(size, np.nan, np.float32), np.zeros(size, bool)
            exposures[i][index] = values[part] * inputs.exposure_gains[i]
            rejected[i][index] = one.rejected[part]
    pictures = shared(inputs.image_psfs)
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
    for members, one in zip(shared(psfs), data, strict=True):
        out[members] = getattr(one, name)
    return out


def _sources(problem, domain, fitted):
    """Positions of the sources on the sky and their errors, as fields of the result."""
    if problem.prior.sources is None:
        return {"sources": None, "source_position_errors": np.zeros((0, 2))}
    positions = problem.prior.positions
    errors = fitted.position_errors
    if errors is None:
        errors = np.zeros(positions.shape)
    return {
        "sources": domain.sky.sky(*positions.T),
        "source_position_errors": errors * domain.sky.scale,
    }


def _steradian(grid):
    """Area of a pixel."""
    return float(np.radians(grid.scale / 3600) ** 2)
