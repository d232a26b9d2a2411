"""Sphinx configuration."""

import sys
from importlib.metadata import version as _version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "jwst_fusion"
author = "jwst_fusion developers"
copyright = "2026, jwst_fusion developers"
release = version = _version("jwst_fusion")

extensions = [
    "missed_targets",
    # the notebooks are pages, with what their cells print and draw
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    # equations are readable without a network, as on the machines where pipelines run
    "sphinx-mathjax-offline",
]
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
# cross-references are written as plain code where the target is another package
default_role = "literal"
exclude_patterns = ["_build", "benchmarks", "extensions", "static"]
html_theme = "pydata_sphinx_theme"
html_title = "jwst_fusion"
html_static_path = ["static"]
html_css_files = ["wide.css"]
# All pages, by their captions, stand beside each page; links in the header would repeat them.
html_sidebars = {"**": ["globaltoc.html"]}
html_theme_options = {"navbar_center": [], "show_toc_level": 2}
templates_path = []
# A notebook is run if it has changed since the last build; an error in it ends the build.
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
# `make linkcheck` asks the network; a doi always leads on to a publisher
linkcheck_allowed_redirects = {r"https://doi\.org/.*": r"https://.*"}
linkcheck_timeout = 30
linkcheck_retries = 2
