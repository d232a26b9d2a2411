"""Files from outside: whether they are whole, and errors of reading them that name the file."""

import gzip
import os
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from jwst_fusion.errors import NotFusableError

__all__ = ["check_tree", "check_whole", "is_fits_name", "memory_of_machine", "one_line", "reading"]

_BLOCK = 2880  # bytes of a FITS block
_CARD = 80  # bytes of a card
_END = b"END" + 77 * b" "  # last card of a header
_KEYWORD, _NO_KEYWORD = 8, re.compile(rb"[^ -~]")  # bytes of a keyword; what none of them is
_HEADER = 8_000_000  # bytes; headers of JWST have less than 100 kB
_CHUNK = 1440 * _BLOCK  # bytes that are summed at a time, 4 MB
# Bytes, and times its size, to which a gzip stream may unpack: arrays shrink to a third, those that
# are blank to a thousandth, of which a file has few.
_BOMB = 1_000_000_000, 100
_GZIP = b"\x1f\x8b"  # first bytes of a gzip stream
_KEYS = re.compile(
    rb"(SIMPLE|BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT|GROUPS|EXTNAME|CHECKSUM|DATASUM|NEXTEND|DATAMODL)"
    rb" *= *('(?:[^']|'')*'|[^/]*)"
)
# Data models of jwst whose files hold at least these extensions. Programs that copy them may leave
# out the others; without DQ no good pixel is flagged.
_ARRAYS = {
    "IFUCubeModel": ("SCI", "ERR"),
    "IFUImageModel": ("SCI", "ERR"),
    "ImageModel": ("SCI", "ERR"),
    "MultiSlitModel": ("SCI", "ERR"),
    "SlitModel": ("SCI", "ERR"),
}
_ALIAS = re.compile(rb"[\s\[{,:-]\*[A-Za-z0-9_]")
_ADDRESS = re.compile(rb"source: *['\"]?[A-Za-z][A-Za-z0-9+.-]*://")
_NODES = 10_000_000  # of a tree; those of the WCS of an exposure are 200,000
_TREE = 1_000_000_000  # bytes of an ASDF extension that is looked through; 5 MB is usual
# What wcslib says of its own code.
_PLACE = re.compile(r"ERROR \d+ in \w+\(\) at line \d+ of file \S+:? ")
# How messages of an error are shortened.
_LONGEST = 300


@dataclass(frozen=True)
class _Extension:
    """What the walk through a file needs of a header."""

    name: str
    size: int
    datasum: int | None
    checksum: bool
    keys: dict


def memory_of_machine():
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def is_fits_name(path):
    """
    Say whether a file is FITS by its name.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file.

    Returns
    -------
    bool
        Whether it ends in ``.fits``, ``.fit`` or ``.fits.gz``.
    """
    return Path(path).name.lower().endswith((".fits", ".fit", ".fits.gz"))


def check_whole(path):
    """
    Check that a FITS file is whole, without keeping any of its arrays.

    Headers say how many bytes follow: all must be there, and no more than this machine can hold.
    A gzip stream is read to its end, where its own checksum is. Keywords CHECKSUM and DATASUM,
    where they are present, must agree with the bytes, and NEXTEND with the number of extensions. A
    JWST product without the extension ASDF, which comes last, must have its other arrays.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file. One that has not changed since the last call is not read again.

    Returns
    -------
    tuple of tuple
        Name and BITPIX of each extension.

    Raises
    ------
    OSError
        If it is empty, not FITS, cut off or damaged; the message says how, without the file's name.
    """
    path = Path(path).resolve()
    state = path.stat()
    return _check_whole(path, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=1024)
def _check_whole(path, size, *_state):  # a file that has changed is another entry
    if not size:
        msg = "the file is empty"
        raise OSError(msg)
    with path.open("rb") as stream:
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if not packed:
            return _walk(_Plain(stream, size))
        try:
            with gzip.open(stream, "rb") as unpacked:
                return _walk(_Stream(unpacked, size))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            msg = f"its gzip stream is truncated or damaged: {one_line(error)}"
            raise OSError(msg) from error


class _Plain:
    """Bytes of a file, most of which need not be read."""

    def __init__(self, stream, size):
        self._stream, self._left = stream, size

    def read(self, count):
        found = self._stream.read(count)
        self._left -= len(found)
        return found

    def skip(self, count):
        """Skip bytes; how many there were."""
        count = min(count, self._left)
        self._stream.seek(count, 1)
        self._left -= count
        return count


