"""The report on a product of HIFReD: complete, right, and naming what is wrong with a pair."""

import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.command import main as cli
from jwst_fusion.report.hifred.checks import find_hifred_findings, hifred_verdict
from jwst_fusion.report.mismatch import excess, field_mismatch, reduced
from jwst_fusion.report.page import LARGEST_PAGE, short

pytestmark = pytest.mark.usefixtures("quiet_logs")

SECTIONS = ["summary", "field", "maps", "spectra", "agreement", "spectrum", "subspace", "solver"]
SECTIONS += ["weights", "record"]

# Level, what is found first, other findings, findings that must not be.
EXPECTED = {
    "none": ("good", None, set(), set()),
    "jwst": ("good", None, set(), set()),
    "psf": ("fault", "psf", {"image", "chi2_y"}, {"offset", "brightness", "response"}),
    "jwst_psf": ("fault", "psf", {"image", "chi2_y"}, {"offset", "brightness", "response"}),
    "offset": ("fault", "offset", {"image"}, {"psf", "brightness", "response"}),
    "exposure": ("fault", "brightness", {"image", "spectrum"}, {"psf", "offset", "response"}),
    "response": ("fault", "response", {"spectrum", "chi2_x"}, {"psf", "offset"}),
}


@pytest.mark.parametrize("fault", list(EXPECTED))
def test_the_fault_is_named_at_the_top(pair, fault):
    found = find_hifred_findings(pair(fault).read())
    level, first, present, absent = EXPECTED[fault]
    keys = {one.key for one in found if one.level != "note"}
    assert present <= keys
    assert not absent & keys
    assert hifred_verdict(found)[0] == level
    if first is None:
        assert not keys
    else:
        assert found[0].key == first
        assert found[0].title in hifred_verdict(found)[1]


def test_the_amounts_are_those_of_the_fault(pair):
    assert pair("psf").read().field.spread.value == pytest.approx((22**2 - 30**2) / 100, rel=0.15)
    assert pair("exposure").read().field.brightness.value == pytest.approx(-np.log(1.3), abs=0.02)
    shift = pair("offset").read().field.shift
    assert shift[0].value == pytest.approx(-1, abs=0.3)
    assert abs(shift[1].value) < 0.05
    good = pair("none").read().field
    for one in (good.brightness, *good.shift, good.spread):
        assert one.sigma < 4
    jwst = pair("jwst_psf").read().field.spread
    assert jwst.value == pytest.approx(1.5**2 * (1 - 1.4**2), rel=0.5)


def test_mismatch_of_turned_grids():
    """A known shift is told in pixels of X, however the pixels of Y lie."""
    y, x = np.indices((24, 24))

    def scene(dx, dy):
        return 1000 * np.exp(-0.5 * ((x - 9.5 - dx) ** 2 + (y - 12.5 - dy) ** 2) / 4.5**2) + 10

    def coarse(image):
        return np.rot90(image.reshape(8, 3, 8, 3).sum(axis=(1, 3)))

    number = np.rot90(np.arange(64).reshape(8, 8), -1)
    owner = np.repeat(np.repeat(number, 3, 0), 3, 1)
    expected = scene(0, 0)
    sides = (
        (expected, expected, np.sqrt(expected)),
        (coarse(scene(0.2, -0.1)), coarse(expected), np.sqrt(coarse(expected))),
    )
    shift = field_mismatch(sides, owner).shift
    assert shift[0].value == pytest.approx(0.2, abs=0.02)
    assert shift[1].value == pytest.approx(-0.1, abs=0.02)
    y, model = sides[1][0], sides[1][1]
    bright = field_mismatch((sides[0], (y + 0.1 * model.mean(), model, sides[1][2])), owner)
    assert bright.level.value == pytest.approx(0.1, rel=0.05)
    assert abs(bright.brightness.value) < 0.01
    # the fused cube lies between two that differ much
    much = ((1.37 * expected, *sides[0][1:]), (0.2 * model, *sides[1][1:]))
    assert field_mismatch(much, owner).brightness.value == pytest.approx(np.log(0.2 / 1.37))


