import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.bandpass import read_bandpass

WAVELENGTH = np.linspace(1.7, 2.0, 31)
THROUGHPUT = np.clip(0.4 - 8.0 * (WAVELENGTH - 1.85) ** 2 / 0.4, 0.0, None)


def write_text(path, scale=1.0, header=(), separator=" "):
    rows = [
        f"{w * scale:.8g}{separator}{t:.8g}" for w, t in zip(WAVELENGTH, THROUGHPUT, strict=True)
    ]
    path.write_text("\n".join([*header, *rows]) + "\n")


def write_fits(path, unit=None, scale=1.0, order=slice(None), card=None, primary=None):
    columns = [
        fits.Column("Wavelength", "D", unit=unit, array=(WAVELENGTH * scale)[order]),
        fits.Column("Throughput", "D", array=THROUGHPUT[order]),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    first = fits.PrimaryHDU()
    for hdu, value in ((table, card), (first, primary)):
        if value:
            hdu.header["WAVEUNIT"] = value
    fits.HDUList([first, table]).writeto(path)


@pytest.mark.parametrize(
    ("scale", "header"),
    [
        (1.0, []),
        (1.0, ["Microns Throughput"]),
        (1.0, ["# NIRCam F182M, module A, a mean of all detectors", "", "wavelength throughput"]),
        (1.0, ["# Wavelength (µm), throughput"]),
        (1e4, ["# wavelength [Angstrom], throughput"]),
        (1e4, ["# wavelength (A), throughput"]),
        (1e3, ["# wavelength(nm) throughput"]),
        (1e3, ["lambda_nm throughput"]),
        (1e-6, ["# wavelength [m]"]),
        (1e-6, ["# %ECSV 1.0", "# - {name: wavelength, unit: m, datatype: float64}", "a b"]),
        (1.0, ["# converted from angstrom, wavelength [um]"]),
    ],
)
@pytest.mark.parametrize("separator", [" ", ", ", ";\t"])
def test_text_files_in_any_unit_give_the_same_curve(tmp_path, scale, header, separator):
    write_text(tmp_path / "band.txt", scale, header, separator)
    band = read_bandpass(tmp_path / "band.txt", name="F182M")
    np.testing.assert_allclose(band.wavelength, WAVELENGTH, rtol=1e-7)
    np.testing.assert_allclose(band.throughput, THROUGHPUT, atol=1e-7)
    assert (band.name, band.source) == ("F182M", str(tmp_path / "band.txt"))


@pytest.mark.parametrize(
    ("scale", "units"),
    [
        (1e4, {"unit": "Angstrom"}),
        (1e4, {"card": "angstrom"}),
        (1e4, {"primary": "Angstroms"}),
        (1e3, {"unit": "nm", "card": "angstrom"}),
        (1e-6, {"unit": "m"}),
        (1.0, {"unit": "um"}),
        (1.0, {}),
    ],
)
def test_fits_files_in_any_unit_give_the_same_curve(tmp_path, scale, units):
    write_fits(tmp_path / "band.fits", scale=scale, **units)
    band = read_bandpass(tmp_path / "band.fits")
    np.testing.assert_allclose(band.wavelength, WAVELENGTH, rtol=1e-12)
    np.testing.assert_allclose(band.throughput, THROUGHPUT, rtol=1e-12)
    assert band.name == "band"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is empty"),
        ("\n  \n", "no rows"),
        ("# wavelength throughput\n", "no rows"),
        ("nothing here\n", "no rows"),
        ("nothing here\nat all\n1.7 1\n1.8 1\n", r"line 2: 'at all'"),
        ("1.7 0.1\nnot numbers\n1.8 0.2\n", r"two numbers.* line 2: 'not numbers'"),
        ("1.7 0.1\n1.8\n1.9 0.1\n", r"two numbers.* line 2: '1\.8'"),
        ("1.7\n1.8\n1.9\n", r"two numbers.* line 2: '1\.8'"),
        ("1.7 0.1\n", "at least 2"),
        ("1.7 0\n1.8 0\n", "nowhere positive"),
        ("1.7 0.1\n1.8 nan\n1.9 0.1\n", "sample 2 is not finite"),
        ("1.7 0.1\ninf 1\n1.9 0.1\n", "sample 2 is not finite"),
        ("1.9 0.1\n1.8 0.2\n1.7 0.1\n", "ascending, but sample 2.* falls behind"),
        ("1.7 0.1\n1.8 0.2\n1.8 0.1\n", "ascending, but sample 3.* repeats"),
        ("1.7 0.1\n1.8 0.2\n1.9 -0.1\n", r"negative, -0\.1 at 1\.9 um"),
        ("1700 0.1\n1800 0.2\n", "from 1700 to 1800 .no unit is stated.*state the unit"),
        ("17000 0.1\n18000 0.2\n", "no unit is stated"),
        ("1.7e-6 0.1\n1.8e-6 0.2\n", "no unit is stated"),
        ("# wavelength [nm]\n1.7 0.1\n1.8 0.2\n", "the unit is nm"),
        ("0.1 1.7\n0.0 1.8\n", "wavelengths from 0 to 0.1"),
        ("# wavelength [um] or [nm]\n1.7 0.1\n1.8 0.2\n", "several units, um and nm"),
    ],
)
def test_text_that_is_no_curve_is_named(tmp_path, content, text):
    (tmp_path / "bad.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"bad\.txt.*{text}"):
        read_bandpass(tmp_path / "bad.txt")


def test_fits_that_is_no_curve_is_named(tmp_path):
    (tmp_path / "junk.fits").write_bytes(b"\x00junk" * 50)
    with pytest.raises(ValueError, match=r"junk\.fits is not a readable"):
        read_bandpass(tmp_path / "junk.fits")
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(ValueError, match=r"image\.fits.*WAVELENGTH and THROUGHPUT.* none"):
        read_bandpass(tmp_path / "image.fits")
    columns = [fits.Column(name, "D", array=WAVELENGTH) for name in ("LAMBDA", "THROUGHPUT")]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "other.fits")
    with pytest.raises(ValueError, match=r"other\.fits.* columns are LAMBDA, THROUGHPUT"):
        read_bandpass(tmp_path / "other.fits")
    columns = [fits.Column(name, "4A", array=["a", "b"]) for name in ("WAVELENGTH", "THROUGHPUT")]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "words.fits")
    with pytest.raises(ValueError, match=r"words\.fits"):
        read_bandpass(tmp_path / "words.fits")
    write_fits(tmp_path / "unit.fits", unit="Hz")
    with pytest.raises(ValueError, match=r"unit\.fits.*'Hz'"):
        read_bandpass(tmp_path / "unit.fits")
    write_fits(tmp_path / "falling.fits", order=slice(None, None, -1))
    with pytest.raises(ValueError, match=r"falling\.fits.*ascending"):
        read_bandpass(tmp_path / "falling.fits")
    write_fits(tmp_path / "nounit.fits", scale=1e4)
    with pytest.raises(ValueError, match=r"nounit\.fits.*no unit is stated"):
        read_bandpass(tmp_path / "nounit.fits")


