"""Catalogues of sources in the formats that users have."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS

from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.sources.catalogue import coordinates_of_images, read_catalogue

RA, DEC = np.array([83.8187, 83.8188]), np.array([-5.4083, -5.4081])


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "vot"])
@pytest.mark.parametrize("names", [("ra", "dec"), ("RA", "DEC"), ("ALPHA_J2000", "DELTA_J2000")])
def test_degrees_in_every_format(tmp_path, suffix, names):
    path = tmp_path / f"stars.{suffix}"
    table = Table({names[0]: RA, names[1]: DEC, "Label": [7, 9]})
    kinds = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "fits": "fits", "vot": "votable"}
    table.write(path, format=kinds[suffix])
    found = read_catalogue(path)
    assert np.allclose(found.sky.ra.deg, RA)
    assert np.allclose(found.sky.dec.deg, DEC)
    assert list(found.name) == ["7", "9"]


def test_catalogue_of_jwst(tmp_path):
    path = tmp_path / "a_cat.ecsv"
    sky = SkyCoord(RA, DEC, unit="deg")
    QTable({"label": [1, 2], "sky_centroid": sky}).write(path)
    found = read_catalogue(path)
    assert np.all(found.sky.separation(sky).arcsec < 1e-6)
    assert len(found) == 2


def test_units_are_respected_and_names_optional(tmp_path):
    path = tmp_path / "stars.ecsv"
    table = QTable({"ra": RA, "dec": DEC})
    table["ra"].unit = table["dec"].unit = "deg"
    table["ra"], table["dec"] = table["ra"].to("rad"), table["dec"].to("arcmin")
    table.write(path)
    found = read_catalogue(path)
    assert np.allclose(found.sky.ra.deg, RA)
    assert np.allclose(found.sky.dec.deg, DEC)
    assert list(found.name) == ["1", "2"]


def test_rows_without_a_name_are_numbered(tmp_path):
    path = tmp_path / "stars.ecsv"
    Table({"ra": RA, "dec": DEC, "name": MaskedColumn(["A", "B"], mask=[False, True])}).write(path)
    assert list(read_catalogue(path).name) == ["A", "row 2"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": RA, "y": DEC}, "no positions among its columns x, y"),
        ({"ra": ["05:35:16", "b"], "dec": DEC}, "column ra of stars.ecsv is not a number"),
        ({"ra": RA, "dec": DEC * 20}, "column dec of stars.ecsv has declinations beyond 90"),
        ({"ra": [np.nan, 1], "dec": DEC}, "column ra of stars.ecsv has no value in row 1"),
        (
            {"ra": MaskedColumn(RA, mask=[False, True]), "dec": DEC},
            "column ra of stars.ecsv has no value in row 2",
        ),
        ({"ra": RA, "dec": DEC, "id": ["a", "a"]}, "column id of stars.ecsv has a name twice: a"),
        ({"ra": [], "dec": []}, "no rows"),
    ],
)
def test_bad_catalogues_are_refused(tmp_path, columns, words):
    path = tmp_path / "stars.ecsv"
    Table(columns).write(path)
    with pytest.raises(ValueError, match=words):
        read_catalogue(path)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_catalogue(tmp_path / "none.csv")
    path = tmp_path / "stars.txt"
    path.write_text("ra dec")
    with pytest.raises(ValueError, match=r"suffix '\.txt'"):
        read_catalogue(path)
    path = tmp_path / "stars.fits"
    path.write_text("ra dec")
    with pytest.raises(ValueError, match="cannot be read as fits"):
        read_catalogue(path)


def test_positions_move_with_the_images(caplog):
    """What the cube shows at a pixel, images show beside it: there are the stars, too."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [RA[0], DEC[0]]
    wcs.wcs.cdelt, wcs.wcs.crpix = [-1e-5, 1e-5], [11, 11]
    grid = SkyGrid(wcs, (21, 21))
    seen = grid.sky(12.0, 9.0)  # what the images' coordinates say of a star at (10, 10)
    assert coordinates_of_images(grid, np.zeros((2, 2)), "a.csv") is grid
    assert coordinates_of_images(grid, np.zeros((0, 2)), "a.csv") is grid
    moved = coordinates_of_images(grid, np.array([[2.0, -1.0], [2.1, -1.0], [2.0, -0.9]]), "a.csv")
    np.testing.assert_allclose(moved.pixels(seen), (10, 10), atol=0.01)
    assert "differ" not in caplog.text
    coordinates_of_images(grid, np.array([[2.0, -1.0], [0.0, 0.0]]), "a.csv")
    assert "Offsets of the images differ by" in caplog.text
