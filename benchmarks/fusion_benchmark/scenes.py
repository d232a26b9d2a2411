"""The two scenes of the benchmark: a synthetic nebula, and a part of the Orion Bar."""

from functools import lru_cache

import numpy as np
from benchmark_data import data_folder

from fusion_benchmark.nebula import BANDS, band_curve, nebula_maps, nebula_spectra
from fusion_benchmark.observe import Setup, observe
from fusion_benchmark.optics import chebyshev_optics, segmented_pupil
from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.fusion.observed.photometry import filter_responses
from jwst_fusion.fusion.psf.instrument_psf import PsfPair
from jwst_fusion.fusion.psf.pixel_kernels import cube_pixel_kernels
from jwst_fusion.psf import chebyshev_nodes, make_psf
from jwst_fusion.psf.cube import lagrange_weights

__all__ = [
    "CALIBRATION",
    "nebula",
    "nebula_psf",
    "orion_bar",
    "orion_psf",
    "pupils",
]

#: By how much the images of the nebula are brighter than its cube.
CALIBRATION = {"F182M": 1.06, "F187N": 1.0, "F200W": 1.03, "F210M": 1.0, "F212N": 1.08}
_RANGE = (1.66, 2.30)
_SPAXEL = 0.1
_EXACT_NODES, _NODES = 33, 12
_SURROUNDINGS = 18
# The wavefronts are known as shape and rms; nanometre.
_IMAGER, _SPECTROGRAPH = (55, 11), (110, 23)

_ORION_PIXEL = 0.031
_ORION_FILTERS = ("F182M", "F187N", "F200W", "F210M", "F212N")
_ORION_NODES = {"simulated": 13, "fused": 9}
_ORION_SIDE = 3.0  # arcsec, of the PSFs
_ORION_SURROUNDINGS = 20


def pupils(error=0.0):
    """
    Telescopes with the wavefronts of imager and spectrometer.

    Parameters
    ----------
    error : float
        Rms of another wavefront that is added, in units of the rms of theirs.

    Returns
    -------
    tuple of Pupil
    """
    made = []
    for (size, seed), other in zip((_IMAGER, _SPECTROGRAPH), (101, 102), strict=True):
        pupil = segmented_pupil(size, seed)
        made.append(pupil.disturbed(segmented_pupil(size, other), error) if error else pupil)
    return tuple(made)


@lru_cache(maxsize=8)
def _optics(count, error, factor, size):
    nodes = chebyshev_nodes(*_RANGE, count)
    image, cube = pupils(error)
    return nodes, *chebyshev_optics(
        nodes, image=image, cube=cube, pixel=_SPAXEL / factor, spaxel=_SPAXEL, size=size
    )


def nebula_psf(channels=1616, *, nodes=_NODES, error=0.0, factor=3, size=61):
    """
    PSFs with which the nebula is fused.

    Parameters
    ----------
    channels : int
        Channels of the cube.
    nodes : int
        Number of wavelengths.
    error : float
        Error of the wavefronts in units of their rms.
    factor, size : int
        Pixels per spaxel, and pixels along each side of the PSFs.

    Returns
    -------
    PsfPair
    """
    at, image, cube = _optics(nodes, error, factor, size)
    weights = lagrange_weights(at, np.linspace(*_RANGE, channels))
    return PsfPair(weights, image, cube, "segmented pupil", at)


def nebula(
    field=(10, 10), channels=1616, *, margin=0, exact=True, surroundings=_SURROUNDINGS, **options
):
    """
    Observe the synthetic nebula.

    Parameters
    ----------
    field : tuple of int
        Spaxels (rows, columns).
    channels : int
        Channels from 1.66 to 2.30 micrometre.
    margin : int
        Spaxels around the field on which there are images.
    exact : bool
        Interpolate between 33 PSFs, not between those with which the nebula is fused.
    surroundings : int
        Spaxels around the field from which light comes.
    **options
        Of `observe`; ``calibration`` is `CALIBRATION` by default.

    Returns
    -------
    Observation
    """
    wavelength = np.linspace(*_RANGE, channels)
    shape = tuple(3 * (size + 2 * surroundings) for size in field)
    curves = np.array([band_curve(wavelength, name) for name in BANDS])
    setup = Setup(
        maps=nebula_maps(shape, _SPAXEL / 3, _SPAXEL * max(field)),
        spectra=nebula_spectra(wavelength),
        wavelength=wavelength,
        psf=nebula_psf(channels, nodes=_EXACT_NODES if exact else _NODES),
        responses=curves / curves.sum(1, keepdims=True),
        filters=tuple(BANDS),
        field=tuple(field),
        margin=margin,
        surroundings=surroundings,
    )
    options.setdefault("calibration", list(CALIBRATION.values()))
    return observe(setup, **options)


