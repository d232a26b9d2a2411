"""What is used again of an earlier run, and what is not."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from jwst_fusion.steps.resume import Record, digest, fingerprint
from jwst_fusion.steps.stages import Stages


class Step:
    """A step with the parameters that it is given."""

    reference_file_types = ("cubepar",)

    def __init__(self, override=None, **parameters):
        self._parameters, self._override = parameters, override

    def get_pars(self):
        return self._parameters

    def get_ref_override(self, kind):
        return self._override


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.fits"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def stages(tmp_path):
    def make(*, resume=True):
        return Stages(Record(tmp_path / "x_fusion_pipeline.json", use=resume), [])

    return make


def models(*names):
    def make():
        found = []
        for name in names:
            model = datamodels.ImageModel(np.ones((3, 4), "f4"))
            model.meta.filename = name
            found.append(model)
        return found

    return make


def test_parameters_input_and_files_count(source, tmp_path):
    other = tmp_path / "curve.txt"
    other.write_text("1")
    base = fingerprint([Step(rank=3)], [str(source)])
    assert fingerprint([Step(rank=3)], [str(source)]) == base
    assert fingerprint([Step(rank=4)], [str(source)]) != base
    assert fingerprint([Step(rank=3)], [str(source)], extra={"a": 1}) != base
    # where and how fast do not count
    assert fingerprint([Step(rank=3, maximum_cores="all", output_dir="x")], [str(source)]) == base
    # files that are named count by their content
    for step in (
        lambda: Step(rank=3, curves=[f"F212N={other}"]),
        lambda: Step(rank=3, curve=str(other)),
        lambda: Step(rank=3, override=str(other)),
    ):
        before = fingerprint([step()], [str(source)])
        other.write_text(other.read_text() + "1")
        assert fingerprint([step()], [str(source)]) != before
    source.write_bytes(b"second")
    assert fingerprint([Step(rank=3)], [str(source)]) != base


def test_complete_products_are_used_again(source, stages):
    key = stages().key([Step()], [str(source)])
    first, reused = stages().run("a", key, models("one.fits", "two.fits"))
    assert not reused
    again, reused = stages().run("a", key, pytest.fail)
    assert reused
    assert again == first
    assert not stages(resume=False).run("a", key, models("one.fits"))[1]


@pytest.mark.parametrize("change", ["torn", "changed", "missing", "key", "record", "junk"])
def test_what_does_not_fit_is_made_again(source, stages, tmp_path, change):
    key = stages().key([Step()], [str(source)])
    (path,), _ = stages().run("a", key, models("one.fits"))
    product, record = tmp_path / "one.fits", tmp_path / "x_fusion_pipeline.json"
    whole = product.read_bytes()
    if change == "torn":
        product.write_bytes(whole[: len(whole) // 2])
    elif change == "changed":
        product.write_bytes(whole[:-1] + b"x")
    elif change == "missing":
        product.unlink()
    elif change == "key":
        key = stages().key([Step(rank=3)], [str(source)])
    elif change == "record":
        record.write_text(record.read_text()[:-30])
    else:
        record.write_text(json.dumps([1, 2]))
    assert not stages().run("a", key, models("one.fits"))[1]
    assert stages().run("a", key, pytest.fail)[1]
    assert path == str(product)


def test_a_product_that_fails_leaves_nothing(source, stages, tmp_path, monkeypatch):
    def full(self, init, *args, **kwargs):
        with open(init, "wb") as stream:
            stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datamodels.ImageModel, "to_fits", full)
    key = stages().key([Step()], [str(source)])
    with pytest.raises(OSError, match="No space"):
        stages().run("a", key, models("one.fits"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.fits"]


def test_models_in_memory_have_no_key_and_are_not_written(stages, source, tmp_path):
    model = SimpleNamespace()
    assert stages().key([Step()], [str(source), model]) is None
    assert Stages(None, []).key([Step()], [str(source)]) is None
    (product,), _ = Stages(None, []).run("a", None, models("one.fits"))
    assert isinstance(product, datamodels.ImageModel)
    assert not (tmp_path / "one.fits").exists()


def test_inputs_are_not_overwritten(source, tmp_path):
    stages = Stages(Record(tmp_path / "x.json"), [str(source)])
    with pytest.raises(ValueError, match="would be overwritten"):
        stages.run("a", None, models("in.fits"))
    assert source.read_bytes() == b"first"


def test_a_file_is_digested_anew_when_it_changes(source):
    before = digest(source)
    source.write_bytes(b"other")
    assert digest(source) != before
