from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter
from stpipe import Step

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.left_out import filter_groups, left_out_images, report, validate
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.prediction import hardest_filter, predict_images
from jwst_fusion.fusion.solver.problem import LowRankProblem, choose_subspace
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.whitening import usable_data
from jwst_fusion.steps.fusion import FusionStep

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["F182M", "F187N", "F210M", "F210M"]
SETTINGS = FusionSettings(tuning="manual", mu=1e-2, rank=3)


def blob(width):
    y, x = np.indices((15, 15)) - 7
    psf = np.exp(-0.5 * (x**2 + y**2) / width**2)
    return psf[None] / psf.sum()


@pytest.fixture(scope="module")
def data():
    """Three components on a smooth field, seen by a sharp imager and a blurred cube."""
    rng = np.random.default_rng(3)
    channels, h, w, d = 60, 12, 13, 3
    wave = np.linspace(-1, 1, channels)
    spectra = [1 + 0.3 * wave, np.exp(-0.5 * ((wave - 0.2) / 0.1) ** 2), wave**2]
    maps = [gaussian_filter(rng.normal(size=(d * h, d * w)), 1.5) * 60 for _ in spectra]
    truth = 100 + np.einsum("al,ayx->lyx", spectra, maps)
    sharp, soft = (gaussian_filter(truth, (0, s, s), mode="nearest") for s in (0.7, 2.0))
    response = np.zeros((4, channels))
    for row, (low, high) in zip(response, [(5, 30), (10, 16), (28, 50), (28, 50)], strict=True):
        row[low:high] = 1 / (high - low)
    images = np.tensordot(response, sharp, 1)
    images = images + rng.standard_normal(images.shape)
    cube = soft[:, 1::3, 1::3]
    return FusionData(
        cube=cube + rng.standard_normal(cube.shape),
        cube_sigma=np.ones(channels),
        spaxel_weight=np.ones((h, w)),
        images=images,
        image_sigma=np.ones(4),
        image_weight=np.ones(images.shape),
        response=response,
        psf_weights=np.ones((channels, 1)),
        psf_image=blob(0.7),
        psf_cube=blob(2.0),
        factor=d,
    )


def test_each_image_is_predicted_without_it(data):
    inner = (slice(1, 11), slice(2, 12))
    found = validate(data, NAMES, ("F187N", "F210M"), inner=inner, settings=SETTINGS)
    assert [one.image for one in found] == [1, 2, 3], "all images of a filter are left out"
    assert [one.group for one in found] == [("F187N",), ("F210M",), ("F210M",)]
    for one in found:
        assert one.quality.pixels == 30 * 30
        assert 0.7 < one.quality.chi2 < 30
        assert one.quality.psnr < one.quality.psnr_ceiling + 0.5
    fine = (slice(3, 33), slice(6, 36))
    kept = np.array([True, False, True, True])
    less = data.with_images(kept)
    cube = fuse(less, SETTINGS).cube[(slice(None), *fine)]
    residual = data.images[1][fine] - np.tensordot(data.response[1], cube, 1)
    assert found[0].quality.chi2 == pytest.approx(np.mean(residual**2), rel=1e-4)


def test_the_image_itself_does_not_enter(data):
    before = validate(data, NAMES, ("F187N",), settings=SETTINGS)[0].quality
    images = data.images.copy()
    images[1] *= 1.1
    after = validate(replace(data, images=images), NAMES, ("F187N",), settings=SETTINGS)[0].quality
    assert before.relative_error < 0.06
    assert after.relative_error == pytest.approx(1 - 1 / 1.1, abs=0.02)


def test_groups_and_every_filter(data):
    found = validate(data, NAMES, ("all", "F182M+F187N", "F182M"), settings=SETTINGS)
    groups = [("F182M",), ("F187N",), ("F210M",), ("F210M",)] + [("F182M", "F187N")] * 2
    assert [one.group for one in found] == groups
    assert found[4].quality.psnr <= found[0].quality.psnr + 0.5
    assert validate(data, NAMES, (), settings=SETTINGS) == []


def test_groups_that_cannot_be_left_out_are_warned_of(data, caplog):
    assert validate(data, NAMES, ("F150W", "F182M+F187N+F210M"), settings=SETTINGS) == []
    assert "No validation without F150W: no image of them is used" in caplog.text
    assert "F182M and F187N and F210M: no other image remains" in caplog.text


