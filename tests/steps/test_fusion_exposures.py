"""The step fusion on exposures: a cube from native pixels, its products, and what goes wrong."""

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.associations import collect_members
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.fusion import error_of
from jwst_fusion.fusion.exposure_options import check_exposure_options, exposure_settings
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.products.ifu_exposure import read_ifu_exposure
from jwst_fusion.steps.fusion import FusionStep

CAL = "jw09999001001_02101_0000{}_nrs1_cal.fits"


@pytest.fixture(scope="module")
def small(observed):
    """Parameters of a fusion that is quick: few channels and components, a small field."""
    field = {name: observed.steps["fusion"][name] for name in ("field_ra", "field_dec")}
    return {
        **field,
        "field_width": 0.8,
        "field_height": 0.6,
        "wave_min": 2.10,
        "wave_max": 2.145,
        "rank": "2",
        "psf_source": "aperture",
        "psf_size": 1.0,
        "crosscal": "off",
    }


@pytest.fixture(scope="module")
def fused(observed, small, tmp_path_factory):
    """One fusion of two exposures and an image of an association, with all its products."""
    folder = tmp_path_factory.mktemp("fused")
    result = FusionStep.call(
        observed.association,
        save_results=True,
        save_reobserved=True,
        save_report=True,
        output_dir=str(folder),
        **small,
    )
    return result, folder


def test_members_are_sorted(observed):
    members = collect_members(observed.association)
    assert members.exposures == tuple(observed.exposures)
    assert not members.cubes
    assert len(members.images) == 2
    models = [datamodels.open(path) for path in (*observed.exposures, observed.images[0])]
    found = collect_members(models)
    assert found.exposures == tuple(models[:2])
    assert found.images == (models[2],)
    for model in models:
        model.close()


def test_products_and_provenance(observed, fused):
    result, folder = fused
    assert isinstance(result, FusedCubeModel)
    assert result.meta.cal_step.fusion == "COMPLETE"
    name = observed.product
    assert {path.name for path in folder.iterdir()} >= {
        f"{name}_fused_s3d.fits",
        f"{name}_fused_report.html",
        CAL.format(1).replace("_cal", "_fusion_residual"),
        CAL.format(2).replace("_cal", "_fusion_residual"),
        f"{name}_reobserved_f212n_i2d.fits",
        f"{name}_residual_s3d.fits",
    }
    path = folder / f"{name}_fused_s3d.fits"
    header = fits.getheader(path)
    assert (header["S_FUSION"], header["FUSINPUT"]) == ("COMPLETE", "exposures")
    assert (header["FUSNEXP"], header["FUSNEXPG"]) == (2, 2)
    # The channels do not cover F210M.
    assert (header["FUSNIMG"], header["FUSNGIVN"]) == (1, 2)
    assert header["ASNTABLE"] == "pipeline_asn.json"
    assert header["TARGNAME"] == fits.getheader(observed.exposures[0])["TARGNAME"]
    with FusedCubeModel(path) as model:
        table = model.exposure_table
        assert table["filename"].tolist() == [CAL.format(1), CAL.format(2)]
        assert np.all(np.abs(table["noise_scale"] - 1) < 0.2)
        assert np.all(table["pixels"] > 1000)
        assert model.channel_table["wavelength"] == pytest.approx(
            np.arange(len(model.data)) * model.meta.wcsinfo.cdelt3 + model.meta.wcsinfo.crval3
        )
        good = model.dq == 0
        assert good.mean() > 0.9
        assert np.isfinite(model.data[good]).all()
        assert np.all(model.err[good] > 0)
        # Both exposures and an image saw nearly all of it.
        assert np.mean(np.isin(model.weightmap, (3, 5))) > 0.9
        # From the posterior, which is no larger than the cube: of a voxel, ERR.
        mask, channel = np.zeros(model.data.shape[1:]), np.zeros(len(model.data))
        mask[8, 8] = channel[20] = 1
        assert model.dq[20, 8, 8] == 0
        assert error_of(model, mask, channel) == pytest.approx(model.err[20, 8, 8], rel=0.1)
        assert "error_of" in header["FUSSUMS"]
        mask[6:11, 6:11] = 1
        whole = error_of(model, mask)
        np.testing.assert_allclose(error_of(path, mask), whole, rtol=1e-4)
        naive = np.sqrt(np.sum(model.err**2 * mask, axis=(1, 2)))
        assert np.median(whole / naive) > 1.5
    with datamodels.open(path) as model:
        assert type(model) is datamodels.IFUCubeModel
        _, dec, wavelength = model.meta.wcs(8.0, 8.0, 0.0)
        assert wavelength == pytest.approx(2.10, abs=2e-3)
        assert abs(dec - model.meta.wcsinfo.crval2) < 1 / 3600
    assert not header["FUSRADD"]
    assert 2 < abs(header["FUSRSIG"]) < 7
    with datamodels.open(folder / f"{name}_residual_s3d.fits") as model:
        assert type(model) is datamodels.IFUCubeModel
        seen = model.dq == 0
        assert seen.mean() > 0.9
        assert np.sqrt(np.mean((model.data[seen] / model.err[seen]) ** 2)) == pytest.approx(1, 0.2)
    page = (folder / f"{name}_fused_report.html").read_text()
    assert "Strongest residual" in page
    assert CAL.format(1) in page
    assert "F212N" in page


