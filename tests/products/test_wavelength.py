"""All that read the wavelengths of a cube read the same ones."""

import numpy as np
import pytest
from astropy.io import fits
from s3d_pairs import s3d

from jwst_fusion.associations.coverage import ranges_of_cube
from jwst_fusion.command.demo_results import _read
from jwst_fusion.errors import NotFusableError
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.observations import open_cube, read_cube
from jwst_fusion.products.wavelength import set_wavelengths, wavelengths
from jwst_fusion.report.hifred.cubes import _brightness

WAVE = 2.0 + 0.002 * np.arange(6)
#: Changes of the keywords of the third axis that leave the wavelengths as they are.
SAME = {
    "as it is": {},
    "PC3_3": {"PC3_3": 0.5, "CDELT3": 0.004},
    "PC3_3 alone": {"PC3_3": 0.002, "CDELT3": 1.0},
    "CD3_3": {"CD3_3": 0.002, "CDELT3": None, "PC3_3": None},
    "CD3_3 before CDELT3": {"CD3_3": 0.002, "CDELT3": 1.0},
    "metre": {"CUNIT3": "m", "CRVAL3": 2e-6, "CDELT3": 2e-9},
    "nanometre": {"CUNIT3": "nm", "CRVAL3": 2000.0, "CDELT3": 2.0},
    "Angstrom": {"CUNIT3": "Angstrom", "CRVAL3": 20000.0, "CDELT3": 20.0},
    "no unit": {"CUNIT3": None},
    "reference pixel": {"CRPIX3": 3.0, "CRVAL3": 2.004},
}


def write(path, *, table=None, **keys):
    """Write a cube and change keywords of its axis; those that are None are removed."""
    data = 1 + 0.01 * np.arange(len(WAVE) * 5 * 4).reshape(len(WAVE), 5, 4)
    model = s3d(data, 1.0, WAVE, 0.1, path.name)
    if table is not None:
        set_wavelengths(model, table)
    model.save(str(path))
    with fits.open(path, mode="update") as hdus:
        for key, value in keys.items():
            hdus["SCI"].header.pop(key, None)
            if value is not None:
                hdus["SCI"].header[key] = value
        # What the header says counts, as for a file that another program has written.
        del hdus["ASDF"]
    return path


@pytest.mark.parametrize("keys", SAME.values(), ids=SAME)
def test_all_readers_agree(tmp_path, keys):
    path = write(tmp_path / "a_s3d.fits", **keys)
    cube, model = open_cube(str(path))
    expected = pytest.approx(WAVE, rel=1e-9)
    assert cube.wavelength == expected
    assert _read(path)[2] == expected
    assert _brightness(path)[1] == pytest.approx(np.append(WAVE, 2.012) - 0.001, rel=1e-9)
    with fits.open(path) as hdus:
        assert np.array_equal(file_wavelengths(hdus, "a"), cube.wavelength)
        (ends,) = ranges_of_cube(hdus[0].header, hdus["SCI"].header)
    assert ends == pytest.approx((1.999, 2.011), rel=1e-9)
    # and so does the product of a part of it
    arrays = {"data": 1 + 0.01 * np.arange(60, dtype="f4").reshape(3, 5, 4)}
    arrays["err"] = np.ones((3, 5, 4), "f4")
    product = cube_product(model, **arrays, dq=np.zeros((3, 5, 4), "u4"), channels=np.s_[2:5])
    product.save(str(tmp_path / "part_s3d.fits"))
    assert product.meta.wcs(0, 0, 0)[2] == pytest.approx(2.004)
    model.close()
    part = read_cube(str(tmp_path / "part_s3d.fits"))
    assert part.wavelength == pytest.approx(WAVE[2:5], rel=1e-9)


@pytest.mark.parametrize("unit", ["um", "nm"])
def test_table(tmp_path, unit):
    wave = np.r_[WAVE[:3], WAVE[3:] + 0.1]
    path = write(tmp_path / "a_s3d.fits", table=wave, CUNIT3=unit)
    factor = 1e-3 if unit == "nm" else 1.0
    with fits.open(path) as hdus:
        found = file_wavelengths(hdus, "a")
    assert found == pytest.approx(wave * factor, rel=1e-6)
    cube = read_cube(str(path))
    assert np.array_equal(cube.wavelength, found)


@pytest.mark.parametrize("table", [None, WAVE])
def test_unknown_unit(tmp_path, table):
    path = write(tmp_path / "a_s3d.fits", table=table, CUNIT3="furlong")
    text = r"has wavelengths in 'furlong' \(keyword CUNIT3\), which is not a unit of length"
    with pytest.raises(ValueError, match=text):
        read_cube(str(path))
    with pytest.raises(ValueError, match=text):
        _brightness(path)
    with fits.open(path) as hdus:
        with pytest.raises(ValueError, match=text):
            file_wavelengths(hdus, "a")
        if table is None:
            with pytest.raises(ValueError, match=text):
                ranges_of_cube(hdus[0].header, hdus["SCI"].header)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"CTYPE3": "FREQ"}, "CTYPE3 is 'FREQ'"),
        ({"CTYPE3": None}, "CTYPE3 is ''"),
        ({"CDELT3": None}, "CDELT3 or CD3_3 are needed"),
        ({"CTYPE3": "WAVE-TAB"}, "no wavelength table"),
    ],
)
def test_without_wavelengths(tmp_path, keys, text):
    path = write(tmp_path / "a_s3d.fits", **keys)
    with pytest.raises(NotFusableError, match=text):
        read_cube(str(path))
    with fits.open(path) as hdus, pytest.raises(ValueError, match=text):
        file_wavelengths(hdus, "a")


def test_models_in_memory():
    model = s3d(np.ones((len(WAVE), 5, 4)), 1.0, WAVE, 0.1, "a_s3d.fits")
    assert wavelengths(model, "a") == pytest.approx(WAVE)
    set_wavelengths(model, WAVE + 1)
    assert wavelengths(model, "a") == pytest.approx(WAVE + 1, rel=1e-6)
