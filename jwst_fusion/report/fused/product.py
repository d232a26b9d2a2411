"""Read a fused cube, and the cube before the fusion, from FITS as a report needs them.

Images are (y, x), cubes (wavelength, y, x), wavelengths in micrometre, brightness in MJy/sr.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.numerics.array_tables import plain
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.products.keywords import brightness_factor
from jwst_fusion.report.frame import celestial

__all__ = [
    "FusedProduct",
    "InputCube",
    "read_fused",
    "read_fused_exposures",
    "read_input_cube",
]

_TABLES = {
    "filters": "FUSFILTERS",
    "channels": "FUSCHANNELS",
    "components": "FUSCOMPONENTS",
    "left_out": "FUSVALID",
    "tuning": "FUSTUNING",
    "messages": "FUSMESSAGES",
    "sources": "FUSSOURCES",
    "parameters": "FUSPARAMETERS",
    "software": "FUSSOFTWARE",
}
_ARRAYS = {
    "maps": "FUSMAPS",
    "spectra": "FUSBASIS",
    "images": "FUSIMAGES",
    "image_errors": "FUSIMGERR",
    "responses": "FUSRESPONSES",
    "residuals": "FUSRESIDUALS",
    "cube_residuals": "FUSCUBERES",
    "source_flux": "FUSSRCFLUX",
    "source_error": "FUSSRCERR",
    "source_covariance": "FUSSRCCOV",
    "band_images": "FUSBANDIMG",
    "band_models": "FUSBANDMOD",
    "band_errors": "FUSBANDERR",
}
_NEEDED = (
    "SCI",
    "ERR",
    "DQ",
    "WMAP",
    "FUSFILTERS",
    "FUSCHANNELS",
    "FUSRESIDUALS",
    "FUSIMAGES",
    "FUSCUBERES",
    "FUSBANDIMG",
    "FUSBANDMOD",
    "FUSBANDERR",
)
_NEEDED_OF_EXPOSURES = ("SCI", "ERR", "DQ", "WMAP", "FUSCHANNELS", "FUSEXPOSURES")
# Channels that stand for all where a map of the whole cube is wanted.
_SAMPLED = 240
# Relative difference of wavelengths that are the same.
_SAME_WAVELENGTH = 1e-5


@dataclass(frozen=True)
class InputCube:
    """
    The cube before the fusion, in the channels of the fused cube.

    Attributes
    ----------
    name : str
        File name.
    data : array (L, h, w)
        Brightness, MJy/sr; NaN where there are no data or they are flagged.
    wcs : `~astropy.wcs.WCS`
        Celestial coordinates.
    """

    name: str
    data: np.ndarray
    wcs: WCS


@dataclass(frozen=True)
class FusedProduct:
    """
    A fused cube and what it says about itself.

    Attributes
    ----------
    name : str
        File name.
    header : `~astropy.io.fits.Header`
        Primary header.
    data, err, dq, origin : array (L, y, x)
        Extensions SCI, ERR, DQ and WMAP; of a file, they are read when they are used.
    wcs : `~astropy.wcs.WCS`
        Celestial coordinates.
    wavelength : array (L,)
        Micrometre.
    tables : dict
        By name: filters, channels, components, left_out, tuning, messages, sources, parameters,
        software; those that the product has.
    arrays : dict
        By name: maps, spectra, images, image_errors, responses, residuals, cube_residuals,
        band_images, band_models, band_errors (the filters, continuum, lines); and of point
        sources, if there are any, source_flux, source_error, source_covariance.
    """

    name: str
    header: fits.Header
    data: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    origin: np.ndarray
    wcs: WCS
    wavelength: np.ndarray
    tables: dict
    arrays: dict

    @property
    def filters(self):
        """Table of the images."""
        return self.tables["filters"]

    @property
    def channels(self):
        """Table of the channels."""
        return self.tables["channels"]

    @property
    def labels(self):
        """Name of each image: its filter, with a number if there are several of it."""
        names = list(self.filters["filter"])
        seen = {}
        labels = []
        for name in names:
            seen[name] = seen.get(name, 0) + 1
            labels.append(f"{name}-{seen[name]}" if names.count(name) > 1 else name)
        return labels

    @property
    def scale(self):
        """Arcsec per pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))) * 3600)

    @cached_property
    def sample(self):
        """Evenly spaced channels with data, which stand for all."""
        live = np.flatnonzero(np.asarray(self.channels["voxels"]) > 0)
        return live[:: max(1, len(live) // _SAMPLED)]

    @cached_property
    def stated_error(self):
        """Root mean square over the field of the error, MJy/sr (L,); NaN without data."""
        rms = np.full(len(self.wavelength), np.nan)
        for channel in self.sample:
            plane = np.asarray(self.err[channel], float)
            good = np.isfinite(plane)
            rms[channel] = np.sqrt(np.mean(plane[good] ** 2)) if good.any() else np.nan
        known = np.flatnonzero(np.isfinite(rms))
        if not known.size:
            return rms
        # Neighbouring channels have similar errors.
        return np.interp(np.arange(rms.size), known, rms[known])

    @cached_property
    def brightness(self):
        """Mean over wavelength, (y, x)."""
        return self._mean(self.data)

    @cached_property
    def signal_to_noise(self):
        """Median over wavelength of brightness over error, (y, x)."""
        ratio = np.array([self.data[i] / self.err[i] for i in self.sample], float)
        return _median(ratio)

    @cached_property
    def residual_sigma(self):
        """Residuals of the images over their errors, (F, y, x)."""
        return np.asarray(self.arrays["residuals"], float) / self.arrays["image_errors"]

    def _mean(self, array):
        total, count = np.zeros(array.shape[1:]), np.zeros(array.shape[1:])
        for channel in self.sample:
            plane = np.asarray(array[channel], float)
            good = np.isfinite(plane)
            total += np.where(good, plane, 0)
            count += good
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _median(stack):
    out = np.full(stack.shape[1:], np.nan)
    seen = np.isfinite(stack).any(0)
    out[seen] = np.nanmedian(stack[:, seen], axis=0)
    return out


def read_fused(hdus, name=None):
    """
    Read a fused cube.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The product.
    name : str, optional
        Name of the file, by default that in the header.

    Returns
    -------
    FusedProduct
        The product.

    Raises
    ------
    ValueError
        If this is not a fused cube, or one without what a report shows.
    """
    header = hdus[0].header
    name = name or header.get("FILENAME", "fused cube")
    status = header.get("S_FUSION")
    if status != "COMPLETE":
        msg = f"{name} is not a fused cube: its keyword S_FUSION is {status!r}, not 'COMPLETE'"
        raise ValueError(msg)
    if "FUSCUBES" in hdus:
        msg = f"{name} was joined from several fused cubes: its report is another"
        raise ValueError(msg)
    if "FUSEXPOSURES" in hdus:
        msg = f"{name} was fused from exposures: its report is another"
        raise ValueError(msg)
    return _read(hdus, name, _NEEDED)


def read_fused_exposures(hdus, name=None):
    """
    Read a cube that was fused from exposures.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The product.
    name : str, optional
        Name of the file, by default that in the header.

    Returns
    -------
    FusedProduct
        The product, with the table of exposures; tables and arrays of images are empty if there are
        none.

    Raises
    ------
    ValueError
        If this is not such a cube.
    """
    name = name or hdus[0].header.get("FILENAME", "fused cube")
    if "FUSEXPOSURES" not in hdus:
        msg = f"{name} was not fused from exposures: it has no extension FUSEXPOSURES"
        raise ValueError(msg)
    product = _read(hdus, name, _NEEDED_OF_EXPOSURES)
    product.tables["exposures"] = hdus["FUSEXPOSURES"].data
    if "filters" not in product.tables:
        product.tables["filters"] = np.zeros(0, [("filter", "U16"), ("filename", "U128")])
        product.arrays["responses"] = np.zeros((0, len(product.wavelength)))
    return product


def _read(hdus, name, needed):
    header = hdus[0].header
    missing = [extension for extension in needed if extension not in hdus]
    if missing:
        msg = (
            f"{name} has no extension {', '.join(missing)}: fuse again with this version of "
            "jwst_fusion for a report"
        )
        raise ValueError(msg)
    tables = {key: hdus[ext].data for key, ext in _TABLES.items() if ext in hdus}
    return FusedProduct(
        name=name,
        header=header,
        **{key: hdus[ext].data for key, ext in _main_arrays()},
        wcs=celestial(hdus["SCI"].header),
        wavelength=np.array(tables["channels"]["wavelength"], float),
        tables=tables,
        arrays={
            key: np.array(plain(hdus[ext].data)) for key, ext in _ARRAYS.items() if ext in hdus
        },
    )


def _main_arrays():
    return (("data", "SCI"), ("err", "ERR"), ("dq", "DQ"), ("origin", "WMAP"))


def read_input_cube(hdus, product, name=None):
    """
    Read the cube that was fused.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The cube (s3d).
    product : FusedProduct
        What it became.
    name : str, optional
        Name of the file, by default that in the header.

    Returns
    -------
    InputCube
        The cube in the channels of the product.

    Raises
    ------
    ValueError
        If its channels are not those of the product, or its unit is not known.
    """
    name = name or hdus[0].header.get("FILENAME", "cube")
    header = hdus["SCI"].header
    wavelength = file_wavelengths(hdus, name)
    start = int(np.argmin(np.abs(wavelength - product.wavelength[0])))
    part = wavelength[start : start + len(product.wavelength)]
    if part.shape != product.wavelength.shape or not np.allclose(
        part, product.wavelength, rtol=_SAME_WAVELENGTH
    ):
        msg = f"{name} does not have the channels of {product.name}: is it the cube that was fused?"
        raise ValueError(msg)
    channels = slice(start, start + len(part))
    data = np.array(hdus["SCI"].data[channels], np.float32)
    if "DQ" in hdus:
        data[(np.asarray(hdus["DQ"].data[channels]) & 1) > 0] = np.nan
    data[~np.isfinite(data)] = np.nan
    data *= brightness_factor(header.get("BUNIT"), header.get("PIXAR_SR"), name)
    return InputCube(name, data, celestial(header))