def test_a_fusion_that_breaks_down_costs_no_other(data, monkeypatch, caplog):
    def broken(problem, settings):
        if len(problem.images) == 2:
            msg = "matrix is not positive definite"
            raise np.linalg.LinAlgError(msg)
        return fuse(problem, settings)

    monkeypatch.setattr("jwst_fusion.fusion.left_out.fuse", broken)
    found = validate(data, NAMES, ("F210M", "F187N"), settings=SETTINGS)
    assert [one.filter for one in found] == ["F187N"]
    assert "No validation without F210M: matrix is not positive definite" in caplog.text


def test_channels_without_data_do_not_matter(data):
    cube, sigma = data.cube.copy(), data.cube_sigma.copy()
    cube[[3, 55]], sigma[[3, 55]] = np.nan, np.nan
    one = validate(
        replace(data, cube=cube, cube_sigma=sigma), NAMES, ("F187N",), settings=SETTINGS
    )[0]
    assert np.isfinite(one.quality.psnr)


def test_report(data):
    lines = report(validate(data, NAMES, ("F182M+F187N",), settings=SETTINGS))
    assert len(lines) == 4
    assert "F182M+F187N" in lines[3]
    assert report([]) == []


def test_the_fusion_itself_predicts_the_hardest_filter(data):
    settings = replace(SETTINGS, predict=True)
    result = fuse(data, settings)
    chosen = result.prediction.images
    name = NAMES[chosen[0]]
    assert [NAMES[i] for i in chosen] == [n for n in NAMES if n == name]
    quick = left_out_images(data, NAMES, result.prediction)
    full = validate(data, NAMES, (name,), settings=SETTINGS)
    assert [one.image for one in quick] == [one.image for one in full]
    for one, other in zip(quick, full, strict=True):
        assert one.group == other.group == (name,)
        assert one.quality.relative_error == pytest.approx(other.quality.relative_error, rel=0.05)
    plain = fuse(data, SETTINGS)
    assert plain.prediction is None
    assert np.array_equal(plain.cube, result.cube, equal_nan=True)


def test_the_prediction_is_as_wrong_as_it_says(data):
    settings = FusionSettings(rank=3, sources="none", predict=True)
    for one in left_out_images(data, NAMES, fuse(data, settings).prediction):
        beyond = one.quality.relative_error * np.sqrt(max(1 - 1 / one.quality.chi2, 0))
        assert 0.5 < beyond / one.stated < 2


def test_what_a_predicted_image_shows_does_not_enter(data):
    problem = usable_data(data)
    posed = LowRankProblem.pose(problem, choose_subspace(problem, SETTINGS), SETTINGS)
    mu = np.full(posed.subspace.rank, 1e-2)
    tuned = posed.tune(mu, SETTINGS, tolerance=0.01)
    first = predict_images(posed, tuned, SETTINGS, np.array([1]))
    images = problem.images.copy()
    images[1] += 20 * np.sin(np.arange(images.shape[2]))  # 20 standard deviations
    wrong = LowRankProblem.pose(replace(problem, images=images), posed.subspace, SETTINGS)
    second = predict_images(wrong, wrong.tune(mu, SETTINGS, tolerance=0.01), SETTINGS, first.images)
    change = second.predicted - first.predicted
    assert np.sqrt(np.mean(change**2)) < 0.2 * np.sqrt(np.mean(first.error**2))


def test_two_filters_are_both_needed(data):
    kept = [0, 2, 3]
    less = data.with_images(kept)
    assert fuse(less, replace(SETTINGS, predict=True)).prediction is None
    response = less.response.copy()
    response[2] *= 1.1  # a gain makes no other filter
    assert len(hardest_filter(replace(less, response=response), less.images)) == 0


@pytest.mark.parametrize("option", [{"nonnegative": True}, {"regularisation": "wavelet"}])
def test_constrained_solves_predict_nothing(data, option, caplog):
    with caplog.at_level("INFO"):
        result = fuse(data, replace(SETTINGS, predict=True, max_iterations=5, **option))
    assert result.prediction is None
    assert "No filter is left out" in caplog.text


def test_a_solve_that_fails_costs_no_fusion(data, monkeypatch, caplog):
    def broken(*_, **__):
        msg = "not positive definite"
        raise np.linalg.LinAlgError(msg)

    monkeypatch.setattr(
        "jwst_fusion.fusion.solver.iterative.WeightedSystem.without_images",
        lambda *_: SimpleNamespace(solve=broken),
    )
    assert fuse(data, replace(SETTINGS, predict=True)).prediction is None
    assert "No filter could be left out: not positive definite" in caplog.text


