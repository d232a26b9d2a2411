import logging

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion import messages
from jwst_fusion.bandpass import (
    FILTERS,
    NIRCAM_FILTERS,
    Bandpass,
    filter_name,
    load_bandpass,
    nominal_bandpass,
    read_bandpass,
)

WAVELENGTH = np.linspace(1.7, 2.0, 31)
THROUGHPUT = np.clip(0.4 - 8.0 * (WAVELENGTH - 1.85) ** 2 / 0.4, 0.0, None)


@pytest.fixture
def no_stpsf(tmp_path, monkeypatch):
    monkeypatch.setenv("STPSF_PATH", str(tmp_path / "nowhere"))
    messages.forget_said()


@pytest.fixture
def fake_stpsf(tmp_path, monkeypatch):
    """Put the curve of F182M into a folder laid out like the data of STPSF, as any filter."""
    monkeypatch.setenv("STPSF_PATH", str(tmp_path))
    (tmp_path / "version.txt").write_text("2.1.0\n")

    def put(folder, name):
        target = tmp_path / folder / "filters" / f"{name}_throughput.fits"
        target.parent.mkdir(parents=True, exist_ok=True)
        columns = [
            fits.Column("WAVELENGTH", "D", unit="Angstrom", array=WAVELENGTH * 1e4),
            fits.Column("THROUGHPUT", "D", array=THROUGHPUT),
        ]
        fits.BinTableHDU.from_columns(columns).writeto(target)

    return put


def test_data_of_stpsf_are_found_and_named(fake_stpsf):
    fake_stpsf("NIRCam", "F182M")
    band = load_bandpass("f182m")
    assert band.source == "STPSF data 2.1.0, NIRCam/filters/F182M_throughput.fits"
    np.testing.assert_allclose(band.wavelength, WAVELENGTH, rtol=1e-12)
    assert load_bandpass("F187N").source == "nominal half-power wavelengths"


def test_niriss_has_curves_only_in_the_data_of_stpsf(fake_stpsf):
    with pytest.raises(ValueError, match=r"F150W \(NIRISS\).*STPSF_PATH"):
        load_bandpass("F150W", instrument="NIRISS")
    fake_stpsf("NIRISS", "F150W")
    assert load_bandpass("F150W", instrument="niriss").name == "F150W"


@pytest.mark.parametrize("name", FILTERS["MIRI"])
def test_miri_has_nominal_curves_too(name, no_stpsf, stpsf_path, monkeypatch, caplog):
    nominal = load_bandpass(name, instrument="MIRI")
    assert nominal.source == "nominal half-power wavelengths"
    assert "Nominal filter curves" in caplog.text
    monkeypatch.setenv("STPSF_PATH", str(stpsf_path))
    measured = load_bandpass(name, instrument="MIRI")
    assert nominal.pivot == pytest.approx(measured.pivot, rel=0.015)


@pytest.mark.parametrize(
    ("instrument", "name", "text"),
    [
        ("NIRCAM", "F182N", "F182M"),
        ("NIRCAM", "F770W", "NIRCAM"),
        ("MIRI", "F182M", "F1280W"),
        ("FGS", "F182M", "instrument 'FGS'"),
    ],
)
def test_unknown_filter(instrument, name, text):
    with pytest.raises(ValueError, match=text):
        load_bandpass(name, instrument=instrument)


def test_names_are_normalised_and_errors_name_the_parameter():
    assert filter_name(" f2550w ") == "F2550W"
    assert filter_name("F380M") == "F380M"
    with pytest.raises(ValueError, match=r"throughputs: 'F21OM' .* did you mean F210M"):
        filter_name("F21OM", parameter="throughputs")
    with pytest.raises(ValueError, match=r"filters: 'blue' .* known are F560W"):
        filter_name("blue", parameter="filters", instrument="miri")
    assert {len(names) for names in FILTERS.values()} == {29, 9, 12}


def test_curve_of_another_filter_is_refused(tmp_path):
    rows = [f"{w:.5f} {t:.6f}" for w, t in zip(WAVELENGTH, THROUGHPUT, strict=True)]
    path = tmp_path / "curve.txt"
    path.write_text("\n".join(rows))
    assert load_bandpass(" f182m", path=path).source == str(path)
    with pytest.raises(ValueError, match=r"curve\.txt is not that of F210M.* 1\.8"):
        load_bandpass("F210M", path=path)
    # Other instruments and home-made filters have no nominal band to compare with.
    assert load_bandpass("F210M", path=path, instrument="OTHER").name == "F210M"
    assert load_bandpass("MINE", path=path).name == "MINE"


@pytest.mark.parametrize("name", FILTERS["MIRI"])
def test_miri_filters_of_stpsf_lie_where_their_names_say(name, stpsf_path, monkeypatch):
    monkeypatch.setenv("STPSF_PATH", str(stpsf_path))
    band = load_bandpass(name, instrument="MIRI")
    assert band.pivot == pytest.approx(int(name[1:-1]) / 100, rel=0.02)


def test_without_stpsf_the_nominal_curve_is_used_and_said_once(no_stpsf, caplog):
    with caplog.at_level(logging.WARNING):
        bands = [load_bandpass("f210m") for _ in range(3)]
    assert len(caplog.records) == 1
    assert "Nominal filter curves" in caplog.text
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
        ([2.0, 1.0], [1.0, 1.0], "ascending, but sample 2, 1 um, falls behind 2 um"),
        ([1.0, 1.0], [1.0, 1.0], "ascending, but sample 2, 1 um, repeats 1 um"),
        ([0.0, 1.0], [1.0, 1.0], "positive"),
        ([1.0, np.nan], [1.0, 1.0], "sample 2 is not finite"),
        ([1.0, 2.0], [np.inf, 1.0], "sample 1 is not finite"),
        ([1.0, 2.0], [-1.0, 0.0], "nowhere positive"),
        ([1.0, 2.0], [-0.02, 1.0], "negative, -0.02 at 1 um"),
    ],
)
def test_bandpass_refuses_what_is_no_curve(wavelength, throughput, text):
    with pytest.raises(ValueError, match=text):
        Bandpass("X", wavelength, throughput, "test")


def test_small_negative_values_are_set_to_zero():
    band = Bandpass("X", [1.0, 1.5, 2.0], [-0.009, 1.0, 0.2], "test")
    assert band.throughput.tolist() == [0.0, 1.0, 0.2]
