"""One observation of a scene: dithered IFU exposures and images of several filters, on disk."""

import json
import logging
from pathlib import Path

import numpy as np

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.psf import aperture_angle
from jwst_fusion.psf.instruments import NIRCAM_LIMIT
from jwst_fusion.simulation.exposures import (
    Noise,
    builtin_exposure,
    paint,
    pixel_pitch,
    repoint,
)
from jwst_fusion.simulation.images import PIXEL_SCALE, simulate_i2d
from jwst_fusion.simulation.psfs import imager_psf, long_imager_psf, pixel_psf
from jwst_fusion.simulation.reference_geometry import nirspec_exposure

__all__ = ["FILTERS", "simulate_exposures", "simulate_images"]

log = logging.getLogger(__name__)

# imager filters within the range of G235H/F170LP on NRS1 (Marquis et al. 2026, Table 3)
FILTERS = ("F182M", "F187N", "F200W", "F210M", "F212N")
# offsets of a four-point dither in the frame of V3: along V2 and along V3, arcsec
DITHERS = ((0.265, 0.352), (-0.278, -0.331), (0.324, -0.287), (-0.339, 0.268))


def simulate_exposures(
    folder,
    scene,
    *,
    roll=30.0,
    detector="NRS1",
    grating="G235H",
    filter_name="F170LP",
    reference_files=None,
    dithers=DITHERS,
    noise=None,
    psf=None,
    psf_source="aperture",
    psf_broadening=None,
    seed=1,
):
    """
    Observe a scene with the NIRSpec IFU and write the calibrated exposures.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where to write; made if absent.
    scene : jwst_fusion.simulation.scene.Scene
        What is seen; the dithers are offsets from its centre.
    roll : float
        Position angle of V3, degree.
    detector, grating, filter_name : str
        Setting of NIRSpec, such as "NRS1", "G235H" and "F170LP".
    reference_files : str or pathlib.Path, optional
        Folder of reference files for the real geometry. Default: the built-in geometry.
    dithers : sequence of tuple
        Offset of each exposure along V2 and V3, arcsec.
    noise : jwst_fusion.simulation.exposures.Noise, optional
        Noise and defects. Default: those of ``Noise()``.
    psf : jwst_fusion.psf.PsfCube, optional
        Default: that of the aperture model, with pixels as large as they are in the geometry.
    psf_source : str
        Source of the PSF that is made, see `jwst_fusion.psf.make_psf`.
    psf_broadening : float, optional
        Sigma of a Gaussian that widens the PSF that is made, arcsec, for the charge diffusion in
        the detector. Default: none.
    seed : int
        Seed of the first exposure; each next one takes the next number.

    Returns
    -------
    tuple of str
        Paths of the exposures.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {
        "ra": scene.ra,
        "dec": scene.dec,
        "roll": roll,
        "detector": detector,
        "grating": grating,
        "filter_name": filter_name,
    }
    if reference_files is None:
        model = builtin_exposure(**metadata)
    else:
        model = nirspec_exposure(reference_files, **metadata)
    if psf is None:
        psf = pixel_psf(
            scene,
            roll=roll,
            pitch=pixel_pitch(model),
            source=psf_source,
            broadening=psf_broadening,
        )
    observed = scene.observe(psf)
    paths = []
    angle = np.radians(roll)
    names = ("start_time", "mid_time", "end_time")
    times = {name: getattr(model.meta.exposure, name) for name in names}
    # one model for all: a copy of its WCS takes longer than everything else
    for number, (v2, v3) in enumerate(dithers, start=1):
        model.meta.filename = f"jw09999001001_02101_{number:05d}_{detector.lower()}_cal.fits"
        model.meta.observation.exposure_number = str(number)
        for name, time in times.items():
            setattr(model.meta.exposure, name, time + 0.01 * number)
        east = v2 * np.cos(angle) + v3 * np.sin(angle)
        north = -v2 * np.sin(angle) + v3 * np.cos(angle)
        ra = scene.ra + east / 3600 / np.cos(np.radians(scene.dec))
        repoint(model, ra, scene.dec + north / 3600, roll)
        paint(model, observed, noise=noise or Noise(), seed=seed + number - 1)
        path = folder / model.meta.filename
        model.save(str(path))
        paths.append(str(path))
        log.info("Simulated exposure %d of %d: %s", number, len(dithers), path.name)
    model.close()
    return tuple(paths)


def simulate_images(
    folder,
    scene,
    *,
    filters=FILTERS,
    roll=77.0,
    side=5.0,
    noise=0.15,
    throughputs=None,
    calibration=None,
    psf=None,
    seed=101,
):
    """
    Observe a scene with NIRCam and write i2d mosaics, each with the pixels of its channel.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where to write; made if absent.
    scene : jwst_fusion.simulation.scene.Scene
        What is seen; the mosaics are centred on it.
    filters : sequence of str
        Names of the filters.
    roll : float
        Position angle of V3 of this visit, degree; the mosaic has the detector's axes.
    side : float
        Side of the mosaic, arcsec.
    noise : float
        Error per pixel, MJy/sr; narrow filters have three times that.
    throughputs : dict, optional
        Filter to path of a throughput file. Default: those `jwst_fusion.bandpass` finds.
    calibration : dict, optional
        Filter to factor by which its image is brighter than it should be.
    psf : jwst_fusion.psf.PsfCube, optional
        Default: those of the aperture model, of each channel its own.
    seed : int
        Seed of the first image.

    Returns
    -------
    tuple of str
        Paths of the images.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    makers, seen = {"SHORT": imager_psf, "LONG": long_imager_psf}, {}
    paths = []
    for number, name in enumerate(filters):
        bandpass = load_bandpass(name, path=(throughputs or {}).get(name))
        channel = "SHORT" if psf is not None or bandpass.pivot < NIRCAM_LIMIT else "LONG"
        if channel not in seen:
            made = makers[channel](scene, roll=roll, source="aperture") if psf is None else psf
            seen[channel] = scene.observe(made)
        observed, size = seen[channel], int(side / PIXEL_SCALE[channel])
        weights = _within(
            observed.psf, scene.wavelength, photometry_weights(scene.wavelength, bandpass)
        )
        model = simulate_i2d(
            observed,
            weights * (calibration or {}).get(name, 1.0),
            filter_name=name,
            ra=scene.ra,
            dec=scene.dec,
            position_angle=roll + aperture_angle("NIRCAM"),
            shape=(size, size + 10),
            roll=roll,
            noise=noise * (3 if name.endswith("N") else 1),
            channel=channel,
            seed=seed + number,
        )
        path = folder / model.meta.filename
        model.save(str(path))
        model.close()
        paths.append(str(path))
    log.info("Simulated %d images: %s", len(paths), ", ".join(filters))
    return tuple(paths)


def _within(psf, wavelength, weights):
    """Leave out the faint wings that measured filter curves have beyond the range of the PSF."""
    inside = (wavelength >= psf.wavelength[0]) & (wavelength <= psf.wavelength[-1])
    return weights * inside * (weights.sum() / weights[inside].sum())


def write_spec3_association(path, exposures, *, product):
    """
    Write an association that cube_build and Spec3 take.

    Parameters
    ----------
    path : str or pathlib.Path
        JSON file to write.
    exposures : sequence of str
        Exposures, in the folder of the association.
    product : str
        Name of the product.

    Returns
    -------
    str
        The path.
    """
    members = [{"expname": Path(name).name, "exptype": "science"} for name in exposures]
    association = {
        "asn_type": "spec3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "c1000",
        "asn_pool": "none",
        "program": "09999",
        "target": "t001",
        "products": [{"name": product, "members": members}],
    }
    Path(path).write_text(json.dumps(association, indent=4))
    return str(path)
