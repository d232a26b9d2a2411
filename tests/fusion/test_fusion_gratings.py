"""Cubes of several gratings: each fused, joined, or fused as one."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import map_coordinates
from stdatamodels.jwst import datamodels

from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.joined_posterior import PART_EXTENSIONS
from jwst_fusion.fusion.observed.joining import CubePart, joined, union_grid
from jwst_fusion.fusion.observed.registration import SplineSampler
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.stored_posterior import EXTENSIONS
from jwst_fusion.fusion.sums import error_of
from jwst_fusion.metrics import psnr
from jwst_fusion.numerics.stored_arrays import stored_items
from jwst_fusion.products.keywords import celestial_wcs
from jwst_fusion.products.observations import read_cube
from jwst_fusion.products.several_cubes import joined_product, stacked_cube
from jwst_fusion.products.wavelength import set_wavelengths
from jwst_fusion.steps.fusion import FusionStep

BLUE, RED = np.linspace(1.66, 2.02, 19), np.linspace(1.95, 2.30, 15)
EMPTY = 513


@pytest.fixture
def entries(scene, products):
    """Two cubes and two images."""

    def make(*, red=RED, red_options=None, **options):
        cubes = [
            products.cube(scene, wave, shape=(13, 14), **{**options, **more})
            for wave, more in ((BLUE, {}), (red, {"seed": 7, **(red_options or {})}))
        ]
        cubes[0].meta.filename, cubes[1].meta.filename = "blue_s3d.fits", "red_s3d.fits"
        cubes[1].meta.instrument.grating = "G395H"
        images = [products.image(scene, name, shape=(80, 84)) for name in ("F182M", "F210M")]
        return [*cubes, *images]

    return make


@pytest.fixture
def fuse(gaussian_psfs):
    def run(given, **options):
        quick = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
        quick |= {"min_coverage": 0.9, "crosscal": "off"}
        return FusionStep.call(given, **{**quick, **gaussian_psfs, **options})

    return run


def score(scene, products, model):
    observed = read_cube(model)
    grid, wave = observed.grid, observed.wavelength
    truth = scene.cube(grid.wcs, grid.shape, wave, products.imager_sigma)
    return psnr(truth, model.data, model.dq == 0)


def test_two_gratings_are_joined(scene, products, entries, fuse, tmp_path, monkeypatch):
    given = entries(red_options={"pa": 4.0})
    before = [(model.data.tobytes(), model.meta.filename) for model in given]
    monkeypatch.chdir(tmp_path)
    blue, red, whole = fuse(given, save_results=True)
    assert sorted(path.name for path in tmp_path.glob("*.fits")) == [
        "blue_01_fused_s3d.fits",
        "blue_02_fused_s3d.fits",
        "blue_fused_s3d.fits",
    ]
    with FusedCubeModel("blue_fused_s3d.fits") as stored:
        wave = read_cube(stored).wavelength
        assert (np.diff(wave) > 0).all()
        assert wave[0] == pytest.approx(BLUE[0])
        assert wave[-1] == pytest.approx(RED[-1])
        assert len(wave) == np.sum(BLUE < RED[0]) + np.sum(BLUE >= RED[0]) + np.sum(RED > BLUE[-1])
        table = stored.cube_table
        assert table["filename"].tolist() == [blue.meta.filename, red.meta.filename]
        assert table["grating"].tolist() == ["G235H", "G395H"]
        assert table["resampled"].tolist() == [True, True] or not table["resampled"][0]
        assert table["ratio"][1] == pytest.approx(1, abs=0.01)
        assert stored.meta.fusion.joined == 2
        assert stored.meta.cal_step.fusion == "COMPLETE"
        parts = [score(scene, products, one) for one in (blue, red)]
        assert score(scene, products, stored) > min(parts) - 1.0
        assert np.array_equal(np.isnan(stored.data), stored.dq & 1 > 0)
        ratio = np.abs(stored.data - whole.data)
        assert np.nanmax(ratio) == 0
        # Wavelengths also by the WCS, as other tools ask for them.
        ny, nx = stored.data.shape[1:]
        last = stored.meta.wcs(nx / 2, ny / 2, len(wave) - 1)[2]
        assert last == pytest.approx(RED[-1], rel=1e-6)
    with datamodels.open("blue_fused_s3d.fits") as plain:
        assert type(plain) is datamodels.IFUCubeModel
    with fits.open("blue_fused_s3d.fits") as hdus:
        assert hdus[0].header["FUSNJOIN"] == 2
        assert hdus["SCI"].header["CTYPE3"] == "WAVE-TAB"
    assert [(model.data.tobytes(), model.meta.filename) for model in given] == before


def test_same_spaxels_are_not_resampled(entries, fuse):
    blue, red, whole = fuse(entries())
    alone = np.sum(BLUE < RED[0])
    assert np.array_equal(whole.data[:alone], blue.data[:alone], equal_nan=True)
    beyond = np.sum(RED > BLUE[-1])
    assert np.array_equal(whole.data[-beyond:], red.data[-beyond:], equal_nan=True)
    assert np.array_equal(whole.weightmap[-beyond:], red.weightmap[-beyond:])
    assert not whole.cube_table["resampled"].any()


def test_other_calibration_of_a_grating_makes_no_step(entries, fuse, caplog):
    given = entries()
    given[1].data *= np.float32(1.05)
    with caplog.at_level(logging.INFO):
        *_, whole = fuse(given, crosscal="eroded")
    assert whole.cube_table["ratio"][1] == pytest.approx(1.05, abs=0.01)
    assert "times as bright as the cube before it" in caplog.text
    good = (whole.dq == 0).all(0)
    spectrum = np.array([plane[good].mean() for plane in whole.data])
    plain = entries()
    *_, even = fuse(plain, crosscal="eroded")
    excess = spectrum / [plane[good].mean() for plane in even.data]
    assert np.abs(np.diff(excess)).max() < 0.03  # four channels overlap
    assert excess[0] == pytest.approx(1, abs=0.005)
    assert excess[-1] == pytest.approx(1.05, abs=0.005)


def test_errors_of_sums_over_a_joined_cube_are_those_of_its_parts(entries, fuse, tmp_path):
    blue, red, whole = fuse(entries())
    path = tmp_path / "whole_s3d.fits"
    whole.save(path)
    assert blue.data.shape[1:] == whole.data.shape[1:]
    rng = np.random.default_rng(1)
    mask = rng.uniform(0, 1, whole.data.shape[1:]) * np.isfinite(whole.data).all(0)
    found = error_of(path, mask)
    np.testing.assert_allclose(found, error_of(whole, mask), rtol=1e-5)
    parts = [error_of(one, mask) for one in (blue, red)]
    alone, beyond = np.sum(BLUE < RED[0]), np.sum(RED > BLUE[-1])
    np.testing.assert_allclose(found[:alone], parts[0][:alone], rtol=1e-4)
    np.testing.assert_allclose(found[-beyond:], parts[1][-beyond:], rtol=1e-4)
    overlap = found[alone:-beyond]
    assert len(overlap) == np.sum(BLUE >= RED[0])
    low, high = (
        f([parts[0].min(), parts[1].min(), parts[0].max(), parts[1].max()]) for f in (min, max)
    )
    assert (overlap > 0.8 * low).all()
    assert (overlap < 1.2 * high).all()
    # The parts are independent of each other beside the overlap.
    weights = np.zeros((3, len(found)))
    weights[0, 3:9] = weights[1, -5:] = 1
    weights[2] = weights[0] - weights[1]
    one, other, both = error_of(path, mask, weights)
    assert both == pytest.approx(np.hypot(one, other), rel=1e-3)
    assert one == pytest.approx(error_of(blue, mask, np.eye(len(BLUE))[3:9].sum(0)), rel=1e-3)
    assert path.stat().st_size < 2.2 * sum(model_size(one) for one in (blue, red))


def model_size(model):
    return 4 * 4 * model.data.size + sum(
        getattr(model, name).nbytes for name in EXTENSIONS if model.hasattr(name)
    )


def test_errors_of_single_voxels_of_a_joined_cube(entries, fuse):
    *_, whole = fuse(entries())
    middle = np.array(whole.data.shape[1:]) // 2
    mask = np.zeros(whole.data.shape[1:])
    mask[tuple(middle)] = 1
    stated = whole.err[:, middle[0], middle[1]]
    np.testing.assert_allclose(error_of(whole, mask), stated, rtol=0.25)


def test_errors_of_sums_over_a_part_that_was_resampled(entries, fuse):
    given = fuse(entries(red_options={"pa": 4.0}))
    red, whole = given[1], given[2]
    assert whole.cube_table["resampled"].any()
    centre = celestial_wcs(whole, "whole").pixel_to_world(
        whole.data.shape[2] / 2, whole.data.shape[1] / 2
    )
    beyond, found = np.sum(RED > BLUE[-1]), []
    for model in (red, whole):
        y, x = np.indices(model.data.shape[1:])
        distance = celestial_wcs(model, "it").pixel_to_world(x, y).separation(centre).arcsec
        found.append(error_of(model, 1 / (1 + np.exp((distance - 0.2) / 0.02)))[-beyond:])
    np.testing.assert_allclose(found[1], found[0], rtol=0.03)


def test_joined_cube_without_posteriors(entries, fuse):
    blue, red, _ = fuse(entries())
    del red.posterior_covariance
    whole = joined_product([blue, red], memory_limit=1)
    assert not whole.hasattr("joined_posteriors")
    with pytest.raises(ValueError, match="has no posterior"):
        error_of(whole)


def test_what_one_part_alone_has_is_told_apart(tmp_path):
    """A part without sources keeps its place in the list."""
    model = FusedCubeModel((3, 4, 5))
    positions = np.ones((2, 2))
    for more in ({}, {"posterior_positions": positions}, {}):
        model.joined_posteriors.append({"wavelength": np.arange(3.0), **more})
    path = tmp_path / "a_s3d.fits"
    model.save(path)
    with fits.open(path) as hdus, FusedCubeModel(path) as again:
        for product in (model, path, hdus, again):
            items = stored_items(product, "joined_posteriors", PART_EXTENSIONS)
            found = [one["posterior_positions"] for one in items]
            assert [one is None for one in found] == [True, False, True]
            assert np.array_equal(found[1], positions)
            assert items[2]["wavelength"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(9, 8), (1, 13), (12, 7)])
def test_spreading_values_is_the_adjoint_of_interpolating(shape):
    rng = np.random.default_rng(3)
    row, column = rng.uniform(-0.5, shape[0] - 0.5, 40), rng.uniform(-0.5, shape[1] - 0.5, 40)
    sampler = SplineSampler(row, column, shape)
    image, values = rng.standard_normal(shape), rng.standard_normal(40)
    expected = float(sampler(image[None])[0] @ values)
    assert np.sum(image * sampler.adjoint(values)) == pytest.approx(expected)


def test_shares_of_a_joined_cube_sum_to_one(grid):
    blue, red = part("blue", BLUE, grid, np.ones_like), part("red", RED, grid, np.ones_like)
    red.data[:, 5, 5] = red.err[:, 5, 5] = np.nan
    far = part("far", np.linspace(2.25, 2.6, 20), grid, np.ones_like)
    whole, _ = joined([far, red, blue], empty=EMPTY)
    assert len(whole.shares) == len(whole.wavelength)
    for wave, one, known in zip(
        whole.wavelength, whole.shares, np.isfinite(whole.data), strict=True
    ):
        total = sum(np.ones(grid.shape) if w is None else w for w in one.values())
        np.testing.assert_allclose(total[known], 1, rtol=1e-6)
        assert set(one) == {
            k for k, w in enumerate((BLUE, RED, far.wavelength)) if w[0] <= wave <= w[-1]
        }
    overlap = next(one for one in whole.shares if set(one) == {0, 1})
    assert overlap[0][5, 5] == 1


def test_separate_gratings(entries, fuse):
    assert [model.data.shape[0] for model in fuse(entries(), gratings="separate")] == [19, 15]


def test_shared_subspace(scene, products, entries, fuse, tmp_path, monkeypatch):
    given = entries()
    before = [model.data.tobytes() for model in given]
    monkeypatch.chdir(tmp_path)
    result = fuse(given, gratings="shared", save_results=True)
    assert isinstance(result, FusedCubeModel)
    assert [path.name for path in tmp_path.glob("*.fits")] == ["blue_fused_s3d.fits"]
    wave = read_cube(result).wavelength
    assert wave == pytest.approx(np.sort(np.concatenate([BLUE, RED])), rel=1e-6)
    assert result.component_spectra.shape == (4, len(wave))
    assert result.meta.fusion.components == 4
    assert result.filter_table["filter"].tolist() == ["F182M", "F210M"]
    blue, red = fuse(given, gratings="separate")
    parts = [score(scene, products, one) for one in (blue, red)]
    assert score(scene, products, result) > np.mean(parts) - 1.0
    assert [model.data.tobytes() for model in given] == before


def test_equal_wavelengths_of_two_gratings(entries, fuse):
    """Single precision must not make the axis fall or stand still."""
    red = RED.copy()
    red[0] = BLUE[15] * (1 + 1e-9)
    result = fuse(entries(red=red), gratings="shared")
    assert (np.diff(read_cube(result).wavelength) > 0).all()


def test_other_spaxels_cannot_share(entries, fuse, caplog):
    results = fuse(entries(red_options={"pa": 4.0}), gratings="shared")
    assert len(results) == 3
    assert "red_s3d.fits have other spaxels: build them with the same ra_center" in caplog.text


def test_same_wavelengths_are_not_joined(entries, fuse, caplog):
    assert len(fuse(entries(red=BLUE + 0.001))) == 2
    assert "not joined: " in caplog.text
    assert "mostly the same wavelengths" in caplog.text


def test_too_large_to_be_joined(entries, fuse, caplog, monkeypatch):
    monkeypatch.setattr("jwst_fusion.fusion.observed.joining._PER_VOXEL", 1e9)
    assert len(fuse(entries())) == 2
    assert "more than memory_limit = 16 GB" in caplog.text


def test_unknown_choice_is_an_error(fuse):
    with pytest.raises(Exception, match="gratings"):
        fuse([], gratings="both")


def test_products_have_the_name_of_the_caller(entries, fuse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, whole = fuse(entries(), output_file="mine.fits", save_reobserved=True)
    found = {path.name for path in tmp_path.glob("*_s3d.fits")}
    names = ["mine_01_fused_s3d.fits", "mine_02_fused_s3d.fits"]
    assert found == {
        *names,
        "mine_fused_s3d.fits",
        "mine_01_reobserved_s3d.fits",
        "mine_02_reobserved_s3d.fits",
    }
    assert whole.cube_table["filename"].tolist() == names
    assert whole.meta.instrument.grating == "MULTIPLE"
    assert whole.meta.instrument.filter == "F170LP"


def without(model, *names):
    bare = datamodels.IFUCubeModel()
    for name in {"data", "err", "dq", "weightmap"} - set(names):
        setattr(bare, name, getattr(model, name))
    bare.update(model)
    return bare


def test_shared_subspace_of_cubes_that_lack_arrays(scene, products, entries, fuse, caplog):
    given = entries()
    given[1] = without(given[1], "err", "dq", "weightmap")
    result = fuse(given, gratings="shared")
    assert "red_s3d.fits has no errors" in caplog.text
    assert (result.channel_table["voxels"] > 0).all()
    assert score(scene, products, result) > 44
    assert not given[1].hasattr("err")


def test_invalid_cube_does_not_stop_a_shared_subspace(entries, fuse, caplog):
    given = entries()
    given[0].meta.bunit_data = "DN"
    results = fuse(given, gratings="shared")
    assert [model.meta.cal_step.fusion for model in results] == ["FAILED", "COMPLETE"]
    assert "fused without a shared subspace: blue_s3d.fits is in 'DN'" in caplog.text


@pytest.mark.parametrize("gratings", ["joined", "shared"])
def test_moving_target(products, fuse, gratings):
    """Observed at other times, the target is elsewhere on the sky: farther than the field."""
    given = []
    for number, (wave, name) in enumerate([(RED, "F210M"), (BLUE, "F182M")]):
        scene = products.scene(ra=83.82 + 0.004 * number, dec=-5.42 - 0.002 * number)
        cube = products.cube(scene, wave, shape=(13, 14), seed=number)
        cube.meta.filename = f"cube{number}_s3d.fits"
        given += [cube, products.image(scene, name, shape=(80, 84))]
        for model in given[-2:]:
            model.meta.target.type = "MOVING"
            model.meta.wcsinfo.mt_avra, model.meta.wcsinfo.mt_avdec = scene.ra, scene.dec
    found = fuse(given, gratings=gratings)
    if gratings == "joined":
        assert len(found) == 3
        assert not found[-1].cube_table["resampled"].any()
    result = found if gratings == "shared" else found[-1]
    target = read_cube(result).target
    scene = products.scene(ra=target.ra.deg, dec=target.dec.deg)
    assert score(scene, products, result) > 44


def test_channels_of_miri_are_named(scene, products):
    cubes, models = [], []
    for channel, wave in (("2", BLUE), ("3", RED)):
        model = products.cube(scene, wave, shape=(13, 14))
        instrument = model.meta.instrument
        instrument.name, instrument.channel, instrument.grating = "MIRI", channel, None
        instrument.filter, instrument.band, instrument.detector = None, "MULTIPLE", "MIRIFULONG"
        cubes.append(read_cube(model))
        models.append(model)
    # 23 is not a value that a header may have
    assert stacked_cube(cubes, models).meta.instrument.channel == "ANY"
    models[0].meta.instrument.channel = "4"
    instrument = stacked_cube(cubes, models).meta.instrument
    assert (instrument.channel, instrument.band) == ("34", "MULTIPLE")
    assert models[0].meta.instrument.channel == "4"


def test_wavelengths_that_single_precision_cannot_tell_apart(entries):
    model, step = entries()[0], float(np.spacing(np.float32(2)))
    wave = 2 + step * np.array([-9, 0, 0.1, 1, 1.1, 2, 40, 40, 90])
    set_wavelengths(model, np.concatenate([wave, np.full(10, 3.0)]))
    stored = model.wavetable["wavelength"].ravel()
    assert (np.diff(stored) > 0).all()
    assert stored[:9] == pytest.approx(wave, abs=4 * step)


@pytest.mark.parametrize("shape", [(31, 27), (8, 13)])
def test_many_images_are_interpolated_as_one(shape):
    rng = np.random.default_rng(3)
    images = rng.standard_normal((4, *shape))
    row, column = rng.uniform(-0.5, shape[0] - 0.5, 50), rng.uniform(-0.5, shape[1] - 0.5, 50)
    expected = [map_coordinates(one, [row, column], order=5, mode="mirror") for one in images]
    np.testing.assert_allclose(SplineSampler(row, column, shape)(images), expected, atol=1e-10)


def part(name, wave, grid, value, err=1.0):
    shape = (len(wave), *grid.shape)
    spectrum = np.asarray(value(wave), np.float32)[:, None, None]
    data = np.broadcast_to(spectrum, shape).copy()
    flags = np.zeros(shape, np.uint32)
    return CubePart(name, wave, data, np.full(shape, err, np.float32), flags, flags + 3, grid)


@pytest.fixture
def grid(products):
    return SkyGrid(products.wcs((9, 8), 0.05, 20.0), (9, 8))


def test_what_is_missing_in_one_comes_from_the_other(grid):
    line = lambda wave: 3 + 2 * wave  # noqa: E731
    blue, red = part("blue", BLUE, grid, line), part("red", RED, grid, line, err=2.0)
    blue.data[17, 2, 3] = blue.err[17, 2, 3] = np.nan
    red.data[:, 5, 5] = red.err[:, 5, 5] = np.nan
    whole, _ = joined([red, blue], empty=EMPTY)
    expected = np.broadcast_to(line(whole.wavelength)[:, None, None], whole.data.shape)
    known = np.isfinite(whole.data)
    np.testing.assert_allclose(whole.data[known], expected[known], rtol=1e-6)
    lost = ~known
    assert lost[:, 5, 5].sum() == np.sum(RED > BLUE[-1])
    assert lost.sum() == lost[:, 5, 5].sum()
    overlap = (whole.wavelength >= RED[0]) & (whole.wavelength <= BLUE[-1])
    assert ((whole.err[overlap] >= 1) & (whole.err[overlap] <= 2))[:, 0, 0].all()


def test_descending_order_and_gap(grid):
    far = np.linspace(2.5, 2.8, 7)
    whole, parts = joined(
        [part("far", far, grid, np.ones_like), part("blue", BLUE, grid, np.ones_like)], empty=EMPTY
    )
    assert whole.wavelength == pytest.approx(np.concatenate([BLUE, far]))
    assert np.isnan(parts[1].ratio)


def test_larger_field_of_coarser_pixels(products, grid):
    wide = SkyGrid(products.wcs((12, 12), 0.08, 20.0), (12, 12))
    union = union_grid([grid, wide])
    assert union.scale == pytest.approx(0.05)
    x, _y = union.pixels(wide.corners())
    assert x.min() > -1.5
    assert x.max() < union.shape[1] + 0.5
    whole, parts = joined(
        [part("blue", BLUE, grid, np.ones_like), part("red", RED, wide, np.ones_like)], empty=EMPTY
    )
    assert [one.resampled for one in parts] == [True, True]
    assert np.nanmax(np.abs(whole.data - 1)) < 1e-5
    covered = [np.isfinite(whole.data[index]).sum() for index in (0, -1)]
    assert covered[0] == grid.shape[0] * grid.shape[1]
    assert covered[1] == pytest.approx(144 * 2.56, rel=0.08)
    assert (whole.dq[0][np.isnan(whole.data[0])] == EMPTY).all()


def test_fields_apart_are_not_joined(products, grid):
    away = SkyGrid(products.wcs((9, 8), 0.05, ra=83.9), (9, 8))
    with pytest.raises(NotFusableError, match="do not overlap"):
        joined(
            [part("blue", BLUE, grid, np.ones_like), part("red", RED, away, np.ones_like)],
            empty=EMPTY,
        )
