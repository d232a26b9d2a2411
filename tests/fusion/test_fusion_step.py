import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer
from scipy.ndimage import map_coordinates
from stdatamodels.jwst import datamodels
from stpipe import Step

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.metrics import psnr
from jwst_fusion.products.observations import read_cube
from jwst_fusion.steps.fusion import FusionStep

ROOT = Path(__file__).resolve().parents[2]
FILTERS = ("F182M", "F210M")


@pytest.fixture
def wave():
    return np.linspace(1.66, 2.30, 33)


@pytest.fixture
def fuse(gaussian_psfs):
    """Fuse with settings that need no search, which is quick."""

    def run(members, **options):
        quick = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
        return FusionStep.call(members, **{**quick, **gaussian_psfs, **options})

    return run


@pytest.fixture
def members(scene, wave, products):
    def make(*, filters=FILTERS, shape=(13, 14), image_options=None, **options):
        cube = products.cube(scene, wave, shape=shape, **options)
        size = {"shape": (80, 84), **(image_options or {})}
        return [cube, *(products.image(scene, name, **size) for name in filters)]

    return make


def true_cube(scene, products, model, wave):
    grid = read_cube(model).grid
    return scene.cube(grid.wcs, grid.shape, wave, products.imager_sigma)


def quality(scene, products, result, wave):
    truth = true_cube(scene, products, result, wave)
    return psnr(truth, result.data, result.dq == 0)


def cubic(cube, result):
    """The cube interpolated to the grid of the result."""
    coarse, fine = read_cube(cube).grid, read_cube(result).grid
    y, x = np.indices(fine.shape)
    x, y = coarse.pixels(fine.sky(x, y))
    planes = [np.where(np.isfinite(p), p, np.nanmedian(p)) for p in cube.data]
    return np.array([map_coordinates(p, [y, x], order=3, mode="nearest") for p in planes])


def test_fusion_recovers_the_scene(scene, products, gaussian_psfs, caplog):
    wave = np.linspace(1.66, 2.30, 81)
    cube = products.cube(scene, wave, shape=(17, 18))
    images = [products.image(scene, name) for name in ("F182M", "F187N", "F210M", "F212N")]
    with caplog.at_level(logging.INFO):
        result = FusionStep.call([cube, *images], psf_size=1.2, **gaussian_psfs)
    assert isinstance(result, FusedCubeModel)
    assert result.data.shape == (81, 51, 54)
    assert result.meta.cal_step.fusion == "COMPLETE"
    truth = true_cube(scene, products, result, wave)
    good = result.dq == 0
    assert 0.85 < good.mean() < 1
    assert psnr(truth, result.data, good) > 50
    assert psnr(truth, result.data, good) > psnr(truth, cubic(cube, result), good) + 15
    # One standard deviation holds 68 %; errors may be conservative, not much too small.
    ratio = np.abs(result.data - truth)[good] / result.err[good]
    assert 0.4 < np.percentile(ratio, 68) < 2.0
    filters = result.filter_table
    assert filters["filter"].tolist() == ["F182M", "F187N", "F210M", "F212N"]
    assert np.abs(filters["calibration"] - 1).max() < 5e-3
    assert filters["psnr"].min() > 45
    assert filters["ssim"].min() > 0.99
    assert np.abs(filters["offset_x"]).max() < 2e-3
    assert result.meta.fusion.reobserved_error < 1e-3
    # Light that crosses the border of the field is in one and not in the other.
    assert result.meta.fusion.spectrum_error < 4e-3
    assert result.meta.fusion.components == len(result.component_table)
    assert "mean spectrum: relative error" in caplog.text
    # Outside the cube's data there are images only.
    assert set(np.unique(result.weightmap)) <= {2, 3, 4, 5}
    corner = result.dq[:, :3, :3]
    assert (corner == 2**28).all()


