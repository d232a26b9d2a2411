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


@RegistryMarker.rule
class Asn_Hifred(DMS_Level3_Base):
    """
    Two cubes of one field (science) with the responses of their telescopes.

    Types of members: ``science`` (two), ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``, ``arf_y``. X is
    the telescope with the finer pixels, Y the one with the finer channels. The rule matches nothing
    in a pool of exposures.

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
        if count != 2:
            msg = f"an association of HIFReD needs two cubes as science, got {count}"
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
        Two files, data models or `~jwst_fusion.hifred.xray.counts.CountCube`, in any order.
    responses : dict of str to str
        Files by ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``, ``arf_y``.
    product_name : str or None
        Name of the product without suffix; None if nothing tells it.
    table_name : str or None
        File name of the association.
    """

    cubes: tuple
    responses: dict = field(default_factory=dict)
    product_name: str | None = None
    table_name: str | None = None


def make_hifred_association(cubes, *, product_name=None, asn_id="a3001", folder=None, **responses):
    """
    Associate two cubes with the responses of their telescopes.

    Parameters
    ----------
    cubes : sequence of str or path
        The two cubes, in any order.
    product_name : str, optional
        Name of the product without suffix. By default that of the first cube.
    asn_id : str, optional
        Identifier of the association.
    folder : str or path, optional
        Folder in which the association will be written: the members are named relative to it.
        By default the members are named as given.
    **responses : str or path
        ``psf``, ``rmf_x``, ``arf_x``, ``rmf_y``, ``arf_y``.

    Returns
    -------
    Asn_Hifred
        The association, which behaves as a dictionary.

    Raises
    ------
    ValueError
        If there are not two cubes, or a response is of a type that does not exist.
    """
    cubes = list(cubes)
    if len(cubes) != 2:
        msg = f"cubes has {len(cubes)} items: HIFReD fuses two cubes"
        raise ValueError(msg)
    unknown = set(responses) - set(_RESPONSES)
    if unknown:
        msg = f"{', '.join(sorted(unknown))}: expected some of {', '.join(_RESPONSES)}"
        raise ValueError(msg)
    items = [(relative_name(cube, folder), "science") for cube in cubes]
    items += [(relative_name(path, folder), kind) for kind, path in responses.items()]
    return asn_from_list(
        items,
        rule=Asn_Hifred,
        product_name=product_name or stem(items[0][0]),
        with_exptype=True,
        acid=asn_id,
    )


def collect_hifred_members(init):
    """
    Find the cubes and responses in whatever describes a fusion of HIFReD.

    Parameters
    ----------
    init : str, path, dict, list, ModelContainer or ModelLibrary
        Association file or dictionary; dictionary of two ``cubes`` and of responses; list of two
        files, data models or `~jwst_fusion.hifred.xray.counts.CountCube`; container or library of
        two data models.

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
        If there are not two cubes, a response is given twice, or the association is not valid.
    """
    if isinstance(init, (str, Path)):
        if Path(init).suffix.lower() != ".json":
            _existing(init, "input file")
            msg = f"{init} is one file: give an association or a list of two cubes"
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
        f"input of type {type(init).__name__} is not supported: give an association, a list of two "
        "cubes (files or data models), or a dictionary with cubes, psf, rmf_x, arf_x"
    )
    raise TypeError(msg)


def _from_table(table, folder, *, table_name=None):
    name = table_name or "association"
    try:
        (product,) = table["products"]
        members = [(member["expname"], member["exptype"].lower()) for member in product["members"]]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        msg = f"{name} is not an association of one product whose members have expname and exptype"
        raise ValueError(msg) from error
    check_table(table, name)
    cubes, responses = [], {}
    for file, exptype in members:
        if exptype not in ("science", *_RESPONSES):
            log.info("Member %s of type %s is not used by HIFReD", file, exptype)
            continue
        path = str(member_file(folder, file, name))
        if exptype == "science":
            cubes.append(path)
        elif exptype in responses:
            msg = f"{name} has more than one member of type {exptype}"
            raise ValueError(msg)
        else:
            responses[exptype] = path
    return _checked(HifredMembers(tuple(cubes), responses, product.get("name"), table_name))


def _from_names(init):
    unknown = set(init) - {"cubes", "product_name", *_RESPONSES}
    if unknown or "cubes" not in init:
        msg = (
            f"input has the entries {', '.join(map(str, init))}: expected cubes, and some of "
            f"{', '.join(_RESPONSES)} and product_name"
        )
        raise ValueError(msg)
    responses = {
        kind: str(_existing(init[kind], kind)) for kind in _RESPONSES if init.get(kind) is not None
    }
    return _checked(HifredMembers(tuple(init["cubes"]), responses, init.get("product_name")))


def _checked(members):
    if len(members.cubes) != 2:
        msg = f"the input has {len(members.cubes)} cubes (science): HIFReD fuses two"
        raise ValueError(msg)
    for cube in members.cubes:
        if isinstance(cube, (str, Path)):
            _existing(cube, "cube")
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
