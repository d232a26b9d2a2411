"""``jwst-fusion configs``: the parameter files that are installed with the package."""

import re
from pathlib import Path

import jwst_fusion

__all__ = ["add_parser", "config_path", "installed_configs"]

_COMMENT = re.compile(r"^# (.*)$", re.MULTILINE)


def installed_configs():
    """
    Return the parameter files of the package.

    Returns
    -------
    dict of str to `~pathlib.Path`
        Names without extension, sorted, and files.

    Raises
    ------
    FileNotFoundError
        If the package was installed without them.
    """
    package = Path(jwst_fusion.__file__).parent
    # In the source tree they lie beside the package.
    places = (package / "step_configs", package.parent / "step_configs")
    folder = next((one for one in places if one.is_dir()), places[0])
    found = {path.stem: path for path in sorted(folder.glob("*.asdf"))}
    if not found:
        msg = f"no parameter files in {folder}: the package is not installed completely"
        raise FileNotFoundError(msg)
    return found


def config_path(name):
    """
    Return a parameter file by its name.

    Parameters
    ----------
    name : str
        Name, with or without ``.asdf``.

    Returns
    -------
    `~pathlib.Path`
        The file.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    found = installed_configs()
    stem = str(name).removesuffix(".asdf")
    if stem not in found:
        msg = f"no parameter file is called {name!r}; there are {', '.join(found)}"
        raise ValueError(msg)
    return found[stem]


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = "list the parameter files of the package, or give the path of one"
    one = subparsers.add_parser(
        "configs",
        help=text,
        description=f"{text.capitalize()}, as in: strun $(jwst-fusion configs NAME) asn.json",
    )
    one.add_argument("name", nargs="?", help="name of a parameter file")
    one.set_defaults(run=_run)


def _run(options):
    if options.name:
        print(config_path(options.name))
        return 0
    for name, path in installed_configs().items():
        said = " ".join(_COMMENT.findall(path.read_text(encoding="utf-8", errors="replace")))
        print(f"{name}\n    {said}")
    return 0
