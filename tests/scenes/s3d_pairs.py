"""A pair of JWST cubes of one scene: one with finer spaxels, one with finer channels."""

import numpy as np
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

RA, DEC = 83.82, -5.42
FINE, FACTOR, WIDTH = 0.05, 3, 4  # arcsec per spaxel of X, spaxels of X and channels of Y merged
BLUR = 1.5  # standard deviation of the PSF, spaxels of X


def tangent(shape, scale):
    """Celestial WCS centred on an array, North up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [RA, DEC]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    wcs.wcs.set()
    return wcs


def s3d(data, err, wavelength, scale, name):
    """IFU cube model of arrays."""
    from stdatamodels.jwst import datamodels

    model = datamodels.IFUCubeModel(data=data.astype("f4"))
    model.err = np.full(data.shape, err, "f4")
    model.dq = np.zeros(data.shape, "u4")
    model.weightmap = np.ones(data.shape, "f4")
    wcs = tangent(data.shape[1:], scale)
    info = model.meta.wcsinfo
    info.wcsaxes = 3
    for axis in (1, 2):
        setattr(info, f"ctype{axis}", wcs.wcs.ctype[axis - 1])
        setattr(info, f"cunit{axis}", "deg")
        for key in ("crval", "crpix", "cdelt"):
            setattr(info, f"{key}{axis}", float(getattr(wcs.wcs, key)[axis - 1]))
        for other in (1, 2):
            setattr(info, f"pc{axis}_{other}", float(axis == other))
    info.ctype3, info.cunit3, info.crpix3, info.pc3_3 = "WAVE", "um", 1.0, 1.0
    info.crval3, info.cdelt3 = float(wavelength[0]), float(wavelength[1] - wavelength[0])
    meta = model.meta
    meta.telescope = "JWST"
    meta.filename = name
    meta.instrument.name, meta.instrument.grating = "NIRSPEC", "G235H"
    meta.exposure.type = "NRS_IFU"
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_steradians = scale**2 * 2.3504e-11
    meta.photometry.pixelarea_arcsecsq = scale**2
    meta.cal_step.cube_build = "COMPLETE"
    return model


def make_s3d_pair(*, noise=1.0, seed=1, shape=(36, 30), channels=48):
    """Truth (L, M, N) and two IFU cubes: X sharp with wide channels, Y coarse with narrow ones."""
    rng = np.random.default_rng(seed)
    wave = 2.0 + 0.002 * np.arange(channels)
    y, x = np.indices(shape)
    truth = np.full((channels, *shape), 40.0)
    for row, column, size, flux, line in (
        (9.0, 8.0, 1.6, 900.0, 2.02),
        (24.0, 20.0, 2.0, 700.0, 2.05),
        (15.0, 22.0, 3.5, 300.0, 2.07),
    ):
        spot = np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / size**2)
        spectrum = 0.3 + np.exp(-0.5 * ((wave - line) / 0.004) ** 2)
        truth += flux * spectrum[:, None, None] * spot
    wide = truth.reshape(-1, WIDTH, *shape).mean(axis=1)
    blurred = gaussian_filter(truth, (0, BLUR, BLUR), mode="nearest")
    m, n = (size // FACTOR for size in shape)
    coarse = blurred.reshape(channels, m, FACTOR, n, FACTOR).mean(axis=(2, 4))
    arrays = [one + noise * rng.standard_normal(one.shape) for one in (wide, coarse)]
    centres = wave.reshape(-1, WIDTH).mean(axis=1)
    models = (
        s3d(arrays[0], noise, centres, FINE, "sharp_s3d.fits"),
        s3d(arrays[1], noise, wave, FINE * FACTOR, "fine_s3d.fits"),
    )
    return truth, wave, models