@pytest.mark.parametrize(
    "options",
    [
        {"pa": 37.0},
        {"pa": -110.0, "cd": True},
        {"mirrored": True},
        {"table": True},
        {"image_options": {"pa": -80.0, "cd": True, "shape": (84, 84)}},
        {"image_options": {"scale": 0.045, "shape": (60, 64)}, "factor": 3},
    ],
    ids=["rotated", "CD matrix", "mirrored", "table", "image rotated", "coarser image"],
)
def test_orientation_and_header_do_not_matter(scene, wave, products, members, fuse, options):
    options = dict(options)
    factor = options.pop("factor", "auto")
    given = members(**options)
    result = fuse(given, factor=str(factor))
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert result.data.shape == (33, 39, 42)
    before, after = read_cube(given[0]), read_cube(result)
    assert after.wavelength == pytest.approx(before.wavelength, rel=1e-6)
    assert after.grid.pa_y == pytest.approx(before.grid.pa_y, abs=1e-3)
    assert after.grid.mirrored == before.grid.mirrored
    assert after.grid.centre.separation(before.grid.centre).arcsec < 1e-5
    found = quality(scene, products, result, wave)
    assert found > 44
    truth = true_cube(scene, products, result, wave)
    assert found > psnr(truth, cubic(given[0], result), result.dq == 0) + 10


@pytest.mark.parametrize(("ra", "dec"), [(359.99996, 30.0), (120.0, -89.9993)])
def test_ra_zero_and_pole(scene, wave, products, members, fuse, ra, dec):
    scene.ra, scene.dec = ra, dec
    assert quality(scene, products, fuse(members()), wave) > 44


def test_descending_wavelengths(scene, wave, products, fuse):
    ascending = [products.cube(scene, wave, shape=(13, 14), table=True)]
    images = [products.image(scene, name, shape=(80, 84)) for name in FILTERS]
    descending = products.cube(scene, wave[::-1], shape=(13, 14), table=True)
    descending.data = ascending[0].data[::-1].copy()
    one, two = fuse([*ascending, *images]), fuse([descending, *images])
    good = one.dq == 0
    assert np.array_equal(one.dq, two.dq[::-1])
    assert np.allclose(one.data[good], two.data[::-1][good], rtol=1e-3, atol=0.1)


def test_all_forms_of_input_agree(tmp_path, monkeypatch, members, fuse):
    given = members(filters=("F210M",))
    for model in given:
        model.save(str(tmp_path / model.meta.filename))
    names = [tmp_path / model.meta.filename for model in given]
    table = make_association(names[0], names[1:], product_name="jw01-o001", folder=tmp_path)
    path = write_association(table, tmp_path / "fusion_asn.json")
    before = {name: name.read_bytes() for name in names}
    for name in names:
        name.chmod(0o444)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    result = fuse(str(path), save_results=True, output_dir=str(tmp_path / "out"))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["jw01-o001_fused_s3d.fits"]
    container = ModelContainer(str(path))
    for form in ([str(name) for name in names], given, container):
        other = fuse(form)
        assert np.array_equal(other.data, result.data, equal_nan=True)
    container.close()
    fuse(str(path), output_file="mine.fits")
    assert (tmp_path / "mine_fused_s3d.fits").is_file()
    assert {name: name.read_bytes() for name in names} == before
    with fits.open(tmp_path / "out" / "jw01-o001_fused_s3d.fits") as hdus:
        assert hdus[0].header["S_FUSION"] == "COMPLETE"
        assert hdus[0].header["FUSNIMG"] == 1
        assert hdus[0].header["ASNTABLE"] == "fusion_asn.json"
        assert hdus[0].header["FUSCUBE"] == names[0].name
        assert "psf_image.fits" in hdus[0].header["FUSPSF"]
        assert hdus["WMAP"].header["FUSWMAP8"] == "cube in other channels, through subspace"
        assert {"SCI", "ERR", "DQ", "WMAP", "FUSFILTERS"} <= {hdu.name for hdu in hdus}


