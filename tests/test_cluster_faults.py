"""A cluster whose workers lie, die or are not there: one row or line, and nothing wrong is kept."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gadprof.errors import GadprofError, OutputError, SourceError

distributed = pytest.importorskip("distributed", reason="needs gadprof[cluster]")

from gadprof.cluster import clients, run  # noqa: E402
from gadprof.cluster.journal import Journal  # noqa: E402
from gadprof.cluster.run import Task, run_tasks  # noqa: E402
from gadprof.cluster.tasks import device_to_itself  # noqa: E402
from gadprof.cluster.transport import connect  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

MODEL = "gadnet32:width=8"
LIES = (
    "none", "words", "empty", "empty record", "not a number", "another model", "too deep",
    "cannot travel", "an object", "raises",
)  # fmt: skip


@contextmanager
def workers_at(address: str, count: int, *more: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes of a scheduler, each without a nanny that would start it anew."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1",
             "--no-nanny", "--no-dashboard", "--name", f"w{number}", *more],
            env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for number in range(count)
    ]  # fmt: skip
    try:
        yield started
    finally:
        for worker in started:
            worker.kill()
        for worker in started:
            worker.wait()


@contextmanager
def scheduler_alone(**options: Any) -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50, **options
    ) as made:
        yield made


@pytest.fixture(scope="module")
def two_workers() -> Iterator[str]:
    with scheduler_alone() as made, workers_at(made.scheduler_address, 2):
        with distributed.Client(made.scheduler_address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield made.scheduler_address


def answer_with(client: Any, what: str, *, only_one: bool = False) -> None:
    from cluster_tasks import answer_with as change

    names = sorted(client.scheduler_info(n_workers=-1)["workers"])
    client.run(change, "honest")
    client.run(change, what, workers=names[:1] if only_one else names)


def compared(model: str = MODEL) -> Task:

    return Task(
        "gadprof.cluster.tasks:compare_task",
        {"model": model, "shapes": [], "batch": 1},
        check=clients._row_about(model),
    )


@pytest.mark.parametrize("what", LIES)
def test_an_answer_that_is_none_costs_its_own_row_and_is_not_kept(
    two_workers: str, tmp_path: Path, what: str
) -> None:
    journal = Journal(tmp_path / "s.sqlite")
    with connect(two_workers) as client:
        answer_with(client, what)
        (found,) = run_tasks(client, [compared()], journal)
        assert isinstance(found, GadprofError)
        assert found.exit_code == 1
        assert str(found).startswith(f"{MODEL}: worker tcp://127.0.0.1:")
        assert journal.get(compared().key) is None
        answer_with(client, "honest")
        (found,) = run_tasks(client, [compared()], journal)
        assert found["model"] == MODEL
        assert found["params"] > 0


def test_what_one_worker_gets_wrong_another_gets_right(two_workers: str, tmp_path: Path) -> None:
    tasks = [compared(f"gadnet32:width={width}") for width in (8, 12, 16, 20)]
    with connect(two_workers) as client:
        answer_with(client, "words", only_one=True)
        found = list(run_tasks(client, tasks, Journal(None)))
        answer_with(client, "honest")
    assert [row["model"] for row in found] == [task.arguments["model"] for task in tasks]


def test_a_wrong_answer_that_an_older_client_kept_is_asked_for_again(
    two_workers: str, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "s.sqlite")
    journal.put(compared().key, {"value": {"model": "another"}})
    with connect(two_workers) as client:
        answer_with(client, "honest")
        (found,) = run_tasks(client, [compared()], journal)
    assert found["model"] == MODEL


def test_a_task_that_ends_its_workers_costs_its_own_row(tmp_path: Path) -> None:
    tasks = [Task("cluster_tasks:leave", {}), Task("builtins:dict", {"number": 1})]
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as made:
        with distributed.Client(made.scheduler_address, set_as_default=False) as client:
            client.run(lambda path: sys.path.insert(0, path), os.path.dirname(__file__))
            client.register_plugin(TestsPath())
        with connect(made.scheduler_address) as client:
            found = list(run_tasks(client, tasks, Journal(None)))
    assert isinstance(found[0], GadprofError)
    assert re.search(r"worker tcp://\S+ ended in it", str(found[0]))
    assert found[1] == {"number": 1}


class TestsPath(distributed.WorkerPlugin):
    """Lets workers that are started anew find the tests' tasks too."""

    name = "path of the tests"
    folder = os.path.dirname(__file__)

    def setup(self, worker: Any) -> None:
        sys.path.insert(0, self.folder)


