"""Members of one HIFReD fusion, from files, cubes or an association, and its rule."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from jwst.associations.asn_from_list import asn_from_list
from jwst.associations.exceptions import AssociationNotValidError
from jwst.associations.lib.rules_level3_base import DMS_Level3_Base
from jwst.associations.registry import RegistryMarker
from jwst.datamodels import ModelContainer, ModelLibrary

from jwst_fusion.associations.members import check_table, relative_name, stem
from jwst_fusion.products.names import check_name, member_file, read_association

__all__ = ["Asn_Hifred", "HifredMembers", "collect_hifred_members", "make_hifred_association"]

log = logging.getLogger(__name__)

_RESPONSES = ("psf", "rmf_x", "arf_x", "rmf_y", "arf_y")
# Files that a cube may have of its own, as keys of its member.
_OWN = ("psf", "rmf", "arf")


@RegistryMarker.rule
class Asn_Hifred(DMS_Level3_Base):
    """
    Cubes of one field (science) with the responses of their telescopes.

    Types of members: ``science`` (two or more), ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``,
    ``arf_y``. X are the telescopes with the finer pixels, Y those with the finer channels. A member
    of type ``science`` may name files of its own by the keys ``psf``, ``rmf`` and ``arf``. The rule
    matches nothing in a pool of exposures.

    Parameters
    ----------
    *args, **kwargs : object
        Arguments of `~jwst.associations.lib.rules_level3_base.DMS_Level3_Base`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.data["asn_type"] = "hifred"
        self.data["asn_rule"] = "Asn_Hifred"
        self.data.setdefault("program", "noprogram")

    def match(self, item, *args, **kwargs):
        """
        Match no exposure of a pool.

        Parameters
        ----------
        item : dict
            Row of the pool.
        *args, **kwargs : object
            Not used.

        Returns
        -------
        matches : bool
            False.
        reprocess : list
            Rows to look at again: none.
        """
        return False, []

    def _add_items(self, items, product_name=None, with_exptype=False, **kwargs):
        items = [item if with_exptype else (str(item), "science") for item in items]
        count = sum(exptype == "science" for _, exptype in items)
        if count < 2:
            msg = f"an association of HIFReD needs two cubes or more as science, got {count}"
            raise AssociationNotValidError(msg)
        super()._add_items(items, product_name=product_name, with_exptype=True, **kwargs)
        if kwargs.get("acid"):
            self.data["asn_id"] = kwargs["acid"]


@dataclass(frozen=True)
class HifredMembers:
    """
    The members of a HIFReD fusion.

    Attributes
    ----------
    cubes : tuple
        Two or more files, data models or `~jwst_fusion.hifred.xray.counts.CountCube`, in any order.
    responses : dict of str to str
        Files by ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``, ``arf_y``.
    own : tuple of dict of str to str
        Files of each cube alone, by ``psf``, ``rmf``, ``arf``.
    product_name : str or None
        Name of the product without suffix; None if nothing tells it.
    table_name : str or None
        File name of the association.
    """

    cubes: tuple
    responses: dict = field(default_factory=dict)
    product_name: str | None = None
    table_name: str | None = None
    own: tuple = ()


def make_hifred_association(
    cubes, *, product_name=None, asn_id="a3001", folder=None, own=None, **responses
):
    """
    Associate cubes with the responses of their telescopes.

    Parameters
    ----------
    cubes : sequence of str or path
        Two cubes or more, in any order.
    product_name : str, optional
        Name of the product without suffix. By default that of the first cube.
    asn_id : str, optional
        Identifier of the association.
    folder : str or path, optional
        Folder in which the association will be written: the members are named relative to it.
        By default the members are named as given.
    own : sequence of dict of str to path, optional
        Files of each cube alone, by ``psf``, ``rmf``, ``arf``.
    **responses : str or path
        ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``, ``arf_y``, for all cubes of a kind.

    Returns
    -------
    Asn_Hifred
        The association, which behaves as a dictionary.

    Raises
    ------
    ValueError
        If there are fewer than two cubes, or a response is of a type that does not exist.
    """
    cubes = list(cubes)
    if len(cubes) < 2:
        msg = f"cubes has {len(cubes)} items: HIFReD fuses two cubes or more"
        raise ValueError(msg)
    own = [{} for _ in cubes] if own is None else list(own)
    if len(own) != len(cubes):
        msg = f"own has {len(own)} items, but there are {len(cubes)} cubes: give one for each"
        raise ValueError(msg)
    for given, expected in ((responses, _RESPONSES), *((one, _OWN) for one in own)):
        unknown = set(given) - set(expected)
        if unknown:
            msg = f"{', '.join(sorted(unknown))}: expected some of {', '.join(expected)}"
            raise ValueError(msg)
    items = [(relative_name(cube, folder), "science") for cube in cubes]
    items += [(relative_name(path, folder), kind) for kind, path in responses.items()]
    table = asn_from_list(
        items,
        rule=Asn_Hifred,
        product_name=product_name or stem(items[0][0]),
        with_exptype=True,
        acid=asn_id,
    )
    members = table["products"][0]["members"]
    for member, files in zip(members[: len(cubes)], own, strict=True):
        member.update({kind: relative_name(path, folder) for kind, path in files.items()})
    return table


