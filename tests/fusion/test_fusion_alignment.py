"""Images that the WCS does not bring onto the cube: large offsets, moving targets."""

import numpy as np
import pytest
from astropy import units as u
from stpipe import Step

from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.steps.fusion import FusionStep

FILTERS = ("F182M", "F210M")
WAVE = np.linspace(1.66, 2.30, 33)
# Where the image's header puts the scene, arcsec to the East and North, by filter.
WRONG = {"F182M": (0.61, 0.33), "F210M": (-1.02, 0.94)}


@pytest.fixture
def shifted(products, scene):
    """Cube and images whose coordinates are wrong."""

    def make(wrong=WRONG, **options):
        cube = products.cube(scene, WAVE, shape=(13, 14), **options)
        images = [products.image(scene, name, shape=(150, 154)) for name in wrong]
        for image, (east, north) in zip(images, wrong.values(), strict=True):
            info = image.meta.wcsinfo
            info.crval1 += east / 3600 / np.cos(np.deg2rad(scene.dec))
            info.crval2 += north / 3600
        return [cube, *images]

    return make


@pytest.mark.parametrize("options", [{}, {"mirrored": True}, {"pa": 37.0}], ids=str)
def test_large_offsets_are_found(scene, shifted, quick_fusion, quality_of, options):
    given = shifted(**options)
    result = quick_fusion(given, alignment="measured")
    assert quality_of(result, scene) > 44
    table = result.filter_table
    # The offset is that of the image along x and y of the product.
    grid = read_cube(given[0]).grid
    x0, y0 = grid.pixels(grid.centre)
    for row, (east, north) in zip(table, WRONG.values(), strict=True):
        sky = grid.centre.spherical_offsets_by(east * u.arcsec, north * u.arcsec)
        x, y = grid.pixels(sky)
        expected = (x - x0) * 0.1, (y - y0) * 0.1
        assert (row["offset_x"], row["offset_y"]) == pytest.approx(expected, abs=0.05 * 0.1 / 3)
        assert (row["applied_x"], row["applied_y"]) == (row["offset_x"], row["offset_y"])
        assert row["offset_error"] < 2e-3


def test_large_offsets_are_found_with_other_psfs(shifted, quick_fusion, other_psfs):
    given = shifted()
    table = quick_fusion(given, alignment="measured", **other_psfs).filter_table
    found = np.hypot(table["applied_x"], table["applied_y"])
    assert found == pytest.approx([np.hypot(*one) for one in WRONG.values()], abs=3e-3)


def test_offsets_that_are_measured_can_be_given(scene, shifted, quick_fusion, quality_of, caplog):
    given = shifted(mirrored=True)
    table = quick_fusion(given, alignment="measured").filter_table
    offsets = [f"{r['filter']}:{r['offset_x']:.4f}:{r['offset_y']:.4f}" for r in table]
    result = quick_fusion(given, offsets=offsets, alignment="wcs")
    assert quality_of(result, scene) > 44
    assert result.meta.fusion.registration == "wcs"
    for name in ("offset", "applied"):
        for axis in "xy":
            known = pytest.approx(table[f"offset_{axis}"], abs=2e-3)
            assert result.filter_table[f"{name}_{axis}"] == known
    quick_fusion(given, offsets=[*offsets, "F187N:0:0"])
    assert "offsets names F187N, of which no image is used" in caplog.text


def test_an_offset_beyond_the_search_is_not_taken_for_another(shifted, quick_fusion, caplog):
    given = shifted({"F182M": (0.61, 0.33), "F210M": (0.0, 0.0)})
    result = quick_fusion(given, alignment="measured", search=0.4)
    assert "its offset cannot be measured" in caplog.text
    table = result.filter_table
    assert np.isnan(table["offset_error"]).tolist() == [True, False]
    assert table["applied_x"][0] == table["offset_x"][0] == 0


def test_offset_that_is_not_applied_is_warned_of(shifted, quick_fusion, caplog):
    result = quick_fusion(shifted(), alignment="wcs")
    assert result.meta.fusion.registration == "wcs"
    assert caplog.text.count("consider alignment = measured") == 2
    assert np.hypot(result.filter_table["offset_x"][1], result.filter_table["offset_y"][1]) > 1.3
    assert not result.filter_table["applied_x"].any()


def test_field_without_features_is_not_measured(products, scene, quick_fusion, caplog):
    scene.sources = ((0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 2.0),)
    given = [products.cube(scene, WAVE, shape=(13, 14)), products.image(scene, "F210M")]
    result = quick_fusion(given, alignment="measured", rank=1)
    assert "its offset cannot be measured" in caplog.text
    assert np.isnan(result.filter_table["offset_error"]).all()
    assert not result.filter_table["applied_x"].any()


