import logging
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from jwst_fusion.bandpass import FILTERS, nominal_bandpass
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.photometry import filter_responses
from jwst_fusion.fusion.observed.registration import common_grid
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.psf.headers import across_slices, default_size
from jwst_fusion.fusion.psf.mrs import mrs_band, mrs_parts
from jwst_fusion.fusion.psf.observation_psf import psfs_of
from jwst_fusion.fusion.psf.pixel_kernels import cube_pixel_kernels, image_pixel_kernels
from jwst_fusion.fusion.run import _usable_filters
from jwst_fusion.metrics import psnr
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.psf import aperture_angle, make_psf
from jwst_fusion.psf.instruments import MRS_BANDS
from jwst_fusion.simulation.miri import (
    miri_imager_psf,
    mrs_psf,
    simulate_miri_i2d,
    simulate_mrs_s3d,
)
from jwst_fusion.simulation.scene import PointSource, Scene
from jwst_fusion.steps.fusion import FusionStep

ROLLS = {"cube": 30.0, "image": 100.0}
FWHM = 2.3548
SPAXELS = {"1": 0.13, "2": 0.17, "3": 0.20, "4": 0.35}


def miri_scene(low, high, channels, side, pixel=0.055):
    """Clumps, a knot and two stars with continua and lines; `side` in arcsec."""
    rng = np.random.default_rng(5)
    x = np.linspace(0, 1, channels)
    size = int(side / pixel) // 2 * 2 + 1
    north, west = (np.indices((size, size)) - size // 2) * pixel
    clumps = [
        gaussian_filter(rng.standard_normal((size, size)), width / pixel)
        for width in (0.25, 0.15, 0.35)
    ]
    maps = np.array([np.exp(0.6 * one / one.std()) for one in clumps])
    maps[1] += 3 * np.exp(-((west + 0.4) ** 2 + (north - 0.3) ** 2) / 0.2)

    def line(centre, width):
        return np.exp(-0.5 * ((x - centre) / width) ** 2)

    spectra = np.array(
        [
            60 + 60 * x,
            15 + 40 * line(0.35, 0.06) + 60 * line(0.8, 0.03),
            50 * (1 - x) + 70 * line(0.55, 0.1),
        ]
    )
    stars = PointSource(0, 0.5, -0.6, 0.4), PointSource(2, -0.7, -0.2, 0.6)
    wavelength = np.linspace(low, high, channels)
    return Scene(wavelength, spectra, maps, pixel, 83.82, -5.42, stars)


def observe(band, low, high, filters, *, shape, channels=40, sigma=0.0):
    """Cube and images of the scene, and what the imager would see with a spectrograph."""
    side = max(shape) * SPAXELS[band[0]]
    scene = miri_scene(low, high, channels, side + 6.5)
    middle = band if len(band) == 2 else f"{band}B"
    psf = mrs_psf(scene, middle, roll=ROLLS["cube"], broadening=sigma)
    cube = simulate_mrs_s3d(scene, scene.wavelength, band, shape=shape, roll=ROLLS["cube"], psf=psf)
    seen = scene.observe(miri_imager_psf(scene, roll=ROLLS["image"]))
    size = int((side + 3) / 0.11)
    images = [
        simulate_miri_i2d(seen, name, shape=(size, size + 4), roll=ROLLS["image"], seed=9 + number)
        for number, name in enumerate(filters)
    ]
    return cube, images, seen


def cubic(cube, result):
    coarse, fine = read_cube(cube).grid, read_cube(result).grid
    y, x = np.indices(fine.shape)
    x, y = coarse.pixels(fine.sky(x, y))
    return np.array([map_coordinates(p, [y, x], order=3, mode="nearest") for p in cube.data])


def radial_fwhm(psf, scale):
    middle = psf.shape[0] // 2
    radius, angle = np.arange(0, 40, 0.1), np.linspace(0, 2 * np.pi, 32, endpoint=False)
    y = middle + np.outer(np.sin(angle), radius)
    x = middle + np.outer(np.cos(angle), radius)
    profile = map_coordinates(psf, [y, x], order=3).mean(0)
    return 2 * scale * np.interp(-0.5 * profile[0], -profile, radius)


@pytest.mark.parametrize("band", MRS_BANDS)
def test_every_band_is_as_wide_as_measured(band):
    """Widths of stars in cubes of the pipeline: Law et al. (2023), AJ 166, 45, 0.033 um + 0.106."""
    wavelength = 0.5 * sum(MRS_BANDS[band][1:])
    psf = make_psf(
        "MIRI_MRS",
        wavelength=[wavelength],
        pixel_scale=0.04,
        npix=101,
        detector=band,
        source="aperture",
        pixel_kernels=cube_pixel_kernels(
            instrument="MIRI_MRS", band=band, spaxel=SPAXELS[band[0]], angle=0.0
        ),
    )
    assert radial_fwhm(psf.data[0], 0.04) == pytest.approx(0.033 * wavelength + 0.106, rel=0.1)


def test_slices_run_along_ideal_x():
    turned = 10.0 + aperture_angle("MIRI_MRS", "2B")
    common = {"instrument": "MIRI_MRS", "spaxel": 0.17, "angle": 10.0, "band": "2B"}
    assert cube_pixel_kernels(**common, oversample=2.0) == (
        (0.196, 0.280, turned),
        (0.098, 0.280, turned),
        (0.17, 0.17, 0.0),
    )
    image = {"instrument": "MIRI", "channel": "MIRI", "detector": "MIRIMAGE", "angle": 50.0}
    turned = 50.0 + aperture_angle("MIRI")
    assert image_pixel_kernels(pixfrac=0.5, pixel_scale=0.06, grid_angle=3.0, **image) == (
        (0.11, 0.11, turned),
        (0.055, 0.055, turned),
        (0.06, 0.06, 3.0),
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (4.90, 7.65, {"F560W"}),
        (7.51, 11.70, {"F1000W", "F1130W"}),
        (11.55, 17.98, {"F1280W", "F1500W"}),
        (17.70, 28.70, {"F2100W", "F2550W"}),
        (4.90, 11.70, {"F560W", "F770W", "F1000W", "F1130W"}),
        (11.55, 28.70, {"F1280W", "F1500W", "F1800W", "F2100W", "F2550W"}),
        (4.90, 28.70, set(FILTERS["MIRI"])),
    ],
)
def test_filters_that_a_channel_covers(low, high, expected):
    wavelength = np.linspace(low, high, 3001)
    bands = [nominal_bandpass(name) for name in FILTERS["MIRI"]]
    _, coverages = filter_responses(wavelength, bands, usable=np.ones(3001, bool))
    covered = dict(zip(FILTERS["MIRI"], coverages, strict=True))
    assert {name for name, share in covered.items() if share >= 0.98} == expected


