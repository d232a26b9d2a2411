"""MIRI MRS exposures of a bright star in the real geometry of band 12A, and its cube parameters."""

from pathlib import Path

import numpy as np
from benchmark_data import data_folder
from scipy import fft
from stdatamodels.jwst import datamodels

from jwst_fusion.psf import PsfCube, chebyshev_nodes
from jwst_fusion.psf.aperture import native_psf
from jwst_fusion.simulation.exposures import Noise, paint, repoint
from jwst_fusion.simulation.observation import DITHERS
from jwst_fusion.simulation.reference_geometry import mrs_exposure
from jwst_fusion.simulation.scenes import single_star

__all__ = ["MRS_RANGE", "mrs_observed", "mrs_star", "write_mrs_cube_parameters"]

#: Wavelengths of channel 1, band SHORT, micrometre.
MRS_RANGE = (4.90, 5.74)
_ROLL = 40.0
_PIXEL, _SLICE = 0.196, 0.177  # arcsec, channel 1
#: Sigma of the light that the detector scatters, arcsec: with it the PSF is 0.27 arcsec wide at
#: 5 micrometre, as measured in flight.
_SCATTER = 0.09


def mrs_star(folder, *, dithers=DITHERS):
    """
    Exposures of a bright star, channels 1 and 2, band SHORT.

    Parameters
    ----------
    folder : pathlib.Path
        Where to keep them.
    dithers : sequence of tuple
        Offset of each along V2 and V3, arcsec.

    Returns
    -------
    tuple of str
        Paths of the exposures.
    """
    folder = Path(folder) / f"mrs_{len(dithers)}"
    existing = sorted(str(path) for path in folder.glob("*_cal.fits"))
    if len(existing) == len(dithers):
        return tuple(existing)
    folder.mkdir(parents=True, exist_ok=True)
    scene = _scene()
    first = mrs_exposure(data_folder() / "miri_mrs_refs", ra=scene.ra, dec=scene.dec, roll=_ROLL)
    observed = scene.observe(_pixel_psf(scene, first))
    angle = np.radians(_ROLL)
    paths = []
    for number, (v2, v3) in enumerate(dithers, start=1):
        model = first.copy()
        model.meta.filename = f"jw09999002001_02101_{number:05d}_mirifushort_cal.fits"
        east = v2 * np.cos(angle) + v3 * np.sin(angle)
        north = -v2 * np.sin(angle) + v3 * np.cos(angle)
        ra = scene.ra + east / 3600 / np.cos(np.radians(scene.dec))
        repoint(model, ra, scene.dec + north / 3600, _ROLL)
        # Fringes are not simulated, nor unflagged cosmic rays.
        paint(model, observed, noise=Noise(residues=0, bad_clusters=120), seed=number)
        paths.append(str(folder / model.meta.filename))
        model.save(paths[-1])
        model.close()
    return tuple(paths)


def mrs_observed(path):
    """
    The scene of the exposures as a pixel of channel 1 sees it.

    Parameters
    ----------
    path : str
        One of the exposures, untrimmed.

    Returns
    -------
    jwst_fusion.simulation.scene.ObservedScene
    """
    scene = _scene()
    with datamodels.open(path) as model:
        return scene.observe(_pixel_psf(scene, model))


def _scene():
    return single_star(blue=4.8, red=8.8, peak=4000.0, field=9.0, pixel_scale=0.03)


def _pixel_psf(scene, model):
    """PSF of a pixel of channel 1: telescope, scattering, pixel and slice."""
    scale, size = scene.pixel_scale, 201
    nodes = chebyshev_nodes(*scene.wavelength[[0, -1]], 7)
    along = _slit_direction(model)
    across = (-along[1], along[0])
    fx, fy = fft.fftfreq(size, scale)[None], fft.fftfreq(size, scale)[:, None]
    transfer = np.exp(-2 * (np.pi * _SCATTER) ** 2 * (fx**2 + fy**2))
    # x grows to the west
    for (east, north), width in ((along, _PIXEL), (across, _SLICE)):
        transfer = transfer * np.sinc(width * (north * fy - east * fx))
    data = []
    for wavelength in nodes:
        optics = native_psf("NIRSPEC", wavelength, scale, size)
        seen = fft.ifft2(fft.fft2(optics) * transfer).real
        data.append(seen / seen.sum())
    return PsfCube(np.array(data), nodes, scale, "aperture")


def _slit_direction(model):
    """Direction of the slit on the sky: east and north components of a unit vector."""
    column = np.arange(20.0, 480.0)
    ra, dec, wavelength = model.meta.wcs(column, np.full(column.shape, 500.0))
    step = np.array([np.diff(ra) * np.cos(np.radians(np.nanmean(dec))), np.diff(dec)])
    # within a slice, the wavelength hardly changes from column to column
    east, north = np.nanmedian(step[:, np.abs(np.diff(wavelength)) < 0.01], axis=1)
    return np.array([east, north]) / np.hypot(east, north)


def write_mrs_cube_parameters(path):
    """
    Write a reference file of type cubepar for channel 1, band SHORT.

    Parameters
    ----------
    path : str or pathlib.Path
        FITS file to write.

    Returns
    -------
    str
        The path.
    """
    model = datamodels.MiriIFUCubeParsModel()
    model.meta.instrument.name = "MIRI"
    model.meta.exposure.type = "MIR_MRS"
    model.meta.reftype = "cubepar"
    model.meta.description = "nominal cube parameters for simulated exposures"
    model.meta.author = "jwst_fusion benchmark"
    model.meta.pedigree = "DUMMY"
    model.meta.useafter = "2022-01-01T00:00:00"
    band = ("1", "short")
    wavelength = np.arange(*MRS_RANGE, 8e-4)
    rows = {
        "ifucubepars_table": [(*band, 0.13, 8e-4, *MRS_RANGE)],
        "ifucubepars_msm_table": [(*band, 0.3, 2.4e-3, 2.0, 0.01)],
        "ifucubepars_emsm_table": [(*band, 0.3, 2.4e-3, 0.1)],
        "ifucubepars_multichannel_msm_wavetable": [(w, 0.3, 2.4e-3, 2.0, 0.01) for w in wavelength],
        "ifucubepars_multichannel_emsm_wavetable": [(w, 0.3, 2.4e-3, 0.1) for w in wavelength],
        "ifucubepars_multichannel_driz_wavetable": [(w,) for w in wavelength],
    }
    for name, values in rows.items():
        setattr(model, name, np.array(values, dtype=model.get_dtype(name)))
    model.save(str(path))
    return str(path)
