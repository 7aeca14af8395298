"""Every command that counts or measures keeps what it found, also when it is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_report import run

from gadprof.audit.audit import Audit, AuditRow
from gadprof.formulas.formula import formula
from gadprof.measuring.settings import Setting
from gadprof.store.recording import (
    MeasurementRecorder,
    block_name,
    record_accuracies,
    record_audits,
    record_verified,
)
from gadprof.store.store import Store, StoredResult

SMALL = "hrnet32:width=8,modules=1-1-1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def kept(path: Path) -> tuple[StoredResult, ...]:
    with Store(path, create=False) as store:
        return store.entries()


def test_a_report_keeps_the_counts_that_it_shows(tmp_path: Path, path: Path) -> None:
    words = ("report", SMALL, "gadnet32:width=8", "-o", str(tmp_path / "reports"))
    assert run(*words, "--store", str(path))[0] == 0
    entries = kept(path)
    assert [(entry.kind, entry.model) for entry in entries] == [
        ("cost", SMALL),
        ("cost", "gadnet32:width=8"),
    ]
    assert entries[0].result is not None
    assert entries[0].result["macs"] > 0
    assert run(*words, "--store", str(path), "--check")[0] == 0
    assert len(kept(path)) == 2  # a check writes nothing


def test_an_audit_keeps_what_every_counter_said(path: Path) -> None:
    row = AuditRow("fvcore", "fvcore", "0.1", 12, "macs", 10, (), 2, 5, (), None)
    lost = AuditRow("thop", None, None, None, "macs", 10, (), None, None, (), "it raised")
    record_audits([Audit("m", ((3, 8, 8),), 1, 10, 5, "", (row, lost))], store=str(path))
    (entry,) = kept(path)
    assert entry.result is not None
    assert (entry.kind, entry.result["macs"]) == ("count", 10)
    assert entry.result["backends"]["fvcore"]["reported"] == 12
    assert entry.result["backends"]["thop"]["error"] == "it raised"


def test_a_verified_block_is_kept_with_its_counters(path: Path) -> None:
    point = formula("ga", c_in=16, c_out=16)
    record_verified([point], [{"fvcore": {"macs": point.GG, "equal": True}}], store=str(path))
    (entry,) = kept(path)
    assert entry.model == block_name(point)
    assert entry.model.startswith("block:ga:c_in=16,c_out=16")
    assert entry.result is not None
    assert entry.result["backends"]["fvcore"]["equal"] is True


def test_a_row_is_complete_only_when_it_is_finished(path: Path) -> None:
    with MeasurementRecorder(str(path)) as recorder:
        recorder.turn(0, "a", Setting(), [0.5, 0.25])
        recorder.turn(1, "b", Setting(), [0.125])
        recorder.finish_row(0, {"latency_s": {"median": 0.375}})
        recorder.finish_row(7, {"latency_s": None})  # never had a sample
    first, second = kept(path)
    assert (first.finished, first.samples) == (True, (0.5, 0.25))
    assert (second.finished, second.samples) == (False, (0.125,))
    assert first.settings["threads"] == 1


def test_an_accuracy_is_kept_and_listed(path: Path) -> None:
    from gadprof.pose.accuracy import Accuracy

    measured = Accuracy(
        "gadnet32", "val.json", 5, 20, (256, 192), "annotated", "dark", True,
        0.75, 0.9, 0.8, 0.7, 0.8, 0.78,
    )  # fmt: skip
    record_accuracies([measured], store=str(path))
    (entry,) = kept(path)
    assert entry.kind == "accuracy"
    assert entry.settings["data"] == "val.json"
    code, said, _ = run("history", "gadnet32", "--store", str(path))
    assert code == 0
    assert "75.0 %" in said


def samples_in(path: Path) -> int:
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        (count,) = connection.execute("SELECT count(*) FROM samples").fetchone()
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
    return int(count)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_benchmark_that_is_killed_keeps_every_sample_that_it_told(path: Path) -> None:
    pytest.importorskip("scipy")
    words = ["bench", SMALL, "gadnet32:width=8,modules=1-1-1", "--input", "3x64x64"]
    words += ["--time-limit", "60s", "--precision", "0.01%", "--no-null", "--store", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gadprof", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        deadline = time.monotonic() + 120
        while samples_in(path) < 6 and process.poll() is None:
            assert time.monotonic() < deadline, "no samples came"
            time.sleep(0.05)
        seen = samples_in(path)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(30)
    entries: list[Any] = list(kept(path))
    assert {entry.kind for entry in entries} == {"measurement"}
    assert not any(entry.finished for entry in entries)
    assert sum(len(entry.samples) for entry in entries) >= seen >= 6
    with Store(path) as store:  # and the file takes more
        store.start("measurement", "m", machine={}).sample(0.5)
