"""``jwst-fusion doctor``: what is installed, what is missing, and what to do about it."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

__all__ = ["add_parser", "examine"]

_GOOD, _NOTE, _BAD = "ok", "note", "missing"
# Memory [GB] of a fusion of one cube of NIRSpec with five images.
_MEMORY = 6.0
_DISK = 10.0  # GB that the products of one observation take


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = "say what is installed and what is missing"
    one = subparsers.add_parser(
        "doctor", help=text, description=f"{text.capitalize()}. Status 1 if steps cannot run."
    )
    one.set_defaults(run=_run)


def examine():
    """
    Examine the installation.

    Returns
    -------
    list of tuple of str
        "ok", "note" (works, but not as well) or "missing" (does not work); what; what was found
        or what to do.
    """
    return [
        *_packages(),
        *_steps(),
        *_psf_data(),
        *_crds(),
        *_machine(),
    ]


def _run(options):
    lines = examine()
    for state, what, found in lines:
        print(f"{state:8s}{what:22s}{found}")
    bad = sum(state == _BAD for state, _, _ in lines)
    print("Steps cannot run." if bad else "Steps can run.")
    return 1 if bad else 0


def _packages():
    from packaging.requirements import Requirement

    python = ".".join(map(str, sys.version_info[:3]))
    lines = [(_GOOD, "python", python)]
    lines.append((_GOOD, "jwst_fusion", version("jwst_fusion")))
    for text in distribution("jwst_fusion").requires or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name
        try:
            found = version(name)
        except PackageNotFoundError:
            lines.append((_BAD, name, f"install it: pip install '{requirement}'"))
            continue
        if requirement.specifier.contains(found, prereleases=True):
            lines.append((_GOOD, name, found))
        else:
            lines.append(
                (_BAD, name, f"{found}, but {requirement.specifier} is needed: upgrade it")
            )
    return lines


def _steps():
    from importlib.metadata import entry_points

    from jwst_fusion.entry_points import get_steps

    names = ", ".join(alias for _, alias, _ in get_steps())
    registered = [one for one in entry_points(group="stpipe.steps") if one.name == "jwst_fusion"]
    strun = shutil.which("strun") or shutil.which("strun", path=str(Path(sys.executable).parent))
    lines = [(_GOOD, "steps", names)]
    if not registered:
        lines = [(_BAD, "steps", "not registered with stpipe: install jwst_fusion again")]
    if strun is None:
        lines.append((_BAD, "strun", "not found: put the folder of this Python's scripts in PATH"))
    return lines


def _psf_data():
    from jwst_fusion.bandpass.load import data_version
    from jwst_fusion.psf import cache

    found = data_version()
    if found:
        yield _GOOD, "data of STPSF", f"{found} in {os.environ.get('STPSF_PATH')}"
    else:
        yield (
            _NOTE,
            "data of STPSF",
            "not found: PSFs are those of the aperture model and filter curves nominal. Download "
            "them (https://stpsf.readthedocs.io) and set STPSF_PATH to their folder",
        )
    entries = cache.entries()
    size = sum(entry.size for entry in entries) / 1e6
    folder = cache.cache_folder()
    yield _GOOD, "PSF cache", f"{len(entries)} entries, {size:.0f} MB, in {folder}"
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not os.access(nearest, os.W_OK):
        yield _NOTE, "PSF cache", f"{folder} cannot be written: set JWST_FUSION_CACHE to another"


def _crds():
    path, server = os.environ.get("CRDS_PATH"), os.environ.get("CRDS_SERVER_URL")
    context = os.environ.get("CRDS_CONTEXT", "that of the server")
    if path and server:
        yield _GOOD, "CRDS", f"{path}, {server}, context {context}"
        return
    missing = " and ".join(
        name for name, value in (("CRDS_PATH", path), ("CRDS_SERVER_URL", server)) if not value
    )
    yield (
        _NOTE,
        "CRDS",
        f"{missing} not set: fusion and fusion_adaptive_trace_model need none, pipelines do. Set "
        "CRDS_PATH=$HOME/crds_cache and CRDS_SERVER_URL=https://jwst-crds.stsci.edu",
    )


def _machine():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield _GOOD, "cores", str(cores)
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        memory = None
    if memory is not None:
        enough = memory >= _MEMORY
        text = f"{memory:.0f} GB" + ("" if enough else f": large cubes need {_MEMORY:.0f}")
        yield (_GOOD if enough else _NOTE), "memory", text
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    enough = free >= _DISK
    text = f"{free:.0f} GB free here" + ("" if enough else f": an observation takes {_DISK:.0f}")
    yield (_GOOD if enough else _NOTE), "disk", text
