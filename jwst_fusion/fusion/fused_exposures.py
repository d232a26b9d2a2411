"""The result of a fusion of exposures: the cube, how it was made, and how well it agrees."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.exposures.product_grid import ProductChannels
from jwst_fusion.fusion.exposures.result import ExposureFusion
from jwst_fusion.fusion.exposures.spectra import ChannelAxis
from jwst_fusion.fusion.origin import CUBE, CUBE_SUBSPACE, IMAGE, IMAGE_SUBSPACE
from jwst_fusion.fusion.residual_cube import ResidualCube
from jwst_fusion.fusion.sources.source_list import SourceList
from jwst_fusion.fusion.validation import FilterQuality, compare_image

__all__ = ["FusedExposures", "agreement", "exposure_origin", "image_quality"]

_NEGLIGIBLE = 1e-3  # of the largest response of a filter: channels that it does not cover


@dataclass(frozen=True)
class FusedExposures:
    """
    The fused cube of exposures, how it was made, and how well it agrees with the data.

    Attributes
    ----------
    result : ExposureFusion
        Cube, errors, residuals, sources.
    channels : ProductChannels
        Channels of the cube.
    factor : int
        Pixels of the cube per spaxel that cube building would have made.
    origin : uint8 array (L, y, x)
        What constrains each voxel, as in `~jwst_fusion.fusion.origin`; an exposure counts as cube.
    exposures, images : list
        Observations that were used.
    responses : array (image, L)
        Weights of the channels in each image.
    coverages : array (image,)
        Parts of the filters' bands that the channels cover.
    throughputs : list of str
        Where the filters' curves come from.
    applied_offsets : array (image, 2)
        Offsets (x, y) that were taken out of each image, arcsec.
    psf_source : str
        Origin of the PSFs.
    sources : SourceList
        Point sources in pixels of the cube, in the order of the spectra in `result`.
    quality : list of FilterQuality
        Agreement with each image, at its own pixels.
    chi2 : array (exposure,)
        Mean squared residual of the pixels that were kept, over the stated variance.
    channel_chi2 : array (L,)
        The same of the pixels of each channel; NaN without any.
    pixels : int array (L,)
        Pixels of each channel.
    noise : array (L,)
        Their median stated error, MJy/sr; NaN without any.
    residual : ResidualCube
        What the exposures leave of the cube, in spaxels; without it being added.
    resolution : {"imager", "ifu", "deconvolved"}
        Whose PSF the cube has.
    alignment : {"wcs", "fitted"}
        Whether offsets of the exposures were fitted.
    """

    result: ExposureFusion
    channels: ProductChannels
    factor: int
    origin: np.ndarray
    exposures: list
    images: list
    responses: np.ndarray
    coverages: np.ndarray
    throughputs: list
    applied_offsets: np.ndarray
    psf_source: str
    sources: SourceList
    quality: list
    chi2: np.ndarray
    channel_chi2: np.ndarray
    pixels: np.ndarray
    noise: np.ndarray
    residual: ResidualCube
    resolution: str
    alignment: str

    @property
    def report(self):
        """The agreement as lines of text, each exposure and image in one."""
        lines = []
        for one, scale, chi2, rejected, offset in zip(
            self.exposures,
            self.result.scales,
            self.chi2,
            self.result.rejected,
            self.result.offsets,
            strict=True,
        ):
            lines.append(
                f"{one.name} {one.grating}: chi-square {chi2:.3f}, noise scale {scale:.3f}, "
                f"{int(rejected.sum())} outliers, offset "
                f"{1000 * offset[0]:+.1f}, {1000 * offset[1]:+.1f} mas"
            )
        for one, quality, gain, level in zip(
            self.images,
            self.quality,
            self.result.image_gains,
            self.result.image_levels,
            strict=True,
        ):
            lines.append(
                f"{one.filter} ({one.name}): PSNR {quality.psnr:.1f} dB (noise allows "
                f"{quality.psnr_ceiling:.1f}), chi-square {quality.chi2:.3f}, factor {gain:.4f}, "
                f"level {level:+.4f} MJy/sr"
            )
        return lines


def agreement(exposures, result, wavelength):
    """
    Compare exposures with the fused cube.

    Parameters
    ----------
    exposures : list of ExposureObservation
        The exposures.
    result : ExposureFusion
        The result.
    wavelength : array (L,)
        Channels, micrometre.

    Returns
    -------
    chi2 : array (exposure,)
        Mean squared residual of the pixels that were kept, over the stated variance.
    channel_chi2 : array (L,)
        The same of the pixels of each channel; NaN without any.
    pixels : int array (L,)
        Pixels of each channel.
    noise : array (L,)
        Their median stated error, MJy/sr; NaN without any.
    """
    axis = ChannelAxis(wavelength)
    chi2 = np.full(len(exposures), np.nan)
    total, count = np.zeros(len(wavelength)), np.zeros(len(wavelength), int)
    errors = [[] for _ in range(2)]
    for index, (one, residuals, rejected) in enumerate(
        zip(exposures, result.residuals, result.rejected, strict=True)
    ):
        used = np.flatnonzero(np.isfinite(residuals) & ~rejected)
        if not used.size:
            continue
        squares = (residuals[used] / one.err[used]) ** 2
        chi2[index] = squares.mean()
        channel = np.rint(axis.channel(one.wavelength[used])).astype(int)
        channel = np.clip(channel, 0, len(wavelength) - 1)
        total += np.bincount(channel, squares, len(wavelength))
        count += np.bincount(channel, minlength=len(wavelength))
        errors[0].append(channel)
        errors[1].append(one.err[used])
    noise = np.full(len(wavelength), np.nan)
    if errors[0]:
        channel, error = (np.concatenate(one) for one in errors)
        order = np.argsort(channel, kind="stable")
        ends = np.cumsum(count)[:-1]
        for index, part in enumerate(np.split(error[order], ends)):
            if part.size:
                noise[index] = np.median(part)
    with np.errstate(invalid="ignore", divide="ignore"):
        return chi2, np.where(count > 0, total / count, np.nan), count, noise


def image_quality(images, result):
    """
    Compare images with the fused cube, at their own pixels.

    Parameters
    ----------
    images : list of ImageObservation
        The images.
    result : ExposureFusion
        The result.

    Returns
    -------
    list of FilterQuality
        One for each.
    """
    found = []
    for image, residuals in zip(images, result.image_residuals, strict=True):
        used = np.isfinite(residuals)
        if not used.any():
            found.append(FilterQuality(*[np.nan] * 6, 0))
            continue
        rows, columns = (np.flatnonzero(used.any(axis)) for axis in (1, 0))
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        data = np.where(used, image.data, np.nan)[part]
        sigma = float(np.median(image.err[used]))
        weight = np.where(used, (sigma / np.where(used, image.err, 1.0)) ** 2, 0.0)[part]
        found.append(compare_image(data, data - residuals[part], weight, sigma))
    return found


def exposure_origin(exposures, footprints, images, responses, result):
    """
    Say what constrains each voxel: exposures there, or in other channels, and images.

    Parameters
    ----------
    exposures : list of ExposureObservation
        Exposures.
    footprints : list of PixelFootprint
        What the pixels of each exposure see.
    images : list of ImageObservation
        Images.
    responses : array (image, L)
        Weights of the channels in each image.
    result : ExposureFusion
        The result.

    Returns
    -------
    uint8 array (L, y, x)
        Sums as those of `~jwst_fusion.fusion.origin.voxel_origin`, where an exposure counts as
        cube. A pixel of the detector stands for the pixels of the cube within its footprint. Zero
        where no exposure looks in any channel: images alone do not know the spectrum.
    """
    grid = result.grid
    counts = _looked_at(exposures, footprints, result)
    spaxel = counts.any(0)
    seen = np.array(
        [
            _image_pixels(one, grid, residuals)
            for one, residuals in zip(images, result.image_residuals, strict=True)
        ],
        bool,
    ).reshape(-1, *grid.shape)
    covers = responses > _NEGLIGIBLE * responses.max(1, initial=0, keepdims=True)
    any_pixel = seen.any(0)
    origin = np.zeros(counts.shape, np.uint8)
    for channel, (plane, measured) in enumerate(zip(origin, counts, strict=True)):
        if not measured.any():
            continue
        direct = seen[covers[:, channel]].any(0)
        plane[:] = np.where(measured, CUBE, CUBE_SUBSPACE)
        plane += (IMAGE * direct + IMAGE_SUBSPACE * (any_pixel & ~direct)).astype(np.uint8)
        plane *= spaxel
    return origin


def _looked_at(exposures, footprints, result):
    """Voxels (L, y, x) within the footprints of pixels that were used."""
    grid, axis = result.grid, ChannelAxis(result.wavelength)
    shape = (len(result.wavelength), *grid.shape)
    looked = np.zeros(shape, bool)
    views = zip(exposures, footprints, result.residuals, result.rejected, strict=True)
    for number, (one, footprint, residuals, rejected) in enumerate(views):
        used = np.flatnonzero(np.isfinite(residuals) & ~rejected)
        x, y = result.places(number, one.ra[used], one.dec[used])
        column, row = np.rint(x).astype(int), np.rint(y).astype(int)
        channel = np.clip(np.rint(axis.channel(one.wavelength[used])).astype(int), 0, shape[0] - 1)
        for down, right in footprint.steps():
            i, j = row + down, column + right
            there = (i >= 0) & (i < shape[1]) & (j >= 0) & (j < shape[2])
            looked[channel[there], i[there], j[there]] = True
    return looked


def _image_pixels(image, grid, residuals):
    """Pixels of the grid whose nearest pixel of an image was used."""
    y, x = np.indices(grid.shape)
    column, row = (np.rint(one).astype(int) for one in image.grid.pixels(grid.sky(x, y)))
    inside = (row >= 0) & (row < residuals.shape[0])
    inside &= (column >= 0) & (column < residuals.shape[1])
    used = np.isfinite(residuals)
    return inside & used[np.where(inside, row, 0), np.where(inside, column, 0)]
