"""On-disk cache of computed PSFs: atomic, checksummed, safe between processes."""

import contextlib
import hashlib
import json
import logging
import os
import time
import uuid
import zipfile
from pathlib import Path

import numpy as np

__all__ = ["cache_folder", "entry_path", "load", "remember", "store"]

log = logging.getLogger(f"stpipe.{__name__}")

_FORMAT = 1
_STALE = 86400.0


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
    text = json.dumps({"format": _FORMAT, **key}, sort_keys=True)
    return cache_folder() / f"psf_{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"


def _checksum(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


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
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        stored = str(arrays.pop("checksum"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        log.warning("The cached PSF %s is damaged (%s); it is made again", path, error)
        return None
    if stored != _checksum(arrays):
        log.warning("The cached PSF %s is damaged (wrong checksum); it is made again", path)
        return None
    return arrays


def store(key, arrays):
    """
    Write a cache entry so that no reader ever sees a part of it.

    A folder that cannot be written to is no error: the PSF is there, only not kept.

    Parameters
    ----------
    key : dict
        As for `entry_path`.
    arrays : dict of ndarray
        What to store.
    """
    path = entry_path(key)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        # A name of its own, and the user's usual file permissions so that a folder can be shared.
        temporary = path.parent / f"part_{os.getpid()}_{uuid.uuid4().hex}.npz"
        with open(temporary, "xb") as stream:
            np.savez(stream, **arrays, checksum=np.array(_checksum(arrays)))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        log.warning("The PSF could not be kept in the cache %s: %s", path.parent, error)
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _sweep(folder):
    """Remove what processes that were killed left behind more than a day ago."""
    for path in folder.glob("part_*.npz"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
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
