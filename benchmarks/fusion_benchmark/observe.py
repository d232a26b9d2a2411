"""Observations of a scene of maps and spectra as arrays, with the truth behind them."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import fft, ndimage

from jwst_fusion.fusion.observed.assemble import cross_calibrate, fusion_data
from jwst_fusion.fusion.psf.instrument_psf import PsfPair

__all__ = ["NOISE", "Observation", "Setup", "Sources", "bicubic", "observe", "uniform"]

#: Noise: signal to noise ratio of cube and images at their medians.
NOISE = {"high": (12, 60), "medium": (40, 150), "low": (200, 500), "bright": (40, 500)}
_NARROW = 2.5  # narrow filters are noisier than others by this factor


@dataclass(frozen=True)
class Sources:
    """
    Point sources, each with a spectrum of its own.

    Parameters
    ----------
    x, y : ndarray
        Column and row, in pixels of the images counted from the centre of the field's first pixel,
        shape (J,).
    spectra : ndarray
        Flux, MJy/sr times the area of a pixel of the images, shape (J, L).
    """

    x: np.ndarray
    y: np.ndarray
    spectra: np.ndarray


@dataclass(frozen=True)
class Setup:
    """
    A scene and how it is observed.

    Parameters
    ----------
    maps : ndarray
        Weight of each component on the sky, with surroundings, shape (k, Y, X), on pixels
        ``subpixels`` times smaller than those of the images.
    spectra : ndarray
        MJy/sr, shape (k, L).
    wavelength : ndarray
        Micrometre, shape (L,).
    psf : PsfPair
        PSFs of both instruments on the pixels of the maps.
    responses : ndarray
        Photometric weights of the filters, unit sum, shape (F, L).
    filters : tuple of str
        Their names.
    field : tuple of int
        Spaxels (rows, columns) of the cube.
    margin, surroundings : int
        Spaxels on every side of the field on which there are images, and up to which there are
        maps.
    factor : int
        Pixels of the images per spaxel.
    subpixels : int
        Pixels of the maps per pixel of the images.
    sources : Sources, optional
        Point sources beside the maps.
    """

    maps: np.ndarray
    spectra: np.ndarray
    wavelength: np.ndarray
    psf: PsfPair
    responses: np.ndarray
    filters: tuple
    field: tuple
    margin: int
    surroundings: int
    factor: int = 3
    subpixels: int = 1
    sources: Sources | None = None

    def mixing(self, *, sources=True):
        """
        Weights of the sampled components in each channel.

        Parameters
        ----------
        sources : bool
            With the light of the sources, or 0 for them.

        Returns
        -------
        ndarray
            Shape (L, R, k + J).
        """
        spectra = self.spectra
        if self.sources is not None:
            spectra = np.concatenate([spectra, sources * self.sources.spectra])
        return self.psf.weights[:, :, None] * spectra.T[:, None, :]

    def spaxels(self):
        """Return the components in the spaxels of the field, (R, k + J, rows, columns)."""
        start = self.factor * self.surroundings
        return _sample(self, self.psf.cube, start, self.factor, self.field, (0, 0))


@dataclass(frozen=True)
class Observation:
    """
    Arrays of both instruments on the common grid, and the truth.

    Parameters
    ----------
    setup : Setup
        The scene.
    cube, cube_error : ndarray
        Shape (L, h, w), NaN in the margin.
    images, image_error : ndarray
        Shape (F, d h, d w).
    images_truth : ndarray
        Images without noise and offset, at the calibration of the cube, shape (F, d h, d w).
    calibration : ndarray
        By how much each image is brighter than the cube, shape (F,).
    weights : ndarray
        Components, and sources after them, at the PSF of the imager, (R, k + J, d field rows,
        d field columns).
    shifted : ndarray
        The same where the images show them, with their offset.
    """

    setup: Setup
    cube: np.ndarray
    cube_error: np.ndarray
    images: np.ndarray
    image_error: np.ndarray
    images_truth: np.ndarray
    calibration: np.ndarray
    weights: np.ndarray = field(repr=False)
    shifted: np.ndarray = field(repr=False)

    @property
    def inner(self):
        """Rows and columns of the field within the images."""
        edge = self.setup.factor * self.setup.margin
        sizes = (self.setup.factor * size for size in self.setup.field)
        return tuple(slice(edge, edge + size) for size in sizes)

    def sharp(self, *, shifted=False, sources=True):
        """Return the truth at the resolution of the imager, (L, d rows, d columns)."""
        weights = self.shifted if shifted else self.weights
        return np.tensordot(self.setup.mixing(sources=sources), weights, 2)

    def blurred(self):
        """Return the cube without noise, field only, (L, rows, columns)."""
        return np.tensordot(self.setup.mixing(), self.setup.spaxels(), 2)

    def calibrated(self, psf, method="eroded"):
        """Return the factors that the step would find, (F,); 1 where it finds none."""
        arrays = self._arrays()
        found = cross_calibrate(**arrays, psf=psf, factor=self.setup.factor, method=method)
        return np.array([1.0 if one is None else one.factor for one in found])

    def problem(self, psf, factors=None):
        """
        Collect the arrays as the step does.

        Parameters
        ----------
        psf : PsfPair
            PSFs to fuse with, on the pixels of the images.
        factors : ndarray, optional
            Calibration of the images, by default as the step finds it.

        Returns
        -------
        FusionData
        """
        arrays = self._arrays()
        factors = self.calibrated(psf) if factors is None else factors
        arrays["responses"] = self.setup.responses * factors[:, None]
        return fusion_data(**arrays, psf=psf, factor=self.setup.factor)

    def chosen(self, names):
        """Return the observation with only the filters of these names."""
        index = [self.setup.filters.index(name) for name in names]
        setup = replace(self.setup, responses=self.setup.responses[index], filters=tuple(names))
        arrays = ("images", "image_error", "images_truth", "calibration")
        return replace(self, setup=setup, **{name: getattr(self, name)[index] for name in arrays})

    def _arrays(self):
        return {
            "cube": self.cube,
            "err": self.cube_error,
            "images": self.images,
            "image_err": self.image_error,
            "responses": self.setup.responses,
        }


def observe(setup, *, noise="medium", calibration=None, offset=(0.0, 0.0), seed=3, typical=0.5):
    """
    Observe a scene.

    Parameters
    ----------
    setup : Setup
        The scene.
    noise : {"high", "medium", "low", "bright"} or tuple of float or None
        Amount of noise, "bright" as in the Orion Bar, or signal to noise ratio of cube and images;
        None for none, with the errors of "medium".
    calibration : ndarray, optional
        By how much each image is brighter than the cube, shape (F,).
    offset : tuple of float
        Shift (x, y) of the images against the cube, pixels of the images.
    seed : int
        Seed of the noise.
    typical : float
        Quantile of the brightness to which the ratios belong.

    Returns
    -------
    Observation
    """
    rng = np.random.default_rng(seed)
    factor, psf = setup.factor, setup.psf
    calibration = np.ones(len(setup.filters)) if calibration is None else np.array(calibration)
    fine = tuple(factor * (size + 2 * setup.margin) for size in setup.field)
    edge = factor * (setup.surroundings - setup.margin)
    true = _sample(setup, psf.image, edge, 1, fine, (0.0, 0.0))
    seen = true if offset == (0.0, 0.0) else _sample(setup, psf.image, edge, 1, fine, offset)
    spaxels = setup.spaxels()
    mixing = setup.mixing()
    band = np.einsum("fl,lrc->frc", setup.responses, mixing, optimize=True)
    images = np.tensordot(band, seen, 2) * calibration[:, None, None]
    cube = np.tensordot(mixing, spaxels, 2)
    cube_snr, image_snr = noise if isinstance(noise, tuple) else NOISE[noise or "medium"]
    middle = np.quantile(cube, typical)
    centre, half = np.mean(setup.wavelength[[0, -1]]), np.ptp(setup.wavelength[[0, -1]]) / 2
    rise = 1 + 0.8 * ((setup.wavelength - centre) / half) ** 2
    cube_error = middle / cube_snr * rise[:, None, None]
    cube_error = cube_error * np.sqrt(0.5 + 0.5 * np.maximum(cube, 0) / middle)
    level = np.quantile(images, typical, axis=(1, 2))[:, None, None]
    narrow = np.array([_NARROW if name.endswith("N") else 1.0 for name in setup.filters])
    image_error = level / image_snr * narrow[:, None, None]
    image_error = image_error * np.sqrt(0.5 + 0.5 * np.maximum(images, 0) / level)
    scale = 0.0 if noise is None else 1.0
    cube = cube + scale * cube_error * rng.standard_normal(cube.shape)
    images = images + scale * image_error * rng.standard_normal(images.shape)
    pad = [(0, 0), (setup.margin,) * 2, (setup.margin,) * 2]
    edge = factor * setup.margin
    inner = tuple(slice(edge, edge + factor * size) for size in setup.field)
    return Observation(
        setup=setup,
        cube=np.pad(cube, pad, constant_values=np.nan).astype(np.float32),
        cube_error=np.pad(cube_error, pad, constant_values=np.nan).astype(np.float32),
        images=images,
        image_error=image_error,
        images_truth=np.tensordot(band, true, 2),
        calibration=calibration,
        weights=true[(slice(None), slice(None), *inner)],
        shifted=seen[(slice(None), slice(None), *inner)],
    )


def _sample(setup, psf, edge, step, shape, offset):
    """Components (R, k + J, y, x) behind each PSF at the centres of ``step`` x ``step`` pixels."""
    maps, sub = setup.maps, setup.subpixels
    size = [fft.next_fast_len(n + m) for n, m in zip(maps.shape[1:], psf.shape[1:], strict=True)]
    spectrum = fft.rfft2(maps, size)
    half = np.array(psf.shape[1:]) // 2
    # centre of the first pixel, in pixels of the maps; the PSF's middle counts from its corner
    first = sub * edge + (sub * step - 1) / 2
    whole = int(np.floor(first))
    y, x = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])
    if setup.sources is not None:
        spectrum = np.concatenate([spectrum, _deltas(setup, y, x)])
    shift = [first - whole + half[axis] - sub * offset[1 - axis] for axis in (0, 1)]
    phase = np.exp(2j * np.pi * (y * shift[0] + x * shift[1]))
    take = tuple(slice(whole, whole + sub * step * n, sub * step) for n in shape)
    out = np.empty((len(psf), len(spectrum), *shape))
    for index, one in enumerate(psf):
        blurred = fft.irfft2(spectrum * (fft.rfft2(one, size) * phase), size)
        out[index] = blurred[(slice(None), *take)]
    return out


def _deltas(setup, y, x):
    """Fourier transforms (J, ...) of unit sources on the grid of the maps; y, x: frequencies."""
    sub, sources = setup.subpixels, setup.sources
    # the field begins behind the surroundings; centres of large pixels lie between small ones
    column, row = (
        sub * (setup.factor * setup.surroundings + at)[:, None, None] + (sub - 1) / 2
        for at in (sources.x, sources.y)
    )
    return sub**2 * np.exp(-2j * np.pi * (y * row + x * column))


def uniform(data, sigma_cube=None, sigma_image=None):
    """
    Give arrays constant errors, and cut off what has no spaxels.

    Parameters
    ----------
    data : FusionData
        Arrays of an observation without margin.
    sigma_cube, sigma_image : float, optional
        Errors of all channels and of all images, by default as they are.

    Returns
    -------
    FusionData
    """
    changes = {
        "spaxel_weight": np.ones_like(data.spaxel_weight),
        "image_weight": np.ones_like(data.image_weight),
    }
    if sigma_cube is not None:
        changes["cube_sigma"] = np.full(len(data.cube), float(sigma_cube))
    if sigma_image is not None:
        changes["image_sigma"] = np.full(len(data.images), float(sigma_image))
    return replace(data, **changes)


def bicubic(observation):
    """
    Interpolate the cube by cubic splines.

    Parameters
    ----------
    observation : Observation
        With the cube.

    Returns
    -------
    ndarray
        On the pixels of the images, field only, shape (L, d rows, d columns).
    """
    setup = observation.setup
    cut = tuple(slice(setup.margin, setup.margin + size) for size in setup.field)
    cube = observation.cube[(slice(None), *cut)].astype(float)
    axes = [
        (np.arange(setup.factor * size) - (setup.factor - 1) / 2) / setup.factor
        for size in setup.field
    ]
    position = np.meshgrid(*axes, indexing="ij")
    return np.array(
        [ndimage.map_coordinates(plane, position, order=3, mode="nearest") for plane in cube]
    )
