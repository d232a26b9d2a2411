"""The step HIFReD: products, forms of input, and data and parameters that are wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer
from stdatamodels.jwst import datamodels
from stpipe import Step

from jwst_fusion.associations.hifred import collect_hifred_members
from jwst_fusion.datamodels import HifredCubeModel
from jwst_fusion.hifred.xray.counts import CountCube, read_counts
from jwst_fusion.metrics import nmse
from jwst_fusion.products.fits_product import FitsProduct
from jwst_fusion.simulation.xray import xray_pair
from jwst_fusion.simulation.xray_files import write_xray_pair
from jwst_fusion.steps.hifred import HifredStep

CONFIGS = Path(__file__).resolve().parents[2] / "step_configs"
STRUN = str(Path(sys.executable).parent / "strun")
# Strengths by hand where the figures do not matter: no time is spent on choosing them.
QUICK = {"rank": 4, "mu": 0.02, "errors": False}
S3D = {"psf_fwhm": 1.5 * 2.3548 * 0.05}


@pytest.fixture
def members(xray_files):
    return collect_hifred_members(str(xray_files[1]))


@pytest.fixture
def cubes(members):
    return [read_counts(cube) for cube in members.cubes]


@pytest.fixture
def quick(members):
    """Parameters with which the step takes the cubes alone."""
    return {**QUICK, **members.responses}


@pytest.mark.parametrize("name", ["hifred", "hifred_xray"])
def test_shipped_parameter_files(tmp_path, xray_files, monkeypatch, name):
    pair, path = xray_files
    # as strun does, in this process
    monkeypatch.chdir(tmp_path)
    Step.from_cmdline([str(CONFIGS / f"{name}.asdf"), str(path), f"--output_dir={tmp_path}"])
    assert [p.name for p in tmp_path.glob("*.fits")] == ["remnant_hifred.fits"]
    assert (tmp_path / "remnant_hifred_report.html").is_file() is (name == "hifred_xray")
    with fits.open(tmp_path / "remnant_hifred.fits") as hdus:
        names = [hdu.name for hdu in hdus]
        assert names[1:7] == ["SCI", "ERR", "DQ", "EBOUNDS", "MODEL_X", "MODEL_Y"]
        assert {"HISTORY", "PARAMETERS", "SOFTWARE"} <= set(names)
        assert hdus[0].header["S_HIFRED"] == "COMPLETE"
        assert hdus[0].header["HIFCUBEX"] == "remnant_x_counts.fits"
        assert hdus[0].header["HIFCONV"]
        assert hdus["SCI"].header["CTYPE3"] == "ENER"
        cube, error = hdus["SCI"].data, hdus["ERR"].data
        assert cube.min() >= 0
        assert nmse(pair.truth, cube, decibel=True) > 14
        assert cube.sum() == pytest.approx(pair.truth.sum(), rel=0.01)
        assert not hdus["DQ"].data.any()
        pull = (cube - pair.truth)[error > 0] / error[error > 0]
        assert 0.2 < np.sqrt(np.mean(pull**2)) < 5
        assert np.allclose(hdus["EBOUNDS"].data["E_MAX"], pair.edges[1:])
        # What either telescope would have seen is closer to its expectation than its counts are.
        for hdu, model, counts in (
            ("MODEL_X", pair.x_model, pair.x),
            ("MODEL_Y", pair.y_model, pair.y),
        ):
            off = np.linalg.norm(hdus[hdu].data - model)
            assert off < 0.65 * np.linalg.norm(counts - model)
        header = hdus["SCI"].header
    again = read_counts(tmp_path / "remnant_hifred.fits")
    assert np.allclose(again.energies, pair.edges)
    assert again.pixel_scale == pytest.approx(10.0)
    assert header["BUNIT"] == "photon cm-2"


def test_all_forms_of_input_agree(tmp_path, monkeypatch, xray_files, members, cubes, quick):
    monkeypatch.chdir(tmp_path)
    path = xray_files[1]
    before = {p: p.read_bytes() for p in path.parent.iterdir()}
    for file in before:
        file.chmod(0o444)
    expected = HifredStep.call(str(path), **QUICK)
    assert isinstance(expected, FitsProduct)
    assert expected.meta.cal_step.hifred == "COMPLETE"
    assert expected.err is None
    forms = [
        (path, QUICK),
        ({"cubes": members.cubes, **members.responses}, QUICK),
        (list(members.cubes)[::-1], quick),
        (cubes, quick),
    ]
    for form, options in forms:
        assert np.array_equal(HifredStep.call(form, **options).data, expected.data)
    HifredStep.call(list(members.cubes), output_file="mine.fits", **quick)
    assert [p.name for p in tmp_path.iterdir()] == ["mine_hifred.fits"]
    assert {p: p.read_bytes() for p in path.parent.iterdir()} == before


def test_transposed_fields_give_the_transposed_result(cubes, quick, tmp_path, members):
    expected = HifredStep.call(cubes, **quick)
    turned = [
        CountCube.from_arrays(cube.counts.swapaxes(1, 2), cube.energies, exposure=cube.exposure)
        for cube in cubes
    ]
    with fits.open(members.responses["psf"]) as hdus:
        hdus[0].data = hdus[0].data.T
        hdus.writeto(tmp_path / "psf.fits")
    found = HifredStep.call(turned, **{**quick, "psf": str(tmp_path / "psf.fits")})
    off = np.abs(found.data.swapaxes(1, 2) - expected.data).max()
    assert off < 2e-3 * expected.data.max()


@pytest.mark.parametrize("regularisation", ["wavelet_2d1d", "low_rank_wavelet", "low_rank", "none"])
def test_every_regularisation_runs(cubes, members, regularisation):
    strength = {
        "wavelet_2d1d": {"kappa": 1.0},
        "low_rank_wavelet": {"mu": 0.5, "rank": 3},
        "low_rank": {"rank": 2},
        "none": {},
    }[regularisation]
    options = {"regularisation": regularisation, "max_iterations": 40, "errors": False}
    result = HifredStep.call(cubes, **members.responses, **options, **strength)
    assert result.meta.cal_step.hifred == "COMPLETE"
    assert result.header["HIFREGUL"] == regularisation
    assert np.isfinite(result.data).all()
    assert result.data.min() >= 0


def test_psfs_off_centre_even_and_not_normalised(tmp_path, cubes, quick, members):
    expected = HifredStep.call(cubes, **quick)
    with fits.open(members.responses["psf"]) as hdus:
        wide = np.pad(hdus[0].data, ((2, 1), (0, 5)))
        header = hdus[0].header
        rows, columns = hdus[0].data.shape
    header["CRPIX1"], header["CRPIX2"] = (columns + 1) / 2, 2 + (rows + 1) / 2
    fits.PrimaryHDU(1e4 * wide, header).writeto(tmp_path / "psf.fits")
    found = HifredStep.call(cubes, **{**quick, "psf": str(tmp_path / "psf.fits")})
    assert np.allclose(found.data, expected.data, atol=1e-3 * expected.data.max())


def test_bad_voxels_do_harm_only_where_they_are(xray_files, cubes, quick):
    pair = xray_files[0]
    clean = HifredStep.call(cubes, **quick)
    x, y = (cube.counts.copy() for cube in cubes)
    rng = np.random.default_rng(0)
    for counts in (x, y):
        bad = rng.random(counts.shape) < 0.02
        counts[bad] = rng.choice([np.nan, np.inf, -np.inf], bad.sum())
    x[:, 5, 6] = np.nan
    y[20] = np.nan
    given = [
        CountCube.from_arrays(data, cube.energies, exposure=1.0, wcs=cube.wcs)
        for data, cube in zip((x, y), cubes, strict=True)
    ]
    found = HifredStep.call(given, **quick)
    assert found.meta.cal_step.hifred == "COMPLETE"
    assert np.isfinite(found.data).all()
    assert (found.dq[:, 5, 6] == 2**28).all()
    loss = nmse(pair.truth, clean.data, decibel=True) - nmse(pair.truth, found.data, decibel=True)
    assert loss < 1.0


# ---------------------------------------------------------------------------------- JWST cubes


def test_jwst_cubes(tmp_path, s3d_pair):
    truth, wave, models = s3d_pair()
    before = [model.data.tobytes() for model in models]
    result = HifredStep.call(list(models[::-1]), **S3D, errors=True)
    assert isinstance(result, HifredCubeModel)
    assert result.meta.cal_step.hifred == "COMPLETE"
    assert result.data.shape == truth.shape
    assert nmse(truth, result.data, decibel=True) > 25
    coarse = np.repeat(np.repeat(models[1].data, 3, axis=1), 3, axis=2)
    gain = nmse(truth, result.data, decibel=True) - nmse(truth, coarse, decibel=True)
    assert gain > 8
    assert result.meta.hifred.likelihood == "gaussian"
    assert result.meta.hifred.cube_x == "sharp_s3d.fits"
    assert [model.data.tobytes() for model in models] == before
    path = tmp_path / "out_hifred.fits"
    result.save(str(path))
    with datamodels.open(path) as opened:
        assert type(opened) is datamodels.IFUCubeModel
        ra, dec, last = opened.meta.wcs(4.0, 7.0, 0.0)
        assert last == pytest.approx(wave[0])
        x, y = models[0].meta.wcsinfo.crpix1 - 1 - 4.0, 7.0 - (models[0].meta.wcsinfo.crpix2 - 1)
        assert ra == pytest.approx(83.82 + x * 0.05 / 3600 / np.cos(np.deg2rad(5.42)), abs=1e-8)
        assert dec == pytest.approx(-5.42 + y * 0.05 / 3600, abs=1e-8)
    with HifredCubeModel(path) as opened:
        assert opened.meta.hifred.rank == result.meta.hifred.rank
        assert opened.history_table["objective"][-1] == pytest.approx(
            result.meta.hifred.objective, rel=1e-3
        )
        assert opened.model_x.shape == models[0].data.shape
    with fits.open(path) as hdus:
        assert hdus[0].header["S_HIFRED"] == "COMPLETE"
        assert hdus[0].header["DATAMODL"] == "IFUCubeModel"


def test_jwst_files_and_containers(tmp_path, monkeypatch, s3d_pair):
    monkeypatch.chdir(tmp_path)
    _, _, models = s3d_pair()
    expected = HifredStep.call(list(models), **QUICK, **S3D)
    for model in models:
        model.save(model.meta.filename)
    names = [model.meta.filename for model in models]
    for form in (names, ModelContainer(list(models))):
        found = HifredStep.call(form, **QUICK, **S3D)
        assert np.allclose(found.data, expected.data, rtol=1e-4, atol=1e-3)
    HifredStep.call(names, save_results=True, **QUICK, **S3D)
    assert (tmp_path / "sharp_hifred.fits").is_file()


def test_falling_wavelengths_give_the_same(s3d_pair):
    _, wave, models = s3d_pair()
    expected = HifredStep.call(list(models), **QUICK, **S3D)
    fine = models[1]
    fine.data, fine.err = fine.data[::-1].copy(), fine.err[::-1].copy()
    fine.meta.wcsinfo.crval3, fine.meta.wcsinfo.cdelt3 = float(wave[-1]), -0.002
    found = HifredStep.call(list(models), **QUICK, **S3D)
    assert np.allclose(found.data[::-1], expected.data, rtol=1e-3, atol=0.1)


def test_gaps_in_jwst_cubes(s3d_pair):
    truth, _, (sharp, fine) = s3d_pair()
    sharp.data[:, 10:13, 20:22] = np.nan
    fine.dq[:, 5, 5] = 1
    fine.data[:, 5, 5] = 1e6
    fine.data[30] = np.nan
    result = HifredStep.call([sharp, fine], errors=False, **S3D)
    assert (result.dq[:, 10:13, 20:22] == 2**28).all()
    assert np.isfinite(result.data).all()
    assert nmse(truth, result.data, decibel=True) > 20


SKIPPED = {
    "all NaN": (0, lambda m: m.data.fill(np.nan), "no usable data"),
    "all zero": (1, lambda m: m.data.fill(0), "no usable data"),
    "all flagged": (1, lambda m: m.dq.fill(1), "no usable data"),
    "no WCS": (0, lambda m: setattr(m.meta.wcsinfo, "ctype1", None), "no celestial WCS"),
    "no wavelengths": (1, lambda m: setattr(m.meta.wcsinfo, "ctype3", None), "no wavelength"),
    "other band": (0, lambda m: setattr(m.meta.wcsinfo, "crval3", 3.0), "fewer than two channels"),
    "elsewhere": (1, lambda m: setattr(m.meta.wcsinfo, "crval1", 10.0), "do not overlap"),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_unsuitable_jwst_cubes_are_skipped(s3d_pair, caplog, case):
    which, change, message = SKIPPED[case]
    models = s3d_pair()[2]
    change(models[which])
    before = models[1].data.tobytes()
    result = HifredStep.call(list(models), **QUICK, **S3D)
    assert result.meta.cal_step.hifred == "SKIPPED"
    assert message in caplog.text
    assert result is not models[1]
    assert result.data.tobytes() == before


def test_other_models_fail(s3d_pair, caplog):
    model = datamodels.ImageModel(data=np.ones((4, 4), "f4"))
    result = HifredStep.call([s3d_pair()[2][0], model], **S3D)
    assert type(result) is datamodels.ImageModel
    assert result is not model
    assert result.meta.cal_step.hifred == "FAILED"
    assert "ImageModel is not an IFU cube" in caplog.text
    assert HifredStep.call(model).meta.cal_step.hifred == "FAILED"


# ---------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("change", ["zero", "nan", "elsewhere", "other band"])
def test_unsuitable_counts_are_skipped(tmp_path, xray_files, members, caplog, change):
    x, y = members.cubes
    with fits.open(x) as hdus:
        hdu = hdus[0]
        if change == "zero":
            hdu.data[:] = 0
        elif change == "nan":
            hdu.data = np.full(hdu.data.shape, np.nan)
        elif change == "elsewhere":
            hdu.header["CRVAL2"] = 10.0
        else:
            hdu.header["CRVAL3"] = 6.0
        hdus.writeto(tmp_path / "x.fits")
    inputs = {"cubes": [str(tmp_path / "x.fits"), y], **members.responses, "product_name": "a"}
    result = HifredStep.call(inputs, **QUICK, save_results=True, output_dir=str(tmp_path))
    assert result.meta.cal_step.hifred == "SKIPPED"
    assert "step skipped" in caplog.text
    with fits.open(tmp_path / "a_hifred.fits") as hdus:
        assert hdus[0].header["S_HIFRED"] == "SKIPPED"
        assert np.array_equal(hdus[0].data, xray_files[0].y)


def test_solver_that_breaks_down_fails(cubes, quick, monkeypatch, caplog):
    def broken(*args, **kwargs):
        msg = "matrix is not positive definite"
        raise np.linalg.LinAlgError(msg)

    monkeypatch.setattr("jwst_fusion.hifred.run.fuse", broken)
    result = HifredStep.call(cubes, **quick)
    assert result.meta.cal_step.hifred == "FAILED"
    assert "not positive definite" in caplog.text


@pytest.mark.parametrize("value", [None, np.zeros((3, 3, 3)), 7])
def test_other_objects_are_refused(value):
    with pytest.raises(TypeError, match="is not supported"):
        HifredStep.call(value)


def test_members_of_other_kinds_are_refused(cubes, s3d_pair):
    with pytest.raises(TypeError, match="a cube of the input is a ndarray"):
        HifredStep.call([cubes[0], np.zeros((3, 3, 3))])
    with pytest.raises(ValueError, match="give two of one kind"):
        HifredStep.call([cubes[0], s3d_pair()[2][0]])
    with pytest.raises(ValueError, match="has 1 cubes"):
        HifredStep.call([cubes[0]])


def test_bad_files_are_named(tmp_path, members, quick):
    with pytest.raises(FileNotFoundError, match=r"no\.fits does not exist"):
        HifredStep.call([str(tmp_path / "no.fits"), members.cubes[1]], **quick)
    for name, content in (("junk.fits", b"junk" * 1000), ("empty.fits", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name[:-5]}.fits is not a readable FITS file"):
            HifredStep.call([str(tmp_path / name), members.cubes[1]], **quick)
    (tmp_path / "cut.fits").write_bytes(Path(members.cubes[0]).read_bytes()[: 2880 * 5])
    with pytest.raises(ValueError, match=r"cut\.fits is not .*truncated"):
        HifredStep.call([str(tmp_path / "cut.fits"), members.cubes[1]], **quick)
    for name, kind in (("psf", "PSF"), ("rmf_x", "RMF"), ("arf_x", "ARF")):
        given = list(members.cubes)
        with pytest.raises(ValueError, match=f"the {kind} .*junk"):
            HifredStep.call(given, **{**quick, name: str(tmp_path / "junk.fits")})
        with pytest.raises(FileNotFoundError, match=f"{name}: file .*absent"):
            HifredStep.call(given, **{**quick, name: str(tmp_path / "absent")})
    assert len(list(tmp_path.iterdir())) == 3


PARAMETERS = {
    "rank": [0, -3, 1000, "many", "nan"],
    "mu": [0, -1.0, "nan", "inf", "some"],
    "tolerance": [0.0, -1e-3, 2.0, float("nan")],
    "max_iterations": [0, -5],
    "psf_fwhm": [0.0, -1.0, float("nan"), float("inf")],
    "psf_angle": [float("nan"), 1e9],
    "lsf_fwhm": [0.0, float("nan")],
    "exposure_x": [0.0, -10.0, float("nan")],
    "energy_min": [-1.0, float("nan"), 1e9],
    "wave_max": [0.0, float("nan")],
    "memory_limit": [0.0, -1.0, float("nan")],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_out_of_range(cubes, members, name):
    for value in PARAMETERS[name]:
        with pytest.raises(ValueError, match=name):
            HifredStep.call(cubes, **members.responses, **{name: value})


def test_parameters_that_do_not_go_together(cubes, members):
    with pytest.raises(ValueError, match="takes kappa"):
        HifredStep.call(cubes, regularisation="wavelet_2d1d", mu=0.1)
    with pytest.raises(ValueError, match="takes mu"):
        HifredStep.call(cubes, kappa=1.0)
    with pytest.raises(ValueError, match=r"energy_min is 2\.0 and not below energy_max"):
        HifredStep.call(cubes, energy_min=2.0, energy_max=1.0)
    with pytest.raises(ValueError, match="wave_min is for JWST cubes"):
        HifredStep.call(cubes, wave_min=1.0)
    with pytest.raises(ValueError, match="folder of"):
        HifredStep.call(cubes, checkpoint="/nowhere/state.npz")


def test_memory_is_checked_before_anything_is_computed(cubes, quick):
    with pytest.raises(ValueError, match=r"needs about .* GB.*memory_limit"):
        HifredStep.call(cubes, **quick, memory_limit=0.001)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folders_that_cannot_be_written(tmp_path, cubes, quick):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        HifredStep.call(cubes, **quick, save_results=True, output_dir=str(tmp_path))
    tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("regularisation", ["low_rank_sobolev", "low_rank_wavelet"])
def test_a_handful_of_photons_keep_their_number(tmp_path, regularisation):
    """Noise outweighs the mean spectrum in Y: a photon in one voxel of a hundred and fifty."""
    pair = xray_pair("small", shape=(18, 24), fine=240, counts=(1500, 100), seed=4)
    path = write_xray_pair(pair, tmp_path)
    result = HifredStep.call(str(path), regularisation=regularisation)
    assert abs(result.data.sum() / pair.truth.sum() - 1) < 0.25
    within = np.abs(result.data - pair.truth) < result.err
    # a source that is mostly fainter than its error is known better than that
    assert 0.5 < within.mean() < 0.98
    assert result.err.min() > 0


def test_negative_background_of_jwst_cubes_is_noted(s3d_pair, caplog):
    models = s3d_pair(shape=(18, 15), channels=24)[2]
    HifredStep.call(list(models), **QUICK, **S3D)
    assert "nonnegative=False" not in caplog.text
    for model in models:
        model.data -= 100.0
    HifredStep.call(list(models), **QUICK, **S3D)
    assert "nonnegative=False" in caplog.text


def test_old_name_of_the_number_of_iterations(tmp_path, xray_files, cubes, quick, caplog):
    """Parameter files, calls and commands of before the new name keep working until 1.0."""
    expected = HifredStep.call(cubes, **quick, max_iterations=2)
    assert "is called" not in caplog.text
    found = HifredStep.call(cubes, **quick, maximum_iterations=2)
    assert np.array_equal(found.data, expected.data)
    warned = [one for one in caplog.records if "maximum_iterations" in one.getMessage()]
    assert [one.levelname for one in warned] == ["WARNING"]
    assert "is called max_iterations now" in warned[0].getMessage()
    shown = dict(found.hdus["PARAMETERS"].data)
    assert shown["max_iterations"] == "2"
    assert "maximum_iterations" not in shown
    text = (CONFIGS / "hifred.asdf").read_text()
    old = tmp_path / "old.asdf"
    old.write_text(text.replace("max_iterations: null", "maximum_iterations: 2"))
    found = HifredStep.call(cubes, config_file=str(old), **quick)
    assert np.array_equal(found.data, expected.data)
    command = [STRUN, "hifred", str(xray_files[1]), "--maximum_iterations=2", "--mu=0.02"]
    command += ["--rank=4", "--errors=false", f"--output_dir={tmp_path}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (done.stdout + done.stderr).count("is called max_iterations now") == 1
    with fits.open(tmp_path / "remnant_hifred.fits") as hdus:
        assert np.array_equal(hdus["SCI"].data, expected.data)
