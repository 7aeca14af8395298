"""Draws docs/compare.svg, the README's picture: the real output of one command, in its colours.

Run from the checkout: python docs/picture.py
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = ["compare", "hrnet32", "gadnet32"]
HERE = Path(__file__).resolve().parent


def printed(color: str) -> str:
    """What the command prints, with its colours or without."""
    done = subprocess.run(
        [sys.executable, "-m", "gadprof", f"--color={color}", *COMMAND],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "96", "GADPROF_STORE": "off"},
    )
    return done.stdout.rstrip()


def main() -> None:
    """Run the command and draw what it prints."""
    console = Console(record=True, width=98, file=io.StringIO())
    console.print(Text(f"$ gadprof {' '.join(COMMAND)}", style="bold"))
    console.print(Text.from_ansi(printed("always")))
    svg = console.export_svg(title="gadprof", unique_id="gadprof")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no request leaves the page
    svg = "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    (HERE / "compare.svg").write_text(svg)


if __name__ == "__main__":
    main()
