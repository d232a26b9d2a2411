"""A PSF without symmetry, different at each wavelength, told apart from its mirror images."""

import numpy as np
import pytest

from jwst_fusion.psf import PsfCube, chebyshev_nodes, make_psf, read_psf, write_psf
from jwst_fusion.psf import native as native_module

NODES = chebyshev_nodes(1.7, 2.3, 5)
SIGMA = 0.05


def side_peak(wavelength):
    """Offset (x, y) [arcsec] of the second peak, with V3 up: different on each axis and node."""
    return np.array([0.30 + 0.25 * (wavelength - 2.0), -0.15 + 0.20 * (wavelength - 2.0)])


def two_peaks(_channel, wavelength, scale, size):
    y, x = (np.indices((size, size)) - (size - 1) / 2) * scale
    dx, dy = side_peak(wavelength)
    core = np.exp(-0.5 * (x**2 + y**2) / SIGMA**2)
    return core + 0.4 * np.exp(-0.5 * ((x - dx) ** 2 + (y - dy) ** 2) / SIGMA**2)


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr(native_module.aperture, "native_psf", two_peaks)


def made(angle=0.0, npix=61, pixel_scale=0.0231, nodes=NODES):
    return make_psf(
        "NIRCAM",
        wavelength=nodes,
        pixel_scale=pixel_scale,
        npix=npix,
        angle=angle,
        broadening=0.0,
        jitter=0.0,
        source="aperture",
        use_cache=False,
    )


def truth(wavelength, angle, npix, pixel_scale):
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    dx, dy = np.array([[c, -s], [s, c]]) @ side_peak(wavelength)
    step = (np.arange(npix) - (npix - 1) / 2) * pixel_scale
    x, y = np.meshgrid(step, step)
    image = np.exp(-0.5 * (x**2 + y**2) / SIGMA**2)
    image += 0.4 * np.exp(-0.5 * ((x - dx) ** 2 + (y - dy) ** 2) / SIGMA**2)
    return image / image.sum()


def wrong_ways(data):
    """What the usual slips make of a cube (wavelength, y, x)."""
    return {
        "fftshift over wavelength": np.fft.fftshift(data, axes=0),
        "wavelength reversed": data[::-1],
        "axes swapped": data.transpose(0, 2, 1),
        "mirrored in x": data[:, :, ::-1],
        "mirrored in y": data[:, ::-1],
        "turned by 180 degrees": data[:, ::-1, ::-1],
        "conjugated OTF": np.fft.ifft2(np.conj(np.fft.fft2(data))).real,
        "half a pixel to the right": 0.5 * (data + np.roll(data, 1, axis=2)),
        "one pixel up": np.roll(data, 1, axis=1),
    }


@pytest.mark.parametrize("angle", [0.0, 30.0, -101.0])
def test_every_node_is_the_psf_of_its_wavelength_and_angle(source, angle):
    psf = made(angle)
    expected = np.array([truth(w, angle, 61, 0.0231) for w in psf.wavelength])
    peak = expected.max()
    assert np.abs(psf.data - expected).max() < 2e-4 * peak
    for slip, wrong in wrong_ways(expected).items():
        assert np.abs(wrong - expected).max() > 0.02 * peak, slip
    turned_back = np.array([truth(w, -angle, 61, 0.0231) for w in psf.wavelength])
    if angle:
        assert np.abs(turned_back - expected).max() > 0.02 * peak


def test_interpolation_gives_the_psf_of_an_unseen_wavelength(source):
    psf = made(30.0, nodes=chebyshev_nodes(1.7, 2.3, 9))
    for wavelength in (1.75, 2.02, 2.26):
        expected = truth(wavelength, 30.0, 61, 0.0231)
        got = psf.evaluate([wavelength])[0]
        assert np.abs(got - expected).max() < 1e-3 * expected.max()
        other = truth(4.0 - wavelength if wavelength != 2.02 else 1.75, 30.0, 61, 0.0231)
        assert np.abs(other - expected).max() > 0.02 * expected.max()


@pytest.mark.parametrize(("npix", "pixel_scale"), [(61, 0.0231), (31, 0.05), (101, 0.0125)])
def test_core_is_centred_to_a_hundredth_of_a_pixel(monkeypatch, npix, pixel_scale):
    def core(_channel, _wavelength, scale, size):
        y, x = (np.indices((size, size)) - (size - 1) / 2) * scale
        return np.exp(-0.5 * (x**2 + y**2) / SIGMA**2)

    monkeypatch.setattr(native_module.aperture, "native_psf", core)
    psf = made(17.0, npix, pixel_scale)
    offset = np.arange(npix) - npix // 2
    for image in psf.data:
        assert abs(image.sum(axis=0) @ offset) < 0.01
        assert abs(image.sum(axis=1) @ offset) < 0.01


def test_files_keep_axes_and_wavelengths(source, tmp_path):
    psf = made(30.0)
    write_psf(psf, tmp_path / "psf.fits")
    back = read_psf(tmp_path / "psf.fits")
    npix = back.data.shape[1]
    expected = np.array([truth(w, 30.0, npix, 0.0231) for w in back.wavelength])
    assert np.abs(back.data - expected).max() < 1e-3 * expected.max()
    order = np.argsort(-NODES)
    shuffled = PsfCube(psf.data[order][::-1], NODES, psf.pixel_scale, "test")
    np.testing.assert_array_equal(shuffled.data, psf.data)
