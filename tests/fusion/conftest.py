"""A scene of Gaussian sources observed exactly, at any orientation, as s3d and i2d products."""

from dataclasses import dataclass

import numpy as np
import pytest
from astropy.wcs import WCS

RA, DEC = 83.82, -5.42


def imager_sigma(wavelength):
    """Standard deviation of the imager's PSF, arcsec."""
    return 0.032 * np.asarray(wavelength) / 2.0


def cube_sigma(wavelength):
    """Standard deviation of the cube's PSF, arcsec."""
    return 0.075 * np.asarray(wavelength) / 2.0


@dataclass
class Scene:
    """Gaussian sources with spectra on a smooth background; everything known in closed form."""

    ra: float = RA
    dec: float = DEC
    # East, North, sigma [arcsec], brightness, slope, brightness of the line, its wavelength
    sources: tuple = (
        (-0.35, 0.30, 0.05, 900.0, -0.8, 0.0, 1.9),
        (0.42, -0.25, 0.06, 600.0, 1.2, 500.0, 2.12),
        (0.10, 0.45, 0.20, 150.0, 0.0, 700.0, 1.875),
        (-0.2, -0.4, 0.25, 200.0, 0.5, 0.0, 2.0),
    )
    background: float = 60.0

    def spectrum(self, source, wavelength):
        *_, brightness, slope, line, centre = source
        wavelength = np.asarray(wavelength, float)
        profile = np.exp(-0.5 * ((wavelength - centre) / 0.025) ** 2)
        return brightness * (wavelength / 2.0) ** slope + line * profile

    def offsets(self, wcs, shape):
        """East and North of each pixel from the centre of the scene, arcsec."""
        y, x = np.indices(shape)
        ra, dec = wcs.wcs_pix2world(x, y, 0)
        plane = tangent_wcs((1, 1), 1.0, ra=self.ra, dec=self.dec)
        west, north = plane.wcs_world2pix(ra, dec, 0)
        return -west, north

    def maps(self, wcs, shape, psf, offsets=None):
        """One map per source, unit amplitude before blurring; psf is a standard deviation."""
        east, north = offsets or self.offsets(wcs, shape)
        found = []
        for e, n, sigma, *_ in self.sources:
            width = sigma**2 + psf**2
            radius = (east - e) ** 2 + (north - n) ** 2
            found.append(sigma**2 / width * np.exp(-0.5 * radius / width))
        return np.array(found)

    def cube(self, wcs, shape, wavelength, psf):
        """Surface brightness (L, y, x) blurred by a Gaussian whose sigma depends on wavelength."""
        out = np.full((len(wavelength), *shape), self.background)
        offsets = self.offsets(wcs, shape)
        for channel, wave in enumerate(wavelength):
            spectra = np.array([self.spectrum(source, wave) for source in self.sources])
            maps = self.maps(wcs, shape, float(psf(wave)), offsets)
            out[channel] += np.tensordot(spectra, maps, 1)
        return out

    def image(self, wcs, shape, bandpass, psf):
        """Photon-weighted mean surface brightness through a filter."""
        wave = np.linspace(*bandpass.wavelength[[0, -1]], 100)
        throughput = np.interp(wave, bandpass.wavelength, bandpass.throughput) / wave
        cube = self.cube(wcs, shape, wave, psf)
        return np.tensordot(throughput / throughput.sum(), cube, 1)


def tangent_wcs(shape, scale, pa=0.0, *, mirrored=False, cd=False, ra=RA, dec=DEC):
    """WCS with the position angle of +y, centred on the array."""
    wcs = WCS(naxis=2)
    angle = np.deg2rad(pa)
    matrix = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [
        1 if not mirrored else -1,
        1,
    ]
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    if cd:
        wcs.wcs.cd = matrix * scale / 3600
    else:
        wcs.wcs.cdelt = [scale / 3600] * 2
        wcs.wcs.pc = matrix
    wcs.wcs.set()
    return wcs


def _set_wcs(model, wcs, cd):
    info = model.meta.wcsinfo
    info.wcsaxes = model.data.ndim
    for axis in (1, 2):
        setattr(info, f"ctype{axis}", wcs.wcs.ctype[axis - 1])
        setattr(info, f"cunit{axis}", "deg")
        for key in ("crval", "crpix"):
            setattr(info, f"{key}{axis}", float(getattr(wcs.wcs, key)[axis - 1]))
        if not cd:
            setattr(info, f"cdelt{axis}", float(wcs.wcs.cdelt[axis - 1]))
        for other in (1, 2):
            matrix = wcs.wcs.cd if cd else wcs.wcs.pc
            name = f"{'cd' if cd else 'pc'}{axis}_{other}"
            setattr(info, name, float(matrix[axis - 1, other - 1]))