def collect_hifred_members(init):
    """
    Find the cubes and responses in whatever describes a fusion of HIFReD.

    Parameters
    ----------
    init : str, path, dict, list, ModelContainer or ModelLibrary
        Association file or dictionary; dictionary of ``cubes`` and of responses, and with ``own``,
        a list with a dictionary of files for each cube; list of files, data models or
        `~jwst_fusion.hifred.xray.counts.CountCube`; container or library of data models.

    Returns
    -------
    HifredMembers
        Files are checked for existence but not opened.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    TypeError
        If the input is of another kind.
    ValueError
        If there are fewer than two cubes, one of them or a response is given twice, or the
        association is not valid.
    """
    if isinstance(init, (str, Path)):
        if Path(init).suffix.lower() != ".json":
            _existing(init, "input file")
            msg = f"{init} is one file: give an association or a list of cubes"
            raise ValueError(msg)
        path = Path(init)
        return _from_table(read_association(path), path.parent, table_name=path.name)
    if isinstance(init, dict):
        return _from_table(init, Path()) if "products" in init else _from_names(init)
    if isinstance(init, ModelContainer):
        return _checked(HifredMembers(tuple(init)))
    if isinstance(init, ModelLibrary):
        with init:
            models = [init.borrow(index) for index in range(len(init))]
            for index, model in enumerate(models):
                init.shelve(model, index, modify=False)
        return _checked(HifredMembers(tuple(models)))
    if isinstance(init, (list, tuple)):
        return _checked(HifredMembers(tuple(init)))
    msg = (
        f"input of type {type(init).__name__} is not supported: give an association, a list of "
        "cubes (files or data models), or a dictionary with cubes, psf, rmf_x, arf_x"
    )
    raise TypeError(msg)


def _from_table(table, folder, *, table_name=None):
    name = table_name or "association"
    try:
        (product,) = table["products"]
        members = [
            (member["expname"], member["exptype"].lower(), member) for member in product["members"]
        ]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        msg = f"{name} is not an association of one product whose members have expname and exptype"
        raise ValueError(msg) from error
    check_table(table, name)
    cubes, responses, own = [], {}, []
    for file, exptype, member in members:
        if exptype not in ("science", *_RESPONSES):
            log.info("Member %s of type %s is not used by HIFReD", file, exptype)
            continue
        path = str(member_file(folder, file, name))
        if exptype == "science":
            cubes.append(path)
            own.append(
                {
                    kind: str(member_file(folder, member[kind], name))
                    for kind in _OWN
                    if member.get(kind)
                }
            )
        elif exptype in responses:
            msg = f"{name} has more than one member of type {exptype}"
            raise ValueError(msg)
        else:
            responses[exptype] = path
    found = HifredMembers(tuple(cubes), responses, product.get("name"), table_name, tuple(own))
    return _checked(found)


def _from_names(init):
    unknown = set(init) - {"cubes", "product_name", "own", *_RESPONSES}
    if unknown or "cubes" not in init:
        msg = (
            f"input has the entries {', '.join(map(str, init))}: expected cubes, and some of "
            f"{', '.join(_RESPONSES)}, own and product_name"
        )
        raise ValueError(msg)
    responses = {
        kind: str(_existing(init[kind], kind)) for kind in _RESPONSES if init.get(kind) is not None
    }
    own = tuple(init.get("own") or ({} for _ in init["cubes"]))
    if len(own) != len(init["cubes"]) or not all(isinstance(one, dict) for one in own):
        msg = f"own must have one dictionary for each of {len(init['cubes'])} cubes"
        raise ValueError(msg)
    own = tuple({k: path for k, path in one.items() if path is not None} for one in own)
    name = init.get("product_name")
    return _checked(HifredMembers(tuple(init["cubes"]), responses, name, own=own))


def _checked(members):
    if len(members.cubes) < 2:
        msg = f"the input has {len(members.cubes)} cubes (science): HIFReD fuses two or more"
        raise ValueError(msg)
    if not members.own:
        members = replace(members, own=tuple({} for _ in members.cubes))
    seen = set()
    for cube, files in zip(members.cubes, members.own, strict=True):
        unknown = set(files) - set(_OWN)
        if unknown:
            msg = f"{cube} has files of its own of the kind {', '.join(sorted(unknown))}: expected "
            msg += f"some of {', '.join(_OWN)}"
            raise ValueError(msg)
        for kind, path in files.items():
            _existing(path, f"{kind} of {cube}")
        if isinstance(cube, (str, Path)):
            path = _existing(cube, "cube").resolve()
            if path in seen:
                msg = f"cube {cube} is given twice: give each observation once"
                raise ValueError(msg)
            seen.add(path)
    if not members.product_name:
        first = next((c for c in members.cubes if isinstance(c, (str, Path))), None)
        members = replace(members, product_name=None if first is None else stem(str(first)))
    if members.product_name:
        check_name(members.product_name, members.table_name or "the input")
    return members


def _existing(path, kind):
    path = Path(path)
    if not path.is_file():
        msg = f"{kind} {path} does not exist"
        raise FileNotFoundError(msg)
    return path
