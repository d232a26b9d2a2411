"""Open JWST products and associations, with one clear error if that fails."""

import contextlib
import warnings
from pathlib import Path

import asdf
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels.exceptions import NoTypeWarning
from stdatamodels.jwst import datamodels

from jwst_fusion.process import without_garbage_collection

__all__ = ["INPUT_TYPES", "check_fits", "fast_files", "open_model"]

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
    if not path.is_file():
        msg = f"input file {path} does not exist"
        raise FileNotFoundError(msg)
    try:
        if path.suffix.lower() == ".json":
            with fast_files():
                return ModelContainer(str(path))
        check_fits(path)
        with warnings.catch_warnings(), fast_files():
            warnings.simplefilter("error", NoTypeWarning)
            return datamodels.open(str(path), **kwargs)
    except NoTypeWarning:
        msg = f"{path} is not a JWST product: it has no keyword DATAMODL"
    except (OSError, ValueError, TypeError, KeyError) as error:
        kind = "an association" if path.suffix.lower() == ".json" else "a JWST product"
        msg = f"{path} cannot be read as {kind}: {error}"
    raise ValueError(msg)


def check_fits(path):
    """
    Check that a FITS file is whole, before any of its arrays is touched.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file; files that do not have a FITS name are not looked at.

    Raises
    ------
    OSError
        If the file is empty, truncated, or not FITS.
    """
    if not any(path.name.lower().endswith(ext) for ext in (".fits", ".fit", ".fits.gz")):
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AstropyUserWarning)
        with fits.open(path, memmap=False, lazy_load_hdus=False):
            pass
    for warning in caught:
        if "truncated" in str(warning.message):
            raise OSError(str(warning.message))
