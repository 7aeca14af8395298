"""Prints those entries of a lock file that a Python lacks: python -I lacking.py LOCK [NAME...].

From each NAME (gadprof itself by default) it walks down the lock's "# via" notes and stops at what
is installed: a package that someone chose for this Python, and what it needs, stays as it is.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = "gadprof"


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[=;]", name, maxsplit=1)[0]).lower()


def entries(lock: str) -> list[tuple[str, str, set[str]]]:
    """Every entry of a lock: the package, its lines, and what it is there for."""
    found = []
    for text in re.split(r"\n(?=[A-Za-z0-9])", "\n" + lock):
        name = text.strip().partition("==")[0]
        if name:
            comments = re.findall(r"^ +# +(?:via +)?(\S.*)$", text, re.MULTILINE)
            lines = "\n".join(line for line in text.splitlines() if "#" not in line)
            found.append((plain(name), lines.strip(), {plain(c) for c in comments if c != "via"}))
    return found


def lacking(lock: str, wanted: list[str], installed: set[str]) -> list[str]:
    """The lines of the entries that are wanted, or needed by those, and not installed."""
    listed = entries(lock)
    chosen: set[str] = set()
    open_names = [name for name in map(plain, wanted) if name == ROOT or name not in installed]
    while open_names:
        name = open_names.pop()
        chosen.add(name)
        needed = {package for package, _, reasons in listed if name in reasons}
        open_names += needed - installed - chosen
    return [lines for package, lines, _ in listed if package in chosen]


if __name__ == "__main__":
    names = {plain(found.metadata["Name"] or "") for found in metadata.distributions()}
    for lines in lacking(Path(sys.argv[1]).read_text(), sys.argv[2:] or [ROOT], names):
        print(lines)
