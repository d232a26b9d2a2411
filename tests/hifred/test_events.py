"""Event lists become the count cubes they were scattered from, whatever observatory wrote them."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.command.main import main
from jwst_fusion.hifred.xray.counts import read_counts
from jwst_fusion.hifred.xray.cube_file import make_count_cube
from jwst_fusion.hifred.xray.event_selection import inside_times, parse_values
from jwst_fusion.hifred.xray.events import read_events
from jwst_fusion.hifred.xray.ogip_write import write_rmf

RA, DEC, PIXEL = 350.85, 58.815, 1.0  # deg, deg, arcsec
SHAPE = (12, 6, 8)  # channel, y, x; pixels of 10 arcsec
FIELD = {"pixel": 10.0, "centre": (RA, DEC), "size": (80.0, 60.0)}
# TELESCOP, INSTRUME, first channel of the cube, PI per channel, unit of PI, energies of the cube
CAMERAS = {
    "acis": ("CHANDRA", "ACIS", 101, 1, "chan", (1.4599, 1.6353)),
    "pn": ("XMM", "EPN", 1000, 5, "eV", (0.9999, 1.0601)),
    "resolve": ("XRISM", "RESOLVE", 4000, 1, "chan", (2.0, 2.006)),
    "xtend": ("XRISM", "XTEND", 200, 1, "chan", (1.2, 1.272)),
}


def scattered(camera, seed=0):
    """Counts and the columns of their events."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(3.0, SHAPE)
    channel, row, column = np.repeat(np.indices(SHAPE).reshape(3, -1), counts.ravel(), axis=1)
    size = channel.size
    _, _, first, step, _, _ = CAMERAS[camera]
    return counts, {
        "X": 460.5 + 10 * (column + rng.random(size)),
        "Y": 470.5 + 10 * (row + rng.random(size)),
        "PI": first + step * channel + rng.integers(0, step, size),
        "TIME": rng.uniform(0.0, 1000.0, size),
        "PATTERN": np.zeros(size, int),
        "FLAG": np.zeros(size, int),
        "GRADE": np.zeros(size, int),
        "ITYPE": np.zeros(size, int),
    }


