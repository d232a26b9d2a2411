"""Find point sources in the images of a fusion from exposures."""

import numpy as np

from jwst_fusion.fusion.observed.registration import resample_image
from jwst_fusion.fusion.sources.detection import find_in_images
from jwst_fusion.fusion.sources.source_list import SourceList

__all__ = ["find_on_images"]


def find_on_images(images, psfs, responses, grid, wavelength, *, false_alarms):
    """
    Find point sources in all images together, on the pixels of the product.

    Parameters
    ----------
    images : list of ImageObservation
        The images.
    psfs : list of PsfCube
        PSF of each, on the pixels of `grid`.
    responses : array (image, L)
        Weights of the channels in each image.
    grid : SkyGrid
        Grid of the product.
    wavelength : array (L,)
        Channels, micrometre.
    false_alarms : float
        Expected number of sources in the field that are noise.

    Returns
    -------
    SourceList
        Those found, in pixels of `grid`; none without images.

    Notes
    -----
    Images are interpolated to the grid for the search only, see
    `~jwst_fusion.fusion.sources.detection.find_in_images`; the fusion takes their own pixels.
    """
    planes, variances, shapes = [], [], []
    side = max((psf.data.shape[1] for psf in psfs), default=1)
    for image, psf, response in zip(images, psfs, responses, strict=True):
        data, err = resample_image(image.data, image.err, image.good, image.grid, grid)
        if not np.isfinite(data).any():
            continue
        nodes = psf.weights(np.clip(wavelength, *psf.wavelength[[0, -1]]))
        shape = np.tensordot(response @ nodes, psf.data, 1)
        rim = (side - len(shape)) // 2
        planes.append(data)
        variances.append(np.where(np.isfinite(data), err, np.inf) ** -2)
        shapes.append(np.pad(shape / shape.sum(), rim))
    if not planes:
        return SourceList.empty()
    return find_in_images(
        np.array(planes), np.array(variances), np.array(shapes), false_alarms=false_alarms
    )