def test_models_of_the_caller_stay_as_they_are(members, fuse):
    given = members(filters=("F210M",))
    before = [(model.data.tobytes(), model.err.tobytes()) for model in given]
    fuse(given)
    assert [(model.data.tobytes(), model.err.tobytes()) for model in given] == before
    assert given[0].meta.cal_step.instance == {"cube_build": "COMPLETE"}


def test_field_and_wavelength_range(scene, wave, products, members, fuse):
    given = members()
    centre = read_cube(given[0]).grid.sky(6.0, 6.0)
    options = {"field_ra": centre.ra.deg, "field_dec": centre.dec.deg, "wave_min": 1.7}
    result = fuse(given, **options, field_width=0.75, field_height=0.55, wave_max=2.25)
    assert result.data.shape == (28, 15, 21)
    part = read_cube(result)
    assert part.wavelength == pytest.approx(wave[(wave >= 1.7) & (wave <= 2.25)])
    assert part.grid.centre.separation(centre).arcsec < 1e-4
    # Spaxels around the field help at its edge.
    assert quality(scene, products, result, part.wavelength) > 44


@pytest.mark.parametrize("size", [5, 7])
def test_small_fields(scene, wave, products, members, fuse, size):
    given = members(shape=(size, size), corners=False, filters=("F210M",))
    result = fuse(given)
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert result.data.shape == (33, 3 * size, 3 * size)
    assert np.isfinite(result.data).all()
    truth = true_cube(scene, products, result, wave)
    assert psnr(truth, result.data) > psnr(truth, cubic(given[0], result)) + 4


def test_bad_data_do_harm_only_where_they_are(scene, wave, products, members, fuse):
    given = members()
    clean = fuse(given)
    cube, image = given[:2]
    rng = np.random.default_rng(0)
    bad = rng.random(cube.data.shape) < 0.01
    cube.data[bad] = rng.choice([np.nan, np.inf, -np.inf, 1e30], bad.sum())
    cube.dq[5, 6, 6], cube.data[5, 6, 6] = 1, 1e7
    image.data[40:42, 40:43] = np.nan
    image.data[20, 30] = 1e30
    cube.data[10] = np.nan
    result = fuse(given)
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert np.isnan(result.data[10]).all()
    assert (result.dq[10] == 513).all()
    assert not result.weightmap[10].any()
    # A voxel that the cube lacks is not a measurement, though its spaxel is used.
    assert (result.weightmap[5, 18:21, 18:21] == 8 + 4).all()
    assert (result.weightmap[4, 18:21, 18:21] == 1 + 4).all()
    assert (result.dq[5, 18:21, 18:21] == 2**28).all()
    rest = np.arange(33) != 10
    truth = true_cube(scene, products, result, wave)
    good = (clean.dq == 0)[rest]
    before = psnr(truth[rest], clean.data[rest], good)
    assert psnr(truth[rest], result.data[rest], good) > before - 4


def test_mismatched_brightness_is_calibrated(scene, wave, products, members, fuse):
    given = members()
    given[1].data *= 1.14
    result = fuse(given)
    assert result.filter_table["calibration"] == pytest.approx([1.14, 1.0], abs=6e-3)
    assert quality(scene, products, result, wave) > 44
    off = fuse(given, crosscal="off")
    assert off.filter_table["calibration"].tolist() == [1.0, 1.0]
    assert quality(scene, products, off, wave) < quality(scene, products, result, wave) - 3


def test_offsets_are_reported_and_applied(scene, wave, products, members, fuse, caplog):
    given = members()
    given[1].meta.wcsinfo.crval2 += 0.02 / 3600
    plain = fuse(given, alignment="wcs")
    # The header says 20 mas too far North: the image shows the scene that much too far up.
    assert plain.filter_table["offset_y"] == pytest.approx([0.02, 0.0], abs=3e-3)
    assert "consider alignment = measured" in caplog.text
    aligned = fuse(given, alignment="measured")
    assert aligned.meta.fusion.registration == "measured"
    assert quality(scene, products, aligned, wave) > quality(scene, products, plain, wave) + 3


