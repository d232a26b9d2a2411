"""Small observations with a known fault, for reports that show what it looks like."""

from pathlib import Path

import numpy as np
from stdatamodels.jwst import datamodels

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.observation import simulate_images
from jwst_fusion.simulation.psfs import imager_psf
from jwst_fusion.simulation.scenes import nebula

__all__ = ["FAULTS", "simulate_fault"]

#: What can be wrong: nothing; the PSF of the imager, whose real one is wider; the header of one
#: image, which puts it elsewhere; an image that holds noise alone.
FAULTS = ("none", "psf", "offset", "dead")

# Filters within the wavelengths of the scene.
_FILTERS = ("F187N", "F210M", "F212N")
_WRONG = "F210M"  # the image that is misplaced, or dead
_SHIFT = 0.06  # arcsec
_BLUR = 0.035  # arcsec, sigma
_ROLLS = 30.0, 77.0  # of spectrograph and imager, degree


def simulate_fault(folder, fault="none", *, shape=(17, 19), step=5e-4, seed=5):
    """
    Simulate a cube of a nebula and three images of it, one thing about them being wrong.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where to write; made if absent.
    fault : {"none", "psf", "offset", "dead"}
        See `FAULTS`.
    shape : tuple of int, optional
        Rows and columns of spaxels of 0.1 arcsec.
    step : float, optional
        Width of a channel, micrometre.
    seed : int, optional
        Seed of the noise.

    Returns
    -------
    pathlib.Path
        Association of cube and images. PSFs are those of the aperture model.

    Raises
    ------
    ValueError
        If the fault is unknown.
    """
    if fault not in FAULTS:
        msg = f"fault is {fault!r}: allowed are {', '.join(FAULTS)}"
        raise ValueError(msg)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scene = nebula(blue=1.83, red=2.26, field=5.0, pixel_scale=0.025)
    wavelength = np.arange(1.85, 2.24, step)
    cube = simulate_s3d(scene, wavelength, shape=shape, roll=_ROLLS[0], seed=seed)
    cube_path = folder / cube.meta.filename
    cube.save(str(cube_path))
    cube.close()
    blur = {"broadening": _BLUR} if fault == "psf" else {}
    psf = imager_psf(scene, roll=_ROLLS[1], source="aperture", **blur)
    images = simulate_images(
        folder, scene, filters=_FILTERS, roll=_ROLLS[1], side=4.0, psf=psf, seed=seed + 1
    )
    if fault in ("offset", "dead"):
        wrong = images[_FILTERS.index(_WRONG)]
        with datamodels.open(wrong) as model:
            _spoil(model, fault, seed)
            model.save(wrong)
    table = make_association(
        str(cube_path), list(images), product_name=f"fault_{fault}", folder=folder
    )
    return Path(write_association(table, folder / f"fault_{fault}_asn.json"))


def _spoil(model, fault, seed):
    if fault == "offset":
        model.meta.wcsinfo.crval2 += _SHIFT / 3600
        return
    rng = np.random.default_rng(seed + 100)
    sigma = np.sqrt(model.var_rnoise)
    model.data = (sigma * rng.standard_normal(model.data.shape)).astype(np.float32)
    model.err = sigma
