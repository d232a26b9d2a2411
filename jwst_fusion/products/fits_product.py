"""The product of a fusion of count cubes: a FITS file that the steps of the pipeline can save."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits

from jwst_fusion.datamodels.notebook_view import plain_text, view_html
from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["FitsProduct", "energy_header", "pairs_table"]


class FitsProduct:
    """
    A FITS file in memory, with what stpipe expects of a data model.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        Primary header and extensions.
    filename : str
        Name under which it is saved unless the caller gives another.

    Attributes
    ----------
    data, err, dq : ndarray (channel, y, x)
        Arrays of the extensions SCI, ERR and DQ; None if there is no such extension.
    header : `~astropy.io.fits.Header`
        Primary header.
    meta : object
        ``meta.filename`` and ``meta.cal_step.hifred``.
    """

    #: Observatory of whose reference files stpipe keeps account: there are none.
    crds_observatory = "none"

    # path of the report that the step has written, which a file does not know
    _report = None

    def __init__(self, hdus, filename):
        self.hdus = hdus
        status = SimpleNamespace(hifred=hdus[0].header.get("S_HIFRED"))
        self.meta = SimpleNamespace(filename=filename, cal_step=status)

    def __repr__(self):
        shape = None if self.data is None else self.data.shape
        return f"<FitsProduct {self.meta.filename}, {shape}>"

    def _repr_html_(self):
        header = self.header
        return view_html(
            repr(self),
            data=self.data,
            level=header.get("HIFLEVEL"),
            verdict=header.get("HIFVERD"),
            report=self._report or header.get("HIFREPRT"),
        )

    def note_verdict(self, level, verdict, report):
        """
        Keep what the report says.

        Parameters
        ----------
        level : {"good", "caution", "fault"}
            Level of the verdict.
        verdict : str
            The verdict, a sentence.
        report : `~pathlib.Path`
            The page.
        """
        self._report = report.resolve()
        self.header["HIFLEVEL"] = (level, "verdict of report")
        self.header["HIFVERD"] = plain_text(verdict)
        self.header["HIFREPRT"] = plain_text(report.name)

    @property
    def header(self):
        """Primary header."""
        return self.hdus[0].header

    data = property(lambda self: self._array("SCI"), doc="Array of the extension SCI.")
    err = property(lambda self: self._array("ERR"), doc="Array of the extension ERR.")
    dq = property(lambda self: self._array("DQ"), doc="Array of the extension DQ.")

    def _array(self, name):
        return self.hdus[name].data if name in self.hdus else None

    def get_crds_parameters(self):
        """Return nothing: no reference file depends on this product."""
        return {}

    def save(self, path, dir_path=None, *args, **kwargs):
        """
        Write the file, as a whole or not at all.

        Parameters
        ----------
        path : str or callable
            The file, or a function that makes its name from ``meta.filename``.
        dir_path : str, optional
            Folder, in place of that in `path`.
        *args, **kwargs
            Not used; other data models take them.

        Returns
        -------
        str
            The file.
        """
        path = Path(path(self.meta.filename) if callable(path) else path)
        path = path if dir_path is None else Path(dir_path) / path.name
        header = self.header
        header["FILENAME"] = (path.name, "name of this file")
        if self.meta.cal_step.hifred is not None:
            header["S_HIFRED"] = (self.meta.cal_step.hifred, "status of the step hifred")
        with renamed_when_complete(path) as partial:
            self.hdus.writeto(partial, overwrite=True, output_verify="fix+ignore")
        self.meta.filename = path.name
        return str(path)

    def close(self):
        """Do nothing: no file is open."""


def energy_header(edges, wcs=None):
    """
    Keywords of a cube (channel, y, x) with sky and energy axes.

    Parameters
    ----------
    edges : ndarray (channel + 1,)
        Edges of the channels, keV.
    wcs : `~astropy.wcs.WCS`, optional
        Celestial WCS.

    Returns
    -------
    `~astropy.io.fits.Header`
        The axis is linear. If the channels are not of equal width, it is only close: the table
        EBOUNDS tells.
    """
    header = fits.Header()
    if wcs is not None:
        header.update(wcs.to_header())
    else:
        header["CTYPE1"], header["CTYPE2"] = "", ""
    step = (edges[-1] - edges[0]) / (edges.size - 1)
    header["WCSAXES"] = 3
    header["CTYPE3"] = ("ENER", "photon energy")
    header["CUNIT3"] = "keV"
    header["CRPIX3"] = 1.0
    header["CRVAL3"] = float(edges[0] + 0.5 * step)
    header["CDELT3"] = float(step)
    return header


def pairs_table(rows, name, columns):
    """
    Make a table of texts.

    Parameters
    ----------
    rows : sequence of tuple of str
        The rows.
    name : str
        Name of the extension.
    columns : sequence of str
        Names of the columns.

    Returns
    -------
    `~astropy.io.fits.BinTableHDU`
        The table; characters that FITS tables do not know become question marks.
    """
    given = []
    for title, values in zip(columns, zip(*rows, strict=True), strict=True):
        texts = np.array([str(value).encode("ascii", "replace") for value in values])
        given.append(fits.Column(title, f"{max(1, texts.dtype.itemsize)}A", array=texts))
    return fits.BinTableHDU.from_columns(given, name=name)
