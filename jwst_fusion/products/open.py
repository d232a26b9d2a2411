"""Open JWST products and associations, with one clear error if that fails."""

import contextlib
import logging
import math
import traceback
import warnings
from pathlib import Path

import asdf
import numpy as np
from astropy.io import fits
from astropy.io.fits.card import Undefined
from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels.exceptions import NoTypeWarning
from stdatamodels.jwst import datamodels

from jwst_fusion.input_files import check_tree, check_whole, is_fits_name, one_line
from jwst_fusion.messages import warn
from jwst_fusion.process import without_garbage_collection
from jwst_fusion.products.names import check_name, member_file, read_association

__all__ = ["INPUT_TYPES", "check_fits", "close_left_open", "fast_files", "open_model"]

log = logging.getLogger(__name__)

#: Data in memory that a step takes.
INPUT_TYPES = (datamodels.JwstDataModel, ModelContainer, ModelLibrary)


@contextlib.contextmanager
def fast_files():
    """
    Read and write files with large WCS objects in half the time.

    The objects of a WCS are many and stay: looking for garbage among them while they are made is
    in vain. ASDF's own check of what it reads is left out as well, in this thread; the check
    against the schemas of the datamodels remains. Opening a NIRSpec exposure takes 0.20 s of
    processor time so, 0.33 s if only garbage is not looked for, and 0.45 s with neither measure.
    """
    with without_garbage_collection(), asdf.config_context() as config:
        config.validate_on_read = False
        yield


def open_model(path, **kwargs):
    """
    Open one JWST product or association, with one clear error if that fails.

    Parameters
    ----------
    path : str, `~pathlib.Path` or datamodel
        The file; a datamodel is returned as it is.
    **kwargs
        Passed to `~stdatamodels.jwst.datamodels.open`.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.JwstDataModel` or ModelContainer
        The open model.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file cannot be read as a JWST product.
    """
    if isinstance(path, INPUT_TYPES):
        return path
    if not isinstance(path, (str, Path)):
        msg = f"expected a file name or a JWST datamodel, got {type(path).__name__}"
        raise TypeError(msg)
    path = Path(path)
    check_name(path.name, "the input", "file")
    if not path.is_file():
        msg = f"input file {path} does not exist"
        raise FileNotFoundError(msg)
    try:
        if path.suffix.lower() == ".json":
            _check_members(path)
            with fast_files():
                return ModelContainer(str(path))
        check_fits(path)
        with warnings.catch_warnings(), fast_files():
            warnings.simplefilter("error", NoTypeWarning)
            return _without_unknown(_without_undefined(datamodels.open(str(path), **kwargs)), path)
    except NoTypeWarning as error:
        close_left_open(error)
        msg = f"{path} is not a JWST product: it has no keyword DATAMODL, or one that "
        msg += "names no data model of jwst"
    except FileNotFoundError:
        raise
    except Exception as error:  # jwst, asdf, gwcs and astropy have many
        close_left_open(error)
        kind = "an association" if path.suffix.lower() == ".json" else "a JWST product"
        msg = f"{path} cannot be read as {kind}: {one_line(error)}"
        raise ValueError(msg) from error
    raise ValueError(msg)


def close_left_open(error):
    """
    Close the files that a library has opened and left open when it failed.

    Parameters
    ----------
    error : Exception
        What it raised; files are looked for in the functions that it came through.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in list(frame.f_locals.values()):
            if isinstance(value, (fits.HDUList, asdf.AsdfFile)):
                value.close()


def _check_flags(path):
    """Refuse flags (DQ) in floating point, as some programs write them, that are no flags."""
    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus:
            if hdu.name == "DQ" and hdu.is_image and hdu.data is not None:
                flags = np.asarray(hdu.data, float)
                if not (np.isfinite(flags) & (flags == np.round(flags)) & (flags >= 0)).all():
                    msg = "its extension DQ holds values that are no flags, which are whole numbers"
                    raise OSError(msg)


def _without_undefined(model):
    """Keywords without a value, which FITS allows and ASDF cannot write, as empty text."""
    for entry in model.instance.get("extra_fits", {}).values():
        for card in entry.get("header", []):
            card[1:2] = ["" if isinstance(card[1], Undefined) else card[1]]
    return model


def _without_unknown(model, path):
    """Leave out metadata that are NaN or infinite, which ASDF allows and headers cannot hold."""
    if isinstance(model, ModelContainer):
        return model
    lost = []
    for *place, key in list(_not_finite(model.instance.get("meta", {}), ("meta",))):
        if _keyword(model.schema, (*place, key)) is not None:
            tree = model.instance
            for part in place:
                tree = tree[part]
            del tree[key]
            lost.append(".".join((*place, key)))
    if lost:
        text = "%s: metadata that are no finite numbers are not used: %s"
        warn(log, text, path.name, ", ".join(lost), kind="unknown_metadata")
    return model


def _not_finite(tree, place):
    """Places of numbers that are not finite in a tree of dictionaries."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _not_finite(value, (*place, key))
        elif isinstance(value, float) and not math.isfinite(value):
            yield (*place, key)


def _keyword(schema, place):
    """Keyword of a header that holds what is at a place of a schema; None without one."""
    if not place:
        return schema.get("fits_keyword")
    inner = schema.get("properties", {}).get(place[0])
    if inner is not None and (found := _keyword(inner, place[1:])) is not None:
        return found
    parts = (one for name in ("allOf", "anyOf") for one in schema.get(name, ()))
    return next((found for one in parts if (found := _keyword(one, place)) is not None), None)


def _check_members(path):
    """Check names and files of an association that jwst opens."""
    table = read_association(path)
    for product in table.get("products", []):
        if product.get("name") is not None:
            check_name(product["name"], path.name)
        for member in product["members"]:
            check_fits(member_file(path.parent, member["expname"], path.name))


def check_fits(path):
    """
    Check that a file is whole, before any of its arrays is touched.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file, FITS or ASDF; files of other names are not looked at.

    Raises
    ------
    OSError
        If the file is empty, truncated, damaged, or not FITS, or its flags are no whole numbers.
    """
    if is_fits_name(path):
        for name, bits in check_whole(path):
            if name == "DQ" and bits < 0:
                _check_flags(path)
    elif path.suffix.lower() == ".asdf":
        # Blocks of ASDF have checksums of their own.
        check_tree(path.read_bytes())
        try:
            with asdf.open(path, lazy_load=False, memmap=False, validate_checksums=True):
                pass
        except Exception as error:  # asdf and its extensions have many
            raise OSError(one_line(error)) from error
