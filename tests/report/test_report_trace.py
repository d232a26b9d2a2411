"""The report on the trace model: from the step and from files, for IFU and slits."""

import logging
import re

import numpy as np
import pytest

from jwst_fusion.command import main as cli
from jwst_fusion.products.exposure import slice_records
from jwst_fusion.products.open import open_model
from jwst_fusion.products.traced_exposure import exposure_of
from jwst_fusion.report.page import LARGEST_PAGE
from jwst_fusion.report.trace.page import trace_page
from jwst_fusion.report.trace.slices import slices_of
from jwst_fusion.simulation.observation import simulate_exposures
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource
from jwst_fusion.simulation.slits import fixed_slit_exposure, lrs_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.usefixtures("quiet_logs")

STAR = SlitScene((SlitSource(0.03, 1000.0),))


def rows_of(text, section):
    """Rows of the first table of a section, as text."""
    part = text[text.index(f'<section id="{section}">') :]
    table = part[part.index("<tbody>") : part.index("</tbody>")]
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[1:]]


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    """Folder with an exposure of a star, the oversampled one, and the report of the step."""
    folder = tmp_path_factory.mktemp("star")
    logging.disable(logging.INFO)
    (path,) = simulate_exposures(folder, single_star(peak=40.0), dithers=((0.0, 0.0),))
    AdaptiveTraceModelStep.call(
        path, oversample=2.0, save_results=True, save_report=True, output_dir=str(folder)
    )
    logging.disable(logging.NOTSET)
    return folder


NAME = "jw09999001001_02101_00001_nrs1_adaptive_trace_model"


def test_the_step_reports_beside_its_product(star):
    report = star / f"{NAME}_report.html"
    text = report.read_text(encoding="utf-8")
    assert report.stat().st_size < LARGEST_PAGE
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert text.count("<img ") == len(list((star / f"{NAME}_report").glob("*.png"))) > 8
    assert "The model follows the traces" in text
    rows = rows_of(text, "wiggles")
    assert len(rows) == 3
    for _, before, after in rows:
        assert float(after) < float(before) / 3
    used = rows_of(text, "slices")
    assert {row[3] for row in used} == {"model", "linear interpolation"}
    assert used[0][3] == "model"
    assert float(used[0][1].replace(",", "")) > 100
    assert ["oversample", "2.0"] in [row for table in [used, *_tables(text)] for row in table]


def _tables(text):
    record = text[text.index('<section id="record">') :]
    for table in record.split("<tbody>")[1:]:
        body = table[: table.index("</tbody>")]
        yield [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in body.split("<tr>")[1:]]


def test_the_command_finds_the_same_in_the_files(star, tmp_path, capsys):
    output = tmp_path / "again.html"
    product = str(star / f"{NAME}.fits")
    assert cli.main(["report", product, "--output", str(output)]) == 0
    first = (star / f"{NAME}_report.html").read_text(encoding="utf-8")
    second = output.read_text(encoding="utf-8")
    for section in ("wiggles", "slices"):
        assert rows_of(first, section) == rows_of(second, section)
    capsys.readouterr()
    assert cli.main(["report", product, "--line", "2.0"]) == 2
    assert "--line is for fused cubes" in capsys.readouterr().err
    (tmp_path / "alone.fits").symlink_to(product)
    assert cli.main(["report", str(tmp_path / "alone.fits")]) == 2
    assert "needs the exposure before it was oversampled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (
            lambda: fixed_slit_exposure(scenes=[STAR], single=True, names=("S200A1",), columns=260),
            2.0,
        ),
        (lambda: lrs_exposure(scene=SlitScene((SlitSource(-0.6, 2000.0),), background=5.0)), 1.5),
    ],
    ids=["slit in flux density", "transposed, in brightness"],
)
def test_slits(make, factor):
    native = make()
    result = AdaptiveTraceModelStep.call(native, oversample=factor)
    exposure = exposure_of(native, result, "x_cal.fits", "x_adaptive_trace_model.fits")
    (one,) = slices_of(exposure)
    assert one.factor == pytest.approx(factor, rel=1e-3)
    assert one.used > 0.9
    wide = [one.spectrum(one.peak, width=5.0, oversampled=flag) for flag in (False, True)]
    known = np.isfinite(wide[0]) & np.isfinite(wide[1])
    assert np.median(wide[1][known] / wide[0][known]) == pytest.approx(1, abs=0.02)
    before, after = (one.wiggles(oversampled=flag).mean for flag in (False, True))
    assert after < before
    assert one.misfit < 3
    page = trace_page(exposure)
    assert page.verdict[0] != "fault"


