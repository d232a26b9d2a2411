"""Observations of a fusion from exposures, checked and placed on the domain; data made of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from jwst_fusion.bandpass import Bandpass
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposures.domain import Domain
from jwst_fusion.fusion.exposures.image_operator import ImageOperator
from jwst_fusion.fusion.exposures.observation import ExposureObservation
from jwst_fusion.fusion.exposures.operator import ExposureOperator, PlacedPixels
from jwst_fusion.fusion.exposures.problem import PixelData
from jwst_fusion.fusion.exposures.spectra import ChannelAxis
from jwst_fusion.fusion.observed.observation import ImageObservation
from jwst_fusion.fusion.observed.photometry import filter_responses
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.psf import PsfCube

__all__ = ["Inputs", "data_of", "place_inputs", "shared"]

_SEED = 1  # of the choice of a part of the pixels
_SQUARE = "the grid of the product must have square pixels that are not mirrored"


@dataclass
class Inputs:
    """
    Observations placed on the domain.

    Attributes
    ----------
    domain : Domain
        The domain.
    axis : ChannelAxis
        Channels of the scene.
    exposures, placed, psfs : list
        Exposures, their pixels on the domain (PlacedPixels), and the PSF of each.
    images, image_places, image_psfs : list
        Images, index and position of the pixels of each on the domain, and the PSF of each.
    responses : array (image, L)
        Weights of the channels in each image.
    gains, levels : array (image,)
        Factor by which each image is brighter than the scene, and what is added, MJy/sr.
    exposure_gains, exposure_levels : array (exposure,)
        The same of each exposure.
    """

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
    exposure_gains: np.ndarray
    exposure_levels: np.ndarray


def place_inputs(exposures, psfs, grid, wavelength, images, image_psfs, bandpasses, product_psf):
    """
    Check the input of `~jwst_fusion.fusion.fuse_exposures` and place it on the domain.

    Parameters
    ----------
    exposures, psfs, grid, wavelength, images, image_psfs, bandpasses, product_psf : object
        As given there.

    Returns
    -------
    Inputs
        All observations.

    Raises
    ------
    NotFusableError
        If an observation has no pixels within grid and channels, or a filter is not covered.
    TypeError
        If something is of another type.
    ValueError
        If numbers or pixels do not match.
    """
    exposures = _listed("exposures", exposures, ExposureObservation)
    images = _listed("images", images, ImageObservation)
    bandpasses = _listed("bandpasses", bandpasses, Bandpass)
    if not isinstance(grid, SkyGrid):
        msg = f"grid must be a SkyGrid, got {type(grid).__name__}"
        raise TypeError(msg)
    if not exposures:
        msg = "exposures is empty: give at least one IFU exposure"
        raise ValueError(msg)
    if not grid.square or grid.mirrored:
        raise ValueError(_SQUARE)
    psfs = _one_each("exposure_psfs", psfs, len(exposures), grid)
    image_psfs = _one_each("image_psfs", image_psfs, len(images), grid) if images else []
    if product_psf is not None:
        if not isinstance(product_psf, PsfCube):
            msg = f"product_psf must be one PsfCube, got {type(product_psf).__name__}"
            raise TypeError(msg)
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
    return Inputs(
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
        exposure_gains=np.ones(len(exposures)),
        exposure_levels=np.zeros(len(exposures)),
    )


def _listed(name, values, kind):
    """Values of a parameter as a list, each of a kind; none of None."""
    if values is None:
        return []
    if isinstance(values, kind) or not isinstance(values, Iterable) or isinstance(values, str):
        msg = f"{name} must be a list of {kind.__name__}, got {type(values).__name__}"
        raise TypeError(msg)
    values = list(values)
    for index, one in enumerate(values):
        if not isinstance(one, kind):
            msg = (
                f"{name} must be a list of {kind.__name__}; number {index} is {type(one).__name__}"
            )
            raise TypeError(msg)
    return values


def _one_each(name, psfs, count, grid):
    """PSFs as a list of the right length, on the pixels of the grid."""
    psfs = [psfs] * count if isinstance(psfs, PsfCube) else _listed(name, psfs, PsfCube)
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


def shared(psfs):
    """
    Find the observations that share one PSF.

    Parameters
    ----------
    psfs : list of PsfCube
        PSF of each observation.

    Returns
    -------
    list of list of int
        Indices of the observations with each PSF, in the order of first appearance.
    """
    groups = {}
    for index, psf in enumerate(psfs):
        groups.setdefault(id(psf), []).append(index)
    return list(groups.values())


def data_of(inputs, part=1.0):
    """
    Make operators and data of all pixels, or of a random part of those of the exposures.

    Parameters
    ----------
    inputs : Inputs
        The observations.
    part : float, optional
        Which part of the pixels of the exposures to take.

    Returns
    -------
    list of PixelData
        One for each PSF of the exposures, then one for each PSF of the images.
    """
    data, rng = [], np.random.default_rng(_SEED)
    for members in shared(inputs.psfs):
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
                (inputs.exposures[i].data[index] - inputs.exposure_levels[i])
                / inputs.exposure_gains[i],
                inputs.exposures[i].err[index] / inputs.exposure_gains[i],
                one.x[index],
                one.y[index],
            )
            for i, one, index in zip(members, placed, operator.source, strict=True)
        ]
        data.append(PixelData(operator, *(np.concatenate(one) for one in zip(*found, strict=True))))
    for members in shared(inputs.image_psfs):
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
