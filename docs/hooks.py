"""Pages of the site that are made when it is built: every command's help, and the notebook."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

HEAD = """# Commands

`gadprof COMMAND --help` prints these. Every command exits 0 for success, 1 for a check that failed,
2 for bad use.
"""


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add commands.md, from what the commands say today, and the notebook as it was last run."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "commands.md", content=commands_page()))
    files.append(File.generated(config, "notebook.md", content=notebook_page()))
    return files


def notebook_page() -> str:
    """The cells of notebook.ipynb in order, each with what it showed."""
    notebook = json.loads((HERE / "notebook.ipynb").read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", "")))
            html = "".join(data.get("text/html", ""))
            # without a class of its own a table looks as the theme's
            html = html.replace(' class="gadprof"', "")
            parts.append(f"<div>{html}</div>" if html else f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def commands_page() -> str:
    """Every command under its group, as wide as 80 columns wherever it is made."""
    from gadprof.cli import GROUPS

    parts = [HEAD]
    for group, commands in GROUPS.items():
        parts.append(f"## {group}\n")
        for name in commands:
            parts.append(f"### gadprof {name}\n\n```text\n{help_of(name).rstrip()}\n```\n")
    return "\n".join(parts)


def help_of(name: str) -> str:
    """What ``gadprof NAME --help`` prints at 80 columns."""
    from gadprof.cli import run

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    stream = io.StringIO()
    try:
        with contextlib.redirect_stdout(stream):
            run([name, "--help"])
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    return stream.getvalue()
