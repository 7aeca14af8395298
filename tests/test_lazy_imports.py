"""What must stay light stays light: heavy packages are not imported before they are needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "scipy")

PROBE = """
import json, sys
from gadprof.cli import run
sys.stdout, kept = open({sink!r}, "w"), sys.stdout
code = run({arguments!r})
print(json.dumps([code, sorted(n for n in {heavy!r} if n in sys.modules)]), file=kept)
"""


def imported_by(arguments: list[str], sink: str) -> tuple[int, list[str]]:
    script = PROBE.format(arguments=arguments, heavy=HEAVY, sink=sink)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    code, names = json.loads(done.stdout)
    return code, names


@pytest.mark.parametrize(
    "arguments",
    [
        ["formula", "--cin", "64", "--cout", "64"],
        ["formula", "--cin", "32,64", "--format", "json"],
        ["formula", "--block", "cbam,stn,dense", "--cin", "32,64"],
        ["formula", "--block", "ccw", "--cin", "64"],
        ["count", "hrnet32"],
        ["count", "gadnet32", "--format", "json"],
        ["compare", "hrnet32", "gadnet32"],
        ["compare", "hrnet32", "hrnet32:block=cbam", "hrnet32:block=ccw"],
        ["compare", "hrnet32", "gadnet32", "--format", "json"],
        ["models"],
        ["shapes", "gadnet32"],
        ["--help"],
    ],
)
def test_a_light_command_imports_nothing_heavy(arguments, tmp_path):
    assert imported_by(arguments, str(tmp_path / "out")) == (0, [])


def test_importing_the_package_imports_nothing_heavy():
    script = f"import gadprof, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
