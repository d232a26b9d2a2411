"""Names from outside, as those in associations: one path component each, or a file that is read."""

import json
import logging
import re
from pathlib import Path

from jwst_fusion.input_files import one_line

__all__ = ["check_name", "member_file", "read_association"]

log = logging.getLogger(__name__)

# Characters; a file system takes 255, of which suffixes and the mark of a partial file need some.
_LONGEST = 190
_LARGEST = 10_000_000  # bytes of an association; one of 1000 exposures has 200 kB
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def check_name(name, source, what="product name"):
    """
    Refuse a name that is not one component of a path, in characters that FITS headers take.

    Parameters
    ----------
    name : object
        The name.
    source : str
        File or parameter that gives it, for the message.
    what : str
        What is named, for the message.

    Returns
    -------
    str
        The name.

    Raises
    ------
    ValueError
        If it is no text, empty, too long, names a folder or holds other characters than printable
        ASCII.
    """
    wrong = None
    if not isinstance(name, str):
        wrong = "is not text"
    elif not name.strip() or name.strip(".") == "":
        wrong = "is empty"
    elif "/" in name or "\\" in name:
        wrong = "names a folder: products are written to output_dir"
    elif not (name.isascii() and name.isprintable()):
        wrong = "holds characters other than printable ASCII, which FITS headers cannot hold"
    elif len(name) > _LONGEST:
        wrong = f"has {len(name)} characters, more than {_LONGEST}"
    if wrong is None:
        return name
    shown = repr(name)
    shown = shown if len(shown) < 80 else shown[:70] + " ..."
    msg = f"{source}: the {what} {shown} {wrong}. Give a plain name, such as jw01234-o001_t001"
    raise ValueError(msg)


def member_file(folder, name, source):
    """
    Return the path of a member of an association.

    Parameters
    ----------
    folder : str or `~pathlib.Path`
        Folder of the association, to which names are relative.
    name : object
        The name of the member (``expname``).
    source : str
        The association, for messages.

    Returns
    -------
    `~pathlib.Path`
        The path. It may lie in another folder, which is logged if only a link tells so.

    Raises
    ------
    ValueError
        If it is no name of a file, or that of a folder.
    FileNotFoundError
        If there is no such file.
    """
    if not isinstance(name, str) or not name.strip():
        msg = f"{source}: expname is {name!r}, which is not the name of a file"
        raise ValueError(msg)
    if _URL.match(name):
        msg = f"{source} names {name}: members are files; download it and name the file"
        raise ValueError(msg)
    if "\\" in name:
        msg = f"{source}: expname {name!r} holds a backslash: write folders with /"
        raise ValueError(msg)
    check_name(Path(name).name or name, source, "member")
    path = Path(folder) / name
    try:
        if path.is_dir():
            msg = f"{source} names {path}, which is a folder: name the file"
            raise ValueError(msg)
        found = path.is_file()
    except OSError as error:
        msg = f"{source} names a member that cannot be looked for: {one_line(error)}"
        raise ValueError(msg) from error
    if not found:
        msg = f"{source} names {path}, which does not exist"
        raise FileNotFoundError(msg)
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        log.info("Member %s of %s is a link to %s", path.name, source, path.resolve())
    return path


def read_association(path):
    """
    Read an association file.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file, JSON.

    Returns
    -------
    dict
        Its content; names in it are not looked at.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not JSON of an association.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"association {path} does not exist"
        raise FileNotFoundError(msg)
    check_name(path.name, "the association", "file")
    if path.stat().st_size > _LARGEST:
        msg = f"{path} is not an association: it has {path.stat().st_size / 1e6:.0f} MB"
        raise ValueError(msg)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not an association: {one_line(error)}"
        raise ValueError(msg) from error
    if not isinstance(table, dict):
        msg = f"{path} is not an association: it is a {type(table).__name__}"
        raise ValueError(msg)
    return table
