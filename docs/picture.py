"""Draws docs/compare.svg, the README's picture: the real output of one command, in its colours.

Run from the checkout: python docs/picture.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = ["compare", "hrnet32", "gadnet32"]
HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the command and draw what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "gadprof", "--color=always", *COMMAND],
        capture_output=True,
        text=True,
        check=True,
        env={**__import__("os").environ, "COLUMNS": "96", "GADPROF_STORE": "none"},
    )
    console = Console(record=True, width=98, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Text(f"$ gadprof {' '.join(COMMAND)}", style="bold"))
    console.print(Text.from_ansi(done.stdout.rstrip()))
    svg = console.export_svg(title="gadprof", unique_id="gadprof")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no request leaves the page
    svg = "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    (HERE / "compare.svg").write_text(svg)


if __name__ == "__main__":
    main()
