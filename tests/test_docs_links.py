"""Every reference within README and documentation leads to something; external ones are known."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.rst"))
NAMES = {page.stem for page in PAGES}
MARKDOWN = [ROOT / "README.md", ROOT / "benchmarks" / "README.md"]
_UNDERLINED = re.compile(r"^(\S.*)\n([=\-~^])\2+$", re.MULTILINE)
_LINK = re.compile(r"`([^`<>]+?)\s*<([^`<>]+)>`(__?)")
_DOC = re.compile(r":doc:`(?:[^`<]*<)?([^`>]+)>?`")
_REF = re.compile(r":ref:`(?:[^`<]*<)?([^`>]+)>?`")
_NAMED = re.compile(r"(?<![`\w:])`([^`<>]+)`_(?!_)")
_DIRECTIVE = re.compile(
    r"^\.\. (image|figure|include|missed-targets):: (.*(?:\n   [^\s:].*)*)", re.M
)
_DOWNLOAD = re.compile(r":download:`[^`<]*<([^`>]+)>`")
#: Pages elsewhere that may be linked; ``make linkcheck`` asks them whether they still answer.
EXTERNAL = {
    "https://img.shields.io/badge/python-3.11_to_3.14-blue",
    "https://img.shields.io/badge/licence-BSD_3--Clause-blue",
    "https://img.shields.io/badge/JWST_pipeline-3.0_and_newer-blue",
    "https://arxiv.org/abs/2407.15639",  # Lascar, Bobin & Acero 2025
    "https://arxiv.org/abs/2603.05014",  # Marquis et al. 2026
    "https://arxiv.org/abs/2603.26916",  # Law & Clarke 2026
    "https://doi.org/10.1051/0004-6361/202451608",  # Lascar, Bobin & Acero 2025
    "https://jwst-docs.stsci.edu/known-issues/resampling-artifacts",
}


def titles(page):
    return [match[1] for match in _UNDERLINED.finditer(page.read_text())]


def labels(page):
    return re.findall(r"^\.\. _([\w-]+):$", page.read_text(), re.MULTILINE)


LABELS = [name for page in PAGES for name in labels(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_to_pages_and_sections(page):
    text = page.read_text()
    for name in _DOC.findall(text):
        assert name in NAMES, name
    for _, target, _ in _LINK.findall(text):
        assert target in EXTERNAL, f"{target}: pages of ours are linked by :doc: and :ref:"
    for name in _REF.findall(text):
        assert LABELS.count(name) == 1, name
    own = {title.lower() for title in titles(page)}
    for name in _NAMED.findall(text):
        assert " ".join(name.split()).lower() in own | {
            " ".join(one.split()).lower() for one, _, _ in _LINK.findall(text)
        }, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_tables_and_downloads_exist(page):
    text = page.read_text()
    for _, paths in _DIRECTIVE.findall(text):
        for path in paths.split():
            assert (DOCS / path).is_file(), path
    for path in _DOWNLOAD.findall(text):
        assert (DOCS / path).is_file(), path


def test_each_page_is_in_the_table_of_contents_and_described():
    text = (DOCS / "index.rst").read_text()
    listed = re.findall(r"^   (\w+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(NAMES - {"index"})
    table = text[text.index("Which page for what") :]
    assert set(re.findall(r"^:doc:`(\w+)` +\S", table, re.MULTILINE)) == NAMES - {"index"}


def test_each_label_is_used():
    text = "\n".join(page.read_text() for page in PAGES)
    assert set(LABELS) <= set(_REF.findall(text))


def test_each_picture_and_table_is_used():
    text = "\n".join(page.read_text() for page in [*PAGES, *MARKDOWN])
    for path in [*(DOCS / "images").iterdir(), *(DOCS / "benchmarks").iterdir()]:
        assert f"{path.parent.name}/{path.name}" in text, path.name


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.parent.name)
def test_links_of_readmes(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            assert target in EXTERNAL
        else:
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_modules_and_public_names_of_the_api_exist():
    listed = re.findall(r"^   (jwst_fusion[\w.]*)$", (DOCS / "api.rst").read_text(), re.MULTILINE)
    for name in listed:
        path = ROOT / name.replace(".", "/")
        home = path.parent / "__init__.py"
        public = home.is_file() and f'"{path.name}"' in home.read_text()
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file() or public, name


NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
TEXTS = [*PAGES, *MARKDOWN, *NOTEBOOKS]
# Folders to which pages may refer without saying so; the name of a test may stand alone.
_FOLDERS = (ROOT, ROOT / "jwst_fusion", ROOT / "benchmarks", DOCS)


def text_of(page):
    """Text of a page; of a notebook, what its author wrote."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def file_exists(name):
    if "/" not in name and name.startswith("test_"):
        return any((ROOT / "tests").rglob(name))
    return any((folder / name).is_file() for folder in _FOLDERS)


def holds(source, name):
    """Whether a module defines or imports a name, or a package offers it."""
    return re.search(rf"^ *(class|def) {name}\b|^{name}\b|[\"', ]{name}\b[\"',\n]", source, re.M)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_pages_name_exist(page):
    """As ``psf/make.py``, and folders of the package as ``psf/``."""
    text = text_of(page)
    for name in set(re.findall(r"(?<![\w./<-])((?:[\w.-]+/)*[\w-]+\.py)\b", text)):
        assert file_exists(name), name
    if page.stem == "developing":
        for name in set(re.findall(r"``([\w/]+/)``", text)):
            assert any((folder / name).is_dir() for folder in _FOLDERS), name


def test_each_room_is_on_the_map():
    text = (DOCS / "developing.rst").read_text()
    drawn = text[text.index("code-block:: text") : text.index("An engine takes")]
    package = ROOT / "jwst_fusion"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} - {"pipeline"}
    modules = {path.name for path in package.glob("*.py")}
    assert {f"{room}/" for room in rooms} | modules <= set(re.findall(r"\w+/|\w+\.py", drawn))
    inner = {path.parent.name for room in rooms for path in (package / room).glob("*/__init__.py")}
    known = rooms | (inner - {"schemas"})
    assert {name.rstrip("/") for name in re.findall(r"\w+/", drawn)} == known


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_objects_that_pages_name_exist(page):
    """Dotted names in code, as ``jwst_fusion.metrics``: a module, or something that one holds."""
    for name in set(re.findall(r"\b(jwst_fusion(?:\.\w+)+)", text_of(page))):
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            path = ROOT.joinpath(*parts[:length])
            if path.with_suffix(".py").is_file():
                source = path.with_suffix(".py").read_text()
                break
            if (path / "__init__.py").is_file():
                source = (path / "__init__.py").read_text()
                break
        rest = parts[length:]
        if rest:
            assert holds(source, rest[0]), name


def test_rows_of_the_tables_are_complete():
    """Of the tables of benchmarks; the targets that were missed are gathered from them."""
    sys.path.insert(0, str(DOCS / "extensions"))
    try:
        from benchmark_tables import missed_targets, table_rows
    finally:
        sys.path.pop(0)
    for path in (DOCS / "benchmarks").iterdir():
        text = path.read_text()
        assert len(table_rows(text)) == text.count("\n   * - ") - text.count(".. list-table::")
        missed = missed_targets(text)
        assert len(missed) == len(re.findall(r"^     - no$", text, re.MULTILINE))
        assert all(what and figure and target for what, figure, target in missed)
