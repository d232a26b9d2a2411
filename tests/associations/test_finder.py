"""Which files are paired, which are left out, and why."""

import json

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.associations import collect_members
from jwst_fusion.associations.coverage import judge_filter, ranges_of_exposure
from jwst_fusion.associations.finder import find_associations, write_findings
from jwst_fusion.associations.footprint import Footprint, footprint_of
from jwst_fusion.associations.headers import read_headers

RA, DEC = 83.8, -5.4
MODELS = {"cal": "IFUImageModel", "s3d": "IFUCubeModel", "i2d": "ImageModel"}


def square(ra, dec, side):
    """S_REGION of a square, side in arcsec."""
    half = side / 7200
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
    text = " ".join(f"{ra + e / np.cos(np.radians(dec)):.9f} {dec + n:.9f}" for e, n in corners)
    return f"POLYGON ICRS  {text}"


def write(folder, name, *, ra=RA, dec=DEC, side=None, region=True, wave=None, **keywords):
    """Write a file that has the headers of a product and hardly any data."""
    kind = name.removesuffix(".fits").rsplit("_", 1)[-1]
    image = kind == "i2d"
    primary = {
        "TELESCOP": "JWST",
        "DATAMODL": MODELS.get(kind, "IFUImageModel"),
        "INSTRUME": "NIRCAM" if image else "NIRSPEC",
        "EXP_TYPE": "NRC_IMAGE" if image else "NRS_IFU",
        "FILTER": "F210M" if image else "F170LP",
        "PROGRAM": "01234",
        "OBSERVTN": "001",
        "TARGNAME": "D203",
        "TARGTYPE": "FIXED",
    }
    primary |= {"PUPIL": "CLEAR", "S_RESAMP": "COMPLETE"} if image else {}
    primary |= {} if image else {"GRATING": "G235H", "DETECTOR": "NRS1"}
    primary |= {key.upper().replace("__", "-"): value for key, value in keywords.items()}
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((4, 2, 2), "f4"), name="SCI")])
    hdus[0].header.update({key: value for key, value in primary.items() if value is not None})
    if region:
        hdus[1].header["S_REGION"] = square(ra, dec, side or (130 if image else 3.5))
    if wave:
        low, high = wave
        hdus[1].header.update(
            {"CTYPE3": "WAVE", "CRVAL3": low, "CRPIX3": 0.5, "CDELT3": (high - low) / 4}
        )
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    hdus.writeto(folder / name)
    return folder / name


def found(folder, **options):
    findings = find_associations(folder, **options)
    matches = {
        match.name: ([one.path.name for one in match.science], [one.filter for one in match.images])
        for match in findings.matches
    }
    return matches, {path.name: reason for path, reason in findings.left_out.items()}, findings


def test_cubes_and_exposures_are_paired_with_images(tmp_path):
    write(tmp_path, "a/jw01234-o001_t001_nirspec_g235h-f170lp_s3d.fits", wave=(1.66, 2.36))
    for number in (1, 2):
        write(tmp_path, f"a/jw01234001001_03101_0000{number}_nrs1_cal.fits")
    write(tmp_path, "b/x_f210m_i2d.fits")
    write(tmp_path, "b/x_f277w_i2d.fits", filter="F277W")
    write(tmp_path, "b/far_f182m_i2d.fits", filter="F182M", ra=RA + 1)
    write(tmp_path, "b/miri_i2d.fits", instrume="MIRI", exp_type="MIR_IMAGE", filter="F770W")
    matches, left_out, findings = found([tmp_path / "a", tmp_path / "b"])
    cube = "jw01234-o001_t001_nirspec_g235h-f170lp"
    assert matches[cube] == ([f"{cube}_s3d.fits"], ["F210M"])
    assert matches["jw01234-o001_d203_nirspec"][1] == ["F210M"]
    assert len(matches["jw01234-o001_d203_nirspec"][0]) == 2
    assert "F277W lies outside" in left_out["x_f277w_i2d.fits"]
    assert "59.7 arcmin away" in left_out["far_f182m_i2d.fits"]
    assert "no MRS data" in left_out["miri_i2d.fits"]

    out = tmp_path / "c"
    for path in write_findings(findings, out):
        members = collect_members(path)
        assert len(members.images) == 1
        assert (len(members.exposures), len(members.cubes)) in ((2, 0), (0, 1))
        table = json.loads(path.read_text())
        assert (table["program"], table["target"]) == ("01234", "D203")


