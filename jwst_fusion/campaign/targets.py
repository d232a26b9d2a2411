"""The targets of a campaign: associations, files, and what folders can be associated to."""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from jwst_fusion.associations.finder import find_associations, write_findings
from jwst_fusion.bandpass import MIN_COVERAGE

__all__ = ["LOCK", "Target", "find_targets"]

log = logging.getLogger(__name__)

#: File in the folder of a target that says that a campaign works, or has worked, there.
LOCK = ".campaign.lock"
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class Target:
    """
    What becomes one task.

    Attributes
    ----------
    name : str
        Name of its products, and of its folder in that of the campaign.
    file : str
        Association or file that the step is given; absolute.
    members : tuple of (str, str)
        Every file that it is made of, absolute, and its role (exptype).
    """

    name: str
    file: str
    members: tuple


def find_targets(given, output, *, minimum=MIN_COVERAGE, write=True):
    """
    Find the targets that words of a command line mean.

    Parameters
    ----------
    given : sequence of str or path
        Folders, whose spectra and images are paired; associations (JSON); single FITS files.
    output : str or path
        Folder in which associations of folders are written.
    minimum : float, optional
        As for `~jwst_fusion.associations.finder.find_associations`.
    write : bool, optional
        Whether associations of folders are written.

    Returns
    -------
    list of Target
        In the order given.

    Raises
    ------
    FileNotFoundError
        If a file or folder does not exist.
    ValueError
        If a file is not an association, two targets have one name, or folders have nothing that
        can be fused.
    """
    paths = [Path(one).resolve() for one in given]
    for path in paths:
        if not path.exists():
            msg = f"{path} does not exist: give folders, associations or FITS files"
            raise FileNotFoundError(msg)
    folders = [path for path in paths if path.is_dir()]
    found = [_target(path) for path in paths if not path.is_dir()]
    if folders:
        found = [*_of_folders(folders, Path(output).resolve(), minimum, write=write), *found]
    seen = {}
    for one in found:
        other = seen.setdefault(one.name, one)
        if other is not one:
            msg = (
                f"{other.file} and {one.file} both make products called {one.name}: give one of "
                "them another product name, or another run"
            )
            raise ValueError(msg)
    return found


def _of_folders(folders, output, minimum, *, write):
    """Associate what lies in folders, without what campaigns have made there."""
    files = [file for folder in folders for file in _files(folder)]
    findings = find_associations(files, minimum=minimum, counts=False)
    if not findings.matches:
        names = ", ".join(map(str, folders))
        msg = f"nothing in {names} can be fused: jwst-fusion associate says why of each file"
        raise ValueError(msg)
    log.info("%d associations; %d files left out", len(findings.matches), len(findings.left_out))
    if write:
        return [_target(path) for path in write_findings(findings, output)]
    return [
        Target(
            match.name,
            str(output / f"{match.name}_fusion_asn.json"),
            tuple(
                (str(one.path.resolve()), role)
                for role, members in (("science", match.science), ("direct_image", match.images))
                for one in members
            ),
        )
        for match in findings.matches
    ]


def _files(folder):
    made = {path.parent for path in folder.rglob(LOCK)}
    for pattern in ("*.fits", "*.fits.gz"):
        for path in folder.rglob(pattern):
            if path.parent not in made:
                yield path


def _target(path):
    if path.suffix.lower() != ".json":
        name = path.name.removesuffix(".gz").removesuffix(".fits").removesuffix(".asdf")
        return Target(_clean(name), str(path), ((str(path), "science"),))
    try:
        products = json.loads(path.read_text())["products"]
        members = tuple(
            (str((path.parent / member["expname"]).resolve()), str(member["exptype"]).lower())
            for product in products
            for member in product["members"]
        )
        names = [str(product.get("name") or path.stem) for product in products]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} is not an association: products with members are missing ({error})"
        raise ValueError(msg) from error
    if not members:
        msg = f"{path} is not an association: it has no members"
        raise ValueError(msg)
    return Target(_clean(names[0] if len(names) == 1 else path.stem), str(path), members)


def _clean(name):
    """Name that can be that of a folder."""
    return _NOT_IN_NAMES.sub("-", name).strip(".-") or "target"
