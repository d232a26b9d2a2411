"""Input that is damaged, wrong or hostile in known ways: what is said of it, and what is made."""

import gzip
import json
import logging
import shutil
from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits
from small_inputs import CASES, edited_association, quiet, run_pipeline

from jwst_fusion.hifred.solver.checkpoint import read_checkpoint
from jwst_fusion.psf import read_psf
from jwst_fusion.simulation import crds_offline


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Cases, made when they are asked for."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = quiet(CASES[name], tmp_path_factory.mktemp(name))
        return made[name]

    with crds_offline(tmp_path_factory.mktemp("crds")):
        yield get


@pytest.fixture
def case(cases, tmp_path):
    """A copy of the files of a fusion, and an empty folder for its products."""
    made = cases("fusion")
    return copied(made, tmp_path)


def copied(made, folder):
    data, output = folder / "data", folder / "output"
    shutil.copytree(made.folder, data)
    output.mkdir()
    return made, data, output


def edit(path, change, *, keep=False):
    """Change the extensions of a file; the ASDF extension, which would say otherwise, goes."""
    with fits.open(path, memmap=False) as hdus:
        if not keep and "ASDF" in hdus:
            del hdus["ASDF"]
        change(hdus)
        hdus.writeto(path, overwrite=True)


def refused(case, words):
    made, data, output = case
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        quiet(made.run, data, output)
    assert "\n" not in str(caught.value)
    assert not list(output.iterdir())


def cut_after(path, name):
    """Cut a file at the end of an extension."""
    with fits.open(path, memmap=False) as hdus:
        info = hdus[name].fileinfo()
    path.write_bytes(path.read_bytes()[: info["datLoc"] + info["datSpan"]])


@pytest.mark.parametrize("name", ["a_s3d.fits", "b_i2d.fits", "psf_cube.fits"])
@pytest.mark.parametrize("how", ["half", "extension", "gzip", "flipped"])
def test_damaged_members_are_refused(case, name, how):
    _, data, _ = case
    path = data / name
    if how == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])
    elif how == "extension":
        cut_after(path, "PSF" if "psf" in name else "SCI")
    elif how == "gzip":
        packed = gzip.compress(path.read_bytes())
        path.write_bytes(packed[: int(0.7 * len(packed))])
    else:
        edit(path, lambda hdus: [hdu.add_checksum() for hdu in hdus], keep=True)
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(bytes(content))
    refused(case, rf"{name}.*(truncated|damaged|wavelengths|not a readable)")


@pytest.mark.parametrize("name", ["trace", "hifred", "counts"])
def test_damaged_input_of_other_steps_is_refused(cases, name, tmp_path):
    made, data, output = copied(cases(name), tmp_path)
    used = [n for n in made.files if n.endswith((".fits", ".rmf", ".arf")) and "truth" not in n]
    for file in used:
        whole = (data / file).read_bytes()
        (data / file).write_bytes(whole[: len(whole) // 2 + 99])
        refused((made, data, output), f"{file}.*truncated")
        (data / file).write_bytes(whole)


def set_key(extension, **values):
    return lambda hdus: hdus[extension].header.update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_key("SCI", CDELT1=0.0), "singular.*correct the keywords"),
        (set_key("SCI", CDELT1=1e-12), "which show no area of the sky: correct CDELT1"),
        (set_key("SCI", CRVAL2=95.0), "has CRVAL2 = 95.0: declinations reach 90"),
        (set_key("SCI", CTYPE1="RA---XYZ", CTYPE2="DEC--XYZ"), "projection.*correct the keywords"),
        (set_key("SCI", CUNIT1="parsec"), "CUNIT1.*correct the keywords"),
        (set_key("SCI", CRVAL1="abc"), "does not say CRVAL1, or not as a number"),
        (set_key(0, DATAMODL="nonsense"), "names no data model of jwst"),
        (set_key(0, DATAMODL="MultiSlitModel"), "MultiSlitModel"),
        (set_key("SCI", BUNIT=5.0), "BUNIT|unit"),
        (set_key("SCI", RADESYS="FK4"), "RADESYS = FK4: coordinates are needed in ICRS or FK5"),
        (set_key("SCI", RADESYS="FK5", EQUINOX=1975.0), "EQUINOX = 1975.0: coordinates are"),
        (set_key("SCI", LONPOLE=90.0), "LONPOLE = 90.0: a pole at 180 degrees is needed"),
    ],
)
@pytest.mark.parametrize("name", ["a_s3d.fits", "b_i2d.fits"])
def test_headers_that_cannot_be_used(case, name, change, words):
    edit(case[1] / name, change)
    refused(case, rf"{name}.*({words})")


NAMES = ["/tmp/evil", "../evil", "a/../../evil", "x\ny", "x\0y", "é", "n" * 300, 5, "", ".."]


