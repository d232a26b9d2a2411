"""PSF images and cubes in FITS files, resampled to the pixels of the sharper cube."""

import logging

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from jwst_fusion.hifred.response.kernels import centred
from jwst_fusion.hifred.xray.fits_tables import column, column_name, existing_file, open_fits
from jwst_fusion.messages import warn
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA
from jwst_fusion.psf.file import check_sums

__all__ = ["gaussian_psf", "psf_reach", "read_psf_image"]

log = logging.getLogger(__name__)

# Tables with the nodes of a cube of PSFs, and their unit.
_NODES = {"ENERGY": u.keV, "WAVELENGTH": u.um}
_POINTS = 8  # points along a pixel from which its mean or its share of other pixels is taken
_COARSE = 30.0  # pixels of a cube along one of a PSF, beyond which it tells nothing of its shape
_HELD = 0.9  # part of the light within the radius that a PSF is said to reach
_CENTRES = ("file", "centroid")
_OFFSET = 0.05  # pixel of the file; centroids farther from the source are logged


def read_psf_image(path, pixel_scale=None, *, angle=0.0, centre="file"):
    """
    Read the PSF of the coarser telescope.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with an image (y, x) or a cube (node, y, x), in the extension PSF or else the
        first. Its pixel is PIXELSCL (arcsec), else that of its WCS; without either it has the
        pixels of the sharper cube. A cube needs a table ENERGY (column ENERGY, keV) or WAVELENGTH
        (column WAVELENGTH, um) with a row per node.
    pixel_scale : float, optional
        Pixel of the sharper cube, arcsec; by default that of the file.
    angle : float
        Counterclockwise rotation (x to the right, y upwards) from the file to the cube, degrees.
    centre : "file" or "centroid"
        Which place of an image is the position of the source: the reference pixel that its header
        gives (CRPIX1, CRPIX2), else the middle; or the centroid of each image.

    Returns
    -------
    psf : ndarray (node, y, x)
        PSFs of odd size and sum 1 on the pixels of the sharper cube, the source in the middle.
    nodes : ndarray (node,) or None
        Energies [keV] or wavelengths [um] of a cube.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it holds no PSF, not as many nodes as images, or `centre` is unknown.
    """
    if centre not in _CENTRES:
        msg = f"centre is {centre!r}: expected one of {', '.join(_CENTRES)}"
        raise ValueError(msg)
    path = existing_file(path, "PSF")
    with open_fits(path, "PSF") as hdus:
        images = [hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] in (2, 3)]
        if not images:
            msg = f"the PSF file {path} has no image"
            raise ValueError(msg)
        image = next((hdu for hdu in images if hdu.name == "PSF"), images[0])
        data = np.array(image.data, dtype=float)
        scale = _scale(image.header, path)
        place = _reference(image.header, data.shape[-2:], path)
        nodes = _nodes(hdus, path)
    cube = data.ndim == 3
    data = data if cube else data[None]
    if cube and len(data) > 1 and (nodes is None or nodes.size != len(data)):
        msg = (
            f"the PSF file {path} holds {len(data)} images but not as many nodes: add a table "
            "ENERGY (keV) or WAVELENGTH (um) with a column of the same name"
        )
        raise ValueError(msg)
    sums = check_sums(data, path)
    if data.min() < -1e-3 * data.max():
        msg = f"the PSF file {path} holds negative values"
        raise ValueError(msg)
    data = np.maximum(data, 0.0) / np.maximum(data, 0.0).sum(axis=(1, 2), keepdims=True)
    if np.abs(sums - 1).max() > 0.02:
        low, high = sums.min(), sums.max()
        log.info("The PSFs in %s sum to %.4g to %.4g: normalised to 1", path.name, low, high)
    if scale is None or pixel_scale is None:
        ratio = 1.0
        if scale is None and pixel_scale is not None:
            log.info("%s does not say its pixel: taken to be that of the cube", path.name)
    else:
        ratio = scale / pixel_scale
        side = ratio * min(data.shape[1:])
        if side < 1 or ratio > _COARSE:
            msg = (
                f"the PSF file {path} has pixels of {scale:.4g} arcsec and covers {side:.3g} "
                f"pixels of the cube, which have {pixel_scale:.4g} arcsec: correct PIXELSCL or "
                "CDELT"
            )
            raise ValueError(msg)
    if ratio > 1.5:
        warn(log, "The pixels of the PSF %s are %.1f times those of the cube", path.name, ratio)
    places = [place if centre == "file" else _centroid(plane) for plane in data]
    if centre == "file":
        _tell_centre(path.name, data, place)
    if abs(ratio - 1) > 0.01 or angle % 360:
        data = _same_size(
            [_resampled(*one, ratio, angle) for one in zip(data, places, strict=True)]
        )
    else:
        data = _same_size(
            [centred(plane, centre=one) for plane, one in zip(data, places, strict=True)]
        )
    return data, nodes if cube and len(data) > 1 else None


def gaussian_psf(fwhm):
    """
    Make a Gaussian PSF, each pixel the mean of its area.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum, pixels.

    Returns
    -------
    ndarray (y, x)
        Of odd size and sum 1.
    """
    sigma = fwhm / FWHM_OF_SIGMA
    half = max(1, int(np.ceil(4.5 * sigma)))
    offset = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    at = np.arange(-half, half + 1)[:, None] + offset
    profile = np.exp(-0.5 * (at / max(sigma, 1e-3)) ** 2).mean(axis=1)
    return np.outer(profile, profile) / profile.sum() ** 2


