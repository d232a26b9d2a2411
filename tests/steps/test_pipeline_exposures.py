"""What exposures need together, and by how much they are oversampled."""

import logging

import numpy as np
import pytest
from jwst.datamodels import ModelContainer
from stdatamodels.jwst import datamodels

from jwst_fusion.steps.exposures import (
    check_exposures,
    check_names,
    needs_preparation,
    oversampling,
    prepare_together,
    read_all,
    sort_members,
)


def exposure(name="a_cal.fits", *, shape=(2048, 4), instrument="NIRSPEC", moving=False, done=False):
    model = datamodels.IFUImageModel(np.ones(shape, "f4"))
    model.meta.filename = name
    model.meta.instrument.name = instrument
    model.meta.exposure.type = "NRS_IFU" if instrument == "NIRSPEC" else "MIR_MRS"
    model.meta.target.type = "MOVING" if moving else "FIXED"
    if done:
        model.meta.cal_step.outlier_detection = "COMPLETE"
    return model


@pytest.mark.parametrize("as_files", [False, True])
@pytest.mark.parametrize(
    ("moving", "done", "count", "options", "expected"),
    [
        (False, False, 2, {}, ["outlier_detection"]),
        (False, False, 1, {}, []),
        (False, True, 2, {}, []),
        (False, False, 2, {"outliers": False}, []),
        (True, False, 1, {}, ["assign_mtwcs"]),
        (
            True,
            False,
            2,
            {"backgrounds": True},
            ["assign_mtwcs", "master_background", "outlier_detection"],
        ),
    ],
)
def test_what_is_needed(tmp_path, as_files, moving, done, count, options, expected):
    members = [exposure(f"{n}_cal.fits", moving=moving, done=done) for n in range(count)]
    if as_files:
        for model in members:
            model.save(str(tmp_path / model.meta.filename))
        members = [str(tmp_path / model.meta.filename) for model in members]
    options = {"backgrounds": False, "outliers": True, **options}
    assert needs_preparation(members, **options) == expected


class Spy:
    """A step that notes its input and gives the exposures back."""

    def __init__(self, name, calls, status=None):
        self.name, self.calls, self.status = name, calls, status
        self.modes = []

    def run(self, models):
        self.calls.append((self.name, [model.meta.filename for model in models]))
        self.modes.append(getattr(self, "mode", None))
        for model in models:
            if self.status:
                setattr(model.meta.cal_step, self.name, self.status)
        kept = [model for model in models if model.meta.asn.exptype == "science"]
        return models if self.status == "SKIPPED" else ModelContainer(kept)


@pytest.mark.parametrize("status", ["COMPLETE", "SKIPPED"])
def test_steps_run_in_the_order_of_spec3(status):
    models = read_all([exposure("1_cal.fits"), exposure("2_cal.fits")])
    backgrounds = read_all([exposure("b_x1d.fits")], exptype="background")
    calls = []
    names = ("assign_mtwcs", "master_background", "outlier_detection")
    steps = {name: Spy(name, calls) for name in names}
    steps["master_background"].status = status
    result = prepare_together(models, backgrounds, steps)
    both = ["1_cal.fits", "2_cal.fits"]
    assert [name for name, _ in calls] == list(names)
    assert [sorted(files) for _, files in calls] == [both, sorted([*both, "b_x1d.fits"]), both]
    assert [model.meta.filename for model in result] == both


def test_models_of_the_caller_are_copied():
    model = exposure()
    (copy,) = read_all([model])
    copy.data[:] = 5
    assert (model.data == 1).all()
    assert model.meta.asn.exptype is None


@pytest.mark.parametrize(
    ("shape", "instrument", "factor"),
    [
        ((2048, 4), "NIRSPEC", 1),
        ((4096, 4), "NIRSPEC", 2),
        ((3, 1032), "MIRI", 1),
        ((3, 2580), "MIRI", 2.5),
    ],
)
def test_oversampling(tmp_path, shape, instrument, factor):
    model = exposure(shape=shape, instrument=instrument)
    assert oversampling([model]) == pytest.approx(factor)
    model.save(str(tmp_path / "a_cal.fits"))
    assert oversampling([str(tmp_path / "a_cal.fits")]) == pytest.approx(factor)


def test_different_oversampling_is_told(caplog):
    caplog.set_level(logging.WARNING)
    assert oversampling([exposure(), exposure(shape=(6144, 4))]) == 2
    assert "oversampled by 1.00 to 3.00" in caplog.text


def test_other_modes_are_refused():
    model = exposure()
    model.meta.exposure.type = "MIR_LRS-FIXEDSLIT"
    with pytest.raises(ValueError, match="MIR_LRS-FIXEDSLIT"):
        check_exposures([model])


def test_members_of_the_same_name_are_refused():
    one, other = exposure(), exposure()
    one.meta.filename, other.meta.filename = "a_nrs1_cal.fits", "a_nrs2_cal.fits"
    check_names([one, other, "folder/b_nrs1_cal.fits"])
    with pytest.raises(ValueError, match="2 members have the name a_nrs1_cal"):
        check_names([one, other, "folder/a_nrs1_cal.fits"])


def test_truncated_members_are_named_at_once(tmp_path):
    paths = [tmp_path / name for name in ("a_cal.fits", "b_i2d.fits")]
    exposure(shape=(64, 64)).save(str(paths[0]))
    image = datamodels.ImageModel((64, 64))
    image.meta.exposure.type = "NRC_IMAGE"
    image.save(str(paths[1]))
    members, exposures, cubes = sort_members([str(path) for path in paths])
    assert (exposures, cubes, len(members.images)) == ([str(paths[0])], [], 1)
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[:-100])
        with pytest.raises(ValueError, match=f"{path.name} cannot be read as a JWST product"):
            sort_members([str(path) for path in paths])
        path.write_bytes(whole)
