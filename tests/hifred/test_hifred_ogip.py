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