def test_residual_exposures_are_exposures(observed, fused):
    _, folder = fused
    residual = folder / CAL.format(1).replace("_cal", "_fusion_residual")
    with datamodels.open(residual) as model, datamodels.open(observed.exposures[0]) as given:
        assert isinstance(model, datamodels.IFUImageModel)
        used = np.isfinite(model.data)
        flags = dqflags.pixel
        unusable = (model.dq & flags["DO_NOT_USE"]) > 0
        assert not np.any(~used & ~unusable)
        outliers = (model.dq & flags["OUTLIER"]) > 0
        kept = used & ~outliers
        assert np.count_nonzero(kept) == fused[0].exposure_table["pixels"][0]
        pulls = model.data[kept] / given.err[kept]
        assert np.std(pulls) == pytest.approx(1, abs=0.2)
        # It is at the place of the exposure on the sky.
        at = 500.0, float(np.nonzero(used)[0][0])
        np.testing.assert_allclose(model.meta.wcs(*at), given.meta.wcs(*at))
    with datamodels.open(folder / f"{observed.product}_reobserved_f212n_i2d.fits") as image:
        assert isinstance(image, datamodels.ImageModel)
        assert np.isfinite(image.data).any()


def test_models_without_images(observed, small, tmp_path):
    """Models of the caller, a single exposure, no image: at the resolution of the spectrograph."""
    with datamodels.open(observed.exposures[0]) as model:
        before = model.data.tobytes()
        quick = small | {"wave_max": 2.12, "save_report": True, "output_dir": str(tmp_path)}
        quick["add_residual"] = True
        result = FusionStep.call(model, **quick)
        assert model.data.tobytes() == before
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert (result.meta.fusion.images, result.meta.fusion.resolution) == (0, "ifu")
    (page,) = tmp_path.glob("*.html")
    assert "no images" in page.read_text()
    assert ", added" in page.read_text()
    assert result.meta.fusion.residual_added
    assert (result.dq == 0).mean() > 0.5
    # Noise of single voxels is that of the pixels, of which there are as many as spaxels.
    noise = np.median(result.channel_table["noise"])
    assert 0.5 * noise < np.nanmedian(result.err) < 2 * noise


def test_kinds_of_input_are_not_mixed(observed, products_of_a_cube):
    cube, exposure = products_of_a_cube, observed.exposures[0]
    with pytest.raises(ValueError, match=r"both exposures \(.*nrs1_cal.fits\) and cubes"):
        FusionStep.call([exposure, cube])
    with pytest.raises(ValueError, match="is an exposure, but input is 'cube'"):
        FusionStep.call([exposure], input="cube")
    with pytest.raises(ValueError, match="is a cube, but input is 'exposures'"):
        FusionStep.call([cube], input="exposures")
    with pytest.raises(Exception, match="resolution"):
        FusionStep.call([cube], resolution="slices")
    with pytest.raises(Exception, match="input"):
        FusionStep.call([cube], input="pixels")


@pytest.fixture
def products_of_a_cube(tmp_path):
    path = tmp_path / "x_s3d.fits"
    datamodels.IFUCubeModel(np.ones((3, 4, 5), "f4")).save(str(path))
    return str(path)


def changed(observed, number, change):
    """A model of an exposure that has been changed."""
    model = datamodels.open(observed.exposures[number])
    change(model)
    return model


def without_wcs(model):
    model.meta.wcs = None
    del model.meta.instance["wcs"]


def all_bad(model):
    model.dq = model.dq | dqflags.pixel["DO_NOT_USE"]


