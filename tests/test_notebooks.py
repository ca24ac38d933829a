"""Every notebook runs from the first cell to the last, on this tree."""

from pathlib import Path

import nbformat
import pytest
from machine import ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(notebook: nbformat.NotebookNode, where: Path) -> None:
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": where}}).execute()


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS != []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path: Path) -> None:
    run(nbformat.read(path, as_version=4), path.parent)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_an_error(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.id for cell in cells if "Traceback" in str(cell.get("outputs", ""))] == []


def test_a_broken_notebook_is_found(tmp_path: Path) -> None:
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("raise ValueError('broken')")])
    with pytest.raises(CellExecutionError, match="broken"):
        run(broken, tmp_path)
