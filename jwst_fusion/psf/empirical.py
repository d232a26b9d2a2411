"""Empirical PSFs: exposures of a star, resampled to the grid and wavelengths that are asked for."""

import logging

import numpy as np

from jwst_fusion.messages import warn
from jwst_fusion.psf import aperture
from jwst_fusion.psf.checks import check_broadening, check_grid, check_nodes
from jwst_fusion.psf.cube import PsfCube, lagrange_weights
from jwst_fusion.psf.exposure import read_star
from jwst_fusion.psf.instruments import INSTRUMENTS, identify, pixel_of
from jwst_fusion.psf.resample import resample_psf
from jwst_fusion.psf.star import star_images

__all__ = ["star_psf"]

log = logging.getLogger(__name__)

# Beyond this relative distance in wavelength a scaled PSF of another filter is a rough guess.
_FAR = 0.2
# Pixels along the full width at half maximum below which a PSF is undersampled.
_COARSE = 2.0


def star_psf(
    paths,
    *,
    wavelength,
    pixel_scale,
    npix,
    angle=0.0,
    broadening=0.0,
    pixel=None,
    parameter="paths",
):
    r"""
    PSF measured on exposures of a star.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        One cube (s3d) of a star, or images (i2d) of stars, at best one through each filter that is
        fused. The star must be the brightest source, isolated and not saturated.
    wavelength : array_like
        Nodes [um]; sorted into ascending order.
    pixel_scale : float
        Output pixel [arcsec].
    npix : int
        Output pixels a side, odd.
    angle : float
        As for `jwst_fusion.psf.make_psf`: from +y of the output grid to the telescope's V3 axis,
        counterclockwise [deg]. The exposures say their own roll.
    broadening : float
        Gaussian sigma that is added [arcsec].
    pixel : float, optional
        Pixel or spaxel of the data for which the PSF is meant [arcsec]. If that of the exposure
        differs, a Gaussian makes up for the difference of the variances.
    parameter : str
        The parameter in which the files were given, for error messages.

    Returns
    -------
    PsfCube
        Centred PSFs of unit sum. They contain all that the star went through: detector pixels,
        drizzling and pixels of the exposure. ``meta["missing"]`` is the share of light that the
        aperture model puts beyond the edge of the exposure, which is left out.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a parameter is out of range, a file cannot be used, or a cube does not cover the
        wavelengths.

    Notes
    -----
    An image is one PSF, at the pivot wavelength :math:`\lambda_f` of its filter. At others it is
    magnified by :math:`m = \lambda / \lambda_f`, as diffraction patterns are, and convolved with a
    Gaussian of the variance :math:`(1 - m^2)(2 p^2 + q^2) / 12`, which may be negative: detector
    pixels and drops (:math:`p`) and resampled pixels (:math:`q`) do not grow. Between two filters
    both are mixed linearly in wavelength. See `jwst_fusion.psf.star.star_images` for how the star
    is isolated.
    """
    nodes = check_nodes(wavelength)
    npix, pixel_scale, angle = check_grid(npix, pixel_scale, angle)
    sigma = check_broadening(broadening, 0.0)
    paths = [paths] if isinstance(paths, str) or not np.iterable(paths) else list(paths)
    exposures = [read_star(path, parameter=parameter) for path in paths]
    if not exposures:
        msg = f"{parameter}: no exposure of a star is given"
        raise ValueError(msg)
    cubes = [one for one in exposures if one.data.shape[0] > 1]
    if cubes and len(exposures) > 1:
        msg = f"{parameter}: give one cube of a star or images of stars, not both or several cubes"
        raise ValueError(msg)
    make = _from_cube if cubes else _from_images
    grid = {"npix": npix, "pixel_scale": pixel_scale, "broadening": sigma, "recentre": True}
    if pixel is not None and not (np.isfinite(pixel) and 0 < pixel <= 2):
        msg = f"pixel must be a width in arcsec, above 0 and at most 2; got {pixel}"
        raise ValueError(msg)
    data, missing = make(exposures, nodes, angle, pixel, grid)
    meta = {
        "source": "data",
        "files": [one.name for one in exposures],
        "angle": angle,
        "broadening": sigma,
        "missing": missing,
    }
    return PsfCube(np.array(data), nodes, pixel_scale, "data", meta)


def _from_cube(exposures, nodes, angle, pixel, grid):
    exposure = exposures[0]
    low, high = exposure.wavelength[[0, -1]]
    slack = 2.0 * np.median(np.diff(exposure.wavelength))
    if nodes[0] < low - slack or nodes[-1] > high + slack:
        msg = (
            f"{exposure.name} has the star from {low:.3f} to {high:.3f} um, but its PSF is needed "
            f"from {nodes[0]:.3f} to {nodes[-1]:.3f} um"
        )
        raise ValueError(msg)
    star, missing = _isolated(exposure)
    inside = np.clip(nodes, star.wavelength[0], star.wavelength[-1])
    images = np.tensordot(lagrange_weights(star.wavelength, inside), star.data, axes=1)
    variance = _pixel_variance(exposure, pixel)
    images = [_widened(image, exposure.pixel_scale, variance) for image in images]
    return [
        resample_psf(
            image, exposure.pixel_scale, angle=angle - exposure.angle, centre=star.centre, **grid
        )
        for image in images
    ], missing


