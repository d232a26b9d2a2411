"""Campaigns without Dask: one target after another; what is finished, failed, shown and refused."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from campaign_stub import NUMBER, products

from jwst_fusion.campaign import need, task
from jwst_fusion.campaign.lock import BusyError, locked
from jwst_fusion.campaign.machine import choose_workers
from jwst_fusion.campaign.outcome import Outcome, read_outcome, write_outcome
from jwst_fusion.campaign.page import write_campaign_page
from jwst_fusion.campaign.progress import Progress
from jwst_fusion.campaign.targets import Target, find_targets
from jwst_fusion.campaign.work import read_work
from jwst_fusion.fusion.memory import estimate_fusion_memory

STUB = "campaign_stub.StubStep"
pytestmark = pytest.mark.usefixtures("alone")


def test_one_after_another_and_once(run, tmp_path):
    status, out, err = run()
    assert (status, err.count("dask is not installed")) == (0, 1)
    assert f"{NUMBER} of {NUMBER} targets done, 0 of them before" in out
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/*.dat")}
    assert len(made) == NUMBER
    assert f"{NUMBER} of them before" in run()[1]
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert not list(tmp_path.glob("out/.campaign*"))


@pytest.mark.parametrize("what", ["input", "product", "parameter", "repeat"])
def test_what_has_changed_is_made_again(run, tmp_path, what):
    run()
    words = []
    if what == "input":
        (tmp_path / "data/x2_s3d.fits").write_bytes(b"other")
    elif what == "product":
        (tmp_path / "out/t2/t2_stub.dat").write_bytes(b"torn")
    else:
        words = ["--repeat"] if what == "repeat" else ["--seconds=0.02"]
    kept = NUMBER - 1 if what in ("input", "product") else 0
    assert f"{kept} of them before" in run(*words)[1]
    association = (tmp_path / "data/t2_asn.json").read_bytes()
    assert products(tmp_path / "out")["t2/t2_stub.dat"] == association


def test_a_failure_is_told_and_tried_again(run, tmp_path):
    (tmp_path / "data/x4_s3d.fits").unlink()
    status, out, _ = run("--fail=t3")
    assert status == 1
    assert f"{NUMBER - 2} of {NUMBER} targets done" in out
    assert "failed: t3: t3 is <b>not</b> good" in out
    assert re.search(r"failed: t4: \S*x4_s3d.fits does not exist", out)
    assert "Traceback" in (tmp_path / "out/t3/t3_log.txt").read_text()
    page = (tmp_path / "out/campaign.html").read_text()
    assert "t3 is &lt;b&gt;not&lt;/b&gt; good" in page
    assert "<b>" not in page
    assert page.index("<td>t3</td>") < page.index("<td>t0</td>")
    assert 'href="t3/t3_log.txt"' in page
    status, out, _ = run()
    assert (status, f"{NUMBER - 1} of {NUMBER} targets done" in out) == (1, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nonsense=1"], "has no such parameter"),
        (["--seconds=soon"], "parameters of campaign_stub.StubStep"),
        (["--seconds", "3"], "write parameters of the step as --name=value"),
        (["--output_dir=x"], "cannot be given to a campaign"),
        (["--retries", "-1"], "--retries is -1"),
        (["--workers", "2"], r"pip install 'jwst_fusion\[distributed\]'"),
        (["--scheduler", "tcp://a:1"], r"--scheduler needs dask and distributed: pip install"),
        (["--workers", "2", "--scheduler", "x"], "a --scheduler has its own workers"),
        (["absent_asn.json"], "absent_asn.json does not exist"),
        (["data"], "nothing in .* can be fused"),
        (["copy_asn.json"], "both make products called t1"),
        (["junk_asn.json"], "junk_asn.json is not an association"),
    ],
)
def test_bad_words_are_one_line(run, tmp_path, words, message):
    (tmp_path / "copy_asn.json").write_text(
        (tmp_path / "data/t1_asn.json").read_text().replace("x1", "data/x1")
    )
    (tmp_path / "junk_asn.json").write_text(json.dumps({"products": [3]}))
    status, _, err = run(*words)
    assert status == 2
    line = err.splitlines()[-1]
    assert re.search(message, line), err
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = run(output="file/out")
    assert status == 2
    assert re.search(r"--output \S*file/out cannot be written \(.*\): choose another", err)


def test_a_target_that_is_too_large_is_refused_before_anything_starts(run, tmp_path, monkeypatch):
    monkeypatch.setattr(need, "PROGRAM", 1e6)
    status, _, err = run()
    assert (status, "t0 needs about 1000000.0 GB of memory, this machine has" in err) == (2, True)
    assert not list(tmp_path.glob("out/*"))


def test_dry_run_lists(run, tmp_path):
    status, out, _ = run("--dry-run")
    assert (status, out.splitlines()[0]) == (0, "t0: 1 files, 0.8 GB")
    assert not (tmp_path / "out").exists()


def one_task(targets, output, **changes):
    (target,) = find_targets(targets[:1], output)
    work, _ = read_work(STUB, [])
    output.mkdir()
    done = task.Task(target, work, str(output), str(output), task.own_version())
    return replace(done, **changes)


def test_two_campaigns_take_turns(targets, tmp_path):
    job = one_task(targets, tmp_path / "out")
    job.folder.mkdir()
    with locked(job.folder, wait=False):
        assert task.run_task(job).status == "busy"
        with pytest.raises(BusyError), locked(job.folder, wait=False):
            pass
    assert task.run_task(replace(job, wait=True)).status == "done"
    assert task.run_task(job).reused


def test_two_campaigns_in_one_folder_make_what_one_does(run, tmp_path):
    """Two processes at the same time, each with all targets."""
    run("--seconds=0.05", output="clean")
    processes = []
    for _ in range(2):
        processes.append(os.fork())
        if not processes[-1]:
            status = 1
            try:
                status = run("--seconds=0.05")[0]
            finally:
                os._exit(status)
    ended = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in processes]
    assert ended == [0, 0]
    assert products(tmp_path / "out") == products(tmp_path / "clean")
    left = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*"))
        for name in ("out", "clean")
    ]
    assert left[0] == left[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"version": "0.0"}, "install the same version"), ({"marker": "/absent"}, "does not see")],
)
def test_a_process_that_does_not_fit_refuses(targets, tmp_path, change, reason):
    outcome = task.run_task(one_task(targets, tmp_path / "out", **change))
    assert outcome.status == "failed"
    assert reason in outcome.reason


def test_files_in_parameters_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("1")
    work, _ = read_work("fusion", ["--throughputs=F212N=a.txt,F210M=a.txt", "--rank=8"])
    full = tmp_path / "a.txt"
    assert work.words == (f"--throughputs=F212N={full},F210M={full}", "--rank=8")
    before = work.content()
    Path("a.txt").write_text("2")
    assert work.content() != before
    with pytest.raises(ValueError, match="neither a step that stpipe knows"):
        read_work("no_such_step", [])
    with pytest.raises(ValueError, match="has no such parameter"):
        read_work("fusion_pipeline", ["--steps.fusion.nonsense=1"])


def cube(path, shape=(300, 40, 40)):
    """File of a cube whose data need not be read."""
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(shape, "f4"), name="SCI")])
    hdus[0].header.update(DATAMODL="IFUCubeModel", INSTRUME="NIRSPEC", TELESCOP="JWST")
    hdus[1].header["CDELT1"] = 0.1 / 3600
    hdus.writeto(path)
    return str(path)


def test_memory_is_that_of_the_fusion(tmp_path):
    path = cube(tmp_path / "a_s3d.fits")
    target = Target("a", path, ((path, "science"),))
    _, step = read_work("fusion", ["--rank=8"])
    found = need.estimate_memory(target, step)
    alone = estimate_fusion_memory(300, (50, 50), 3, filters=1, nodes=16, rank=8) / 1e9
    assert alone < found < alone + 1.0
    _, larger = read_work("fusion_pipeline", ["--steps.fusion.rank=16"])
    assert need.estimate_memory(target, larger) > found
    _, other = read_work("fusion_adaptive_trace_model", [])
    size = Path(path).stat().st_size / 1e9
    assert need.estimate_memory(target, other) == pytest.approx(0.8 + 6 * size)


def exposure(path, dec=0.0):
    """File of an exposure with headers only."""
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((16, 16), "f4"), name="SCI")])
    hdus[0].header.update(
        DATAMODL="IFUImageModel", INSTRUME="NIRSPEC", GRATING="G235H", FILTER="F170LP",
        DETECTOR="NRS1", TELESCOP="JWST",
    )  # fmt: skip
    side = 3 / 3600
    corners = (0, dec), (side, dec), (side, dec + side), (0, dec + side)
    words = " ".join(f"{ra:.6f} {y:.6f}" for ra, y in corners)
    hdus[1].header["S_REGION"] = f"POLYGON ICRS {words}"
    hdus.writeto(path)
    return str(path)


def test_memory_of_exposures_grows_with_field_and_wavelengths(tmp_path):
    members = tuple(
        (exposure(tmp_path / f"{number}_cal.fits", number / 3600), "science") for number in (0, 2)
    )

    def found(*members, words=()):
        _, step = read_work("fusion_pipeline", words)
        return need.estimate_memory(Target("a", "a_asn.json", members), step)

    values = {"ra": 0.0, "dec": 0.0, "width": 2.0, "height": 1.0}
    part = [f"--steps.fusion.field_{name}={value}" for name, value in values.items()]
    both = found(*members)
    assert need.PROGRAM < found(members[0]) < both
    assert found(*members, words=part) < both
    assert found(*members, words=["--steps.fusion.wave_max=2.0"]) < both


@pytest.mark.parametrize(
    ("needs", "wanted", "expected"),
    [
        ([1, 1, 1], None, (3, 6.0)),
        ([1] * 9, None, (4, 4.5)),
        ([1, 8], None, (2, 9.0)),
        ([10, 1], None, (1, 18.0)),
        ([1] * 9, 6, (6, 3.0)),
    ],
)
def test_workers_are_as_many_as_fit(monkeypatch, needs, wanted, expected):
    from jwst_fusion.campaign import machine

    monkeypatch.setattr(machine, "machine_memory", lambda: 20.0)
    monkeypatch.setattr(machine, "free_cores", lambda: 4)
    assert choose_workers(needs, wanted) == pytest.approx(expected)


def test_page_has_the_worst_first_and_other_campaigns_too(tmp_path):
    def outcome(name, level, **values):
        report = {"product": f"{name}.fits", "page": f"{name}_report.html", "level": level}
        report |= {"verdict": "A <i>verdict</i>.", "facts": [["PSNR", "<9>"]], "picture": "p/a.png"}
        return Outcome(name, "done", reports=[report], **values)

    for name in ("other", "b"):
        (tmp_path / name / "p").mkdir(parents=True)
        (tmp_path / name / ".campaign.lock").touch()
    (tmp_path / "b/p/a.png").touch()
    write_outcome(tmp_path / "other", outcome("other", "good"))
    assert read_outcome(tmp_path / "other", "other").reports[0]["level"] == "good"
    known = {"a": outcome("a", "good"), "b": outcome("b", "fault", seconds=9.0, peak=2.0)}
    known["c"] = Outcome("c", "failed", reason="no & reason")
    page = write_campaign_page(tmp_path, ["a", "b", "c", "d", "e"], outcomes=known, running={"e"})
    text = page.read_text()
    rows = re.findall(r"<tr><td>(\w+)</td>", text)
    assert rows == ["c", "b", "a", "other", "e", "d"]
    assert "no &amp; reason" in text
    assert "PSNR: &lt;9&gt;" in text
    assert "<i>" not in text
    assert 'src="b/p/a.png"' in text
    assert 'href="b/b_report.html"' in text
    assert "1 of 6 targets failed." in text


def test_progress_tells_the_time_left(caplog):
    caplog.set_level("INFO")
    progress = Progress(5, 2, bar=False)
    assert progress.seconds_left is None
    for name, reused in (("a", True), ("b", False)):
        progress.begin(name)
        progress.end(Outcome(name, "done", seconds=20.0, reused=reused))
    progress.begin("c")
    assert progress.seconds_left == pytest.approx(30.0)
    assert progress.text() == "2 of 5 done, 1 running, 0 failed, about 30 s left"
    progress.end(Outcome("c", "failed", reason="dark"))
    progress.close()
    assert "c failed: dark" in caplog.text
    assert "2 of 5 done, 0 running, 1 failed" in caplog.text
