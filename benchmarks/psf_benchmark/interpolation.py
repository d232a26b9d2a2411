"""Interpolated PSFs against PSFs computed for each channel, as OTFs and in the fused cube."""

import numpy as np
from scipy.signal import fftconvolve

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.settings import FusionSettings
from psf_benchmark.figures import Figure
from psf_benchmark.setup import FILTERS, HIGH, LOW, NPIX, PIXEL, pair, sides

__all__ = ["interpolation"]

FACTOR, SPAXELS, MARGIN = 3, 30, 5
TARGET = 1e-3


def _direct(source, wavelength):
    """PSFs of images and cube at every channel."""
    grid = {"pixel_scale": PIXEL, "npix": NPIX}
    return [side.psf(wavelength, "SHORT", **grid).data for side in sides(source)]


def interpolation(quick=False):
    """Measure the errors at wavelengths between the nodes, none of which is a node."""
    rows = []
    for source in ("aperture",) if quick else ("webbpsf", "aperture"):
        channels = 24 if quick else 64
        wavelength = np.linspace(LOW, HIGH, channels)
        few = pair(source, channels=channels)
        direct = _direct(source, wavelength)
        for name, nodes, exact in zip(
            ("images", "cube"), (few.image, few.cube), direct, strict=True
        ):
            otf = np.fft.fft2(exact)
            difference = np.fft.fft2(np.tensordot(few.weights, nodes, 1)) - otf
            relative = np.linalg.norm(difference, axis=(1, 2)) / np.linalg.norm(otf, axis=(1, 2))
            label = f"{source}, {len(few.nodes)} nodes, OTF of {name}"
            rows.append(Figure(f"{label}: relative error", relative.max(), "", TARGET))
            rows.append(Figure(f"{label}: largest error, of OTF(0)", np.abs(difference).max()))
        whole, worst = _in_the_fused_cube(wavelength, few, direct)
        label = f"{source}, {len(few.nodes)} nodes, fused cube"
        rows.append(Figure(f"{label}: relative error", whole, "", TARGET))
        rows.append(Figure(f"{label}: worst channel", worst, "", TARGET))
    return rows


def _scene(wavelength, size):
    """Stars in a nebula of three spectra, (wavelength, y, x)."""
    rng = np.random.default_rng(1)
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    power = 1.0 / np.maximum(np.hypot(fy, fx), 1.0 / size) ** 1.4
    noise = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * power) for _ in "123"]
    maps = np.array([np.exp(0.7 * one / one.std()) for one in noise])
    for row, column in rng.integers(5, size - 5, (12, 2)):
        maps[rng.integers(3), row, column] += 40.0 * rng.random()
    x = (wavelength - LOW) / (HIGH - LOW)
    lines = np.exp(-0.5 * ((x[:, None] - [0.2, 0.55, 0.8]) / 0.02) ** 2)
    spectra = np.stack([1 + x, 2 - x, 0.5 + x * (1 - x)]) + 3.0 * lines.T
    return np.tensordot(spectra.T, maps, 1)


def _in_the_fused_cube(wavelength, few, direct):
    """Relative difference of cubes fused with interpolated PSFs and with those of each channel."""
    fine = FACTOR * (SPAXELS + 2 * MARGIN)
    scene = _scene(wavelength, fine + NPIX - 1)
    sharp, blurred = (
        np.array([fftconvolve(*both, "valid") for both in zip(scene, psf, strict=True)])
        for psf in direct
    )
    response = np.array([photometry_weights(wavelength, load_bandpass(name)) for name in FILTERS])
    images = np.tensordot(response, sharp, 1)
    start = FACTOR * MARGIN + (FACTOR - 1) // 2
    inner = slice(start, start + FACTOR * SPAXELS, FACTOR)
    cube = blurred[:, inner, inner]
    rng = np.random.default_rng(2)
    sigma, image_sigma = np.median(cube, (1, 2)) / 30, np.median(images, (1, 2)) / 100
    cube = cube + sigma[:, None, None] * rng.standard_normal(cube.shape)
    images = images + image_sigma[:, None, None] * rng.standard_normal(images.shape)
    margin = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)]
    common = {
        "cube": np.pad(cube, margin, constant_values=np.nan),
        "cube_sigma": sigma,
        "spaxel_weight": np.pad(np.ones(cube.shape[1:]), MARGIN),
        "images": images,
        "image_sigma": image_sigma,
        "image_weight": np.ones(images.shape),
        "response": response,
        "factor": FACTOR,
    }
    with_all = FusionData(
        **common, psf_weights=np.eye(len(wavelength)), psf_image=direct[0], psf_cube=direct[1]
    )
    with_few = FusionData(**common, psf_weights=few.weights, psf_image=few.image, psf_cube=few.cube)
    window = slice(FACTOR * MARGIN, FACTOR * (MARGIN + SPAXELS))
    exact, approximate = (
        fuse(data, FusionSettings(errors=False)).cube[:, window, window].astype(float)
        for data in (with_all, with_few)
    )
    error = np.linalg.norm(approximate - exact, axis=(1, 2))
    size = np.linalg.norm(exact, axis=(1, 2))
    return np.linalg.norm(error) / np.linalg.norm(size), (error / size).max()
