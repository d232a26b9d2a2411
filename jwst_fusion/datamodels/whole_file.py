"""Files that are written as a whole or not at all, under the name of a type that jwst knows."""

import os
from contextlib import contextmanager
from pathlib import Path

from stdatamodels import fits_support

__all__ = ["WholeFile", "in_memory_file", "whole_file"]


class WholeFile:
    """
    Mixin for data models of this package.

    Attributes
    ----------
    written_as : str
        Type of data model that a file gives as its own (``DATAMODL``), which every reader knows.
    """

    written_as = None

    # name that a file gets once it is complete; it is written under another
    _final_name = None

    def on_save(self, init):
        """
        Write the type of model that every reader of JWST products knows.

        Parameters
        ----------
        init : str
            The path of the file that is to be written.
        """
        super().on_save(init)
        self.meta.model_type = self.written_as
        if self._final_name is not None:
            self.meta.filename = self._final_name

    def to_fits(self, init, *args, **kwargs):
        """
        Write the model, so that no partial file ever stands under the final name.

        Parameters
        ----------
        init : str, `~pathlib.Path` or file object
            The file.
        *args, **kwargs
            Passed to the writer of the parent class.
        """
        if not isinstance(init, (str, Path)) or (
            Path(init).exists() and not kwargs.get("overwrite")
        ):
            super().to_fits(init, *args, **kwargs)
            return
        final = Path(init)
        partial = final.with_name(f".{os.getpid()}.{final.name}")
        self._final_name = final.name
        try:
            super().to_fits(str(partial), *args, **kwargs)
            os.replace(partial, final)
        finally:
            self._final_name = None
            partial.unlink(missing_ok=True)


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
    hdus = fits_support.to_fits(model._instance, model._schema)
    try:
        yield hdus
    finally:
        hdus.close()


@contextmanager
def whole_file(model):
    """
    Let a model write its FITS file under another name and rename it when it is complete.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The model.
    """
    write = model.to_fits

    def to_fits(path, *args, **kwargs):
        final = Path(path)
        partial = final.with_name(f".{os.getpid()}.{final.name}")
        model.meta.filename = final.name  # as only a path of type str would do
        try:
            write(partial, *args, **kwargs)
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)

    model.__dict__["to_fits"] = to_fits
    try:
        yield
    finally:
        del model.__dict__["to_fits"]
