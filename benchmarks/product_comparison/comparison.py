"""Compare two folders of products, file by file and value by value."""

import io
import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from product_comparison.text import plain, plain_name

__all__ = ["compare_folders"]

#: Keywords that tell when and by which version a file was made.
_KEYWORDS = {"DATE", "CHECKSUM", "DATASUM", "CAL_VER", "CAL_VCS", "FUSVER", "HIFVER"}
#: Entries of trees of metadata, likewise.
_ENTRIES = {
    "date",
    "calibration_software_version",
    "calibration_software_revision",
    "software_version",
    "asdf_library",
    "history",
    "_fits_hash",  # of all headers, dates included
}
#: CPU and wall time, wherever a table or a state keeps them.
_TIMES = {"seconds", "cpu"}
#: In records of pipelines: of files with dates, or of versions.
_DIGESTS = {"key", "digest", "size"}
#: Keywords that follow from the columns of a table, which are compared themselves.
_LAYOUT = re.compile(r"NAXIS1|TFORM\d+")
_ABSENT = object()


@dataclass
class Tally:
    """
    What was compared in a case.

    Attributes
    ----------
    files, arrays, identical : int
        Numbers of files and of arrays, and of those arrays the ones that are bit for bit the same.
    values : int
        Single values and texts that were compared.
    worst : float
        Largest difference within an array over the largest value in it.
    lines : list of str
        What differs.
    renamed : dict
        Names that changed, new ones by old ones (regular expressions).
    """

    files: int = 0
    arrays: int = 0
    identical: int = 0
    values: int = 0
    worst: float = 0.0
    lines: list = field(default_factory=list)
    renamed: dict = field(default_factory=dict)

    def differs(self, where, what):
        """Note a difference."""
        self.lines.append(f"{where}: {what}")

    def value(self, where, one, other):
        """Compare two single values or texts; logs without the moments of their lines."""
        self.values += 1
        if isinstance(one, str) and isinstance(other, str):
            log = "cal_logs" in where or where.endswith((".log", ".html", ".txt"))
            one, other = plain(one, log=log, renamed=self.renamed), plain(other, log=log)
            if one != other:
                self.differs(where, _first_difference(one, other))
        elif not _same(one, other):
            self.differs(where, f"{_short(one)} and {_short(other)}")

    def array(self, where, one, other):
        """Compare two arrays."""
        one, other = np.asarray(one), np.asarray(other)
        if one.dtype.names or other.dtype.names:
            self.table(where, one, other)
            return
        if one.dtype.kind in "SUO" or other.dtype.kind in "SUO":
            self._texts(where, one, other)
            return
        self.arrays += 1
        if one.shape != other.shape or one.dtype.newbyteorder("=") != other.dtype.newbyteorder("="):
            kinds = [f"{a.dtype.name} {a.shape}" for a in (one, other)]
            self.differs(where, " and ".join(kinds))
            return
        unlike = one != other
        if one.dtype.kind in "fc":
            unlike &= ~(np.isnan(one) & np.isnan(other))
        if not unlike.any():
            self.identical += 1
            return
        # True and False have no difference, unsigned integers none below zero.
        a, b = (part if part.dtype.kind == "c" else part.astype(float) for part in (one, other))
        finite = np.isfinite(a) & np.isfinite(b)
        gap = np.abs(a - b, where=finite, out=np.zeros(a.shape))
        size = np.max(np.abs(a), where=finite, initial=0.0)
        relative = gap.max() / size if size else np.inf
        lost = np.count_nonzero(np.isfinite(a) != np.isfinite(b))
        self.worst = max(self.worst, np.inf if lost else relative)
        self.differs(
            where,
            f"{np.count_nonzero(unlike)} of {one.size} differ, by up to {gap.max():.3g} "
            f"({relative:.3g} of the largest value)"
            + (f"; {lost} are finite in one only" if lost else ""),
        )

    def table(self, where, one, other):
        """Compare two tables column by column."""
        if one.dtype.names != other.dtype.names:
            self.differs(where, f"columns {one.dtype.names} and {other.dtype.names}")
            return
        if one.shape != other.shape:
            self.differs(where, f"{one.shape} and {other.shape} rows")
            return
        for name in one.dtype.names:
            if name.lower() not in _TIMES and name not in _KEYWORDS:
                self.array(f"{where}.{name}", one[name], other[name])

    def _texts(self, where, one, other):
        if one.shape != other.shape:
            self.differs(where, f"{one.shape} and {other.shape} texts")
            return
        for number, (a, b) in enumerate(zip(one.ravel(), other.ravel(), strict=True)):
            if isinstance(a, (np.ndarray, list)):
                self.array(f"{where}[{number}]", a, b)
            else:
                self.value(f"{where}[{number}]", _text(a), _text(b))

    def tree(self, where, one, other):
        """Compare two trees of dictionaries, lists, arrays and values."""
        if isinstance(one, dict) and isinstance(other, dict):
            if getattr(one, "_tag", None) != getattr(other, "_tag", None):
                self.differs(where, f"{one._tag} and {other._tag}")
            for key in sorted({*one, *other}, key=str):
                if key not in _ENTRIES | _TIMES:
                    a, b = one.get(key, _ABSENT), other.get(key, _ABSENT)
                    self.tree(f"{where}.{key}", a, b)
        elif ".cal_logs." in where and isinstance(one, list) and isinstance(other, list):
            self.value(where, *("\n".join(map(str, lines)) for lines in (one, other)))
        elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
            if len(one) != len(other):
                self.differs(where, f"{len(one)} and {len(other)} entries")
            for number, (a, b) in enumerate(zip(one, other, strict=False)):
                self.tree(f"{where}[{number}]", a, b)
        elif _is_array(one) and _is_array(other):
            # Arrays of other extensions of a FITS file are named, and compared there.
            names = [getattr(value, "_source", None) for value in (one, other)]
            if any(isinstance(name, str) for name in names):
                self.value(where, *names)
            else:
                self.array(where, one, other)
        else:
            self.value(where, one, other)


