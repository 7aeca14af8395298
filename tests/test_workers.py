"""The kit of child processes: bounded, closed to the outside, and gone when the command is."""

from __future__ import annotations

import ast
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from process_marks import MARK, marked_processes

import gadprof
from gadprof.workers.limits import ProcessLimits
from gadprof.workers.process import Worker, WorkerFailedError
from gadprof.workers.zygote import Zygote, available

SERVICE = "worker_services:acting"
MIB = 1 << 20

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's promises")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A word that every process started by this test carries."""
    word = f"{request.node.name} {os.getpid()}"
    monkeypatch.setenv(MARK, word)
    return word


@pytest.fixture
def worker(mark: str) -> Iterator[Worker]:
    with Worker(SERVICE) as started:
        yield started


def wait_until_gone(mark: str, limit_s: float = 5.0) -> list[int]:
    """The processes with a mark that are left after a while; empty as soon as there are none."""
    deadline = time.monotonic() + limit_s
    while (left := marked_processes(mark)) and time.monotonic() < deadline:
        psutil.wait_procs([], timeout=0.02)
        time.sleep(0.02)
    return left


def failure_of(worker: Worker, operation: str, timeout_s: float = 30, **fields: Any) -> Any:
    with pytest.raises(WorkerFailedError) as caught:
        worker.request(operation, timeout_s=timeout_s, **fields)
    return caught.value


@pytest.mark.parametrize(
    "value", [None, True, 10**40, 0.1, "Ünïcödé \x1b[2J", [1, [2, {"a": None}]], {"x": [0.5, ""]}]
)
def test_plain_values_come_back_as_they_were_sent(worker: Worker, value: Any) -> None:
    assert worker.request("echo", timeout_s=30, value=value) == value


def test_a_message_longer_than_a_pipe_comes_back_whole(worker: Worker) -> None:
    value = "é" * (3 * MIB)
    assert worker.request("echo", timeout_s=60, value=value) == value


def test_a_child_inherits_nothing_but_what_it_talks_on(mark: str, tmp_path: Path) -> None:
    kept = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    try:
        with Worker(SERVICE) as worker:
            found = worker.request("look_around", timeout_s=30)
    finally:
        os.close(kept)
    # input, output, errors, two pipes, and the listing's own
    assert len(found["descriptors"]) == 6
    assert found["input"] == ""
    assert found["session"] == found["pid"]


def test_a_scrubbed_child_finds_no_secret(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    with Worker(SERVICE, scrubbed=True) as scrubbed, Worker(SERVICE) as plain:
        found = scrubbed.request("look_around", timeout_s=30)["environment"]
        assert "secret" not in found.values()
        assert found["PATH"] == os.environ["PATH"]
        assert plain.request("look_around", timeout_s=30)["environment"]["GITHUB_TOKEN"] == "secret"


def test_temporary_files_go_with_the_child(worker: Worker) -> None:
    folder = Path(worker.request("look_around", timeout_s=30)["folder"])
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "kept").mkdir()
    worker.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("operation", "fields"),
    [("leave_processes", {}), ("exit_with", {"code": 3}), ("hang", {})],
)
def test_nothing_that_a_model_starts_outlives_it(
    worker: Worker, mark: str, operation: str, fields: dict[str, int]
) -> None:
    started = time.monotonic()
    try:
        worker.request(operation, timeout_s=2, **fields)
    except WorkerFailedError:
        assert operation != "leave_processes"
    if operation == "leave_processes":  # keeper, child, and at least two that it started
        assert len(marked_processes(mark)) >= 4
    worker.close()
    assert wait_until_gone(mark, 1.0) == []
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP", "SIGTERM", "SIGUSR1"])
def test_nothing_outlives_a_keeper_that_the_model_ends(
    worker: Worker, mark: str, name: str
) -> None:
    folder = Path(worker.request("look_around", timeout_s=30)["folder"])
    started = time.monotonic()
    failure_of(worker, "act_on_keeper", timeout_s=3, name=name)
    assert not folder.exists()
    assert wait_until_gone(mark, 1.0) == []
    assert time.monotonic() - started < 10