def test_channels_within_a_cube():
    wavelength = np.linspace(5.0, 20.0, 301)
    parts = mrs_parts(wavelength)
    assert list(parts) == ["1", "2", "3", "4"]
    assert sum(inside.astype(int) for inside in parts.values()).tolist() == [1] * 301
    assert wavelength[parts["2"]][[0, -1]] == pytest.approx([7.6, 11.6], abs=0.051)
    # one channel goes as far as its header says
    assert list(mrs_parts(np.linspace(7.51, 8.77, 50), "2")) == ["2"]
    assert list(mrs_parts(np.linspace(7.51, 8.77, 50), "12")) == ["1", "2"]
    assert [mrs_band("3", *ends) for ends in ((11.6, 13.4), (11.55, 17.98), (16, 17.9))] == [
        "3A",
        "3B",
        "3C",
    ]


def test_the_default_size_grows_with_wavelength():
    assert default_size([1.0, 5.0], "NIRSPEC") == 3.0
    assert default_size([4.9, 5.7], "MIRI") == pytest.approx(20 * 5.7e-6 / 6.6 * 206264.8, rel=1e-3)
    assert default_size([17.7, 28.7], "MIRI") == 10.0


def test_psfs_of_a_cube_with_two_channels():
    cube, images, _ = observe("1", 6.5, 9.5, ("F770W",), shape=(6, 7), channels=31)
    cube.meta.instrument.channel = "12"
    cube, images = read_cube(cube), [read_image(image) for image in images]
    grid = common_grid(cube.grid, field=tuple(map(slice, cube.grid.shape)), factor=2, margin=0.3)
    options = FusionOptions(psf_source="aperture", psf_size=3.0)
    psf = psfs_of(cube.wavelength, cube, images, grid, (100.0, 30.0), options)
    short = psf.nodes < 7.58
    assert not psf.weights[cube.wavelength < 7.58][:, ~short].any()
    assert psf.weights.sum(1) == pytest.approx(np.ones(31))
    image, spaxels = (np.tensordot(psf.weights, one, 1) for one in (psf.image, psf.cube))
    # the imager does not care for the limit; pixels of the cube are larger beyond it
    last = np.count_nonzero(cube.wavelength < 7.58)
    jumps = [abs(one[last].max() / one[last - 1].max() - 1) for one in (image, spaxels)]
    assert jumps[0] < 0.03
    assert jumps[1] > 0.08
    # 30 deg roll, and across the slices along ideal y
    assert across_slices(cube.wavelength, cube, 30.0) == pytest.approx(30.0 + 8.2 + 90.0, abs=0.2)


