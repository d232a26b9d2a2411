"""A simulated pair of X-ray observations as files: counts, PSF, OGIP responses, association."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.associations import write_association
from jwst_fusion.associations.hifred import make_hifred_association
from jwst_fusion.hifred.xray.ogip_write import write_arf, write_rmf
from jwst_fusion.products.fits_product import energy_header

__all__ = ["write_xray_pair"]


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
