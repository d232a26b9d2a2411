"""Make the PSFs of given observations from what headers and parameters say."""

import logging
from dataclasses import replace

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.fusion.psf.broadening import Broadening, broaden, fit_broadening
from jwst_fusion.fusion.psf.headers import across_slices, default_size
from jwst_fusion.fusion.psf.instrument_psf import psf_pair, read_psf_pair
from jwst_fusion.fusion.psf.optics import Optics, TelescopeModel
from jwst_fusion.messages import warn
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA
from jwst_fusion.psf.checks import LARGEST_FIELD

__all__ = ["broadened", "psf_angles", "psfs_of"]

log = logging.getLogger(__name__)

# Images of one channel are described by one PSF if their rolls differ by less (degrees): at 1.5
# arcsec, the rim of the PSF, that is less than two pixels of the images.
_SAME_ROLL = 2.0


def psf_angles(cube, images, fine, options):
    """
    Return the angles of the telescope on the common grid.

    Parameters
    ----------
    cube : CubeObservation
        The cube.
    images : list of ImageObservation
        The images.
    fine : `~jwst_fusion.fusion.observed.sky.SkyGrid`
        Fine grid.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters; ``roll_image`` and ``roll_cube`` override the headers.

    Returns
    -------
    tuple of float
        Degrees counterclockwise from +y of the grid to the V3 axis, for images and cube.

    Raises
    ------
    NotFusableError
        If neither header nor parameter tells.
    """
    rolls = []
    for one, value, name in (
        (images[0], options.roll_image, "roll_image"),
        (cube, options.roll_cube, "roll_cube"),
    ):
        roll = one.pa_v3 if value is None else value
        if roll is None and options.psf_kind != "file":
            msg = (
                f"{one.name} does not say the telescope's roll (keywords ROLL_REF, PA_V3), which "
                f"the PSF needs: set the parameter {name}"
            )
            raise NotFusableError(msg)
        rolls.append(0.0 if roll is None else roll)
    if options.roll_image is None:
        turned = [image for image in images if image.pa_v3 is not None]
        spread = [abs((image.pa_v3 - rolls[0] + 180) % 360 - 180) for image in turned]
        if spread and max(spread) > _SAME_ROLL:
            warn(
                log,
                "Rolls of the images differ by up to %.1f deg: the PSF of %s is used for all",
                max(spread),
                images[0].name,
            )
    return tuple(roll - fine.pa_y for roll in rolls)


def psfs_of(wavelength, cube, images, grid, angles, options):
    """
    Make the PSFs that the headers and parameters ask for.

    Parameters
    ----------
    wavelength : array (L,)
        Channels, micrometre.
    cube : CubeObservation
        The cube.
    images : list of ImageObservation
        The images; the first one of each channel of NIRCam stands for all of that channel.
    grid : `~jwst_fusion.fusion.observed.registration.CommonGrid`
        Common grid.
    angles : tuple of float
        Result of `psf_angles`.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.

    Returns
    -------
    `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs on the fine grid.

    Raises
    ------
    NotFusableError
        If there is no model for the PSF of an instrument.
    """
    fine = grid.fine
    size = options.psf_size or default_size(wavelength, cube.instrument)
    npix = int(size / fine.scale) // 2 * 2 + 1
    if npix * fine.scale > LARGEST_FIELD:
        npix -= 2
    sigma = options.psf_broadening_image / FWHM_OF_SIGMA
    grid_of_psf = {"pixel_scale": fine.scale, "npix": npix}
    if options.psf_kind == "file":
        files = (options.psf_image[0], options.psf_cube)
        return read_psf_pair(wavelength, *files, broadening=sigma, **grid_of_psf)
    stars = options.psf_files()
    model = TelescopeModel(
        source="auto" if options.psf_kind == "data" else options.psf_kind,
        opd=_wavefront(cube, options),
        jitter=options.psf_jitter,
        maximum_cores=options.maximum_cores,
    )
    imager = replace(model, opd=_wavefront(images[0], options), position=options.position())
    image_optics = Optics.of_images(
        images,
        angle=angles[0],
        fine=fine,
        model=imager,
        broadening=sigma,
        star=stars.get("psf_image", ()),
    )
    cube_optics = Optics.of_cube(
        wavelength,
        cube,
        angle=angles[1],
        spaxel=grid.coarse.scale,
        model=model,
        oversample=options.trace_oversample,
        star=stars.get("psf_cube", ()),
    )
    return psf_pair(wavelength, image_optics, cube_optics, count=options.psf_nodes, **grid_of_psf)


def _wavefront(observation, options):
    """Telescope wavefront for an observation, as `jwst_fusion.psf.make_psf` takes it."""
    if str(options.psf_opd).lower() != "observation":
        return options.psf_opd
    if observation.date is None:
        msg = (
            f"{observation.name} does not say its date (keyword DATE-OBS), which psf_opd = "
            "observation needs: give a date or a file instead"
        )
        raise NotFusableError(msg)
    return observation.date


def broadened(psf, cube, data, images, responses, grid, angles, options):
    """
    Widen the PSF of the cube as the parameters ask for.

    Parameters
    ----------
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs on the fine grid.
    cube : CubeObservation
        The cube.
    data : array (L, h, w)
        Its data on the padded grid.
    images : array (F, d h, d w)
        Images on the fine grid.
    responses : array (F, L)
        Weights of the channels in each filter.
    grid : `~jwst_fusion.fusion.observed.registration.CommonGrid`
        Common grid.
    angles : tuple of float
        Result of `psf_angles`.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.

    Returns
    -------
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs with that of the cube widened.
    broadening : `~jwst_fusion.fusion.psf.broadening.Broadening`
        By how much.
    """
    angle = across_slices(psf.nodes, cube, angles[1])
    widths = options.broadening_widths()
    if widths is None:
        nodes = responses @ psf.weights
        broadening = fit_broadening(
            images,
            np.array([synthetic_image(data, response) for response in responses]),
            np.tensordot(nodes, psf.image, axes=1),
            np.tensordot(nodes, psf.cube, axes=1),
            factor=grid.factor,
            pixel_scale=grid.fine.scale,
            angle=angle,
        )
    else:
        broadening = Broadening(*widths, angle)
    if broadening.across == broadening.along == 0:
        return psf, broadening
    return broaden(psf, broadening, grid.fine.scale), broadening
