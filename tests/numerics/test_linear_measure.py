"""Masks, regions, apertures and weights of channels as linear measures of a cube."""

import importlib.util

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, SkyCircularAperture, aperture_photometry

from jwst_fusion.numerics.linear_measure import linear_measure, spatial_weights
from jwst_fusion.numerics.stored_arrays import stored_arrays

SHAPE = (5, 12, 9)


def sky():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [83.8, -5.4]
    wcs.wcs.crpix = [5.0, 6.0]
    wcs.wcs.cdelt = [-2e-5, 2e-5]
    return wcs


def cube():
    return np.random.default_rng(3).normal(size=SHAPE)


def test_default_is_each_channel_over_all_pixels():
    data = cube()
    measure = linear_measure(None, None, SHAPE)
    assert measure.of(data) == pytest.approx(data.sum(axis=(1, 2)))
    data[2, 3, 4] = np.nan
    assert measure.of(data)[2] == pytest.approx(np.nansum(data[2]))


def test_one_sum_is_a_number_and_several_are_an_array():
    data, mask = cube(), np.zeros(SHAPE[1:], bool)
    mask[2:5, 3:6] = True
    spectrum = data[:, mask].sum(axis=1)
    line = np.array([0.0, -0.5, 1.0, -0.5, 0.0])
    one = linear_measure(mask, line, SHAPE).of(data)
    assert isinstance(one, float)
    assert one == pytest.approx(line @ spectrum)
    several = linear_measure(mask, np.stack([line, np.ones(5)]), SHAPE).of(data)
    assert several == pytest.approx([one, spectrum.sum()])


def test_apertures_weigh_pixels_as_photometry_does():
    image = cube()[0]
    aperture = CircularAperture((3.3, 5.1), 2.2)
    expected = aperture_photometry(image, aperture)["aperture_sum"][0]
    assert (spatial_weights(aperture, image.shape) * image).sum() == pytest.approx(expected)
    wcs = sky()
    on_sky = SkyCircularAperture(wcs.pixel_to_world(3.3, 5.1), r=2.2 * 2e-5 * u.deg)
    found = spatial_weights(on_sky, image.shape, wcs=lambda: wcs)
    assert found == pytest.approx(spatial_weights(aperture, image.shape), abs=1e-4)


def test_regions_count_pixels_whose_centres_they_hold(tmp_path):
    regions = pytest.importorskip("regions")
    y, x = np.indices(SHAPE[1:])
    inside = np.hypot(x - 3.3, y - 5.1) < 2.2
    circle = regions.CirclePixelRegion(regions.PixCoord(3.3, 5.1), 2.2)
    assert np.array_equal(spatial_weights(circle, SHAPE[1:]), inside)
    wcs = sky()
    on_sky = circle.to_sky(wcs)
    assert np.array_equal(spatial_weights(on_sky, SHAPE[1:], wcs=wcs), inside)
    other = regions.RectanglePixelRegion(regions.PixCoord(4, 5), 3, 3).to_sky(wcs)
    path = tmp_path / "two.reg"
    regions.Regions([on_sky, other]).write(str(path))
    both = inside | ((abs(x - 4) < 1.5) & (abs(y - 5) < 1.5))
    assert np.array_equal(spatial_weights(path, SHAPE[1:], wcs=wcs), both)
    (tmp_path / "none.reg").write_text("# Region file format: DS9\nimage\n")
    with pytest.raises(ValueError, match=r"none\.reg holds no region"):
        spatial_weights(tmp_path / "none.reg", SHAPE[1:])


@pytest.mark.parametrize(
    ("mask", "weights", "error", "text"),
    [
        (np.ones((12, 8)), None, ValueError, r"mask has the shape \(12, 8\).*\(12, 9\)"),
        (np.zeros((12, 9)), None, ValueError, "mask is zero everywhere"),
        (np.full((12, 9), np.nan), None, ValueError, "mask holds values that are not finite"),
        (CircularAperture((90, 90), 2), None, ValueError, "no pixel.* CircularAperture"),
        (CircularAperture([(3, 3), (5, 5)], 2), None, ValueError, "holds 2 apertures"),
        ({"a": 1}, None, TypeError, "mask is dict: expected an array, a region"),
        (None, np.ones(4), ValueError, r"weights has the shape \(4,\).* 5 channels"),
        (None, np.ones((2, 2, 5)), ValueError, "weights has the shape"),
        (None, np.array([1, 2, 3, 4, np.inf]), ValueError, "weights holds values"),
        (None, ["a"] * 5, TypeError, "weights is list: expected an array of numbers"),
        (
            SkyCircularAperture(SkyCoord(0, 0, unit="deg"), 1 * u.arcsec),
            None,
            ValueError,
            "SkyCircularAperture lies on the sky",
        ),
    ],
)
def test_what_cannot_be_used_is_named(mask, weights, error, text):
    with pytest.raises(error, match=text):
        linear_measure(mask, weights, SHAPE)


def test_files_of_regions_need_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"a\.reg as a mask needs the package 'regions'"):
        spatial_weights(tmp_path / "a.reg", SHAPE[1:])


def test_arrays_come_from_files_and_open_extensions(tmp_path):
    header = sky().to_header()
    data = cube().astype(np.float32)
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header, name="SCI")])
    hdus.writeto(tmp_path / "cube.fits")
    names = {"data": ("FIRST", "SCI"), "err": ("ERR",)}
    for product in (tmp_path / "cube.fits", str(tmp_path / "cube.fits"), hdus):
        found = stored_arrays(product, names)
        assert np.array_equal(found["data"], data)
        assert found["data"].dtype.isnative
        assert found["err"] is None
        assert found.wcs().wcs.crval == pytest.approx([83.8, -5.4])
    with pytest.raises(FileNotFoundError, match=r"none\.fits does not exist"):
        stored_arrays(tmp_path / "none.fits", names)
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(ValueError, match=r"text\.fits cannot be read as a FITS file"):
        stored_arrays(tmp_path / "text.fits", names)
    with pytest.raises(TypeError, match="product must be a file or a data model, got int"):
        stored_arrays(1, names)