def test_the_folder_of_a_forked_worker_goes_though_its_models_end_every_keeper(mark: str) -> None:
    zygote = Zygote(modules=())
    worker = Worker(SERVICE, zygote=zygote)
    folder = Path(worker.request("look_around", timeout_s=30)["folder"])
    failure_of(worker, "act_on_keeper", timeout_s=3, name="SIGKILL")
    os.kill(zygote._started.keeper.pid, signal.SIGKILL)
    worker.close()
    zygote.close()
    assert not folder.exists()
    assert wait_until_gone(mark, 1.0) == []


PARENT = """
import sys
from gadprof.workers.process import Worker
worker = Worker("worker_services:acting")
print(worker.request("look_around", timeout_s=30)["folder"], flush=True)
worker.request("{operation}", timeout_s=600)
print("done", flush=True)
worker.request("hang", timeout_s=600)
"""


def test_another_thread_stops_a_process_and_whoever_asks_it_is_told(
    worker: Worker, mark: str
) -> None:
    worker.request("echo", timeout_s=30, value=1)
    threading.Timer(0.2, worker.stop).start()
    assert failure_of(worker, "hang", timeout_s=600).kind == "crash"
    assert wait_until_gone(mark, 1.0) == []


AUDITED = """
import sys
from gadprof.audit.audit_list import audit_models
said = lambda text: print(text, flush=True)
models = {sys.argv[1]: "3x8x8", "gadnet32": ""}
audit_models(models, ["fvcore", "torchinfo", "thop"], jobs=2, progress=said)
"""


