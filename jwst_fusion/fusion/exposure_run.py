"""Fuse exposures and images as the step is given them: grid, channels, PSFs, sources, solution."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.bandpass import MIN_COVERAGE
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exclusion import wavelength_ranges
from jwst_fusion.fusion.exposure_options import (
    broadening_sigma,
    check_exposure_options,
    exposure_settings,
)
from jwst_fusion.fusion.exposures.domain import Domain, positions_on
from jwst_fusion.fusion.exposures.footprint import PixelFootprint
from jwst_fusion.fusion.exposures.fuse import fuse_exposures
from jwst_fusion.fusion.exposures.image_psfs import image_psfs, product_psf, psf_pixels
from jwst_fusion.fusion.exposures.memory import estimate_exposure_memory
from jwst_fusion.fusion.exposures.product_grid import (
    ProductChannels,
    choose_channels,
    choose_grid,
    finest_factor,
    spaxel_of,
)
from jwst_fusion.fusion.exposures.psfs import exposure_psfs
from jwst_fusion.fusion.exposures.spectra import ChannelAxis
from jwst_fusion.fusion.filter_curves import known_bandpasses
from jwst_fusion.fusion.fused_exposures import (
    FusedExposures,
    agreement,
    exposure_origin,
    image_quality,
)
from jwst_fusion.fusion.observed.alignment import filter_offsets
from jwst_fusion.fusion.observed.photometry import filter_responses, seen_part
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.residual_cube import ResidualCube, with_residual
from jwst_fusion.fusion.solver.outliers import isolated_outliers
from jwst_fusion.fusion.sources.catalogue import coordinates_of_images, read_catalogue
from jwst_fusion.fusion.sources.source_list import SourceList
from jwst_fusion.messages import warn
from jwst_fusion.psf import read_psf

__all__ = ["ExposureField", "fuse_observed_exposures", "observed_field"]

log = logging.getLogger(__name__)

_NOISE_SCALE = 2.5  # scatter over stated errors above which something does not fit
_SAME = 0.3  # fine pixels: sources nearer than that cannot be told apart


@dataclass(frozen=True)
class ExposureField:
    """
    What of the sky and of the wavelengths a fusion of exposures is about.

    Attributes
    ----------
    exposures : list of ExposureObservation
        Exposures with pixels in it, with the rolls that are to be used.
    channels : ProductChannels
        Channels.
    spaxel : float
        Spaxel of which the pixels of the product are a part, arcsec.
    coarse : SkyGrid
        Spaxels that hold all of it, North up.
    """

    exposures: list
    channels: ProductChannels
    spaxel: float
    coarse: SkyGrid


def observed_field(exposures, options):
    """
    Find channels and spaxels of exposures, before images are read.

    Parameters
    ----------
    exposures : list of ExposureObservation
        Exposures of one grating, or of the bands of one channel of the MIRI spectrometer.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.

    Returns
    -------
    ExposureField
        What is to be fused.

    Raises
    ------
    NotFusableError
        If nothing is left within the parameters.
    ValueError
        If a parameter does not suit exposures, or these do not belong together.
    """
    check_exposure_options(options)
    exposures = [_prepared(one, options) for one in exposures]
    exposures = [one for one in exposures if one.good.any()]
    if not exposures:
        msg = "exclude_wave leaves no good pixel of any exposure"
        raise NotFusableError(msg)
    channels = choose_channels(exposures, wave_min=options.wave_min, wave_max=options.wave_max)
    spaxel = spaxel_of(exposures[0])
    field = None
    if options.field_ra is not None:
        field = options.field_ra, options.field_dec, options.field_width, options.field_height
    coarse = choose_grid(exposures, channels, spaxel=spaxel, factor=1, field=field)
    axis, kept = ChannelAxis(channels.wavelength), []
    for one in exposures:
        x, y = positions_on(coarse, one.ra, one.dec)
        with np.errstate(invalid="ignore"):
            near = (x > -0.5) & (x < coarse.shape[1] - 0.5) & (y > -0.5)
            near &= (y < coarse.shape[0] - 0.5) & one.good & axis.covers(one.wavelength)
        if near.any():
            kept.append(one)
        else:
            log.info(
                "%s %s sees nothing of the field and the wavelengths and is not used",
                one.name,
                one.grating,
            )
    if not kept:
        msg = (
            "no exposure has a good pixel in the field and the wavelengths asked for (field_ra, "
            "field_dec, field_width, field_height, wave_min, wave_max)"
        )
        raise NotFusableError(msg)
    return ExposureField(kept, channels, spaxel, coarse)


def _prepared(exposure, options):
    """An exposure with the roll that is given, without the wavelengths that are left out."""
    good = exposure.good
    for low, high in wavelength_ranges(options.exclude_wave):
        good = good & ~((exposure.wavelength >= low) & (exposure.wavelength <= high))
    roll = exposure.pa_v3 if options.roll_cube is None else options.roll_cube
    return replace(exposure, good=good, pa_v3=roll)


def fuse_observed_exposures(field, images, options, *, moving=False, dates=(None, None)):
    """
    Fuse exposures with images, as parameters of the step ask for.

    Parameters
    ----------
    field : ExposureField
        Exposures, channels, and the part of the sky.
    images : list of ImageObservation
        Images, or the parts of them around the field; may be empty.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.
    moving : bool, optional
        Whether the target moves on the sky.
    dates : tuple of str or None, optional
        Dates of exposures and images, for their wavefronts.

    Returns
    -------
    FusedExposures
        The fused cube.

    Raises
    ------
    NotFusableError
        If the observations cannot be fused, with the reason.
    ValueError
        If a parameter does not suit the observations, or more memory is needed than allowed.
    """
    exposures, wavelength = field.exposures, field.channels.wavelength
    images, bandpasses, responses, coverages = _usable_images(images, wavelength, options)
    factor = options.factor
    if factor == "auto":
        factor = finest_factor(exposures, wavelength, [image.grid.scale for image in images])
    grid = field.coarse.refined(factor)
    npix = psf_pixels(options.psf_size, wavelength, exposures[0].instrument, grid.scale)
    images, applied = _moved(images, grid, options)
    seen = _on_domain(images, Domain.around(grid, npix))
    images, bandpasses = ([one[i] for i in seen] for one in (images, bandpasses))
    responses, coverages, applied = responses[seen], coverages[seen], applied[seen]
    settings = exposure_settings(options, moving=moving, images=bool(images))
    _check_memory(exposures, field, grid, npix, settings, options)
    log.info(
        'Fusion of %d exposures and %d images: %d x %d pixels of %.4f", %d channels from %.3f to '
        "%.3f um",
        len({one.name for one in exposures}),
        len(images),
        *grid.shape[::-1],
        grid.scale,
        len(wavelength),
        *wavelength[[0, -1]],
    )
    footprints = _footprints(exposures, grid, wavelength)
    psfs = _exposure_psfs(exposures, grid, wavelength, npix, options, dates[0])
    opd = _wavefront(options, dates[1], images[0].name) if images else None
    psfs_of_images = image_psfs(
        images, grid, wavelength=wavelength, npix=npix, options=options, opd=opd
    )
    sharp = product_psf(
        images, psfs_of_images, exposures, psfs, wavelength, resolution=options.resolution
    )
    given = _given_sources(options, grid, applied / grid.scale)
    sources = None if options.sources == "none" else "auto"
    if given is not None:
        sources = grid.sky(given.x, given.y) if len(given) else None
    result = fuse_exposures(
        exposures,
        psfs,
        grid=grid,
        wavelength=wavelength,
        images=images,
        image_psfs=psfs_of_images or None,
        bandpasses=bandpasses,
        product_psf=sharp,
        sources=sources,
        options=settings,
    )
    _warn_of_noise(exposures, images, result)
    chi2, channel_chi2, pixels, noise = agreement(exposures, result, wavelength)
    residual = ResidualCube.of(exposures, result, factor)
    if options.add_residual:
        result = with_residual(result, residual)
    return FusedExposures(
        result=result,
        channels=field.channels,
        factor=factor,
        origin=exposure_origin(exposures, footprints, images, responses, result),
        exposures=exposures,
        images=images,
        responses=responses,
        coverages=coverages,
        throughputs=[one.source for one in bandpasses],
        applied_offsets=applied,
        psf_source=_named(psfs[0], psfs_of_images),
        sources=_sources(result, given),
        quality=image_quality(images, result),
        chi2=chi2,
        channel_chi2=channel_chi2,
        pixels=pixels,
        noise=noise,
        residual=residual,
        resolution="ifu" if options.resolution == "imager" and not images else options.resolution,
        alignment="fitted" if settings.offsets == "fitted" else "wcs",
    )


def _usable_images(images, wavelength, options):
    """Images whose filters the channels cover, with their curves and responses."""
    known, bandpasses = known_bandpasses(images, options.throughput_files())
    usable = np.ones(len(wavelength), bool)
    responses, coverages = filter_responses(
        wavelength, bandpasses, usable=usable, minimum_coverage=options.min_coverage
    )
    chosen = []
    for index, (image, coverage) in enumerate(zip(known, coverages, strict=True)):
        if coverage >= options.min_coverage:
            chosen.append(index)
            continue
        warn(
            log,
            "%s (%s) is not used: the exposures cover %.1f %% of the filter's band",
            image.name,
            image.filter,
            100 * coverage,
        )
    found = []
    for index in chosen:
        image = known[index]
        if options.outlier_sigma > 0:
            bad = isolated_outliers(image.data[None], image.good[None])[0]
            image = replace(image, good=image.good & ~bad)
        found.append(image)
    bands = [
        bandpasses[index]
        if coverages[index] >= MIN_COVERAGE
        else seen_part(bandpasses[index], wavelength)
        for index in chosen
    ]
    return found, bands, responses[chosen], coverages[chosen]


def _footprints(exposures, grid, wavelength):
    """Footprints of the exposures; of one slice within the channels, that of another exposure."""
    found = []
    for one in exposures:
        try:
            found.append(PixelFootprint.of(one, grid, wavelength))
        except NotFusableError as error:
            found.append(None)
            missing = error
    known = [one for one in found if one is not None]
    if not known:
        raise missing
    return [known[0] if one is None else one for one in found]


def _on_domain(images, domain):
    """Indices of the images that show a part of the field."""
    seen = []
    for index, image in enumerate(images):
        if domain.place_image(image)[0].size:
            seen.append(index)
        else:
            warn(log, "%s is not used: it has no good pixel on the field", image.name)
    return np.array(seen, int)


def _check_memory(exposures, field, grid, npix, settings, options):
    domain = Domain.around(grid, npix)
    axis = ChannelAxis(field.channels.wavelength)
    total = sum(len(one.data) for one in exposures)
    used = sum(int(domain.place(one, axis).usable.sum()) for one in exposures)
    rank = settings.rank if isinstance(settings.rank, int) else settings.max_rank
    need = estimate_exposure_memory(
        used,
        total - used,
        len(field.channels.wavelength),
        grid.shape,
        domain.grid.shape,
        rank=rank,
    )
    log.info("About %.1f GB of memory are needed", need / 1e9)
    if need / 1e9 > options.memory_limit:
        msg = (
            f"the fusion of the exposures needs about {need / 1e9:.1f} GB, more than memory_limit "
            f"= {options.memory_limit:g} GB: choose a smaller field (field_width, field_height), "
            "factor, wavelength range or rank (max_rank), or raise the limit"
        )
        raise ValueError(msg)


def _moved(images, grid, options):
    """Images with the offsets that are known taken out, and these offsets."""
    known = filter_offsets(options.offsets)
    moved, applied = [], np.zeros((len(images), 2))
    y, x = ((size - 1) / 2 for size in grid.shape)
    for index, image in enumerate(images):
        offset = applied[index] = known.get(image.filter, (0.0, 0.0))
        if any(offset):
            shown = grid.sky(x + offset[0] / grid.scale, y + offset[1] / grid.scale)
            image = replace(image, grid=image.grid.recentred(shown, grid.sky(x, y)))
        moved.append(image)
    return moved, applied


def _wavefront(options, date, name):
    if str(options.psf_opd).lower() != "observation":
        return options.psf_opd
    if date is None:
        msg = (
            f"{name} does not say its date (keyword DATE-OBS), which psf_opd = observation needs: "
            "give a date or a file instead"
        )
        raise NotFusableError(msg)
    return date


def _exposure_psfs(exposures, grid, wavelength, npix, options, date):
    """PSF of each exposure."""
    sigma = broadening_sigma(options)
    files = options.psf_files()
    if options.psf_kind == "file" and "psf_cube" in files:
        psf = read_psf(
            files["psf_cube"][0], pixel_scale=grid.scale, npix=npix, broadening=sigma or 0.0
        )
        return [psf] * len(exposures)
    source = options.psf_kind if options.psf_kind in ("webbpsf", "aperture") else "auto"
    return exposure_psfs(
        exposures,
        grid,
        wavelength=wavelength,
        source=source,
        size=options.psf_size,
        broadening=sigma,
        jitter=options.psf_jitter,
        opd=_wavefront(options, date, exposures[0].name),
        maximum_cores=options.maximum_cores,
    )


def _given_sources(options, grid, offsets):
    """Point sources of a catalogue in pixels of the grid; None if they are to be found, or none."""
    path = options.source_file
    if path is None:
        return None
    return _of_catalogue(path, coordinates_of_images(grid, offsets, path))


def _sources(result, given):
    """Point sources in pixels of the product, in the order of their spectra."""
    if result.sources is None:
        return SourceList.empty()
    x, y = (np.asarray(one, float) for one in result.grid.pixels(result.sources))
    errors = np.asarray(result.source_position_errors) / result.grid.scale
    # An error of zero says that a position was not fitted.
    errors = np.where(errors > 0, errors, np.nan)
    names = [f"source-{number}" for number in range(1, len(x) + 1)]
    return SourceList(
        x=x,
        y=y,
        x_error=errors[:, 0],
        y_error=errors[:, 1],
        significance=np.full(len(x), np.nan),
        name=np.array(names, str) if given is None else given.name,
        given=np.full(len(x), given is not None),
    )


def _of_catalogue(path, grid):
    catalogue = read_catalogue(path)
    x, y = (np.asarray(one) for one in grid.pixels(catalogue.sky))
    rows, columns = grid.shape
    inside = np.flatnonzero((x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5))
    log.info("%d of %d sources of %s lie in the field", len(inside), len(x), path)
    if not inside.size:
        warn(log, "No source of %s lies in the field: there are none", path)
    kept = []
    for one in inside:
        if any(np.hypot(x[one] - x[other], y[one] - y[other]) < _SAME for other in kept):
            warn(log, "%s of %s is at the place of another: left out", catalogue.name[one], path)
        else:
            kept.append(one)
    unknown = np.full(len(kept), np.nan)
    return SourceList(
        x=x[kept],
        y=y[kept],
        x_error=unknown,
        y_error=unknown,
        significance=unknown,
        name=catalogue.name[kept],
        given=np.ones(len(kept), bool),
    )


def _warn_of_noise(exposures, images, result):
    """Warn of data that scatter more than their errors say."""
    for one, scale in zip(
        [*exposures, *images], [*result.scales, *result.image_scales], strict=True
    ):
        if scale > _NOISE_SCALE:
            text = "%s scatters %.1f times more than its errors say: look at errors and PSF"
            warn(log, text, one.name, scale, kind="noise_scale")


def _named(psf, others):
    """Source of the PSFs of the exposures, and of the images if that is another."""
    names = sorted({one.source for one in others} - {psf.source})
    return f"{psf.source} (exposures), {', '.join(names)} (images)" if names else psf.source
