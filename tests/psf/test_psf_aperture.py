import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.psf import make_psf
from jwst_fusion.psf.aperture import DIAMETER, native_psf, pupil, wavefront_error
from jwst_fusion.psf.instruments import INSTRUMENTS
from jwst_fusion.psf.resample import resample_psf

MAS = np.deg2rad(1.0 / 3.6e6)


def upper_ramp(samples, to_v2, to_v3):
    """Path difference [nm] that sends the light of the mirror's upper part that far [mas]."""
    step = (np.arange(samples) - (samples - 1) / 2) * DIAMETER / samples
    v3, v2 = np.meshgrid(step, step, indexing="ij")
    return np.where(v3 > 1.2, (to_v2 * v2 + to_v3 * (v3 - 1.9)) * MAS * 1e9, 0.0)


def ghost(image, scale):
    """Position (x, y) [mas] of the brightest light away from the core."""
    y, x = (np.indices(image.shape) - (image.shape[0] - 1) / 2) * scale * 1e3
    light = np.where(np.hypot(x, y) > 250, image, 0.0)
    peak = np.argmax(light)
    near = np.hypot(x - x.flat[peak], y - y.flat[peak]) < 60
    return np.array([(light * near * x).sum(), (light * near * y).sum()]) / (light * near).sum()


def test_pupil_agrees_with_the_reference_drawing(data_dir):
    path = data_dir / "stpsf-data" / "jwst_pupil_RevW_npix1024.fits.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    drawn = fits.getdata(path).astype(float).reshape(512, 2, 512, 2).mean(axis=(1, 3))
    ours = pupil()
    overlap = np.sum(ours * drawn) / np.sqrt(np.sum(ours**2) * np.sum(drawn**2))
    assert overlap > 0.993
    assert overlap > np.sum(ours[::-1] * drawn) / np.sqrt(np.sum(ours**2) * np.sum(drawn**2)) + 0.01
    assert ours.sum() == pytest.approx(drawn.sum(), rel=0.02)


@pytest.mark.parametrize("channel", list(INSTRUMENTS))
def test_wavefront_error_keeps_to_its_budget(channel):
    inside = pupil() > 0
    y, x = np.indices(inside.shape) / 512.0
    values = wavefront_error(channel)[inside]
    assert values.std() == pytest.approx(INSTRUMENTS[channel].wavefront_rms, rel=1e-3)
    terms = np.stack([np.ones(inside.sum()), x[inside], y[inside]], axis=1)
    assert np.abs(np.linalg.lstsq(terms, values, rcond=None)[0]).max() < 0.1


@pytest.mark.parametrize(("instrument", "wavelength"), [("NIRCAM", 1.8), ("NIRSPEC", 2.2)])
def test_core_is_centred(instrument, wavelength):
    psf = make_psf(
        instrument, wavelength=[wavelength], pixel_scale=0.01, npix=31, source="aperture"
    )
    offset = (np.arange(31) - 15) * 10.0
    core = np.clip(psf.data[0] - 0.5 * psf.data[0].max(), 0.0, None)
    assert abs(np.sum(core * offset[None, :]) / core.sum()) < 1.5
    assert abs(np.sum(core * offset[:, None]) / core.sum()) < 1.5


def test_strehl_ratio_follows_the_marechal_approximation():
    error = wavefront_error("NIRCAM_SW")
    peak = native_psf("NIRCAM_SW", 2.0, 0.01, 3).max()
    perfect = native_psf("NIRCAM_SW", 2.0, 0.01, 3, error=np.zeros_like(error)).max()
    # 41 nm of telescope and instrument and 15 nm of NIRCam's focus at 2 um.
    squared = (2 * np.pi / 2000.0) ** 2 * (41.0**2 + 15.0**2)
    assert peak / perfect == pytest.approx(np.exp(-squared), rel=0.003)


def test_light_of_a_tilted_part_of_the_mirror_moves_to_v2_and_v3():
    image = native_psf("NIRCAM_SW", 2.0, 0.01, 201, error=upper_ramp(512, 400.0, 250.0))
    still = ghost(resample_psf(image, 0.01, npix=121, pixel_scale=0.01), 0.01)
    # V2 is left and V3 up.
    np.testing.assert_allclose(still, [-400, 255], atol=15)
    turned = ghost(resample_psf(image, 0.01, npix=121, pixel_scale=0.01, angle=30.0), 0.01)
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    expected = [c * still[0] - s * still[1], s * still[0] + c * still[1]]
    np.testing.assert_allclose(turned, expected, atol=8)


def test_angle_turns_the_psf_counterclockwise_for_both_instruments():
    for instrument in ("NIRCAM", "NIRSPEC"):
        common = {"wavelength": [2.0], "pixel_scale": 0.03, "npix": 41, "source": "aperture"}
        still = make_psf(instrument, **common, angle=25.0).data[0]
        turned = make_psf(instrument, **common, angle=115.0).data[0]
        np.testing.assert_allclose(turned, np.rot90(still, k=-1), atol=1e-7)
        assert np.abs(turned - np.rot90(still, k=1)).max() > 1e-3 * still.max()


def test_psf_widens_with_wavelength_as_diffraction_does():
    psf = make_psf(
        "NIRCAM",
        wavelength=[1.7, 2.2],
        pixel_scale=0.005,
        npix=101,
        source="aperture",
        broadening=0.0,
    )
    area = [np.count_nonzero(p > 0.5 * p.max()) for p in psf.data]
    assert np.sqrt(area[1] / area[0]) == pytest.approx(2.2 / 1.7, rel=0.03)
    fwhm = 2 * np.sqrt(area[1] / np.pi) * 0.005
    # JWST User Documentation: 0.066 arcsec for F200W, at 1.99 um.
    assert fwhm == pytest.approx(0.066 * 2.2 / 1.99, rel=0.05)