@pytest.mark.parametrize(
    ("band", "low", "high", "filters", "shape", "sigma"),
    [
        ("1", 4.90, 7.65, ("F560W", "F770W"), (18, 19), 0.06),
        ("4", 17.70, 28.70, ("F1800W", "F2100W", "F2550W"), (12, 13), 0.15),
    ],
)
def test_cube_and_images_of_miri_are_fused(band, low, high, filters, shape, sigma, caplog):
    cube, images, seen = observe(band, low, high, filters, shape=shape, sigma=sigma)
    with caplog.at_level(logging.INFO):
        result = FusionStep.call([cube, *images], psf_source="aperture")
    assert result.meta.cal_step.fusion == "COMPLETE"
    # the one that leaves the channel is not used, and the log says so
    left_out = {"1": "F770W", "4": "F1800W"}[band]
    assert f"({left_out}) is not used: the cube covers" in caplog.text
    assert result.filter_table["filter"].tolist() == [n for n in filters if n != left_out]
    # the cube is wider than its model; the step finds by how much
    fusion = result.meta.fusion
    assert fusion.psf_broadening_across == pytest.approx(sigma * FWHM, abs=0.02)
    assert fusion.psf_broadening_along == pytest.approx(sigma * FWHM, abs=0.02)
    y, x = np.indices(result.data.shape[1:])
    sky = read_cube(result).grid.sky(x, y)
    truth = seen.cube(sky.ra.deg, sky.dec.deg, seen.scene.wavelength)
    good = result.dq == 0
    assert good.mean() > 0.95
    fused = psnr(truth, result.data, good)
    assert fused > 46
    assert fused > psnr(truth, cubic(cube, result), good) + 15
    assert np.abs(result.filter_table["calibration"] - 1).max() < 6e-3
    ratio = np.abs(result.data - truth)[good] / result.err[good]
    assert 0.5 < np.percentile(ratio, 68) < 2.0


def test_orientation_of_real_cubes(data_dir):
    """Cubes built along the slices turn against each other as their bands do."""
    folder = data_dir / "mrs_s3d_real"
    if not folder.is_dir():
        pytest.skip(f"no real cubes in {folder}")
    rolls, lines = [], []
    for band, name in (("4A", "short"), ("4C", "long")):
        cube = read_cube(str(folder / f"ngc7469_Level3_ch4-{name}_s3d.fits.gz"))
        assert (cube.instrument, cube.grating) == ("MIRI", "4")
        rolls.append(cube.grid.pa_y - aperture_angle("MIRI_MRS", band))
        across = across_slices(cube.wavelength, cube, rolls[0] - cube.grid.pa_y)
        lines.append((across + 90) % 180 - 90)
    assert np.ptp(rolls) < 0.03
    # across the slices is along y of these cubes
    assert np.abs(np.abs(lines) - 90) == pytest.approx(np.zeros(2), abs=0.03)


@pytest.mark.parametrize(("instrument", "told"), [("MIRI", True), ("NIRSPEC", False)])
def test_a_band_that_is_narrower_than_the_filters_is_told_how_to_be_joined(instrument, told):
    wavelength = np.linspace(8.67, 10.13, 50)
    images = [SimpleNamespace(name="a", filter="F1000W", instrument="MIRI")]
    cube = SimpleNamespace(instrument=instrument)
    with pytest.raises(NotFusableError, match="no filter lies within") as refused:
        _usable_filters(cube, wavelength, np.ones((50, 2, 2), bool), images, FusionOptions())
    assert ("F1000W reaches beyond it" in str(refused.value)) == told
    assert ("output_type=channel" in str(refused.value)) == told
