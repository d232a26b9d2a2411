"""
Every command in README and docs is run, as it stands there, on small simulated data.

A page is one script: its blocks run in their order in one folder, in which the files that the page
names lie; of a command that another page has as well the files are there at once. A comment ``not
run: reason`` in front of a block excepts it; all exceptions are listed here. Commands run in this
process: ``strun`` as jwst's entry point for it does, ``jwst-fusion`` by its main function. Three
things differ from a user's machine, because no CRDS server is asked: simulated exposures keep the
WCS that they have; cubes of the fusion pipeline have a narrow range of wavelengths, a small field
and three components, and believe PSFs and calibration; and of Spec2 and Spec3 only the trace model
runs.
"""

import contextlib
import glob
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documented_commands import blocks_of, inline_commands
from small_inputs import leave_slices_out

from jwst_fusion.command import main as cli
from jwst_fusion.entry_points import get_steps

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.rst"))]
BLOCKS = {page.name: blocks_of(page) for page in PAGES}
#: Commands that are not run, each with the reason that stands in front of it.
NOT_RUN = {
    ("README.md", "make demo"): "installs from the network; jwst-fusion demo is the same",
    ("README.md", "make test"): "runs this test",
    ("README.md", 'pip install ".[psf]"'): "installs from the network",
    ("index.rst", 'pip install ".[psf]"'): "installs from the network",
    (
        "index.rst",
        "jwst-fusion simulate simulated --cube --filters F182M F212N",
    ): "README.md has the same",
    (
        "index.rst",
        "strun fusion simulated/fusion_asn.json --output_dir=simulated",
    ): "README.md has the same",
    (
        "index.rst",
        "jwst-fusion compare simulated/jw09999-o001_t001_fused_s3d.fits "
        "simulated/jw09999-o001_t001_truth.fits",
    ): "README.md has the same",
    ("index.rst", "make demo"): "installs from the network; jwst-fusion demo is the same",
    ("README.md", "jwst-fusion run data --output campaign"): "takes minutes",
    ("campaigns.rst", "jwst-fusion run data --output campaign"): "takes minutes",
    ("campaigns.rst", 'pip install ".[distributed]"'): "installs from the network",
    (
        "campaigns.rst",
        "jwst-fusion run data --output /shared/campaign --scheduler tcp://login1:8786",
    ): "needs a cluster",
    (
        "hifred_tutorial.rst",
        "python benchmarks/figures_hifred.py --setups gaussian_1kev gaussian_rebinned realistic "
        "     --table docs/benchmarks/hifred_setups.rst",
    ): "takes half an hour",
    (
        "report.rst",
        "python benchmarks/bench_verdicts.py --output docs/benchmarks/verdicts.rst",
    ): "takes half an hour",
}
LONG = (
    "strun calwebb_",
    "strun fusion_pipeline associations/",
    "strun fusion_spec",
    "strun fusion_tso",
)
EXPOSED = r"jw\d{11}_\d{5}_\d{5}_\w+"
PRODUCT = "jw09999-o001_t001"
EXPOSURE = "jw09999001001_02101_00001_nrs1_cal.fits"
# Names under which pages have the exposure, the cube with its images, and associations.
EXPOSURES = (
    EXPOSURE,
    "data/" + EXPOSURE,
    "jw09999001001_02101_00001_nrs1_rate.fits",
    "jw01234001001_02101_00001_nrs1_cal.fits",
    "jw01234001001_03101_00001_nrs1_cal.fits",
    "jw01234001001_03101_00001_nrs1_rate.fits",
    "x_nrs1_cal.fits",
)
IMAGES = {"x_f182m_i2d.fits": 0, "x_f210m_i2d.fits": 1, "data/a_i2d.fits": 0, "data/b_i2d.fits": 1}


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """What the pages need, made once: an exposure, a cube, two images, cube parameters."""
    from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import DITHERS, simulate_exposures, simulate_images
    from jwst_fusion.simulation.scenes import single_star

    folder = tmp_path_factory.mktemp("stock")
    scene = single_star()
    (exposure,) = simulate_exposures(folder, scene, dithers=DITHERS[:1], grating="G235M")
    leave_slices_out(exposure)
    images = simulate_images(folder, scene, filters=("F182M", "F210M"))
    cube = simulate_s3d(scene, np.arange(1.66, 2.32, 0.011), shape=(15, 16))
    cube.save(str(folder / "cube_s3d.fits"))
    cube.close()
    # two gratings; a sharp cube with wide channels
    for name, wave, spaxel in (
        ("blue_s3d.fits", np.arange(1.68, 2.02, 0.02), 0.1),
        ("red_s3d.fits", np.arange(1.96, 2.31, 0.02), 0.1),
        ("wide_s3d.fits", np.arange(1.68, 2.30, 0.044), 0.05),
    ):
        cube = simulate_s3d(scene, wave, shape=(13, 14), spaxel=spaxel)
        cube.save(str(folder / name))
        cube.close()
    write_nirspec_cube_parameters(folder / "cubepar.fits")
    return folder, images


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Commands that were run, with the folder of the files that each has written."""
    return Done(tmp_path_factory.mktemp("done"))


class Done:
    """What commands have written: with the same inputs, another page need not wait for it again."""

    def __init__(self, folder):
        self.folder = folder
        self.found = {}

    def __contains__(self, command):
        return command in self.found

    @staticmethod
    def state():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in Path().rglob("*")
            if path.is_file()
        }

    @contextlib.contextmanager
    def record(self, command):
        """Keep what is written meanwhile; not of long runs, on which nothing on a page builds."""
        before = self.state()
        yield
        kept = self.found.setdefault(command, self.folder / str(len(self.found)))
        if command.startswith(LONG):
            return
        for path, seen in self.state().items():
            if before.get(path) != seen:
                (kept / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, kept / path)

    def repeat(self, command):
        """Write it here."""
        kept = self.found[command]
        for path in kept.rglob("*"):
            if path.is_file():
                target = path.relative_to(kept)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy2(path, target)


@pytest.fixture
def page_folder(stock, tmp_path, monkeypatch):
    """A folder with the files that pages name; they are links, so that writing would show."""
    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.associations.hifred import make_hifred_association
    from jwst_fusion.simulation.observation import write_spec3_association

    source, images = stock
    (tmp_path / "data").mkdir()
    for name in EXPOSURES:
        os.link(source / EXPOSURE, tmp_path / name)
    for name, number in IMAGES.items():
        os.link(images[number], tmp_path / name)
    os.link(source / "cube_s3d.fits", tmp_path / "x_g235h-f170lp_s3d.fits")
    for name in ("blue_s3d.fits", "red_s3d.fits", "wide_s3d.fits"):
        os.link(source / name, tmp_path / name)
    names = [name for name in IMAGES if "/" not in name]
    pair = make_hifred_association(["x_g235h-f170lp_s3d.fits", "wide_s3d.fits"])
    write_association(pair, tmp_path / "two_cubes_asn.json")
    for path, science in (
        ("fusion_asn.json", "x_g235h-f170lp_s3d.fits"),
        ("gratings_asn.json", ["blue_s3d.fits", "red_s3d.fits"]),
        ("pipeline_asn.json", EXPOSURE),
    ):
        table = make_association(science, names, product_name=PRODUCT)
        write_association(table, tmp_path / path)
    write_spec3_association(tmp_path / "spec3_asn.json", [EXPOSURE], product=f"{PRODUCT}_nirspec")
    write_series(tmp_path / "tso3_asn.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_series(path):
    """A time series and its association."""
    from jwst_fusion.simulation.observation import write_spec3_association
    from jwst_fusion.simulation.slits import bright_object_exposure

    name = "jw09999001001_04102_00001_nrs1_calints.fits"
    with bright_object_exposure(columns=80) as series:
        series.save(path.with_name(name))
    write_spec3_association(path, [name], product=f"{PRODUCT}_series")


@pytest.fixture
def machine(stock, offline_crds, monkeypatch):
    """No CRDS server, the aperture model for PSFs, exposures that keep the WCS they have."""
    from jwst.assign_wcs import AssignWcsStep
    from jwst.pipeline import Tso3Pipeline

    from jwst_fusion.simulation import observation
    from jwst_fusion.step import FusionPipeline

    def keep(self, model):
        model.meta.cal_step.assign_wcs = "COMPLETE"
        return model

    monkeypatch.setattr(AssignWcsStep, "process", keep)
    monkeypatch.setattr(AssignWcsStep, "reference_file_types", ())
    # of the detection of outliers in images, which asks for them before it is skipped
    monkeypatch.setattr(Tso3Pipeline, "reference_file_types", ())
    monkeypatch.delenv("STPSF_PATH", raising=False)
    monkeypatch.setenv("HOME", str(stock[0]))
    build = FusionPipeline.build_config.__func__

    def narrowed(cls, input_data, **given):
        # as strun below, for blocks of Python
        steps = given.pop("steps", {})
        for step, values in small(stock).items():
            steps = {**steps, step: {**values, **steps.get(step, {})}}
        return build(cls, input_data, steps=steps, **given)

    monkeypatch.setattr(FusionPipeline, "build_config", classmethod(narrowed))
    # few channels instead of hundreds
    monkeypatch.setattr("jwst_fusion.command.simulate._CHANNELS", 40)
    # one exposure instead of four
    few = dict(observation.simulate_exposures.__kwdefaults__)
    few["dithers"] = observation.DITHERS[:1]
    monkeypatch.setattr(observation.simulate_exposures, "__kwdefaults__", few)


def small(stock):
    """Parameters of a small cube that is built without a server, and of a small field."""
    cube = {"override_cubepar": str(stock[0] / "cubepar.fits"), "wavemin": 1.975, "wavemax": 2.22}
    field = {"field_ra": 83.8187, "field_dec": -5.4083, "field_width": 1.0, "field_height": 1.0}
    field |= {"wave_min": 1.975, "wave_max": 2.22, "psf_fit": "none", "crosscal": "off"}
    return {"cube_build": {**cube, "scalew": 0.01}, "fusion": {**field, "rank": "3"}}


def strun(words, stock):
    from jwst.pipeline import Spec2Pipeline, Spec3Pipeline, Tso3Pipeline
    from jwst.stpipe import Step

    target = words[0]
    stages = {"spec2": Spec2Pipeline, "spec3": Spec3Pipeline, "_tso3": Tso3Pipeline}
    extra = []
    if "fusion_pipeline" in target:
        extra = [
            f"--steps.{step}.{key}={value}"
            for step, values in small(stock).items()
            for key, value in values.items()
        ]
    elif target[-5:] in stages:
        run = ("assign_wcs", "adaptive_trace_model")
        skipped = [name for name in stages[target[-5:]].step_defs if name not in run]
        extra = [f"--steps.{name}.skip=true" for name in skipped]
    if "--help" in words:
        with pytest.raises(SystemExit):
            Step.from_cmdline(words)
        return
    Step.from_cmdline([*words, *extra])


def shell(command, stock):
    """Run one command and return what it prints."""
    inner = re.compile(r"\$\(((?:[^()\"]|\"[^\"]*\")*)\)")
    command = inner.sub(lambda match: shell(match[1], stock).strip(), command)
    words = []
    for word in shlex.split(command):
        words += sorted(glob.glob(word)) if any(sign in word for sign in "*?") else [word]
    printed = io.StringIO()
    program, *words = words
    with contextlib.redirect_stdout(printed):
        if program == "strun":
            strun(words, stock)
        elif program == "jwst-fusion":
            try:
                status = cli.main(words)
            except SystemExit as end:
                status = end.code
            assert status == 0, command
        elif program == "asn_from_list":
            from jwst.associations.asn_from_list import main

            main(words)
        else:
            program = (
                sys.executable if program == "python" else Path(sys.executable).parent / program
            )
            result = subprocess.run([program, *words], check=True, capture_output=True, text=True)
            print(result.stdout)
    return printed.getvalue()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Input association file contains path")
@pytest.mark.filterwarnings("ignore:Calling Step.from_cmdline:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("page", [name for name, found in BLOCKS.items() if found])
def test_commands_of_a_page_run_in_their_order(page, page_folder, stock, machine, done, quiet_logs):
    names = {"__name__": "__main__"}
    before = {path: path.stat().st_mtime_ns for path in stock[0].iterdir()}
    for block in BLOCKS[page]:
        if block.not_run or block.kind == "text":
            continue
        where = f"{page}:{block.line}"
        if block.kind == "python":
            exec(compile(block.text, where, "exec"), names)
            continue
        for command in block.text.splitlines():
            print(f"{where}: {command}")
            # Whatever name the exposure has there.
            once = re.sub(EXPOSED, "EXPOSURE", command) if command.startswith(LONG) else command
            if once not in done:
                with done.record(once):
                    shell(command, stock)
            elif not once.startswith(LONG):
                done.repeat(once)
    assert {path: path.stat().st_mtime_ns for path in stock[0].iterdir()} == before


def test_exceptions_are_those_listed_here():
    found = {
        (page, command): block.not_run
        for page, blocks in BLOCKS.items()
        for block in blocks
        if block.not_run
        for command in block.text.splitlines()
    }
    assert found == NOT_RUN


def test_blocks_without_a_language_are_commands():
    texts = [
        f"{page}:{b.line}" for page, blocks in BLOCKS.items() for b in blocks if b.kind == "text"
    ]
    declared = [
        line
        for page in PAGES
        for line in re.findall(r"code-block:: (?:text|json)", page.read_text())
    ]
    assert len(texts) == len(declared), f"say code-block:: text or console: {texts}"
    assert sum(block.kind == "shell" for blocks in BLOCKS.values() for block in blocks) > 8


@pytest.mark.parametrize(
    "command",
    sorted({one for page in PAGES for one in inline_commands(page) if one[0].isalpha()}),
)
def test_commands_within_sentences_name_what_exists(command):
    program, *words = shlex.split(re.sub(r"\$\([^)]*\)", "fusion", command))
    if program == "strun":
        assert words[0] in {alias for _, alias, _ in get_steps()} | {
            "calwebb_spec2",
            "calwebb_spec3",
            "calwebb_tso3",
        }
    elif program == "jwst-fusion":
        assert words[0] in {"psf", "COMMAND", *cli.COMMANDS}
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "python":
        module = words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0]
        assert (ROOT / module).is_file()
