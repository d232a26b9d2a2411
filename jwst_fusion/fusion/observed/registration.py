"""
Build the common sky grid of cube and images, and resample images onto it.

The common grid is the cube's own, each spaxel divided into d x d fine pixels, so that the cube is
never resampled. Images are (y, x).
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, sparse
from scipy.interpolate import BSpline

from jwst_fusion.fusion.observed.sky import SkyGrid

__all__ = [
    "CommonGrid",
    "SplineSampler",
    "choose_factor",
    "common_grid",
    "independent_share",
    "resample_image",
]

# Order of the splines: with 5, images sampled at the diffraction limit come out truest.
_ORDER = 5
_FINER = 2  # by which images are oversampled before splines interpolate them
_REACH = 6  # pixels, within which neighbours count for the variance of what is interpolated
_MARGIN = 64  # pixels around what is asked for: the edges of a cut-out reach no further


@dataclass(frozen=True)
class CommonGrid:
    """
    The grid on which cube and images are fused.

    Attributes
    ----------
    coarse : SkyGrid
        Spaxels, margin included.
    fine : SkyGrid
        The same area in fine pixels. The centre of spaxel i is fine position d i + (d - 1) / 2.
    factor : int
        Fine pixels per spaxel along each side, d.
    field : tuple of slice
        Rows and columns of the cube that are asked for.
    padding : tuple of tuple of int
        Spaxels that stand before and after the field: ((bottom, top), (left, right)).
    """

    coarse: SkyGrid
    fine: SkyGrid
    factor: int
    field: tuple
    padding: tuple

    def inner(self, *, fine=False):
        """
        Return where the field lies within the padded grid.

        Parameters
        ----------
        fine : bool
            Whether to count in fine pixels in place of spaxels.

        Returns
        -------
        tuple of slice
            Rows and columns.
        """
        scale = self.factor if fine else 1
        return tuple(
            slice(before * scale, (before + part.stop - part.start) * scale)
            for (before, _), part in zip(self.padding, self.field, strict=True)
        )

    @property
    def product(self):
        """Grid of the fused cube: the field in fine pixels."""
        return self.fine.cropped(self.inner(fine=True))


def choose_factor(cube_scale, image_scales):
    """
    Return the whole number nearest to the ratio of the pixel scales, at least 2.

    Parameters
    ----------
    cube_scale : float
        Spaxel, arcsec.
    image_scales : sequence of float
        Pixels of the images, arcsec; the finest counts.

    Returns
    -------
    int
        Fine pixels per spaxel along each side.
    """
    return max(2, round(cube_scale / min(image_scales)))


def common_grid(cube_grid, *, field, factor, margin):
    """
    Build the common grid of a cube and images.

    Parameters
    ----------
    cube_grid : SkyGrid
        Spaxels of the cube; x must run against East if y runs along North.
    field : tuple of slice
        Rows and columns of the cube that are asked for.
    factor : int
        Fine pixels per spaxel along each side.
    margin : float
        Width of the rim added on every side, arcsec: images constrain the scene there too.

    Returns
    -------
    CommonGrid
        The grid.
    """
    extra = int(np.ceil(margin / cube_grid.scale - 1e-9))
    coarse = cube_grid.cropped(field).padded((extra, extra), (extra, extra))
    return CommonGrid(
        coarse=coarse,
        fine=coarse.refined(factor),
        factor=factor,
        field=tuple(field),
        padding=((extra, extra), (extra, extra)),
    )


def independent_share(source, target):
    """
    Return the share of pixels with independent noise once an image has been resampled.

    Parameters
    ----------
    source, target : SkyGrid
        Grid of the image and the one on which it is resampled.

    Returns
    -------
    float
        Area of the pixels of the target over that of the source, at most 1.
    """
    return min(1.0, target.scale / source.scale) ** 2


def resample_image(data, err, good, source, target):
    """
    Resample an image onto another grid, with its errors.

    Parameters
    ----------
    data, err : array (y, x)
        Surface brightness, which resampling does not rescale, and its standard deviation.
    good : bool array (y, x)
        Pixels that may be used.
    source, target : SkyGrid
        Sky coordinates of the image and of the result.

    Returns
    -------
    data : array (y, x)
        The image on the target grid; NaN where there are no data.
    err : array (y, x)
        Standard deviation of its independent noise; NaN where there are no data.

    Notes
    -----
    Interpolation of band-limited data: by the cosine transform onto pixels half as large, and
    there by quintic splines (`scipy.ndimage.map_coordinates`). NIRCam samples its diffraction limit
    at 2 um just so: splines alone lower the peak of a star by 0.7 %. This adds no blur that the
    PSF would have to account for. Bad pixels are filled from their neighbours first, so that they
    spoil nothing far away, and all that lies next to one is left without data.
    """
    y, x = np.indices(target.shape)
    column, row = source.pixels(target.sky(x, y))
    inside = _inside(row, data.shape[0]) & _inside(column, data.shape[1])
    position = np.stack([np.where(inside, row, 0), np.where(inside, column, 0)])
    bad = ~good
    near = ndimage.binary_dilation(bad, np.ones((3, 3))) if bad.any() else bad
    nearest = np.rint(position).astype(int)
    inside &= ~near[tuple(nearest)]
    if not inside.any():
        return np.full(target.shape, np.nan), np.full(target.shape, np.nan)
    # A mosaic may be many times larger than what is asked for.
    cut = tuple(
        slice(max(int(one[inside].min()) - _MARGIN, 0), int(one[inside].max()) + _MARGIN + 1)
        for one in nearest
    )
    start = np.array([one.start for one in cut])[:, None, None]
    position = np.where(inside, position - start, 0)
    data, err, good = data[cut], err[cut], good[cut]
    value = _interpolated(_fill(data, good), position)
    variance = _propagate(_fill(err, good) ** 2, position) / independent_share(source, target)
    return np.where(inside, value, np.nan), np.where(inside, np.sqrt(variance), np.nan)


class SplineSampler:
    """
    Quintic spline interpolation of many images at the same positions.

    Parameters
    ----------
    row, column : array (n,)
        Positions, in pixels.
    shape : tuple of int
        Size of the images, which are mirrored at the centres of their outermost pixels.
    """

    def __init__(self, row, column, shape):
        basis = BSpline.basis_element(np.arange(_ORDER + 2) - (_ORDER + 1) / 2, extrapolate=False)
        steps = np.arange(_ORDER + 1) - _ORDER // 2
        found = []
        for position, size in ((row, shape[0]), (column, shape[1])):
            base = np.floor(position).astype(int)
            weight = np.nan_to_num(basis((position - base)[:, None] - steps))
            index = np.abs(base[:, None] + steps) % max(2 * size - 2, 1)
            found.append((np.minimum(index, 2 * size - 2 - index), weight))
        (rows, weight_y), (columns, weight_x) = found
        index = rows[:, :, None] * shape[1] + columns[:, None, :]
        value = weight_y[:, :, None] * weight_x[:, None, :]
        start = np.arange(len(row) + 1) * steps.size**2
        self._shape = tuple(shape)
        weights = (value.ravel(), index.ravel(), start)
        self._weights = sparse.csr_array(weights, (len(row), shape[0] * shape[1]))

    def __call__(self, images):
        """
        Interpolate.

        Parameters
        ----------
        images : array (L, y, x)
            Finite images.

        Returns
        -------
        array (L, n)
            Their values at the positions.
        """
        coefficients = np.asarray(images, float)
        for axis in (1, 2):
            if coefficients.shape[axis] > 1:
                coefficients = ndimage.spline_filter1d(coefficients, _ORDER, axis, mode="mirror")
        return (self._weights @ coefficients.reshape(len(images), -1).T).T

    def adjoint(self, values):
        """
        Apply the adjoint: spread values at the positions over the pixels they are taken from.

        Parameters
        ----------
        values : array (n,)
            Values at the positions.

        Returns
        -------
        array (y, x)
            Image whose sum over its product with another one is that of the values over their
            products with the other one interpolated.
        """
        image = (self._weights.T @ np.asarray(values, float)).reshape(self._shape)
        for axis, size in enumerate(self._shape):
            if size > 1:
                filtered = ndimage.spline_filter1d(np.eye(size), _ORDER, 0, mode="mirror")
                image = np.moveaxis(np.tensordot(filtered, image, (0, axis)), 0, axis)
        return image


def _inside(position, size):
    return np.isfinite(position) & (position > -0.5) & (position < size - 0.5)


def _fill(data, good):
    """Replace bad pixels by the mean of good neighbours, at the smallest scale that has any."""
    filled = np.where(good, data, 0.0).astype(float)
    missing = ~good
    if not missing.any():
        return filled
    width = 1.0
    while missing.any() and width <= max(data.shape):
        blur = {"sigma": width, "mode": "nearest", "truncate": 2.0}
        weight = ndimage.gaussian_filter(good.astype(float), **blur)
        mean = ndimage.gaussian_filter(np.where(good, data, 0.0), **blur)
        reached = missing & (weight > 1e-6)
        filled[reached] = mean[reached] / weight[reached]
        missing &= ~reached
        width *= 2
    return filled


def _interpolated(image, position):
    """Values of a band-limited image, mirrored at its edges, between its pixels."""
    spectrum = np.zeros([_FINER * size for size in image.shape])
    spectrum[: image.shape[0], : image.shape[1]] = fft.dctn(image, norm="ortho")
    fine = _FINER * fft.idctn(spectrum, norm="ortho")
    place = _FINER * (position + 0.5) - 0.5
    return ndimage.map_coordinates(fine, place, order=_ORDER, mode="reflect")


def _propagate(variance, position):
    """Sum the variances with the squares of the weights of the pixels: sinc functions."""
    base = np.floor(position).astype(int)
    fraction = position - base
    total = np.zeros(position.shape[1:])
    padded = np.pad(variance, _REACH, mode="edge")
    offsets = range(1 - _REACH, _REACH + 1)
    weights = []
    for part in fraction:
        squares = np.array([np.sinc(part - step) ** 2 for step in offsets])
        weights.append(squares / squares.sum(0))  # as those further out bring them to
    for step_y, weight_y in zip(offsets, weights[0], strict=True):
        rows = np.clip(base[0] + step_y + _REACH, 0, padded.shape[0] - 1)
        for step_x, weight_x in zip(offsets, weights[1], strict=True):
            columns = np.clip(base[1] + step_x + _REACH, 0, padded.shape[1] - 1)
            total += weight_y * weight_x * padded[rows, columns]
    return total