def test_offset_that_cannot_be_measured_is_warned_of(members, fuse, monkeypatch, caplog):
    name = "jwst_fusion.fusion.observed.alignment.image_offset"
    monkeypatch.setattr(name, lambda *_, **__: ((0.0, 0.0), np.inf))
    result = fuse(members(filters=("F210M",)), alignment="measured")
    assert "its offset cannot be measured" in caplog.text
    assert result.filter_table["offset_x"].tolist() == [0.0]


def test_filters_that_do_not_fit_are_dropped(members, fuse, caplog):
    given = members(filters=("F210M",))
    given += members(filters=("F150W",))[1:]
    result = fuse(given)
    assert result.filter_table["filter"].tolist() == ["F210M"]
    assert "F150W) is not used: the cube covers" in caplog.text
    only = fuse([given[0], given[2]])
    assert only.meta.cal_step.fusion == "SKIPPED"
    assert "no filter lies within the cube's wavelengths" in caplog.text


def test_throughput_files(tmp_path, members, fuse):
    path = tmp_path / "flat.txt"
    wave = np.linspace(1.99, 2.23, 50)
    path.write_text("\n".join(f"{w:.5f} {float(2.0 < w < 2.22)}" for w in wave))
    given = members(filters=("F210M",))
    result = fuse(given, throughputs=[f"F210M={path}"])
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert result.filter_table["throughput"].tolist() == [str(path)[-128:]]
    result.save(tmp_path / "saved.fits")
    with FusedCubeModel(tmp_path / "saved.fits") as saved:
        assert saved.filter_table["throughput"].tolist() == [str(path)[-128:]]


def test_filters_and_throughputs_without_an_image_are_warned_of(tmp_path, members, fuse, caplog):
    path = tmp_path / "curve.txt"
    path.write_text("1.8 0\n1.85 1\n1.9 0\n")
    result = fuse(
        members(filters=("F210M",)), filters=["F210M", "F182M"], throughputs=[f"F187N={path}"]
    )
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert "filters names F182M, of which no image is used" in caplog.text
    assert "throughputs names F187N, of which no image is used" in caplog.text
    assert result.filter_table["throughput"].tolist() == [load_bandpass("F210M").source]


