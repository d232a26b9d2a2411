import logging

import asdf
import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.psf import make_psf, read_psf, write_psf


@pytest.fixture(scope="module")
def psf():
    return make_psf(
        "NIRCAM",
        wavelength=[1.8, 2.1],
        pixel_scale=0.02,
        npix=81,
        source="aperture",
        use_cache=False,
    )


def test_round_trip(psf, tmp_path, caplog):
    write_psf(psf, tmp_path / "psf.fits")
    with caplog.at_level(logging.WARNING):
        back = read_psf(tmp_path / "psf.fits", npix=61)
    assert not caplog.records
    np.testing.assert_array_equal(back.wavelength, psf.wavelength)
    cut = psf.data[:, 10:-10, 10:-10]
    cut = cut / cut.sum(axis=(1, 2), keepdims=True)
    assert np.abs(back.data - cut).max() < 1e-4 * cut.max()


def test_asdf_holds_the_same(psf, tmp_path):
    write_psf(psf, tmp_path / "psf.fits")
    write_psf(psf, tmp_path / "psf.asdf")
    one, other = (read_psf(tmp_path / f"psf.{kind}", npix=61) for kind in ("fits", "asdf"))
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.wavelength, other.wavelength)
    assert other.pixel_scale == 0.02


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"junk" * 100, "not a readable ASDF"),
        (b"", "not a readable ASDF"),
        ({"psf": np.ones((1, 5, 5))}, "lacks the entries pixel_scale, wavelength"),
        ({"psf": np.ones((2, 5, 5)), "wavelength": 2.0, "pixel_scale": 0.1}, "not as many"),
    ],
    ids=["junk", "empty", "entries", "wavelengths"],
)
def test_bad_asdf_files_are_named(tmp_path, content, text):
    path = tmp_path / "bad.asdf"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        asdf.AsdfFile(content).write_to(path)
    with pytest.raises(ValueError, match=rf"bad\.asdf.*{text}"):
        read_psf(path)


def test_even_off_centre_and_unnormalised_is_put_right(psf, tmp_path, caplog):
    shifted = 7.0 * np.pad(psf.data, ((0, 0), (4, 1), (0, 5)))
    hdu = fits.PrimaryHDU(shifted)
    hdu.header["PIXELSCL"] = 0.02
    hdu.header["WAVELN00"], hdu.header["WAVELN01"] = 1.8e-6, 2.1e-6
    hdu.writeto(tmp_path / "psf.fits")
    with caplog.at_level(logging.WARNING):
        back = read_psf(tmp_path / "psf.fits", npix=61)
    assert "normalised" in caplog.text
    assert "off centre" in caplog.text
    cut = psf.data[:, 10:-10, 10:-10]
    cut = cut / cut.sum(axis=(1, 2), keepdims=True)
    assert np.abs(back.data - cut).max() < 2e-3 * cut.max()
    assert read_psf(tmp_path / "psf.fits").data.shape[1] % 2 == 1


def test_rotation_from_the_axes_of_the_file(psf, tmp_path):
    write_psf(psf, tmp_path / "psf.fits")
    still = read_psf(tmp_path / "psf.fits", npix=41)
    turned = read_psf(tmp_path / "psf.fits", npix=41, angle=90.0)
    np.testing.assert_allclose(turned.data, np.rot90(still.data, k=-1, axes=(1, 2)), atol=1e-8)


@pytest.mark.parametrize(
    ("keys", "data", "text"),
    [
        ({}, np.ones((5, 5)), "PIXELSCL"),
        ({"PIXELSCL": 0.03}, np.ones((5, 5)), "wavelengths"),
        ({"PIXELSCL": 0.03}, np.ones((5, 7)), "square"),
        ({"PIXELSCL": 0.03, "WAVELEN": 2e-6}, np.full((5, 5), np.nan), "not finite"),
        ({"PIXELSCL": 0.03, "WAVELEN": 2e-6}, np.arange(-11.0, 14).reshape(5, 5), "cancel"),
        ({"PIXELSCL": 0.03, "WAVELEN": 2e-6}, None, "no image"),
    ],
)
def test_files_that_hold_no_psf_are_named(tmp_path, keys, data, text):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(keys)
    hdu.writeto(tmp_path / "bad.fits")
    with pytest.raises(ValueError, match=rf"bad\.fits.*{text}"):
        read_psf(tmp_path / "bad.fits")


def test_missing_and_junk_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.fits"):
        read_psf(tmp_path / "none.fits")
    (tmp_path / "junk.fits").write_bytes(b"junk" * 100)
    with pytest.raises(ValueError, match=r"junk\.fits"):
        read_psf(tmp_path / "junk.fits")


@pytest.mark.parametrize("scale", [0.0, -0.03, "small"])
def test_pixels_of_no_size_are_named(tmp_path, scale):
    hdu = fits.PrimaryHDU(np.ones((5, 5)))
    hdu.header.update({"PIXELSCL": scale, "WAVELEN": 2e-6})
    hdu.writeto(tmp_path / "bad.fits")
    with pytest.raises(ValueError, match=r"bad\.fits has pixels of"):
        read_psf(tmp_path / "bad.fits")
