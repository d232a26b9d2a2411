"""A scene in closed form: blobs and a star, as exposures and an image see it with Gaussian PSFs."""

import numpy as np
from astropy.wcs import WCS

from jwst_fusion.bandpass import Bandpass
from jwst_fusion.fusion import SkyGrid
from jwst_fusion.fusion.exposures.observation import ExposureObservation
from jwst_fusion.fusion.observed.observation import ImageObservation
from jwst_fusion.psf import PsfCube

SCALE = 0.05  # arcsec per fine pixel
SIZE = 34
CHANNELS = 2.0 + 0.001 * np.arange(36)
SIGMA = {"ifu": 1.7, "image": 1.15}  # fine pixels: standard deviation of the PSF
NOISE = {"ifu": 0.5, "image": 0.1}
# x, y [fine pixels from the middle], standard deviation, brightness: continuum, slope, line
BLOBS = ((-4.0, 3.0, 4.0, 20.0, 0.0, 60.0), (5.0, -2.0, 3.0, 30.0, 0.8, 0.0))
STAR = (3.3, 7.6, 2000.0, -0.5, 0.0)  # x, y, flux in fine pixels, slope, line
LEVEL = 5.0


def spectrum(continuum, slope, line, wavelength):
    """Continuum and a line 2.5 channels wide."""
    relative = (wavelength - 2.0175) / 0.0175
    return continuum * (1 + slope * relative) + line * np.exp(
        -0.5 * ((wavelength - 2.0121) / 0.0011) ** 2
    )


def scene(x, y, wavelength, sigma, star=STAR):
    """Surface brightness behind a Gaussian PSF at positions from the middle."""
    total = np.full(np.broadcast(x, wavelength).shape, LEVEL)
    for east, north, size, *light in BLOBS:
        width = size**2 + sigma**2
        shape = size**2 / width * np.exp(-0.5 * ((x - east) ** 2 + (y - north) ** 2) / width)
        total = total + shape * spectrum(*light, wavelength)
    east, north, flux, slope, line = star
    shape = np.exp(-0.5 * ((x - east) ** 2 + (y - north) ** 2) / sigma**2)
    shape = shape / (2 * np.pi * sigma**2)
    return total + shape * spectrum(flux, slope, line, wavelength)


def grid():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [83.8, -5.4]
    wcs.wcs.crpix = [(SIZE + 1) / 2] * 2
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.set()
    return SkyGrid(wcs, (SIZE, SIZE))


def gaussian_psf(kind, wider=1.0):
    y, x = np.indices((21, 21)) - 10
    plane = np.exp(-0.5 * (x**2 + y**2) / (wider * SIGMA[kind]) ** 2)
    return PsfCube(np.array([plane / plane.sum()] * 2), np.array([1.9, 2.1]), SCALE, "test")


def exposure(shift, angle, seed, cosmic_rays=20, star=STAR):
    """Tilted slices two fine pixels wide and high, wavelengths tilted on the detector."""
    rng = np.random.default_rng(seed)
    label, along, column = (
        one.ravel()
        for one in np.meshgrid(np.arange(20), np.arange(22), np.arange(44), indexing="ij")
    )
    u, v = 2.0 * (along - 10.5) + 0.02 * column, 2.0 * (label - 9.5)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x = shift[0] + cosine * u - sine * v
    y = shift[1] + sine * u + cosine * v
    wavelength = 1.9965 + 0.001 * (column + 0.13 * along + 0.31 * (label % 3))
    data = scene(x, y, wavelength, SIGMA["ifu"], star)
    data = data + NOISE["ifu"] * rng.standard_normal(len(data))
    hit = rng.choice(len(data), cosmic_rays, replace=False)
    data[hit] += 100 * NOISE["ifu"]
    sky = grid().sky(x + (SIZE - 1) / 2, y + (SIZE - 1) / 2)
    return ExposureObservation(
        data=data,
        err=np.full(len(data), NOISE["ifu"]),
        good=rng.random(len(data)) > 0.02,
        ra=sky.ra.deg,
        dec=sky.dec.deg,
        wavelength=wavelength,
        label=label + 1,
        row=label * 24 + along,
        column=column,
        shape=(20 * 24, 44),
        slit_axis="row",
        pa_v3=0.0,
        instrument="NIRSPEC",
        detector="NRS1",
        grating="G235H",
        name=f"exposure {seed}",
    ), hit


def image(seed=5, star=STAR):
    rng = np.random.default_rng(seed)
    wcs = grid().wcs.deepcopy()
    turn = np.radians(35.0)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.crpix = [25.3, 24.8]
    wcs.wcs.set()
    own = SkyGrid(wcs, (49, 50))
    row, column = np.indices(own.shape)
    x, y = (one - (SIZE - 1) / 2 for one in grid().pixels(own.sky(column, row)))
    fine = np.linspace(2.004, 2.031, 28)
    data = np.mean([scene(x, y, one, SIGMA["image"], star) for one in fine], axis=0)
    data += NOISE["image"] * rng.standard_normal(data.shape)
    good = np.ones(data.shape, bool)
    err = np.full(data.shape, NOISE["image"])
    return ImageObservation(
        data, err, good, own, 0.0, "NIRCAM", "TEST", "NRCB1", "image", None
    ), Bandpass("TEST", np.linspace(2.0035, 2.0315, 200), np.ones(200), "test")


SHIFTS = ((0.3, -0.4), (1.2, 0.7), (-0.8, 1.4), (0.6, -1.3))  # of four exposures


def truth(sigma):
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return scene(x, y, CHANNELS[:, None, None], sigma)