def all_replaced(model):
    model.dq = np.full(model.dq.shape, dqflags.pixel["FLUX_ESTIMATED"], np.uint32)


def without_errors(model):
    model.err = np.zeros_like(model.err)


def in_counts(model):
    model.meta.bunit_data = "DN/s"


def leakage(model):
    model.meta.exposure.imprint = True


def background(model):
    model.meta.observation.bkgdtarg = True


def moving(model):
    model.meta.target.type = "MOVING"


def without_unit(model):
    model.meta.bunit_data = None


def without_detector(model):
    model.meta.instrument.detector = None


def without_grating(model):
    model.meta.instrument.grating = "MIRROR"


def without_roll(model):
    model.meta.wcsinfo.roll_ref = None


FAULTS = {
    "no WCS": (without_wcs, "has no WCS"),
    "all bad": (all_bad, "no pixel that may be used"),
    "all replaced": (all_replaced, "no pixel that may be used"),
    "no errors": (without_errors, r"without an error (ERR)"),
    "counts": (in_counts, "is in DN/s"),
    "no unit": (without_unit, "has no unit (keyword BUNIT)"),
    "no detector": (without_detector, "has the keyword DETECTOR None, which is none of NRS1"),
    "no grating": (without_grating, "has the keyword GRATING MIRROR, which is none of PRISM"),
    "no roll": (without_roll, "set the parameter roll_cube"),
    "leakage": (leakage, "IS_IMPRT"),
    "background": (background, "BKGDTARG"),
    "moving": (moving, "moving target"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_single_exposure_that_cannot_be_used_is_skipped(observed, small, name, caplog):
    change, reason = FAULTS[name]
    model = changed(observed, 0, change)
    result = FusionStep.call(model, **small)
    assert type(result) is datamodels.IFUImageModel
    assert result.meta.cal_step.fusion == "SKIPPED"
    np.testing.assert_array_equal(result.data, model.data)
    assert reason in caplog.text
    assert CAL.format(1) in caplog.text
    model.close()


def test_files_that_cannot_be_read_are_of_no_kind(observed, tmp_path):
    junk = tmp_path / "junk_cal.fits"
    junk.write_bytes(b"junk" * 1000)
    for given in (str(junk), [observed.exposures[0], str(junk)]):
        with pytest.raises(ValueError, match=r"junk_cal.fits cannot be read as a JWST product"):
            FusionStep.call(given)
    for nothing, error in (([], ValueError), (None, TypeError)):
        with pytest.raises(error, match=r"exposures \(cal\), or"):
            FusionStep.call(nothing)


def test_exposures_of_other_targets_and_times_are_named(observed, caplog):
    def other(model):
        model.meta.target.catalog_name = "ELSEWHERE"
        model.meta.observation.date = "2019-01-01"

    model = changed(observed, 1, other)
    opened, reasons = FusionStep()._open_exposures([observed.exposures[0], model])
    assert (len(opened), reasons) == (2, [])
    assert "The exposures are of several targets (ELSEWHERE, " in caplog.text
    assert "The exposures were taken within" in caplog.text
    model.close()


def test_one_of_two_exposures_is_left_out(observed, small, caplog):
    model = changed(observed, 1, without_wcs)
    result = FusionStep.call([observed.exposures[0], model], **small | {"wave_max": 2.12})
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert (result.meta.fusion.exposures, result.meta.fusion.exposures_given) == (1, 2)
    assert any("has no WCS" in str(row["text"]) for row in result.message_table)
    model.close()
    two = [model.copy(), model.copy()]
    with pytest.raises(ValueError, match="2 members have the name"):
        FusionStep.call(two, **small)
    two[1].meta.filename = CAL.format(9)
    other = FusionStep.call(two, **small)
    assert isinstance(other, ModelContainer)
    assert all(one.meta.cal_step.fusion == "SKIPPED" for one in other)


def test_other_fields_and_too_much_memory_are_refused_at_once(observed, small):
    far = read_ifu_exposure(observed.exposures[1])[0]

    def elsewhere(model):
        from jwst_fusion.simulation.exposures import repoint

        info = model.meta.wcsinfo
        repoint(model, info.ra_ref + 0.01, info.dec_ref, info.roll_ref)

    model = changed(observed, 1, elsewhere)
    whole = {name: value for name, value in small.items() if not name.startswith("field")}
    with pytest.raises(ValueError, match=r"sees another field, .* leave one of them out"):
        FusionStep.call([observed.exposures[0], model], **whole)
    model.close()
    assert far.good.any()
    with pytest.raises(ValueError, match=r"about .* GB, more than memory_limit = 0.1 GB"):
        FusionStep.call(observed.exposures[0], memory_limit=0.1, **small)
    beside = small | {"field_ra": small["field_ra"] + 0.1}
    result = FusionStep.call(observed.exposures[0], **beside)
    assert result.meta.cal_step.fusion == "SKIPPED"
    nothing = small | {"exclude_wave": ["0.5-5.5"]}
    result = FusionStep.call(observed.exposures[0], **nothing)
    assert result.meta.cal_step.fusion == "SKIPPED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuning": "syfu"}, "tuning is 'syfu', which is for cubes"),
        ({"regularisation": "wavelet"}, "regularisation is 'wavelet'"),
        ({"nonnegative": True}, "nonnegative is True"),
        ({"crosscal": "mean"}, "choose fitted or off"),
        ({"exclude_channels": "5"}, r"give wavelengths \(exclude_wave\)"),
        ({"validate_filters": "F212N"}, "validate_filters"),
        ({"psf_broadening": "fit"}, "psf_broadening is 'fit'"),
        ({"psf_broadening": "0.1x0.2"}, "one width"),
        ({"exponent": "2"}, "exponent is 2.0"),
        ({"gratings": "shared"}, "choose joined or separate"),
        ({"background": "none"}, "crosscal = off"),
        ({"outlier_sigma": 3.5}, "0 \\(believe all data\\) or 4 and more"),
    ],
)
def test_parameters_that_only_cubes_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_exposure_options(FusionOptions(**options))


