"""The notebook of the documentation runs from top to bottom, and its numbers are right."""

import json
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "first-run.ipynb"
NUMBERS = """
import json
model_energy, ess = reweighted_energy(beta)
reference_energy = float(model.target.energy(spins).mean()) / model.target.n_sites
exact_energy = model.target.exact(beta)["energy"]
print(json.dumps([list(draws.spins.shape), ess, model_energy, reference_energy, exact_energy]))
"""


def test_first_run(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells.append(nbformat.v4.new_code_cell(NUMBERS))
    NotebookClient(
        notebook, timeout=1200, startup_timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    kinds = {kind for cell in shown for output in cell.outputs for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds  # the plot, and tables
    shape, ess, model_energy, reference_energy, exact_energy = json.loads(notebook.cells[-1].outputs[0]["text"])
    assert shape == [10_000, 8, 8]
    assert ess > 0.8
    # One standard error is about 0.003 for the model and 0.006 for the 2000 reference configurations.
    assert abs(model_energy - exact_energy) < 0.015
    assert abs(reference_energy - exact_energy) < 0.03
    assert (tmp_path / "runs" / "first-run" / "plan.json").is_file()


def test_committed_outputs() -> None:
    """The notebook is committed with the outputs of every code cell. They are small and name no folder of a machine."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs) == 1
    assert NOTEBOOK.stat().st_size < 300_000
    text = "".join(str(output.get("data", {}).get("text/plain", output)) for cell in cells for output in cell.outputs)
    assert not re.search(r"[\s'\"(]/\w+/\w", text)  # an absolute path
