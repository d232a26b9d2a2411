"""Files that are written as a whole or not at all, under the name of a type that jwst knows."""

from pathlib import Path

from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["WholeFile"]


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
        self._final_name = final.name
        try:
            with renamed_when_complete(final) as partial:
                super().to_fits(str(partial), *args, **kwargs)
        finally:
            self._final_name = None