@pytest.mark.parametrize(("run", "names"), [(None, NAMES), (run_pipeline, NAMES[:2])])
def test_names_of_products_are_plain(case, run, names):
    made, data, output = case
    for name in names:
        path = data / "fusion_asn.json"
        edited_association(path, lambda table, name=name: table["products"][0].update(name=name))
        with pytest.raises(ValueError, match=r"fusion_asn\.json: the product name"):
            quiet(run or made.run, data, output)
    assert not list(output.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (5, "expname is 5"),
        (None, "expname is None"),
        (["a"], "expname is"),
        ("folder", "is a folder"),
        ("http://x.org/y_s3d.fits", "download it"),
        ("x\ny", "printable ASCII"),
        ("n" * 400, "400 characters"),
        ("..\\data\\a_s3d.fits", "holds a backslash: write folders with /"),
        ("absent_s3d.fits", "does not exist"),
    ],
)
def test_names_of_members_are_files(case, name, words):
    (case[1] / "folder").mkdir()
    path = case[1] / "fusion_asn.json"
    edited_association(path, lambda t: t["products"][0]["members"][0].update(expname=name))
    refused(case, rf"fusion_asn\.json.*{words}")


def test_associations_that_are_none(case):
    path = case[1] / "fusion_asn.json"
    for text in ("[" * 200_000, "{", "[]", "5", '{"products": 3}', '{"products": [{}]}', "\x00"):
        path.write_text(text)
        refused(case, r"fusion_asn\.json is not an association")


def test_links_out_of_the_folder_are_followed_and_told(case, caplog):
    made, data, output = case
    outside = data.parent / "elsewhere_s3d.fits"
    (data / "a_s3d.fits").rename(outside)
    (data / "a_s3d.fits").symlink_to(outside)
    caplog.set_level(logging.INFO)
    product, _ = made.run(data, output)
    assert product.meta.cal_step.fusion == "COMPLETE"
    assert "is a link to" in caplog.text


def repeated(data, factor=1.0):
    """A second image through the filter; the same if the factor is one."""
    shutil.copy(data / "b_i2d.fits", data / "c_i2d.fits")
    if factor != 1:
        edit(data / "c_i2d.fits", lambda hdus: setattr(hdus["SCI"], "data", factor * hdus[1].data))

    def add(table):
        members = table["products"][0]["members"]
        members.append({**members[1], "expname": "c_i2d.fits"})

    edited_association(data / "fusion_asn.json", add)


def listed_twice(data):
    def add(table):
        table["products"][0]["members"].append(dict(table["products"][0]["members"][1]))

    edited_association(data / "fusion_asn.json", add)


def scaled(extension, factor, part=slice(None)):
    def change(hdus):
        hdus[extension].data[part] *= factor

    return lambda data: edit(data / "a_s3d.fits", change)


def flags(values):
    """Write flags of another type, or none."""

    def change(hdus):
        if values is None:
            del hdus["DQ"]
        else:
            hdus["DQ"].data = np.full(hdus["DQ"].data.shape, values)

    return change


def test_flags_that_are_none(cases, tmp_path):
    for name, file in (("fusion", "a_s3d.fits"), ("hifred", "fine_s3d.fits")):
        made, data, output = copied(cases(name), tmp_path / name)
        for values in (np.float32(np.nan), 0.5, -1.0):
            edit(data / file, flags(values))
            refused((made, data, output), rf"{file}.*DQ holds values that are no flags")
    made, data, output = copied(cases("trace"), tmp_path / "trace")
    edit(data / "slit_cal.fits", flags(0.5), keep=True)
    refused((made, data, output), r"slit_cal.fits.*DQ holds values that are no flags")


def test_metadata_that_are_no_numbers(cases, tmp_path, caplog):
    """ASDF holds NaN, which no header can: what is copied into products must not fail there."""
    made, data, output = copied(cases("trace"), tmp_path)
    path = data / "slit_cal.fits"
    content = path.read_bytes()
    start = content.index(b"roll_ref")
    end = content.index(b"\n", start)
    path.write_bytes(content[:start] + b"roll_ref: .nan".ljust(end - start) + content[end:])
    product, _ = made.run(data, output)
    assert product.meta.cal_step.adaptive_trace_model == "COMPLETE"
    assert product.meta.wcsinfo.roll_ref is None
    assert "metadata that are no finite numbers are not used: meta.wcsinfo.roll_ref" in caplog.text


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("hifred", "sharp_s3d.fits", "fine_s3d.fits"),
        ("counts", "remnant_x_counts.fits", "remnant_y_counts.fits"),
    ],
)
def test_one_cube_given_twice_is_refused(cases, tmp_path, name, first, second):
    made, data, output = copied(cases(name), tmp_path)
    shutil.copy(data / first, data / second)
    refused((made, data, output), f"{first} and {second} hold the same (data|counts): give ")