def _is_array(value):
    return isinstance(value, np.ndarray) or type(value).__name__ == "NDArrayType"


def _text(value):
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return value.rstrip() if isinstance(value, str) else value


def _same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (np.isnan(one) and np.isnan(other))
    return type(one) is type(other) and bool(one == other)


def _short(value):
    if value is _ABSENT:
        return "nothing"
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"{text[:77]}..."


def _first_difference(one, other):
    """The first of the lines that differ, around the place where they do."""
    for number, (a, b) in enumerate(
        zip([*one.splitlines(), ""], [*other.splitlines(), ""], strict=False), start=1
    ):
        if a != b:
            at = next(
                (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                min(len(a), len(b)),
            )
            start = max(at - 30, 0)
            return f"line {number}: {a[start : at + 50]!r} and {b[start : at + 50]!r}"
    return f"{len(one.splitlines())} and {len(other.splitlines())} lines"


def _fits(tally, name, one, other):
    from astropy.io import fits

    with fits.open(one, memmap=False) as first, fits.open(other, memmap=False) as second:
        names = [[(hdu.name, hdu.ver) for hdu in hdus] for hdus in (first, second)]
        if names[0] != names[1]:
            tally.differs(name, f"extensions {names[0]} and {names[1]}")
            return
        for a, b in zip(first, second, strict=True):
            where = f"{name}[{a.name or 'PRIMARY'},{a.ver}]"
            if a.name == "ASDF":
                _asdf(tally, where, *(io.BytesIO(_embedded(hdu)) for hdu in (a, b)))
                continue
            table = isinstance(a, (fits.BinTableHDU, fits.TableHDU))
            _header(tally, where, a.header, b.header, table=table)
            if a.data is None or b.data is None:
                tally.value(f"{where} data", a.data is None, b.data is None)
            elif table:
                _columns(tally, where, a, b)
            else:
                tally.array(where, a.data, b.data)
            # What was read stays in memory otherwise.
            del a.data, b.data


def _embedded(hdu):
    return hdu.data.field(0).tobytes()


def _columns(tally, where, one, other):
    # The width of texts is that of the longest.
    kinds = [
        [(c.name, re.sub(r"\d+A", "A", c.format), c.unit) for c in hdu.columns]
        for hdu in (one, other)
    ]
    if kinds[0] != kinds[1]:
        tally.differs(where, f"columns {kinds[0]} and {kinds[1]}")
        return
    if len(one.data) != len(other.data):
        tally.differs(where, f"{len(one.data)} and {len(other.data)} rows")
        return
    if one.name in ("SOFTWARE", "FUSSOFTWARE"):
        return
    for column in one.columns.names:
        if (one.name, column) == ("FUSMESSAGES", "source"):
            continue  # the module that said it
        if column.lower() not in _TIMES and column not in _KEYWORDS:
            values = [hdu.data.field(column) for hdu in (one, other)]
            tally.array(f"{where}.{column}", *(np.asarray(value) for value in values))


def _header(tally, where, one, other, *, table):
    first, second = (
        [
            (card.keyword, card.value, card.comment)
            for card in header.cards
            if card.keyword not in _KEYWORDS and not (table and _LAYOUT.fullmatch(card.keyword))
        ]
        for header in (one, other)
    )
    keys = [Counter(card[0] for card in cards) for cards in (first, second)]
    if keys[0] != keys[1]:
        missing, added = (sorted((keys[i] - keys[1 - i]).elements()) for i in (0, 1))
        tally.differs(where, f"keywords {missing} only before, {added} only after")
    elif [card[0] for card in first] != [card[0] for card in second]:
        tally.differs(where, "keywords in another order")
    found = {}
    for number, cards in enumerate((first, second)):
        for key, value, comment in cards:
            found.setdefault(key, ([], []))[number].append((value, comment))
    for key, (before, after) in found.items():
        for (a, text_a), (b, text_b) in zip(before, after, strict=False):
            tally.value(f"{where} {key}", a, b)
            # A long path leaves no room for the comment.
            if not (isinstance(a, str) and "/" in a and a != b):
                tally.value(f"{where} {key} comment", text_a, text_b)


def _asdf(tally, where, one, other):
    import asdf

    with asdf.config_context() as config, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Without what knows of models and coordinates, their trees remain as they are written.
        for extension in config.extensions:
            if extension.package_name not in (None, "asdf"):
                config.remove_extension(package=extension.package_name)
        trees = []
        opened = []
        for file in (one, other):
            opened.append(
                asdf.open(file, ignore_unrecognized_tag=True, lazy_load=True, memmap=False)
            )
            trees.append(opened[-1].tree)
        tally.tree(where, *(dict(tree) for tree in trees))
        for file in opened:
            file.close()


def _npz(tally, name, one, other):
    with np.load(one, allow_pickle=False) as first, np.load(other, allow_pickle=False) as second:
        before = {plain(key, renamed=tally.renamed): key for key in first.files}
        missing, added = sorted({*before} - {*second.files}), sorted({*second.files} - {*before})
        if missing or added:
            tally.differs(name, f"arrays {missing} only before, {added} only after")
        for key in sorted(set(before) & set(second.files)):
            last = key.rsplit(".", 1)[-1]
            if last in _TIMES:
                continue
            a, b = first[before[key]], second[key]
            if last == "history" and a.ndim == 2 == b.ndim:
                # The third column of a history of HIFReD is time.
                a, b = a[:, :2], b[:, :2]
            tally.array(f"{name}.{key}", a, b)


def _json(tally, name, one, other):
    trees = [json.loads(path.read_text()) for path in (one, other)]
    left_out = _DIGESTS if name.endswith("_fusion_pipeline.json") else set()
    tally.tree(name, *(_renamed(tree, left_out) for tree in trees))


def _renamed(tree, left_out):
    """Tree with keys that are paths without their folders, and without some of its entries."""
    if isinstance(tree, dict):
        kept = {key: value for key, value in tree.items() if key not in left_out}
        return {plain_name(key): _renamed(value, left_out) for key, value in kept.items()}
    if isinstance(tree, list):
        return [_renamed(value, left_out) for value in tree]
    return tree


def _picture(tally, name, one, other):
    from PIL import Image

    with Image.open(one) as first, Image.open(other) as second:
        tally.array(name, np.array(first), np.array(second))


def _plain_text(tally, name, one, other):
    tally.value(name, *(path.read_text(errors="replace") for path in (one, other)))


def _bytes(tally, name, one, other):
    tally.array(name, *(np.frombuffer(path.read_bytes(), np.uint8) for path in (one, other)))


_READERS = {
    ".fits": _fits,
    ".rmf": _fits,
    ".arf": _fits,
    ".asdf": lambda tally, name, one, other: _asdf(tally, name, str(one), str(other)),
    ".npz": _npz,
    ".json": _json,
    ".png": _picture,
    ".html": _plain_text,
    ".txt": _plain_text,
    ".log": _plain_text,
}


def _compare_case(before, after, name, renamed):
    tally = Tally(renamed=renamed)
    files = [
        {
            str(path.relative_to(root / name)): path
            for path in (root / name).rglob("*")
            if path.is_file() and not _ignored(path)
        }
        for root in (before, after)
    ]
    for file in sorted({*files[0], *files[1]}):
        tally.files += 1
        if file not in files[0] or file not in files[1]:
            tally.differs(file, "only after" if file in files[1] else "only before")
            continue
        one, other = files[0][file], files[1][file]
        try:
            _READERS.get(Path(file).suffix, _bytes)(tally, file, one, other)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            tally.differs(file, f"cannot be compared: {type(error).__name__}: {error}")
    return tally


def _ignored(path):
    """Logs of strun, which are full of times and modules, and the stub of a CRDS cache."""
    return "crds" in path.parts or (path.suffix == ".log" and path.name[:2].isdecimal())


def compare_folders(before, after, *, only=None, lines=8, renamed=None):
    """
    Compare the products of all cases, and print a table.

    Parameters
    ----------
    before, after : pathlib.Path
        Folders that were made.
    only : sequence of str, optional
        Cases. Default: all that are in either folder.
    lines : int
        How many differences of a case are printed.
    renamed : dict, optional
        Names of options and fields that were changed on purpose, new ones by old ones (regular
        expressions).

    Returns
    -------
    int
        1 if anything differs, is missing or failed, else 0.
    """
    known = [
        json.loads(path.read_text()) if path.is_file() else {}
        for path in (root / "cases.json" for root in (before, after))
    ]
    names = [name for name in {**known[0], **known[1]} if only is None or name in only]
    absent = sorted(set(only or ()) - set(names))
    head = f"{'case':28s}{'state':>9s}{'files':>7s}{'arrays':>8s}{'same':>7s}{'differ':>7s}"
    print(f"{head}{'values':>9s}{'differ':>8s}  {'worst relative':s}")
    bad, said = bool(absent) or not names, []
    for name in names:
        states = [one.get(name, {}).get("state", "absent") for one in known]
        tally = _compare_case(before, after, name, renamed or {})
        arrays = tally.arrays - tally.identical
        state = states[0] if states[0] == states[1] else "/".join(states)
        wrong = bool(tally.lines) or state not in ("made", "skipped")
        bad |= wrong
        row = f"{name:28s}{state:>9s}{tally.files:7d}{tally.arrays:8d}{tally.identical:7d}"
        others = max(len(tally.lines) - arrays, 0)
        print(f"{row}{arrays:7d}{tally.values:9d}{others:8d}  {tally.worst:.3g}", flush=True)
        if wrong:
            said.append(f"\n{name} ({state}): {len(tally.lines)} differences")
            said += [f"    {line[:400]}" for line in tally.lines[:lines]]
    print("\n".join(said))
    if absent:
        print(f"not there: {', '.join(absent)}")
    print("\nThe products differ." if bad else "\nAll products are the same.")
    return int(bad)
