"""Files that are written as a whole or not at all, under the name of a type that jwst knows."""

import copy
from contextlib import contextmanager
from pathlib import Path

from jwst_fusion.numerics.array_tables import as_table, plain
from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["WholeFile"]


class WholeFile:
    """
    Mixin for data models of this package.

    Parameters
    ----------
    *args, **kwargs
        As for `stdatamodels.jwst.datamodels.JwstDataModel`.

    Attributes
    ----------
    written_as : str
        Type of data model that a file gives as its own (``DATAMODL``), which every reader knows.
    listed : str or None
        List of the model whose items have arrays, too.

    Notes
    -----
    Arrays to which the schema gives no type are those of two axes that are no images. Files have
    them as tables of one column, see `~jwst_fusion.numerics.array_tables`: viewers such as Cubeviz
    take a file with an image extension of two axes for one of images.
    """

    written_as = None
    listed = None

    # name that a file gets once it is complete; it is written under another
    _final_name = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for tree, schemas in self._places(self._schema):
            tree.update({name: plain(tree[name]) for name in _untyped(tree, schemas)})

    def _places(self, schema):
        """Places of arrays, the model and the items of its list, each with its part of a schema."""
        known = schema["properties"]
        yield self._instance, known
        for item in self._instance.get(self.listed) or ():
            yield item, known[self.listed]["items"]["properties"]

    @contextmanager
    def as_written(self):
        """
        Have tables in the model as long as it is written.

        Yields
        ------
        dict
            The schema with the types of these tables.
        """
        original, schema = self._schema, copy.deepcopy(self._schema)
        kept = [
            {name: tree[name] for name in _untyped(tree, schemas)}
            for tree, schemas in self._places(schema)
        ]
        try:
            for arrays, (tree, schemas) in zip(kept, self._places(schema), strict=True):
                for name, array in arrays.items():
                    tree[name] = as_table(array)
                    schemas[name]["datatype"] = _type_of(tree[name])
            self._schema = schema
            yield schema
        finally:
            self._schema = original
            # the tree is another one if metadata were set meanwhile
            for arrays, (tree, _) in zip(kept, self._places(original), strict=True):
                tree.update(arrays)

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
            with self.as_written():
                super().to_fits(init, *args, **kwargs)
            return
        final = Path(init)
        self._final_name = final.name
        try:
            with renamed_when_complete(final) as partial, self.as_written():
                super().to_fits(str(partial), *args, **kwargs)
        finally:
            self._final_name = None


def _untyped(tree, schemas):
    """Names of the arrays of a place to which its schema gives no type."""
    return [
        name
        for name, schema in schemas.items()
        if "fits_hdu" in schema and "datatype" not in schema and hasattr(tree.get(name), "dtype")
    ]


def _type_of(array):
    """Type of an array or table in the words of a schema."""
    if array.dtype.names is None:
        return array.dtype.name
    parts = [(name, array.dtype[name].base.name) for name in array.dtype.names]
    return [{"name": name, "datatype": kind} for name, kind in parts]