def make_cube(
    scene,
    wavelength,
    *,
    shape=(18, 20),
    pa=0.0,
    noise=2.0,
    mirrored=False,
    cd=False,
    table=False,
    corners=True,
    seed=1,
):
    """NIRSpec s3d of a scene, with NaN corners as a rotated field has them."""
    from stdatamodels.jwst import datamodels

    wcs = tangent_wcs(shape, 0.1, pa, mirrored=mirrored, cd=cd, ra=scene.ra, dec=scene.dec)
    rng = np.random.default_rng(seed)
    data = scene.cube(wcs, shape, wavelength, cube_sigma)
    data += noise * rng.standard_normal(data.shape)
    model = datamodels.IFUCubeModel(data=data.astype("f4"))
    model.err = np.full(data.shape, noise, "f4")
    model.dq = np.zeros(data.shape, "u4")
    model.weightmap = np.ones(data.shape, "f4")
    if corners:
        y, x = np.indices(shape)
        outside = (x + y < 4) | (x + y > sum(shape) - 6)
        model.data[:, outside] = np.nan
        model.err[:, outside] = np.nan
        model.dq[:, outside] = 513
        model.weightmap[:, outside] = 0
    _set_wcs(model, wcs, cd)
    info = model.meta.wcsinfo
    info.crpix3, info.crval3 = 1.0, float(wavelength[0])
    info.cunit3, info.pc3_3 = "um", 1.0
    if table:
        info.ctype3, info.crval3 = "WAVE-TAB", 1.0
        info.ps3_0, info.ps3_1 = "WCS-TABLE", "wavelength"
        column = np.zeros(1, dtype=[("wavelength", "<f4", (len(wavelength), 1))])
        column["wavelength"][0, :, 0] = wavelength
        model.wavetable = column
    else:
        info.ctype3, info.cdelt3 = "WAVE", float(wavelength[1] - wavelength[0])
    meta = model.meta
    meta.telescope = "JWST"
    meta.filename = "scene_nirspec_g235h_s3d.fits"
    meta.instrument.name, meta.instrument.grating = "NIRSPEC", "G235H"
    meta.instrument.filter, meta.instrument.detector = "F170LP", "NRS1"
    meta.exposure.type = "NRS_IFU"
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_steradians = 0.01 * 2.3504e-11
    meta.photometry.pixelarea_arcsecsq = 0.01
    meta.pointing.pa_v3 = 30.0
    meta.cal_step.cube_build = "COMPLETE"
    return model


def make_image(
    scene, name, *, shape=(110, 120), scale=0.0312, pa=25.0, noise=1.0, seed=2, cd=False
):
    """NIRCam i2d of a scene."""
    from stdatamodels.jwst import datamodels

    from jwst_fusion.bandpass import load_bandpass

    wcs = tangent_wcs(shape, scale, pa, cd=cd, ra=scene.ra, dec=scene.dec)
    rng = np.random.default_rng(seed)
    data = scene.image(wcs, shape, load_bandpass(name), imager_sigma)
    data += noise * rng.standard_normal(shape)
    model = datamodels.ImageModel(data=data.astype("f4"))
    model.err = np.full(shape, noise, "f4")
    model.wht = np.ones(shape, "f4")
    _set_wcs(model, wcs, cd)
    meta = model.meta
    meta.telescope = "JWST"
    meta.filename = f"scene_nircam_{name.lower()}_i2d.fits"
    meta.instrument.name, meta.instrument.detector = "NIRCAM", "NRCB1"
    meta.instrument.channel, meta.instrument.module = "SHORT", "B"
    meta.instrument.filter, meta.instrument.pupil = name, "CLEAR"
    meta.exposure.type = "NRC_IMAGE"
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_steradians = scale**2 * 2.3504e-11
    meta.pointing.pa_v3 = 77.0
    meta.resample.pixfrac = 1.0
    meta.cal_step.resample = "COMPLETE"
    return model


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def wavelength():
    return np.linspace(1.66, 2.30, 81)


@pytest.fixture(scope="session")
def products():
    """The functions that make products and coordinates."""

    class Products:
        scene = Scene
        cube = staticmethod(make_cube)
        image = staticmethod(make_image)
        wcs = staticmethod(tangent_wcs)
        imager_sigma = staticmethod(imager_sigma)
        cube_sigma = staticmethod(cube_sigma)

    return Products


def write_gaussians(folder, *, image=1.0, cube=1.0):
    """Files of Gaussian PSFs, so many times as wide as those of the data."""
    from jwst_fusion.psf import PsfCube, chebyshev_nodes, write_psf

    nodes = chebyshev_nodes(1.65, 2.31, 6)
    y, x = np.indices((121, 121)) - 60
    radius = (x**2 + y**2) * 0.0125**2
    paths = {}
    for name, sigma, wider in (
        ("psf_image", imager_sigma, image),
        ("psf_cube", cube_sigma, cube),
    ):
        data = np.array([np.exp(-0.5 * radius / (wider * sigma(node)) ** 2) for node in nodes])
        data /= data.sum((1, 2), keepdims=True)
        psf = PsfCube(data=data, wavelength=nodes, pixel_scale=0.0125, source="Gaussian", meta={})
        paths[name] = str(folder / f"{name}.fits")
        write_psf(psf, paths[name])
    return paths


@pytest.fixture(scope="session")
def gaussian_psfs(tmp_path_factory):
    """Files with the PSFs with which the scene is observed."""
    return write_gaussians(tmp_path_factory.mktemp("psf"))


@pytest.fixture(scope="session")
def other_psfs(tmp_path_factory):
    """Files with narrower PSFs, as if guiding and drizzling had not been reckoned with."""
    return write_gaussians(tmp_path_factory.mktemp("other"), image=0.96, cube=0.92)


@pytest.fixture
def quick_fusion(gaussian_psfs):
    """The step with hyperparameters that need no search."""
    from jwst_fusion.steps.fusion import FusionStep

    def run(members, **options):
        quick = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
        return FusionStep.call(members, **{**quick, **gaussian_psfs, **options})

    return run


def _truth(result, scene):
    from jwst_fusion.products.observations import read_cube

    cube = read_cube(result)
    return scene.cube(cube.grid.wcs, cube.grid.shape, cube.wavelength, imager_sigma)


@pytest.fixture
def quality_of():
    """PSNR of a fused cube, dB."""
    from jwst_fusion.metrics import psnr

    return lambda result, scene: psnr(_truth(result, scene), result.data, result.dq == 0)


@pytest.fixture
def bias_of():
    """Relative error of the light of a fused cube."""

    def measure(result, scene):
        good = result.dq == 0
        return result.data[good].sum() / _truth(result, scene)[good].sum() - 1

    return measure
