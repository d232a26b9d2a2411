"""NIRSpec with the long-wavelength channel of NIRCam."""

import logging

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.metrics import psnr
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.psf import aperture_angle, chebyshev_nodes, make_psf
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.images import i2d_pixel_kernels, simulate_i2d
from jwst_fusion.simulation.psfs import cube_psf
from jwst_fusion.simulation.scene import PointSource, Scene
from jwst_fusion.steps.fusion import FusionStep

ROLLS = {"cube": 30.0, "image": 100.0}


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(8)
    wavelength, pixel, size = np.linspace(2.87, 5.14, 48), 0.03, 221
    x = np.linspace(0, 1, 48)
    maps = [gaussian_filter(rng.standard_normal((size, size)), width) for width in (6, 4, 9)]
    maps = np.array([np.exp(0.6 * one / one.std()) for one in maps])
    lines = [np.exp(-0.5 * ((x - centre) / 0.04) ** 2) for centre in (0.2, 0.52, 0.85)]
    spectra = [60 + 60 * x, 20 + 60 * lines[0] + 60 * lines[2], 50 * (1 - x) + 70 * lines[1]]
    stars = PointSource(0, 0.2, -0.3, 0.15), PointSource(2, -0.4, 0.2, 0.2)
    return Scene(wavelength, np.array(spectra), maps, pixel, 83.82, -5.42, stars)


@pytest.fixture(scope="module")
def observed(scene):
    """What the long-wavelength channel sees."""
    angle = ROLLS["image"] + aperture_angle("NIRCAM", "NRCB5")
    psf = make_psf(
        "NIRCAM",
        wavelength=chebyshev_nodes(*scene.wavelength[[0, -1]], 9),
        pixel_scale=scene.pixel_scale,
        npix=131,
        angle=ROLLS["image"],
        pixel_kernels=i2d_pixel_kernels(channel="LONG", angle=angle),
        detector="NRCB5",
        source="aperture",
    )
    return scene.observe(psf)


def image(observed, name, *, noise=0.3, seed=0):
    return simulate_i2d(
        observed,
        photometry_weights(observed.scene.wavelength, load_bandpass(name)),
        filter_name=name,
        ra=observed.scene.ra,
        dec=observed.scene.dec,
        position_angle=ROLLS["image"] + aperture_angle("NIRCAM", "NRCB5"),
        shape=(62, 66),
        roll=ROLLS["image"],
        noise=noise,
        channel="LONG",
        seed=seed,
    )


def test_g395_and_long_wave_images(scene, observed, caplog, monkeypatch):
    # Measured curves have faint wings between the filters.
    monkeypatch.delenv("STPSF_PATH", raising=False)
    psf = cube_psf(scene, roll=ROLLS["cube"], source="aperture")
    cube = simulate_s3d(
        scene,
        scene.wavelength,
        shape=(19, 20),
        roll=ROLLS["cube"],
        grating="G395H",
        filter_name="F290LP",
        noise=1.0,
        psf=psf,
    )
    names = ("F277W", "F300M", "F335M", "F444W")
    images = [image(observed, name, seed=number) for number, name in enumerate(names)]
    with caplog.at_level(logging.INFO):
        result = FusionStep.call([cube, *images], psf_source="aperture")
    assert result.meta.cal_step.fusion == "COMPLETE"
    # F300M begins at 2.83 um: one has to ask for it
    used = result.filter_table["filter"].tolist()
    assert used == ["F335M", "F444W"]
    for name in ("F277W", "F300M"):
        assert f"({name}) is not used: the cube covers" in caplog.text
    # 0.063 arcsec pixels: two per spaxel
    assert result.meta.fusion.factor == 2
    assert result.data.shape == (48, 38, 40)
    y, x = np.indices(result.data.shape[1:])
    grid = read_cube(result).grid
    sky = grid.sky(x, y)
    truth = observed.cube(sky.ra.deg, sky.dec.deg, scene.wavelength)
    x, y = read_cube(cube).grid.pixels(sky)
    plain = [map_coordinates(p, [y, x], order=3, mode="nearest") for p in cube.data]
    good = result.dq == 0
    fused = psnr(truth, result.data, good)
    assert good.mean() > 0.95
    assert fused > 42
    assert fused > psnr(truth, np.array(plain), good) + 8
    # between the filters images say something only through the subspace
    outside = (scene.wavelength > 3.6) & (scene.wavelength < 3.8)
    assert np.isin(result.weightmap[outside], (1, 5)).all()
    quick = {"tuning": "manual", "mu": 1e-3, "rank": 3, "psf_size": 1.0, "psf_broadening": 0}
    more = FusionStep.call([cube, *images], psf_source="aperture", min_coverage=0.8, **quick)
    assert more.filter_table["filter"].tolist() == ["F300M", "F335M", "F444W"]


def test_a_filter_in_the_pupil_wheel_is_written_as_in_the_archive(observed, tmp_path):
    model = image(observed, "F323N")
    wheels = model.meta.instrument.filter, model.meta.instrument.pupil
    assert wheels == ("F322W2", "F323N")
    path = tmp_path / model.meta.filename
    assert path.name == "jw09999-o001_t001_nircam_f322w2-f323n_i2d.fits"
    model.save(path)
    model.close()
    assert read_image(path).filter == "F323N"