SKIPPED = {
    "no WCS": (0, lambda m: setattr(m.meta.wcsinfo, "ctype1", None), "no celestial WCS"),
    "no wavelengths": (0, lambda m: setattr(m.meta.wcsinfo, "ctype3", None), "no wavelength axis"),
    "all NaN": (0, lambda m: m.data.fill(np.nan), "no usable data"),
    "all zero": (0, lambda m: m.data.fill(0), "no usable data"),
    "all DO_NOT_USE": (0, lambda m: m.dq.fill(1), "no usable data"),
    "not square": (
        0,
        lambda m: setattr(m.meta.wcsinfo, "cdelt1", 0.2 / 3600),
        "not square",
    ),
    "image elsewhere": (
        1,
        lambda m: setattr(m.meta.wcsinfo, "crval1", 10.0),
        "does not overlap with the cube",
    ),
    "image NaN": (1, lambda m: m.data.fill(np.nan), "no usable pixel"),
    "image zero": (1, lambda m: m.data.fill(0), "no usable pixel"),
    "image without WCS": (1, lambda m: setattr(m.meta.wcsinfo, "ctype1", None), "no celestial"),
    "image without filter": (
        1,
        lambda m: setattr(m.meta.instrument, "filter", None),
        "does not say its filter",
    ),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_unsuitable_data_are_skipped(members, fuse, caplog, case):
    which, change, message = SKIPPED[case]
    given = members(filters=("F210M",))
    change(given[which])
    before = given[0].data.tobytes()
    result = fuse(given)
    assert result.meta.cal_step.fusion == "SKIPPED"
    assert message in caplog.text
    assert result is not given[0]
    assert isinstance(result, datamodels.IFUCubeModel)
    assert result.data.tobytes() == before
    assert given[0].meta.cal_step.instance == {"cube_build": "COMPLETE"}


def test_cube_without_images_is_skipped(tmp_path, monkeypatch, members, fuse, caplog):
    monkeypatch.chdir(tmp_path)
    cube = members(filters=())[0]
    result = fuse(cube, output_file="a.fits")
    assert result.meta.cal_step.fusion == "SKIPPED"
    assert "no image (i2d) is given" in caplog.text
    # No file is named fused that holds what is not fused.
    assert not (tmp_path / "a_fused_s3d.fits").exists()
    assert "NOT FUSED: no image (i2d) is given" in caplog.records[-1].getMessage()


def test_other_models_fail(caplog):
    model = datamodels.IFUImageModel(data=np.ones((4, 4), "f4"))
    result = FusionStep.call(model)
    assert type(result) is datamodels.IFUImageModel
    assert result is not model
    assert result.meta.cal_step.fusion == "FAILED"
    assert "is not an IFU exposure of NIRSpec or MIRI" in caplog.text


def test_solver_that_breaks_down_fails(members, fuse, monkeypatch, caplog):
    def broken(*args, **kwargs):
        msg = "matrix is not positive definite"
        raise np.linalg.LinAlgError(msg)

    monkeypatch.setattr("jwst_fusion.fusion.run.fuse", broken)
    given = members(filters=("F210M",))
    result = fuse(given)
    assert result.meta.cal_step.fusion == "FAILED"
    assert "not positive definite" in caplog.text
    assert np.array_equal(result.data, given[0].data, equal_nan=True)


def test_roll_is_needed_for_models_of_the_psf(members, caplog):
    given = members(filters=("F210M",))
    given[0].meta.pointing.pa_v3 = None
    assert FusionStep.call(given).meta.cal_step.fusion == "SKIPPED"
    assert "set the parameter roll_cube" in caplog.text


def test_instruments_without_a_psf_model_are_skipped(members, caplog):
    given = members(filters=("F210M",))
    given[0].meta.instrument.name = "NIRISS"
    assert FusionStep.call(given).meta.cal_step.fusion == "SKIPPED"
    assert "give files with psf_image and psf_cube" in caplog.text


@pytest.mark.parametrize("value", [None, np.zeros((3, 3, 3)), 7])
def test_other_objects_are_refused(fuse, value):
    with pytest.raises(TypeError, match="is not supported"):
        fuse(value)


def test_bad_files_are_named(tmp_path, fuse):
    with pytest.raises(FileNotFoundError, match="no_s3d"):
        fuse(str(tmp_path / "no_s3d.fits"))
    (tmp_path / "a_s3d.fits").write_bytes(b"junk" * 1000)
    (tmp_path / "a_i2d.fits").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read as a JWST product"):
        fuse([str(tmp_path / "a_s3d.fits"), str(tmp_path / "a_i2d.fits")])
    with pytest.raises(ValueError, match="has no cube"):
        fuse([str(tmp_path / "a_i2d.fits")])
    assert len(list(tmp_path.iterdir())) == 2


def test_units_that_do_not_fit_are_an_error(members, fuse):
    given = members(filters=("F210M",))
    given[1].meta.bunit_data = "DN/s"
    with pytest.raises(ValueError, match="BUNIT"):
        fuse(given)


def test_images_per_pixel_are_converted(members, fuse):
    given = members(filters=("F210M",))
    expected = fuse(given)
    area = given[1].meta.photometry.pixelarea_steradians
    given[1].data *= 1e6 * area
    given[1].err *= 1e6 * area
    given[1].meta.bunit_data = "Jy"
    found = fuse(given)
    good = expected.dq == 0
    assert np.allclose(found.data[good], expected.data[good], rtol=1e-3, atol=0.05)


def test_memory_limit(members, fuse):
    with pytest.raises(ValueError, match=r"needs about .* GB, more than memory_limit"):
        fuse(members(filters=("F210M",)), memory_limit=1e-4)


def test_resolution_of_the_spectrograph_is_for_exposures(members, fuse):
    with pytest.raises(ValueError, match=r"resolution is 'ifu', which is for exposures"):
        fuse(members(filters=("F210M",)), resolution="ifu")
    with pytest.raises(ValueError, match="add_residual is for exposures"):
        fuse(members(filters=("F210M",)), add_residual=True)


def test_impossible_ranges(members, fuse, caplog):
    given = members(filters=("F210M",))
    with pytest.raises(ValueError, match="wave_min and wave_max leave 0"):
        fuse(given, wave_min=3.0)
    options = {"field_ra": 10.0, "field_dec": 10.0, "field_width": 1.0, "field_height": 1.0}
    assert fuse(given, **options).meta.cal_step.fusion == "SKIPPED"
    assert "field without data" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"rank": "0"},
        {"rank": "some"},
        {"rank": "2.5"},
        {"factor": "1"},
        {"factor": "nan"},
        {"factor": "1e9"},
        {"margin": -0.1},
        {"margin": math.nan},
        {"margin": 1e6},
        {"mu": 0.0, "tuning": "manual"},
        {"mu": math.inf, "tuning": "manual"},
        {"mu": 1.0},
        {"mu": "1e-3,many", "tuning": "manual"},
        {"mu": [1e-3, -1.0], "tuning": "manual"},
        {"gamma": 1.0},
        {"tuning": "manual"},
        {"psf_size": 0.0},
        {"psf_nodes": 1000},
        {"psf_broadening": -1.0},
        {"psf_broadening": "wide"},
        {"psf_broadening": "0.1,0.2,0.3"},
        {"trace_oversample": 0.5},
        {"min_coverage": 0.0},
        {"min_coverage": 1.5},
        {"wave_min": 2.2, "wave_max": 2.0},
        {"field_ra": 10.0},
        {"throughputs": ["F210M"]},
        {"throughputs": [f"F21OM={__file__}"]},
        {"throughputs": [f"F210M={__file__}", f"f210m={__file__}"]},
        {"filters": ["F182N"]},
        {"roll_cube": math.nan},
        {"memory_limit": -1.0},
        {"psf_image": "only_one.fits"},
        {"psf_nodes": "many"},
        {"psf_broadening_image": math.nan},
        {"psf_jitter": -1.0},
        {"psf_position": "1024"},
        {"psf_position": "5,4096"},
        {"psf_opd": "absent.fits"},
        {"psf_opd": "none", "psf_source": "aperture"},
        {"psf_position": "5,5", "psf_source": "aperture"},
        {"psf_jitter": 5.0, "psf_source": "file", "psf_image": __file__, "psf_cube": __file__},
        {"psf_image": __file__, "psf_source": "webbpsf"},
        {"maximum_cores": "many"},
        {"maximum_cores": 0},
    ],
    ids=str,
)
def test_invalid_parameters_are_refused_before_any_file_is_opened(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        FusionStep.call("no_such_file_s3d.fits", **options)


def test_files_named_by_parameters_must_exist():
    with pytest.raises(FileNotFoundError, match=r"none.txt"):
        FusionOptions(throughputs=["F210M=none.txt"])
    with pytest.raises(FileNotFoundError, match="psf_image"):
        FusionOptions(psf_image="none.fits", psf_cube="none.fits")
    with pytest.raises(FileNotFoundError, match=r"psf_image: file none\.fits"):
        FusionOptions(psf_source="data", psf_image=f"{__file__}, none.fits")


def test_sources_that_need_files_say_so():
    with pytest.raises(ValueError, match="psf_source is 'guess'"):
        FusionOptions(psf_source="guess")
    with pytest.raises(ValueError, match="psf_image and psf_cube must be given together"):
        FusionOptions(psf_source="file", psf_image=__file__)
    with pytest.raises(ValueError, match="needs exposures of a star: psf_image, psf_cube"):
        FusionOptions(psf_source="data")
    files = {"psf_image": __file__, "psf_cube": __file__}
    assert FusionOptions(**files).psf_kind == "file"
    assert FusionOptions(**files, psf_source="data").psf_files()["psf_image"] == [__file__]
    with pytest.raises(ValueError, match="psf_image names 2 files"):
        FusionOptions(**{**files, "psf_image": [__file__, __file__]})
    for given in ("(12, 2047)", "12,2047", ["12", "2047"], (12, 2047)):
        assert FusionOptions(psf_position=given).position() == (12, 2047)


def test_parameters_of_the_psf_from_the_command_line(monkeypatch):
    seen = []
    monkeypatch.setattr(FusionStep, "process", lambda step, _: seen.append(step))
    words = ["--psf_position=5,6", "--psf_image=a.fits,b.fits", "--psf_nodes=7"]
    Step.from_cmdline(["jwst_fusion.steps.fusion.FusionStep", "x.fits", *words])
    assert seen[0].psf_position == ["5", "6"]
    assert seen[0].psf_image == ["a.fits", "b.fits"]
    assert seen[0].psf_nodes == "7"


def test_every_parameter_reaches_the_options():
    step = FusionStep()
    options = FusionOptions.from_step(step)
    spec = set(FusionStep.load_spec_file()) - set(FusionStep.__mro__[1].load_spec_file())
    assert spec <= set(vars(options)) | {"suffix"}
    assert FusionOptions() == options


@pytest.mark.slow
def test_strun_with_the_shipped_parameters(tmp_path, members, gaussian_psfs, monkeypatch, capsys):
    given = members(filters=("F210M",))
    for model in given:
        model.save(str(tmp_path / model.meta.filename))
    names = [model.meta.filename for model in given]
    table = make_association(names[0], names[1:], product_name="jw02")
    write_association(table, tmp_path / "a_asn.json")
    strun = [str(Path(sys.executable).parent / "strun")]
    options = [f"--{key}={value}" for key, value in gaussian_psfs.items()]
    options += ["--tuning=manual", "--mu=1e-3", "--rank=3", "--psf_size=1"]
    config = str(ROOT / "step_configs" / "fusion.asdf")
    path = tmp_path / "jw02_fused_s3d.fits"
    subprocess.run([*strun, config, "a_asn.json", *options], check=True, cwd=tmp_path)
    assert fits.getval(path, "S_FUSION") == "COMPLETE"
    path.unlink()
    # By its other names, and what it says of itself, as strun does in this process.
    monkeypatch.chdir(tmp_path)
    for first in ("fusion", "jwst_fusion.step.FusionStep"):
        Step.from_cmdline([first, "a_asn.json", *options])
        assert fits.getval(path, "S_FUSION") == "COMPLETE"
        path.unlink()
    with pytest.raises(SystemExit):
        Step.from_cmdline(["fusion", "--help"])
    assert "Number of spectral components" in capsys.readouterr().out


@pytest.mark.parametrize("gain", [1.0, 1.2])
def test_fitted_calibration(members, fuse, gain):
    """A factor common to no other image is found together with the scene."""
    entries = members(filters=("F182M", "F210M"))
    entries[1].data *= gain
    entries[1].err *= gain
    result = fuse(entries, crosscal="fitted")
    factors, errors = (
        np.array(result.filter_table[name]) for name in ("calibration", "calibration_error")
    )
    np.testing.assert_allclose(factors, [gain, 1.0], rtol=0.01)
    assert np.all((errors > 0) & (errors < 0.02))


def test_wild_pixels_are_left_out(scene, products, members, fuse, wave, caplog):
    """One of an image and one of the cube, which no flag marks."""
    clean = fuse(members())
    entries = members()
    middle = tuple(size // 2 + 3 for size in entries[1].data.shape)
    entries[1].data[middle] = 1e6
    entries[0].data[7, 5, 6] = 1e6
    result = fuse(entries)
    assert quality(scene, products, result, wave) > quality(scene, products, clean, wave) - 1.0
    believed = fuse(entries, outlier_sigma=0.0)
    assert "contradict their calibration by means" in caplog.text
    assert quality(scene, products, believed, wave) < quality(scene, products, clean, wave) - 6.0
    measured = [np.asarray(one.weightmap[7], int) & 1 for one in (clean, result)]
    assert 0 < (measured[0] - measured[1]).sum() < measured[0].size / 10


@pytest.fixture(scope="module")
def of_plain():
    """Quality with the plain regularisation, once it is known."""
    return []


@pytest.mark.parametrize(
    "options",
    [
        {"regularisation": "edge_weighted"},
        {"regularisation": "wavelet"},
        {"exponent": 1.5},
        {"nonnegative": True},
        {"rank": 0.999},
    ],
)
def test_other_regularisations(scene, products, members, gaussian_psfs, wave, of_plain, options):
    common = {"psf_size": 1.0, "margin": 0.3, **gaussian_psfs}
    result = FusionStep.call(members(), **common, **options)
    if not of_plain:
        plain = FusionStep.call(members(), regularisation="sobolev", **common)
        of_plain.append(quality(scene, products, plain, wave))
    assert quality(scene, products, result, wave) > of_plain[0] - 2.0


@pytest.mark.parametrize("given", [1e-3, "1e-3", np.float32(1e-3), ["1e-3"]])
def test_one_strength_in_any_form(given):
    assert FusionOptions(tuning="manual", mu=given).mu == pytest.approx(1e-3)


def test_lists_in_one_text():
    """In Python as on the command line, where the pipeline takes texts with commas apart."""
    given = {
        "filters": "f187n, F212N",
        "exclude_channels": "57,100-120",
        "exclude_wave": "1.87-1.88,2.12-2.13",
        "offsets": "F182M:0.012:-0.034,F210M:0.010:-0.030",
        "throughputs": f"F187N={__file__},F212N={__file__}",
        "validate_filters": "F187N,F187N+F212N",
    }
    apart = {name: [part.strip() for part in text.split(",")] for name, text in given.items()}
    assert FusionOptions(**given) == FusionOptions(**apart)
    assert FusionOptions(**given).filters == ("F187N", "F212N")


def test_headers_without_units_take_the_usual_ones(members, fuse):
    given = members(shape=(8, 9))
    expected = fuse(given)
    for name in ("cunit1", "cunit2", "cunit3", "pc3_3"):
        setattr(given[0].meta.wcsinfo, name, None)
    result = fuse(given)
    np.testing.assert_array_equal(result.data, expected.data)
    assert result.meta.wcs(3, 4, 5) == pytest.approx(expected.meta.wcs(3, 4, 5))


def test_an_image_of_another_instrument_may_come_first(members, fuse, caplog):
    """The instrument is that of the images that the cube covers, whatever their order."""
    given = members(shape=(8, 9))
    other = given[1].copy()
    other.meta.filename = "other_miri_f770w_i2d.fits"
    other.meta.instrument.name, other.meta.instrument.filter = "MIRI", "F770W"
    other.meta.instrument.detector = "MIRIMAGE"
    result = fuse([given[0], other, *given[1:]])
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert result.filter_table["filter"].tolist() == list(FILTERS)
    assert "other_miri_f770w_i2d.fits (F770W) is not used" in caplog.text
