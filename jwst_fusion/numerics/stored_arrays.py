"""Arrays, keywords and sky coordinates of a product: a file, open FITS extensions or a model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from jwst_fusion.input_files import check_whole, one_line
from jwst_fusion.numerics.array_tables import plain

__all__ = ["StoredArrays", "stored_arrays", "stored_items"]

_KEYS = ("ctype", "crpix", "crval", "cunit", "cdelt")  # of the two axes of the sky


@dataclass(frozen=True)
class StoredArrays:
    """
    Arrays of a product.

    Attributes
    ----------
    name : str
        File or type of the product, for messages.
    arrays : dict of str to ndarray or None
        Arrays by the name of the attribute; None for those that the product does not have.
    header : `~astropy.io.fits.Header` or None
        Keywords of the sky coordinates; None if there are none.
    meta : `~astropy.io.fits.Header` or dict
        Primary header of a file, or the tree of a data model's ``meta``.
    """

    name: str
    arrays: dict
    header: fits.Header | None
    meta: object

    def __getitem__(self, name):
        """Return an array by the name of the attribute."""
        return self.arrays[name]

    def keyword(self, name, path):
        """
        Return the value of a keyword.

        Parameters
        ----------
        name : str
            Keyword of the primary header.
        path : sequence of str
            The same in ``meta`` of a data model.

        Returns
        -------
        object
            The value; None if it is not there.
        """
        if isinstance(self.meta, fits.Header):
            return self.meta.get(name)
        found = self.meta
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def wcs(self):
        """Return the celestial coordinates, `~astropy.wcs.WCS` (x, y); None if there are none."""
        if self.header is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(self.header, naxis=2)
        return wcs if wcs.has_celestial else None


def stored_arrays(product, extensions, *, slit=None):
    """
    Take arrays of a product.

    Parameters
    ----------
    product : str, `~pathlib.Path`, `~astropy.io.fits.HDUList` or data model
        The product: a FITS file, its extensions (or an object that has them as ``hdus``), or a
        data model with the arrays as attributes.
    extensions : dict of str to tuple of str
        Extensions of which the first that a file has holds an array, by the name of the attribute
        of a data model; "data" is the one with the sky coordinates.
    slit : str, optional
        Name of the slit; needed if the product has several.

    Returns
    -------
    StoredArrays
        The arrays, copies in the machine's byte order if they come from a file.

    Raises
    ------
    TypeError
        If the product is something else.
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not FITS or damaged, or there is no such slit.
    """
    if isinstance(product, (str, Path)):
        path = Path(product)
        if not path.is_file():
            msg = f"product: file {path} does not exist"
            raise FileNotFoundError(msg)
        try:
            check_whole(path)
            with fits.open(path, memmap=False) as hdus:
                return _of_extensions(path.name, hdus, extensions, slit)
        except (OSError, TypeError, KeyError, fits.VerifyError) as error:
            msg = f"{path} cannot be read as a FITS file: {one_line(error)}"
            raise ValueError(msg) from error
    hdus = getattr(product, "hdus", product)
    if isinstance(hdus, fits.HDUList):
        name = hdus.filename() or type(product).__name__
        return _of_extensions(name, hdus, extensions, slit)
    if not (hasattr(product, "meta") and hasattr(product, "hasattr")):
        msg = f"product must be a file or a data model, got {type(product).__name__}"
        raise TypeError(msg)
    return _of_model(product, extensions, slit)


def stored_items(product, attribute, extensions):
    """
    Take the arrays of each item of a list in a product.

    Parameters
    ----------
    product : str, `~pathlib.Path`, `~astropy.io.fits.HDUList` or data model
        The product, as in `stored_arrays`, which reports what is wrong with it.
    attribute : str
        Name of the list in a data model.
    extensions : dict of str to str
        Extension of a file that holds an array, by the name of the attribute of an item; of the
        version that is the number of the item, from 1.

    Returns
    -------
    list of dict of str to ndarray or None
        Arrays of each item, None for those that it does not have; empty without the list.
    """
    if isinstance(product, (str, Path)):
        with fits.open(product, memmap=False) as hdus:
            return _items(hdus, extensions)
    hdus = getattr(product, "hdus", product)
    if isinstance(hdus, fits.HDUList):
        return _items(hdus, extensions)
    if not product.hasattr(attribute):
        return []
    items = getattr(product, attribute)
    return [
        {name: plain(getattr(item, name)) if item.hasattr(name) else None for name in extensions}
        for item in items
    ]


def _items(hdus, extensions):
    count = max((hdu.ver for hdu in hdus if hdu.name in extensions.values()), default=0)
    found = [dict.fromkeys(extensions) for _ in range(count)]
    for attribute, place in extensions.items():
        for version, item in enumerate(found, start=1):
            if (place, version) in hdus:
                array = plain(hdus[place, version].data)
                item[attribute] = np.array(array, array.dtype.newbyteorder("="))
    return found


def _of_model(product, extensions, slit):
    label = product.meta.filename or type(product).__name__
    part = product
    if product.hasattr("slits"):
        names = [str(one.name) for one in product.slits]
        part = product.slits[_chosen(label, names, slit)]
    found = {}
    for name in extensions:
        # files opened as another type of model have some arrays as tables
        found[name] = plain(getattr(part, name)) if part.hasattr(name) else None
    tree = product.meta.instance
    info = tree.get("wcsinfo", {})
    names = [f"{key}{axis}" for key in _KEYS for axis in (1, 2)]
    names += [f"{key}{i}_{j}" for key in ("pc", "cd") for i in (1, 2) for j in (1, 2)]
    header = fits.Header()
    header.update({key.upper(): info[key] for key in names if info.get(key) is not None})
    return StoredArrays(label, found, header if header else None, tree)


def _of_extensions(name, hdus, extensions, slit):
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    version = 1
    if len(science) > 1 or slit is not None:
        names = [str(hdu.header.get("SLTNAME", "")) for hdu in science]
        version = science[_chosen(name, names, slit)].ver
    found, header = dict.fromkeys(extensions), None
    for attribute, places in extensions.items():
        place = next(((one, version) for one in places if (one, version) in hdus), None)
        if place is None:
            continue
        array = plain(hdus[place].data)
        if array is not None and array.dtype.names is None:
            array = np.array(array, array.dtype.newbyteorder("="))
        found[attribute] = array
        if attribute == "data":
            header = hdus[place].header
    return StoredArrays(name, found, header, hdus[0].header)


def _chosen(name, names, slit):
    """Number of a slit by its name, or of the only one."""
    if slit is None and len(names) == 1:
        return 0
    if slit is None or str(slit) not in names:
        what = "has several slits" if slit is None else f"has no slit {slit}"
        msg = f"{name} {what}: give slit, one of {', '.join(names)}"
        raise ValueError(msg)
    return names.index(str(slit))
