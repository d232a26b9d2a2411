"""The package under test, wherever its modules lie: its entry points, functions and classes."""

import configparser
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path

__all__ = ["command_line", "fusion_fuse", "hifred_fuse", "locate", "use_own_metadata"]

#: Options that have had two names.
_ALIASES = {"uncertainty": "errors", "maximum_iterations": "max_iterations"}
_VERSION = "Metadata-Version: 2.1\nName: jwst_fusion\nVersion: {version}\n"


def use_own_metadata():
    """
    Let entry points be those of the code that is imported, not of the one that is installed.

    An environment that is shared by several checkouts knows the entry points of one of them only.
    Must be called before anything asks for entry points.

    Returns
    -------
    list of str
        Folders to put at the front of ``PYTHONPATH`` of child processes.
    """
    spec = importlib.util.find_spec("jwst_fusion")
    root = Path(spec.origin).parents[1]
    setup = root / "setup.cfg"
    if not setup.is_file():
        return [str(root)]
    parser = configparser.ConfigParser()
    parser.read(setup)
    folder = Path(tempfile.mkdtemp(prefix="metadata_"))
    info = folder / f"jwst_fusion-{parser['metadata']['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_VERSION.format(version=parser["metadata"]["version"]))
    groups = parser["options.entry_points"]
    text = "".join(f"[{group}]{lines}\n" for group, lines in groups.items())
    (info / "entry_points.txt").write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return [str(folder), str(root)]


def locate(name, *modules, within="jwst_fusion"):
    """
    Find a function or class.

    Parameters
    ----------
    name : str
        Its name.
    *modules : str
        Modules that are tried first.
    within : str
        Package all of whose modules are tried then.

    Returns
    -------
    object

    Raises
    ------
    ImportError
        If no module has it.
    """
    for path in modules:
        try:
            found = getattr(importlib.import_module(path), name)
        except (ImportError, AttributeError):
            continue
        if not inspect.ismodule(found):
            return found
    package = importlib.import_module(within)
    for module in pkgutil.walk_packages(package.__path__, f"{within}."):
        try:
            found = getattr(importlib.import_module(module.name), name, None)
        except ImportError:
            continue
        if found is not None and getattr(found, "__module__", None) == module.name:
            return found
    msg = f"nothing in {within} is called {name}"
    raise ImportError(msg)


def command_line(*words):
    """
    Run ``jwst-fusion`` in this process.

    Parameters
    ----------
    *words : str
        Words of the command line.

    Raises
    ------
    RuntimeError
        If it ends with another status than 0.
    """
    main = locate("main", "jwst_fusion.command.main", "jwst_fusion.cli")
    status = main([str(word) for word in words])
    if status:
        msg = f"jwst-fusion {words[0]} ended with status {status}"
        raise RuntimeError(msg)


def fusion_fuse(data, **options):
    """
    Fuse arrays of imager and spectrograph, with options as settings or as keywords.

    Parameters
    ----------
    data : FusionData
    **options
        Options by their name.

    Returns
    -------
    FusionResult
    """
    fuse = locate("fuse", "jwst_fusion.fusion", "jwst_fusion.fusion.solve", within=_fusion())
    return fuse(data, **_given(fuse, options, ("FusionSettings", "Settings"), _fusion()))


def hifred_fuse(x, y, response_x, response_y, **options):
    """
    Fuse arrays of two spectrographs, with options as settings or as keywords.

    Parameters
    ----------
    x, y : ndarray
    response_x, response_y : Response
    **options
        Options by their name.

    Returns
    -------
    Result
    """
    package = "jwst_fusion.hifred"
    fuse = locate("fuse", package, f"{package}.fuse", f"{package}.fuse.fuse", within=package)
    names = ("HifredSettings", "Settings", "FuseOptions", "Options")
    return fuse(x, y, response_x, response_y, **_given(fuse, options, names, package))


def _fusion():
    return "jwst_fusion.fusion"


def _given(fuse, options, names, within):
    """Keywords of a call: one object for all options it knows if the function takes one."""
    parameters = inspect.signature(fuse).parameters
    keyword = next((one for one in ("options", "settings") if one in parameters), None)
    if keyword is None:
        return options
    kind = None
    for name in names:
        try:
            kind = locate(name, within, within=within)
        except ImportError:
            continue
        if is_dataclass(kind):
            break
    if kind is None:
        msg = f"the class of {keyword} of {fuse.__module__}.fuse is none of {', '.join(names)}"
        raise ImportError(msg)
    known = {one.name for one in fields(kind)}
    named = {}
    for key, value in options.items():
        other = _ALIASES.get(key)
        named[other if key not in known and other in known else key] = value
    mine = {key: value for key, value in named.items() if key in known}
    return {
        keyword: kind(**mine),
        **{key: value for key, value in named.items() if key not in known},
    }
