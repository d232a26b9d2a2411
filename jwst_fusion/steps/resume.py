"""Record of what each product was made from, so that a later run can use it again."""

import hashlib
import json
import logging
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jwst_fusion.messages import warn
from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["Record", "digest", "fingerprint"]

log = logging.getLogger(__name__)

_FORMAT = 1  # layout of the record; one of another layout is begun anew
_SOFTWARE = ("jwst_fusion", "jwst", "stdatamodels", "stpsf", "numpy", "scipy")
# How and where it runs: none of these changes a pixel.
_IMMATERIAL = frozenset(
    "input_dir maximum_cores memory_limit output_dir output_ext output_file output_use_index "
    "output_use_model save_intermediate_results save_results search_output_file suffix".split()
)


def digest(path):
    """
    Return the SHA-256 of a file's content.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file. It is read once as long as neither its size nor its time of change is another.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    path = Path(path).resolve()
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns, state.st_ino)


@cache
def _digest(path, *_state):  # a file that has changed is another entry
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(steps, inputs, *, extra=None):
    """
    Return what identifies a product: steps, their parameters, their input and the software.

    Parameters
    ----------
    steps : sequence of `~stpipe.Step`
        The steps that make the product. Files that a parameter or an override names count by
        their content.
    inputs : sequence of str
        Files.
    extra : dict, optional
        Whatever else the product depends on.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    content = {
        "format": _FORMAT,
        "software": {name: _version(name) for name in _SOFTWARE},
        "steps": [_step(step) for step in steps],
        "inputs": [(Path(path).name, digest(path)) for path in inputs],
        "extra": extra or {},
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Record:
    """
    What a pipeline made in a folder, and from what.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file, JSON. It need not exist.
    use : bool
        Whether products of earlier runs may be used.

    Notes
    -----
    A product is entered after it has been written and renamed, with its size and the digest of
    its content, and is used only if both are still the same and so is the fingerprint of what it
    is made from. A torn or changed file, other input, another parameter or version: it is made
    anew. The record itself is replaced as a whole.
    """

    def __init__(self, path, *, use=True):
        self.path = Path(path)
        self._use = use

    def find(self, name, key):
        """
        Look for the products of a stage.

        Parameters
        ----------
        name : str
            The stage.
        key : str
            Its fingerprint.

        Returns
        -------
        list of str or None
            The files; None if they have to be made.
        """
        entry = self._read().get(name) if self._use else None
        if entry is None:
            return None
        if entry.get("key") != key:
            log.info("%s is made again: input, parameters or software are others now", name)
            return None
        paths = []
        for file in entry["files"]:
            path = self.path.parent / file["name"]
            if not self._same(path, file):
                log.info("%s is made again: %s is missing or was changed", name, path.name)
                return None
            paths.append(str(path))
        return paths

    def add(self, name, key, paths):
        """
        Enter the products of a stage.

        Parameters
        ----------
        name, key : str
            The stage and its fingerprint.
        paths : sequence of str
            The files, in the folder of the record and complete.
        """
        stages = self._read()
        files = [
            {"name": Path(path).name, "size": Path(path).stat().st_size, "digest": digest(path)}
            for path in paths
        ]
        stages[name] = {"key": key, "files": files}
        with renamed_when_complete(self.path) as partial:
            partial.write_text(json.dumps({"format": _FORMAT, "stages": stages}, indent=1))

    def _read(self):
        try:
            content = json.loads(self.path.read_text())
            stages = content["stages"] if content["format"] == _FORMAT else {}
            for entry in stages.values():
                _ = entry["key"], [(file["name"], file["size"]) for file in entry["files"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            warn(log, "%s cannot be read and is begun anew: %s", self.path, error)
            return {}
        return stages

    @staticmethod
    def _same(path, file):
        return (
            path.is_file()
            and path.stat().st_size == file["size"]
            and digest(path) == file.get("digest")
        )


@cache  # each takes milliseconds to look up
def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _step(step):
    parameters = {
        name: _value(value) for name, value in step.get_pars().items() if name not in _IMMATERIAL
    }
    types = getattr(step, "reference_file_types", [])
    overrides = {kind: _value(step.get_ref_override(kind)) for kind in types}
    kind = type(step)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "parameters": parameters,
        "overrides": overrides,
    }


def _value(value):
    """Return a parameter, with the content of the file if it names one (also as ``F212N=file``)."""
    if isinstance(value, (list, tuple)):
        return [_value(one) for one in value]
    if isinstance(value, str):
        for text in (value, value.partition("=")[2]):
            if text and Path(text).is_file():
                return [value, digest(text)]
    return value
