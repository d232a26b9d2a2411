"""Members of one fusion, cubes and images, from files, models or an association."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from jwst.associations.asn_from_list import asn_from_list
from jwst.datamodels import ModelContainer, ModelLibrary
from jwst.lib.suffix import remove_suffix
from stdatamodels.jwst import datamodels

from jwst_fusion.associations.headers import is_exposure, is_picture
from jwst_fusion.associations.rule import Asn_Fusion, exptype_of_file
from jwst_fusion.messages import warn
from jwst_fusion.partial_files import renamed_when_complete
from jwst_fusion.products.names import check_name, member_file, read_association
from jwst_fusion.products.open import open_model

__all__ = [
    "FusionMembers",
    "collect_members",
    "make_association",
    "split_science",
    "write_association",
]

log = logging.getLogger(__name__)

_ROLES = ("science", "direct_image", "background")


@dataclass(frozen=True)
class FusionMembers:
    """
    The members of a fusion, sorted by role.

    Attributes
    ----------
    cubes, images : tuple of str or datamodel
        Files that are not opened yet, or open models.
    product_name : str or None
        Name of the product without suffix; None if nothing tells it.
    asn_id : str or None
        Identifier of the association.
    table_name : str or None
        File name of the association.
    backgrounds : tuple of str or datamodel
        Spectra of the background (x1d) for exposures.
    exposures : tuple of str or datamodel
        Exposures of an integral field unit, as `split_science` tells them from cubes.
    """

    cubes: tuple
    images: tuple
    product_name: str | None = None
    asn_id: str | None = None
    table_name: str | None = None
    backgrounds: tuple = ()
    exposures: tuple = ()


def make_association(science, direct_image, *, product_name=None, asn_id="a3001", folder=None):
    """
    Associate cubes with images.

    Parameters
    ----------
    science : str, path or sequence of them
        Cubes (s3d), or exposures (cal) of which a pipeline builds cubes.
    direct_image : str, path or sequence of them
        Images (i2d).
    product_name : str, optional
        Name of the product without suffix. By default that of the first cube.
    asn_id : str, optional
        Identifier of the association.
    folder : str or path, optional
        Folder in which the association will be written: the members are named relative to it.
        By default the members are named as given.

    Returns
    -------
    `jwst_fusion.associations.rule.Asn_Fusion`
        The association, which behaves as a dictionary.

    Raises
    ------
    ValueError
        If there is no cube or no image.
    """
    groups = []
    for name, files in (("science", science), ("direct_image", direct_image)):
        files = [files] if isinstance(files, (str, Path)) else list(files)
        if not files:
            msg = f"{name} is empty: a fusion needs at least one cube and one image"
            raise ValueError(msg)
        groups.append([(relative_name(file, folder), name) for file in files])
    if product_name is None:
        product_name = stem(groups[0][0][0])
    return asn_from_list(
        groups[0] + groups[1],
        rule=Asn_Fusion,
        product_name=product_name,
        with_exptype=True,
        acid=asn_id,
    )


def write_association(association, path):
    """
    Write an association as JSON.

    Parameters
    ----------
    association : `jwst_fusion.associations.rule.Asn_Fusion`
        The association.
    path : str or path
        The file to write.

    Returns
    -------
    `~pathlib.Path`
        The file.
    """
    path = Path(path)
    # As a whole: another process may read it at this moment.
    with renamed_when_complete(path) as partial:
        partial.write_text(association.dump()[1])
    return path


def collect_members(init):
    """
    Sort whatever describes a fusion into cubes, exposures and images.

    Parameters
    ----------
    init : str, path, dict, list, datamodel, ModelContainer or ModelLibrary
        Association file or dictionary; list of files or models; container or library of models;
        a single model or file (a cube without images).

    Returns
    -------
    FusionMembers
        Files are checked for existence; of science members, headers are read. A file that is not
        FITS counts as a cube: whoever opens it says what is wrong.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    TypeError
        If the input is of another kind.
    ValueError
        If the association is not valid, or if a member is neither a cube nor an image.
    """
    if isinstance(init, (str, Path)):
        if Path(init).suffix.lower() == ".json":
            path = Path(init)
            return _from_table(read_association(path), path.parent, table_name=path.name)
        init = [str(init)]
    if isinstance(init, dict):
        return _from_table(init, Path())
    if isinstance(init, ModelLibrary):
        return _from_library(init)
    if isinstance(init, ModelContainer):
        table = init.asn_table
        product = (table.get("products") or [{}])[0] if table.get("asn_rule") else {}
        return _sort(
            [(model, _role_of_model(model)) for model in init],
            product_name=product.get("name"),
            asn_id=table.get("asn_id"),
            table_name=init.asn_table_name if product else None,
        )
    if isinstance(init, datamodels.JwstDataModel):
        init = [init]
    if isinstance(init, (list, tuple)):
        if not init:
            msg = "input is an empty list: give exposures (cal), or a cube (s3d) and images (i2d)"
            raise ValueError(msg)
        return _sort([_role_of_item(item) for item in init])
    msg = (
        f"input of type {type(init).__name__} is not supported: give an association, or a list of "
        "files or datamodels of exposures (cal), or of a cube (s3d) and at least one image (i2d)"
    )
    raise TypeError(msg)


def split_science(members):
    """
    Tell exposures from cubes.

    Parameters
    ----------
    members : sequence of str or datamodel
        Exposures of an integral field unit and cubes.

    Returns
    -------
    exposures : list of str or datamodel
        Those that are exposures, in their order.
    cubes : list of str or datamodel
        The others, in their order.

    Raises
    ------
    ValueError
        If a file is not FITS.
    """
    exposures, cubes = [], []
    for member in members:
        if isinstance(member, str):
            exposure = is_exposure(member)
        else:
            exposure = not isinstance(member, datamodels.IFUCubeModel)
        (exposures if exposure else cubes).append(member)
    return exposures, cubes


def _from_table(table, folder, *, table_name=None):
    name = table_name or "association"
    try:
        product = table["products"][0]
        members = [(member["expname"], member["exptype"].lower()) for member in product["members"]]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        msg = f"{name} is not an association: products[0].members with expname and exptype missing"
        raise ValueError(msg) from error
    if len(table["products"]) > 1:
        msg = f"{name} has {len(table['products'])} products: write one association a product"
        raise ValueError(msg)
    check_table(table, name)
    found = []
    for file, exptype in members:
        if exptype not in _ROLES:
            log.info("Member %s of type %s is not used in a fusion", file, exptype)
            continue
        try:
            path = member_file(folder, file, name)
        except FileNotFoundError:
            # A fusion of cubes does not need the background; whoever does opens it.
            if exptype != "background":
                raise
            path = folder / file
        if exptype == "science" and _says(is_picture, path):
            exptype = "direct_image"
        found.append((str(path), exptype))
    return _sort(
        found, product_name=product.get("name"), asn_id=table.get("asn_id"), table_name=table_name
    )


def _from_library(library):
    product = library.asn.get("products", [{}])[0]
    found = []
    with library:
        for index in range(len(library)):
            model = library.borrow(index)
            found.append((model, _role_of_model(model)))
            library.shelve(model, index, modify=False)
    return _sort(
        found,
        product_name=product.get("name"),
        asn_id=library.asn.get("asn_id"),
        table_name=library.asn.get("table_name"),
    )


def _role_of_item(item):
    if isinstance(item, datamodels.JwstDataModel):
        return item, _role_of_model(item)
    if not isinstance(item, (str, Path)):
        msg = f"a member of the list is a {type(item).__name__}: give file names or datamodels"
        raise TypeError(msg)
    if not Path(item).is_file():
        msg = f"input file {item} does not exist"
        raise FileNotFoundError(msg)
    try:
        role = exptype_of_file(item)
        # An exposure of an imager has the suffix of those of an integral field unit.
        return str(item), "direct_image" if role == "science" and is_picture(item) else role
    except ValueError:
        # The name does not say; the file does.
        with open_model(item) as model:
            return str(item), _role_of_model(model)


def _role_of_model(model):
    exptype = (model.meta.asn.exptype or "").lower()
    if exptype in _ROLES:
        return exptype
    if isinstance(model, (datamodels.IFUCubeModel, datamodels.IFUImageModel)):
        return "science"
    if isinstance(model, (datamodels.ImageModel, datamodels.SlitModel)) and model.data.ndim == 2:
        return "direct_image"
    return "other"


def check_table(table, name):
    """
    Refuse an association whose names would be bad ones for products.

    Parameters
    ----------
    table : dict
        The association, of one product.
    name : str
        Its name, for messages.

    Raises
    ------
    ValueError
        If the name of the product or the identifier are not plain names.
    """
    (product,) = table["products"]
    if product.get("name") is not None:
        check_name(product["name"], name)
    if table.get("asn_id") is not None:
        check_name(table["asn_id"], name, "identifier (asn_id)")


def _sort(found, *, product_name=None, asn_id=None, table_name=None):
    found = _each_once(found)
    science = [member for member, role in found if role == "science"]
    kinds = [_says(lambda one: bool(split_science([one])[0]), member) for member in science]
    cubes = tuple(member for member, exposure in zip(science, kinds, strict=True) if not exposure)
    exposures = tuple(member for member, exposure in zip(science, kinds, strict=True) if exposure)
    images = tuple(member for member, role in found if role == "direct_image")
    backgrounds = tuple(member for member, role in found if role == "background")
    others = [member for member, role in found if role not in _ROLES]
    for member in others:
        warn(log, "%s is neither a cube nor an image and is not used", _name(member))
    if not product_name and science:
        product_name = stem(_name(science[0]))
    if product_name:
        check_name(product_name, table_name or "the input")
    return FusionMembers(cubes, images, product_name, asn_id, table_name, backgrounds, exposures)


def _each_once(found):
    """Leave out members that are listed a second time: their data would count twice."""
    kept = {}
    for member, role in found:
        key = Path(member).resolve() if isinstance(member, str) else id(member)
        if (key, role) in kept:
            warn(log, "%s is listed twice: it is used once", _name(member))
        kept.setdefault((key, role), (member, role))
    return list(kept.values())


def _says(question, member):
    """Answer a question on a member; no of a file that is not FITS, which its reader refuses."""
    try:
        return question(member)
    except ValueError:
        return False


def _name(member):
    if isinstance(member, str):
        return member
    return member.meta.filename or "cube"


def stem(name):
    """
    Return the name of a product: a file name without folder, extension and suffix.

    Parameters
    ----------
    name : str or `~pathlib.Path`
        File name, such as ``folder/x_s3d.fits.gz``.

    Returns
    -------
    str
        The name, such as ``x``.
    """
    name = Path(name).name
    for extension in (".gz", ".fits", ".asdf"):
        name = name.removesuffix(extension)
    return remove_suffix(name)[0]


def relative_name(file, folder):
    """
    Return a path relative to a folder, or as it is if no folder is given.

    Parameters
    ----------
    file : str or `~pathlib.Path`
        The path; it need not exist.
    folder : str or `~pathlib.Path` or None
        The folder; it need not exist.

    Returns
    -------
    str
        The path, from the folder on; it may begin with ``..``.
    """
    if folder is None:
        return str(file)
    return os.path.relpath(Path(file).resolve(), Path(folder).resolve())