def test_a_run_whose_workers_all_went_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ALONE_S", 1.0)
    with (
        scheduler_alone() as made,
        workers_at(made.scheduler_address, 1) as started,
        connect(made.scheduler_address, timeout_s=60) as client,
    ):
        threading.Timer(1.0, started[0].kill).start()
        tasks = [Task("cluster_tasks:append_and_wait", {"path": "/dev/null", "number": n})
                     for n in range(2000)]  # fmt: skip
        with pytest.raises(SourceError, match=r"no worker is left at .* run this again"):
            list(run_tasks(client, tasks, Journal(None)))


def test_a_scheduler_that_is_killed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "ALONE_S", 2.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
         "--port", str(port), "--no-dashboard"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        with workers_at(address, 1), connect(address, timeout_s=60) as client:
            tasks = [Task("cluster_tasks:append_and_wait", {"path": "/dev/null", "number": n})
                     for n in range(2000)]  # fmt: skip
            threading.Timer(1.0, scheduler.kill).start()
            with pytest.raises(SourceError, match="scheduler has gone"):
                list(run_tasks(client, tasks, Journal(None)))
    finally:
        scheduler.kill()
        scheduler.wait()


def test_a_port_that_is_silent_is_one_line() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with (
            pytest.raises(SourceError, match="no Dask scheduler answers"),
            connect(f"tcp://127.0.0.1:{silent.getsockname()[1]}", timeout_s=1.0),
        ):
            pass
        assert time.monotonic() - started < 30


def test_a_scheduler_without_workers_is_one_line() -> None:
    with (
        scheduler_alone() as made,
        pytest.raises(SourceError, match="has no worker; start one with: dask worker tcp://"),
        connect(made.scheduler_address, timeout_s=1.0),
    ):
        pass


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_is_used_with_the_certificates_that_dask_is_told(tmp_path: Path) -> None:
    import dask

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    both = {"cert": str(certificate), "key": str(key)}
    security = distributed.Security(
        tls_ca_file=str(certificate),
        require_encryption=True,
        **{f"tls_{who}_{what}": both[what] for who in ("scheduler", "client", "worker")
           for what in both},
    )  # fmt: skip
    with scheduler_alone(security=security, protocol="tls") as made:
        assert made.scheduler_address.startswith("tls://")
        with (
            pytest.raises(SourceError, match="needs certificates"),
            connect(made.scheduler_address, timeout_s=10),
        ):
            pass
        tls = {"ca-file": str(certificate), "client.cert": str(certificate), "client.key": str(key)}
        with (
            dask.config.set({f"distributed.comm.tls.{name}": path for name, path in tls.items()}),
            pytest.raises(SourceError, match="has no worker"),
            connect(made.scheduler_address, timeout_s=2),
        ):
            pass


def test_the_lock_of_a_device_follows_no_link_and_takes_no_others_folder(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "measuring-cuda-0.lock").symlink_to(precious)
    with (
        pytest.raises(OutputError, match="cannot open the lock"),
        device_to_itself("cuda:0", tmp_path),
    ):
        pass
    assert precious.read_text() == "mine"


def test_a_lock_that_is_held_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with device_to_itself("cpu", tmp_path):
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    threading.Timer(0.3, release.set).start()
    with device_to_itself("cpu", tmp_path):
        pass
    thread.join()
    assert "waits until nothing else measures on cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", [{"macs": None}, {"macs": -5}, {"macs": True}, {"params": "1"}, {"model": "another"}]
)
def test_a_row_whose_figures_no_count_can_have_is_no_answer(change: dict[str, Any]) -> None:
    from gadprof.comparison.compare import compare_row
    from gadprof.results.plain import to_plain
    from gadprof.results.rebuild import SchemaError

    row = to_plain(compare_row(MODEL))
    check = clients._row_about(MODEL)
    check(row)
    check({"model": MODEL, "error": "it failed", "exit_code": 1})
    with pytest.raises(SchemaError):
        check({**row, **change})
