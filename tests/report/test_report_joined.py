"""The report on a cube joined from several: its parts, its borders, what is not there."""

import re
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.command import main as cli
from jwst_fusion.report.joined.checks import find_joined_findings, joined_verdict
from jwst_fusion.report.joined.product import read_joined
from jwst_fusion.report.page import LARGEST_PAGE

pytestmark = pytest.mark.usefixtures("quiet_logs")

SECTIONS = ["summary", "parts", "field", "lines", "spectra", "borders", "weights", "record"]


def test_the_step_reports_on_the_joined_cube(whole):
    case = whole()
    text = case.report.read_text(encoding="utf-8")
    assert case.report.stat().st_size < LARGEST_PAGE
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert re.findall(r'id="(\w+)"', text) == SECTIONS
    pictures = re.findall(r'<img alt="([^"]*)"', text)
    assert len(pictures) == len(list(case.report.with_suffix("").glob("*.png"))) > 20
    assert all(len(one) > 15 for one in pictures)
    assert "Every part is good, and they fit together" in text
    assert text.count("✓ good") == 2
    for name in ("shows it through F187N", "in the overlap, by G395H", "continuum of G140H"):
        assert any(name in one for one in (*pictures, text)), name
    with fits.open(case.product) as hdus:
        assert f"{hdus['FUSCUBES'].data['ratio'][1]:.4f}" in text
    # There are no reports on the parts beside it.
    assert text.count("none beside this one") == 2


@pytest.mark.parametrize(
    ("red", "factor", "level", "keys", "words"),
    [
        ("none", 1.0, "good", set(), ""),
        ("none", 1.12, "caution", {"ratio", "step"}, "1.120 times as bright"),
        ("dead", 1.0, "fault", {"part"}, "F210M does not show the scene"),
    ],
)
def test_faults_of_parts_and_borders_are_named(whole, red, factor, level, keys, words):
    case = whole(red, factor)
    with ExitStack() as stack:
        hdus = stack.enter_context(fits.open(case.product))
        names = [str(one) for one in hdus["FUSCUBES"].data["filename"]]
        parts = {name: stack.enter_context(fits.open(case.folder / name)) for name in names}
        joined = read_joined(hdus, parts=parts)
        found = find_joined_findings(joined)
    assert {one.key for one in found if one.level != "note"} == keys
    assert joined_verdict(found)[0] == level
    assert words in " ".join(one.text for one in found)
    (border,) = joined.borders
    assert border.overlap
    if red == "none":
        assert border.mismatch.shift[0].value == pytest.approx(0, abs=1e-6)
        assert border.step == pytest.approx(factor - 1, abs=0.03)
        ratio = np.nanmedian(border.images[1] / border.images[0])
        assert ratio == pytest.approx(factor, rel=1e-3)


def test_command_with_and_without_the_parts(whole, tmp_path, capsys):
    case = whole()
    product = tmp_path / "x_fused_s3d.fits"
    shutil.copy(case.product, product)
    assert cli.main(["report", str(product), "--position", "20,11", "--line", "2.1218"]) == 0
    assert capsys.readouterr().out.count("its verdict is not known") == 2
    text = (tmp_path / "x_fused_report.html").read_text(encoding="utf-8")
    assert "2 of 2 parts were not looked at" in text
    assert "whether each of them is right is not known here" in text
    assert "pixel x 20, y 11" in text
    assert "line at 2.12" in text
    assert "Maps of the overlaps need the parts" in text
    # With the parts elsewhere, and a report on one of them beside the page.
    (tmp_path / "x_01_fused_report.html").write_text("")
    assert cli.main(["report", str(product), "--input", str(case.folder)]) == 0
    text = (tmp_path / "x_fused_report.html").read_text(encoding="utf-8")
    assert 'href="x_01_fused_report.html"' in text
    assert "Every part is good" in text
    assert cli.main(["report", str(product), "--input", str(product)]) == 2
    assert "is not a folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["report", str(product), "--input", str(tmp_path / "empty")]) == 2
    assert "x_01_fused_s3d.fits is not in" in capsys.readouterr().err