def psf_reach(psf):
    """
    Radius around the source that holds nine tenths of the light.

    Parameters
    ----------
    psf : ndarray (node, y, x)
        PSFs, the source in the middle.

    Returns
    -------
    float
        Pixels; of the widest.
    """
    y, x = np.indices(psf.shape[1:])
    reach = 0.0
    for plane in psf:
        radius = np.hypot(*(one - one.max() / 2 for one in (y, x))).ravel()
        order = np.argsort(radius)
        inside = np.searchsorted(np.cumsum(plane.ravel()[order]), _HELD * plane.sum())
        reach = max(reach, float(radius[order[min(inside, radius.size - 1)]]))
    return reach


def _scale(header, path):
    value = header.get("PIXELSCL")
    if value is None:
        wcs = WCS(header, naxis=2)
        if not wcs.has_celestial:
            return None
        value = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600
    if not (np.isfinite(value) and value > 0):
        msg = f"the PSF file {path} has a pixel of {value} arcsec (PIXELSCL, CDELT)"
        raise ValueError(msg)
    return float(value)


def _nodes(hdus, path):
    for name, unit in _NODES.items():
        if name in hdus:
            table = hdus[name]
            values = np.asarray(column(table, name, path), float)
            text = table.columns[column_name(table, name)].unit
            values = values * (u.Unit(text).to(unit) if text else 1.0)
            if not (np.isfinite(values).all() and (np.diff(values) > 0).all()):
                msg = f"the PSF file {path} has a table {name} whose values do not rise"
                raise ValueError(msg)
            return values
    return None


def _reference(header, shape, path):
    """Row and column, from 0, of the position of the source: the reference pixel or the middle."""
    middle = tuple((size - 1) / 2 for size in shape)
    place = [header.get(key) for key in ("CRPIX2", "CRPIX1")]
    if None in place:
        return middle
    if not all(isinstance(one, (int, float)) and np.isfinite(one) for one in place):
        msg = f"the PSF file {path} has CRPIX1 = {place[1]!r} and CRPIX2 = {place[0]!r}: expected "
        raise ValueError(msg + "numbers")
    place = tuple(float(one) - 1.0 for one in place)
    if not WCS(header, naxis=2).has_celestial:
        # coordinates that count from the source: it is where they are zero
        values = [header.get(key, 0.0) for key in ("CRVAL2", "CRVAL1")]
        steps = [header.get(key, 1.0) for key in ("CDELT2", "CDELT1")]
        parts = zip(place, values, steps, strict=True)
        place = tuple(one - value / (step or 1.0) for one, value, step in parts)
    if all(-0.5 <= one <= size - 0.5 for one, size in zip(place, shape, strict=True)):
        return place
    warn(
        log,
        "The PSF %s has its reference pixel (CRPIX) outside of the image: the source is taken to "
        "be in the middle",
        path.name,
    )
    return middle


def _centroid(plane):
    y, x = np.indices(plane.shape)
    return float((plane * y).sum()), float((plane * x).sum())


def _tell_centre(name, data, place):
    away = max(np.hypot(*np.subtract(_centroid(plane), place)) for plane in data)
    if away > _OFFSET:
        log.info(
            "The centroid of the PSF %s lies up to %.2f of its pixels from the source, which is at "
            "column %.2f, row %.2f (from 0)",
            name,
            away,
            *place[::-1],
        )
    first = data[0]
    y, x = np.indices(first.shape)
    middle = _centroid(first)
    order = np.argsort(np.hypot(y - middle[0], x - middle[1]).ravel())
    half = np.searchsorted(np.cumsum(first.ravel()[order]), 0.5 * first.sum())
    if np.hypot(*np.subtract(middle, place)) > np.sqrt((half + 1) / np.pi) + 1.0:
        warn(
            log,
            "The PSF %s has its source at column %.1f, row %.1f (from 0), beyond half of its light "
            "around the centroid: look at CRPIX, or take psf_centre = centroid",
            name,
            *place[::-1],
        )


def _same_size(planes):
    """Stack of images of odd sizes, padded around their middles."""
    shape = [max(one.shape[axis] for one in planes) for axis in (0, 1)]
    padded = [
        np.pad(one, [2 * ((side - n) // 2,) for side, n in zip(shape, one.shape, strict=True)])
        for one in planes
    ]
    return np.array(padded)


def _resampled(plane, place, ratio, angle):
    """Spread each pixel over points and collect these on turned pixels of another size."""
    ny, nx = plane.shape
    offset = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    y = np.add.outer(np.arange(ny) - place[0], offset).ravel() * ratio
    x = np.add.outer(np.arange(nx) - place[1], offset).ravel() * ratio
    y, x = np.meshgrid(y, x, indexing="ij")
    turn = np.deg2rad(angle)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    half = int(np.ceil(max(np.abs(x).max(), np.abs(y).max()) - 0.5 + 1e-9))
    side = 2 * half + 1
    target = (np.round(y) + half).astype(int) * side + (np.round(x) + half).astype(int)
    fine = np.repeat(np.repeat(plane, _POINTS, axis=0), _POINTS, axis=1) / _POINTS**2
    return np.bincount(target.ravel(), fine.ravel(), side**2).reshape(side, side)
