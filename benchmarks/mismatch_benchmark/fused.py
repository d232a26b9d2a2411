"""Fuse products with default settings, and measure the result against the truth."""

import time
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from scipy import ndimage

from jwst_fusion.fusion import FusionOptions, fuse_observations
from jwst_fusion.messages import collected_warnings
from jwst_fusion.metrics import psnr
from jwst_fusion.products.observations import open_cube, read_image
from mismatch_benchmark.observe import seen_by_images
from mismatch_benchmark.optics import WIDTH, psf_files

__all__ = ["Result", "Star", "fuse_products"]

_OPTIONS = {"psf_source": "aperture", "psf_size": WIDTH, "margin": 0.3}
_NEAR = 0.1  # arcsec, radius within which voxels are those of a star
_MATCHED = 0.06  # arcsec, up to which a source that was found is a star
# Relative height of the spectra of lines, of their maximum, from which on channels hold lines.
_LINES = 0.02
_MEAN = 10  # channels over which errors of continua are averaged


@dataclass(frozen=True)
class Star:
    """
    A star and what was found of it.

    Parameters
    ----------
    y, x : float
        Place in the fused cube, pixels.
    true, flux, error : ndarray
        True spectrum, that of the source that was found, and its errors, MJy/sr times arcsec^2,
        shape (L,); NaN if none was.
    """

    y: float
    x: float
    true: np.ndarray
    flux: np.ndarray
    error: np.ndarray

    def errors(self, quiet):
        """
        Return relative errors of the continuum, means of some channels each.

        Parameters
        ----------
        quiet : ndarray of bool (L,)
            Channels beside lines.

        Returns
        -------
        ndarray (n,)
            NaN if no source was found.
        """
        found = (self.flux / self.true - 1)[quiet]
        count = len(found) // _MEAN
        return found[: count * _MEAN].reshape(count, _MEAN).mean(1)

    @property
    def bias(self):
        """Relative error of the mean flux."""
        return float(self.flux.sum() / self.true.sum() - 1)

    @property
    def pull(self):
        """Below which multiple of the stated error 68.3 % of the errors of the spectrum lie."""
        return float(np.quantile(np.abs((self.flux - self.true) / self.error), 0.683))


@dataclass(frozen=True)
class Result:
    """
    A fused observation beside the truth.

    Parameters
    ----------
    fused : jwst_fusion.fusion.FusedObservation
        What `fuse_observations` returned.
    truth, interpolated : ndarray
        True cube behind the PSF of the images, and the cube of the spectrometer interpolated by
        cubic splines, shape (L, Y, X).
    stars : list of Star
        The stars, the brightest first.
    quiet : ndarray of bool
        Channels beside lines, shape (L,).
    seconds : float
        Of the processor.
    warnings : list
        What was warned of.
    """

    fused: object
    truth: np.ndarray
    interpolated: np.ndarray
    stars: list
    quiet: np.ndarray
    seconds: float
    warnings: list

    @property
    def good(self):
        """Voxels that have a value and an error, shape (L, Y, X)."""
        return np.isfinite(self.fused.cube) & np.isfinite(self.fused.error)

    def distance(self, star):
        """
        Return the distance of all pixels from a star.

        Parameters
        ----------
        star : Star
            The star.

        Returns
        -------
        ndarray
            Arcsec, shape (Y, X).
        """
        rows, columns = np.indices(self.truth.shape[1:])
        return np.hypot(rows - star.y, columns - star.x) * self.fused.grid.fine.scale

    def quality(self, where=True, *, cube=None):
        """
        Return the PSNR.

        Parameters
        ----------
        where : ndarray of bool (Y, X), optional
            Pixels that count, by default all.
        cube : ndarray (L, Y, X), optional
            By default the fused one.

        Returns
        -------
        float
            Decibel.
        """
        good = self.good & where
        return psnr(self.truth, self.fused.cube if cube is None else cube, good)

    def pull(self, where=True):
        """
        Return below which multiple of the stated error 68.3 % of the errors lie.

        Parameters
        ----------
        where : ndarray of bool (Y, X), optional
            Pixels that count, by default all.

        Returns
        -------
        float
        """
        good = self.good & where
        ratio = (self.fused.cube - self.truth)[good] / self.fused.error[good]
        return float(np.quantile(np.abs(ratio), 0.683))

    @property
    def at_stars(self):
        """Pixels close to stars, shape (Y, X)."""
        return np.any([self.distance(star) < _NEAR for star in self.stars], axis=0)

    @property
    def continuum(self):
        """Rms relative error of the continua of all stars, means of some channels each."""
        errors = np.concatenate([star.errors(self.quiet) for star in self.stars])
        return float(np.sqrt(np.mean(errors**2)))

    @property
    def bias(self):
        """Relative error of the light of the whole cube."""
        good = self.good
        return float(self.fused.cube[good].sum() / self.truth[good].sum() - 1)


