import logging
import subprocess
import sys

import asdf
import numpy as np
import pytest

from jwst_fusion import messages
from jwst_fusion.psf import aperture_angle, make_psf
from jwst_fusion.psf.instruments import identify

GOOD = {
    "instrument": "NIRCAM",
    "wavelength": [2.0],
    "pixel_scale": 0.03,
    "npix": 21,
    "source": "aperture",
    "use_cache": False,
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"instrument": "NIRISS"}, "instrument must be"),
        ({"instrument": "MIRI"}, "MIRI_IMAGER covers 4.8 to 28.8"),
        ({"instrument": "MIRI", "wavelength": [7.7], "filter": "F200W"}, "not a filter of MIRI"),
        ({"instrument": "MIRI", "wavelength": [7.7], "position": (5, 1024)}, "1031 and 1023"),
        ({"instrument": "MIRI_MRS", "wavelength": [7.7], "position": (5, 5)}, "no meaning"),
        ({"instrument": "MIRI_MRS", "wavelength": [7.7], "detector": "5A"}, "allowed are 1A"),
        ({"wavelength": [20000.0]}, "micrometre"),
        ({"wavelength": [2.0, 3.0]}, "one PSF cube per channel"),
        ({"wavelength": [2.0, np.nan]}, "finite"),
        ({"wavelength": [2.0, 2.0]}, "twice"),
        ({"wavelength": []}, "wavelength"),
        ({"npix": 20}, "odd"),
        ({"npix": np.nan}, "odd"),
        ({"npix": 9999}, "at most 10"),
        ({"pixel_scale": 0.0}, "pixel_scale"),
        ({"angle": np.inf}, "angle"),
        ({"detector": "NRCB5"}, "detector='NRCB5'"),
        ({"detector": "NRS1"}, "allowed are NRCA1"),
        ({"filter": "F999W"}, "not a filter of NIRCam"),
        ({"instrument": "NIRSPEC", "filter": "F170LP"}, "no meaning"),
        ({"source": "guess"}, "source must be"),
        ({"pixel_kernels": [(0.1, 0.1)]}, "pixel_kernels"),
        ({"pixel_kernels": [(0.1, -0.1, 0.0)]}, "pixel_kernels"),
        ({"broadening": -0.1}, "broadening"),
        ({"maximum_cores": "many"}, "maximum_cores"),
        ({"maximum_cores": 0}, "maximum_cores"),
    ],
)
def test_bad_parameters_are_named(change, text):
    with pytest.raises(ValueError, match=text):
        make_psf(**{**GOOD, **change})


