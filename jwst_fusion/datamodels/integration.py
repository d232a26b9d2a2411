"""Entry point by which asdf finds the schemas of this package."""

import importlib.resources

from asdf.resource import DirectoryResourceMapping

__all__ = ["SCHEMA_URI_PREFIX", "get_resource_mappings"]

SCHEMA_URI_PREFIX = "asdf://jwst-fusion.org/schemas/"


def get_resource_mappings():
    """
    Return the schemas of this package for the entry point ``asdf.resource_mappings``.

    Returns
    -------
    list of `asdf.resource.DirectoryResourceMapping`
        One mapping from URI to the content of the schema files.
    """
    folder = importlib.resources.files("jwst_fusion.datamodels") / "schemas"
    return [DirectoryResourceMapping(folder, SCHEMA_URI_PREFIX, filename_pattern="*.schema.yaml")]
