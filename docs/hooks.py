"""Pages of the site that are made when it is built: every command's own help."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

HEAD = """# Commands

`gadprof COMMAND --help` prints these. Every command exits 0 for success, 1 for a check that failed,
2 for bad use.
"""


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add commands.md, from what the commands say today."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files


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
