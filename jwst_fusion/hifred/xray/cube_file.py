"""Count cubes in files, as `~jwst_fusion.hifred.xray.counts.read_counts` reads them."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from jwst_fusion.hifred.xray.cameras import camera_of
from jwst_fusion.hifred.xray.event_cube import (
    Grid,
    bin_events,
    read_exposure_map,
    spectrum_background,
)
from jwst_fusion.hifred.xray.events import read_events
from jwst_fusion.hifred.xray.fits_tables import existing_file, open_fits, tables_of
from jwst_fusion.hifred.xray.ogip import read_ebounds

__all__ = ["make_count_cube", "write_count_cube"]

_NOT_USED = 1  # bit of DQ


def make_count_cube(
    events,
    output,
    *,
    energy,
    pixel,
    group=1,
    rmf=None,
    centre=None,
    size=None,
    angle=0.0,
    keep=None,
    standard=True,
    gti=None,
    exposure=None,
    exposure_map=None,
    background=None,
    background_scale=None,
):
    """
    Make a count cube from an event list and write it.

    Parameters
    ----------
    events : str or `~pathlib.Path`
        Event list, see `~jwst_fusion.hifred.xray.events.read_events`.
    output : str or `~pathlib.Path`
        FITS file to write; an existing one is replaced.
    energy : tuple of float
        Lowest and highest energy, keV.
    pixel : float
        Side of a pixel, arcsec.
    group : int
        Number of channels that are summed to one.
    rmf : str or `~pathlib.Path`, optional
        RMF whose EBOUNDS has the energies of the channels.
    centre, size : tuple of float, optional
        Middle of the field (right ascension and declination, degrees), its width and height
        (arcsec); by default all events lie on it.
    angle : float
        Position angle of the y axis, degrees.
    keep : dict of str to str, optional
        Values to take by column.
    standard : bool
        Whether the usual selection of the camera is made.
    gti : str or `~pathlib.Path`, optional
        File of further good times.
    exposure : float, optional
        Exposure time, s, in place of that in the file.
    exposure_map : str or `~pathlib.Path`, optional
        Image in seconds, in cm2 s, or relative. Pixels where it is zero are not used.
    background : str or `~pathlib.Path`, optional
        Event list of the background, selected and binned alike, of which the spectrum of the field
        times the image of all energies is taken, because single voxels hold few counts; or a
        spectrum, spread evenly.
    background_scale : float, optional
        Factor of the background; by default the ratio of the exposures.

    Returns
    -------
    counts : ndarray of int32 (channel, y, x)
        Counts.
    edges : ndarray (channel + 1,)
        Edges of the channels, keV.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file or parameter is none, or no event is left.
    """
    selection = {"rmf": rmf, "keep": keep, "standard": standard}
    found = read_events(events, gti=gti, exposure=exposure, **selection)
    grid = Grid.of_events(found, pixel, centre=centre, size=size, angle=angle)
    counts, edges = bin_events(found, grid, energy, group)
    vignetting = None
    if exposure_map is not None:
        vignetting = read_exposure_map(exposure_map, grid, found.exposure)
        if not vignetting.any():
            msg = f"the exposure map {exposure_map} is zero on the whole field of {found.name}"
            raise ValueError(msg)
    expected = None
    if background is not None:
        if background_scale is not None and not background_scale > 0:
            msg = f"background_scale is {background_scale}: expected a number above 0"
            raise ValueError(msg)
        if _has_events(background):
            empty = read_events(background, **selection)
            image, _ = bin_events(empty, grid, energy, group)
            ratio = found.exposure / empty.exposure
            flat = image.sum(axis=0) / image.sum()
            spectrum = image.sum(axis=(1, 2)) * (background_scale or ratio)
            expected = spectrum[:, None, None] * flat
        else:
            first = _first_channel(rmf, found)
            expected = spectrum_background(
                background,
                (found.edges, first, edges),
                counts.shape,
                found.exposure,
                background_scale,
            )
    write_count_cube(
        output,
        counts,
        edges,
        grid.wcs,
        found.exposure,
        vignetting=vignetting,
        background=expected,
        header=found.header,
        history=[f"{found.name}: {count} {what}" for what, count in found.steps],
    )
    return counts, edges


def write_count_cube(
    path,
    counts,
    edges,
    wcs,
    exposure,
    *,
    vignetting=None,
    background=None,
    header=None,
    history=(),
):
    """
    Write a count cube.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        File to write; an existing one is replaced.
    counts : ndarray of int (channel, y, x)
        Counts.
    edges : ndarray (channel + 1,)
        Edges of the channels, keV.
    wcs : `~astropy.wcs.WCS`
        Celestial WCS.
    exposure : float
        Exposure time, s.
    vignetting : ndarray (y, x), optional
        Relative area; pixels where it is zero are marked in DQ.
    background : ndarray (channel, y, x), optional
        Expected counts of the background.
    header : `~astropy.io.fits.Header`, optional
        Keywords of the observation.
    history : sequence of str
        What was done.
    """
    primary = fits.PrimaryHDU(header=header)
    for line in history:
        primary.header.add_history(line)
    image = fits.ImageHDU(counts, wcs.to_header(), name="COUNTS")
    image.header["WCSAXES"] = 3
    step = (edges[-1] - edges[0]) / (edges.size - 1)
    image.header["CTYPE3"] = ("ENER", "photon energy; EBOUNDS has the channels")
    image.header["CUNIT3"] = "keV"
    image.header["CRPIX3"], image.header["CRVAL3"] = 1.0, edges[0] + 0.5 * step
    image.header["CDELT3"] = step
    image.header["BUNIT"] = "count"
    image.header["EXPOSURE"] = (exposure, "[s] exposure time")
    number = np.arange(1, edges.size)
    bounds = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", "J", array=number),
            fits.Column("E_MIN", "D", unit="keV", array=edges[:-1]),
            fits.Column("E_MAX", "D", unit="keV", array=edges[1:]),
        ],
        name="EBOUNDS",
    )
    hdus = [primary, image, bounds]
    if vignetting is not None:
        hdus.append(fits.ImageHDU(vignetting.astype(np.float32), name="VIGNETTING"))
        if not vignetting.all():
            flags = np.where(vignetting > 0, 0, _NOT_USED).astype(np.uint8)
            flags = np.broadcast_to(flags, counts.shape).copy()
            hdus.append(fits.ImageHDU(flags, name="DQ"))
    if background is not None:
        hdus.append(fits.ImageHDU(background.astype(np.float32), name="BACKGROUND"))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(hdus).writeto(path, overwrite=True)


def _has_events(path):
    path = existing_file(path, "background")
    with open_fits(path, "background") as hdus:
        names = ("EVENTS", "EVENT", "EVT")
        return bool(tables_of(hdus, names, ("EVENTS",), path, "the background"))


def _first_channel(rmf, events):
    """Number of the first channel of spectra of the camera."""
    if rmf is not None:
        return read_ebounds(rmf)[1]
    return camera_of(events.header).first
