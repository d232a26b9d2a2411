"""OGIP responses: every layout gives the same matrix, and damaged files are named."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import norm

from jwst_fusion.hifred.xray.energy_grid import contiguous, interpolation_weights, overlap
from jwst_fusion.hifred.xray.ogip import read_arf, read_rmf
from jwst_fusion.hifred.xray.ogip_write import write_arf, write_rmf

ENERGIES = np.linspace(0.4, 1.2, 41)
CHANNELS = np.linspace(0.38, 1.24, 31)


@pytest.fixture(scope="module")
def matrix():
    """A matrix with empty rows, rows of several groups, and rows that lose counts."""
    middle = 0.5 * (ENERGIES[1:] + ENERGIES[:-1])
    full = np.diff(norm.cdf((CHANNELS[:, None] - middle) / 0.05), axis=0)
    full[full < 1e-4] = 0
    full[:3, 20:] += 0.004  # escape peak: a second group
    full[:, 0] = 0
    return full.astype(np.float32).astype(float)


def rebuilt(path, columns, header=(), *, name="MATRIX", bounds=True, first=1):
    """Write a file by hand, with any layout of the columns."""
    table = fits.BinTableHDU.from_columns(columns, name=name)
    table.header.update(dict(header))
    hdus = [fits.PrimaryHDU(), table]
    if bounds:
        count = CHANNELS.size - 1
        given = [
            fits.Column("CHANNEL", "J", array=np.arange(first, first + count)),
            fits.Column("E_MIN", "E", unit="keV", array=CHANNELS[:-1]),
            fits.Column("E_MAX", "E", unit="keV", array=CHANNELS[1:]),
        ]
        hdus.append(fits.BinTableHDU.from_columns(given, name="EBOUNDS"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def single_group(matrix, *, first=1, unit="keV", scale=1.0, start=None):
    """Columns with one group per row, scalar F_CHAN and N_CHAN, rows of fixed length."""
    count, bins = matrix.shape
    return [
        fits.Column("ENERG_LO", "E", unit=unit, array=scale * ENERGIES[:-1]),
        fits.Column("ENERG_HI", "E", unit=unit, array=scale * ENERGIES[1:]),
        fits.Column("N_GRP", "I", array=np.ones(bins)),
        fits.Column("F_CHAN", "I", array=np.full(bins, first if start is None else start)),
        fits.Column("N_CHAN", "I", array=np.full(bins, count)),
        fits.Column("MATRIX", f"{count}E", array=matrix.T),
    ]


@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize("channels", [CHANNELS, None])
def test_written_matrices_read_back(tmp_path, matrix, first, channels):
    path = tmp_path / "a.rmf"
    write_rmf(path, matrix, ENERGIES, channels, first_channel=first)
    rmf = read_rmf(path)
    assert rmf.first_channel == first
    assert not rmf.contains_area
    assert np.allclose(rmf.energies, ENERGIES, atol=1e-12)
    assert rmf.matrix.shape == matrix.shape
    assert np.allclose(rmf.matrix.toarray(), matrix, rtol=1e-6)
    assert (rmf.channels is None) == (channels is None)


@pytest.mark.parametrize("first", [0, 1])
def test_fixed_rows_with_scalar_channels(tmp_path, matrix, first):
    """As Swift and ROSAT write them; TLMIN is in the fourth column."""
    columns = single_group(matrix, first=first)
    path = rebuilt(tmp_path / "b.rmf", columns, {"TLMIN4": first}, first=first)
    assert np.allclose(read_rmf(path).matrix.toarray(), matrix, rtol=1e-6)


@pytest.mark.parametrize(("bounds", "first"), [(True, 0), (True, 1), (False, 0), (False, 1)])
def test_without_tlmin_the_first_channel_is_found(tmp_path, matrix, bounds, first):
    columns = single_group(matrix, first=first)
    path = rebuilt(tmp_path / "c.rmf", columns, {"DETCHANS": 30}, bounds=bounds, first=first)
    rmf = read_rmf(path)
    assert rmf.first_channel == first
    assert np.allclose(rmf.matrix.toarray(), matrix, rtol=1e-6)


def test_column_order_and_case_do_not_matter(tmp_path, matrix):
    columns = single_group(matrix, first=0)[::-1]
    for column in columns:
        column.name = column.name.lower()
    path = rebuilt(tmp_path / "d.rmf", columns, {"TLMIN3": 0}, first=0)
    assert np.allclose(read_rmf(path).matrix.toarray(), matrix, rtol=1e-6)


def test_energies_in_electronvolt_and_in_any_order(tmp_path, matrix):
    columns = single_group(matrix, unit="eV", scale=1000.0)
    for column in columns:
        column.array = column.array[::-1]
    rmf = read_rmf(rebuilt(tmp_path / "e.rmf", columns))
    assert np.allclose(rmf.energies, ENERGIES, rtol=1e-6)
    assert np.allclose(rmf.matrix.toarray(), matrix, rtol=1e-6)


@pytest.mark.parametrize("name", ["SPECRESP MATRIX", "MATRIX"])
def test_matrix_with_area(tmp_path, matrix, name):
    rmf = read_rmf(rebuilt(tmp_path / "f.rmf", single_group(300 * matrix), name=name))
    assert rmf.contains_area
    assert np.allclose(rmf.matrix.toarray(), 300 * matrix, rtol=1e-5)


def test_specresp_matrix_without_area(tmp_path, matrix):
    """The name alone says nothing: many such files hold probabilities."""
    path = rebuilt(tmp_path / "g.rmf", single_group(matrix), name="SPECRESP MATRIX")
    assert not read_rmf(path).contains_area
    write_rmf(tmp_path / "h.rmf", 0.5 * matrix, ENERGIES, CHANNELS, contains_area=True)
    assert read_rmf(tmp_path / "h.rmf").contains_area


def test_rows_beyond_one_are_normalised_and_counted(tmp_path, matrix, caplog):
    rmf = read_rmf(rebuilt(tmp_path / "i.rmf", single_group(1.3 * matrix)))
    sums = np.asarray(rmf.matrix.sum(axis=0)).ravel()
    assert sums.max() <= 1.02 + 1e-6
    assert "rows sum to more than one" in caplog.text


def test_several_matrices_are_added(tmp_path, matrix):
    """A sharp core on fine energies and a broad rest on coarse ones, as XRISM splits them."""
    core, coarse = tmp_path / "core.rmf", ENERGIES[::4]
    write_rmf(core, 0.8 * matrix, ENERGIES, CHANNELS)
    rest = np.full((30, 10), 0.2 / 30)
    write_rmf(tmp_path / "rest.rmf", rest, coarse, CHANNELS)
    with fits.open(core) as one, fits.open(tmp_path / "rest.rmf") as two:
        fits.HDUList([one[0], one[1], one[2], two[1]]).writeto(tmp_path / "both.rmf")
    rmf = read_rmf(tmp_path / "both.rmf")
    assert np.allclose(rmf.matrix.toarray(), 0.8 * matrix + 0.2 / 30, rtol=1e-5)


def damaged(matrix):
    short = single_group(matrix)
    short[4] = fits.Column("N_CHAN", "I", array=np.full(40, 31))
    negative = matrix.copy()
    negative[3, 4] = -1.0
    gap = single_group(matrix)
    gap[1] = fits.Column("ENERG_HI", "E", unit="keV", array=ENERGIES[1:] - 0.005)
    length = single_group(matrix)
    length[0] = fits.Column("ENERG_LO", "E", unit="Angstrom", array=ENERGIES[:-1])
    return {
        "too short": (short, "31 channels|has 30 values for 31"),
        "beyond": (single_group(matrix, start=7), "names the channels 7 to 36"),
        "negative": (single_group(negative), "negative or not finite"),
        "zero": (single_group(0 * matrix), "zero throughout"),
        "gap": (gap, "gaps between the energies"),
        "wavelengths": (length, "ENERG_LO in 'Angstrom'"),
        "column": (single_group(matrix)[:-1], "no column MATRIX"),
    }


@pytest.mark.parametrize("case", list(damaged(np.zeros((30, 40)))))
def test_damaged_matrices_are_named(tmp_path, matrix, case):
    columns, message = damaged(matrix)[case]
    path = rebuilt(tmp_path / "damaged.rmf", columns, {"TLMIN4": 1})
    with pytest.raises(ValueError, match=message) as error:
        read_rmf(path)
    assert "damaged.rmf" in str(error.value)


@pytest.mark.parametrize("read", [read_rmf, read_arf])
def test_other_files_are_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"absent\.fits"):
        read(tmp_path / "absent.fits")
    (tmp_path / "junk.fits").write_bytes(b"junk" * 2000)
    with pytest.raises(ValueError, match=r"junk\.fits is not a readable FITS file"):
        read(tmp_path / "junk.fits")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(ValueError, match=r"image\.fits has no extension"):
        read(tmp_path / "image.fits")


def test_area_on_its_own_and_other_energies(tmp_path):
    edges = np.linspace(0.3, 2.0, 171)
    middle = 0.5 * (edges[1:] + edges[:-1])
    write_arf(tmp_path / "a.arf", 100 * middle, edges, exposure=5e4)
    arf = read_arf(tmp_path / "a.arf")
    assert arf.exposure == 5e4
    assert np.allclose(arf.area, 100 * middle)
    for count in (17, 40, 3000):
        other = np.linspace(0.5, 1.5, count + 1)
        assert np.allclose(arf.at(other), 50 * (other[1:] + other[:-1]), rtol=1e-6)


def test_area_elsewhere(tmp_path, caplog):
    write_arf(tmp_path / "a.arf", np.ones(10), np.linspace(0.5, 1.0, 11))
    arf = read_arf(tmp_path / "a.arf")
    area = arf.at(np.linspace(0.8, 1.2, 41))
    assert area[:20] == pytest.approx(1.0)
    assert not area[20:].any()
    assert "taken as zero at 20 of 40 energies" in caplog.text
    with pytest.raises(ValueError, match=r"covers 0\.5 to 1 keV, nothing of 6 to 7 keV"):
        arf.at(np.linspace(6.0, 7.0, 5))


def test_areas_next_to_nothing_are_none(tmp_path, caplog):
    path = tmp_path / "a.arf"
    energies = np.linspace(0.5, 1.5, 11)
    write_arf(path, np.r_[np.full(9, 300.0), 1e-30], energies)
    assert read_arf(path).at(energies)[-1] == 0
    assert "a.arf has less than 1e-06 of its largest area at 1 of 10 energies" in caplog.text


@pytest.mark.parametrize("values", [[1.0, -1.0], [np.nan, 1.0], [0.0, 0.0]])
def test_areas_that_are_none(tmp_path, values):
    write_arf(tmp_path / "a.arf", values, [0.5, 1.0, 1.5])
    with pytest.raises(ValueError, match="negative or not finite, or none but zero"):
        read_arf(tmp_path / "a.arf")


edges_of = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=30).map(
    lambda steps: 0.3 + np.cumsum(steps)
)


@given(source=edges_of, target=edges_of)
def test_overlap_keeps_counts(source, target):
    share = overlap(source, target)
    assert share.shape == (target.size - 1, source.size - 1)
    wide = np.concatenate([[0.0], target, [target[-1] + 40.0]])
    assert np.allclose(np.asarray(overlap(source, wide).sum(axis=0)), 1.0)
    # Counts spread evenly stay spread evenly.
    widths = overlap(source, wide) @ np.diff(source)
    inside = np.clip(wide[1:], source[0], source[-1]) - np.clip(wide[:-1], source[0], source[-1])
    assert np.allclose(widths, inside, atol=1e-6)


@given(source=edges_of, target=edges_of)
def test_interpolation_keeps_constants(source, target):
    weights, covered = interpolation_weights(source, target)
    assert isinstance(weights, sparse.csr_array)
    assert np.allclose(np.ones(source.size - 1) @ weights, covered)


def test_interpolation_follows_a_line_of_a_response():
    """Columns between those of the file move with energy, they do not jump."""
    source, target = np.linspace(0.4, 1.2, 81), np.linspace(0.5, 1.1, 1201)
    middle = 0.5 * (source[1:] + source[:-1])
    weights, _ = interpolation_weights(source, target)
    assert np.allclose(middle @ weights, 0.5 * (target[1:] + target[:-1]), atol=1e-9)


def test_edges_tolerate_single_precision_only():
    edges = np.linspace(0.1, 10, 2000)
    low, high = (part.astype(np.float32).astype(float) for part in (edges[:-1], edges[1:]))
    assert contiguous(low, high, "x").size == 2000
    with pytest.raises(ValueError, match="x: there are gaps"):
        contiguous(low, high - 0.001, "x")
    with pytest.raises(ValueError, match="do not rise"):
        contiguous(low[::-1], high[::-1], "x")


def test_extensions_are_known_by_their_class(tmp_path, matrix):
    """The Chandra Source Catalog calls them RSP_MATRIX; others have names of their own."""
    path = rebuilt(tmp_path / "a.rmf", single_group(matrix), {"TLMIN4": 1}, name="ANY")
    with fits.open(path, "update") as hdus:
        hdus[1].header.update({"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RSP_MATRIX"})
    assert np.allclose(read_rmf(path).matrix.toarray(), matrix, rtol=1e-6)
    write_arf(tmp_path / "a.arf", np.ones(40), ENERGIES)
    with fits.open(tmp_path / "a.arf", "update") as hdus:
        hdus[1].name = "AREA"
    assert np.allclose(read_arf(tmp_path / "a.arf").area, 1.0)


@pytest.mark.parametrize("units", [("KEV", "CM2"), ("eV", "cm^2"), ("kev", "cm2"), ("EV", "M**2")])
def test_units_in_any_spelling(tmp_path, units):
    scale, area = 1e3 if units[0].lower() == "ev" else 1.0, 1e-4 if "M*" in units[1] else 1.0
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "D", unit=units[0], array=scale * ENERGIES[:-1]),
            fits.Column("ENERG_HI", "D", unit=units[0], array=scale * ENERGIES[1:]),
            fits.Column("SPECRESP", "D", unit=units[1], array=np.full(40, 7.0 * area)),
        ],
        name="SPECRESP",
    )
    table.writeto(tmp_path / "a.arf")
    arf = read_arf(tmp_path / "a.arf")
    assert np.allclose(arf.energies, ENERGIES)
    assert np.allclose(arf.area, 7.0)


def test_small_areas_are_told_by_class_and_unit(tmp_path, matrix):
    """An area of 0.3 cm2 is no efficiency, and one in m2 none of 1e-4."""
    full = rebuilt(tmp_path / "a.rmf", single_group(0.3 * matrix), {"HDUCLAS3": "FULL"})
    assert read_rmf(full).contains_area
    for unit, factor in (("cm2", 1.0), ("M**2", 1e-4)):
        columns = single_group(0.3 * factor * matrix)
        columns[5].unit = unit
        rmf = read_rmf(rebuilt(tmp_path / "b.rmf", columns))
        assert rmf.contains_area
        assert np.allclose(rmf.matrix.toarray(), 0.3 * matrix, rtol=1e-5)
    columns = single_group(0.3 * matrix)
    columns[5].unit = "cm2"
    # the class goes before the unit
    assert not read_rmf(rebuilt(tmp_path / "c.rmf", columns, {"HDUCLAS3": "REDIST"})).contains_area


def test_slightly_negative_values_leave_the_sums_of_rows(tmp_path, matrix, caplog):
    noisy = matrix.copy()
    noisy[-4:, 5] -= 1e-4
    rmf = read_rmf(rebuilt(tmp_path / "a.rmf", single_group(noisy)))
    assert rmf.matrix.data.min() >= 0
    assert np.allclose(np.asarray(rmf.matrix.sum(axis=0)).ravel(), noisy.sum(axis=0), rtol=1e-6)
    assert "4 of 1200 values are negative, down to -0.0001; set to zero" in caplog.text


def test_energies_without_width_are_left_out(tmp_path, matrix, caplog):
    columns = single_group(matrix)
    low, high = ENERGIES[:-1].copy(), ENERGIES[1:].copy()
    low[-1] = high[-1]
    columns[0].array, columns[1].array = low, high
    rmf = read_rmf(rebuilt(tmp_path / "a.rmf", columns))
    assert rmf.matrix.shape == (30, 39)
    assert np.allclose(rmf.matrix.toarray(), matrix[:, :-1], rtol=1e-6)
    assert "1 of 40 energies in MATRIX have no width" in caplog.text


def test_channels_that_only_fit_from_one(tmp_path, matrix, caplog):
    """EBOUNDS counts from 0, F_CHAN from 1, and no TLMIN says so."""
    path = rebuilt(tmp_path / "a.rmf", single_group(matrix, first=1), first=0)
    rmf = read_rmf(path)
    assert np.allclose(rmf.matrix.toarray(), matrix, rtol=1e-6)
    assert rmf.first_channel == 0
    assert "F_CHAN counts channels from 1, its EBOUNDS from 0" in caplog.text


def test_channels_that_may_be_shifted_are_doubted(tmp_path, caplog):
    """Where both counts fit, that of EBOUNDS is taken, and the distance of the peaks is said."""
    narrow = np.zeros((30, 40))
    edges = np.interp(0.5 * (ENERGIES[1:] + ENERGIES[:-1]), CHANNELS, np.arange(31))
    narrow[edges.astype(int), np.arange(40)] = 1.0
    write_rmf(tmp_path / "a.rmf", narrow, ENERGIES, CHANNELS, first_channel=1)
    with fits.open(tmp_path / "a.rmf", "update") as hdus:
        del hdus[1].header["TLMIN4"], hdus[1].header["TLMAX4"]
        hdus[2].data["CHANNEL"] -= 1
    assert read_rmf(tmp_path / "a.rmf").first_channel == 0
    assert "has no TLMIN of F_CHAN" in caplog.text


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        (1, "TLMIN4", "one", "has TLMIN4 = 'one': expected a whole number"),
        (1, "DETCHANS", 30.5, "has DETCHANS = 30.5: expected a whole number"),
        (1, "DETCHANS", True, "has DETCHANS = True"),
        (2, "CHANNEL", 7, r"column CHANNEL of EBOUNDS is damaged \(7, 7, 7, 7"),
        (1, "MATRIX", np.nan, "1200 of 1200 values are not finite"),
    ],
)
def test_damaged_keywords_and_columns_are_named(tmp_path, matrix, table, key, value, message):
    path = rebuilt(tmp_path / "damaged.rmf", single_group(matrix), {"TLMIN4": 1})
    with fits.open(path, "update") as hdus:
        if key in ("CHANNEL", "MATRIX"):
            hdus[table].data[key] = value
        else:
            hdus[table].header[key] = value
    with pytest.raises(ValueError, match=message) as error:
        read_rmf(path)
    assert "damaged.rmf" in str(error.value)


def test_numbers_as_text_are_numbers(tmp_path, matrix):
    keys = {"TLMIN4": "1", "DETCHANS": "30"}
    path = rebuilt(tmp_path / "a.rmf", single_group(matrix), keys, first=1)
    assert np.allclose(read_rmf(path).matrix.toarray(), matrix, rtol=1e-6)
    write_arf(tmp_path / "a.arf", np.ones(40), ENERGIES, exposure=5e4)
    fits.setval(tmp_path / "a.arf", "EXPOSURE", value="5e4", ext=1)
    assert read_arf(tmp_path / "a.arf").exposure == 5e4
    fits.setval(tmp_path / "a.arf", "EXPOSURE", value="long", ext=1)
    with pytest.raises(ValueError, match="EXPOSURE = 'long': expected a number"):
        read_arf(tmp_path / "a.arf")


def test_a_matrix_that_is_an_image_is_named(tmp_path):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((4, 4)), name="MATRIX")]
    fits.HDUList(hdus).writeto(tmp_path / "a.rmf")
    with pytest.raises(ValueError, match="extension MATRIX is an image"):
        read_rmf(tmp_path / "a.rmf")


def test_width_at_is_that_of_the_main_peak(tmp_path, matrix):
    write_rmf(tmp_path / "a.rmf", matrix, ENERGIES, CHANNELS)
    rmf = read_rmf(tmp_path / "a.rmf")
    assert rmf.width_at(0.7) == pytest.approx(0.05 * 2.355, abs=0.03)
    assert rmf.width_at(3.0) is None