def test_webbpsf_without_data_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("STPSF_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="STPSF_PATH"):
        make_psf(**{**GOOD, "source": "webbpsf"})
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(FileNotFoundError, match=r"STPSF_PATH.*lack version\.txt"):
        make_psf(**{**GOOD, "source": "webbpsf"})


def test_auto_without_data_warns_once_and_records_the_source(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("STPSF_PATH", str(tmp_path / "nowhere"))
    messages.forget_said()
    with caplog.at_level(logging.WARNING):
        psfs = [make_psf(**{**GOOD, "source": "auto"}) for _ in range(3)]
    warned = [r for r in caplog.records if "STPSF_PATH" in r.getMessage()]
    assert len(warned) == 1
    assert "https://" in warned[0].getMessage()
    assert all(p.source == "aperture" and p.meta["source"] == "aperture" for p in psfs)


def test_importing_the_room_loads_no_heavy_package():
    code = (
        "import sys, jwst_fusion.psf, jwst_fusion.bandpass, jwst_fusion.metrics; "
        "print([m for m in ('stpsf', 'poppy', 'jwst', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_shape_sum_order_and_meta():
    psf = make_psf(**{**GOOD, "wavelength": [2.2, 1.8], "pixel_kernels": [(0.03, 0.03, 5.0)]})
    assert psf.data.shape == (2, 21, 21)
    np.testing.assert_array_equal(psf.wavelength, [1.8, 2.2])
    np.testing.assert_allclose(psf.data.sum(axis=(1, 2)), 1.0, rtol=1e-12)
    assert psf.data[0].max() > psf.data[1].max()
    assert np.unravel_index(np.argmax(psf.data[0]), (21, 21)) == (10, 10)
    assert psf.meta["pixel_kernels"] == [[0.03, 0.03, 5.0]]


def test_long_channel_and_its_detector_names():
    psf = make_psf(**{**GOOD, "wavelength": [4.6], "npix": 41, "detector": "NRCALONG"})
    assert psf.meta["instrument"] == "NIRCAM_LW"


@pytest.mark.parametrize(("silence", "expected"), [(-1.0, 3), (1e3, 0)])
def test_progress_is_logged_where_it_takes_long(caplog, monkeypatch, silence, expected):
    monkeypatch.setattr("jwst_fusion.psf.native._SILENCE", silence)
    with caplog.at_level(logging.INFO):
        make_psf(**{**GOOD, "wavelength": [1.8, 1.9, 2.0], "maximum_cores": "all"})
    lines = [r.getMessage() for r in caplog.records if "s left" in r.getMessage()]
    assert len(lines) == expected


def test_number_of_cores_changes_no_value():
    one = make_psf(**{**GOOD, "wavelength": [1.8, 1.9, 2.0]})
    many = make_psf(**{**GOOD, "wavelength": [1.8, 1.9, 2.0], "maximum_cores": "all"})
    np.testing.assert_allclose(one.data, many.data, rtol=1e-6)


def test_miri_imager_and_spectrometer_are_told_apart():
    given = {"wavelength": [7.0], "pixel_scale": 0.05, "npix": 21, "use_cache": False}
    given["source"] = "aperture"
    names = {}
    for instrument, detector in (
        ("MIRI", None),
        ("MIRI", "MIRIMAGE"),
        ("MIRI", "MIRIFUSHORT"),
        ("miri_mrs", None),
        ("MIRI_MRS", "2A"),
    ):
        meta = make_psf(instrument, detector=detector, **given).meta
        names[instrument, detector] = meta["instrument"]
    assert list(names.values()) == ["MIRI_IMAGER"] * 2 + ["MIRI_MRS"] * 3


def test_bands_of_the_spectrometer_follow_the_wavelengths():
    found = [identify("MIRI_MRS", (low, low + 0.2))[1] for low in (5.0, 7.0, 8.0, 17.0, 26.0)]
    assert found == ["1A", "1C", "2A", "3C", "4C"]
    assert identify("MIRI", (11.6, 11.7), "MIRIFUSHORT")[1] == "2C"
    assert identify("MIRI", (11.6, 11.7), "MIRIFULONG")[1] == "3A"


@pytest.mark.parametrize(("index", "band"), [(0, "1A"), (1, "2A")])
def test_slices_of_the_spectrometer_lie_as_in_its_distortion(data_dir, index, band):
    path = data_dir / "miri_mrs_refs" / "jwst_miri_mrs12A_distortion_flt9.asdf"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        to_sky = file.tree["abv2v3_model"]["model"][index]
    ends = np.array([to_sky(alpha, 0.0)[:2] for alpha in (-1.0, 1.0)])
    v2, v3 = ends[0] - ends[1]
    # V2 is left, V3 up: counterclockwise from +x to the direction along the slices.
    along = np.rad2deg(np.arctan2(v3, -v2))
    assert aperture_angle("MIRI_MRS", band) == pytest.approx(along, abs=0.1)


@pytest.mark.parametrize(("instrument", "wavelength"), [("MIRI", 10.0), ("MIRI_MRS", 8.0)])
def test_miri_psf_has_the_width_of_diffraction(instrument, wavelength):
    psf = make_psf(
        instrument,
        wavelength=[wavelength],
        pixel_scale=0.02,
        npix=101,
        source="aperture",
        use_cache=False,
    ).data[0]
    fwhm = 2 * np.sqrt(np.count_nonzero(psf > 0.5 * psf.max()) / np.pi) * 0.02
    # JWST User Documentation: 0.328 arcsec for F1000W, at 9.95 um, with pixels
    assert fwhm == pytest.approx(0.0328 * wavelength, rel=0.06)


def test_aperture_angles_are_those_of_the_siaf():
    assert aperture_angle("NIRSPEC") == pytest.approx(138.97, abs=0.01)
    assert aperture_angle("nircam", "NRCBLONG") == pytest.approx(0.023, abs=0.001)
    assert aperture_angle("MIRI") == pytest.approx(4.835, abs=0.001)
    assert aperture_angle("MIRI", "MIRIFULONG") == aperture_angle("MIRI_MRS", "3A")
    with pytest.raises(ValueError, match="detector"):
        aperture_angle("NIRCAM", "NRS1")
