"""The notebooks of the documentation run from their first cell to the last."""

import logging
import tempfile
import types
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from traitlets.config import Config

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    names = {"mast_to_line_map", "trace_model", "fusion", "sums", "hifred"}
    assert {path.stem for path in NOTEBOOKS} >= names


@pytest.fixture
def here():
    """Run the cells as a kernel does, in this process, which has imported everything already."""
    before = logging.root.manager.disable
    shell = InteractiveShell(
        config=Config(HistoryManager={"enabled": False}), user_module=types.ModuleType("notebook")
    )

    def run(book):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for cell in book.cells:
                if cell.cell_type == "code":
                    shell.run_cell(cell.source).raise_error()

    yield run
    plt.close("all")
    logging.disable(before)


def kernel(book):
    """Run the cells in a kernel of their own."""
    NotebookClient(book, timeout=600, kernel_name="python3").execute()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook_runs(path, here, tmp_path, monkeypatch):
    monkeypatch.delenv("STPSF_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    book = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "clear the outputs"
    # One of them shows that a kernel does.
    run = kernel if path.stem == "hifred" else here
    run(book)
