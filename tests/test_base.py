import sys
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer
from jwst.stpipe import Pipeline, Step
from stdatamodels.jwst import datamodels

from jwst_fusion.products.open import open_model
from jwst_fusion.steps.base import FusionBaseStep


class ExampleStep(FusionBaseStep):
    class_alias = "cube_build"

    def process(self, init):
        model = self.open_input(init)
        return self.skip_model(model, "example")


@pytest.fixture
def image():
    model = datamodels.ImageModel(data=np.ones((4, 5), "f4"))
    model.meta.filename = "a_i2d.fits"
    return model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jw01_fused_s3d", "jw01"),
        ("jw01-fused_s3d", "jw01"),
        ("jw01_s3d_fused_s3d", "jw01"),
        ("jw01_nirspec_s3d", "jw01_nirspec"),
        ("jw01_cal", "jw01"),
        ("jw01_cal_adaptive_trace_model", "jw01"),
        ("jw01_fusion_adaptive_trace_model", "jw01"),
        ("fused_s3d", "fused"),
        ("confused", "confused"),
    ],
)
def test_known_suffixes_are_removed(name, expected):
    assert ExampleStep().remove_suffix(name)[0] == expected


def test_a_step_looks_for_no_parameters_in_crds(image, monkeypatch):
    from stpipe import crds_client

    def refuse(*args, **kwargs):
        pytest.fail("CRDS was asked")

    monkeypatch.setattr(crds_client, "get_reference_file", refuse)
    monkeypatch.delenv("STPIPE_DISABLE_CRDS_STEPPARS", raising=False)
    assert ExampleStep.get_config_reftype() == "pars-jwst_fusion-examplestep"
    result = ExampleStep.call(image)
    assert result.meta.cal_step.cube_build == "SKIPPED"


def test_models_of_the_caller_are_not_changed(image):
    result = ExampleStep.call(image)
    assert result is not image
    assert image.meta.cal_step.cube_build is None


def test_status_of_a_container(image):
    result = ExampleStep.call([image, image.copy()])
    assert isinstance(result, ModelContainer)
    assert [model.meta.cal_step.cube_build for model in result] == ["SKIPPED", "SKIPPED"]
    with pytest.raises(ValueError, match="status is 'DONE'"):
        ExampleStep().set_status(result, "DONE")


def test_skip_is_false_by_default():
    assert ExampleStep().skip is False


def test_messages_reach_the_log_of_the_product(image):
    result = ExampleStep.call(image)
    assert any("step skipped: example" in line for line in result.cal_logs.cube_build)


def write(path, kind):
    if kind == "junk":
        path.write_bytes(b"hello" * 1000)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "not JWST":
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(path)
    elif kind == "truncated":
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((30, 30, 30)), name="SCI")])
        hdus.writeto(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("kind", ["junk", "empty", "not JWST", "truncated"])
def test_bad_files_give_one_error_that_names_them(tmp_path, kind):
    path = tmp_path / "bad_s3d.fits"
    write(path, kind)
    with pytest.raises(ValueError, match="bad_s3d"):
        open_model(path)
    with pytest.raises(ValueError, match="bad_s3d"):
        ExampleStep.call(str(path))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no"):
        ExampleStep.call(str(tmp_path / "no.fits"))


def test_bad_association(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"products": ')
    with pytest.raises(ValueError, match=r"bad.json cannot be read as an association"):
        ExampleStep.call(str(path))


@pytest.mark.parametrize("value", [None, np.zeros((3, 3)), 5])
def test_other_objects_are_refused(value):
    with pytest.raises(TypeError, match="is not supported"):
        ExampleStep.call(value)


def test_empty_list_is_refused():
    with pytest.raises(ValueError, match="empty list"):
        ExampleStep.call([])


def test_gzipped_and_path_input(tmp_path, image):
    path = tmp_path / "a_i2d.fits"
    image.save(str(path))
    for given in (path, str(path)):
        with open_model(Path(given)) as model:
            assert model.data.shape == (4, 5)


class RenamedStep(ExampleStep):
    spec = """
    most = integer(default=None) # Largest number
    names = force_list(default=list()) # Names
    """
    old_names = {"largest": "most", "words": "names"}  # noqa: RUF012

    def process(self, init):
        return self.most, self.names


class RenamedPipeline(Pipeline):
    step_defs = {"renamed": RenamedStep}  # noqa: RUF012

    def process(self, init):
        return self.renamed.run(init)


def warnings_in(caplog):
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


@pytest.fixture
def old_file(tmp_path):
    """A parameter file saved when the parameter had its old name, with another value or none."""

    def write_file(value):
        step = RenamedStep(most=None if value == "null" else value)
        step.export_config(tmp_path / "old.asdf")
        with asdf.open(tmp_path / "old.asdf") as file:
            tree = dict(file.tree)
        assert "largest" not in tree["parameters"]
        tree["parameters"]["largest"] = tree["parameters"].pop("most")
        asdf.AsdfFile(tree).write_to(tmp_path / "old.asdf")
        return str(tmp_path / "old.asdf")

    return write_file


@pytest.mark.parametrize("value", [3, "null"])
def test_old_names_in_files_are_taken_with_one_warning(old_file, caplog, value):
    path = old_file(value)
    expected = None if value == "null" else value
    for run in (
        lambda: RenamedStep.call(None, config_file=path),
        lambda: RenamedStep.from_config_file(path).run(None),
    ):
        caplog.clear()
        assert run()[0] == expected
        assert [w for w in warnings_in(caplog) if "largest" in w] == [
            "Parameter largest is called most now; its old name is taken until version 1.0"
        ]
    assert RenamedStep.call(None, config_file=path, most=5)[0] == 5
    assert RenamedStep.call(None, config_file=path, largest=6)[0] == 6


def test_old_names_as_keywords_and_attributes(caplog):
    assert RenamedStep.call(None, largest=3, words=["a"]) == (3, ["a"])
    assert [w.split()[1] for w in warnings_in(caplog)] == ["largest", "words"]
    caplog.clear()
    step = RenamedStep(largest=4)
    assert step.most == 4
    assert not hasattr(step, "largest")
    step.largest = 5
    assert step.most == 5
    assert len(warnings_in(caplog)) == 2
    assert "largest" not in step.get_pars()
    assert RenamedStep.call(None, largest=3, most=7)[0] == 7
    assert "Parameter largest is not used, because most is given" in caplog.text


def test_old_names_in_a_pipeline(caplog):
    pipeline = RenamedPipeline.from_config_section(
        RenamedPipeline.build_config(None, steps={"renamed": {"largest": 3}})[0]
    )
    assert pipeline.renamed.most == 3
    assert [w.split()[1] for w in warnings_in(caplog)] == ["largest"]


def test_present_names_are_taken_without_a_word(caplog):
    assert RenamedStep.call(None, most=3) == (3, [])
    assert RenamedStep().most is None
    assert warnings_in(caplog) == []


def test_the_command_line_takes_old_names(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "renamed_step", sys.modules[__name__])
    step = Step.from_cmdline(["renamed_step.RenamedStep", "a.fits", "--largest=3"])
    assert step.most == 3
    assert [w.split()[1] for w in warnings_in(caplog) if "old name" in w] == ["largest"]
