"""What a fusion works on: cube, images, weights, responses and PSFs on one grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["FusionData"]

# What there is one of for each image.
_OF_IMAGES = (
    "images",
    "image_sigma",
    "image_weight",
    "image_independent",
    "response",
    "response_error",
)


@dataclass
class FusionData:
    """All arrays that one fusion needs, on one common sky grid.

    Fine pixel ``d * i + (d - 1) / 2`` is the centre of spaxel ``i``. The caller pads the cube with
    a margin of spaxels of weight zero so that real imager pixels around the field are used.

    Parameters
    ----------
    cube : ndarray (L, h, w)
        Spectrometer cube, MJy/sr. NaN marks voxels without data.
    cube_sigma : ndarray (L,)
        Typical 1-sigma error per channel, MJy/sr; not finite or not positive: no data there.
    spaxel_weight : ndarray (h, w)
        Relative inverse variance of each spaxel, 0 where there are no data.
    images : ndarray (F, d * h, d * w)
        Imager data, MJy/sr. NaN marks pixels without data.
    image_sigma : ndarray (F,)
        Typical 1-sigma error per image, MJy/sr.
    image_weight : ndarray (F, d * h, d * w)
        Relative inverse variance of each pixel, 0 where there are no data.
    response : ndarray (F, L)
        Photometry weights; rows sum to the cross-calibration factor.
    psf_weights : ndarray (L, R)
        Interpolation weights from the R wavelength nodes to the channels; rows sum to 1.
    psf_image, psf_cube : ndarray (R, m, m)
        PSFs at the nodes on the fine grid, odd size, centred, unit sum.
    factor : int
        Fine pixels per spaxel along each axis, 2 or more.
    image_independent : ndarray (F,), optional
        Share of the pixels of each image whose noise is independent, above 0 to 1 (the default):
        less than 1 if its own pixels are larger than those of the grid. `image_sigma` is then the
        error of independent pixels with as much information, larger by one over the root of it than
        the noise that the image shows.
    cube_independent : float, optional
        Share of the spaxels whose noise is independent, above 0 to 1 (the default): less than 1
        where a cube has shared the light of pixels out among neighbours. `cube_sigma` is then that
        of independent spaxels with as much information.
    sources : ndarray (J, 2), optional
        Point sources: x and y in pixels of the images, 0 at the centre of the first.
    response_error : ndarray (F,), optional
        Relative error of each response as calibrated before, which a fit of gains may not
        contradict; NaN (the default) where nothing is known.

    Raises
    ------
    ValueError
        If a shape, a size or a normalisation does not fit; the message names the field.
    """

    cube: np.ndarray
    cube_sigma: np.ndarray
    spaxel_weight: np.ndarray
    images: np.ndarray
    image_sigma: np.ndarray
    image_weight: np.ndarray
    response: np.ndarray
    psf_weights: np.ndarray
    psf_image: np.ndarray
    psf_cube: np.ndarray
    factor: int
    image_independent: np.ndarray | None = None
    cube_independent: float = 1.0
    sources: np.ndarray | None = None
    response_error: np.ndarray | None = None

    def __post_init__(self):
        if self.image_independent is None:
            self.image_independent = np.ones(len(self.images))
        if self.sources is None:
            self.sources = np.zeros((0, 2))
        if self.response_error is None:
            self.response_error = np.full(len(self.images), np.nan)
        for name in self.__dataclass_fields__:
            if name not in ("factor", "cube", "images", "cube_independent"):
                setattr(self, name, np.asarray(getattr(self, name), float))
        self.cube, self.images = np.asarray(self.cube), np.asarray(self.images)
        if int(self.factor) != self.factor or self.factor < 2:
            msg = f"factor must be an integer of 2 or more, got {self.factor!r}"
            raise ValueError(msg)
        self.factor = int(self.factor)
        for name, ndim in (("cube", 3), ("images", 3), ("psf_weights", 2)):
            if getattr(self, name).ndim != ndim:
                msg = f"{name} must have {ndim} dimensions, got shape {getattr(self, name).shape}"
                raise ValueError(msg)
        channels, h, w = self.cube.shape
        filters, nodes, d = len(self.images), self.psf_weights.shape[1], self.factor
        if filters == 0:
            msg = "images is empty: at least one imager filter is needed"
            raise ValueError(msg)
        expected = {
            "cube_sigma": (channels,),
            "spaxel_weight": (h, w),
            "images": (filters, d * h, d * w),
            "image_sigma": (filters,),
            "image_weight": (filters, d * h, d * w),
            "image_independent": (filters,),
            "response": (filters, channels),
            "psf_weights": (channels, nodes),
            "sources": (len(self.sources), 2),
            "response_error": (filters,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                msg = (
                    f"{name} has shape {getattr(self, name).shape}, expected {shape} from a "
                    f"cube of shape {self.cube.shape}, {filters} images and factor {d}"
                )
                raise ValueError(msg)
        for name in ("psf_image", "psf_cube"):
            _check_psf(name, getattr(self, name), nodes)
        for name in ("spaxel_weight", "image_weight", "response", "psf_weights"):
            if not np.all(np.isfinite(getattr(self, name))):
                msg = f"{name} contains values that are not finite; give 0 where there are no data"
                raise ValueError(msg)
        for name in ("spaxel_weight", "image_weight"):
            if getattr(self, name).min() < 0:
                msg = f"{name} contains negative values; weights are relative inverse variances"
                raise ValueError(msg)
        if not np.all(np.isfinite(self.image_sigma) & (self.image_sigma > 0)):
            msg = f"image_sigma must be finite and positive, got {self.image_sigma}"
            raise ValueError(msg)
        if not np.all(np.isfinite(self.sources)):
            msg = "sources contains positions that are not finite"
            raise ValueError(msg)
        if not np.all(np.isnan(self.response_error) | (self.response_error > 0)):
            msg = f"response_error must be positive, or NaN if unknown, got {self.response_error}"
            raise ValueError(msg)
        if not np.all((self.image_independent > 0) & (self.image_independent <= 1)):
            msg = f"image_independent must be above 0 and at most 1, got {self.image_independent}"
            raise ValueError(msg)

        if not 0 < self.cube_independent <= 1:
            msg = f"cube_independent must be above 0 and at most 1, got {self.cube_independent}"
            raise ValueError(msg)

    def with_images(self, chosen):
        """Data with some of the images alone.

        Parameters
        ----------
        chosen : ndarray (F,) of bool, or of int
            The images.

        Returns
        -------
        FusionData
            With all that belongs to these images.
        """
        return replace(self, **{name: getattr(self, name)[chosen] for name in _OF_IMAGES})

    @property
    def image_noise(self):
        """Noise (F,) that pixels of weight 1 show, MJy/sr."""
        return self.image_sigma * np.sqrt(self.image_independent)

    @property
    def cube_noise(self):
        """Noise (L,) that spaxels of weight 1 show, MJy/sr."""
        return self.cube_sigma * np.sqrt(self.cube_independent)


def _check_psf(name, psf, nodes):
    if psf.ndim != 3 or len(psf) != nodes:
        msg = f"{name} has shape {psf.shape}, expected ({nodes}, m, m) as in psf_weights"
        raise ValueError(msg)
    if psf.shape[1] % 2 == 0 or psf.shape[2] % 2 == 0:
        msg = f"{name} has shape {psf.shape}: an even size shifts by half a pixel, give an odd size"
        raise ValueError(msg)
    sums = psf.sum((1, 2))
    if not np.allclose(sums, 1.0, atol=1e-3):
        msg = f"{name} must have unit sum at every node, got {sums.min():.4f} to {sums.max():.4f}"
        raise ValueError(msg)