def _from_images(exposures, nodes, angle, pixel, grid):
    exposures = sorted(_of_channel(exposures, nodes), key=lambda one: one.wavelength[0])
    known = np.array([one.wavelength[0] for one in exposures])
    if np.unique(known).size < known.size:
        msg = f"{exposures[0].name}: several exposures of a star are of the same filter"
        raise ValueError(msg)
    far = np.max(np.abs(nodes[:, None] / known[None, :] - 1.0).min(axis=1))
    if far > _FAR:
        warn(
            log,
            "PSFs are taken from stars at %s um, up to %.0f %% in wavelength away from where they "
            "are used: give stars in filters of that range",
            ", ".join(f"{one:.3f}" for one in known),
            100 * far,
        )
    stars = [_isolated(one) for one in exposures]
    out = np.zeros((nodes.size, grid["npix"], grid["npix"]))
    for number, (exposure, (star, _)) in enumerate(zip(exposures, stars, strict=True)):
        share = np.interp(nodes, known, np.eye(known.size)[number])
        for node in np.flatnonzero(share):
            ratio = nodes[node] / known[number]
            image, scale = _magnified(star.data[0], exposure, ratio, pixel)
            out[node] += share[node] * resample_psf(
                image, scale, angle=angle - exposure.angle, centre=star.centre, **grid
            )
    return out, max(missing for _, missing in stars)


def _of_channel(exposures, nodes):
    """Leave out images of NIRCam's other channel, if there are images of the same one."""
    limit = INSTRUMENTS["NIRCAM_SW"].wavelength[1]
    short = nodes[-1] <= limit
    same = [
        one
        for one in exposures
        if one.instrument != "NIRCAM" or (one.wavelength[0] < limit) == short
    ]
    return same or exposures


def _magnified(image, exposure, ratio, pixel):
    """Scale the diffraction pattern, but not the pixels; return the image and its pixel."""
    native = pixel_of(_model(exposure).name)[0]
    variance = (1.0 - ratio**2) * (2.0 * native**2 + exposure.pixel_scale**2) / 12.0
    variance += _pixel_variance(exposure, pixel)
    scale = exposure.pixel_scale * ratio
    return _widened(image, scale, variance), scale


def _pixel_variance(exposure, pixel):
    """Return the variance by which the pixels wanted exceed those of the exposure [arcsec^2]."""
    return 0.0 if pixel is None else (pixel**2 - exposure.pixel_scale**2) / 12.0


def _widened(image, scale, variance):
    """Convolve with a Gaussian of a variance that may be negative, if small."""
    shape = (2 * image.shape[0], 2 * image.shape[1])
    fy, fx = np.fft.fftfreq(shape[0], scale)[:, None], np.fft.rfftfreq(shape[1], scale)
    spectrum = np.fft.rfft2(image, shape) * np.exp(-2.0 * np.pi**2 * variance * (fx**2 + fy**2))
    # the convolution reaches a few pixels beyond the image, where there is nothing
    return np.fft.irfft2(spectrum, shape)[: image.shape[0], : image.shape[1]]


def _isolated(exposure):
    """Images of the star, and the share of its light beyond the edge of the exposure."""
    star = star_images(
        exposure.data, exposure.err, exposure.good, exposure.wavelength, name=exposure.name
    )
    width = 2.0 * np.sqrt(np.count_nonzero(star.data[0] > 0.5 * star.data[0].max()) / np.pi)
    if width < _COARSE:
        warn(
            log,
            "%s has only %.1f pixels along the width of the star: its PSF is undersampled. "
            "Resample dithered exposures of the star to smaller pixels",
            exposure.name,
            width,
        )
    missing = _light_beyond(exposure, star.radius * exposure.pixel_scale)
    log.info(
        "%s: by the aperture model %.1f %% of the light falls beyond %.2f arcsec, where the PSF "
        "ends",
        exposure.name,
        100 * missing,
        star.radius * exposure.pixel_scale,
    )
    return star, missing


def _light_beyond(exposure, radius):
    """Share of the light that falls beyond a radius [arcsec], by the aperture model."""
    wavelength = _middle(exposure)
    scale = np.rad2deg(wavelength * 1e-6 / (2.2 * aperture.DIAMETER)) * 3600.0
    size = 2 * int(radius / scale) + 1
    image = aperture.native_psf(_model(exposure).name, wavelength, scale, size)
    y, x = np.indices(image.shape) - size // 2
    return float(np.clip(1.0 - image[np.hypot(y, x) * scale <= radius].sum(), 0.0, 1.0))


def _middle(exposure):
    return float(exposure.wavelength[exposure.wavelength.size // 2])


def _model(exposure):
    """What is known of the instrument; it is one for which there are models."""
    cube = exposure.data.shape[0] > 1
    name = "MIRI_MRS" if cube and exposure.instrument == "MIRI" else exposure.instrument
    return identify(name, (_middle(exposure),) * 2)[0]
