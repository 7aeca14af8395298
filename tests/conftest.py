"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# small networks gain nothing from threads, and the tests of several processes share the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

# files whose claims are about a child's start, environment, imports or memory
ABOUT_PROCESSES = {
    "test_forks", "test_guarded", "test_isolation", "test_launch", "test_long_life",
    "test_measuring_faults", "test_measuring_heap", "test_measuring_memory", "test_workers",
}  # fmt: skip


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


@pytest.fixture(scope="session")
def _warm_start() -> Iterator[object]:
    from warm_workers import WarmStart

    start = WarmStart()
    yield start
    start.close()


@pytest.fixture(scope="module", autouse=True)
def _warm_workers(request: pytest.FixtureRequest, _warm_start: object) -> Iterator[None]:
    """Child processes are forked with torch imported, but in files about how they start."""
    from gadprof.workers import process, zygote

    with pytest.MonkeyPatch.context() as patch:
        if zygote.available() and request.path.stem not in ABOUT_PROCESSES:
            for module in (process, zygote):
                patch.setattr(module, "start_child", _warm_start)
        yield


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]):
    """Run one command line in this process; gives its exit code, output and error output."""
    from gadprof.cli import run

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