def test_parameters_that_mean_the_same(caplog):
    check_exposure_options(FusionOptions())
    assert not caplog.records
    check_exposure_options(FusionOptions(margin=1.0, search=1.0))
    assert "With exposures these parameters mean nothing: margin, search" in caplog.text
    settings = exposure_settings(
        FusionOptions(rank="3", outlier_sigma=0, alignment="measured"), moving=False, images=True
    )
    assert (settings.rank, settings.outlier_sigma) == (3, None)
    assert (settings.offsets, settings.gains) == ("fitted", "fitted")
    settings = exposure_settings(FusionOptions(crosscal="off"), moving=True, images=True)
    assert (settings.offsets, settings.gains) == ("fitted", "fixed")
    alone = exposure_settings(FusionOptions(), moving=False, images=False)
    assert (alone.offsets, alone.gains) == ("fixed", "fixed")
    # Images tell where the exposures look.
    beside = exposure_settings(FusionOptions(), moving=False, images=True)
    assert (beside.offsets, beside.gains) == ("fitted", "fitted")


@pytest.fixture(scope="module")
def two_cubes(observed, small, tmp_path_factory):
    """Cubes of neighbouring wavelengths, fused from exposures, in a folder."""
    folder, made = tmp_path_factory.mktemp("joined"), []
    for label, low, high in (("blue", 2.095, 2.122), ("red", 2.116, 2.145)):
        given = small | {"wave_min": low, "wave_max": high, "output_dir": str(folder)}
        product = FusionStep.call(observed.exposures[0], **given)
        product.meta.filename = f"x_{label}_fused_s3d.fits"
        made.append(product)
    return made, folder


def joining(folder):
    step = FusionStep()
    step.output_dir, step.save_report = str(folder), True
    return step


def test_joined_cubes_of_exposures(two_cubes, caplog):
    made, folder = two_cubes
    (whole,) = joining(folder).join(made, "x")
    assert whole.meta.fusion.joined == 2
    assert "The coordinates of the cubes differ" not in caplog.text
    # Errors of sums are those of the part, where there is one.
    mask = np.zeros(made[0].data.shape[1:])
    mask[6:11, 6:11] = 1
    np.testing.assert_allclose(error_of(whole, mask)[:10], error_of(made[0], mask)[:10], rtol=0.02)
    page = (folder / "x_fused_report.html").read_text()
    for label in ("blue", "red"):
        assert f"x_{label}_fused_s3d.fits" in page


def test_coordinates_of_joined_cubes_that_differ_are_named(two_cubes, caplog):
    made, folder = two_cubes
    moved = made[1].copy()
    moved.meta.fusion.registration, moved.meta.fusion.offset_x = "corrected", 0.12
    (whole,) = joining(folder).join([made[0], moved], "y")
    assert 'The coordinates of the cubes differ by 0.12"' in caplog.text
    assert whole.meta.fusion.joined == 2
