"""Exposures that both steps get, with their noiseless truth, made once and kept in a folder."""

import logging
from pathlib import Path

import numpy as np
from astropy.modeling import bind_bounding_box
from benchmark_data import data_folder
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.simulation.exposures import Noise, pixel_pitch
from jwst_fusion.simulation.observation import DITHERS, simulate_exposures
from jwst_fusion.simulation.psfs import pixel_psf
from jwst_fusion.simulation.scenes import single_star

__all__ = [
    "CUBE_RANGE",
    "DIFFUSION",
    "ROLL",
    "STAR_OFFSET",
    "dithered_star",
    "observed_star",
    "seen_by_pixels",
    "star",
    "trim",
]

log = logging.getLogger(__name__)

#: MJy/sr arcsec^2 at 2 micrometre: eight slices pass the default fit_threshold of both steps.
_PEAK = 52.0
#: Sigma of the charge diffusion in the detector, arcsec: STPSF's constant for the NIRSpec IFU. The
#: single exposures, for the cost, go without: a sharper star costs no other time.
DIFFUSION = 0.036
#: Position angle of V3, degree.
ROLL = 30.0
#: Where `single_star` puts its star beside the middle of the field: east and north, arcsec.
STAR_OFFSET = (0.03, -0.02)
#: Wavelengths of the cubes, micrometre: from where the traces of G235H on NRS1 are steepest.
CUBE_RANGE = (1.70, 2.10)
#: Micrometre beyond the cubes that are left in trimmed exposures, more than the window of a fit.
_MARGIN = 0.05


def star(folder):
    """
    One NIRSpec exposure of a bright star, G235H on NRS1, in the real geometry.

    Parameters
    ----------
    folder : pathlib.Path
        Where to keep it.

    Returns
    -------
    str
        Path of the exposure.
    """
    return _simulate(folder / "star", dithers=((0.0, 0.0),))[0]


def dithered_star(folder, *, noiseless=False):
    """
    Four dithered exposures of the same star.

    Parameters
    ----------
    folder : pathlib.Path
        Where to keep them.
    noiseless : bool
        Give the exposures without noise, with the errors and bad pixels of the noisy ones.

    Returns
    -------
    tuple of str
        Paths of the exposures.
    """
    options = {"dithers": DITHERS, "psf_broadening": DIFFUSION}
    noisy = _simulate(folder / "dithers", **options)
    if not noiseless:
        return noisy
    target = folder / "dithers_noiseless"
    existing = sorted(str(path) for path in target.glob("*_cal.fits"))
    if len(existing) == len(noisy):
        return tuple(existing)
    clean = _simulate(folder / "dithers_clean", noise=Noise.none(), **options)
    target.mkdir(exist_ok=True)
    paths = []
    for with_noise, without in zip(noisy, clean, strict=True):
        with datamodels.open(with_noise) as model, datamodels.open(without) as true:
            bad = np.isnan(model.data)
            model.data = np.where(bad, np.nan, true.data)
            paths.append(str(target / Path(with_noise).name))
            model.save(paths[-1])
    return tuple(paths)


def observed_star(path):
    """
    The scene of the dithered exposures as a pixel of the detector sees it.

    Parameters
    ----------
    path : str
        One of the exposures, untrimmed.

    Returns
    -------
    jwst_fusion.simulation.scene.ObservedScene
    """
    return seen_by_pixels(_scene(), path)


def seen_by_pixels(scene, path):
    """
    Convolve a scene with the PSF of a pixel of the detector.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        What is observed.
    path : str
        One of the exposures, untrimmed.

    Returns
    -------
    jwst_fusion.simulation.scene.ObservedScene
    """
    with datamodels.open(path) as model:
        pitch = pixel_pitch(model)
    return scene.observe(
        pixel_psf(scene, roll=ROLL, pitch=pitch, source="aperture", broadening=DIFFUSION)
    )


def _scene():
    return single_star(peak=_PEAK, blue=1.6, red=2.5)


def _simulate(folder, *, dithers, noise=None, **options):
    """Simulate exposures of the star, or take those that are there."""
    existing = sorted(str(path) for path in folder.glob("*_cal.fits"))
    if len(existing) == len(dithers):
        return tuple(existing)
    return simulate_exposures(
        folder,
        _scene(),
        roll=ROLL,
        reference_files=data_folder() / "nirspec_ifu_refs",
        dithers=dithers,
        # Unflagged cosmic rays would hide in each figure how well the trace is modelled.
        noise=noise or Noise(residues=0),
        **options,
    )


def trim(paths, folder, *, slices=8, longest=CUBE_RANGE[1]):
    """
    Leave only the brightest slices and the columns up to a wavelength.

    jwst's step takes about ten seconds for each slice: this keeps the comparison of cubes short and
    changes nothing in the part that is compared.

    Parameters
    ----------
    paths : sequence of str
        NIRSpec or MRS exposures.
    folder : pathlib.Path
        Where to write the trimmed exposures.
    slices : int
        Number of slices, brightest first.
    longest : float
        Longest wavelength of the cubes, micrometre; some more columns are left.

    Returns
    -------
    tuple of str
        Paths of the trimmed exposures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for path in paths:
        out.append(str(folder / Path(path).name))
        if Path(out[-1]).exists():
            continue
        with datamodels.open(path) as model:
            regions = _regions(model)
            good = np.isfinite(model.data)
            flux = np.where(good, model.data, 0)
            total = np.bincount(regions[good], weights=flux[good]) / np.maximum(
                np.bincount(regions[good]), 1
            )
            total[0] = -np.inf
            keep = np.isin(regions, np.argsort(total)[-slices:])
            rows, columns = np.nonzero(keep)
            wavelength = model.meta.wcs(columns.astype(float), rows.astype(float))[2]
            keep[rows, columns] = wavelength < longest + _MARGIN
            model.data = np.where(keep, model.data, np.nan)
            model.err = np.where(keep, model.err, np.nan)
            model.dq = np.where(keep, model.dq, model.dq | dqflags.pixel["DO_NOT_USE"])
            if model.hasattr("regions"):
                model.regions = np.where(keep, regions, 0)
                _shrink_boxes(model)
            model.save(out[-1])
    return tuple(out)


def _regions(model):
    """Number of the slice at each pixel."""
    if model.hasattr("regions"):
        return np.asarray(model.regions)
    return np.asarray(model.meta.wcs.get_transform("detector", "alpha_beta").label_mapper.mapper)


def _shrink_boxes(model):
    """Shrink the bounding boxes of the slices to the region map, so that cubes are built faster."""
    step = next(step for step in model.meta.wcs.pipeline if hasattr(step.transform, "selector"))
    everywhere = np.asarray(step.transform.label_mapper.mapper)
    for label, transform in step.transform.selector.items():
        rows, columns = np.nonzero(model.regions == label)
        if not len(rows):
            # cube_build wants to see something of each slice
            rows, columns = np.nonzero(everywhere == label)
            middle = np.abs(columns - np.median(columns)) < 4
            rows, columns = rows[middle], columns[middle]
        box = tuple((ends.min() - 0.5, ends.max() + 0.5) for ends in (columns, rows))
        bind_bounding_box(transform, box, order="F")