def event_file(path, camera, columns, *, lower=False, gti=((0.0, 1000.0),), **keys):
    telescope, instrument, _, _, unit, _ = CAMERAS[camera]
    units = {"PI": unit, "X": "pixel", "Y": "pixel", "TIME": "s"}
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(
                name.lower() if lower else name,
                "D" if np.asarray(values).dtype.kind == "f" else "J",
                unit=units.get(name),
                array=values,
            )
            for name, values in columns.items()
        ],
        name="EVENTS",
    )
    header = {"TELESCOP": telescope, "INSTRUME": instrument, "EXPOSURE": 900.0, "ONTIME": 1000.0}
    for number, kind, value, step in ((1, "RA---TAN", RA, -1), (2, "DEC--TAN", DEC, 1)):
        header |= {
            f"TCTYP{number}": kind,
            f"TCRVL{number}": value,
            f"TCRPX{number}": 500.5,
            f"TCDLT{number}": step * PIXEL / 3600,
            f"TCUNI{number}": "deg",
            f"TLMIN{number}": 0.5,
            f"TLMAX{number}": 1000.5,
        }
    table.header.update(header | keys)
    start, stop = np.transpose(gti)
    times = fits.BinTableHDU.from_columns(
        [fits.Column("START", "D", array=start), fits.Column("STOP", "D", array=stop)], name="GTI"
    )
    fits.HDUList([fits.PrimaryHDU(), table, times]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("camera", CAMERAS)
def test_events_become_the_cube_they_came_from(tmp_path, camera, lower):
    counts, columns = scattered(camera)
    path = event_file(tmp_path / "evt.fits", camera, columns, lower=lower)
    energy = CAMERAS[camera][5]
    made, edges = make_count_cube(path, tmp_path / "cube.fits", energy=energy, **FIELD)
    assert np.array_equal(made, counts)
    assert np.allclose(edges[[0, -1]], energy, atol=1e-3)
    cube = read_counts(tmp_path / "cube.fits")
    assert np.array_equal(cube.counts, counts)
    assert np.allclose(cube.energies, edges)
    assert cube.exposure == pytest.approx(900.0)
    assert cube.pixel_scale == pytest.approx(10.0)
    middle = cube.wcs.pixel_to_world(3.5, 2.5)
    assert middle.separation(SkyCoord(RA, DEC, unit="deg")).arcsec < 1e-3


def test_channels_of_a_response_and_groups(tmp_path):
    """With an RMF its EBOUNDS tell energies, of PI in eV, too."""
    counts, columns = scattered("pn")
    path = event_file(tmp_path / "evt.fits", "pn", columns)
    edges = 5e-3 * np.arange(301)
    write_rmf(tmp_path / "a.rmf", np.eye(300), edges, edges, first_channel=0)
    options = {**FIELD, "rmf": tmp_path / "a.rmf", "energy": (1.0, 1.06)}
    made, found = make_count_cube(path, tmp_path / "cube.fits", group=3, **options)
    assert np.array_equal(made, counts.reshape(4, 3, 6, 8).sum(axis=1))
    assert np.allclose(found, edges[200:213:3])


def test_turned_field_and_default_field(tmp_path):
    counts, columns = scattered("acis")
    path = event_file(tmp_path / "evt.fits", "acis", columns)
    energy = CAMERAS["acis"][5]
    everything, _ = make_count_cube(path, tmp_path / "a.fits", energy=energy, pixel=10.0)
    assert everything.sum() == counts.sum()
    # by 90 degrees: north is to the right, the y axis points east
    turned, _ = make_count_cube(
        path,
        tmp_path / "b.fits",
        energy=energy,
        pixel=10.0,
        centre=(RA, DEC),
        size=(60.0, 80.0),
        angle=90.0,
    )
    assert np.array_equal(turned, np.rot90(counts, axes=(1, 2)))
    cube = read_counts(tmp_path / "b.fits")
    low, high = cube.wcs.pixel_to_world([2, 2], [0, 5])
    assert low.position_angle(high).deg == pytest.approx(90.0, abs=0.1)


def test_selections_and_times(tmp_path, caplog):
    _, columns = scattered("acis")
    columns["GRADE"][:100] = 5
    path = event_file(tmp_path / "evt.fits", "acis", columns, gti=((100.0, 500.0), (500.0, 600.0)))
    good = (columns["TIME"] >= 100) & (columns["TIME"] <= 600)
    events = read_events(path)
    assert events.x.size == np.count_nonzero(good[100:])
    # the rest of the good times was cut away, and its exposure with it
    assert events.exposure == pytest.approx(450.0)
    assert "the exposure is reduced to 450 s" in caplog.text
    assert read_events(path, standard=False).x.size == np.count_nonzero(good)
    assert read_events(path, keep={"grade": "5"}).x.size == np.count_nonzero(good[:100])
    event_file(tmp_path / "gti.fits", "acis", columns, gti=((0.0, 200.0), (590.0, 700.0)))
    fewer = read_events(path, gti=tmp_path / "gti.fits")
    assert fewer.exposure == pytest.approx(450.0 * 110 / 500)
    assert parse_values("0,2-4,6") == [(0, 0), (2, 4), (6, 6)]
    assert inside_times(np.array([0.0, 1.0, 2.5]), np.array([[0.5, 1.0], [2.0, 3.0]])).tolist() == [
        False,
        True,
        True,
    ]


def test_exposure_maps_and_backgrounds(tmp_path):
    _, columns = scattered("acis")
    path = event_file(tmp_path / "evt.fits", "acis", columns)
    options = {**FIELD, "energy": CAMERAS["acis"][5]}
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [RA, DEC], [30.5, 30.5]
    wcs.wcs.cdelt = [-2 / 3600, 2 / 3600]
    image = np.full((60, 60), 900.0)
    image[:, 34:] = 450.0
    image[:25] = 0.0
    header = wcs.to_header()
    header["BUNIT"] = "SEC"
    fits.PrimaryHDU(image, header).writeto(tmp_path / "map.fits")
    empty = event_file(tmp_path / "bg.fits", "acis", scattered("acis", 1)[1], EXPOSURE=9000.0)
    make_count_cube(
        path,
        tmp_path / "cube.fits",
        exposure_map=tmp_path / "map.fits",
        background=empty,
        **options,
    )
    cube = read_counts(tmp_path / "cube.fits")
    assert cube.vignetting[3:, 1].tolist() == pytest.approx([1.0] * 3)
    assert cube.vignetting[4, 6] == pytest.approx(0.5)
    assert not cube.good[:, 0].any()
    expected = scattered("acis", 1)[0].sum() / 10
    assert cube.background.sum() == pytest.approx(expected, rel=1e-5)
    assert cube.background.min() > 0
    header["BUNIT"] = ""
    fits.PrimaryHDU(image, header).writeto(tmp_path / "map.fits", overwrite=True)
    with pytest.raises(ValueError, match="values up to 900 and no unit"):
        make_count_cube(path, tmp_path / "no.fits", exposure_map=tmp_path / "map.fits", **options)
    header["BUNIT"] = "ks"
    fits.PrimaryHDU(image, header).writeto(tmp_path / "map.fits", overwrite=True)
    with pytest.raises(ValueError, match="more than the exposure of 900 s"):
        make_count_cube(path, tmp_path / "no.fits", exposure_map=tmp_path / "map.fits", **options)


def test_background_spectrum_is_spread_evenly(tmp_path):
    _, columns = scattered("resolve")
    path = event_file(tmp_path / "evt.fits", "resolve", columns)
    number = np.arange(60000)
    table = fits.BinTableHDU.from_columns(
        [fits.Column("CHANNEL", "J", array=number), fits.Column("COUNTS", "J", array=number % 7)],
        name="SPECTRUM",
    )
    table.header["EXPOSURE"] = 1800.0
    table.writeto(tmp_path / "nxb.pi")
    options = {**FIELD, "energy": CAMERAS["resolve"][5], "background": tmp_path / "nxb.pi"}
    make_count_cube(path, tmp_path / "cube.fits", **options)
    cube = read_counts(tmp_path / "cube.fits")
    spectrum = (number % 7)[4000:4012] * 0.5
    assert np.allclose(cube.background, (spectrum / 48)[:, None, None], rtol=1e-6)


BAD = {
    "nothing": ({}, {"energy": (5.0, 6.0)}, "no event is left of .* 0 of 5"),
    "elsewhere": ({}, {"centre": (10.0, -5.0)}, "0 on the field"),
    "no channels": ({}, {"energy": (1.5, 1.51)}, "holds 0 channels of 14.6 eV"),
    "falling": ({}, {"energy": (2.0, 1.0)}, "the second must be larger"),
    "no group": ({}, {"group": 0}, "group is 0"),
    "no pixel": ({}, {"pixel": 0.0}, "pixel is 0"),
    "no values": ({}, {"keep": {"GRADE": "4-2"}}, "'4-2' is no list of values"),
    "no column": ({}, {"keep": {"PHASE": "0"}}, "no column PHASE"),
    "too large": ({}, {"pixel": 0.01}, "would become a cube of"),
    "unknown": ({"INSTRUME": "NEW"}, {}, "CHANDRA NEW, whose channels are not known: give the RMF"),
    "no time": ({"EXPOSURE": "long"}, {}, "EXPOSURE = 'long': expected a number"),
    "zero time": ({"EXPOSURE": 0.0}, {}, "has no exposure time"),
    "no sky": ({"TCTYP1": "DETX", "TCTYP2": "DETY"}, {}, "have no sky coordinates"),
}


@pytest.mark.parametrize("case", BAD)
def test_faults_are_one_clear_error(tmp_path, case):
    keys, options, message = BAD[case]
    path = event_file(tmp_path / "evt.fits", "acis", scattered("acis")[1], **keys)
    given = {**FIELD, "energy": CAMERAS["acis"][5], **options}
    with pytest.raises(ValueError, match=message):
        make_count_cube(path, tmp_path / "cube.fits", **given)
    assert not (tmp_path / "cube.fits").exists()


def test_the_command(tmp_path, capsys):
    counts, columns = scattered("acis")
    path = event_file(tmp_path / "evt.fits", "acis", columns)
    words = ["events", str(path), str(tmp_path / "cube.fits"), "--energy", "1.4599", "1.6353"]
    words += ["--pixel", "10", "--centre", str(RA), str(DEC), "--size", "80", "60"]
    assert main([*words, "--keep", "GRADE=0-6"]) == 0
    assert (
        f"{counts.sum()} counts, 12 channels of 1.46 to 1.635 keV, 8 x 6" in capsys.readouterr().out
    )
    assert main(words) == 2
    assert "exists: give another name, or --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--keep", "GRADE"]) == 2
    assert "expected COLUMN=VALUES" in capsys.readouterr().err


def test_real_chandra_events(data_dir, tmp_path, caplog):
    """Columns in lower case; good times of the 945 s that were left of an exposure of 18 ks."""
    path = data_dir / "real" / "xray" / "acis_m82_10027_chandra_test_evt.fits"
    if not path.is_file():
        pytest.skip(f"no {path}")
    counts, edges = make_count_cube(
        path, tmp_path / "m82.fits", energy=(0.5, 7.0), pixel=4.0, group=4
    )
    with fits.open(path) as hdus:
        energy = hdus["EVENTS"].data["energy"] / 1e3
    assert counts.sum() == 3815
    assert abs(np.count_nonzero((energy > edges[0]) & (energy < edges[-1])) - counts.sum()) < 10
    cube = read_counts(tmp_path / "m82.fits")
    assert cube.exposure == pytest.approx(18279.34 * 945.336 / 20154.8, rel=1e-4)
    y, x = np.unravel_index(cube.counts.sum(axis=0).argmax(), cube.counts.shape[1:])
    m82 = SkyCoord(148.968, 69.680, unit="deg")
    assert cube.wcs.pixel_to_world(x, y).separation(m82).arcsec < 30
    assert "good times last 945.336 s" in caplog.text