@pytest.mark.parametrize("fault", ["none", "psf", "jwst"])
def test_the_page_is_complete_and_stands_alone(pair, fault):
    case = pair(fault)
    text = case.report.read_text(encoding="utf-8")
    assert case.report.stat().st_size < LARGEST_PAGE
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert re.findall(r'id="(\w+)"', text) == SECTIONS
    pictures = re.findall(r'<img alt="([^"]*)"', text)
    assert len(pictures) == len(list(case.report.with_suffix("").glob("*.png"))) > 25
    assert all(len(one) > 15 for one in pictures)
    box = text[text.index('id="summary"') : text.index("<nav")]
    assert box.count("<img ") == 5
    product = case.read()
    for letter in "XY":
        assert f"<dd>{short(product.header[f'HIFCHI2{letter}'])}</dd>" in box
    for title, table in (("name", "parameters"), ("name", "software")):
        for row in product.tables[table]:
            assert f"<td>{str(row[title]).strip()}</td>" in text
    # The step knows both cubes.
    assert "The cubes that were fused were not found" not in text
    assert ("Counts are divided by exposure and area" in text) is (fault != "jwst")


@pytest.mark.parametrize("fault", ["none", "jwst"])
def test_what_the_product_keeps_is_what_was_seen(pair, fault):
    product = pair(fault).read()
    for side in product.cubes:
        total = np.nansum(side.images[0])
        part = slice(side.channels["channel"][0], side.channels["channel"][-1] + 1)
        with fits.open(pair(fault).folder / side.file) as hdus:
            hdu = hdus[0] if product.counts else hdus["SCI"]
            given = np.asarray(hdu.data[part], float)
        seen = given.sum() if product.counts else given.mean(axis=0).sum()
        assert total == pytest.approx(seen, rel=1e-4)
        observed, expected, error = side.spectrum
        sums = (1, 2)
        seen = given.sum(axis=sums) if product.counts else given.mean(axis=sums)
        np.testing.assert_allclose(observed, seen, rtol=1e-4)
        model = side.model.sum(axis=sums) if product.counts else side.model.mean(axis=sums)
        np.testing.assert_allclose(expected, model, rtol=1e-3)
        assert (error > 0).all()
        assert (product.bands[0].low, product.bands[0].high) == pytest.approx(
            (side.edges[0], side.edges[-1])
        )
    assert 1 < len(product.bands) <= 4
    assert product.owner.min() == 0
    assert product.owner.max() == product.y.images[0].size - 1
    assert (product.shares == 9).all()
    assert product.arrays["spectra"].shape == (product.header["HIFRANK"], len(product.middle))
    assert product.arrays["maps"].shape[1:] == product.data.shape[1:]
    assert len(product.tables["tuning"]) > 1
    assert len(product.tables["components"]) == product.header["HIFRANK"]


def changed(product, **given):
    """Product with other numbers in its header or its fields."""
    header = product.header.copy()
    header.update({key: one for key, one in given.items() if key.isupper()})
    fields = {key: one for key, one in given.items() if not key.isupper()}
    return replace(product, header=header, **fields)


CHANGES = {
    "convergence": ({"HIFCONV": False}, "caution"),
    "chi2_x": ({"HIFCHI2X": 5.0}, "fault"),
    "noise": ({"HIFCHI2Y": 0.3}, "caution"),
    "clipped": ({"HIFCLIP": 0.05}, "caution"),
    "mu": ({"HIFCHOSE": "mu = 1 by 9 trials (at the end of the range)"}, "caution"),
    "no_errors": ({"err": None}, "note"),
}


@pytest.mark.parametrize("key", list(CHANGES))
def test_every_warning_can_be_reached(pair, key):
    given, level = CHANGES[key]
    found = find_hifred_findings(changed(pair("none").read(), **given))
    assert {one.level for one in found if one.key == key} == {level}


def test_components_flags_channels_and_notes_are_told(pair):
    product = pair("none").read()
    tables = dict(product.tables)
    tables["components"] = tables["components"][:5]
    tables["notes"] = np.array([("exposure is taken from the ARF",)], [("note", "S64")])
    channels = product.x.channels.copy()
    channels["used"][:3] = 0
    flags = np.full(product.dq.shape, 2**28)
    x = replace(product.x, channels=channels)
    told = {"HIFCHOSE": "rank 5 as given"}
    found = find_hifred_findings(changed(product, tables=tables, dq=flags, x=x, **told))
    levels = {one.key: one.level for one in found}
    assert levels == {
        "rank": "caution",
        "estimated": "caution",
        "left_out": "note",
        "message": "note",
    }
    texts = " ".join(one.text for one in found)
    assert "3 of 30 channels" in texts
    assert "exposure is taken from the ARF" in texts


