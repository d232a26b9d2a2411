"""PSFs that made the data, of which those that the fusion assumes differ."""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from verdict_benchmark.optics import random_wavefront

from jwst_fusion.psf import PsfCube, aperture_angle, chebyshev_nodes, write_psf
from jwst_fusion.psf.aperture import native_psf, wavefront_error
from jwst_fusion.psf.instruments import INSTRUMENTS
from jwst_fusion.psf.resample import native_field, resample_psf
from jwst_fusion.simulation.images import i2d_pixel_kernels
from jwst_fusion.simulation.psfs import cube_psf, imager_psf

__all__ = ["RIGHT", "ROLLS", "TWIN", "Truth", "psf_files", "true_psfs"]

ROLLS = 30.0, 77.0  # position angles of V3 of spectrograph and imager, degree
#: Side of all PSFs, arcsec.
WIDTH = 2.0
_NODES = 9  # not as many, and not at the wavelengths, as the fusion takes
_JITTER = 0.8  # mas, as the fusion assumes
_NATIVE = 0.02  # arcsec, pixel of the PSFs with another wavefront
_SPAXEL = 0.1  # arcsec
_SEEDS = {"NIRCAM_SW": 101, "NIRSPEC": 102}
_DIFFUSION = {"NIRCAM_SW": 0.0062, "NIRSPEC": 0.0}  # arcsec, sigma, as the fusion assumes


@dataclass(frozen=True)
class Truth:
    """
    How the PSFs that made the data differ from those of the aperture model.

    Parameters
    ----------
    wavefront : float
        Rms of another wavefront that both instruments have on top, in units of the rms of theirs.
    jitter : float
        Sigma per axis of the telescope's jitter, milliarcsec.
    wider : float
        FWHM of a Gaussian that widens the PSF of the cube, arcsec.
    stpsf : bool
        PSFs by STPSF instead of the aperture model.
    """

    wavefront: float = 0.0
    jitter: float = _JITTER
    wider: float = 0.0
    stpsf: bool = False


RIGHT = Truth()
#: What is usual: wavefront off by a fifth of its rms, and jitter of 7 milliarcsec.
TWIN = Truth(wavefront=0.2, jitter=7.0)


@cache
def true_psfs(truth, pixel_scale, blue, red):
    """
    Make the PSFs of imager and spectrometer.

    Parameters
    ----------
    truth : Truth
        How they differ from those of the model.
    pixel_scale : float
        Arcsec.
    blue, red : float
        Range of wavelengths, micrometre.

    Returns
    -------
    image, cube : jwst_fusion.psf.PsfCube
        North up.
    """
    scene = _Grid(pixel_scale, np.array([blue, red]))
    wider = truth.wider / np.sqrt(8 * np.log(2))
    if truth.wavefront:
        return tuple(
            _disturbed(channel, scene, truth, extra)
            for channel, extra in (("NIRCAM_SW", 0.0), ("NIRSPEC", wider))
        )
    common = {
        "nodes": _NODES,
        "width": WIDTH,
        "source": "webbpsf" if truth.stpsf else "aperture",
        "jitter": truth.jitter,
    }
    return (
        imager_psf(scene, roll=ROLLS[1], **common),
        cube_psf(scene, roll=ROLLS[0], broadening=wider, **common),
    )


@cache
def psf_files(truth, pixel_scale, blue, red):
    """
    Write the PSFs that made the data to files.

    Parameters
    ----------
    truth, pixel_scale, blue, red
        As for `true_psfs`; the pixels are those of the fused cube.

    Returns
    -------
    dict
        Parameters of the fusion that name them.
    """
    folder = Path(tempfile.mkdtemp(prefix="mismatch"))
    paths = {}
    for name, psf in zip(
        ("psf_image", "psf_cube"), true_psfs(truth, pixel_scale, blue, red), strict=True
    ):
        paths[name] = str(folder / f"{name}.fits")
        write_psf(psf, paths[name])
    return {"psf_source": "file", "psf_image": (paths["psf_image"],), "psf_cube": paths["psf_cube"]}


class _Grid:
    """What the makers of PSFs read of a scene."""

    def __init__(self, pixel_scale, wavelength):
        self.pixel_scale, self.wavelength = pixel_scale, wavelength


def _disturbed(channel, scene, truth, wider):
    """PSF with a wavefront that the aperture model does not know."""
    imager = channel != "NIRSPEC"
    roll = ROLLS[1] if imager else ROLLS[0]
    turn = roll + aperture_angle("NIRCAM" if imager else "NIRSPEC")
    kernels = i2d_pixel_kernels(angle=turn) if imager else _cube_kernels(turn)
    sigma = float(np.linalg.norm([_DIFFUSION[channel], truth.jitter / 1000, wider]))
    npix = int(WIDTH / scene.pixel_scale) // 2 * 2 + 1
    native = int(native_field(npix, scene.pixel_scale, kernels, sigma) / _NATIVE) // 2 * 2 + 1
    nodes = chebyshev_nodes(*scene.wavelength, _NODES)
    added = random_wavefront(truth.wavefront * INSTRUMENTS[channel].wavefront_rms, _SEEDS[channel])
    data = [
        resample_psf(
            native_psf(channel, one, _NATIVE, native, error=wavefront_error(channel, one) + added),
            _NATIVE,
            npix=npix,
            pixel_scale=scene.pixel_scale,
            angle=roll,
            pixel_kernels=kernels,
            broadening=sigma,
            recentre=True,
        )
        for one in nodes
    ]
    return PsfCube(np.array(data), nodes, scene.pixel_scale, "aperture")


def _cube_kernels(angle):
    return ((_SPAXEL, _SPAXEL, angle), (_SPAXEL, _SPAXEL, angle), (_SPAXEL, _SPAXEL, 0.0))