def test_what_is_not_oversampled_or_has_no_source_is_told():
    native = fixed_slit_exposure(scenes=[STAR], single=True, names=("S200A1",), columns=120)
    result = AdaptiveTraceModelStep.call(native)
    page = trace_page(exposure_of(result, result, "x", "x"))
    assert [one.key for one in page.findings] == ["native"]
    (one,) = slices_of(exposure_of(result, result, "x", "x"))
    for width in (1.0, 2.5):
        before, after = (one.spectrum(one.peak, width=width, oversampled=f) for f in (False, True))
        np.testing.assert_array_equal(before, after)
    blank = fixed_slit_exposure(
        scenes=[SlitScene((), background=3.0)], single=True, names=("S200A1",), columns=120
    )
    result = AdaptiveTraceModelStep.call(blank, oversample=2.0)
    page = trace_page(exposure_of(blank, result, "x", "x"))
    assert page.verdict[0] == "caution"
    assert page.findings[0].key == "unused"


def test_a_model_that_does_not_follow_the_trace_is_a_fault():
    native = fixed_slit_exposure(scenes=[STAR], single=True, names=("S200A1",), columns=260)
    result = AdaptiveTraceModelStep.call(native, oversample=2.0)
    # As if the model had been made for another place: its light comes and goes along the trace.
    columns = np.arange(result.data.shape[1])
    result.data = result.data * (1 + 0.8 * np.sin(columns / 6.0)).astype(np.float32)
    page = trace_page(exposure_of(native, result, "x", "x"))
    assert page.verdict[0] == "fault"
    assert page.findings[0].key == "wiggles"


def test_slices_keep_how_the_model_fared(star, tmp_path):
    with open_model(star / f"{NAME}.fits") as product:
        records = slice_records(product)[""]
        copied = product.copy()
    copied.save(tmp_path / "again.fits")
    with open_model(tmp_path / "again.fits") as again:
        assert repr(slice_records(again)) == repr({"": records})
    fitted = [one for one in records.values() if one.outcome == "fitted"]
    assert 2 < len(fitted) < len(records)
    assert all(0.5 < one.chi2 < 1.5 and one.refused < 0.2 for one in fitted)
    assert all(np.isnan(one.chi2) for one in records.values() if one.outcome == "faint")
    text = (star / f"{NAME}_report.html").read_text(encoding="utf-8")
    rows = rows_of(text, "slices")
    assert 0.5 < float(rows[0][5]) < 1.5
    assert rows[-1][5] == "–"


def test_what_is_wrong_away_from_the_peak_is_told():
    """Beside the star, light that comes and goes with the wavelength: no profile describes it."""
    native = fixed_slit_exposure(scenes=[STAR], single=True, names=("S200A1",), columns=260)
    clean = AdaptiveTraceModelStep.call(native, oversample=2.0)
    keys = [one.key for one in trace_page(exposure_of(native, clean, "x", "x")).findings]
    assert "chi2" not in keys
    rows = np.arange(native.data.shape[0])[:, None]
    columns = np.arange(native.data.shape[1])
    pattern = np.sin(columns / 4.0 + rows * 1.3) * 25 * np.nanmedian(native.err)
    native.data = (native.data + pattern).astype(np.float32)
    result = AdaptiveTraceModelStep.call(native, oversample=2.0)
    page = trace_page(exposure_of(native, result, "x", "x"))
    assert "chi2" in [one.key for one in page.findings]
    assert page.verdict[0] != "good"
