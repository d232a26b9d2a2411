"""Scenes: exact sources, linearity, spectra, and agreement between ways of looking at them."""

import numpy as np
import pytest
from astropy.wcs import WCS

from jwst_fusion.psf import PsfCube, chebyshev_nodes
from jwst_fusion.simulation.scene import PointSource, Scene
from jwst_fusion.simulation.scenes import nebula, orion_bar, single_star, with_stars

SCALE = 0.02


def gaussian_psf(nodes=4, size=61, shift=0.0):
    """PSF that widens with wavelength and, by `shift`, is not symmetric."""
    wavelength = chebyshev_nodes(1.6, 2.5, nodes)
    y, x = np.mgrid[:size, :size] - size // 2
    data = []
    for w in wavelength:
        sigma = 3.0 * w / 2
        kernel = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
        kernel += 0.2 * np.exp(-0.5 * ((x - shift) ** 2 + y**2) / sigma**2)
        data.append(kernel / kernel.sum())
    return PsfCube(np.array(data), wavelength, SCALE, "test")


def one_star(east=0.05, north=-0.031, flux=2.0):
    wavelength = np.linspace(1.6, 2.5, 50)
    return Scene(
        wavelength,
        np.ones((1, 50)),
        np.zeros((1, 101, 121)),
        SCALE,
        150.0,
        -30.0,
        (PointSource(0, east, north, flux),),
    )


def sky(scene, east, north):
    """RA and Dec of offsets in arcsec by the scene's own WCS."""
    x = (scene.maps.shape[2] - 1) / 2 - east / scene.pixel_scale
    y = (scene.maps.shape[1] - 1) / 2 + north / scene.pixel_scale
    return scene.wcs.all_pix2world(x, y, 0)


def test_point_source_lands_where_it_should_with_its_flux():
    scene = one_star()
    observed = scene.observe(gaussian_psf())
    east, north = np.meshgrid(np.arange(-25, 26) * SCALE, np.arange(-25, 26) * SCALE)
    image = observed.sample(*sky(scene, east, north), np.full(east.shape, 2.0))
    total = image.sum() * SCALE**2
    assert total == pytest.approx(2.0, rel=2e-3)
    assert (image * east).sum() / image.sum() == pytest.approx(0.05, abs=1e-4)
    assert (image * north).sum() / image.sum() == pytest.approx(-0.031, abs=1e-4)


def test_asymmetric_psf_keeps_its_side():
    scene = one_star(0, 0)
    observed = scene.observe(gaussian_psf(shift=12.0))
    right = observed.sample(*sky(scene, -0.3, 0.0), 2.0)
    left = observed.sample(*sky(scene, 0.3, 0.0), 2.0)
    assert right > 1.5 * left


def test_sample_cube_and_band_agree():
    scene = nebula(field=3.0)
    observed = scene.observe(gaussian_psf())
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [scene.ra, scene.dec], [5, 4]
    wcs.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    x, y = np.meshgrid(np.arange(9.0), np.arange(7.0))
    ra, dec = wcs.all_pix2world(x, y, 0)
    wavelength = scene.wavelength[1000:3000:400]
    cube = observed.cube(ra, dec, wavelength)
    for channel, w in zip(cube, wavelength, strict=True):
        np.testing.assert_allclose(observed.sample(ra, dec, np.full(ra.shape, w)), channel)
    weights = np.zeros(len(scene.wavelength))
    weights[[1400, 2200]] = 0.5
    np.testing.assert_allclose(observed.band(ra, dec, weights), (cube[1] + cube[3]) / 2, rtol=1e-10)


def test_uniform_scene_stays_uniform():
    wavelength = np.linspace(1.6, 2.5, 30)
    scene = Scene(wavelength, np.full((1, 30), 7.0), np.ones((1, 151, 151)), SCALE, 0.0, 80.0)
    observed = scene.observe(gaussian_psf())
    np.testing.assert_allclose(observed.sample(*sky(scene, 0.1, 0.2), 1.9), 7.0, rtol=1e-9)


def test_positions_off_the_sky_are_nan_and_off_the_scene_zero():
    scene = one_star()
    observed = scene.observe(gaussian_psf())
    values = observed.sample(np.array([np.nan, 151.0]), np.array([-30.0, -30.0]), 2.0)
    assert np.isnan(values[0])
    assert values[1] == 0


def test_from_cube_recovers_the_cube():
    rng = np.random.default_rng(1)
    cube = np.tensordot(rng.random((40, 3)), rng.random((3, 21, 25)), 1)
    scene = Scene.from_cube(
        cube, np.linspace(1, 2, 40), pixel_scale=0.1, ra=0, dec=0, tolerance=1e-10
    )
    assert len(scene.maps) == 3
    np.testing.assert_allclose(np.tensordot(scene.spectra.T, scene.maps, 1), cube, rtol=1e-9)


@pytest.mark.parametrize("blue_red", [(0.6, 1.3), (1.6, 2.5), (2.8, 5.3)])
def test_presets_are_finite_and_positive_in_every_range(blue_red):
    for scene in (nebula(blue=blue_red[0], red=blue_red[1]), single_star(blue=0.6, red=5.3)):
        assert np.all(np.isfinite(scene.spectra))
        assert np.all(scene.spectra >= 0)
        assert np.all(scene.maps >= 0)


def test_orion_bar_keeps_the_published_cube(data_dir):
    path = data_dir / "orion_bar_scene" / "scene_a.npz"
    scene = with_stars(orion_bar(path, column=300, field=2.0), [(0.1, 0.2, 1.0)])
    with np.load(path) as file:
        maps = file["maps"]
    middle = scene.maps.shape[1] // 2
    np.testing.assert_allclose(
        scene.maps[:4, middle, middle], maps[:, 45, 300], rtol=0.02, atol=0.005
    )
    assert len(scene.maps) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wavelength": np.array([2.0, 1.0])}, "ascend"),
        ({"spectra": np.ones((2, 2))}, "spectra"),
        ({"maps": np.ones((1, 4, 5))}, "odd"),
    ],
)
def test_wrong_scenes_are_refused(change, message):
    arguments = {
        "wavelength": np.array([1.0, 2.0]),
        "spectra": np.ones((1, 2)),
        "maps": np.ones((1, 5, 5)),
        "pixel_scale": 0.1,
        "ra": 0.0,
        "dec": 0.0,
    } | change
    with pytest.raises(ValueError, match=message):
        Scene(**arguments)