@pytest.fixture
def moving(products, scene):
    """A target that is elsewhere, and not quite where its ephemeris says, in every image."""
    cube = products.cube(scene, WAVE, shape=(13, 14))
    members = [cube]
    places = [(scene.ra + 0.021, scene.dec - 0.013), (scene.ra - 0.4, scene.dec + 0.3)]
    for name, (ra, dec), (east, north) in zip(FILTERS, places, WRONG.values(), strict=True):
        there = products.scene(ra=ra, dec=dec)
        image = products.image(there, name, shape=(150, 154))
        image.meta.wcsinfo.mt_avra = ra + east / 3600
        image.meta.wcsinfo.mt_avdec = dec + north / 3600
        members.append(image)
    cube.meta.wcsinfo.mt_ra, cube.meta.wcsinfo.mt_dec = scene.ra, scene.dec
    for model in members:
        model.meta.target.type = "MOVING"
    return members


def test_moving_target(scene, moving, quick_fusion, quality_of):
    result = quick_fusion(moving)
    assert result.meta.fusion.registration == "measured"
    assert result.filter_table["filter"].tolist() == list(FILTERS)
    assert quality_of(result, scene) > 44
    # By the ephemeris alone the images do not fit.
    assert quality_of(quick_fusion(moving, alignment="wcs"), scene) < 30


def test_moving_target_by_target_coordinates(scene, moving, quick_fusion, quality_of):
    for model in moving[1:]:
        info, target = model.meta.wcsinfo, model.meta.target
        target.ra, target.dec = info.mt_avra, info.mt_avdec
        info.mt_avra = info.mt_avdec = None
    assert quality_of(quick_fusion(moving), scene) > 44


def test_image_that_does_not_know_its_target_is_warned_of(moving, quick_fusion, caplog):
    moving[1].meta.wcsinfo.mt_avra = None
    result = quick_fusion(moving)
    assert "does not say where its target is" in caplog.text
    assert "does not overlap with the cube" in caplog.text
    assert result.filter_table["filter"].tolist() == ["F210M"]


def test_image_moved_off_the_field_is_not_used(shifted, quick_fusion, caplog):
    given = shifted({"F182M": (0.0, 0.0), "F210M": (5.6, 0.0)})
    result = quick_fusion(given, alignment="measured", search=4.0)
    assert result.meta.cal_step.fusion == "COMPLETE"
    assert result.filter_table["filter"].tolist() == ["F182M"]
    assert "F210M) is not used: it has no data on the field" in caplog.text
    assert quick_fusion(
        [given[0], given[2]], alignment="measured", search=4.0
    ).meta.cal_step.fusion == ("SKIPPED")


def test_reach_and_offsets_choose_what_is_read(products, scene):
    image = products.image(scene, "F210M", shape=(300, 310))
    grid = read_cube(products.cube(scene, WAVE, shape=(13, 14))).grid
    plain = read_image(image, grid=grid)
    wide = read_image(image, grid=grid, reach=0.624)
    assert [b - a for a, b in zip(plain.data.shape, wide.data.shape, strict=True)] == [40, 40]
    aside = read_image(image, grid=grid, offsets={"F210M": (1.0, 0.0)})
    moved = grid.shifted(10.0, 0.0).centre.separation(aside.grid.centre).arcsec
    assert moved < 0.1
    assert read_image(image, grid=grid, offsets={"F182M": (1.0, 0.0)}).data.shape == (
        plain.data.shape
    )


def test_offsets_from_the_command_line(monkeypatch):
    seen = []
    monkeypatch.setattr(FusionStep, "process", lambda step, _: seen.append(step))
    words = ["--offsets=F182M:0.01:-0.02,f210m:-1:2e-3"]
    Step.from_cmdline(["jwst_fusion.steps.fusion.FusionStep", "x.fits", *words])
    assert seen[0].offsets == ["F182M:0.01:-0.02", "f210m:-1:2e-3"]
    assert FusionOptions.from_step(seen[0]).offsets == ("F182M:0.01:-0.02", "f210m:-1:2e-3")


@pytest.mark.parametrize(
    "offsets",
    [["F182M"], ["F182M:1"], ["F182M:a:b"], ["F182M:nan:0"], ["F18:0:0"], ["F182M:0:0"] * 2],
    ids=str,
)
def test_offsets_are_checked(offsets):
    with pytest.raises(ValueError, match="offsets"):
        FusionOptions(offsets=offsets)