def test_names_are_checked():
    assert filter_groups([" f187n+F212N", "all"]) == ("F187N+F212N", "all")
    assert filter_groups(["F187N, f212n"]) == ("F187N", "F212N")
    assert FusionOptions(validate_filters=["f187n"]).validate_filters == ("F187N",)
    assert filter_groups(["auto"]) == FusionOptions().validate_filters == ("auto",)
    assert filter_groups(["none"]) == FusionOptions(validate_filters="none").validate_filters == ()
    for bad in ("F187", "F187N+", "all+F187N", "", "auto,F187N", "none,F187N", "auto+F187N"):
        with pytest.raises(ValueError, match="validate_filters"):
            filter_groups([bad])


def test_validation_run_of_the_step(tmp_path, products, gaussian_psfs, caplog):
    scene, wave = products.scene(), np.linspace(1.66, 2.30, 33)
    cube = products.cube(scene, wave, shape=(13, 14))
    names = ("F182M", "F187N", "F210M")
    images = [products.image(scene, name, shape=(80, 84)) for name in names]
    options = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
    options |= gaussian_psfs
    with caplog.at_level("INFO"):
        result = FusionStep.call([cube, *images], validate_filters="f187n,F182M+F187N", **options)
    table = result.left_out_table
    assert table["filter"].tolist() == ["F187N", "F182M", "F187N"]
    assert table["left_out"].tolist() == ["F187N", "F182M+F187N", "F182M+F187N"]
    assert table["filename"][0] == "scene_nircam_f187n_i2d.fits"
    assert table["psnr"][0] > 34
    assert (table["psnr"] < table["psnr_ceiling"] + 1).all()
    assert "Images left out of the fusion" in caplog.text
    assert np.isnan(table["stated_error"]).all()
    plain = FusionStep.call([cube, *images], validate_filters="none", **options)
    assert plain.left_out_table is None or not len(plain.left_out_table)
    usual = FusionStep.call([cube, *images], **options)
    assert np.array_equal(usual.data, plain.data, equal_nan=True)
    assert len(usual.left_out_table) == 1
    assert usual.left_out_table["stated_error"][0] > 0
    assert np.array_equal(plain.data, result.data, equal_nan=True)
    path = tmp_path / "a_fused_s3d.fits"
    result.save(str(path))
    assert fits.getval(path, "FUSPSNRV") == pytest.approx(table["psnr"].min())
    with FusedCubeModel(str(path)) as again:
        assert again.left_out_table["psnr"].tolist() == table["psnr"].tolist()
        rows = again.parameter_table
        values = rows["value"][rows["name"] == "validate_filters"].tolist()
        assert values == ["F187N", "F182M+F187N"]


@pytest.mark.slow
def test_strun_with_the_shipped_parameters_of_a_validation(
    tmp_path, products, gaussian_psfs, monkeypatch
):
    scene, wave = products.scene(), np.linspace(1.66, 2.30, 33)
    members = [products.cube(scene, wave, shape=(13, 14))]
    members += [products.image(scene, name, shape=(80, 84)) for name in ("F182M", "F187N")]
    for model in members:
        model.save(str(tmp_path / model.meta.filename))
    names = [model.meta.filename for model in members]
    table = make_association(names[0], names[1:], product_name="jw02")
    write_association(table, tmp_path / "a_asn.json")
    config = str(ROOT / "step_configs" / "fusion_validation.asdf")
    monkeypatch.chdir(tmp_path)
    options = [f"--{key}={value}" for key, value in gaussian_psfs.items()]
    options += ["--tuning=manual", "--mu=1e-3", "--rank=3", "--psf_size=1"]
    path = tmp_path / "jw02_fused_s3d.fits"
    for extra, groups in (
        ([], ["F182M", "F187N"]),
        (["--validate_filters=F187N,f182m", "--save_reobserved=False"], ["F187N", "F182M"]),
    ):
        Step.from_cmdline([config, "a_asn.json", *options, *extra])
        assert fits.getdata(path, "FUSVALID")["left_out"].tolist() == groups
        made = {p.name for p in tmp_path.glob("jw02_reobserved_*")}
        if not extra:
            assert made == {f"jw02_reobserved_{n}.fits" for n in ("f182m_i2d", "f187n_i2d", "s3d")}
            for name in made:
                (tmp_path / name).unlink()
        else:
            assert not made
