"""Runs docs/notebook.ipynb and keeps its outputs: the site shows them, a test holds them.

Run from the checkout: python docs/notebook.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parent / "notebook.ipynb"
KEPT = ("text/html", "text/plain")


def executed() -> Any:
    """The notebook after a run of every cell in a fresh kernel. Raises CellExecutionError."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=280, kernel_name="python3")
    client.execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {}
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", {}):  # whose text names this machine
                output["data"].pop("text/plain", None)
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return notebook


def outputs(notebook: Any) -> list[list[str]]:
    """What each code cell shows: its texts as they stand, and its values as HTML or text."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        texts = []
        for output in cell.outputs:
            data = output.get("data", {})
            best = next((data[kind] for kind in KEPT if kind in data), "")
            texts.append(output.get("text", best))
        shown.append(texts)
    return shown


if __name__ == "__main__":
    import nbformat

    nbformat.write(executed(), NOTEBOOK)
