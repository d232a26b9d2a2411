"""Headers of JWST products, read without a pixel of data."""

import gzip
from pathlib import Path

from astropy.io import fits

from jwst_fusion.input_files import one_line

__all__ = ["is_exposure", "is_picture", "read_headers"]

_GZIP = b"\x1f\x8b"  # first bytes of a gzipped file, whatever its name
_BLOCK = 2880  # bytes of a FITS block
_END = b"END" + 77 * b" "  # last card of a header
_PICTURES = ("NRC_IMAGE", "NIS_IMAGE", "MIR_IMAGE")  # types of exposures (EXP_TYPE) of cameras
# Products have their science image first; more than this many extensions are not looked through.
_EXTENSIONS = 8


def read_headers(path):
    """
    Read the primary header and that of the science image.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file, which may be gzipped; its content tells, not its name.

    Returns
    -------
    primary : `~astropy.io.fits.Header`
        Primary header.
    science : `~astropy.io.fits.Header`
        Header of the extension SCI; empty if there is none.

    Raises
    ------
    OSError
        If the file cannot be read or is not FITS.
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    with (gzip.open if packed else open)(path, "rb") as stream:
        primary = _header(stream, path)
        for _ in range(_EXTENSIONS):
            header = _header(stream, path, end_allowed=True)
            if header is None:
                break
            if str(header.get("EXTNAME", "")).strip() == "SCI":
                return primary, header
    return primary, fits.Header()


def is_exposure(path):
    """
    Say whether a file is an exposure of an integral field unit, and not a cube.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file.

    Returns
    -------
    bool
        Whether its data model is that of an exposure.

    Raises
    ------
    ValueError
        If the file is not FITS.
    """
    return _said(path, "DATAMODL") in ("IFUImageModel", "ImageModel")


def is_picture(path):
    """
    Say whether a file is an exposure or a mosaic of an imager.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file.

    Returns
    -------
    bool
        Whether its header says so.

    Raises
    ------
    ValueError
        If the file is not FITS.
    """
    return _said(path, "EXP_TYPE") in _PICTURES


def _said(path, keyword):
    """Value of a keyword of the primary header, None if there is none."""
    try:
        return read_headers(path)[0].get(keyword)
    except Exception as error:  # astropy has many for damaged headers
        msg = f"{path} cannot be read as a JWST product: {one_line(error)}"
        raise ValueError(msg) from error


def _header(stream, path, *, end_allowed=False):
    """Read the next header and skip its data; None at the end of the file."""
    text = b""
    while True:
        block = stream.read(_BLOCK)
        if not block and not text and end_allowed:
            return None
        if len(block) < _BLOCK or (not text and block[:6] not in (b"SIMPLE", b"XTENSI")):
            msg = f"{path} is truncated or not FITS"
            raise OSError(msg)
        text += block
        if any(block[start : start + 80] == _END for start in range(0, _BLOCK, 80)):
            break
    header = fits.Header.fromstring(text.decode("ascii", "replace"))
    sides = [header[f"NAXIS{axis + 1}"] for axis in range(header.get("NAXIS", 0))]
    size = abs(header.get("BITPIX", 8)) // 8 if sides else 0
    for side in sides:
        size *= side
    size = (size + header.get("PCOUNT", 0)) * header.get("GCOUNT", 1)
    if str(header.get("EXTNAME", "")).strip() != "SCI" and size:
        stream.seek(-(-size // _BLOCK) * _BLOCK, 1)
    return header
