"""Claims about models that crash, hang, grow, flood or lie: none loses another row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from process_marks import MARK, marked_processes

from gadprof.measuring.bench import measure
from gadprof.measuring.launcher import load, measuring_worker
from gadprof.measuring.result import BenchResult, BenchRow
from gadprof.measuring.settings import Setting
from gadprof.workers.process import WorkerFailedError
from gadprof.workers.zygote import Zygote, available

RUN = f"measuring faults {os.getpid()}"
MODELS = str(Path(__file__).with_name("fault_models.py"))
FAULTS = (
    "Crash",
    "Killed",
    "Hang",
    "BigAllocation",
    "Growing",
    "Nan",
    "Fork",
    "Flood",
    "Exits",
    "Raises",
)


@pytest.fixture(scope="module")
def faulty() -> BenchResult:
    """One run of a good model, every fault, and a good model again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, RUN)
        return measure_all()


def measure_all() -> BenchResult:
    return measure(
        [f"{MODELS}:{name}" for name in ("Good", *FAULTS, "Good")],
        Setting(),
        precision=0.05,
        time_limit_s=3.0,
        timeout_s=20.0,
        memory_limit_bytes=3 << 29,
        null=False,
        energy=False,
    )


def row_of(result: BenchResult, name: str) -> BenchRow:
    return next(row for row in result.rows if row.model.endswith(":" + name))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("Crash", "crash", "killed by SIGABRT"),
        ("Killed", "crash", "killed by SIGKILL"),
        ("Hang", "timeout", "no answer within 20 s"),
        ("BigAllocation", "memory", "out of memory"),
        ("Growing", "memory", "out of memory"),
        ("Nan", "nan", "holds NaN in 8 of 8 values"),
        ("Exits", "model", "sys.exit(3)"),
        ("Raises", "model", "ValueError: this model cannot run"),
    ],
)
def test_a_fault_is_named_in_its_own_row(
    faulty: BenchResult, name: str, kind: str, words: str
) -> None:
    row = row_of(faulty, name)
    assert row.error is not None
    assert words in row.error
    assert row.error_kind == kind
    assert row.latency_s is None


def test_no_fault_loses_a_good_row(faulty: BenchResult) -> None:
    for row in (faulty.rows[0], faulty.rows[-1]):
        assert row.error is None
        assert row.latency_s is not None
        assert row.latency_s.count > 100
    assert faulty.rows[-1].ratio is not None


@pytest.mark.parametrize("name", ["Fork", "Flood"])
def test_a_model_that_forks_or_floods_is_measured_all_the_same(
    faulty: BenchResult, name: str
) -> None:
    row = row_of(faulty, name)
    assert row.error is None
    assert row.latency_s is not None
    assert row.ratio is not None


def test_the_last_words_on_stderr_are_kept(faulty: BenchResult) -> None:
    assert row_of(faulty, "Hang").stderr_tail == ("about to hang",)
    assert "ValueError: this model cannot run" in row_of(faulty, "Raises").stderr_tail[-1]


def test_failed_rows_make_the_exit_code_one(faulty: BenchResult) -> None:
    assert faulty.exit_code == 1


def test_no_process_of_a_run_is_left_behind(faulty: BenchResult) -> None:
    assert not marked_processes(RUN)


def test_a_worker_that_is_killed_from_outside_says_so() -> None:
    with measuring_worker() as worker:
        load(worker, f"{MODELS}:Good", Setting(), timeout_s=60)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerFailedError, match="SIGKILL") as caught:
            worker.request("sample", timeout_s=10, count=1, refresh=0)
    assert caught.value.kind == "crash"


def test_ctrl_c_prints_what_was_measured_and_exits_130(tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    marker = tmp_path / "turns"
    script = f"""
import sys, pathlib
from gadprof.measuring import bench
original = bench.GroupRun._turn
count = 0
def counted(self, entry):
    global count
    original(self, entry)
    count += 1
    if count == 60:
        pathlib.Path({str(marker)!r}).write_text("60")
bench.GroupRun._turn = counted
from gadprof.cli import main
main(["bench", "{MODELS}:Good", "{MODELS}:Good", "--no-null", "--time-limit", "1000s",
      "--precision", "0.001%", "--format", "json", "-o", {str(output)!r}, "--store", "off"])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        start_new_session=True,
        # a shell's background job ignores Ctrl-C, and so would all that it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    try:
        waiter = psutil.Process(process.pid)
        while not marker.exists() and process.poll() is None:
            try:
                waiter.wait(timeout=0.2)
            except psutil.TimeoutExpired:
                continue
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors.decode()
    document = json.loads(output.read_text())
    assert document["interrupted"]
    assert all(row["latency_s"]["count"] > 0 for row in document["rows"])
    assert b"Traceback" not in errors


def test_cuda_without_cuda_is_one_clear_line_and_exit_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    from gadprof.cli import run

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert run(["bench", "timm:resnet18", "--device", "cuda"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert "CUDA is not available" in captured.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--precision", "0"], "share"),
        (["--time-limit", "soon"], 'write for example "60s"'),
        (["--memory-limit", "much"], 'write for example "64MiB"'),
        (["--runtime", "onxruntime"], "onnxruntime"),
        (["--device", "tpu"], "unknown device"),
        (["--dtype", "fp8"], "fp"),
        (["--batch", "0"], "positive"),
        (["-o", "/no/such/folder/x"], "does not exist"),
    ],
)
def test_bad_use_is_one_line_and_exit_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from gadprof.cli import run

    assert run(["bench", "hrnet32", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert word in captured.err


def test_an_unknown_model_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    from gadprof.cli import run

    assert run(["bench", "hrnet32", "gadnet23"]) == 2
    assert "gadnet32" in capsys.readouterr().err


@pytest.mark.skipif(not available(), reason="workers are forked on Linux only")
def test_a_forked_worker_answers_crashes_and_ends_like_one_of_its_own() -> None:
    zygote = Zygote(1)
    try:
        good, crashing = measuring_worker(zygote=zygote), measuring_worker(zygote=zygote)
        assert good.pid != crashing.pid
        assert load(good, f"{MODELS}:Good", Setting(), timeout_s=60)["pid"] == good.pid
        load(crashing, f"{MODELS}:Crash", Setting(), timeout_s=60)
        with pytest.raises(WorkerFailedError, match="killed by SIGABRT"):
            crashing.request("sample", timeout_s=60, count=100, refresh=0)
        assert good.request("check", timeout_s=60)["notes"] == []
        good.close()
        assert not psutil.pid_exists(good.pid) or psutil.Process(good.pid).status() == "zombie"
    finally:
        zygote.close()


@pytest.mark.skipif(not available(), reason="workers are forked on Linux only")
def test_workers_end_with_the_process_that_forked_them() -> None:
    zygote = Zygote(1)
    worker = measuring_worker(zygote=zygote)
    load(worker, f"{MODELS}:Good", Setting(), timeout_s=60)
    zygote.close()
    with pytest.raises(WorkerFailedError, match="SIGKILL"):
        worker.request("check", timeout_s=60)
    worker.close()