def fuse_products(products, *, right=False, **options):
    """
    Fuse products.

    Parameters
    ----------
    products : mismatch_benchmark.observe.Products
        What to fuse.
    right : bool
        With the PSFs that made the data, not with those of the aperture model.
    **options
        Parameters of the fusion other than the defaults.

    Returns
    -------
    Result
    """
    scene = products.scene
    limits = scene.wavelength[[0, -1]]
    given = dict(_OPTIONS)
    with collected_warnings() as messages:
        observation, model = open_cube(products.cube)
        if right:
            given |= psf_files(products.psf, observation.grid.scale / 3, *limits)
        grid = observation.grid.padded((8, 8), (8, 8))
        images = [read_image(image, grid=grid) for image in products.images]
        start = time.process_time()
        fused = fuse_observations(observation, images, FusionOptions(**given, **options))
        seconds = time.process_time() - start
    del model
    field = fused.grid.product
    y, x = np.indices(field.shape)
    sky = field.sky(x, y)
    wavelength = observation.wavelength[fused.channels]
    truth = seen_by_images(products.psf).cube(sky.ra.deg, sky.dec.deg, wavelength)
    lines = scene.spectrum(wavelength)[3:5]  # gases
    contrast = lines / np.median(lines, axis=1, keepdims=True) - 1
    return Result(
        fused=fused,
        truth=truth,
        interpolated=_interpolated(observation, fused),
        stars=_stars(scene, fused, wavelength),
        quiet=np.all(contrast < _LINES * contrast.max(1, keepdims=True), axis=0),
        seconds=seconds,
        warnings=list(messages),
    )


def _interpolated(observation, fused):
    """The cube by cubic splines on the pixels of the fused one."""
    factor = fused.grid.factor
    axes = [
        part.start + (np.arange(factor * (part.stop - part.start)) - (factor - 1) / 2) / factor
        for part in fused.grid.field
    ]
    position = np.meshgrid(*axes, indexing="ij")
    return np.array(
        [
            ndimage.map_coordinates(plane, position, order=3, mode="nearest")
            for plane in np.asarray(observation.data[fused.channels], float)
        ]
    )


def _stars(scene, fused, wavelength):
    """The stars of the scene that lie in the field, with the sources that were found there."""
    field, scale = fused.grid.product, fused.grid.fine.scale
    spectra, sources = scene.spectrum(wavelength), fused.result.sources
    start = [part.start for part in fused.grid.inner(fine=True)]
    taken, stars = set(), []
    for one in sorted(scene.sources, key=lambda star: -star.flux):
        centre = SkyCoord(scene.ra, scene.dec, unit=u.deg)
        x, y = field.pixels(centre.spherical_offsets_by(one.east * u.arcsec, one.north * u.arcsec))
        if not (1 < x < field.shape[1] - 2 and 1 < y < field.shape[0] - 2):
            continue
        true = one.flux * spectra[one.component]
        flux = error = np.full(len(wavelength), np.nan)
        if sources is not None and len(sources):
            away = np.hypot(sources.positions.x - start[1] - x, sources.positions.y - start[0] - y)
            near = int(np.argmin(away))
            if away[near] * scale < _MATCHED and near not in taken:
                taken.add(near)
                flux, error = sources.flux[near] * scale**2, sources.error[near] * scale**2
        stars.append(Star(float(y), float(x), true, flux, error))
    return stars
