"""Write redistribution matrices (RMF) and effective areas (ARF) as OGIP files."""

import numpy as np
from astropy.io import fits
from scipy import sparse

__all__ = ["write_arf", "write_rmf"]


def write_rmf(path, matrix, energies, channels=None, *, first_channel=1, contains_area=False):
    """
    Write a redistribution matrix.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        File to write; an existing one is replaced.
    matrix : array or sparse matrix (channel, energy)
        Probabilities, or area times probability [cm2].
    energies : array (energy + 1,)
        Edges of the energies, keV.
    channels : array (channel + 1,), optional
        Nominal edges of the channels, keV; without them no EBOUNDS is written.
    first_channel : int
        Number of the first channel (TLMIN).
    contains_area : bool
        Whether the matrix holds the area: the extension is named SPECRESP MATRIX then.
    """
    columns = sparse.csc_array(matrix)
    columns.eliminate_zeros()
    columns.sort_indices()
    groups = [_groups(columns, j, first_channel) for j in range(columns.shape[1])]
    most = max(1, *(len(first) for first, _, _ in groups))
    first, number = (np.zeros((columns.shape[1], most), np.int32) for _ in range(2))
    for j, (start, length, _) in enumerate(groups):
        first[j, : len(start)], number[j, : len(start)] = start, length
    rows = np.empty(len(groups), dtype=object)
    rows[:] = [np.asarray(values, np.float32) for _, _, values in groups]
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "D", unit="keV", array=energies[:-1]),
            fits.Column("ENERG_HI", "D", unit="keV", array=energies[1:]),
            fits.Column("N_GRP", "J", array=[len(start) for start, _, _ in groups]),
            fits.Column("F_CHAN", f"{most}J", array=first),
            fits.Column("N_CHAN", f"{most}J", array=number),
            fits.Column("MATRIX", "PE()", unit="cm**2" if contains_area else None, array=rows),
        ],
        name="SPECRESP MATRIX" if contains_area else "MATRIX",
    )
    table.header["TLMIN4"] = (first_channel, "first channel")
    table.header["TLMAX4"] = (first_channel + columns.shape[0] - 1, "last channel")
    table.header["DETCHANS"] = columns.shape[0]
    table.header["HDUCLASS"], table.header["HDUCLAS1"] = "OGIP", "RESPONSE"
    table.header["HDUCLAS2"] = "RSP_MATRIX"
    table.header["HDUCLAS3"] = "FULL" if contains_area else "REDIST"
    hdus = [fits.PrimaryHDU(), table]
    if channels is not None:
        count = np.arange(first_channel, first_channel + columns.shape[0])
        bounds = fits.BinTableHDU.from_columns(
            [
                fits.Column("CHANNEL", "J", array=count),
                fits.Column("E_MIN", "D", unit="keV", array=channels[:-1]),
                fits.Column("E_MAX", "D", unit="keV", array=channels[1:]),
            ],
            name="EBOUNDS",
        )
        hdus.append(bounds)
    fits.HDUList(hdus).writeto(path, overwrite=True)


def write_arf(path, area, energies, *, exposure=None):
    """
    Write an effective area.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        File to write; an existing one is replaced.
    area : array (energy,)
        Area, cm2.
    energies : array (energy + 1,)
        Edges of the energies, keV.
    exposure : float, optional
        Exposure time, s.
    """
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "D", unit="keV", array=energies[:-1]),
            fits.Column("ENERG_HI", "D", unit="keV", array=energies[1:]),
            fits.Column("SPECRESP", "D", unit="cm**2", array=area),
        ],
        name="SPECRESP",
    )
    table.header["HDUCLASS"], table.header["HDUCLAS1"] = "OGIP", "RESPONSE"
    table.header["HDUCLAS2"] = "SPECRESP"
    if exposure is not None:
        table.header["EXPOSURE"] = (exposure, "[s] exposure time")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)


def _groups(columns, j, first_channel):
    """First channels, lengths and values of the runs of nonzero values in a column."""
    part = slice(columns.indptr[j], columns.indptr[j + 1])
    index, values = columns.indices[part], columns.data[part]
    if not index.size:
        return [], [], values
    breaks = np.flatnonzero(np.diff(index) > 1) + 1
    runs = np.split(index, breaks)
    return [run[0] + first_channel for run in runs], [run.size for run in runs], values