@pytest.mark.parametrize("kind", ["cut", "header", "data", "text"])
def test_corrupt_files_are_named(tmp_path, kind):
    # Whatever bytes are lost or changed: a curve, or one error that names the file.
    write_fits(tmp_path / "whole.fits", unit="um")
    whole = (tmp_path / "whole.fits").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / ("bad.txt" if kind == "text" else "bad.fits")
    errors = []
    for _ in range(60):
        content = bytearray(whole)
        if kind == "cut":
            content = content[: rng.integers(1, len(whole) - 2880)]
        elif kind == "text":
            content = (
                rng.choice(list(b"0123456789.e-+ \n\t#,;naumA()[]"), 60).astype("u1").tobytes()
            )
        else:
            first, last = (2880, 5760) if kind == "header" else (5760, len(whole))
            content[rng.integers(first, last)] = rng.integers(32, 127)
            content[rng.integers(first, last)] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            read_bandpass(path)
        except ValueError as error:
            errors.append(str(error))
    assert all(str(path) in error for error in errors)
    assert len(errors) == 60 if kind == "cut" else len(errors) > 5


def test_files_that_do_not_exist_or_are_binary_are_named(tmp_path):
    for name in ("none.txt", "none.fits"):
        with pytest.raises(FileNotFoundError, match=name):
            read_bandpass(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        read_bandpass(tmp_path)
    (tmp_path / "junk.txt").write_bytes(b"\xff\xfe\x00\x81" * 50)
    with pytest.raises(ValueError, match=r"junk\.txt"):
        read_bandpass(tmp_path / "junk.txt")
