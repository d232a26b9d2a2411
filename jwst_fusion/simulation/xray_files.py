"""A simulated pair of X-ray observations as files: counts, PSF, OGIP responses, association."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy import sparse

from jwst_fusion.associations import write_association
from jwst_fusion.associations.hifred import make_hifred_association
from jwst_fusion.hifred.xray.ogip_write import write_arf, write_rmf
from jwst_fusion.products.fits_product import energy_header

__all__ = ["write_xray_events", "write_xray_pair"]

_SKY_PIXEL = 0.5  # arcsec, of event lists


def write_xray_pair(pair, folder, *, name="remnant", ra=350.85, dec=58.815, roll=0.0):
    """
    Write a pair of observations as a user would have them.

    Parameters
    ----------
    pair : XrayPair
        As from `~jwst_fusion.simulation.xray.xray_pair`.
    folder : str or `~pathlib.Path`
        Folder of the files; it is made if it does not exist.
    name : str
        Beginning of all file names, and name of the product.
    ra, dec : float
        Centre of the field, degrees.
    roll : float
        Position angle of the y axis of both cubes, degrees.

    Returns
    -------
    `~pathlib.Path`
        The association: two cubes as ``science``, ``psf``, ``rmf_x``, ``arf_x`` and ``arf_y``. The
        true cube is written beside it as ``<name>_truth.fits``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape_x, shape_y = pair.x.shape[1:], pair.y.shape[1:]
    wcs_x = _wcs(shape_x, pair.pixel, ra, dec, roll)
    wcs_y = _wcs(shape_y, pair.pixel * shape_x[0] / shape_y[0], ra, dec, roll)
    files = {
        "x": folder / f"{name}_x_counts.fits",
        "y": folder / f"{name}_y_counts.fits",
        "psf": folder / f"{name}_y_psf.fits",
        "rmf_x": folder / f"{name}_x.rmf",
        "arf_x": folder / f"{name}_x.arf",
        "arf_y": folder / f"{name}_y.arf",
    }
    _write_cube(files["x"], pair.x, pair.edges_x, wcs_x, pair.exposure_x)
    _write_cube(files["y"], pair.y, pair.edges, wcs_y, pair.exposure_y)
    if pair.truth is not None:
        _write_cube(folder / f"{name}_truth.fits", pair.truth, pair.edges, wcs_x, None)
    psf = fits.PrimaryHDU(pair.psf_y.astype(np.float32))
    psf.header["PIXELSCL"] = (pair.pixel, "[arcsec] pixel")
    psf.writeto(files["psf"], overwrite=True)
    write_rmf(files["rmf_x"], pair.rmf_x, pair.edges, pair.edges_x)
    write_arf(files["arf_x"], pair.arf_x, pair.edges, exposure=pair.exposure_x)
    write_arf(files["arf_y"], pair.arf_y, pair.edges, exposure=pair.exposure_y)
    cubes = [files.pop("x"), files.pop("y")]
    table = make_hifred_association(cubes, product_name=name, folder=folder, **files)
    return write_association(table, folder / f"{name}_asn.json")


def write_xray_events(pair, folder, *, name="remnant", ra=350.85, dec=58.815, seed=1):
    """
    Write the event lists that a pair of observations could have been binned from.

    Parameters
    ----------
    pair : XrayPair
        As from `~jwst_fusion.simulation.xray.xray_pair`.
    folder : str or `~pathlib.Path`
        Folder of the files; it is made if it does not exist.
    name : str
        Beginning of the file names.
    ra, dec : float
        Centre of the field, degrees.
    seed : int
        Of the places within the pixels, and of the times.

    Returns
    -------
    list of `~pathlib.Path`
        ``<name>_x_evt.fits`` and ``<name>_y_evt.fits``. The channels of the second have their
        energies in ``<name>_y.rmf``, those of the first in the RMF of `write_xray_pair`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = pair.pixel * pair.x.shape[1] / pair.y.shape[1]
    size = pair.edges.size - 1
    write_rmf(folder / f"{name}_y.rmf", sparse.eye_array(size), pair.edges, pair.edges)
    paths = []
    for letter, counts, pixel, exposure in (
        ("x", pair.x, pair.pixel, pair.exposure_x),
        ("y", pair.y, coarse, pair.exposure_y),
    ):
        path = folder / f"{name}_{letter}_evt.fits"
        _write_events(path, counts, pixel / _SKY_PIXEL, exposure, (ra, dec), rng)
        paths.append(path)
    return paths


def _write_events(path, counts, pixel, exposure, position, rng):
    whole = np.asarray(counts).astype(int)
    places = np.indices(whole.shape).reshape(3, -1)
    channel, row, column = np.repeat(places, whole.ravel(), axis=1)
    rows, columns = whole.shape[1:]
    order = rng.permutation(channel.size)
    lists = [
        fits.Column("TIME", "D", unit="s", array=np.sort(rng.uniform(0, exposure, order.size))),
        fits.Column("X", "D", unit="pixel", array=(column + rng.random(order.size))[order] * pixel),
        fits.Column("Y", "D", unit="pixel", array=(row + rng.random(order.size))[order] * pixel),
        fits.Column("PI", "J", unit="chan", array=channel[order] + 1),
    ]
    table = fits.BinTableHDU.from_columns(lists, name="EVENTS")
    for number, kind, value, step, length in (
        (2, "RA---TAN", position[0], -1, columns),
        (3, "DEC--TAN", position[1], 1, rows),
    ):
        table.header[f"TCTYP{number}"] = kind
        table.header[f"TCRVL{number}"] = value
        table.header[f"TCRPX{number}"] = 0.5 * length * pixel
        table.header[f"TCDLT{number}"] = step * _SKY_PIXEL / 3600
        table.header[f"TCUNI{number}"] = "deg"
    table.header["EXPOSURE"] = (exposure, "[s] exposure time")
    start, stop = (
        fits.Column(key, "D", unit="s", array=[value])
        for key, value in (("START", 0.0), ("STOP", exposure))
    )
    times = fits.BinTableHDU.from_columns([start, stop], name="GTI")
    fits.HDUList([fits.PrimaryHDU(), table, times]).writeto(path, overwrite=True)


def _wcs(shape, pixel, ra, dec, roll):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [-pixel / 3600, pixel / 3600]
    turn = np.deg2rad(roll)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.set()
    return wcs


def _write_cube(path, data, edges, wcs, exposure):
    kind = np.float32 if exposure is None else np.int32
    image = fits.PrimaryHDU(data.astype(kind), energy_header(edges, wcs))
    image.header["BUNIT"] = "photon" if exposure is None else "count"
    if exposure is not None:
        image.header["EXPOSURE"] = (exposure, "[s] exposure time")
    image.writeto(path, overwrite=True)