class _Stream:
    """Bytes of a compressed file, all of which are read."""

    def __init__(self, stream, packed):
        self._stream, self._memory = stream, memory_of_machine()
        self._given, self._most = 0, max(_BOMB[0], _BOMB[1] * packed)

    def read(self, count):
        found = self._stream.read(count)
        self._given += len(found)
        if self._given > self._memory:
            raise OSError(_too_large(self._given))
        if self._given > self._most:
            most = self._most / 1e9
            msg = f"its gzip stream unpacks to more than {most:.3g} GB, as none of data does"
            raise OSError(msg)
        return found

    def skip(self, count):
        """Skip bytes; how many there were."""
        left = count
        while left:
            found = self.read(min(left, _CHUNK))
            if not found:
                break
            left -= len(found)
        return count - left


class _Kept:
    """Bytes of another source, which are kept."""

    def __init__(self, source):
        self.source, self.content = source, b""

    def read(self, count):
        found = self.source.read(count)
        self.content += found
        return found

    def skip(self, count):
        """Skip bytes; how many there were."""
        return len(self.read(count))


def _walk(source):
    """Walk through the extensions of a file to its end; their names and BITPIX."""
    found, total = [], 0
    while True:
        header = _header(source, first=not found)
        if header is None:
            break
        extension = _extension(header, len(found))
        total += extension.size
        if total > memory_of_machine():
            raise OSError(_too_large(total))
        padded = -(-extension.size // _BLOCK) * _BLOCK
        if extension.name == "ASDF" and extension.size < _TREE:
            source = _Kept(source)
        if extension.datasum is not None or extension.checksum:
            there = _summed(source, padded, header, extension, len(found))
        else:
            there = source.skip(padded)
        # Some writers leave the last padding out, all of it.
        if there < padded and there != extension.size:
            msg = f"it is truncated: {_which(extension, len(found))} has {there} of {padded} bytes"
            raise OSError(msg)
        if isinstance(source, _Kept):
            check_tree(source.content)
            source = source.source
        found.append(extension)
    _check_number(found)
    return tuple((one.name, int(one.keys["BITPIX"])) for one in found)


def _header(source, *, first):
    """Read a header; None at the end of the file."""
    parts, size = [], 0
    while True:
        block = source.read(_BLOCK)
        if not parts and not first and not block.strip(b"\0 "):
            # The end, or blocks of zeros up to it.
            while block:
                block = source.read(_BLOCK)
                if block.strip(b"\0 "):
                    break
            else:
                return None
        known = block[:6] == b"SIMPLE" if first else block[:8] == b"XTENSION"
        if not parts and not known:
            if first:
                msg = "it is not FITS: it does not begin with SIMPLE"
            else:
                msg = "it is damaged: after an extension comes something that is none"
            raise OSError(msg)
        if len(block) < _BLOCK:
            msg = "it is truncated within a header"
            raise OSError(msg)
        parts.append(block)
        size += _BLOCK
        for start in range(0, _BLOCK, _CARD):
            if block[start : start + _CARD] == _END:
                return b"".join(parts)
            if _NO_KEYWORD.search(block[start : start + _KEYWORD]):
                msg = "it is damaged: a keyword of a header holds characters that no keyword has"
                raise OSError(msg)
        if size > _HEADER:
            msg = "it is damaged: a header has no END"
            raise OSError(msg)


def _extension(header, number):
    values = {}
    for start in range(0, len(header), _CARD):
        found = _KEYS.match(header[start : start + _CARD])
        if found:
            key = found[1].decode()
            values.setdefault(key, found[2].decode("ascii", "replace").strip().strip("'").strip())
    name = values.get("EXTNAME", "") or ("the primary header" if number == 0 else "")

    def integer(key, default=None):
        text = values.get(key)
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"[+-]?\d{1,18}", text):
            said = "is missing" if text is None else f"is {text!r}, not a whole number"
            place = _which_name(name, number)
            msg = f"it is damaged: the keyword {key} of {place} {said}"
            raise OSError(msg)
        return int(text)

    axes = integer("NAXIS")
    if not 0 <= axes <= 999:
        msg = f"it is damaged: the keyword NAXIS of {_which_name(name, number)} is {axes}"
        raise OSError(msg)
    sides = [integer(f"NAXIS{axis + 1}") for axis in range(axes)]
    if sides and sides[0] == 0 and values.get("GROUPS") == "T":
        sides = sides[1:]
    bits, extra, groups = integer("BITPIX"), integer("PCOUNT", 0), integer("GCOUNT", 1)
    if min(sides, default=0) < 0 or extra < 0 or groups < 0 or bits not in _BITS:
        msg = (
            f"it is damaged: keywords BITPIX, NAXISn, PCOUNT or GCOUNT of "
            f"{_which_name(name, number)} have values that are not allowed"
        )
        raise OSError(msg)
    size = 0
    if sides:
        size = abs(bits) // 8 * groups * (extra + _product(sides))
    datasum = values.get("DATASUM")
    datasum = int(datasum) if datasum and re.fullmatch(r"\d{1,10}", datasum) else None
    checksum = len(values.get("CHECKSUM", "")) == 16
    return _Extension(name, size, datasum, checksum, values)


