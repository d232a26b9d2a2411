"""The report on a fused cube: it is complete, right, stands alone, and tells bad fusions."""

import io
import logging
import re
import subprocess
import sys
import threading
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from jwst_fusion.command import main as cli
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.messages import Message, collected_warnings, warn
from jwst_fusion.report.fused.product import read_input_cube
from jwst_fusion.report.fused.verdict import find_findings, verdict_of
from jwst_fusion.report.page import LARGEST_PAGE, _fitting, short

SECTIONS = ["field", "lines", "spectra", "sources", "agreement", "spectrum", "calibration"]
SECTIONS += ["subspace", "tuning", "weights", "dropped", "record"]


class Reader(HTMLParser):
    """Collects what a page refers to, its tables and anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.images, self.rows, self.keys = [], [], [], [], []
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[key] for key in ("src", "href", "srcset") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.keys += [attributes["data-key"]] if "data-key" in attributes else []
        if tag == "img":
            self.images.append(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self._cell)
            self._cell = None


@pytest.fixture(scope="module")
def page(fused):
    return Reader(fused("none").report.read_text(encoding="utf-8"))


EXPECTED = {
    "none": ("good", set(), set()),
    "psf": ("fault", {"psf", "structure", "chi2_image"}, {"offset", "unlike", "calibration"}),
    "offset": ("fault", {"offset", "chi2_image", "structure"}, {"psf", "unlike"}),
    "dead": ("fault", {"unlike", "chi2_image", "calibration", "offset_unknown"}, {"psf"}),
}


@pytest.mark.parametrize("fault", list(EXPECTED))
def test_the_fault_is_named_at_the_top(fused, fault):
    findings = find_findings(fused(fault).read())
    level, present, absent = EXPECTED[fault]
    keys = {one.key for one in findings if one.level != "note"}
    assert present <= keys
    assert not absent & keys
    found, sentence = verdict_of(findings)
    assert found == level
    if fault == "none":
        assert not keys
        return
    cause = {"psf": "the PSF does not seem to fit", "offset": "F210M is misplaced"}
    assert cause.get(fault, "F210M does not show the scene") in sentence
    # The cause comes before what it leads to.
    assert findings[0].key == {"dead": "unlike"}.get(fault, fault)


def test_the_page_of_a_bad_fusion_shows_the_worst_image_first(fused):
    text = fused("dead").report.read_text(encoding="utf-8")
    box = text[text.index('id="summary"') : text.index("<nav")]
    assert "Do not trust this cube as it is: F210M does not show the scene" in box
    assert Reader(text).keys[0] == "unlike"
    pictures = re.findall(r'alt="([^"]*)"', box)
    assert len(pictures) == 5
    assert all("F210M" in alt for alt in pictures)
    assert "too little signal to be calibrated" in box


def test_the_page_stands_alone(page, fused):
    case = fused("none")
    assert case.report.stat().st_size < LARGEST_PAGE
    assert len(page.images) > 30
    for link in page.links:
        assert link.startswith(("#", "data:"))
    text = case.report.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.ids == ["summary", *SECTIONS]
    assert all(len(image["alt"]) > 15 for image in page.images)


def test_every_figure_is_there_as_png_too(page, fused):
    files = list(fused("none").figures.iterdir())
    assert len(files) == len(page.images)
    assert {path.suffix for path in files} == {".png"}
    for path in files:
        with Image.open(path) as image:
            values = np.asarray(image.convert("L"))
        assert min(values.shape) > 200
        assert np.ptp(values) > 100


def test_numbers_are_those_of_the_product(page, fused):
    rows = {tuple(row) for row in page.rows}
    with fits.open(fused("none").product) as hdus:
        header = hdus[0].header
        for row in hdus["FUSFILTERS"].data:
            name = row["filter"]
            quality = [f"{row[key]:.2f}" for key in ("psnr", "psnr_ceiling")]
            quality += [f"{row[key]:.4f}" for key in ("ssim", "ssim_ceiling")]
            quality += [f"{100 * row['relative_error']:.2f}", f"{row['chi2']:.2f}"]
            assert (name, *quality, str(row["pixels"])) in rows
            line = next(one for one in page.rows if one[0] == name and "±" in one[1])
            assert line[1] == f"{row['calibration']:.4f} ± {row['calibration_error']:.4f}"
            assert line[2].startswith(f"{1e3 * row['offset_x']:.1f}, {1e3 * row['offset_y']:.1f} ±")
            assert line[-1] == row["filename"]
        for number, row in enumerate(hdus["FUSCOMPONENTS"].data, start=1):
            line = (str(number), f"{row['eigenvalue']:.4g}", f"{100 * row['explained']:.4f}")
            assert any(one[:3] == line for one in rows)
        for row in hdus["FUSSOFTWARE"].data:
            assert (row["name"], row["version"]) in rows
        for row in hdus["FUSPARAMETERS"].data:
            assert (row["name"], row["value"]) in rows
        text = fused("none").report.read_text(encoding="utf-8")
        assert f"<dd>{short(header['FUSCHI2I'])}</dd>" in text
        assert f"<dd>{header['FUSPSNR']:.1f} dB</dd>" in text
        assert ("cube", header["FUSCUBE"]) in rows


def test_what_the_product_keeps_for_the_report(fused):
    with FusedCubeModel(str(fused("dead").product)) as product:
        assert product.meta.fusion.images_given == product.meta.fusion.images == 3
        images, residuals = product.observed_images, product.residual_images
        assert images.shape == residuals.shape == product.image_errors.shape
        good = np.isfinite(residuals)
        assert np.array_equal(good, np.isfinite(images))
        pulls = (residuals / product.image_errors)[good]
        chi2 = np.average(product.filter_table["chi2"], weights=product.filter_table["pixels"])
        assert np.mean(pulls**2) == pytest.approx(chi2, rel=1e-3)
        assert product.filter_responses.sum(1) == pytest.approx(1.0, rel=1e-5)
        path = product.tuning_table
        assert path["run"][0] == 1
        assert set(np.diff(path["run"])) <= {0, 1}
        seen = product.cube_residuals
        assert seen.shape == (3, *(size // product.meta.fusion.factor for size in images.shape[1:]))
        assert 0.2 < np.nanmean(seen[[0, 2]] ** 2) < 2
        assert path["noise_scale_image"][-1] == pytest.approx(product.meta.fusion.noise_scale_image)
        assert path["noise_scale_cube"][-1] == pytest.approx(product.meta.fusion.noise_scale_cube)
        largest = product.component_table["regularisation"].max()
        assert path["regularisation_high"][-1] == pytest.approx(largest)
        assert "too little signal to be calibrated" in " ".join(product.message_table["text"])


def changed(product, *, header=(), tables=()):
    """Product with other numbers."""
    header_ = product.header.copy()
    header_.update(dict(header))
    new = {name: None if t is None else t.copy() for name, t in product.tables.items()}
    for (table, column), values in dict(tables).items():
        new[table][column] = values
    return replace(product, header=header_, tables=new)


CHANGES = {
    "convergence": ({"FUSCONV": False}, {}, "caution"),
    "dropped": ({"FUSNGIVN": 5}, {}, "caution"),
    "noise_scale": ({"FUSNSCUB": 4.0}, {}, "caution"),
    "psf_fit": ({"FUSPFIX": 0.08, "FUSPFIY": -0.01}, {}, "caution"),
    "chi2_cube": ({"FUSCHI2C": 7.0}, {}, "fault"),
    "spectrum": ({"FUSREERR": 0.05}, {}, "caution"),
    "overstated": ({}, {("filters", "chi2"): 0.1}, "note"),
    # Residuals show that the images lie where they should.
    "offset_unknown": ({}, {("filters", "offset_error"): np.nan}, "note"),
    "calibration": ({}, {("filters", "calibration"): 1.6}, "fault"),
}


@pytest.mark.parametrize("key", list(CHANGES))
def test_every_warning_can_be_reached(fused, key):
    header, tables, level = CHANGES[key]
    product = changed(fused("none").read(), header=header, tables=tables)
    assert {one.level for one in find_findings(product) if one.key == key} == {level}


def test_errors_that_data_contradict_are_told_where_they_are_kept(fused):
    product = fused("none").read()
    kept = changed(product, header={"FUSNSIMG": 1.0, "FUSCHI2I": 9.0})
    (found,) = [one for one in find_findings(kept) if one.key == "noise_scale"]
    assert found.level == "caution"
    assert "noise_scales is off" in found.text
    scaled = changed(product, header={"FUSNSIMG": 1.01, "FUSCHI2I": 9.0})
    assert "noise_scale" not in {one.key for one in find_findings(scaled)}


def test_small_offsets_are_no_matter_however_significant(fused):
    product = fused("none").read()
    columns = {("filters", "offset_x"): 0.2 * product.scale, ("filters", "offset_error"): 1e-6}
    assert "offset" not in {one.key for one in find_findings(changed(product, tables=columns))}
    columns[("filters", "offset_x")] = 0.5 * product.scale
    columns[("filters", "applied_x")] = 0.5 * product.scale
    assert "offset" not in {one.key for one in find_findings(changed(product, tables=columns))}


def test_errors_that_are_absent_are_told(fused):
    product = fused("none").read()
    dtype = [("source", "S48"), ("kind", "S16"), ("text", "S320")]
    text = "x_i2d.fits has no errors (extension ERR): they are estimated from the data"
    rows = [("fusion.observation", "no_errors", text), ("fusion.robust", "", "7 voxels")]
    rows = np.array([*rows, ("fusion.run", "", "something else")], dtype)
    tables = {**product.tables, "messages": fits.FITS_rec.from_columns(fits.ColDefs(rows))}
    found = find_findings(replace(product, tables=tables))
    assert [(one.key, one.level) for one in found] == [
        ("no_errors", "caution"),
        ("message", "note"),
    ]
    assert found[0].text.startswith(text)
    assert verdict_of(found)[0] == "caution"
    assert verdict_of(found[1:])[0] == "good"


def test_command_writes_what_is_asked_for_without_pyplot(fused, tmp_path):
    case = fused("none")
    output = tmp_path / "mine.html"
    code = (
        "import sys; from jwst_fusion.command.main import main; code = main(sys.argv[1:]); "
        "assert 'matplotlib.pyplot' not in sys.modules; sys.exit(code)"
    )
    options = ["--output", str(output), "--position", "20,11", "--line", "2.1218"]
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(case.product), *options],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{output} written\n"
    text = output.read_text(encoding="utf-8")
    assert "pixel x 20, y 11" in text
    assert "Spectrum of the pixel as asked for" in text
    assert "line at 2.12" in text
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"spectrum_a.png", "spectrum_d.png", "field_f210m_cube.png", "tuning.png"} <= names


def test_without_the_input_cube_the_rest_is_shown(fused, tmp_path, capsys):
    case = fused("none")
    product = tmp_path / "alone_fused_s3d.fits"
    product.symlink_to(case.product)
    old = tmp_path / "alone_fused_report"
    old.mkdir()
    (old / "field_f999w_image.png").write_bytes(b"")
    assert cli.main(["report", str(product)]) == 0
    assert "is not beside the product" in capsys.readouterr().out
    text = (tmp_path / "alone_fused_report.html").read_text(encoding="utf-8")
    assert "The input cube was not found" in text
    names = {path.name for path in old.iterdir()}
    assert "field_f210m_fused.png" in names
    assert not names & {"field_f210m_cube.png", "field_f999w_image.png"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "alone_fused_report",
        "alone_fused_report.html",
        "alone_fused_s3d.fits",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--position", "500,1"], "position 500,1 lies outside"),
        (["--line", "9.1"], "line 9.1 um lies outside"),
        (["--input", "nowhere"], "nowhere does not exist"),
        (["--output", "page.pdf"], "ends in .html"),
    ],
)
def test_wrong_options_are_one_line(fused, tmp_path, capsys, options, message):
    product = tmp_path / "x_s3d.fits"
    product.symlink_to(fused("none").product)
    assert cli.main(["report", str(product), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x_s3d.fits"]


def test_other_files_are_refused(fused, tmp_path, capsys):
    assert cli.main(["report", str(tmp_path / "none.fits")]) == 2
    assert "does not exist" in capsys.readouterr().err
    cube = next(fused("none").folder.glob("*nirspec*_s3d.fits"))
    assert cli.main(["report", str(cube), "--output", str(tmp_path / "x.html")]) == 2
    assert "is not fused: reports are on fused cubes" in capsys.readouterr().err
    skipped = tmp_path / "skipped_s3d.fits"
    with fits.open(cube) as hdus:
        hdus[0].header["S_FUSION"] = "SKIPPED"
        hdus.writeto(skipped)
    assert cli.main(["report", str(skipped)]) == 2
    assert "S_FUSION is 'SKIPPED'" in capsys.readouterr().err
    other = tmp_path / "other_s3d.fits"
    with fits.open(cube) as hdus:
        hdus["SCI"].header["CRVAL3"] = 3.0
        hdus.writeto(other)
    product = fused("none").product
    options = ["--input", str(other), "--output", str(tmp_path / "x.html")]
    assert cli.main(["report", str(product), *options]) == 2
    assert "is it the cube that was fused?" in capsys.readouterr().err
    # A file that merely lies there is not what was asked for: the report does without.
    (tmp_path / "there").mkdir()
    alone = tmp_path / "there" / "x_s3d.fits"
    alone.symlink_to(product)
    other.rename(tmp_path / "there" / fits.getval(product, "FUSCUBE"))
    assert cli.main(["report", str(alone)]) == 0
    assert "Shown is only what is in the product" in capsys.readouterr().out


def test_cubes_in_jansky_are_shown_in_the_unit_of_the_product(fused, tmp_path):
    product = fused("none").read()
    with fits.open(next(fused("none").folder.glob("*nirspec*_s3d.fits"))) as hdus:
        before = read_input_cube(hdus, product).data
        header = hdus["SCI"].header
        hdus["SCI"].data = hdus["SCI"].data * header["PIXAR_SR"] * 1e6
        header["BUNIT"] = "Jy"
        np.testing.assert_allclose(read_input_cube(hdus, product).data, before, rtol=1e-5)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
def test_warnings_are_collected_from_one_thread_whatever_is_shown(level):
    log = logging.getLogger("jwst_fusion.fusion.somewhere")
    log.setLevel(level)
    try:
        with collected_warnings() as messages:
            log.info("not this")
            warn(log, "%d things", 3, kind="no_errors")
            thread = threading.Thread(target=warn, args=(log, "100 % of another run"))
            thread.start()
            thread.join()
        warn(log, "later")
    finally:
        log.setLevel(logging.NOTSET)
    assert messages == [Message("fusion.somewhere", "no_errors", "3 things")]


def test_pages_of_many_figures_stay_small():
    noise = np.random.default_rng(0).integers(0, 255, (500, 500, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="png")
    chosen = _fitting({f"one{i}": buffer.getvalue() for i in range(8)})
    assert sum(map(len, chosen.values())) * 4 / 3 < LARGEST_PAGE
