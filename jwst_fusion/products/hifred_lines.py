"""The product with maps of lines of a fused cube: flux, velocity and width as FITS images."""

import numpy as np
from astropy.io import fits

from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["lines_hdus", "save_lines"]

_KINDS = ("flux", "velocity", "width")


def lines_hdus(maps, wcs=None, keywords=None):
    """
    Turn maps of lines into FITS extensions.

    Parameters
    ----------
    maps : `~jwst_fusion.hifred.line_maps.LineMaps`
        The maps.
    wcs : `~astropy.wcs.WCS`, optional
        Celestial WCS of the pixels.
    keywords : dict, optional
        Further keywords of the primary header.

    Returns
    -------
    `~astropy.io.fits.HDUList`
        Primary header; the table LINES (NAME, REST, GROUP); for each line, numbered from 1 by
        EXTVER, the images FLUX, VELOCITY and WIDTH and their errors FLUX_ERR, VELOCITY_ERR and
        WIDTH_ERR (y, x), each with the WCS.
    """
    primary = fits.PrimaryHDU()
    for key, value in (keywords or {}).items():
        primary.header[key] = value
    primary.header["REDSHIFT"] = (maps.redshift, "redshift that velocities are relative to")
    columns = [
        fits.Column(
            "NAME",
            f"{max(len(one.name) for one in maps.lines)}A",
            array=[one.name.encode("ascii", "replace") for one in maps.lines],
        ),
        fits.Column("REST", "D", array=[one.rest for one in maps.lines]),
        fits.Column("GROUP", "J", array=maps.groups + 1),
    ]
    hdus = [primary, fits.BinTableHDU.from_columns(columns, name="LINES")]
    for number, line in enumerate(maps.lines):
        for kind in _KINDS:
            for name in (kind, f"{kind}_error"):
                header = fits.Header() if wcs is None else wcs.to_header()
                header["BUNIT"] = maps.unit if kind == "flux" else "km/s"
                title = line.name.encode("ascii", "replace").decode()
                header["LINENAME"] = (title, "name of the line")
                header["LINEREST"] = (line.rest, "rest energy [keV] or wavelength [um]")
                values = np.asarray(getattr(maps, name)[number], np.float32)
                title = name.upper().replace("ERROR", "ERR")
                hdus.append(fits.ImageHDU(values, header, name=title, ver=number + 1))
    return fits.HDUList(hdus)


def save_lines(path, maps, wcs=None, keywords=None):
    """
    Write maps of lines, as a whole or not at all.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file.
    maps, wcs, keywords : optional
        As for `lines_hdus`.
    """
    with renamed_when_complete(path) as partial:
        lines_hdus(maps, wcs, keywords).writeto(partial, overwrite=True)
