"""``jwst-fusion doctor``: what is installed, what is missing, and what to do about it."""

import importlib.util
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

__all__ = ["add_parser", "examine"]

_GOOD, _NOTE, _BAD = "ok", "note", "missing"
# Memory [GB] of a fusion of one cube of NIRSpec with five images.
_MEMORY = 6.0
_PATIENCE = 5.0  # s that a server may take to answer
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
    installed = importlib.util.find_spec("stpsf") is not None
    if not installed:
        text = "not installed: PSFs are those of the aperture model. pip install 'jwst_fusion[psf]'"
        yield _NOTE, "stpsf", text
    if found:
        yield _try_psf(found, installed=installed)
    else:
        yield (
            _NOTE,
            "data of STPSF",
            "not found: PSFs are those of the aperture model and filter curves nominal. Get them "
            "with 'jwst-fusion psf fetch' and set STPSF_PATH to their folder",
        )
    entries = cache.entries()
    size = sum(entry.size for entry in entries) / 1e6
    folder = cache.cache_folder()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if _can_write(nearest):
        yield _GOOD, "PSF cache", f"{len(entries)} entries, {size:.0f} MB, in {folder}"
    else:
        yield _NOTE, "PSF cache", f"{folder} cannot be written: set JWST_FUSION_CACHE to another"


def _try_psf(found, *, installed):
    """Read what a PSF and a filter curve are made of."""
    from jwst_fusion.bandpass import load_bandpass
    from jwst_fusion.psf import webbpsf

    where = os.environ.get("STPSF_PATH")
    try:
        webbpsf.find_data()
        curve = load_bandpass("F200W").source
    except (OSError, ValueError) as error:
        return _NOTE, "data of STPSF", f"{found} in {where} cannot be used: {error}"
    if curve.startswith("nominal"):
        return _NOTE, "data of STPSF", f"{found} in {where} has no filter curves: get it again"
    use = "" if installed else ", of which only filter curves are used"
    return _GOOD, "data of STPSF", f"{found} in {where}{use}"


def _can_write(folder):
    """Whether a file can be made there; what access rights say is not always true."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _crds():
    path, server = os.environ.get("CRDS_PATH"), os.environ.get("CRDS_SERVER_URL")
    context = os.environ.get("CRDS_CONTEXT", "that of the server")
    missing = " and ".join(
        name for name, value in (("CRDS_PATH", path), ("CRDS_SERVER_URL", server)) if not value
    )
    need = "fusion and fusion_adaptive_trace_model need none, pipelines do"
    if missing:
        yield (
            _NOTE,
            "CRDS",
            f"{missing} not set: {need}. Set "
            "CRDS_PATH=$HOME/crds_cache and CRDS_SERVER_URL=https://jwst-crds.stsci.edu",
        )
        return
    said = _ask(server)
    folder = Path(path).expanduser()
    nearest = next((one for one in (folder, *folder.resolve().parents) if one.exists()), None)
    if said:
        yield _NOTE, "CRDS", f"{server} does not answer ({said}): only files in {path} are found"
    elif nearest is None or not _can_write(nearest):
        yield _NOTE, "CRDS", f"{path} cannot be written: reference files cannot be kept; {need}"
    else:
        yield _GOOD, "CRDS", f"{path}, {server}, context {context}"


def _ask(server):
    """Why a server does not answer; empty if it does, or is none, as without a network."""
    if "serverless" in server:
        return ""
    try:
        with urllib.request.urlopen(server, timeout=_PATIENCE):
            return ""
    except urllib.error.HTTPError:
        return ""  # it is there, and does not like the question
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


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
    if not _can_write(Path.cwd()):
        yield _NOTE, "working folder", f"{Path.cwd()} cannot be written: give output_dir"
    text = f"{free:.0f} GB free here" + ("" if enough else f": an observation takes {_DISK:.0f}")
    yield (_GOOD if enough else _NOTE), "disk", text