def test_one_of_several_responses_is_named_alone(cases, tmp_path):
    made, data, output = copied(cases("counts"), tmp_path)
    edit(data / "remnant_x.arf", set_key("SPECRESP", EXPOSURE=True))
    with pytest.raises(ValueError, match=r"remnant_x\.arf has EXPOSURE = True") as caught:
        quiet(made.run, data, output)
    assert "remnant_y" not in str(caught.value)


@pytest.mark.parametrize(("name", "file"), [("fusion", "psf_cube"), ("counts", "remnant_y_psf")])
@pytest.mark.parametrize("pixel", [1e-9, 1e9])
def test_psfs_of_pixels_that_no_telescope_has(cases, tmp_path, name, file, pixel):
    made, data, output = copied(cases(name), tmp_path)
    edit(data / f"{file}.fits", set_key("PSF" if name == "fusion" else 0, PIXELSCL=pixel))
    refused((made, data, output), rf"{file}\.fits has pixels of .* arcsec")


def without(key):
    return lambda data: edit(data / "a_s3d.fits", lambda hdus: hdus[0].header.remove(key))


def in_mjy(data):
    """Write the data per pixel, in a unit that does not say so."""

    def change(hdus):
        for name in ("SCI", "ERR"):
            hdus[name].data *= hdus["SCI"].header["PIXAR_SR"]
        hdus["SCI"].header["BUNIT"] = "MJy"

    edit(data / "a_s3d.fits", change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (listed_twice, "b_i2d.fits is listed twice: it is used once"),
        (repeated, "c_i2d.fits (F182M) holds the same data as b_i2d.fits: it is used once"),
        (lambda data: repeated(data, 2.0), "c_i2d.fits is 2.00 times as bright as b_i2d.fits"),
        (scaled("ERR", 1e-10, 4), "132 pixels whose errors are less than 0.001 of the median"),
        (scaled("ERR", 1000), "times the scatter of neighbouring pixels"),
        (scaled("ERR", 1e-3), "times the scatter of neighbouring pixels"),
        (without("INSTRUME"), "does not say its instrument (keyword INSTRUME)"),
        (lambda data: edit(data / "a_s3d.fits", flags(None)), "has no flags (extension DQ)"),
        (in_mjy, "is in MJy (keyword BUNIT), which is taken to be per pixel"),
    ],
)
def test_what_is_odd_is_told(case, change, words, caplog):
    made, data, output = case
    change(data)
    product, _ = made.run(data, output)
    assert product.meta.cal_step.fusion == "COMPLETE"
    assert words in caplog.text
    # one image, however often it was given
    assert len(product.filter_table) == (2 if "bright" in words else 1)
    assert np.nanmax(np.abs(product.data[product.dq == 0])) < 1e6


@pytest.mark.parametrize("name", ["a_s3d.fits", "b_i2d.fits"])
def test_constant_data_hold_no_observation(case, name, caplog):
    made, data, output = case
    edit(data / name, lambda hdus: hdus["SCI"].data.fill(5))
    product, _ = made.run(data, output)
    assert product.meta.cal_step.fusion == "SKIPPED"
    assert f"{name} has the value 5 in all good pixels" in caplog.text


def test_bombs_and_pickles(tmp_path):
    path = tmp_path / "a.asdf"
    path.write_text(
        "#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n"
        "--- !core/asdf-1.1.0\n"
        "psf: !core/ndarray-1.0.0 {data: [1.0], datatype: float64, shape: [1]}\n"
        "wavelength: !!python/object/apply:os.system ['true']\npixel_scale: 0.1\n...\n"
    )
    with pytest.raises(ValueError, match=r"a\.asdf is not a readable ASDF file"):
        read_psf(path)
    path.write_text("#ASDF 1.0.0\n%YAML 1.1\n---\n" + "psf: " + "[" * 5000 + "]" * 5000 + "\n...\n")
    with pytest.raises(ValueError, match=r"a\.asdf"):
        read_psf(path)
    lines = [f"{new}: &{new} [{','.join(['*' + old] * 10)}]" for old, new in pairwise("abcdefghij")]
    path.write_text(
        "#ASDF 1.0.0\n%YAML 1.1\n---\na: &a [x, y]\n" + "\n".join(lines) + "\npsf: *j\n...\n"
    )
    with pytest.raises(ValueError, match=r"a\.asdf is not .*refers to itself"):
        read_psf(path)
    archive = tmp_path / "a.npz"
    np.savez(archive, version=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npz is not a checkpoint"):
        read_checkpoint(archive)


def test_json_of_the_cases_is_what_jwst_reads(cases):
    table = json.loads((cases("fusion").folder / "fusion_asn.json").read_text())
    assert [one["exptype"] for one in table["products"][0]["members"]] == [
        "science",
        "direct_image",
    ]
