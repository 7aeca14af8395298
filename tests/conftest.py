"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# small networks gain nothing from threads, and the tests of several processes share the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The development data: $GADPROF_DATA, else shared/data beside the checkout."""
    named = os.environ.get("GADPROF_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for folder in [Path(named)] if named else [beside]:
        if folder.is_dir():
            return folder
    pytest.skip("development data absent; set GADPROF_DATA to its folder to run this test")


@pytest.fixture(autouse=True)
def _no_store_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the user's results store; a test that needs one names its own."""
    monkeypatch.setenv("GADPROF_STORE", "off")


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]):
    """Run one command line in this process; gives its exit code, output and error output."""
    from gadprof.cli import run

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
