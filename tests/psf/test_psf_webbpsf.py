import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from jwst_fusion.psf import chebyshev_nodes, make_psf, webbpsf
from jwst_fusion.psf.instruments import aperture_angle
from jwst_fusion.psf.resample import resample_psf

# Every test here needs STPSF's optical models, which take 20 s to import and set up.
pytestmark = pytest.mark.slow
MAS = np.deg2rad(1.0 / 3.6e6)
DIAMETER = 6.603464


@pytest.fixture(scope="module")
def models(pytestconfig):
    return {}


@pytest.fixture
def model(request, stpsf_path, models):
    channel, detector = request.param
    if channel not in models:
        models[channel] = webbpsf.OpticalModel(channel, detector)
    return channel, models[channel].clone()


BOTH = pytest.mark.parametrize(
    "model", [("NIRCAM_SW", "NRCB1"), ("NIRSPEC", "NRS1")], indirect=True
)


def native(model, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.native_psf(*args)


def ghost(image, scale):
    y, x = (np.indices(image.shape) - (image.shape[0] - 1) / 2) * scale * 1e3
    light = np.where(np.hypot(x, y) > 250, image, 0.0)
    peak = np.argmax(light)
    near = np.hypot(x - x.flat[peak], y - y.flat[peak]) < 60
    return np.array([(light * near * x).sum(), (light * near * y).sum()]) / (light * near).sum()


@BOTH
def test_tilted_part_of_the_mirror_sends_light_where_v2_and_v3_are(model):
    _, optics = model
    entrance = optics.system.planes[0]
    step = (np.arange(1024) - 511.5) * DIAMETER / 1024
    v3, v2 = np.meshgrid(step, step, indexing="ij")
    ramp = np.where(v3 > 1.2, (400.0 * v2 + 250.0 * (v3 - 1.9)) * MAS, 0.0)
    entrance.opd = entrance.opd + ramp
    image = native(optics, 2.0, 0.01, 201)
    up = ghost(resample_psf(image, 0.01, npix=121, pixel_scale=0.01, angle=optics.rotation), 0.01)
    # V3 up, V2 left, as in the aperture model: a mirror image or a turn the wrong way fails.
    np.testing.assert_allclose(up, [-400, 255], atol=20)


@BOTH
def test_built_in_aperture_angles_agree_with_the_siaf_of_stpsf(model):
    channel, optics = model
    if channel == "NIRSPEC":
        assert optics.rotation == pytest.approx(aperture_angle("NIRSPEC"), abs=0.05)
    else:
        assert optics.rotation == 0.0


def profile(psf, pixel_scale):
    """Full width at half maximum and encircled energy at four radii."""
    y, x = (np.indices(psf.shape) - (psf.shape[0] - 1) / 2) * pixel_scale
    radius = np.hypot(x, y)
    width = 2 * np.sqrt(np.count_nonzero(psf > 0.5 * psf.max()) / np.pi) * pixel_scale
    return width, np.array([psf[radius < r].sum() for r in (0.06, 0.1, 0.2, 0.5)])


@pytest.mark.parametrize("instrument", ["MIRI", "MIRI_MRS"])
def test_both_sources_agree_for_miri(instrument, stpsf_path):
    common = {"wavelength": [7.0], "pixel_scale": 0.03, "npix": 201, "use_cache": False}
    webb, model = (
        make_psf(instrument, **common, source=source).data[0] for source in ("webbpsf", "aperture")
    )
    (width_a, energy_a), (width_b, energy_b) = profile(webb, 0.03), profile(model, 0.03)
    assert width_a == pytest.approx(width_b, rel=0.05)
    np.testing.assert_allclose(energy_a, energy_b, rtol=0.05)


def test_bands_of_the_miri_spectrometer_have_their_angles(stpsf_path):
    for band in ("1A", "2B", "3C", "4C"):
        optics = webbpsf.OpticalModel("MIRI_MRS", band)
        assert optics.rotation == pytest.approx(aperture_angle("MIRI_MRS", band), abs=0.01)


@pytest.mark.parametrize("instrument", ["NIRCAM", "NIRSPEC"])
def test_both_sources_agree_and_grow_alike_with_wavelength(instrument, stpsf_path):
    common = {"wavelength": chebyshev_nodes(1.7, 2.3, 2), "pixel_scale": 0.01, "npix": 301}
    webb = make_psf(instrument, **common, source="webbpsf")
    model = make_psf(instrument, **common, source="aperture")
    assert (webb.source, model.source) == ("webbpsf", "aperture")
    widths = []
    for a, b in zip(webb.data, model.data, strict=True):
        (width_a, energy_a), (width_b, energy_b) = profile(a, 0.01), profile(b, 0.01)
        assert width_a == pytest.approx(width_b, rel=0.05)
        np.testing.assert_allclose(energy_a, energy_b, rtol=0.05)
        widths.append((width_a, width_b))
    growth = np.divide(widths[1], widths[0])
    assert growth[0] == pytest.approx(growth[1], rel=0.03)
    assert growth[0] > 1.03
    again = make_psf(instrument, **common, source="auto")
    assert again.source == "webbpsf"
    assert again.meta["from_cache"]


def test_other_wavefront_map_gives_another_psf_and_cache_entry(stpsf_path, tmp_path):
    from astropy.io import fits

    name = next(stpsf_path.glob("JWST_OTE_OPD*.fits"))
    with fits.open(name) as hdus:
        step = np.linspace(-1, 1, hdus[0].data.shape[0])
        hdus[0].data = (0.5 * (step[:, None] ** 2 + step[None, :] ** 2)).astype(np.float32)
        hdus.writeto(tmp_path / "opd.fits")
    common = {"wavelength": [2.0], "pixel_scale": 0.03, "npix": 21, "source": "webbpsf"}
    plain = make_psf("NIRCAM", **common)
    defocused = make_psf("NIRCAM", **common, opd=tmp_path / "opd.fits")
    assert not defocused.meta["from_cache"]
    assert defocused.data.max() < 0.95 * plain.data.max()
    with pytest.raises(FileNotFoundError, match="opd="):
        make_psf("NIRCAM", **common, opd=tmp_path / "absent.fits")


def test_nothing_is_fetched(stpsf_path, psf_cache):
    code = """
import socket
asked = []
def refuse(*given, **_keywords):
    asked.append(given[:1])
    raise OSError("no network")
socket.getaddrinfo = refuse
socket.socket.connect = refuse
from jwst_fusion.psf import make_psf
for source in ("aperture", "webbpsf", "auto"):
    psf = make_psf("NIRSPEC", wavelength=[2.0], pixel_scale=0.05, npix=21, source=source)
    print(psf.source, psf.data.shape, asked)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.endswith("[]")]
    assert [line.split()[0] for line in lines] == ["aperture", "webbpsf", "webbpsf"]


def test_importing_stpsf_leaves_the_process_as_it_was(stpsf_path, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stpsf-data").symlink_to(stpsf_path)
    code = """
import builtins, logging, os, requests, sys, warnings
from jwst_fusion.psf import webbpsf

asked = []
requests.get = lambda *args, **_: asked.append(args)

def state():
    logger = logging.getLogger("pysiaf")
    return [
        requests.get, dict(os.environ), sys.stdout, sys.meta_path[:], builtins.__import__,
        vars(builtins).keys(), logger.filters[:], logger.level,
    ]

before = state()
webbpsf.OpticalModel("NIRCAM_SW", "NRCB1")
assert before == state()
assert not asked
import pysiaf
assert pysiaf.requests is requests
assert pysiaf.__builtins__ is vars(builtins)
"""
    known = {key: value for key, value in os.environ.items() if key != "STPSF_PATH"}
    environment = {**known, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "PRD" not in done.stderr
