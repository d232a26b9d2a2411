"""PSF cubes in FITS and ASDF files: our own and those that STPSF writes."""

import logging
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwst_fusion.input_files import check_tree, check_whole, memory_of_machine, one_line
from jwst_fusion.messages import warn
from jwst_fusion.psf.centre import core_centre
from jwst_fusion.psf.checks import LARGEST_PIXEL, SMALLEST_PIXEL
from jwst_fusion.psf.cube import PsfCube
from jwst_fusion.psf.resample import resample_psf

__all__ = ["check_sums", "read_psf", "write_psf"]

log = logging.getLogger(__name__)

_EXTENSIONS = ("PSF", "OVERDIST", "OVERSAMP")
# Offset from the centre [pixel] below which a PSF is left as it is, and above which it is noted.
_CENTRED, _NOTABLE = 0.01, 0.25
# Parts of the light: below the first of the sum of absolute values, positive and negative pixels
# cancel, as those of no PSF do; below the second of the largest in the file, one is empty.
_POSITIVE, _EMPTY = 0.5, 1e-6


def write_psf(psf, path):
    """
    Write a PSF cube to a file.

    Parameters
    ----------
    psf : PsfCube
        The PSF.
    path : path-like
        File to write, ASDF if its name ends with ``.asdf`` and else FITS; an existing one is
        replaced.
    """
    if Path(path).suffix.lower() == ".asdf":
        import asdf

        tree = {"psf": psf.data, "wavelength": psf.wavelength, "pixel_scale": psf.pixel_scale}
        asdf.AsdfFile({**tree, "source": psf.source}).write_to(path)
        return
    header = fits.Header()
    header["PIXELSCL"] = (psf.pixel_scale, "[arcsec] pixel")
    header["PSFSRC"] = (psf.source, "where the PSF comes from")
    column = fits.Column("WAVELENGTH", "D", unit="um", array=psf.wavelength)
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(psf.data, header, name="PSF"),
        fits.BinTableHDU.from_columns([column], name="WAVELENGTH"),
    ]
    fits.HDUList(hdus).writeto(path, overwrite=True)


def check_sums(data, path):
    """
    Refuse images that are no PSFs by their sums, which would be normalised to one.

    Parameters
    ----------
    data : ndarray (node, y, x)
        The images.
    path : str or `~pathlib.Path`
        Their file, for messages.

    Returns
    -------
    ndarray (node,)
        The sums.

    Raises
    ------
    ValueError
        If values are not finite, a sum is not positive, positive and negative pixels cancel, or one
        image has next to no light in comparison with the others.
    """
    sums = data.sum(axis=(1, 2))
    if not (np.all(np.isfinite(data)) and np.all(sums > 0)):
        msg = f"the PSF file {path} holds a PSF that is not finite or does not have a positive sum"
        raise ValueError(msg)
    if np.any(sums < _POSITIVE * np.abs(data).sum(axis=(1, 2))):
        msg = (
            f"the PSF file {path} holds an image whose positive and negative pixels nearly cancel, "
            "which is no PSF: subtract its background, or get the file again"
        )
        raise ValueError(msg)
    if sums.min() < _EMPTY * sums.max():
        msg = (
            f"the PSF file {path} holds PSFs that sum to {sums.min():.4g} up to {sums.max():.4g}: "
            "those next to zero are damaged; get the file again"
        )
        raise ValueError(msg)
    return sums


