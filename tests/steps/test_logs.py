"""What the package logs is shown, recorded in products and silenced with what jwst logs."""

import io
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tqdm.auto
from jwst.stpipe import Step
from stdatamodels.jwst import datamodels

from jwst_fusion.messages import warn
from jwst_fusion.steps.base import FusionBaseStep
from jwst_fusion.steps.fusion_pipeline import FusionPipeline
from jwst_fusion.steps.notebook_bar import notebook_bar
from jwst_fusion.steps.parameter_log import short_parameters

log = logging.getLogger("jwst_fusion.fusion.somewhere")


class Talking(FusionBaseStep):
    """A step whose engine says something."""

    class_alias = "fusion"

    def process(self, given):
        model = self.open_input(given)
        log.info("engine at work")
        warn(log, "engine worries")
        model.meta.cal_step.cube_build = "COMPLETE"
        return model


class Needing(Talking):
    """A step with a parameter that has no default."""

    spec = "need = float()"


@pytest.fixture
def image():
    model = datamodels.ImageModel(np.ones((4, 5), "f4"))
    model.meta.filename = "a_i2d.fits"
    return model


@pytest.fixture
def silenced():
    logger = logging.getLogger("jwst_fusion")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def recorded(result):
    return "\n".join(result.cal_logs.fusion)


@pytest.mark.parametrize("way", ["call", "run"])
def test_records_go_into_the_product(image, way):
    result = Talking.call(image) if way == "call" else Talking().run(image)
    assert "engine worries" in recorded(result)
    # whoever runs a step without configuring logs gets warnings, as from Python's logging
    assert ("engine at work" in recorded(result)) == (way == "call")


def test_strun_shows_and_records_them(image, tmp_path, capsys):
    image.save(str(tmp_path / "a_i2d.fits"))
    name = f"{__name__}.Talking"
    words = [name, str(tmp_path / "a_i2d.fits"), f"--output_dir={tmp_path}", "--suffix=said"]
    Step.from_cmdline(words)
    shown = capsys.readouterr().err
    assert "engine at work" in shown
    assert "engine worries" in shown
    with datamodels.open(str(tmp_path / "a_said.fits")) as saved:
        assert "engine worries" in recorded(saved)


def test_parameters_are_logged_in_one_line(image):
    known = ({}, "defaults\n"), ({"suffix": "x"}, "defaults but for suffix = 'x'\n")
    for given, said in known:
        result = Talking.call(image, **given)
        (line,) = [text for text in recorded(result).split("\n20") if "parameters" in text]
        assert f"{line}\n".endswith(f"Step Talking: parameters are at their {said}")


def test_parameters_without_a_default_are_logged(image):
    text = recorded(Needing.call(image, need=2.5))
    assert "Step Needing: parameters are at their defaults but for need = 2.5" in text


def test_parameters_of_the_steps_of_a_pipeline_are_named(caplog):
    pipeline = FusionPipeline(steps={"fusion": {"max_rank": 7}}, output_dir="here")
    with caplog.at_level("INFO"), short_parameters(pipeline):
        logging.getLogger("stpipe.step").info("Step %s parameters are:%s", pipeline.name, "\n  all")
    # those that the pipeline itself sets for its steps are there, too
    assert "but for output_dir = 'here', " in caplog.text
    assert "steps.fusion.max_rank = 7" in caplog.text
    assert "\n" not in caplog.text.strip()


@pytest.mark.parametrize("way", ["call", "run"])
def test_a_user_can_silence_them(image, way, silenced, capsys, caplog):
    result = Talking.call(image) if way == "call" else Talking().run(image)
    assert "engine" not in caplog.text
    assert "engine" not in capsys.readouterr().err
    assert "engine" not in recorded(result)
    if way == "call":
        assert "Step Talking" in recorded(result)  # what others log goes on


def test_a_bar_sees_more_than_is_shown(monkeypatch, capsys):
    """Warnings only are asked for: the bar has the rest, and nobody else."""
    monkeypatch.setattr("jwst_fusion.steps.notebook_bar._in_notebook", lambda: True)
    monkeypatch.setattr("tqdm.auto.tqdm", tqdm.std.tqdm)
    monkeypatch.setattr("jwst_fusion.steps.notebook_bar.LONG", 0.0)
    package = logging.getLogger("jwst_fusion")
    stream = io.StringIO()
    shown = logging.StreamHandler(stream)
    package.parent.addHandler(shown)
    before = package.parent.level
    package.parent.setLevel(logging.WARNING)
    try:
        with notebook_bar("Talking"):
            log.info("engine at work")
            log.warning("engine worries")
        assert "Talking: engine at work" in capsys.readouterr().err
        assert stream.getvalue() == "engine worries\n"
        assert package.propagate
        assert package.level == logging.NOTSET
    finally:
        package.parent.removeHandler(shown)
        package.parent.setLevel(before)


@pytest.mark.parametrize(("long", "notebook"), [(0.0, True), (60.0, True), (0.0, False)])
def test_a_notebook_has_a_bar_for_what_takes_long(long, notebook, monkeypatch, capsys):
    shell = type("ZMQInteractiveShell" if notebook else "TerminalInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    # no widgets here: tqdm.auto is the bar of a terminal
    monkeypatch.setattr("tqdm.auto.tqdm", tqdm.std.tqdm)
    monkeypatch.setattr("jwst_fusion.steps.notebook_bar.LONG", long)
    handlers = list(logging.getLogger("jwst_fusion").handlers)
    with notebook_bar("Talking"):
        log.warning("engine at work")
    assert ("Talking: engine at work [00:00]" in capsys.readouterr().err) == (
        notebook and long == 0
    )
    assert logging.getLogger("jwst_fusion").handlers == handlers
