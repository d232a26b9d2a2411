"""``jwst-fusion psf fetch``: the data files of STPSF, with its filter curves, downloaded once."""

import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

__all__ = ["SOURCE", "add_verb", "fetch"]

#: Archive of the data files for STPSF 2.1 and newer, to which its documentation links.
SOURCE = "https://stsci.box.com/shared/static/kqfolg2bfzqc4mjkgmujo06d3iaymahv.gz"
_FOLDER = "stpsf-data"  # within the archive
_PATIENCE = 60.0  # s without an answer of the server
_CHUNK = 1 << 20  # bytes


def add_verb(verbs):
    """
    Add the verb ``fetch`` to ``jwst-fusion psf``.

    Parameters
    ----------
    verbs : argparse action
        Its subparsers.
    """
    text = "download the data files of STPSF (optical models, filter curves)"
    one = verbs.add_parser("fetch", help=text, description=f"{text.capitalize()}: 100 MB.")
    default = "STPSF_PATH, or data/stpsf-data in the home folder"
    one.add_argument("--output", type=Path, help=f"folder for them (default: {default})")
    one.add_argument("--source", default=SOURCE, help="address or file of the archive")
    one.set_defaults(run=_run)


def _run(options):
    folder = fetch(options.output, source=options.source)
    print(f"{folder} holds version {(folder / 'version.txt').read_text().strip()}")
    if os.environ.get("STPSF_PATH") != str(folder):
        print(f"export STPSF_PATH={folder}")
    return 0


def fetch(folder=None, *, source=SOURCE):
    """
    Download and unpack the data files of STPSF.

    Parameters
    ----------
    folder : path-like, optional
        Where they are to lie. Default: the folder that STPSF_PATH names, or the one in the home
        folder where STPSF looks.
    source : str, optional
        Address (https, http or file) of the archive, or a file.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder has files already.
    OSError
        If the archive cannot be got or written.
    ValueError
        If it is not an archive of the data files of STPSF.
    """
    default = os.environ.get("STPSF_PATH") or Path.home() / "data" / _FOLDER
    folder = Path(folder or default).expanduser().resolve()
    if folder.is_dir() and any(folder.iterdir()):
        msg = f"{folder} has files already: give an empty or a new folder as --output"
        raise FileExistsError(msg)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, and moved there when it is whole.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".stpsf-") as place:
        archive = Path(place) / "archive"
        _download(source, archive)
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(place, filter="data")
        except tarfile.TarError as error:
            msg = f"{source} is not an archive of the data files of STPSF: {error}"
            raise ValueError(msg) from error
        found = Path(place) / _FOLDER
        if not (found / "version.txt").is_file():
            msg = f"{source} does not hold the data files of STPSF ({_FOLDER}/version.txt)"
            raise ValueError(msg)
        if folder.is_dir():
            folder.rmdir()
        shutil.move(found, folder)
    return folder


def _download(source, target):
    if Path(source).is_file():
        source = Path(source).resolve().as_uri()
    if not source.startswith(("https://", "http://", "file://")):
        msg = f"--source: {source} is neither an address nor a file"
        raise ValueError(msg)
    print(f"Getting {source}", flush=True)
    try:
        with urllib.request.urlopen(source, timeout=_PATIENCE) as stream, target.open("wb") as file:
            shutil.copyfileobj(stream, file, _CHUNK)
    except urllib.error.URLError as error:
        msg = (
            f"{source} cannot be got: {error.reason}. Download it elsewhere and give --source FILE"
        )
        raise OSError(msg) from error