def orion_psf(wavelength, kind="fused"):
    """
    PSFs of NIRCam and of the NIRSpec IFU by STPSF.

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    kind : {"fused", "simulated"}
        Those to fuse with, on the pixels of the images, or those of the simulation: at other
        wavelengths, on pixels half as large, whose centres lie elsewhere.

    Returns
    -------
    PsfPair
    """
    pixel = _ORION_PIXEL / (2 if kind == "simulated" else 1)
    nodes = chebyshev_nodes(*_RANGE, _ORION_NODES[kind])
    kernels = {
        "NIRCAM": ((_ORION_PIXEL, _ORION_PIXEL, 0.0),),
        "NIRSPEC": cube_pixel_kernels(instrument="NIRSPEC", spaxel=3 * _ORION_PIXEL, angle=0.0),
    }
    image, cube = (
        make_psf(
            name,
            wavelength=nodes,
            pixel_scale=pixel,
            npix=int(_ORION_SIDE / pixel) // 2 * 2 + 1,
            pixel_kernels=own,
            source="webbpsf",
        )
        for name, own in kernels.items()
    )
    return PsfPair(image.weights(wavelength), image.data, cube.data, "webbpsf", nodes)


def orion_bar(corner, field=(20, 20), *, margin=5, channels=slice(None), **options):
    """
    Observe a part of the Orion Bar scene of Guilloteau et al. (2020).

    Parameters
    ----------
    corner : tuple of int
        Row and column of the scene (90, 620) at which the field begins; beyond its ends the scene
        is mirrored.
    field : tuple of int
        Spaxels (rows, columns).
    margin : int
        Spaxels around the field on which there are images.
    channels : slice
        Channels from 1.66 to 2.30 micrometre to observe.
    **options
        Of `observe`; ``noise`` is "bright" by default.

    Returns
    -------
    Observation
    """
    file = data_folder() / "orion_bar_scene" / "scene_a.npz"
    with np.load(file, allow_pickle=False) as scene:
        maps, spectra = scene["maps"].astype(float), scene["spectra"].astype(float)
        wavelength = scene["wavelength"].astype(float)
    inside = np.flatnonzero((wavelength > _RANGE[0]) & (wavelength < _RANGE[1]))[channels]
    wavelength, spectra = wavelength[inside], spectra[:, inside]
    rows, columns = (
        np.arange(start - 3 * _ORION_SURROUNDINGS, start + 3 * (size + _ORION_SURROUNDINGS))
        for start, size in zip(corner, field, strict=True)
    )
    maps = maps[:, _mirrored(rows, maps.shape[1])][:, :, _mirrored(columns, maps.shape[2])]
    setup = Setup(
        # every pixel of the scene is a square of constant brightness
        maps=np.repeat(np.repeat(maps, 2, 1), 2, 2),
        spectra=spectra,
        wavelength=wavelength,
        psf=orion_psf(wavelength, "simulated"),
        responses=_responses(wavelength),
        filters=_ORION_FILTERS,
        field=tuple(field),
        margin=margin,
        surroundings=_ORION_SURROUNDINGS,
        subpixels=2,
    )
    options.setdefault("noise", "bright")
    return observe(setup, **options)


def _mirrored(index, size):
    index = index % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _responses(wavelength):
    folder = data_folder() / "throughputs" / "nircam_measured"
    curves = [
        load_bandpass(name, path=folder / f"NRCB1_{name}_system_throughput.txt")
        for name in _ORION_FILTERS
    ]
    return filter_responses(wavelength, curves, usable=np.ones(len(wavelength), bool))[0]
