"""Files of simulated stars, as the pipeline writes them."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.psf import make_psf

PIXEL = 0.0311


def pixel_kernels(width, turned, out):
    return ((width, width, turned), (width, width, turned), (out, out, 0.0))


def sky_header(shape, scale, pa):
    """Header whose +y lies at a position angle, East left of North."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [83.8, -5.4]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    c, s = np.cos(np.deg2rad(pa)), np.sin(np.deg2rad(pa))
    wcs.wcs.cd = scale / 3600 * np.array([[-c, s], [s, c]])
    return wcs.to_header()


def placed(psf, shape, offset):
    """Put a centred PSF of odd size on a field, off its middle by fractions of a pixel."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    field = np.zeros(shape)
    start = [s // 2 - p // 2 for s, p in zip(shape, psf.shape, strict=True)]
    field[start[0] : start[0] + psf.shape[0], start[1] : start[1] + psf.shape[1]] = psf
    shift = np.exp(-2j * np.pi * (fy * offset[0] + fx * offset[1]))
    return np.fft.irfft2(np.fft.rfft2(field) * shift, shape)


def write(path, data, err, keywords, header, dq=None, table=None):
    primary = fits.PrimaryHDU()
    primary.header.update(keywords)
    science = fits.ImageHDU(data.astype(np.float32), header, name="SCI")
    hdus = [primary, science, fits.ImageHDU(err.astype(np.float32), name="ERR")]
    if dq is not None:
        hdus.append(fits.ImageHDU(dq.astype(np.uint32), name="DQ"))
    if table is not None:
        column = fits.Column("wavelength", f"{table.size}E", array=table[None], unit="um")
        hdus.append(fits.BinTableHDU.from_columns([column], name="WCS-TABLE"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def star_image(
    path, *, filter_name="F210M", wavelength=2.093, roll=60.0, pa=35.0, flux=1e6, **more
):
    """Write an image (i2d) of a star made with the aperture model."""
    scale, shape = more.get("scale", PIXEL), more.get("shape", (151, 158))
    turn = roll - pa
    psf = make_psf(
        "NIRCAM",
        wavelength=[wavelength],
        pixel_scale=scale,
        npix=int(6.3 / scale) // 2 * 2 + 1,
        angle=turn,
        pixel_kernels=pixel_kernels(PIXEL, turn, scale),
        source="aperture",
    ).data[0]
    large = np.array(shape) + 120
    image = flux * placed(psf, tuple(large), (3.37, -5.81))[60:-60, 60:-60] + 50.0
    rng = np.random.default_rng(3)
    sigma = np.sqrt(more.get("noise", 1.0) ** 2 + np.maximum(image, 0.0) / 100.0)
    image += sigma * rng.standard_normal(image.shape)
    image[20:23, 40:44] = np.nan
    image[70, 60] = np.nan
    for change in more.get("change", ()):
        change(image)
    keywords = {"INSTRUME": "NIRCAM", "DETECTOR": "NRCB1", "FILTER": filter_name, "PUPIL": "CLEAR"}
    header = sky_header(shape, scale, pa)
    header["ROLL_REF"] = roll
    if more.get("mirrored"):
        image, sigma = image[:, ::-1], sigma[:, ::-1]
        header["PC1_1"], header["PC2_1"] = -header["PC1_1"], -header["PC2_1"]
    return write(path, image, sigma, keywords, header)


def star_cube(path, wavelength, *, roll=60.0, pa=10.0, spaxel=0.05, noise=1.0, table=False):
    """Write a cube (s3d) of a star with absorption lines, hot spaxels and torn corners."""
    turn, shape = roll - pa, (64, 61)
    psf = make_psf(
        "NIRSPEC",
        wavelength=wavelength,
        pixel_scale=spaxel,
        npix=81,
        angle=turn,
        pixel_kernels=pixel_kernels(0.1, turn, spaxel),
        source="aperture",
    ).data
    rng = np.random.default_rng(4)
    spectrum = 1e5 * (1.0 - 0.5 * (np.arange(wavelength.size) % 11 == 4))
    large = tuple(np.array(shape) + 40)
    cube = np.array([placed(one, large, (1.4, -2.3))[20:-20, 20:-20] for one in psf])
    cube = cube * spectrum[:, None, None] + 3.0 + 0.05 * np.arange(wavelength.size)[:, None, None]
    err = np.full(cube.shape, noise)
    cube += noise * rng.standard_normal(cube.shape)
    dq = np.zeros(cube.shape, int)
    y, x = np.indices(shape)
    torn = y + x < 14
    cube[:, torn], dq[:, torn] = np.nan, 513
    cube[wavelength.size // 3, 33:35, 30:33] = 9e4
    cube[5, 20, 20], dq[5, 20, 20] = -1e7, 1
    keywords = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "GRATING": "G235H"}
    header = sky_header(shape, spaxel, pa)
    header["PA_V3"] = roll
    kind = "WAVE-TAB" if table else "WAVE"
    header.update({"CTYPE3": kind, "CUNIT3": "um", "CRPIX3": 1.0, "CRVAL3": wavelength[0]})
    header["CDELT3"] = wavelength[1] - wavelength[0]
    return write(path, cube, err, keywords, header, dq, wavelength if table else None)
