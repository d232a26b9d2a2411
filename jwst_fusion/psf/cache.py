"""Cache of computed PSFs on disk, one FITS file each: atomic, checksummed, safe for processes."""

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwst_fusion.messages import warn
from jwst_fusion.partial_files import HOST, runs

__all__ = ["Entry", "cache_folder", "entries", "entry_path", "load", "remember", "remove", "store"]

log = logging.getLogger(__name__)

#: To be raised whenever the layout of an entry changes; entries of other formats are not read.
FORMAT = 3
# s after which a partial file of another machine belongs to no run that still writes
_STALE = 86400.0
_OWN_PART = re.compile(rf"part_{re.escape(HOST)}_(\d+)_[0-9a-f]+\.fits")
# Earlier versions wrote the second kind of file.
_PATTERNS = ("psf_*.fits", "psf_*.npz")
_BLANK = b"0" * 64  # place of the checksum while it is computed
_CHECKSUM = re.compile(rb"SHA256  = '([0-9a-f]{64})'")


@dataclass(frozen=True)
class Entry:
    """
    One file of the cache.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    key : dict or None
        What its content depends on; `None` if it cannot be read or has another format.
    size : int
        Length of the file [byte].
    modified : float
        When it was written [s since 1970].
    fault : str
        Why it cannot be read, empty if it can.
    """

    path: Path
    key: dict | None
    size: int
    modified: float
    fault: str


def cache_folder():
    """
    Folder of the cache.

    Returns
    -------
    pathlib.Path
        The folder named by the environment variable JWST_FUSION_CACHE or, without it, the user's
        cache folder of this package. It need not exist.
    """
    value = os.environ.get("JWST_FUSION_CACHE")
    if value:
        return Path(value).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("jwst_fusion"))


def entry_path(key):
    """
    File of a cache entry.

    Parameters
    ----------
    key : dict
        Everything that the content depends on, as JSON types.

    Returns
    -------
    pathlib.Path
        File named by a digest of `key`.
    """
    return cache_folder() / f"psf_{hashlib.sha256(_text(key).encode()).hexdigest()[:32]}.fits"


def _text(key):
    return json.dumps({"format": FORMAT, **key}, sort_keys=True)


def _pack(key, arrays):
    """Return key and arrays as the bytes of a FITS file that holds its own SHA-256."""
    header = fits.Header()
    header["ORIGIN"] = "jwst_fusion"
    header["SHA256"] = _BLANK.decode()
    text = np.frombuffer(_text(key).encode(), dtype=np.uint8)
    hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(text, name="KEY")]
    hdus += [fits.ImageHDU(np.asarray(array), name=name) for name, array in arrays.items()]
    stream = io.BytesIO()
    fits.HDUList(hdus).writeto(stream)
    content = stream.getvalue()
    return content.replace(_BLANK, hashlib.sha256(content).hexdigest().encode(), 1)


def _unpack(content):
    """Return the arrays and the key's text; an error says what is wrong with the bytes."""
    found = _CHECKSUM.search(content[:2880])
    if found is None:
        msg = "no checksum"
        raise ValueError(msg)
    blank = content[: found.start(1)] + _BLANK + content[found.end(1) :]
    if hashlib.sha256(blank).hexdigest().encode() != found[1]:
        msg = "wrong checksum"
        raise ValueError(msg)
    with fits.open(io.BytesIO(content), memmap=False) as hdus:
        text = hdus["KEY"].data.tobytes().decode()
        arrays = {
            hdu.name.lower(): hdu.data.astype(hdu.data.dtype.newbyteorder("=")) for hdu in hdus[2:]
        }
    return arrays, text


def load(key):
    """
    Read a cache entry.

    Parameters
    ----------
    key : dict
        As for `entry_path`.

    Returns
    -------
    dict of ndarray or None
        The stored arrays; `None` if there is no entry or if it is damaged, which is logged.
    """
    path = entry_path(key)
    try:
        arrays, text = _unpack(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        warn(log, "The cached PSF %s is damaged (%s); it is made again", path, error)
        return None
    if text != _text(key):
        warn(log, "The cached PSF %s is of another configuration; it is made again", path)
        return None
    return arrays


def store(key, arrays):
    """
    Write a cache entry so that no reader ever sees a part of it.

    A folder that cannot be written to is not an error: the PSF is made but not kept.

    Parameters
    ----------
    key : dict
        As for `entry_path`.
    arrays : dict of ndarray
        What to store: numbers with at least one axis, under lower-case names.
    """
    path = entry_path(key)
    content = _pack(key, arrays)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        # A name of its own, and the user's usual file permissions so that a folder can be shared.
        temporary = path.parent / f"part_{HOST}_{os.getpid()}_{uuid.uuid4().hex}.fits"
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        warn(log, "The PSF could not be kept in the cache %s: %s", path.parent, error)
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _sweep(folder):
    """Remove what killed processes of this machine left behind, and others more than a day ago."""
    for path in folder.glob("part_*"):
        own = _OWN_PART.fullmatch(path.name)
        with contextlib.suppress(OSError):
            gone = own is not None and not runs(int(own[1]))
            if gone or time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def remember(key, compute):
    """
    Return a cache entry, made first if it is absent or damaged.

    Parameters
    ----------
    key : dict
        As for `entry_path`.
    compute : callable
        Takes nothing, returns a dict of arrays.

    Returns
    -------
    arrays : dict of ndarray
        The entry.
    found : bool
        Whether it came from the cache.
    """
    arrays = load(key)
    if arrays is not None:
        return arrays, True
    arrays = compute()
    store(key, arrays)
    return arrays, False


def entries():
    """
    List what the cache holds.

    Returns
    -------
    list of Entry
        All entries, oldest first; those that cannot be used are among them, with the reason.
    """
    found = []
    for path in (path for pattern in _PATTERNS for path in cache_folder().glob(pattern)):
        key, fault = None, "written by another version of jwst_fusion"
        try:
            status = path.stat()
            if path.suffix == ".fits":
                key, fault = json.loads(_unpack(path.read_bytes())[1]), ""
        except FileNotFoundError:  # removed by another process meanwhile
            continue
        except (OSError, ValueError) as error:
            fault = f"damaged ({error})"
        if key is not None and key.get("format") != FORMAT:
            key, fault = None, "written by another version of jwst_fusion"
        found.append(Entry(path, key, status.st_size, status.st_mtime, fault))
    return sorted(found, key=lambda entry: (entry.modified, entry.path))


def remove(chosen):
    """
    Delete entries.

    Parameters
    ----------
    chosen : iterable of Entry
        Entries as given by `entries`. One that is already gone is ignored.

    Raises
    ------
    OSError
        If a file cannot be deleted.
    """
    for entry in chosen:
        entry.path.unlink(missing_ok=True)
    _sweep(cache_folder())
