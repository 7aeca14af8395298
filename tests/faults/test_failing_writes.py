"""Every system call that writes fails in turn: old file whole or new file whole, one line right."""

from __future__ import annotations

import errno
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        COMPILER is None or not sys.platform.startswith("linux"),
        reason="needs a C compiler, and preloading as Linux has it",
    ),
]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("shim"))


def compiled(folder: Path) -> Path:
    """The library that lets writes fail, made in a folder."""
    made = folder / "failing_writes.so"
    source = str(HERE / "failing_writes.c")
    assert COMPILER is not None
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", str(made), source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return made


Attempt = dict[str, Any]


def attempts(
    shim: Path, folder: Path, scenario: str, step: int | None = None
) -> dict[str, list[Attempt]]:
    """Each attempt's end by the error's name, the first of each without a failing write.

    All in one process, as what a scenario imports takes longer than its attempts.
    """
    step = step or STEPS[scenario]
    # each error begins elsewhere
    firsts = [index * max(1, step // len(CODES)) % step for index in range(len(CODES))]
    series = [f"{getattr(errno, code)}:{first}" for code, first in zip(CODES, firsts, strict=True)]
    done = subprocess.run(
        [sys.executable, str(HERE / "scenarios.py"), scenario, str(step), *series],
        env={
            **os.environ,
            "LD_PRELOAD": str(shim),
            "FAULT_FOLDER": str(folder),
            "GADPROF_STORE": "off",
            "PYTHONPATH": str(HERE.parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        code: [attempt for attempt in found if attempt["errno"] == getattr(errno, code)]
        for code in CODES
    }


@pytest.fixture(scope="module")
def attempts_of(
    shim: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, list[Attempt]]]:
    """The attempts of a scenario, made when they are first asked for."""
    return functools.cache(
        lambda scenario: attempts(shim, tmp_path_factory.mktemp("fault") / "folder", scenario)
    )


NEEDS = {"sweep": "pyarrow", "checkpoint": "lightning", "report": "jinja2"}
CODES = ("ENOSPC", "EIO", "EACCES", "EINTR")
# what a run leaves besides its results, to go on from
GOES_ON = re.compile(r"out\.parquet\.parts/(part-\d+\.parquet|state\.json)")


# scenario: the distance between the writes that fail. The four errors take turns where an attempt
# takes long, so that every write fails by one of them, and of a report, whose files are written as
# exports are, some do; ``benchmarks/failing_writes.py`` lets every write fail by each
STEPS = {"export": 1, "baseline": 1, "journal": 2, "store": 4, "new store": 4, "sweep": 4,
         "plot": 4, "checkpoint": 4, "report": 48}  # fmt: skip


@pytest.mark.parametrize(("scenario", "code"), [(name, code) for name in STEPS for code in CODES])
def test_a_write_that_fails_leaves_old_or_new_and_says_so(
    attempts_of: Callable[[str], dict[str, list[Attempt]]], scenario: str, code: str
) -> None:
    needed = NEEDS.get(scenario)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    judge(scenario, *attempts_of(scenario)[code])


def judge(scenario: str, whole: Attempt, *found: Attempt) -> None:
    """Hold that each attempt left old or new files and said so."""
    assert whole["exit"] == 0
    assert not whole["fired"]
    assert any(attempt["fired"] for attempt in found)
    for attempt in found:
        assert isinstance(attempt["files"], dict), attempt
        for name, content in attempt["files"].items():
            if name == "s.sqlite":
                models = set(whole["files"][name].removeprefix("ok: ").split(", "))
                assert content.startswith("ok: ")
                assert set(filter(None, content[4:].split(", "))) <= models
                # what had been acknowledged before
                first = {"store": "gadnet32", "journal": "first"}.get(scenario, "")
                assert first in content
            elif GOES_ON.fullmatch(name):
                assert attempt["exit"] != 0
            else:
                assert content in ("old", whole["files"].get(name)), (name, attempt)
        if attempt["exit"] == 0:
            assert attempt["files"] == whole["files"]
            assert attempt["said"] == whole["said"]
        else:
            assert attempt["exit"] == 2, attempt
            assert attempt["fired"]
            assert re.fullmatch(r"gadprof: [^\n]+\n", attempt["said"]), attempt
    assert found[-1]["exit"] == 0
    assert not found[-1]["fired"]


def test_an_interrupted_call_is_made_again(
    attempts_of: Callable[[str], dict[str, list[Attempt]]],
) -> None:
    assert {attempt["exit"] for attempt in attempts_of("export")["EINTR"]} == {0}
