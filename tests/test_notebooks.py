"""The notebooks run from top to bottom; their last cells assert what their first ones claim."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs_without_errors_or_stray_output(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    stray = [o["text"] for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert not stray, f"warnings and messages that a reader would stumble over: {stray}"
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 2, "the circuit and the training curves are shown"