def test_ctrl_c_ends_an_audit_of_a_list_at_once(mark: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build():\n    while True: pass\n")
    with subprocess.Popen(
        [sys.executable, "-c", AUDITED, f"{tmp_path}/net.py:build"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as command:
        assert command.stdout is not None
        for _ in range(2):
            assert b"1 of 2" in command.stdout.readline()
        command.send_signal(signal.SIGINT)
        try:
            command.wait(timeout=30)
        finally:
            command.kill()
    assert wait_until_gone(mark) == []


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGKILL", "SIGINT", "SIGQUIT"])
@pytest.mark.parametrize("operation", ["leave_processes", "hang"])
def test_nothing_outlives_a_command_whatever_ends_it(
    mark: str, number: str, operation: str
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(operation=operation)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
    )
    assert parent.stdout is not None
    folder = Path(parent.stdout.readline().decode().strip())
    assert folder.is_dir()
    while len(marked_processes(mark)) < 6:  # parent, keeper, child, and what it leaves
        time.sleep(0.02)
    parent.send_signal(getattr(signal, number))
    parent.wait(timeout=30)
    parent.stdout.close()
    assert wait_until_gone(mark) == []
    assert not folder.exists()


@pytest.mark.parametrize("number", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGTERM"])
def test_a_signal_that_ends_a_child_is_named(worker: Worker, number: str) -> None:
    failure = failure_of(worker, "raise_signal", name=number)
    assert failure.kind == "crash"
    assert f"was killed by {number}" in failure.reason


def test_an_exit_code_and_the_last_words_are_told(worker: Worker) -> None:
    failure = failure_of(worker, "exit_with", code=7)
    assert failure.reason == "it ended its process with code 7 before it answered"
    assert failure.tail == ("last words",)


def test_an_answer_is_taken_though_a_child_holds_the_output(worker: Worker) -> None:
    assert worker.request("leave_processes", timeout_s=30) == "done"
    assert worker.request("echo", timeout_s=30, value=1) == 1


def test_a_child_outlives_the_thread_that_started_it_and_not_the_process(mark: str) -> None:
    started: list[Worker] = []
    thread = threading.Thread(target=lambda: started.append(Worker(SERVICE)))
    thread.start()
    thread.join()
    with started[0] as worker:
        assert worker.request("echo", timeout_s=30, value=4) == 4
        assert worker.request("leave_processes", timeout_s=30) == "done"
    assert wait_until_gone(mark, 1.0) == []


@pytest.mark.parametrize("timeout_s", [float("nan"), 0.0, -1.0])
def test_a_time_limit_that_is_none_ends_at_once(worker: Worker, timeout_s: float) -> None:
    assert failure_of(worker, "hang", timeout_s=timeout_s).kind == "timeout"


def test_a_flood_is_read_and_forgotten_but_for_its_end(worker: Worker) -> None:
    assert worker.request("flood", timeout_s=60, lines=2000) == "done"
    assert worker.tail()[-1] == "the end"
    assert sum(map(len, worker.tail())) < 8192


def test_a_copy_that_a_model_forks_never_answers(worker: Worker) -> None:
    assert worker.request("fork_and_answer", timeout_s=30) == "original"
    assert worker.request("echo", timeout_s=30, value=2) == 2


def test_a_deadline_ends_a_child(worker: Worker, mark: str) -> None:
    failure = failure_of(worker, "hang", timeout_s=0.5)
    assert failure.kind == "timeout"
    assert failure.reason == "it gave no answer within 0.5 s; allow more with --timeout"
    assert wait_until_gone(mark, 1.0) == []


LIMITS = ProcessLimits(memory_bytes=512 * MIB, file_bytes=MIB, processes=20, threads=30)


@pytest.mark.parametrize(
    ("operation", "fields", "kind", "words"),
    [
        ("allocate", {"count": 600 * MIB}, "memory", "ran out of memory"),
        ("allocate_in_children", {"children": 4, "count": 150 * MIB}, "memory", "grew to"),
        ("fork_many", {"count": 30}, "crash", "processes, over the limit of 20"),
        ("start_threads", {"count": 40}, "crash", "threads, over the limit of 30"),
        ("write_file", {"count": 2 * MIB}, "model", "File too large"),
        ("flood_and_grow", {"children": 4, "count": 150 * MIB}, "memory", "grew to"),
    ],
)
def test_what_goes_past_a_limit_is_stopped_and_named(
    mark: str, operation: str, fields: dict[str, int], kind: str, words: str
) -> None:
    with Worker(SERVICE, limits=LIMITS) as worker:
        failure = failure_of(worker, operation, **fields)
    assert failure.kind == kind
    assert words in failure.reason
    assert wait_until_gone(mark, 1.0) == []


def test_within_the_limits_everything_goes(mark: str) -> None:
    with Worker(SERVICE, limits=LIMITS) as worker:
        assert worker.request("allocate", timeout_s=30, count=50 * MIB) == 50 * MIB
        assert worker.request("write_file", timeout_s=30, count=MIB // 2) == MIB // 2


def frame(text: bytes, length: int | None = None) -> str:
    return (struct.pack(">I", len(text) if length is None else length) + text).hex()


@pytest.mark.parametrize(
    "data",
    [
        frame(b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix."),  # a pickle
        frame(b"[]"),
        frame(b"{}"),
        frame(b"nonsense"),
        frame(b'{"error": "words"}'),
        frame(b'{"error": {"kind": "odd", "type": "", "reason": ""}}'),
        frame(b'{"error": {"kind": "model", "type": 1, "reason": ""}}'),
        frame(b'{"value": ' + b"[" * 100_000),
        frame(b'{"value": ' + b"9" * 5000 + b"}"),
        frame(b"", 1 << 31),
    ],
    ids=range(10),
)
def test_an_answer_that_is_none_is_one_error(worker: Worker, mark: str, data: str) -> None:
    failure = failure_of(worker, "answer_bytes", hex=data)
    assert failure.kind in ("crash", "model")
    worker.close()
    assert wait_until_gone(mark, 1.0) == []


def test_an_exception_without_words_has_its_class(worker: Worker) -> None:
    assert failure_of(worker, "words_that_raise").reason == "it raised OddError"


def test_a_service_that_is_not_there_is_told(mark: str) -> None:
    with Worker("no_such_module:service") as worker:
        assert "No module named 'no_such_module'" in failure_of(worker, "echo").reason


@pytest.mark.skipif(not available(), reason="workers are forked on Linux only")
def test_forked_workers_and_what_they_start_end_with_the_zygote(mark: str) -> None:
    zygote = Zygote(modules=())
    try:
        workers = [Worker(SERVICE, zygote=zygote) for _ in range(2)]
        assert len({worker.pid for worker in workers}) == 2
        for worker in workers:
            assert worker.request("leave_processes", timeout_s=30) == "done"
        workers[0].close()
        assert workers[1].request("echo", timeout_s=30, value=3) == 3
    finally:
        zygote.close()
    assert wait_until_gone(mark, 1.0) == []
    for worker in workers:
        worker.close()


UNPICKLERS = ("loads", "load", "Unpickler")
# the one place that runs a pickle: a model file that the user types --trust for
TRUSTED = [("model_files.py", "_pickled")]


def test_nothing_that_came_from_outside_is_unpickled() -> None:
    """JSON is what crosses between processes; ``torch.load`` runs with ``weights_only``."""
    guilty = []
    for path in Path(gadprof.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, (ast.FunctionDef, ast.Module, ast.ClassDef)):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and unpickles(node):
                    guilty.append((path.name, getattr(function, "name", "")))
    named = [(file, name) for file, name in guilty if name]
    assert sorted(set(named)) == TRUSTED
    assert {file for file, _ in guilty} == {file for file, _ in TRUSTED}


def unpickles(call: ast.Call) -> bool:
    """Whether a call can run code that its data name."""
    module, _, name = ast.unparse(call.func).rpartition(".")
    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
    match module:
        case "pickle" | "cloudpickle" | "dill" | "marshal" | "shelve" | "joblib":
            return name in (*UNPICKLERS, "open")
        case "torch":
            return name == "load" and options.get("weights_only") != "True"
        case "np" | "numpy":
            return name == "load" and options.get("allow_pickle", "False") != "False"
        case "jit" | "yaml":
            return name in ("unsafe_load", "full_load") or (name == "load" and "Loader" in options)
    return False


@pytest.mark.parametrize(
    ("text", "guilty"),
    [
        ("pickle.loads(data)", True),
        ("pickle.Unpickler(stream)", True),
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("json.loads(data)", False),
        ("np.load(path, allow_pickle=True)", True),
    ],
)
def test_what_unpickles_is_known(text: str, guilty: bool) -> None:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert unpickles(call) is guilty


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_folder_of_a_command_goes_with_it_whatever_ends_it(
    number: int, tmp_path: Path, mark: str
) -> None:
    script = (
        "import time\nfrom gadprof.workers.folders import private_folder\n"
        "with private_folder() as folder:\n"
        "    open(folder + '/kept', 'w').close()\n    print(folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as command:  # fmt: skip
        assert command.stdout is not None
        folder = Path(command.stdout.readline().strip())
        assert [path.name for path in folder.iterdir()] == ["kept"]
        assert folder.stat().st_mode & 0o077 == 0
        command.send_signal(number)
    assert wait_until_gone(mark) == []
    assert not folder.exists()


def test_a_folder_of_a_command_is_gone_when_its_work_is_done(tmp_path: Path, mark: str) -> None:
    from gadprof.workers.folders import private_folder

    with private_folder() as folder:
        (Path(folder) / "kept").touch()
    assert not Path(folder).exists()
    assert not marked_processes(mark)
