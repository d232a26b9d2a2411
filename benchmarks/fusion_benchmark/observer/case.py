"""Cases of the benchmark of numbers: a scene, how it is observed, and its truth."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy import fft

from fusion_benchmark.nebula import BANDS, curve_between
from fusion_benchmark.observe import Setup, Sources, bicubic, observe
from fusion_benchmark.observer.scenes import SCENES, Sky
from fusion_benchmark.observer.spectral import line_channels, spectral_grid
from fusion_benchmark.optics import chebyshev_optics
from fusion_benchmark.scenes import pupils
from jwst_fusion.fusion.psf.instrument_psf import PsfPair
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.psf import chebyshev_nodes
from jwst_fusion.psf.cube import lagrange_weights

__all__ = ["FILTERS", "Case", "make_scene"]

_SPAXEL = 0.1  # arcsec
_BANDS = {**BANDS, "F356W": (3.135, 3.981)}
#: Filters, wavelength range (micrometre) and pixels per spaxel of each choice.
FILTERS = {
    "five": (tuple(BANDS), (1.6, 2.3), 3),
    "three": (("F182M", "F200W", "F212N"), (1.6, 2.3), 3),
    "one": (("F200W",), (1.6, 2.3), 3),
    "g395h": (("F356W",), (2.9, 3.98), 2),
}
_NODES = 12
_PSF_SIZE = 61
# Spaxels around the field on which there are images, and beyond them from which light comes.
_MARGIN, _BEYOND = 4, 10
# How the data of a twin differ from what the model assumes: rms of another wavefront in units of
# that of the telescope, jitter (sigma, arcsec), shift (pixels of the images).
_WAVEFRONT, _JITTER, _OFFSET = 0.2, 0.007, (0.08, -0.06)
# Of its images, relative.
_GAINS = {"F182M": 1.02, "F187N": 0.97, "F200W": 1.01, "F210M": 1.03, "F212N": 0.98, "F356W": 1.02}


@dataclass(frozen=True)
class Case:
    """
    Data to fuse, and what is true.

    Parameters
    ----------
    name : str
        Scene, filters, and whether it is a twin.
    data : FusionData
        Arrays as `fuse` takes them.
    truth, diffuse : ndarray
        At the resolution of the imager, field only, where the images show it, with and without
        the sources, shape (L, Y, X).
    inner : tuple of slice
        Rows and columns of the field in the fine grid of the data.
    bicubic : ndarray
        Cube interpolated by cubic splines, field only, shape (L, Y, X).
    source_x, source_y : ndarray
        Where the images show the sources, in pixels of ``data.images``, 0 in the centre of the
        first one, shape (J,).
    source_spectra : ndarray
        Flux, MJy/sr times the area of a fine pixel, shape (J, L).
    wavelength : ndarray
        Micrometre, shape (L,).
    lines : dict of str to tuple of ndarray
        Channels of each line, and of the continuum beside it.
    pixel : float
        Pixel of the images, arcsec.
    regions : dict of str to ndarray
        Parts of the field that the scene names, shape (Y, X).
    extras : dict
        What else is true of the scene.
    twin : bool
        Whether the data differ from what their model assumes.
    """

    name: str
    data: FusionData
    truth: np.ndarray = field(repr=False)
    diffuse: np.ndarray = field(repr=False)
    inner: tuple
    bicubic: np.ndarray = field(repr=False)
    source_x: np.ndarray
    source_y: np.ndarray
    source_spectra: np.ndarray = field(repr=False)
    wavelength: np.ndarray = field(repr=False)
    lines: dict = field(repr=False)
    pixel: float
    regions: dict = field(repr=False, default_factory=dict)
    extras: dict = field(repr=False, default_factory=dict)
    twin: bool = False

    @property
    def x(self):
        """Columns of the sources in the field."""
        return self.source_x - self.inner[1].start

    @property
    def y(self):
        """Rows of the sources in the field."""
        return self.source_y - self.inner[0].start


@lru_cache(maxsize=8)
def _optics(low, high, factor, twin):
    nodes = chebyshev_nodes(low, high, _NODES)
    image, cube = pupils(_WAVEFRONT if twin else 0.0)
    pixel = _SPAXEL / factor
    pair = chebyshev_optics(
        nodes, image=image, cube=cube, pixel=pixel, spaxel=_SPAXEL, size=_PSF_SIZE
    )
    if twin:
        pair = tuple(_blurred(one, _JITTER / pixel) for one in pair)
    return nodes, *pair


def _blurred(psf, sigma):
    """PSFs (R, m, m) of unit sum behind a Gaussian of this width in pixels."""
    size = fft.next_fast_len(psf.shape[-1] + 20)
    y, x = fft.fftfreq(size)[:, None], fft.rfftfreq(size)
    smooth = np.exp(-2 * (np.pi * sigma) ** 2 * (x**2 + y**2))
    out = fft.irfft2(fft.rfft2(psf, (size, size)) * smooth, (size, size))
    out = out[:, : psf.shape[1], : psf.shape[2]]
    return out / out.sum((1, 2), keepdims=True)


def _psf(wavelength, span, factor, twin):
    # a channel may not lie beyond the nodes
    nodes, image, cube = _optics(*span, factor, twin)
    return PsfPair(lagrange_weights(nodes, wavelength), image, cube, "segmented pupil", nodes)


def make_scene(
    name,
    *,
    filters="five",
    twin=False,
    seed=1,
    channels=450,
    field=(30, 30),
    noise=None,
    saturated=None,
    **options,
):
    """
    Observe one of the scenes.

    Parameters
    ----------
    name : {"demo", "stars", "galaxy", "disc", "orion"}
        The scene.
    filters : {"five", "three", "one", "g395h"}
        Filters and wavelengths; the last is the pair of G395H and F356W.
    twin : bool
        Make the data with another wavefront, jitter, an offset of 0.1 pixel between images and
        cube, and gains of 1 to 3 %, of which the model of the data knows nothing; gains are
        calibrated by means as the step does it. The truth is what the imager would have seen.
    seed : int
        Seed of what is random in the scene, and of the noise.
    channels : int
        Channels, of which most lie at lines.
    field : tuple of int
        Spaxels (rows, columns).
    noise : str or tuple of float, optional
        As for `observe`; by default what suits the scene.
    saturated : {"nan", "zero"}, optional
        What the images hold in the core of the brightest star.
    **options
        Of the scene, as ``count`` for "stars".

    Returns
    -------
    Case

    Raises
    ------
    ValueError
        If there are no such scene or filters.
    """
    for value, known, what in ((name, SCENES, "scene"), (filters, FILTERS, "choice of filters")):
        if value not in known:
            msg = f"no {what} {value!r}; there are {', '.join(known)}"
            raise ValueError(msg)
    draw, lines_of, usual, typical = SCENES[name]
    names, span, factor = FILTERS[filters]
    lines = lines_of(*span)
    wavelength = spectral_grid(*span, lines, channels)
    around = factor * (_MARGIN + _BEYOND)
    size = [factor * n for n in field]
    sky = Sky(
        shape=tuple(n + 2 * around for n in size),
        field=tuple(slice(around, around + n) for n in size),
        pixel=_SPAXEL / factor,
        wavelength=wavelength,
    )
    content = draw(sky, np.random.default_rng(seed), **options)
    # photometric weights of a flux per frequency: throughput times d lambda / lambda
    curves = np.array([curve_between(wavelength, *_BANDS[one]) for one in names])
    curves = curves * np.gradient(wavelength) / wavelength
    model = _psf(wavelength, span, factor, False)
    setup = Setup(
        maps=content.maps,
        spectra=content.spectra,
        wavelength=wavelength,
        psf=_psf(wavelength, span, factor, True) if twin else model,
        responses=curves / curves.sum(1, keepdims=True),
        filters=names,
        field=tuple(field),
        margin=_MARGIN,
        surroundings=_MARGIN + _BEYOND,
        factor=factor,
    )
    how = {"noise": noise or usual, "typical": typical, "seed": seed + 100}
    if twin:
        how |= {"offset": _OFFSET, "calibration": [_GAINS[one] for one in names]}
    if content.faint is not None:
        setup = _with_faint(setup, content.faint, how)
    spectra = content.source_spectra
    if content.significance is not None:
        spectra = spectra * _photometric_error(setup, content, how) * content.significance[:, None]
    if len(content.x):
        setup = replace(setup, sources=Sources(content.x, content.y, spectra))
    observation = observe(setup, **how)
    shift = _OFFSET if twin else (0.0, 0.0)
    edge = factor * _MARGIN
    x, y = content.x + edge + shift[0], content.y + edge + shift[1]
    if saturated is not None:
        _saturate(observation, x, y, spectra, saturated)
    truth = observation.sharp(shifted=True)
    factors = observation.calibrated(model) if twin else np.ones(len(names))
    return Case(
        name=f"{name}, {filters}{', twin' if twin else ''}",
        data=observation.problem(model, factors),
        truth=truth,
        diffuse=observation.sharp(shifted=True, sources=False) if len(x) else truth,
        inner=observation.inner,
        bicubic=bicubic(observation),
        source_x=x,
        source_y=y,
        source_spectra=np.zeros((0, len(wavelength))) if spectra is None else spectra,
        wavelength=wavelength,
        lines=line_channels(wavelength, lines),
        pixel=sky.pixel,
        regions=content.regions,
        extras=content.extras,
        twin=twin,
    )


def _with_faint(setup, faint, how):
    """Add components that are as bright as their signal to noise ratios on the cube say."""
    maps, spectra, ratio = faint
    error = observe(setup, **how).cube_error
    inside = np.isfinite(error[0])
    error = error[:, inside]
    parts = replace(setup, maps=maps).spaxels().reshape(setup.psf.weights.shape[1], len(maps), -1)
    found = []
    for index, spectrum in enumerate(spectra):
        lit = spectrum > 1e-4 * spectrum.max()
        signal = setup.psf.weights[lit] @ parts[:, index] * spectrum[lit, None]
        found.append(np.linalg.norm(signal / error[lit]))
    scaled = spectra * (ratio / np.array(found))[:, None]
    return replace(
        setup,
        maps=np.concatenate([setup.maps, maps]),
        spectra=np.concatenate([setup.spectra, scaled]),
    )


def _photometric_error(setup, content, how):
    """Error of the flux of a star by its PSF on the cube, over the nebula, shape (J, L)."""
    diffuse = observe(setup, **how)
    step = setup.factor
    # as many of the PSF's pixels as there are spaxels carry the same information
    power = np.einsum("lr,rs,ls->l", *_quadratic(setup)) / step**2
    edge = setup.margin
    rows, columns = (
        np.clip((at / step).astype(int) + edge, edge, edge + n - 1)
        for at, n in zip((content.y, content.x), setup.field, strict=True)
    )
    return diffuse.cube_error[:, rows, columns].T / np.sqrt(power)


def _quadratic(setup):
    flat = setup.psf.cube.reshape(len(setup.psf.cube), -1)
    weights = setup.psf.weights
    return weights, flat @ flat.T, weights


def _saturate(observation, x, y, spectra, kind):
    """Take the core of the brightest star from the images, in place."""
    brightest = int(np.argmax(spectra.mean(1)))
    rows, columns = np.indices(observation.images.shape[1:])
    distance = np.hypot(columns - x[brightest], rows - y[brightest])
    observation.images[:, distance < 2.5] = np.nan if kind == "nan" else 0.0
