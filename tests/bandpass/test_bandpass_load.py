import logging

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.bandpass import (
    NIRCAM_FILTERS,
    Bandpass,
    load_bandpass,
    nominal_bandpass,
    read_bandpass,
)
from jwst_fusion.bandpass import load as load_module

WAVELENGTH = np.linspace(1.7, 2.0, 31)
THROUGHPUT = np.clip(0.4 - 8.0 * (WAVELENGTH - 1.85) ** 2 / 0.4, 0.0, None)


@pytest.fixture
def no_stpsf(tmp_path, monkeypatch):
    monkeypatch.setenv("STPSF_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(load_module, "_reported", set())


def write_text(path, scale, header):
    rows = [f"{w * scale:.8g} {t:.8g}" for w, t in zip(WAVELENGTH, THROUGHPUT, strict=True)]
    path.write_text("\n".join([*header, *rows]) + "\n")


@pytest.mark.parametrize(
    ("scale", "header"),
    [
        (1.0, []),
        (1.0, ["Microns Throughput"]),
        (1e4, []),
        (1e4, ["# wavelength [Angstrom], throughput"]),
        (1e3, ["# wavelength(nm) throughput"]),
    ],
)
def test_text_files_in_any_unit_give_the_same_curve(tmp_path, scale, header):
    write_text(tmp_path / "band.txt", scale, header)
    band = load_bandpass("F182M", path=tmp_path / "band.txt")
    np.testing.assert_allclose(band.wavelength, WAVELENGTH, rtol=1e-7)
    np.testing.assert_allclose(band.throughput, THROUGHPUT, atol=1e-7)
    assert band.name == "F182M"


@pytest.mark.parametrize("descending", [False, True])
def test_fits_file_in_angstrom(tmp_path, descending):
    order = slice(None, None, -1 if descending else 1)
    columns = [
        fits.Column("WAVELENGTH", "D", unit="Angstrom", array=(WAVELENGTH * 1e4)[order]),
        fits.Column("THROUGHPUT", "D", array=THROUGHPUT[order]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "band.fits")
    band = read_bandpass(tmp_path / "band.fits")
    np.testing.assert_allclose(band.wavelength, WAVELENGTH, rtol=1e-12)
    assert band.name == "band"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("700 0.1\n800 0.2\n", "unit"),
        ("1.7 0.1\nnot numbers\n1.8 0.2\n", "not two numbers"),
        ("nothing here\n", "fewer than two rows"),
        ("1.7 0\n1.8 0\n", "nowhere positive"),
        ("1.7 nan\n1.8 nan\n", "fewer than two rows"),
    ],
)
def test_text_that_is_no_curve_is_named(tmp_path, content, text):
    (tmp_path / "bad.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"bad\.txt.*{text}"):
        read_bandpass(tmp_path / "bad.txt")


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        load_bandpass("F182M", path=tmp_path / "none.txt")
    (tmp_path / "junk.fits").write_bytes(b"\x00junk" * 50)
    with pytest.raises(ValueError, match=r"junk\.fits"):
        read_bandpass(tmp_path / "junk.fits")
    (tmp_path / "junk.txt").write_bytes(b"\xff\xfe\x00\x81" * 50)
    with pytest.raises(ValueError, match=r"junk\.txt"):
        read_bandpass(tmp_path / "junk.txt")
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(ValueError, match=r"image\.fits.*WAVELENGTH and THROUGHPUT"):
        read_bandpass(tmp_path / "image.fits")


def test_unknown_filter():
    with pytest.raises(ValueError, match="F182M"):
        load_bandpass("F666X")


def test_without_stpsf_the_nominal_curve_is_used_and_said_once(no_stpsf, caplog):
    with caplog.at_level(logging.WARNING):
        bands = [load_bandpass("f210m") for _ in range(3)]
    assert len(caplog.records) == 1
    assert "F210M" in caplog.text
    assert bands[0].source == "nominal half-power wavelengths"


@pytest.mark.parametrize("name", list(NIRCAM_FILTERS))
def test_nominal_curve_has_its_half_power_wavelengths(name):
    band = nominal_bandpass(name)
    blue, red = NIRCAM_FILTERS[name]
    assert len(NIRCAM_FILTERS) == 29
    np.testing.assert_allclose(band.half_power, (blue, red), atol=0.01 * (red - blue))


@pytest.mark.parametrize("name", list(NIRCAM_FILTERS))
def test_nominal_curve_agrees_with_the_one_of_stpsf(name, data_dir, monkeypatch):
    folder = data_dir / "stpsf-data"
    if not folder.is_dir():
        pytest.skip(f"no STPSF data in {folder}")
    monkeypatch.setenv("STPSF_PATH", str(folder))
    measured, nominal = load_bandpass(name), nominal_bandpass(name)
    assert measured.source.endswith(f"{name}_throughput.fits")
    # The long-wavelength cut of F150W2 is that of the dichroic, near 2.35 um.
    slack = 0.05 if name == "F150W2" else 0.007
    np.testing.assert_allclose(measured.half_power, nominal.half_power, atol=slack)
    assert measured.pivot == pytest.approx(nominal.pivot, rel=0.015)


def test_measured_curves_agree_with_those_of_stpsf(data_dir, monkeypatch):
    files = sorted((data_dir / "throughputs" / "nircam_measured").glob("*_mean_system*.txt"))
    if not files:
        pytest.skip(f"no throughputs in {data_dir}")
    monkeypatch.setenv("STPSF_PATH", str(data_dir / "stpsf-data"))
    for path in files:
        name = path.name.split("_")[0]
        one, two = read_bandpass(path, name=name), load_bandpass(name)
        assert one.pivot == pytest.approx(two.pivot, rel=1e-3)


@pytest.mark.parametrize(
    ("wavelength", "throughput", "text"),
    [
        ([1.0, 2.0], [1.0], "same length"),
        ([2.0, 1.0], [1.0, 1.0], "ascending"),
        ([0.0, 1.0], [1.0, 1.0], "ascending"),
        ([1.0, np.nan], [1.0, 1.0], "finite"),
        ([1.0, 2.0], [-1.0, 0.0], "nowhere positive"),
    ],
)
def test_bandpass_refuses_what_is_no_curve(wavelength, throughput, text):
    with pytest.raises(ValueError, match=text):
        Bandpass("X", wavelength, throughput, "test")
