"""The command line ``jwst-fusion``."""

import os
import subprocess
import sys
import time

import pytest

from jwst_fusion import __version__
from jwst_fusion.command import main as cli
from jwst_fusion.psf import cache, read_psf

MAKE = ["psf", "make", "nircam", "--wavelength", "1.9", "2.1", "--nodes", "2", "--field", "0.5"]
MAKE += ["--source", "aperture"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JWST_FUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_make_list_and_clear(capsys, tmp_path):
    assert cli.main([*MAKE, "--output", str(tmp_path / "psf.fits")]) == 0
    done = capsys.readouterr()
    assert "PSF of NIRCAM_SW (NRCB1, aperture): 2 wavelengths" in done.err
    assert "2 wavelengths, 1.900 to 2.100 um, made" in done.out
    assert read_psf(tmp_path / "psf.fits").wavelength.size == 2
    assert cli.main(MAKE) == 0
    assert "was in the cache" in capsys.readouterr().out
    assert cli.main(["psf", "list"]) == 0
    text = capsys.readouterr().out
    assert "usable  aperture NIRCAM_SW, 2 wavelengths, 1.900 to 2.100 um" in text
    assert cli.main(["psf", "clear", "--yes"]) == 0
    assert "1 entries removed" in capsys.readouterr().out
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        (["--filter", "F200W"], 0),
        (["--filter", "F444W"], 1),
        (["--source", "webbpsf"], 1),
        (["--instrument", "nirspec"], 1),
        (["--older-than", "3"], 1),
        (["--older-than", "1"], 0),
        (["--unusable"], 1),
    ],
)
def test_clear_removes_what_is_selected(selection, kept):
    assert cli.main(MAKE) == 0
    two_days_ago = time.time() - 2 * 86400
    os.utime(cache.entries()[0].path, (two_days_ago,) * 2)
    assert cli.main(["psf", "clear", "--yes", *selection]) == 0
    assert len(cache.entries()) == kept


def test_damaged_entries_are_listed_and_nothing_is_removed_unasked(capsys, folder):
    folder.mkdir()
    (folder / "psf_bad.fits").write_bytes(b"junk")
    assert cli.main(["psf", "list"]) == 0
    assert "damaged" in capsys.readouterr().out
    assert cli.main(["psf", "clear"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert len(cache.entries()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["psf", "make", "nircam"],
        ["psf", "make", "miri"],
        ["psf", "make", "nircam", "--filter", "F999W"],
        ["psf", "make", "nircam", "--wavelength", "2", "30"],
        [*MAKE, "--nodes", "1"],
        [*MAKE, "--jitter", "-1"],
        [*MAKE, "--cores", "many"],
        [*MAKE, "--opd", "absent.fits"],
        ["psf", "clear", "--filter", "F999W"],
        ["psf"],
    ],
)
def test_bad_input_is_usage_or_one_line_and_status_2(words, capsys):
    try:
        status = cli.main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    is_usage_or_one_line(capsys.readouterr().err)


def is_usage_or_one_line(said):
    *usage, last = said.strip().splitlines()
    assert "error:" in last
    assert not usage or usage[0].startswith("usage: jwst-fusion")


@pytest.mark.parametrize("words", [["psf"], [*MAKE, "--nodes", "1"]])
def test_status_of_the_process(words):
    command = [sys.executable, "-m", "jwst_fusion.command.main", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    is_usage_or_one_line(done.stderr)


def test_no_words_print_the_help(capsys):
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: jwst-fusion")
    assert all(word in said for word in ("simulate", "associate", "report", "compare"))


def test_version_needs_no_heavy_package():
    code = (
        "import sys; from jwst_fusion.command import main as cli\n"
        "try: cli.main(['--version'])\n"
        "finally: print({'numpy', 'astropy', 'stpsf', 'jwst'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"jwst-fusion {__version__}", "set()"]
