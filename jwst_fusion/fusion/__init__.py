"""
Fuse images with a cube of an integral field spectrometer that see one scene.

`fuse` takes arrays on one grid and returns a cube with the angular resolution of the images and the
spectral resolution of the spectrometer, and its errors. `fuse_observations` begins one stage
before: it takes observations with sky coordinates, brings them onto one grid, calibrates and aligns
the images, and makes the PSFs. `fuse_exposures` needs no cube: it fuses exposures of the
spectrometer at the native pixels of its detector. Cubes are (wavelength, y, x), images (y, x), in
MJy/sr.

What ``__all__`` lists is stable: it changes only after a release that warns of the change. The
modules below this package may change at any time.

Examples
--------
Gas with a line on a continuum and a star, seen by an imager through two filters and by a
spectrometer whose spaxels are three times as large as the pixels of the images:

>>> import numpy as np
>>> from scipy.ndimage import gaussian_filter
>>> from jwst_fusion.fusion import FusionData, FusionSettings, fuse
>>> rng = np.random.default_rng(1)
>>> gas = 20 * np.abs(gaussian_filter(rng.standard_normal((48, 48)), 2.0))
>>> star = np.zeros((48, 48))
>>> star[25, 20] = 200.0
>>> channel = np.arange(30)
>>> line = 1 + np.exp(-0.5 * ((channel - 20) / 2.0) ** 2)
>>> scene = line[:, None, None] * gas + (1 - 0.01 * channel)[:, None, None] * star
>>> sharp, soft = (gaussian_filter(scene, (0, width, width)) for width in (1.0, 2.5))
>>> response = np.zeros((2, 30))
>>> response[0, :15] = response[1, 15:] = 1 / 15
>>> images = np.tensordot(response, sharp, 1) + 0.02 * rng.standard_normal((2, 48, 48))
>>> cube = soft[:, 1::3, 1::3] + 0.05 * rng.standard_normal((30, 16, 16))
>>> y, x = np.indices((31, 31)) - 15
>>> psfs = [np.exp(-0.5 * (x**2 + y**2) / width**2) for width in (1.0, 2.5)]
>>> psf_image, psf_cube = (psf[None] / psf.sum() for psf in psfs)
>>> data = FusionData(
...     cube=cube,
...     cube_sigma=np.full(30, 0.05),
...     spaxel_weight=np.ones((16, 16)),
...     images=images,
...     image_sigma=np.full(2, 0.02),
...     image_weight=np.ones((2, 48, 48)),
...     response=response,
...     psf_weights=np.ones((30, 1)),
...     psf_image=psf_image,
...     psf_cube=psf_cube,
...     factor=3,
... )
>>> result = fuse(data, FusionSettings(max_rank=5))
>>> result.converged, result.cube.shape, result.subspace.rank
(True, (30, 48, 48), 2)
>>> inner = (slice(None), slice(9, 39), slice(9, 39))
>>> error = np.abs(result.cube - sharp)[inner]
>>> bool(np.median(error) < 0.02), bool(0.5 < np.mean(error < result.error[inner]) < 0.9)
(True, True)
"""

import lazy_loader

# Names load when they are asked for: no user waits for imports that another needs.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["fuse"],
        "exposures.fuse": ["fuse_exposures"],
        "exposures.observation": ["ExposureObservation"],
        "exposures.psfs": ["exposure_psfs"],
        "exposures.result": ["ExposureFusion"],
        "exposures.settings": ["ExposureSettings"],
        "fused_observation": ["FusedObservation"],
        "observed.observation": ["CubeObservation", "ImageObservation"],
        "observed.sky": ["SkyGrid"],
        "options": ["FusionOptions"],
        "run": ["fuse_observations"],
        "solver.data": ["FusionData"],
        "solver.result": ["FusionResult"],
        "solver.settings": ["FusionSettings"],
        "solver.subspace": ["WhitenedSubspace"],
        "sources.source_list": ["SourceList"],
        "sources.source_spectra": ["SourceSpectra"],
        "sums": ["error_of"],
        "validation": ["Quality", "assess"],
    },
)
