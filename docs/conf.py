"""Sphinx configuration."""

from importlib.metadata import version as _version

project = "jwst_fusion"
author = "jwst_fusion developers"
copyright = "2026, jwst_fusion developers"
release = version = _version("jwst_fusion")

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
# cross-references are written as plain code where the target is another package
default_role = "literal"
exclude_patterns = ["_build", "benchmarks"]
html_theme = "pydata_sphinx_theme"
html_title = "jwst_fusion"
html_static_path = []
templates_path = []
