"""Whether a file is whole is found out before it is used."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.errors import NotFusableError
from jwst_fusion.input_files import check_whole, one_line, reading


@pytest.fixture
def content(tmp_path):
    """Bytes of a file with an image, a table, and checksums."""
    rng = np.random.default_rng(0)
    column = fits.Column("A", "20A", array=["x", "yy"])
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(rng.normal(size=(30, 29)), name="SCI"),
        fits.ImageHDU(np.ones((3, 3), "i2"), name="DQ"),
        fits.BinTableHDU.from_columns([column], name="T"),
    ]
    path = tmp_path / "whole.fits"
    fits.HDUList(hdus).writeto(path, checksum=True)
    return path.read_bytes()


def refusal(path, content):
    """What is said of a file with this content; empty if it is taken."""
    path.write_bytes(content)
    try:
        check_whole(path)
    except OSError as error:
        return str(error)
    return ""


def test_every_changed_byte_is_seen(content, tmp_path):
    assert refusal(tmp_path / "a.fits", content) == ""
    for place in range(0, len(content), 331):
        changed = bytearray(content)
        changed[place] ^= 4
        assert refusal(tmp_path / "a.fits", bytes(changed)), place


def test_every_cut_within_an_extension_is_seen(content, tmp_path):
    blocks = range(0, len(content), 2880)
    starts = [0, *(at for at in blocks if content[at : at + 8] == b"XTENSION"), len(content)]
    for size in range(0, len(content), 480):
        said = refusal(tmp_path / "a.fits", content[:size])
        # Between extensions only the number of these or their names can tell; some writers leave
        # the zeros out with which the last one is filled up.
        following = min(at for at in starts if at >= size)
        assert said or (following - size < 2880 and not content[size:following].strip(b"\0")), size
        if size > 2880:
            assert not said or "truncated" in said, size


@pytest.mark.parametrize("byte", [b"\0", b"\x10", b"\xe9"])
def test_keywords_that_are_none(content, tmp_path, byte):
    damaged = bytearray(content)
    damaged[80:81] = byte
    assert "characters that no keyword has" in refusal(tmp_path / "a.fits", bytes(damaged))


def test_copies_of_other_programs_need_data_and_errors(tmp_path):
    """Some keep neither DQ nor the tree of ASDF; a file that ends after SCI has been cut off."""
    primary = fits.PrimaryHDU()
    primary.header["DATAMODL"] = "IFUCubeModel"
    arrays = [fits.ImageHDU(np.ones((3, 4, 5)), name=name) for name in ("SCI", "ERR")]
    for count, said in ((2, ""), (1, "lacks ERR, ASDF")):
        path = tmp_path / f"{count}.fits"
        fits.HDUList([primary, *arrays[:count]]).writeto(path)
        assert said in refusal(path, path.read_bytes())
        assert bool(said) == bool(refusal(path, path.read_bytes()))


@pytest.mark.parametrize("part", [0.5, 0.7, 0.9, 0.999])
def test_cut_gzip_streams(content, tmp_path, part):
    packed = gzip.compress(content)
    assert refusal(tmp_path / "a.fits.gz", packed) == ""
    said = refusal(tmp_path / "a.fits.gz", packed[: int(part * len(packed))])
    assert "gzip stream is truncated or damaged" in said


def cards(*pairs):
    text = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in pairs)
    return (text + "END".ljust(80)).encode().ljust(2880)


SIMPLE = (("SIMPLE", "T"), ("BITPIX", "-64"))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((*SIMPLE, ("NAXIS", "2"), ("NAXIS1", "9999999"), ("NAXIS2", "9999999")), "memory of"),
        ((*SIMPLE, ("NAXIS", "2"), ("NAXIS1", "40"), ("NAXIS2", "99")), "truncated: the primary"),
        ((*SIMPLE, ("NAXIS", "2"), ("NAXIS1", "40")), "NAXIS2 of the primary header is missing"),
        ((*SIMPLE, ("NAXIS", "many")), "NAXIS of the primary header is 'many'"),
        ((*SIMPLE, ("NAXIS", "1"), ("NAXIS1", "-4")), "not allowed"),
        ((("SIMPLE", "T"), ("BITPIX", "7"), ("NAXIS", "0")), "not allowed"),
        ((*SIMPLE, ("NAXIS", "0"), ("NEXTEND", "3")), "0 extensions, but NEXTEND says 3"),
        ((*SIMPLE, ("NAXIS", "0"), ("DATAMODL", "'IFUCubeModel'")), "lacks SCI, ERR, ASDF"),
    ],
)
def test_headers_that_cannot_be(tmp_path, header, words):
    assert words in refusal(tmp_path / "a.fits", cards(*header))


def test_streams_that_unpack_to_more_than_data_do(tmp_path, monkeypatch, content):
    monkeypatch.setattr("jwst_fusion.input_files._BOMB", (100_000, 100))
    header = cards(*SIMPLE, ("NAXIS", "1"), ("NAXIS1", "2880000"))
    said = refusal(tmp_path / "a.fits.gz", gzip.compress(header + bytes(2_880_000)))
    assert "its gzip stream unpacks to more than" in said
    assert refusal(tmp_path / "a.fits.gz", gzip.compress(content)) == ""


def test_bombs_of_gzip(tmp_path):
    zeros = gzip.compress(bytes(30_000_000))
    header = gzip.compress(cards(*SIMPLE, ("NAXIS", "1"), ("NAXIS1", "99999999999")))
    assert "memory of" in refusal(tmp_path / "a.fits.gz", header + zeros)


def test_what_is_no_fits(tmp_path):
    for content, words in (
        (b"", "empty"),
        (b"junk" * 999, "not FITS"),
        (b"SIMPLE  =", "truncated"),
    ):
        assert words in refusal(tmp_path / "a.fits", content)
    assert "comes something that is none" in refusal(
        tmp_path / "a.fits", cards(*SIMPLE, ("NAXIS", "0")) + b"x" * 2880
    )
    assert not refusal(tmp_path / "a.fits", cards(*SIMPLE, ("NAXIS", "0")) + bytes(2880))


def test_errors_of_libraries_name_the_file():
    def read(error):
        with reading("a/b.fits"):
            raise error

    with pytest.raises(ValueError, match=r"a/b\.fits cannot be used: its header .*KeyError: 'X'"):
        read(KeyError("X"))
    for error in (ValueError("b.fits has no X"), NotFusableError("it"), FileNotFoundError("it")):
        with pytest.raises(type(error), match=f"^{error}$"):
            read(error)
    assert "\n" not in one_line(ValueError("two\nlines"))
