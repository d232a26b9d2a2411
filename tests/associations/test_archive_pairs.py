"""Real files and records of the archive: paired, opened, or refused for the right reason."""

import csv
import gzip
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.associations.finder import find_associations
from jwst_fusion.associations.headers import read_headers
from jwst_fusion.bandpass.symmetric import SYMMETRIC_RANGES
from jwst_fusion.command import main as cli
from jwst_fusion.errors import NotFusableError
from jwst_fusion.products.observations import read_image
from jwst_fusion.products.open import open_model
from jwst_fusion.simulation.builtin_geometry import GRATINGS
from jwst_fusion.step import AdaptiveTraceModelStep

_CUBE = 1.7  # arcsec: half the field of the integral field unit
_ROOM = 10.0  # arcsec by which a mosaic goes beyond the cubes that the archive matched with it
_FIELD = 0.5  # degree: more than half a mosaic of NIRCam


def _region(ra, dec, half):
    east = half / 3600 / np.cos(np.radians(dec))
    corners = [(1, -1), (1, 1), (-1, 1), (-1, -1)]
    words = " ".join(f"{ra + i * east:.9f} {dec + j * half / 3600:.9f}" for i, j in corners)
    return f"POLYGON ICRS  {words}"


def _apart(one, other):
    """Distance of two records, degree, along the axis where it is larger."""
    (ra, dec), (east, north) = ((float(row["ra"]), float(row["dec"])) for row in (one, other))
    return max(abs(ra - east) * np.cos(np.radians(dec)), abs(dec - north))


def _write(path, primary, science):
    hdus = [
        fits.PrimaryHDU(header=fits.Header({"TELESCOP": "JWST", **primary})),
        fits.ImageHDU(header=fits.Header({"EXTNAME": "SCI", **science})),
    ]
    # only headers: nothing else is read
    path.write_bytes("".join(one.header.tostring() for one in hdus).encode())


@pytest.fixture(scope="module")
def real_data(data_dir):
    """Folder of real files and records of the archive."""
    if not (data_dir / "real").is_dir():
        pytest.skip(f"no folder real in {data_dir}")
    return data_dir / "real"


