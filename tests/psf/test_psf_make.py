import logging
import subprocess
import sys

import numpy as np
import pytest

from jwst_fusion.psf import aperture_angle, make, make_psf

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
        ({"instrument": "MIRI"}, "instrument must be"),
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
        ({"filter": "F999W"}, "no NIRCam filter"),
        ({"instrument": "NIRSPEC", "filter": "F170LP"}, "no meaning"),
        ({"source": "guess"}, "source must be"),
        ({"footprints": [(0.1, 0.1)]}, "footprints"),
        ({"footprints": [(0.1, -0.1, 0.0)]}, "footprints"),
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
    monkeypatch.setattr(make, "_warned", type(make._warned)())
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
    psf = make_psf(**{**GOOD, "wavelength": [2.2, 1.8], "footprints": [(0.03, 0.03, 5.0)]})
    assert psf.data.shape == (2, 21, 21)
    np.testing.assert_array_equal(psf.wavelength, [1.8, 2.2])
    np.testing.assert_allclose(psf.data.sum(axis=(1, 2)), 1.0, rtol=1e-12)
    assert psf.data[0].max() > psf.data[1].max()
    assert np.unravel_index(np.argmax(psf.data[0]), (21, 21)) == (10, 10)
    assert psf.meta["footprints"] == [[0.03, 0.03, 5.0]]


def test_long_channel_and_its_detector_names():
    psf = make_psf(**{**GOOD, "wavelength": [4.6], "npix": 41, "detector": "NRCALONG"})
    assert psf.meta["instrument"] == "NIRCAM_LW"


def test_progress_is_logged_for_every_node(caplog):
    with caplog.at_level(logging.INFO):
        make_psf(**{**GOOD, "wavelength": [1.8, 1.9, 2.0], "maximum_cores": "all"})
    lines = [r.getMessage() for r in caplog.records if "s left" in r.getMessage()]
    assert len(lines) == 3


def test_number_of_cores_changes_no_value():
    one = make_psf(**{**GOOD, "wavelength": [1.8, 1.9, 2.0]})
    many = make_psf(**{**GOOD, "wavelength": [1.8, 1.9, 2.0], "maximum_cores": "all"})
    np.testing.assert_allclose(one.data, many.data, rtol=1e-6)


def test_aperture_angles_are_those_of_the_siaf():
    assert aperture_angle("NIRSPEC") == pytest.approx(138.97, abs=0.01)
    assert aperture_angle("nircam", "NRCBLONG") == pytest.approx(0.023, abs=0.001)
    with pytest.raises(ValueError, match="detector"):
        aperture_angle("NIRCAM", "NRS1")