def test_what_is_no_input_is_left_out_with_the_reason(tmp_path):
    cases = {
        "jw01234001001_03101_00001_nrs1_crf.fits": ({}, "not a calibrated exposure"),
        "jw01234001001_03101_00001_nrs1_s3d.fits": ({"wave": (1.66, 2.36)}, "cube of one exposure"),
        "fused_s3d.fits": ({"S_FUSION": "COMPLETE"}, "made by the fusion"),
        "nrs_cal.fits": ({"exp_type": "NRS_MSASPEC"}, "NRS_MSASPEC: neither"),
        "other_cal.fits": ({"telescop": None}, "not a JWST product"),
        "unresampled_i2d.fits": ({"s_resamp": None}, "not resampled"),
        "nowhere_i2d.fits": ({"region": False}, "place on the sky is unknown"),
        "nogrism_cal.fits": ({"filter": "OPAQUE"}, "wavelengths unknown"),
        "nofilter_i2d.fits": ({"filter": "WLP4"}, "no filter of an imager"),
    }
    for name, (keywords, _) in cases.items():
        write(tmp_path, name, **keywords)
    (tmp_path / "junk_i2d.fits").write_bytes(b"junk" * 100)
    torn = write(tmp_path, "torn_i2d.fits")
    torn.write_bytes(torn.read_bytes()[:2000])
    (tmp_path / ".123.part_i2d.fits").write_bytes(b"being written")
    matches, left_out, _ = found(tmp_path)
    assert not matches
    for name, (_, reason) in cases.items():
        assert reason in left_out[name], name
    assert "truncated or not FITS" in left_out["junk_i2d.fits"]
    assert "truncated or not FITS" in left_out["torn_i2d.fits"]
    assert ".123.part_i2d.fits" not in left_out


def test_copies_count_once(tmp_path):
    first = write(tmp_path, "a/x_f210m_i2d.fits")
    cal = write(tmp_path, "a/jw01234001001_03101_00001_nrs1_cal.fits")
    copies = [tmp_path / "b" / path.name for path in (first, cal)]
    copies[0].parent.mkdir()
    for path, copy in zip((first, cal), copies, strict=True):
        copy.write_bytes(path.read_bytes())
    matches, _, findings = found(tmp_path)
    assert list(matches.values()) == [([cal.name], ["F210M"])]
    assert list(findings.left_out) == sorted(copies)
    assert findings.left_out[copies[0]] == f"has the name of {first}, which is used"


def test_moving_targets_are_paired_by_name(tmp_path):
    moving = {"targtype": "MOVING", "targname": "Titan"}
    for number, ra in ((1, RA), (2, RA + 0.1)):
        write(tmp_path, f"jw01234001001_03101_0000{number}_nrs1_cal.fits", ra=ra, **moving)
    write(tmp_path, "a_i2d.fits", ra=RA + 3, **{**moving, "targname": "TITAN"}, program="04321")
    write(tmp_path, "b_i2d.fits", **{**moving, "targname": "Enceladus"})
    write(tmp_path, "c_i2d.fits")
    matches, left_out, _ = found(tmp_path)
    ((science, filters),) = matches.values()
    assert (len(science), filters) == (2, ["F210M"])
    assert left_out["b_i2d.fits"] == "moving target ENCELADUS: no spectra of it are here"
    assert "no NIRSpec data of a fixed target" in left_out["c_i2d.fits"]


def test_fields_that_do_not_touch_are_apart_and_mosaics_preferred(tmp_path):
    for number, ra in enumerate((RA, RA + 2 / 3600, RA + 20 / 3600), 1):
        write(tmp_path, f"jw01234001001_03101_0000{number}_nrs1_cal.fits", ra=ra)
    write(tmp_path, "mosaic_i2d.fits", side=20)
    write(tmp_path, "jw01234001001_02101_00001_nrcb1_i2d.fits", side=200)
    matches, left_out, _ = found(tmp_path)
    assert sorted(len(science) for science, _ in matches.values()) == [1, 2]
    assert len(matches) == 2
    # the mosaic does not reach the second field, where the single image serves
    assert left_out == {}
    images = {len(science): filters for science, filters in matches.values()}
    assert images == {2: ["F210M"], 1: ["F210M"]}


def test_partial_overlap_is_noted(tmp_path):
    write(tmp_path, "jw01234-o001_g_s3d.fits", wave=(1.66, 2.36))
    write(tmp_path, "x_i2d.fits", side=4, ra=RA + 2.0 / 3600)
    _, _, findings = found(tmp_path)
    (match,) = findings.matches
    share = float(match.notes[0].split("covers ")[1].split(" %")[0])
    # squares of 3.5 and 4 arcsec, 2 arcsec apart in RA
    assert share == pytest.approx(100 * (1.75 / 3.5), abs=4)


