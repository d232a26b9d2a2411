"""Small simulated data for all cases, with fixed seeds."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.special import erf

from product_comparison.package import locate

__all__ = [
    "fusion_arrays",
    "gratings",
    "hifred_arrays",
    "mrs_observation",
    "mrs_star",
    "s3d_pair",
    "small_fusion",
    "star_exposures",
    "xray_files",
]

ROLL, IMAGE_ROLL = 30.0, 77.0
FILTERS = ("F182M", "F187N", "F210M", "F212N")
_STERADIAN = 206264.806**-2


def _association(path, science, images, product):
    make = locate("make_association", "jwst_fusion.associations", within="jwst_fusion.associations")
    write = locate(
        "write_association", "jwst_fusion.associations", within="jwst_fusion.associations"
    )
    folder = Path(path).parent
    return str(write(make(science, list(images), product_name=product, folder=folder), path))


def _nebula():
    """A nebula whose lines are as wide as the channels of the small cube."""
    from jwst_fusion.simulation.scenes import nebula

    scene = nebula(blue=1.62, red=2.36, field=5.0, pixel_scale=0.025)
    return replace(scene, spectra=gaussian_filter1d(scene.spectra, 30.0, axis=1, mode="nearest"))


def small_fusion(folder):
    """
    Write a cube of a nebula and four images: at rest; moving; with one image misplaced.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.
    """
    from stdatamodels.jwst import datamodels

    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import simulate_images

    scene = _nebula()
    wave = np.arange(1.66, 2.31, 0.008)
    cube = simulate_s3d(scene, wave, shape=(13, 14), roll=ROLL, seed=5)
    path = folder / "nebula_s3d.fits"
    cube.save(str(path))
    images = simulate_images(folder, scene, filters=FILTERS, roll=IMAGE_ROLL, side=4.0, seed=6)
    _association(folder / "nebula_asn.json", str(path), images, "nebula")

    # The same pixels of a target that moves, whose ephemeris is off by a part of an arcsec.
    cube.meta.target.type = "MOVING"
    cube.meta.wcsinfo.mt_ra, cube.meta.wcsinfo.mt_dec = scene.ra, scene.dec
    moving_cube = folder / "moving_s3d.fits"
    cube.save(str(moving_cube))
    cube.close()
    moving = []
    for number, (name, source) in enumerate(zip(FILTERS[::2], images[::2], strict=True)):
        with datamodels.open(source) as model:
            info, shift = model.meta.wcsinfo, (0.02, -0.013) if number else (-0.3, 0.2)
            info.crval1, info.crval2 = info.crval1 + shift[0], info.crval2 + shift[1]
            info.mt_avra = scene.ra + shift[0] + 0.25 / 3600
            info.mt_avdec = scene.dec + shift[1] - 0.4 / 3600
            model.meta.target.type = "MOVING"
            moving.append(str(folder / f"moving_{name.lower()}_i2d.fits"))
            model.save(moving[-1])
    _association(folder / "moving_asn.json", str(moving_cube), moving, "moving")

    with datamodels.open(images[2]) as model:
        model.meta.wcsinfo.crval2 += 0.06 / 3600
        misplaced = str(folder / "misplaced_f210m_i2d.fits")
        model.save(misplaced)
    members = [images[0], misplaced]
    _association(folder / "misplaced_asn.json", str(path), members, "misplaced")


def star_exposures(folder):
    """
    Write PSFs as files, and exposures of a star to measure them from.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.
    """
    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import simulate_images
    from jwst_fusion.simulation.psfs import cube_psf, imager_psf
    from jwst_fusion.simulation.scenes import single_star

    star = single_star(blue=1.64, red=2.34, field=6.0, peak=400.0, pixel_scale=0.025)
    cube = simulate_s3d(star, np.arange(1.66, 2.31, 0.016), shape=(33, 34), roll=ROLL, seed=7)
    cube.save(str(folder / "star_s3d.fits"))
    cube.close()
    simulate_images(folder, star, filters=("F182M", "F210M"), roll=IMAGE_ROLL, side=4.5, seed=8)
    write_psf = locate("write_psf", "jwst_fusion.psf", within="jwst_fusion.psf")
    psf = {"nodes": 6, "width": 2.0, "source": "aperture"}
    write_psf(imager_psf(star, roll=IMAGE_ROLL, **psf), str(folder / "psf_image.fits"))
    write_psf(cube_psf(star, roll=ROLL, **psf), str(folder / "psf_cube.fits"))


def gratings(folder):
    """
    Write two cubes whose wavelengths meet, and two images.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.
    """
    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import simulate_images
    from jwst_fusion.simulation.scenes import single_star

    scene, files = single_star(field=6.0, pixel_scale=0.025), []
    for number, (name, grating, low, high) in enumerate(
        (("x_blue_s3d.fits", "G140H", 1.68, 2.02), ("x_red_s3d.fits", "G235H", 1.96, 2.31))
    ):
        cube = simulate_s3d(
            scene,
            np.arange(low, high, 0.02),
            shape=(13, 14),
            grating=grating,
            filter_name="F100LP",
            seed=20 + number,
        )
        cube.save(str(folder / name))
        cube.close()
        files.append(str(folder / name))
    images = simulate_images(folder, scene, filters=("F182M", "F210M"), side=4.0)
    _association(folder / "gratings_asn.json", files, images, "x")


def mrs_observation(folder):
    """
    Write a cube of channel 1 of the MRS and two images of MIRI.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.
    """
    from jwst_fusion.simulation.miri import (
        miri_imager_psf,
        mrs_psf,
        simulate_miri_i2d,
        simulate_mrs_s3d,
    )
    from jwst_fusion.simulation.scene import PointSource, Scene

    rng = np.random.default_rng(5)
    pixel, channels, side = 0.055, 40, 12 * 0.13 + 5.5
    x = np.linspace(0, 1, channels)
    size = int(side / pixel) // 2 * 2 + 1
    clumps = [
        gaussian_filter(rng.standard_normal((size, size)), width / pixel) for width in (0.25, 0.15)
    ]
    maps = np.array([np.exp(0.6 * one / one.std()) for one in clumps])
    line = np.exp(-0.5 * ((x - 0.35) / 0.06) ** 2)
    spectra = np.array([60 + 60 * x, 15 + 60 * line])
    stars = PointSource(0, 0.3, -0.4, 0.4), PointSource(1, -0.4, -0.2, 0.6)
    wave = np.linspace(4.90, 7.65, channels)
    scene = Scene(wave, spectra, maps, pixel, 83.82, -5.42, stars)
    psf = mrs_psf(scene, "1B", roll=ROLL, broadening=0.06)
    cube = simulate_mrs_s3d(scene, wave, "1", shape=(12, 13), roll=ROLL, psf=psf)
    cube.save(str(folder / cube.meta.filename))
    seen = scene.observe(miri_imager_psf(scene, roll=100.0))
    images = []
    for number, name in enumerate(("F560W", "F770W")):
        image = simulate_miri_i2d(seen, name, shape=(40, 44), roll=100.0, seed=9 + number)
        images.append(str(folder / image.meta.filename))
        image.save(images[-1])
    _association(folder / "miri_asn.json", str(folder / cube.meta.filename), images, "miri")
    cube.close()


def mrs_star(references):
    """
    Simulate an exposure of the MRS with a star in four slices, all others left out.

    Parameters
    ----------
    references : pathlib.Path
        Folder with reference files of band 12A.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
    """
    from jwst_fusion.simulation.reference_geometry import mrs_exposure

    star, beside = (111, 209), (110, 210)
    model = mrs_exposure(references, ra=150.0, dec=20.0, roll=30.0)
    transform = model.meta.wcs.get_transform("detector", "alpha_beta")
    labels = transform.label_mapper.mapper
    labels[:] = np.where(np.isin(labels, star + beside), labels, 0)
    for label in set(transform.selector) - {*star, *beside}:
        del transform.selector[label]
    truth = np.full(labels.shape, np.nan)
    for label in star + beside:
        y, x = np.nonzero(labels == label)
        along, _, wave = transform.selector[label](x.astype(float), y.astype(float))
        width = np.sqrt(2) / 2.355 * (0.033 * wave + 0.106)
        near, far = (erf((along - 0.13 + side * 0.098) / width) for side in (1, -1))
        light = 1000.0 * (6 / wave) * (near - far) if label in star else 0.0
        truth[y, x] = light + {1: 5.0, 2: 400.0}[label // 100] * wave / 6
    rng = np.random.default_rng(0)
    variances = {"var_rnoise": 1 + 0 * truth, "var_poisson": 0.05 * truth, "var_flat": 0 * truth}
    error = np.sqrt(sum(variances.values()))
    missing = np.isnan(truth) | (rng.random(truth.shape) < 0.005)
    noise = error * rng.standard_normal(truth.shape)
    for name, values in {"data": truth + noise, "err": error, **variances}.items():
        setattr(model, name, np.where(missing, np.nan, values).astype(np.float32))
    model.dq = np.where(missing, 1, 0).astype(np.uint32)
    return model


def xray_files(folder):
    """
    Write a small pair of X-ray observations.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.

    Returns
    -------
    str
        Association.
    """
    from jwst_fusion.simulation.xray_files import write_xray_pair

    return str(write_xray_pair(_xray_pair(), folder))


def _xray_pair():
    from jwst_fusion.simulation.xray import xray_pair

    sizes = {"fine": 120, "coarse": 12, "shape": (18, 15), "rebin": 3, "counts": (4e5, 4e5)}
    return xray_pair("small", seed=3, energies=(0.7, 0.9), **sizes)


def _tangent(model, shape, scale):
    info = model.meta.wcsinfo
    info.wcsaxes = 3
    values = {
        "ctype": ("RA---TAN", "DEC--TAN"),
        "cunit": ("deg", "deg"),
        "crval": (83.82, -5.42),
        "crpix": ((shape[1] + 1) / 2, (shape[0] + 1) / 2),
        "cdelt": (-scale / 3600, scale / 3600),
    }
    for key, pair in values.items():
        for axis in (1, 2):
            setattr(info, f"{key}{axis}", pair[axis - 1])
    for axis in (1, 2):
        for other in (1, 2):
            setattr(info, f"pc{axis}_{other}", float(axis == other))


def _s3d(data, err, wave, scale, name):
    from stdatamodels.jwst import datamodels

    model = datamodels.IFUCubeModel(data=data.astype("f4"))
    model.err = np.full(data.shape, err, "f4")
    model.dq = np.zeros(data.shape, "u4")
    model.weightmap = np.ones(data.shape, "f4")
    _tangent(model, data.shape[1:], scale)
    info, meta = model.meta.wcsinfo, model.meta
    info.ctype3, info.cunit3, info.crpix3, info.pc3_3 = "WAVE", "um", 1.0, 1.0
    info.crval3, info.cdelt3 = float(wave[0]), float(wave[1] - wave[0])
    meta.telescope, meta.filename, meta.exposure.type = "JWST", name, "NRS_IFU"
    meta.instrument.name, meta.instrument.grating = "NIRSPEC", "G235H"
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_steradians = scale**2 * _STERADIAN
    meta.photometry.pixelarea_arcsecsq = scale**2
    meta.cal_step.cube_build = "COMPLETE"
    return model


def s3d_pair(folder):
    """
    Write two JWST cubes of one scene: sharp with wide channels, coarse with narrow ones.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.

    Returns
    -------
    list of str
        Files.
    """
    rng = np.random.default_rng(1)
    shape, channels, width, factor = (30, 27), 48, 4, 3
    wave = 2.0 + 0.002 * np.arange(channels)
    y, x = np.indices(shape)
    truth = np.full((channels, *shape), 40.0)
    for row, column, size, flux, line in (
        (9.0, 8.0, 1.6, 900.0, 2.02),
        (22.0, 18.0, 2.0, 700.0, 2.05),
        (15.0, 20.0, 3.5, 300.0, 2.07),
    ):
        spot = np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / size**2)
        spectrum = 0.3 + np.exp(-0.5 * ((wave - line) / 0.004) ** 2)
        truth += flux * spectrum[:, None, None] * spot
    wide = truth.reshape(-1, width, *shape).mean(axis=1)
    blurred = gaussian_filter(truth, (0, 1.5, 1.5), mode="nearest")
    m, n = (size // factor for size in shape)
    coarse = blurred.reshape(channels, m, factor, n, factor).mean(axis=(2, 4))
    arrays = [one + rng.standard_normal(one.shape) for one in (wide, coarse)]
    centres = wave.reshape(-1, width).mean(axis=1)
    models = (
        _s3d(arrays[0], 1.0, centres, 0.05, "sharp_s3d.fits"),
        _s3d(arrays[1], 1.0, wave, 0.15, "fine_s3d.fits"),
    )
    paths = [str(folder / model.meta.filename) for model in models]
    for path, model in zip(paths, models, strict=True):
        model.save(path)
    return paths


def _gaussian(sigma, half):
    axis = np.arange(-half, half + 1)
    image = np.exp(-0.5 * (axis[:, None] ** 2 + (axis - 0.3) ** 2) / sigma**2)
    return image / image.sum()


def fusion_arrays(*, complete=False):
    """
    Make the arrays of a small fusion.

    Parameters
    ----------
    complete : bool
        No data missing, no outliers.

    Returns
    -------
    FusionData
    """
    rng = np.random.default_rng(4)
    factor, (h, w), margin, nodes = 3, (10, 11), 0 if complete else 2, 4
    wave = np.linspace(1.7, 2.3, 90)
    x = (wave - 2) / 0.3
    spectra = np.array(
        [1 - 0.4 * x, 0.3 + 4 * np.exp(-0.5 * (x / 0.03) ** 2), 1 + 0.5 * x**2, 0.4 + 0.3 * x]
    )
    tall, wide = factor * (h + 2 * margin), factor * (w + 2 * margin)
    noise = rng.standard_normal((4, tall, wide))
    maps = np.array(
        [gaussian_filter(one, s, mode="wrap") for one, s in zip(noise, (0.8, 2, 4, 6), strict=True)]
    )
    maps = 20 * np.exp(maps / maps.std(axis=(1, 2), keepdims=True))
    scene = np.tensordot(spectra.T, maps, 1)
    sharp = gaussian_filter(scene, (0, 0.9, 0.9), mode="wrap")
    blurred = gaussian_filter(scene, (0, 2.2, 2.2), mode="wrap")
    cube = blurred[:, factor // 2 :: factor, factor // 2 :: factor]
    bands = [(1.72, 1.97), (1.75, 2.23), (1.99, 2.2), (2.11, 2.135)]
    response = np.array([(wave > low) & (wave < high) for low, high in bands], float)
    response *= np.array([1.06, 1.0, 0.97, 1.08])[:, None] / response.sum(1, keepdims=True)
    images = np.tensordot(response, sharp, 1)
    cube_sigma = np.median(cube, (1, 2)) / 40
    image_sigma = np.median(images, (1, 2)) / 150
    images = images + image_sigma[:, None, None] * rng.normal(size=images.shape)
    cube = cube + cube_sigma[:, None, None] * rng.normal(size=cube.shape)
    weight = np.ones(cube.shape[1:])
    if not complete:
        outside = np.pad(np.ones((h, w), bool), margin) == 0
        cube[:, outside] = np.nan
        weight[outside] = 0
        cube[30:33, 5, 6] = np.nan
        cube[50, 7, 7] += 100 * cube_sigma[50]
        images[1, 20, 21] += 1000 * image_sigma[1]
    angle = np.linspace(0, nodes - 1, wave.size)
    weights = np.maximum(1 - np.abs(angle[:, None] - np.arange(nodes)), 0)
    grow = np.linspace(0.85, 1.15, nodes)
    data = locate("FusionData", "jwst_fusion.fusion.forward", within="jwst_fusion.fusion")
    return data(
        cube=cube,
        cube_sigma=cube_sigma,
        spaxel_weight=weight,
        images=images,
        image_sigma=image_sigma,
        image_weight=np.ones(images.shape),
        response=response,
        psf_weights=weights,
        psf_image=np.array([_gaussian(0.9 * one, 12) for one in grow]),
        psf_cube=np.array([_gaussian(2.2 * one, 12) for one in grow]),
        factor=factor,
    )


def hifred_arrays(*, gaussian=False):
    """
    Make the arrays of a small fusion of counts.

    Parameters
    ----------
    gaussian : bool
        Add variances for the Gaussian likelihood.

    Returns
    -------
    data : SimpleNamespace
        With arguments `positional`, and `more` keywords.
    """
    response = locate("Response", "jwst_fusion.hifred.response", within="jwst_fusion.hifred")
    pair = _xray_pair()
    shape = pair.truth.shape
    first = response.build(shape, spectral=pair.rmf_x, arf=pair.arf_x, exposure=pair.exposure_x)
    second = response.build(
        shape, psf=pair.psf_y, rebin=(1, 3, 3), arf=pair.arf_y, exposure=pair.exposure_y
    )
    more = {}
    if gaussian:
        variances = {"variance_x": pair.x_model + 1.0, "variance_y": pair.y_model + 1.0}
        more = {"likelihood": "gaussian", **variances}
    return SimpleNamespace(positional=(pair.x, pair.y, first, second), more=more)