@pytest.fixture(scope="module")
def archive(tmp_path_factory, real_data):
    """Files with headers made of the records, and what the records say of each cube."""
    folder = tmp_path_factory.mktemp("archive")
    with (real_data / "syfu_archive_pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    matches = defaultdict(lambda: ([], []))
    for row in rows:
        matches[row["match"]][row["instrument"] == "NIRCAM/IMAGE"].append(row)
    expected = defaultdict(set)
    for cubes, images in matches.values():
        for cube in cubes:
            # Records without a name of the target are of several fields.
            near = {one["obs_id"] for one in images if _apart(one, cube) < _FIELD}
            expected[cube["obs_id"]] |= near
    places = {row["obs_id"]: (float(row["ra"]), float(row["dec"])) for row in rows}
    reach = defaultdict(float)
    by_name = {row["obs_id"]: row for row in rows}
    for name, images in expected.items():
        for image in images:
            away = 3600 * _apart(by_name[image], by_name[name])
            reach[image] = max(reach[image], away)
    for row in by_name.values():
        name, (ra, dec) = row["obs_id"], places[row["obs_id"]]
        common = {
            "PROGRAM": row["proposal"].split(".")[0].zfill(5),
            "TARGNAME": row["target"],
            "TARGTYPE": "FIXED",
        }
        if row["instrument"] == "NIRCAM/IMAGE":
            primary = {
                "INSTRUME": "NIRCAM",
                "EXP_TYPE": "NRC_IMAGE",
                "DATAMODL": "ImageModel",
                "FILTER": row["filters"],
                "PUPIL": "CLEAR",
                "S_RESAMP": "COMPLETE",
            }
            half, kind = reach[name] + _ROOM, "i2d"
            science = {}
        else:
            blocking, grating = row["filters"].split(";")
            low, high, step = GRATINGS[grating, blocking]
            primary = {
                "INSTRUME": "NIRSPEC",
                "EXP_TYPE": "NRS_IFU",
                "DATAMODL": "IFUCubeModel",
                "GRATING": grating,
                "FILTER": blocking,
            }
            science = {"CTYPE3": "WAVE", "CUNIT3": "um", "CRVAL3": low, "CRPIX3": 1.0}
            science |= {"CDELT3": step}
            half, kind = _CUBE, "s3d"
        length = 1 if kind == "i2d" else int((high - low) / step) + 1
        science = {"NAXIS3": length, **science} if kind == "s3d" else science
        science["S_REGION"] = _region(ra, dec, half)
        _write(folder / f"{name}_{kind}.fits", {**primary, **common}, science)
    return folder, expected, rows


def test_every_pair_of_the_archive_is_found(archive):
    folder, expected, rows = archive
    found = find_associations(folder)
    pairs = {
        re.sub("_s3d.fits$", "", match.science[0].path.name): {
            re.sub("_i2d.fits$", "", image.path.name) for image in match.images
        }
        for match in found.matches
    }
    filters = {row["obs_id"]: row["filters"] for row in rows}
    fusable = defaultdict(set)
    for one in SYMMETRIC_RANGES:
        fusable[f"{one.blocking_filter};{one.grating}"] |= set(one.filters)
    assert set(pairs) == set(expected)
    for name, images in expected.items():
        inside = {image for image in images if filters[image] in fusable[filters[name]]}
        assert inside
        assert inside <= pairs[name]
    # What the archive holds: mostly one filter, and mostly at long waves.
    images, counts = defaultdict(set), defaultdict(set)
    for row in rows:
        if row["instrument"] == "NIRCAM/IMAGE":
            images[row["match"]].add(row["filters"])
    for row in rows:
        if row["instrument"] == "NIRSPEC/IFU":
            counts[row["match"], row["filters"]] |= images[row["match"]] & fusable[row["filters"]]
    assert Counter(min(len(known), 3) for known in counts.values()) == {1: 244, 2: 62, 3: 26}
    single = Counter(setting for (_, setting), known in counts.items() if len(known) == 1)
    assert single.most_common(1) == [("F290LP;G395H", 158)]


def test_gzip_is_known_by_its_content(real_data, tmp_path):
    (path, *_) = sorted(real_data.glob("jw01288*_i2d.fits"))
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    primary, science = read_headers(path)
    assert primary["DATAMODL"] == "ImageModel"
    with open_model(path) as model:
        assert model.data.shape == (science["NAXIS2"], science["NAXIS1"])
    assert read_image(path).filter == primary["FILTER"]
    # And what is named so, but is not packed.
    plain = tmp_path / "plain_i2d.fits.gz"
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_headers(plain)[0]["FILTER"] == primary["FILTER"]


def test_coronagraphic_images_are_refused(real_data):
    (path,) = real_data.glob("*maskrnd*_i2d.fits")
    with pytest.raises(NotFusableError, match="coronagraphic mask MASKRND"):
        read_image(path)
    assert "coronagraphic mask MASKRND" in find_associations(path).left_out[path]


@pytest.mark.parametrize(
    ("pattern", "status", "reason"),
    [
        ("*_s2d.fits", "SKIPPED", "is rectified (S_RESAMP = COMPLETE)"),
        ("*_x1d.fits", "FAILED", "is of type MultiSpecModel"),
        ("*maskrnd*_i2d.fits", "FAILED", "is of type ImageModel"),
        ("*00001_nrs2_phot*.fits", "COMPLETE", ""),
    ],
)
def test_the_trace_step_takes_spectra_of_detectors_only(pattern, status, reason, real_data, caplog):
    (path,) = real_data.glob(pattern)
    result = AdaptiveTraceModelStep.call(str(path))
    assert result.meta.cal_step.adaptive_trace_model == status
    assert reason in caplog.text
    if status == "COMPLETE":
        again = AdaptiveTraceModelStep.call(result)
        assert "it has a trace model already (S_TRCMOD = COMPLETE)" in caplog.text
        np.testing.assert_array_equal(again.data, result.data)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("*_s2d.fits", "a rectified spectrum (s2d)"),
        ("*_x1d.fits", "extracted spectra (x1d)"),
        ("*maskrnd*_i2d.fits", "an image (i2d)"),
        ("*00001_nrs2_phot*.fits", "spectra without a trace model"),
    ],
)
def test_a_report_names_what_it_cannot_be_on(pattern, what, real_data, capsys):
    (path,) = real_data.glob(pattern)
    assert cli.main(["report", str(path)]) == 2
    assert f"is {what}: reports are on fused cubes" in capsys.readouterr().err


def test_an_unfused_cube_is_named_as_such(tmp_path, capsys):
    path = tmp_path / "x_s3d.fits"
    fits.PrimaryHDU(header=fits.Header({"DATAMODL": "IFUCubeModel"})).writeto(path)
    assert cli.main(["report", str(path)]) == 2
    assert "is a cube (s3d) that is not fused" in capsys.readouterr().err
