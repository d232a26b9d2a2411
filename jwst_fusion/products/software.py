"""Names and versions of the software that made a product."""

import platform
from importlib.metadata import PackageNotFoundError, version

from jwst_fusion import __version__

__all__ = ["software"]


def software(packages):
    """
    Return names and versions of the software that made a product.

    Parameters
    ----------
    packages : sequence of str
        Packages on which its numbers depend.

    Returns
    -------
    list of tuple of str
        Name and version of this package, of Python, and of the packages.
    """
    own = [("jwst_fusion", __version__), ("python", platform.python_version())]
    return own + [(name, _version(name)) for name in packages]


def _version(name):
    """Version of a package, of which some are optional."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