@pytest.mark.parametrize(
    ("pair", "expected", "refused"),
    [
        (("G140H", "F070LP"), ["F115W"], "F182M"),
        (("G140H", "F100LP"), ["F115W", "F162M", "F164N"], "F140M"),
        (("G235H", "F170LP"), ["F182M", "F187N", "F200W", "F210M", "F212N"], "F250M"),
        (
            ("G395H", "F290LP"),
            ["F300M", "F323N", "F335M", "F356W", "F360M", "F460M", "F466N", "F470N"],
            "F410M",
        ),
    ],
)
def test_filters_of_the_published_table(pair, expected, refused):
    header = {"INSTRUME": "NIRSPEC", "GRATING": pair[0], "FILTER": pair[1]}
    ranges = tuple(ranges_of_exposure(header))
    for name in expected:
        assert judge_filter(name, "NIRCAM", ranges, gratings=(pair,))[0], name
    assert not judge_filter(refused, "NIRCAM", ranges, gratings=(pair,))[0]
    # F300M is in the table although the cube does not cover all of it
    if pair[0] == "G395H":
        assert "--min_coverage=" in judge_filter("F300M", "NIRCAM", ranges, gratings=(pair,))[1]


def test_one_detector_has_one_side_of_the_gap():
    header = {"INSTRUME": "NIRSPEC", "GRATING": "G235H", "FILTER": "F170LP"}
    sides = [tuple(ranges_of_exposure({**header, "DETECTOR": name})) for name in ("NRS1", "NRS2")]
    assert judge_filter("F210M", "NIRCAM", sides[0])[0]
    assert not judge_filter("F210M", "NIRCAM", sides[1])[0]


def test_filters_of_the_miri_imager():
    header = {"INSTRUME": "MIRI", "CHANNEL": "12", "BAND": "SHORT"}
    assert ranges_of_exposure(header) == [(4.90, 5.74), (7.51, 8.77)]
    bands = [ranges_of_exposure({**header, "BAND": name}) for name in ("SHORT", "MEDIUM", "LONG")]
    ranges = tuple(one for band in bands for one in band)
    usable, note = judge_filter("F1000W", "MIRI", ranges)
    assert usable
    assert "output_type" in note
    usable, note = judge_filter("F2100W", "MIRI", ranges)
    assert not usable
    assert "output_type" not in note
    # one band covers a part of it: there may be others
    usable, note = judge_filter("F1000W", "MIRI", ((8.67, 10.13),))
    assert not usable
    assert "output_type=channel" in note


@pytest.mark.parametrize("dec", [0.0, -60.0, 89.9, -89.99])
@pytest.mark.parametrize("ra", [0.0, 359.9999, 180.0])
def test_footprints_anywhere_on_the_sky(ra, dec):
    def shifted(north):
        # squares of 4 arcsec, built on the tangent plane so that poles do not matter
        from astropy.coordinates import SkyCoord

        middle = SkyCoord(ra, dec, unit="deg").skyoffset_frame()
        east = np.array([-2, 2, 2, -2]) / 3600
        up = (np.array([-2, -2, 2, 2]) + north) / 3600
        sky = SkyCoord(east, up, unit="deg", frame=middle).icrs
        return Footprint([np.stack([sky.ra.deg, sky.dec.deg], axis=1)])

    assert shifted(0).share_within(shifted(0)) > 0.95
    assert shifted(0).share_within(shifted(2)) == pytest.approx(0.5, abs=0.06)
    assert shifted(0).share_within(shifted(5)) == 0


def test_concave_and_several_polygons():
    corner = "0 0 0.002 0 0.002 0.001 0.001 0.001 0.001 0.002 0 0.002"
    header = fits.Header({"S_REGION": f"POLYGON ICRS {corner}"})
    notch = fits.Header({"S_REGION": square(0.0016, 0.0016, 1.0)})
    assert footprint_of(notch).share_within(footprint_of(header)) == 0
    inside = fits.Header({"S_REGION": square(0.0005, 0.0016, 1.0)})
    assert footprint_of(inside).share_within(footprint_of(header)) == 1
    both = fits.Header({"S_REGION": f"{square(1, 1, 4)} {square(1.01, 1, 4)}"})
    assert (
        footprint_of(fits.Header({"S_REGION": square(1.01, 1, 1)})).share_within(footprint_of(both))
        == 1
    )
    round_one = footprint_of(fits.Header({"S_REGION": "CIRCLE ICRS 10 20 0.001"}))
    assert footprint_of(fits.Header({"S_REGION": square(10, 20, 1)})).share_within(round_one) == 1
    assert footprint_of(fits.Header()) is None


def test_headers_are_those_that_astropy_reads(tmp_path):
    path = write(tmp_path, "jw01234-o001_g_s3d.fits", wave=(1.66, 2.36))
    primary, science = read_headers(path)
    with fits.open(path) as hdus:
        assert primary.tostring() == hdus[0].header.tostring()
        assert science.tostring() == hdus[1].header.tostring()
        hdus.writeto(tmp_path / "a.fits.gz")
    assert read_headers(tmp_path / "a.fits.gz")[1]["CRVAL3"] == 1.66
