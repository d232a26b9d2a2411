import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.photometry import at_centres
from jwst_fusion.fusion.observed.registration import common_grid
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.psf.broadening import Broadening, broaden, fit_broadening
from jwst_fusion.fusion.psf.headers import image_channels
from jwst_fusion.fusion.psf.instrument_psf import (
    PsfPair,
    psf_pair,
    read_psf_pair,
)
from jwst_fusion.fusion.psf.observation_psf import psf_angles, psfs_of
from jwst_fusion.fusion.psf.optics import Optics, TelescopeModel
from jwst_fusion.fusion.psf.pixel_kernels import (
    ChannelOptics,
    cube_pixel_kernels,
    image_pixel_kernels,
)
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.psf import PsfCube, aperture_angle, make_psf, write_psf

FWHM = 2.3548
FILTERS = ("F182M", "F210M")


def variance(psf, scale):
    """Second moments of a PSF (xx, yy, xy), arcsec^2."""
    y, x = (np.indices(psf.shape) - psf.shape[0] // 2) * scale
    total = psf.sum()
    return np.array([(psf * x * x).sum(), (psf * y * y).sum(), (psf * x * y).sum()]) / total


@pytest.fixture
def observations(scene, products):
    cube = read_cube(products.cube(scene, np.linspace(2.0, 2.2, 8), shape=(13, 14), pa=20.0))
    images = [read_image(products.image(scene, "F210M", shape=(80, 84), pa=25.0))]
    field = tuple(slice(0, size) for size in cube.grid.shape)
    return cube, images, common_grid(cube.grid, field=field, factor=3, margin=0.2)


def test_angles_are_relative_to_the_grid(observations, caplog):
    cube, images, grid = observations
    angles = psf_angles(cube, images, grid.fine, FusionOptions())
    assert angles == pytest.approx((77.0 - 20.0, 30.0 - 20.0), abs=1e-3)
    given = FusionOptions(roll_image=100.0, roll_cube=-5.0)
    assert psf_angles(cube, images, grid.fine, given) == pytest.approx((80.0, -25.0), abs=1e-3)
    other = type(images[0])(**{**vars(images[0]), "pa_v3": 90.0})
    psf_angles(cube, [*images, other], grid.fine, FusionOptions())
    assert "differ by up to 13.0 deg" in caplog.text


def changed(observation, **values):
    return type(observation)(**{**vars(observation), **values})


def test_what_stands_in_for_an_unknown_detector_is_logged_once(observations, caplog):
    _, images, grid = observations
    with caplog.at_level(logging.INFO):
        image_channels([changed(images[0], detector="NRCB3")], angle=57.0, fine=grid.fine)
    assert not caplog.text
    several = [changed(one, detector="MULTIPLE", filter=name) for one in images for name in FILTERS]
    with caplog.at_level(logging.INFO):
        channels = image_channels(several, angle=57.0, fine=grid.fine)
    assert caplog.text.count("PSF and orientation of NRCB1 stand for it") == 1
    assert "DETECTOR is 'MULTIPLE'" in caplog.text
    assert {name: one.detector for name, one in channels.items()} == {"SHORT": None}
    caplog.clear()
    with caplog.at_level(logging.INFO):
        long = changed(images[0], detector="", filter="F444W")
        image_channels([long], angle=57.0, fine=grid.fine)
    assert "PSF and orientation of NRCB5 stand for it" in caplog.text


def test_images_with_other_pixels_are_told_with_numbers(observations, products, scene, caplog):
    _, images, grid = observations
    given = {"angle": 57.0, "fine": grid.fine}
    same = changed(images[0], name="same")
    image_channels([images[0], same], **given)
    assert not caplog.records
    turned = read_image(products.image(scene, "F210M", shape=(80, 84), pa=65.0))
    image_channels([images[0], turned], **given)
    assert "angles by up to 40.0 deg" in caplog.text
    caplog.clear()
    # a quarter of a turn makes no difference to square pixels
    turned = read_image(products.image(scene, "F210M", shape=(80, 84), pa=115.0))
    image_channels([images[0], turned], **given)
    assert not caplog.records
    fine = read_image(products.image(scene, "F210M", shape=(80, 84), pa=25.0, scale=0.02))
    image_channels([images[0], fine], **given)
    assert 'widths differ by up to 0.0112"' in caplog.text
    caplog.clear()
    image_channels([images[0], changed(images[0], pixfrac=None, name="raw")], **given)
    assert "raw is not resampled" in caplog.text


@pytest.mark.parametrize(
    ("names", "noted", "passed"),
    [
        (("F212N", "F210M"), True, None),
        (("F212N", "F444W"), False, "F212N"),
        (("F182M", "F210M"), False, None),
    ],
)
def test_a_focus_that_is_left_out_is_told(observations, names, noted, passed, caplog):
    _, images, grid = observations
    given = [changed(images[0], filter=name) for name in names]
    with caplog.at_level(logging.INFO):
        channels = image_channels(given, angle=57.0, fine=grid.fine)
    assert ("The focus that F212N has of its own is left out" in caplog.text) == noted
    assert channels["SHORT"].filter == passed


def test_missing_roll_names_the_parameter(observations):
    cube, images, grid = observations
    unknown = type(images[0])(**{**vars(images[0]), "pa_v3": None})
    with pytest.raises(NotFusableError, match="set the parameter roll_image"):
        psf_angles(cube, [unknown], grid.fine, FusionOptions())


def test_pixel_kernels_follow_the_header():
    common = {"instrument": "NIRCAM", "channel": "SHORT", "detector": "NRCB1", "angle": 50.0}
    common |= {"pixel_scale": 0.03, "grid_angle": 5.0}
    turned = 50.0 + aperture_angle("NIRCAM", "NRCB1")
    assert image_pixel_kernels(pixfrac=None, **common) == ((0.0311, 0.0311, turned),)
    assert image_pixel_kernels(pixfrac=0.8, **common) == (
        (0.0311, 0.0311, turned),
        (0.8 * 0.0311, 0.8 * 0.0311, turned),
        (0.03, 0.03, 5.0),
    )
    turned = 10.0 + aperture_angle("NIRSPEC")
    assert cube_pixel_kernels(instrument="NIRSPEC", spaxel=0.1, angle=10.0, oversample=3.0) == (
        (0.1, 0.1, turned),
        (0.1, 0.1 / 3, turned),
        (0.1, 0.1, 0.0),
    )
    assert cube_pixel_kernels(instrument="X", spaxel=0.1, angle=0.0, resampled=False) == (
        (0.1, 0.1, 0.0),
    )


def test_pixel_kernels_widen_the_psf_as_they_should(observations):
    cube, images, grid = observations
    scale = grid.fine.scale
    options = {"psf_nodes": 2, "psf_size": 3.0, "psf_source": "aperture"}
    angles = (57.0, 10.0)

    def second_moments(**more):
        psf = psfs_of(cube.wavelength, cube, images, grid, angles, FusionOptions(**options, **more))
        return [variance(kind[0], scale) for kind in (psf.image, psf.cube)], psf

    (image, plain), psf = second_moments()
    (_, sharp), _ = second_moments(trace_oversample=3.0)
    change = (plain - sharp)[:2].sum()
    assert change == pytest.approx(0.01 / 12 * (1 - 1 / 9), rel=0.05)
    assert psf.weights.sum(1) == pytest.approx(np.ones(8))
    assert psf.image.sum((1, 2)) == pytest.approx(np.ones(2))
    assert psf.image.shape[1] % 2 == 1
    assert psf.source == "aperture"
    optics = make_psf(
        "NIRCAM",
        wavelength=psf.nodes,
        pixel_scale=scale,
        npix=psf.image.shape[1],
        angle=57.0,
        source="aperture",
        detector="NRCB1",
        filter="F210M",
    )
    kernels = (2 * 0.0311**2 + 0.0312**2) / 12
    added = image - variance(optics.data[0], scale)
    assert added[:2] == pytest.approx([kernels, kernels], rel=0.1)


def test_broadening_widens_the_psf_by_its_own_variance(gaussian_psfs):
    files = gaussian_psfs["psf_image"], gaussian_psfs["psf_cube"]
    pair = read_psf_pair(np.linspace(1.7, 2.2, 9), *files, pixel_scale=0.03, npix=61)
    wide = broaden(pair, Broadening(0.12, 0.06, 90.0), 0.03)
    added = variance(wide.cube[2], 0.03) - variance(pair.cube[2], 0.03)
    # 90 degrees: across the slices is along y.
    assert added == pytest.approx([(0.06 / FWHM) ** 2, (0.12 / FWHM) ** 2, 0.0], abs=1e-5)
    assert wide.cube.sum((1, 2)) == pytest.approx(np.ones(len(wide.cube)))
    assert np.array_equal(wide.image, pair.image)
    tilted = variance(broaden(pair, Broadening(0.12, 0.0, 45.0), 0.03).cube[2], 0.03)
    assert tilted[2] == pytest.approx((0.12 / FWHM) ** 2 / 2, rel=0.02)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("widths", [(0.0, 0.0), (0.12, 0.12), (0.15, 0.07)])
def test_broadening_is_found_from_the_data(scene, products, widths, factor):
    shape, wave = (20, 22), 2.1
    rng = np.random.default_rng(6)
    fine_scale = 0.1 / factor
    fine_wcs = products.wcs(tuple(factor * size for size in shape), fine_scale)
    image = scene.cube(fine_wcs, tuple(factor * n for n in shape), [wave], products.imager_sigma)[0]
    y, x = np.indices((61, 61)) - 30
    radius = (x**2 + y**2) * fine_scale**2
    psfs = [
        np.exp(-0.5 * radius / f(wave) ** 2) for f in (products.imager_sigma, products.cube_sigma)
    ]
    psfs = [psf / psf.sum() for psf in psfs]
    # Scene as the cube sees it: its PSF, then the unknown Gaussian at 30 degrees.
    pad = 12
    wide_shape = tuple(n + 2 * pad for n in shape)
    dense = products.wcs(tuple(4 * n for n in wide_shape), 0.025)
    seen = scene.cube(dense, tuple(4 * n for n in wide_shape), [wave], products.cube_sigma)[0]
    pair = PsfPair(None, None, seen[None], "", None)
    total = seen.sum()
    seen = broaden(pair, Broadening(*widths, 30.0), 0.025).cube[0] * total
    synthetic = at_centres(seen, 4)[pad:-pad, pad:-pad] / 1.1
    synthetic += 0.3 * rng.standard_normal(shape)
    synthetic[:2, :2] = np.nan
    found = fit_broadening(
        image[None],
        synthetic[None],
        psfs[0][None],
        psfs[1][None],
        factor=factor,
        pixel_scale=fine_scale,
        angle=30.0,
    )
    # Widths add in quadrature: small ones are known less well.
    assert found.across**2 == pytest.approx(widths[0] ** 2, abs=1.5e-3)
    assert found.along**2 == pytest.approx(widths[1] ** 2, abs=1.5e-3)


def test_no_data_no_broadening(caplog):
    psf = np.ones((1, 3, 3)) / 9
    nothing = np.full((1, 24, 24), np.nan)
    options = {"factor": 3, "pixel_scale": 0.03, "angle": 0.0}
    found = fit_broadening(nothing, np.ones((1, 8, 8)), psf, psf, **options)
    assert (found.across, found.along) == (0.0, 0.0)
    assert "Too little of the images" in caplog.text


def test_words_and_numbers_for_the_broadening():
    assert FusionOptions(psf_broadening="auto").broadening_widths() is None
    assert FusionOptions(psf_broadening="fit").broadening_widths() is None
    assert FusionOptions(psf_broadening=0.1).broadening_widths() == (0.1, 0.1)
    assert FusionOptions(psf_broadening="0.15, 0.10").broadening_widths() == (0.15, 0.10)
    assert FusionOptions(psf_broadening="0.15x0.10").broadening_widths() == (0.15, 0.10)


def pair(wavelength, image_kernels=(), cube_kernels=(), npix=31, **more):
    common = {"angle": 0.0, "model": TelescopeModel(source="aperture")}
    short = {"SHORT": ChannelOptics(pixel_kernels=image_kernels)}
    image = Optics(instrument="NIRCAM", channels=short, **common)
    own = ChannelOptics(pixel_kernels=cube_kernels)
    cube = Optics(instrument="NIRSPEC", channels=own, **common)
    return psf_pair(wavelength, image, cube, **{"pixel_scale": 0.033, "npix": npix, **more})


def test_no_step_where_no_image_reaches():
    wavelength = np.linspace(2.1, 2.6, 26)
    both = pair(wavelength, ((0.03, 0.03, 0.0),), ((0.1, 0.1, 0.0),), count=8)
    peak = np.tensordot(both.weights, both.image, 1).max((1, 2))
    assert np.abs(np.diff(peak) / peak[1:]).max() < 0.03
    cube = np.tensordot(both.weights, both.cube, 1).max((1, 2))
    assert np.all(np.diff(cube) < 0)


def test_nodes_on_either_side_of_the_channels_of_nircam():
    wavelength = np.linspace(2.1, 2.6, 26)
    both = pair(wavelength, count=8)
    assert both.weights.sum(1) == pytest.approx(np.ones(26))
    short = both.nodes < 2.35
    assert not both.weights[wavelength < 2.35][:, ~short].any()
    assert not both.weights[wavelength >= 2.35][:, short].any()
    assert len(both.image) == len(both.cube) == len(both.nodes) == 8


def test_single_wavelength():
    assert pair(np.array([2.1]), count=8, npix=15).weights.tolist() == [[1.0]]


@pytest.mark.parametrize(("low", "high"), [(2.0, 2.2), (1.66, 2.3)])
def test_number_of_nodes_follows_from_the_accuracy(low, high):
    """Both OTFs, interpolated as the fusion does, are those computed for that wavelength."""
    image_kernels = ((0.0311, 0.0311, 20.0),) * 2 + ((0.033, 0.033, 0.0),)
    cube_kernels = ((0.1, 0.1, 20.0),) * 2 + ((0.1, 0.1, 0.0),)
    wavelength = np.linspace(low, high, 7)
    both = pair(wavelength, image_kernels, cube_kernels, npix=61)
    for kind, instrument, own in (
        (both.image, "NIRCAM", image_kernels),
        (both.cube, "NIRSPEC", cube_kernels),
    ):
        common = {"pixel_scale": 0.033, "npix": 61, "pixel_kernels": own, "source": "aperture"}
        direct = make_psf(instrument, wavelength=wavelength, **common).data
        difference = np.fft.fft2(np.tensordot(both.weights, kind, 1) - direct)
        error = np.linalg.norm(difference, axis=(1, 2))
        assert (error / np.linalg.norm(np.fft.fft2(direct), axis=(1, 2))).max() < 1.1e-3
    # no more than it takes, and fewer for a narrower range
    assert len(both.nodes) <= {2.0: 5, 1.66: 12}[low]


def test_psfs_from_files(gaussian_psfs, products):
    wavelength = np.linspace(1.7, 2.2, 9)
    files = gaussian_psfs["psf_image"], gaussian_psfs["psf_cube"]
    pair = read_psf_pair(wavelength, *files, pixel_scale=0.03, npix=41)
    for psfs, sigma in ((pair.image, products.imager_sigma), (pair.cube, products.cube_sigma)):
        at = np.tensordot(pair.weights, psfs, 1)
        assert psfs.shape[1:] == (41, 41)
        for wave, psf in zip(wavelength, at, strict=True):
            assert variance(psf, 0.03)[:2] == pytest.approx([sigma(wave) ** 2] * 2, rel=0.02)


@pytest.mark.parametrize("counts", [(1, 6), (6, 1), (3, 40)])
def test_files_with_different_wavelengths(tmp_path, products, counts):
    """Neither one image for all wavelengths nor many that are evenly spaced spoils the other."""
    wavelength = np.linspace(1.7, 2.2, 9)
    y, x = np.indices((81, 81)) - 40
    files, sigmas = [], (products.imager_sigma, products.cube_sigma)
    for number, (count, sigma) in enumerate(zip(counts, sigmas, strict=True)):
        nodes = np.linspace(1.65, 2.25 + 0.1 * number, count) if count > 1 else np.array([1.95])
        data = np.array([np.exp(-0.5 * (x**2 + y**2) * (0.0125 / sigma(n)) ** 2) for n in nodes])
        data /= data.sum((1, 2), keepdims=True)
        files.append(tmp_path / f"{number}.fits")
        write_psf(PsfCube(data, nodes, 0.0125, "Gaussian"), files[-1])
    pair = read_psf_pair(wavelength, *files, pixel_scale=0.03, npix=31)
    for psfs, sigma, count in zip((pair.image, pair.cube), sigmas, counts, strict=True):
        for wave, psf in zip(wavelength, np.tensordot(pair.weights, psfs, 1), strict=True):
            width = sigma(wave if count > 1 else 1.95)
            assert variance(psf, 0.03)[:2] == pytest.approx([width**2] * 2, rel=0.02)
    with pytest.raises(ValueError, match=r"0\.fits.*wavelength must lie|1\.fits.*must lie"):
        read_psf_pair(wavelength + 1.0, *files, pixel_scale=0.03, npix=31)


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    path = Path(__file__).parents[1] / "psf" / "star_files.py"
    spec = importlib.util.spec_from_file_location("star_files", path)
    star_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(star_files)
    folder = tmp_path_factory.mktemp("stars")
    image = star_files.star_image(folder / "star_i2d.fits")
    channels = np.linspace(1.95, 2.25, 24)
    return str(image), str(star_files.star_cube(folder / "star_s3d.fits", channels))


def test_psfs_from_exposures_of_stars_stand_for_the_models(observations, stars):
    cube, images, grid = observations
    given = (cube.wavelength, cube, images, grid, (57.0, 10.0))
    model = psfs_of(*given, FusionOptions(psf_source="aperture", psf_size=2.0))
    both = {"psf_image": stars[0], "psf_cube": stars[1]}
    measured = psfs_of(*given, FusionOptions(psf_source="data", psf_size=2.0, **both))
    assert measured.source == "data"
    for name, tolerance in (("image", 0.03), ("cube", 0.05)):
        found, expected = (
            np.tensordot(pair.weights, getattr(pair, name), 1) for pair in (measured, model)
        )
        # stars and science data differ a little in the orientation of their pixels
        assert np.abs(found - expected).max() < tolerance * expected.max()
        assert found.sum((1, 2)) == pytest.approx(np.ones(len(found)))


def test_star_for_one_instrument_and_model_for_the_other(observations, stars):
    cube, images, grid = observations
    given = (cube.wavelength, cube, images, grid, (57.0, 10.0))
    options = FusionOptions(psf_source="data", psf_cube=stars[1], psf_size=2.0)
    mixed = psfs_of(*given, options)
    assert mixed.source.endswith("(images), data (cube)")
    # a star does not help with a cube of an unknown instrument if it is that of the images
    unknown = type(cube)(**{**vars(cube), "instrument": "SPHERE"})
    assert psfs_of(given[0], unknown, *given[2:], options).source == mixed.source
    alone = FusionOptions(psf_source="data", psf_image=stars[0])
    with pytest.raises(NotFusableError, match="psf_cube"):
        psfs_of(given[0], unknown, *given[2:], alone)


def test_widening_and_jitter_of_the_images(observations):
    cube, images, grid = observations
    given = (cube.wavelength, cube, images, grid, (57.0, 10.0))

    def moments(**more):
        psf = psfs_of(*given, FusionOptions(psf_source="aperture", psf_nodes=2, **more))
        return [variance(kind[0], grid.fine.scale)[:2] for kind in (psf.image, psf.cube)]

    plain = moments()
    wide = moments(psf_broadening_image=0.1)
    assert wide[0] - plain[0] == pytest.approx(np.full(2, (0.1 / FWHM) ** 2), rel=0.05)
    assert np.array_equal(wide[1], plain[1])
    shaken = moments(psf_jitter=30.0)
    for one, other in zip(shaken, plain, strict=True):
        assert one - other == pytest.approx(np.full(2, 0.03**2 - 0.0008**2), rel=0.1)


def test_wavefront_of_the_dates_of_the_observations(observations, monkeypatch):
    cube, images, grid = observations
    asked = []
    monkeypatch.setattr(
        "jwst_fusion.fusion.psf.observation_psf.psf_pair",
        lambda _wavelength, image, side, **_grid: asked.extend((image.model, side.model)),
    )
    cube = type(cube)(**{**vars(cube), "date": "2023-05-01T10:00:00"})
    images = [type(one)(**{**vars(one), "date": "2022-11-02T03:04:05"}) for one in images]
    options = FusionOptions(psf_source="webbpsf", psf_opd="observation", psf_position="100,200")
    psfs_of(cube.wavelength, cube, images, grid, (0.0, 0.0), options)
    assert [one.opd for one in asked] == ["2022-11-02T03:04:05", "2023-05-01T10:00:00"]
    assert [one.position for one in asked] == [(100, 200), None]
    images = [type(one)(**{**vars(one), "date": None}) for one in images]
    with pytest.raises(NotFusableError, match="DATE-OBS"):
        psfs_of(cube.wavelength, cube, images, grid, (0.0, 0.0), options)


def test_instruments_without_a_model(observations):
    cube, images, grid = observations
    other = type(cube)(**{**vars(cube), "instrument": "SPHERE"})
    with pytest.raises(NotFusableError, match=r"no model for the PSF of .* psf_cube"):
        psfs_of(cube.wavelength, other, images, grid, (0.0, 0.0), FusionOptions(psf_nodes=2))