def test_noise_alone_is_no_excess():
    rng = np.random.default_rng(0)
    expected = np.full((40, 40), 1e4)
    observed = rng.poisson(expected).astype(float)
    assert reduced(observed, expected, 100.0 + 0 * expected) == pytest.approx(1, abs=0.1)
    assert excess(observed, expected, 100.0 + 0 * expected) < 4e-3
    assert excess(1.1 * expected, expected, 100.0 + 0 * expected) == pytest.approx(0.1, rel=0.01)
    assert np.isnan(reduced(np.full(3, np.nan), np.ones(3), np.ones(3)))


def test_command_with_the_cubes(pair, tmp_path, capsys):
    case = pair("none")
    output = tmp_path / "mine.html"
    options = ["--output", str(output), "--position", "7,8", "--line", "0.82"]
    assert cli.main(["report", str(case.product), *options]) == 0
    text = output.read_text(encoding="utf-8")
    assert "pixel x 7, y 8" in text
    assert "Spectrum of the pixel as asked for" in text
    assert len(re.findall(r'alt="Map of the line', text)) == 3
    assert "were not found" not in text
    for fault, line, unit in (("none", "2.1", "keV"), ("jwst", "5", "um")):
        assert cli.main(["report", str(pair(fault).product), "--line", line]) == 2
        assert f"line {line} {unit} lies outside" in capsys.readouterr().err


def test_command_without_the_cubes(pair, tmp_path, capsys):
    case = pair("jwst")
    alone = tmp_path / "alone_hifred.fits"
    alone.symlink_to(case.product)
    # Another cube of that name is left out unless it was asked for.
    (tmp_path / "fine_s3d.fits").symlink_to(case.folder / "sharp_s3d.fits")
    assert cli.main(["report", str(alone), "--line", "2.05"]) == 0
    told = capsys.readouterr().out
    assert "sharp_s3d.fits is not beside the product" in told
    assert "is it the cube that was fused?" in told
    text = (tmp_path / "alone_hifred_report.html").read_text(encoding="utf-8")
    assert "The cubes that were fused were not found" in text
    assert len(re.findall(r'alt="Map of the line', text)) == 1
    assert re.findall(r'id="(\w+)"', text) == SECTIONS
    assert cli.main(["report", str(alone), "--input", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    assert cli.main(["report", str(alone), "--input", str(tmp_path)]) == 2
    assert "sharp_s3d.fits is not in" in capsys.readouterr().err


def test_products_without_a_fusion_are_refused(pair, tmp_path, capsys):
    with fits.open(pair("none").product) as hdus:
        hdus[0].header["S_HIFRED"] = "SKIPPED"
        hdus.writeto(tmp_path / "skipped.fits")
        hdus[0].header["S_HIFRED"] = "COMPLETE"
        del hdus["IMAGES_X"]
        hdus.writeto(tmp_path / "old.fits")
    assert cli.main(["report", str(tmp_path / "skipped.fits")]) == 2
    assert "S_HIFRED is 'SKIPPED'" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path / "old.fits")]) == 2
    assert "has no extension IMAGES_X: fuse again" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def test_cubes_without_sky_coordinates_and_full_cubes(tmp_path):
    """Nothing but arrays is given, and the result is not of low rank."""
    from jwst_fusion.hifred.xray.counts import CountCube
    from jwst_fusion.simulation.xray import xray_pair
    from jwst_fusion.steps.hifred import HifredStep

    given = xray_pair("small", shape=(18, 15), fine=120, coarse=30, counts=(3e5, 3e5))
    cubes = [
        CountCube.from_arrays(given.x, given.edges_x, exposure=1.0, name="x"),
        CountCube.from_arrays(given.y, given.edges, exposure=1.0, name="y"),
    ]
    psf = fits.PrimaryHDU(given.psf_y.astype("f4"))
    psf.writeto(tmp_path / "psf.fits")
    HifredStep.call(
        cubes,
        psf=str(tmp_path / "psf.fits"),
        lsf_fwhm=21.0 * 2.3548,
        regularisation="wavelet_2d1d",
        kappa=1.0,
        max_iterations=60,
        save_report=True,
        save_results=True,
        output_dir=str(tmp_path),
    )
    text = (tmp_path / "fused_hifred_report.html").read_text(encoding="utf-8")
    assert "the solution did not converge" in text
    assert "The result is a full cube" in text
    assert "Mu or kappa was given" in text
    assert "RA " not in text
