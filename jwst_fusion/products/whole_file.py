"""Data models as files that are written as a whole or not at all, and as files in memory."""

from contextlib import contextmanager
from pathlib import Path

from stdatamodels import fits_support

from jwst_fusion.datamodels.whole_file import WholeFile
from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["in_memory_file", "save_whole"]


@contextmanager
def in_memory_file(model):
    """
    Show a model as the FITS file that it would be saved as, without writing it.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The model; it is not changed.

    Yields
    ------
    `~astropy.io.fits.HDUList`
        The extensions. They share their arrays with the model.
    """
    if isinstance(model, WholeFile):
        with model.as_written() as schema:
            hdus = fits_support.to_fits(model._instance, schema)
    else:
        hdus = fits_support.to_fits(model._instance, model._schema)
    try:
        yield hdus
    finally:
        hdus.close()


def save_whole(model, path):
    """
    Save a model, so that no partial file ever stands under the name of its file.

    Parameters
    ----------
    model : datamodel
        The model, of this package or of jwst. Its ``meta.filename`` becomes that of the file.
    path : str or `~pathlib.Path`
        The file; one that exists is replaced. Only FITS files are written under another name first.

    Returns
    -------
    str
        The file.
    """
    path = Path(path)
    if isinstance(model, WholeFile) or not hasattr(model, "to_fits") or path.suffix != ".fits":
        return model.save(str(path))
    model.meta.filename = path.name  # as only a path of type str would do
    with renamed_when_complete(path) as partial:
        model.to_fits(partial, overwrite=True)
    return str(path)