def check_tree(content):
    """
    Check that the YAML of an ASDF file neither blows up when it is read nor takes data elsewhere.

    Anchors may stand for lists of anchors, and so for more nodes than any memory holds; arrays may
    have their data at an address.

    Parameters
    ----------
    content : bytes
        The file, or its beginning up to the end of the YAML.

    Raises
    ------
    OSError
        If the tree is too large, damaged, or names an address.
    """
    text = content[: content.find(b"\n...") + 1 or None]
    if _ADDRESS.search(text):
        msg = "it takes data from an address, which is not fetched"
        raise OSError(msg)
    if not _ALIAS.search(text):
        return
    sizes, open_nodes = {}, [[None, 0]]
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append([event.anchor, 1])
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                anchor, size = open_nodes.pop()
            elif isinstance(event, yaml.ScalarEvent):
                anchor, size = event.anchor, 1
            elif isinstance(event, yaml.AliasEvent):
                anchor, size = None, sizes.get(event.anchor, 1)
            else:
                continue
            if anchor is not None:
                sizes[anchor] = size
            open_nodes[-1][1] += size
            if open_nodes[-1][1] > _NODES:
                msg = f"its tree refers to itself and has more than {_NODES:.0e} nodes"
                raise OSError(msg)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        msg = f"its tree is damaged: {one_line(error)}"
        raise OSError(msg) from error


_BITS = (8, 16, 32, 64, -32, -64)


def _product(sides):
    total = 1
    for side in sides:
        total *= side
    return total


def _summed(source, padded, header, extension, number):
    """Sum the data of an extension and compare with its keywords; how many bytes there were."""
    total, there = 0, 0
    while there < padded:
        found = source.read(min(_CHUNK, padded - there))
        if not found:
            break
        there += len(found)
        total = _ones_complement(found, total)
    if there < extension.size:
        return there
    if extension.datasum is not None and total != extension.datasum:
        msg = f"it is damaged: the data of {_which(extension, number)} are not what DATASUM says"
        raise OSError(msg)
    if extension.checksum and _ones_complement(header, total) not in (0, 0xFFFFFFFF):
        msg = f"it is damaged: {_which(extension, number)} is not what CHECKSUM says"
        raise OSError(msg)
    return there


def _ones_complement(data, total):
    """Sum 32-bit words with the carry added at the lower end, as the FITS standard has it."""
    data = data + bytes(-len(data) % 4)
    total += int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _check_number(found):
    """Refuse a file that is cut off between two of its extensions."""
    text = found[0].keys.get("NEXTEND", "")
    names = [one.name for one in found]
    if text.isdigit() and int(text) > len(found) - 1:
        msg = f"it is truncated: it has {len(found) - 1} extensions, but NEXTEND says {text}"
        raise OSError(msg)
    needed = _ARRAYS.get(found[0].keys.get("DATAMODL"), ())
    missing = [name for name in needed if name not in names]
    if missing and "ASDF" not in names:
        msg = (
            f"it is truncated: a file of {found[0].keys['DATAMODL']} has the extensions "
            f"{', '.join((*needed, 'ASDF'))}, but this one lacks {', '.join((*missing, 'ASDF'))}"
        )
        raise OSError(msg)


def _too_large(size):
    return (
        f"it says it holds {size / 1e9:.3g} GB or more, while this machine has a memory of "
        f"{memory_of_machine() / 1e9:.3g} GB"
    )


def _which(extension, number):
    return _which_name(extension.name, number)


def _which_name(name, number):
    return f"extension {number} ({name})" if number and name else name or f"extension {number}"


def one_line(error):
    """
    Say an error of a library in one line.

    Parameters
    ----------
    error : Exception
        The error.

    Returns
    -------
    str
        The first line of what it says, preceded by its type unless it is one that users know.
    """
    text = _PLACE.sub("", " ".join(str(error).split()))
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    if type(error) in (ValueError, OSError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def reading(*names, what="its header or data"):
    """
    Turn what libraries raise while a file is read into one line that names the file.

    Parameters
    ----------
    *names : str or `~pathlib.Path`
        The file or the name of the data; several if it may be any of them.
    what : str
        What is wrong then, for the message.

    Raises
    ------
    ValueError
        In place of any error that does not name one of them. Errors that do, those of data that
        cannot be fused, of files that are absent and of memory pass unchanged.
    """
    short = [Path(str(name)).name for name in names]
    try:
        yield
    except (NotFusableError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # every library has its own
        named = any(name and name in str(error) for name in short)
        if isinstance(error, (ValueError, TypeError)) and named:
            raise
        msg = (
            f"{', '.join(map(str, names))} cannot be used: {what} cannot be understood "
            f"({one_line(error)}). Get the file again, or correct the keyword"
        )
        raise ValueError(msg) from error
