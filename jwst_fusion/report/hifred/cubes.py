"""The two cubes that HIFReD fused, read from their files on the channels and pixels it used."""

import numpy as np
from astropy.io import fits
from astropy.wcs.utils import pixel_to_pixel

from jwst_fusion.hifred.xray.counts import read_counts
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.products.keywords import brightness_factor
from jwst_fusion.report.frame import celestial

__all__ = ["read_hifred_cube"]

_CLOSE = 0.1  # of a pixel or channel: grids that differ by less are the same but for rounding


def read_hifred_cube(path, product, compared):
    """
    Read one of the cubes that were fused.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        What it became.
    compared : `~jwst_fusion.report.hifred.product.ComparedCube`
        What the product says of it, as X or Y.

    Returns
    -------
    array (l, y, x)
        Counts or MJy/sr, on the channels and pixels of that; NaN where they cannot be used.

    Raises
    ------
    ValueError
        If it is another cube.
    """
    reader = _counts if product.counts else _brightness
    data, edges, wcs = reader(path)
    channels = np.asarray(compared.channels["channel"])
    part = slice(int(channels[0]), int(channels[-1]) + 1)
    cube = data[part]
    fits_in = len(cube) == len(channels)
    if fits_in and edges is not None:
        off = np.abs(edges[part.start : part.stop + 1] - compared.edges)
        fits_in = off.max() < _CLOSE * np.diff(compared.edges).min()
    if compared.letter == "X" and fits_in:
        cube = _cropped(cube, wcs, product)
    if not fits_in or cube.shape != compared.model.shape:
        msg = f"{path.name} does not have the channels and pixels of {compared.letter} in "
        msg += f"{product.name}: is it the cube that was fused?"
        raise ValueError(msg)
    return cube


def _counts(path):
    cube = read_counts(path)
    return np.where(cube.good, cube.counts, np.nan), cube.energies, cube.wcs


def _brightness(path):
    with fits.open(path) as hdus:
        header, wavelength = hdus["SCI"].header, file_wavelengths(hdus, path.name)
        data = np.array(hdus["SCI"].data, np.float32)
        if "DQ" in hdus:
            data[(np.asarray(hdus["DQ"].data) & 1) > 0] = np.nan
        data *= brightness_factor(header.get("BUNIT"), header.get("PIXAR_SR"), path.name)
        wcs = celestial(header)
    if wavelength[0] > wavelength[-1]:
        data, wavelength = data[::-1], wavelength[::-1]
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    first, last = 2 * wavelength[0] - middle[0], 2 * wavelength[-1] - middle[-1]
    return data, np.concatenate([[first], middle, [last]]), wcs


def _cropped(cube, wcs, product):
    """The part of X that lies on the result."""
    height, width = product.data.shape[1:]
    if wcs is None or product.wcs is None:
        return cube
    x, y = (float(one) for one in pixel_to_pixel(product.wcs, wcs, 0.0, 0.0))
    column, row = round(x), round(y)
    if max(abs(x - column), abs(y - row)) > _CLOSE or min(column, row) < 0:
        return cube[:0]
    return cube[:, row : row + height, column : column + width]