def read_psf(path, *, pixel_scale=None, npix=None, angle=0.0, pixel_kernels=(), broadening=0.0):
    """
    Read PSFs from a file and bring them to a grid.

    Parameters
    ----------
    path : path-like
        FITS file of `write_psf` or of STPSF: an image (y, x) or cube (node, y, x) with the pixel
        [arcsec] in the keyword PIXELSCL, and wavelengths in a table WAVELENGTH [um] or in STPSF's
        keywords WAVELEN or WAVELN00, WAVELN01, ... [m]. Or an ASDF file with the entries ``psf``
        (y, x) or (node, y, x), ``wavelength`` [um] and ``pixel_scale`` [arcsec].
    pixel_scale : float, optional
        Output pixel [arcsec]; by default that of the file.
    npix : int, optional
        Output pixels a side, odd; by default as many as the file covers.
    angle : float
        Counterclockwise rotation from the file's axes to the output grid [deg].
    pixel_kernels : sequence of tuple
        Rectangles (width_x, width_y, angle) as for `make_psf`.
    broadening : float
        Gaussian sigma [arcsec].

    Returns
    -------
    PsfCube
        Odd-sized, centred PSFs of unit sum. If those in the file are off-centre or not normalised,
        that is put right and logged.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no PSF, or no pixel size or wavelengths.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"the PSF file {path} does not exist"
        raise FileNotFoundError(msg)
    data, scale, wavelength = _read(path)
    order = np.argsort(wavelength)
    data, wavelength = data[order], wavelength[order]
    if not (np.isfinite(scale) and SMALLEST_PIXEL <= scale <= LARGEST_PIXEL):
        msg = (
            f"the PSF file {path} has pixels of {scale} arcsec: expected {SMALLEST_PIXEL:g} to "
            f"{LARGEST_PIXEL:g} (keyword PIXELSCL, or pixel_scale in ASDF)"
        )
        raise ValueError(msg)
    if not (np.isfinite(wavelength).all() and (np.diff(wavelength) > 0).all()):
        msg = f"the PSF file {path} has wavelengths that are not finite, or one of them twice"
        raise ValueError(msg)
    sums = check_sums(data, path)
    # STPSF's own PSFs lack the few percent of light that falls outside the image.
    if np.any((sums < 0.9) | (sums > 1.001)):
        warn(log, "The PSFs in %s sum to %.4g to %.4g; normalised", path, sums.min(), sums.max())
    middle = (data.shape[1] - 1) / 2.0
    centres = [core_centre(image) for image in data]
    offset = max(max(abs(y - middle), abs(x - middle)) for y, x in centres)
    if offset > _NOTABLE:
        warn(log, "The PSFs in %s are up to %.2f pixels off centre; centred", path, offset)
    if offset < _CENTRED:
        centres = [(middle, middle)] * len(data)
    pixel_scale = scale if pixel_scale is None else float(pixel_scale)
    if not (np.isfinite(pixel_scale) and pixel_scale > 0):
        msg = f"pixel_scale must be positive, got {pixel_scale}"
        raise ValueError(msg)
    if npix is None:
        inside = int((data.shape[1] - 1 - 2 * int(np.ceil(offset))) * scale / pixel_scale)
        npix = max(3, inside - 1 + inside % 2)
    if npix < 3 or npix % 2 == 0:
        msg = f"npix must be an odd number of at least 3 pixels, got {npix}"
        raise ValueError(msg)
    out = [
        resample_psf(
            image,
            scale,
            npix=npix,
            pixel_scale=pixel_scale,
            angle=angle,
            pixel_kernels=pixel_kernels,
            broadening=broadening,
            centre=centre,
        )
        for image, centre in zip(data, centres, strict=True)
    ]
    meta = {"file": str(path), "angle": angle, "pixel_kernels": list(pixel_kernels)}
    return PsfCube(np.array(out), wavelength, pixel_scale, path.name, meta)


def _read(path):
    read = _read_asdf if path.suffix.lower() == ".asdf" else _read_fits
    data, scale, wavelength = read(path)
    data = data[None] if data.ndim == 2 else data
    if data.ndim != 3 or data.shape[1] != data.shape[2]:
        msg = f"the PSF file {path} must hold square images, got shape {data.shape}"
        raise ValueError(msg)
    if wavelength is None or np.shape(wavelength) != data.shape[:1]:
        msg = (
            f"the PSF file {path} holds {data.shape[0]} images but not as many wavelengths: add a "
            "table WAVELENGTH with one column of that name [um] (in ASDF an entry wavelength)"
        )
        raise ValueError(msg)
    return data, scale, wavelength


def _read_asdf(path):
    import asdf

    try:
        check_tree(path.read_bytes())
        with asdf.open(path, memmap=False, lazy_load=False, validate_checksums=True) as file:
            found = {key: file.tree.get(key) for key in ("psf", "pixel_scale", "wavelength")}
            # A shape may be declared that the file's bytes do not fill.
            sizes = [np.size(value) for value in found.values()]
            if 8 * sum(sizes) > memory_of_machine():
                msg = f"it declares {sum(sizes):.3g} numbers, more than the memory can hold"
                raise ValueError(msg)
            found = {
                key: np.array(value, float) for key, value in found.items() if value is not None
            }
    except Exception as error:  # asdf and its extensions have many
        msg = f"the PSF file {path} is not a readable ASDF file: {one_line(error)}"
        raise ValueError(msg) from error
    missing = [key for key in ("psf", "pixel_scale", "wavelength") if key not in found]
    if missing:
        msg = f"the PSF file {path} lacks the entries {', '.join(missing)}"
        raise ValueError(msg)
    return found["psf"], float(found["pixel_scale"]), np.atleast_1d(found["wavelength"])


def _read_fits(path):
    try:
        check_whole(path)
        with fits.open(path, memmap=False) as hdus:
            names = {hdu.name: hdu for hdu in hdus if hdu.is_image and hdu.data is not None}
            if not names:
                msg = f"the PSF file {path} has no image"
                raise ValueError(msg)
            chosen = next((n for n in _EXTENSIONS if n in names), next(iter(names)))
            data = np.array(names[chosen].data, dtype=float)
            header = names[chosen].header
            table = hdus["WAVELENGTH"].data if "WAVELENGTH" in hdus else None
            wavelength = None if table is None else np.array(table["WAVELENGTH"], dtype=float)
    except Exception as error:  # astropy has many
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        msg = f"the PSF file {path} is not a readable FITS file: {one_line(error)}"
        raise ValueError(msg) from error
    if "PIXELSCL" not in header:
        msg = f"the PSF file {path} lacks the keyword PIXELSCL, the pixel in arcsec"
        raise ValueError(msg)
    if wavelength is None:
        wavelength = _wavelength_keywords(header, 1 if data.ndim == 2 else data.shape[0])
    scale = header["PIXELSCL"]
    return data, float(scale) if isinstance(scale, (int, float)) else np.nan, wavelength


def _wavelength_keywords(header, count):
    """Wavelengths [um] from the keywords that STPSF writes [m], or None."""
    if count == 1 and "WAVELEN" in header:
        return np.array([header["WAVELEN"]], dtype=float) * 1e6
    for stem in ("WAVELN{:02d}", "WVLN{:04d}"):
        keys = [stem.format(i) for i in range(count)]
        if all(key in header for key in keys):
            return np.array([header[key] for key in keys], dtype=float) * 1e6
    return None
