"""A real local cluster of separate worker processes: nothing lost, nothing counted twice."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gadprof.errors import GadprofError, SourceError

distributed = pytest.importorskip("distributed", reason="needs gadprof[cluster]")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.slow,
]

SMALL = "gadnet32:width=8,modules=1-1-1,blocks=1"


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
            silence_logs=50,
        ) as made,
    ):
        yield made


def test_results_come_in_the_order_of_the_tasks(cluster, tmp_path):
    from gadprof.cluster.journal import Journal
    from gadprof.cluster.run import Task, run_tasks
    from gadprof.cluster.transport import connect

    tasks = [
        Task("gadprof.cluster.tasks:compare_task", {"model": model, "shapes": [], "batch": 1})
        for model in ("hrnet32", "hrnet99", "gadnet32")
    ]
    journal = Journal(tmp_path / "store.sqlite")
    with connect(cluster.scheduler_address) as client:
        rows = list(run_tasks(client, tasks, journal))
    assert [row["params"] for row in rows] == [28_536_113, None, 11_087_121]
    assert "unknown model" in rows[1]["error"]


def test_a_finished_task_is_not_run_again(cluster, tmp_path):
    from gadprof.cluster.journal import Journal
    from gadprof.cluster.run import Task, run_tasks
    from gadprof.cluster.transport import connect

    tasks = [
        Task("cluster_tasks:append_and_wait", {"path": str(tmp_path / "ran"), "number": number})
        for number in range(8)
    ]
    journal = Journal(tmp_path / "store.sqlite")
    with connect(cluster.scheduler_address) as client:
        client.run(add_path, os.path.dirname(__file__))
        some = run_tasks(client, tasks, journal)
        assert [next(some) for _ in range(3)] == [0, 1, 2]
        some.close()  # the client is interrupted here
    journal.close()
    kept = Journal(tmp_path / "store.sqlite")
    before = sum(kept.get(task.key) is not None for task in tasks)
    assert before >= 3
    with connect(cluster.scheduler_address) as client:
        assert list(run_tasks(client, tasks, kept)) == list(range(8))
    ran = (tmp_path / "ran").read_text().split()
    finished_first = [str(n) for n in range(8) if n < 3]
    assert all(ran.count(number) == 1 for number in finished_first)


def add_path(path: str) -> None:
    import sys

    if path not in sys.path:
        sys.path.insert(0, path)


def test_a_sweep_survives_a_killed_worker_and_gives_the_same_bytes(cluster, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    from gadprof.cluster.clients import cluster_sweep
    from gadprof.sweep import distributed as pieces
    from gadprof.sweep import parquet
    from gadprof.sweep.run import Filters, read_objectives, run_sweep
    from gadprof.sweep.space import make_space

    monkeypatch.setattr(pieces, "RANGE_DESIGNS", 40_000)
    monkeypatch.setattr(parquet, "PART_DESIGNS", 40_000)
    space = make_space(
        "gadnet",
        {"width": "8:40", "s": "2,3", "d": "3,5", "block": "ga,basic", "down": "conv,gd",
         "blocks": "1:3-1:3-1:3-1:3", "transition": "conv,gd"},
        "64x64",
    )  # fmt: skip
    objectives, limits = read_objectives("macs,params:max"), Filters({"params": 1_000_000})
    local = tmp_path / "local.parquet"
    store = parquet.PartStore(str(local), space, objectives, limits, sample=None, seed=0)
    alone = run_sweep(space, objectives, limits, store=store)
    victims = [worker.process.pid for worker in cluster.workers.values() if worker.process]
    killed = threading.Event()

    def kill_one(done: int, total: int) -> None:
        if done >= 1 and not killed.is_set():
            killed.set()
            os.kill(victims[0], signal.SIGKILL)

    far = tmp_path / "far.parquet"
    result = cluster_sweep(
        cluster.scheduler_address, space, objectives, limits,
        sample=None, seed=0, output=str(far), store=str(tmp_path / "s.sqlite"), on_done=kill_one,
    )  # fmt: skip
    assert killed.is_set()
    assert (result.designs, result.passed) == (space.size, alone.passed)
    assert result.front == alone.front
    assert hashlib.sha256(far.read_bytes()).digest() == hashlib.sha256(local.read_bytes()).digest()
    deadline = time.monotonic() + 30
    while len(cluster.scheduler_info["workers"]) < 2 and time.monotonic() < deadline:
        threading.Event().wait(0.2)


def test_more_tasks_than_are_in_flight_at_once_all_come_back(cluster, tmp_path):
    from gadprof.cluster.journal import open_journal
    from gadprof.cluster.run import Task, run_tasks
    from gadprof.cluster.transport import connect

    tasks = [Task("builtins:dict", {"number": i}) for i in range(50)]
    with connect(cluster.scheduler_address) as client, open_journal(str(tmp_path / "s")) as journal:
        found = list(run_tasks(client, tasks, journal))
    assert found == [{"number": i} for i in range(50)]


def test_an_error_of_a_task_keeps_its_words(cluster, tmp_path):
    from gadprof.cluster.clients import cluster_rows
    from gadprof.cluster.run import Task

    found = cluster_rows(
        cluster.scheduler_address,
        [Task("cluster_tasks:refuse", {"words": "not today"})],
        store=str(tmp_path / "s.sqlite"),
    )
    assert isinstance(found[0], GadprofError)
    assert str(found[0]) == "not today"


def test_a_scheduler_that_is_down_is_one_clear_line(run_cli):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from gadprof.cluster import transport as module

    module_timeout = module.CONNECT_S
    try:
        with (
            pytest.raises(SourceError, match="no Dask scheduler answers"),
            module.connect(f"tcp://127.0.0.1:{port}", timeout_s=1.0),
        ):
            pass
    finally:
        module.CONNECT_S = module_timeout


@pytest.mark.parametrize("address", ["nonsense", "tcp://host", "host:"])
def test_an_address_that_is_none_is_refused_at_once(address):
    from gadprof.cluster.transport import connect

    with pytest.raises(SourceError, match="type for example tcp://"), connect(address):
        pass


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    from gadprof.cluster import transport as module

    monkeypatch.setattr(module, "__version__", "9.9.9")
    with (
        pytest.raises(SourceError, match=r"type there: pip install gadprof==9\.9\.9"),
        module.connect(cluster.scheduler_address),
    ):
        pass


NO_GADPROF = """
import importlib.abc, sys

class Nowhere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gadprof":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nowhere())
"""


def test_a_worker_without_the_package_is_refused_in_one_clear_line(tmp_path):
    """A real worker process in whose Python there is no gadprof."""
    from gadprof.cluster import transport as module

    (tmp_path / "sitecustomize.py").write_text(NO_GADPROF)
    with distributed.LocalCluster(
        n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as scheduler:
        worker = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address,
             "--nthreads", "1", "--no-nanny", "--no-dashboard"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with (
                pytest.raises(SourceError, match=r"has no gadprof, .*pip install gadprof=="),
                module.connect(scheduler.scheduler_address, timeout_s=30.0),
            ):
                pass
        finally:
            worker.kill()
            worker.wait()


def test_a_scheduler_of_another_release_is_refused(cluster, monkeypatch):
    from gadprof.cluster import transport as module

    real = distributed.Client.get_versions

    def other(self, *args, **kwargs):
        found = real(self, *args, **kwargs)
        found["scheduler"]["packages"]["distributed"] = "2019.1.0"
        return found

    monkeypatch.setattr(distributed.Client, "get_versions", other)
    with (
        pytest.raises(SourceError, match=r"the scheduler runs distributed 2019\.1\.0"),
        module.connect(cluster.scheduler_address),
    ):
        pass


def test_measurements_of_a_cluster_are_rows_and_stay_in_the_store(cluster, tmp_path, run_cli):
    store = tmp_path / "s.sqlite"
    code, out, err = run_cli(
        "bench", "torchvision:resnet18", "torchvision:squeezenet1_1", "torchvision:nothing",
        "--input", "3x64x64", "--time-limit", "3s", "--no-memory", "--no-energy", "--no-null",
        "--launches", "1", "--cluster", cluster.scheduler_address, "--store", str(store),
        "--format", "json",
    )  # fmt: skip
    assert code != 0
    assert "nothing" in err
    payload = json.loads(out)
    models = [row["model"] for row in payload["rows"]]
    assert models[:2] == ["torchvision:resnet18", "torchvision:squeezenet1_1"]
    ratio = payload["rows"][1]["ratio"]
    assert ratio["ci95"][0] <= ratio["value"] <= ratio["ci95"][1]
    assert payload["rows"][-1]["error"]
    assert payload["groups"][0]["conditions"]["machine"]["cores"] >= 1
    from gadprof.store.store import Store

    with Store(store) as kept:
        entries = kept.entries(kinds=("measurement",))
    counted = {model: models.count(model) for model in models[:2]}
    found = [entry.model for entry in entries]
    assert {model: found.count(model) for model in models[:2]} == counted
    assert "torchvision:nothing" not in found


def test_an_audit_on_a_cluster_says_what_it_says_here(cluster, tmp_path, run_cli):
    pytest.importorskip("fvcore")
    words = ("audit", SMALL, "--backends", "fvcore", "--format", "json")
    here = json.loads(run_cli(*words)[1])
    far = json.loads(run_cli(*words, "--cluster", cluster.scheduler_address)[1])
    for answer in (here, far):
        answer["backends"][0].pop("seconds", None)
    assert far["backends"] == here["backends"]


def test_a_report_on_a_cluster_has_the_same_bytes(cluster, tmp_path, run_cli):
    for name, more in (("here", ()), ("far", ("--cluster", cluster.scheduler_address))):
        words = ("report", SMALL, "hrnet32:width=8", "-o", str(tmp_path / name))
        assert run_cli(*words, *more)[0] == 0
    here, far = ((tmp_path / name / "data").rglob("*.csv") for name in ("here", "far"))
    assert [p.read_bytes() for p in sorted(here)] == [p.read_bytes() for p in sorted(far)]


def test_a_task_that_needs_a_gpu_runs_where_there_is_one(tmp_path):
    from gadprof.cluster.journal import open_journal
    from gadprof.cluster.run import Task, run_tasks
    from gadprof.cluster.transport import connect

    tasks = [Task("cluster_tasks:where_and_when", {"number": n}, {"GPU": 1.0}) for n in range(4)]
    with distributed.LocalCluster(
        n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as scheduler:
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address,
                 "--nthreads", "2", "--no-nanny", "--no-dashboard", "--name", name, *more],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__),
                     os.environ.get("PYTHONPATH", "")])},
                cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for name, more in (("plain", []), ("gpu", ["--resources", "GPU=1"]))
        ]  # fmt: skip
        try:
            with (
                connect(scheduler.scheduler_address, timeout_s=30.0) as client,
                open_journal(str(tmp_path / "s.sqlite")) as journal,
            ):
                client.wait_for_workers(2, timeout=60)
                found = list(run_tasks(client, tasks, journal))
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(timeout=30)
    assert {item["worker"] for item in found} == {"gpu"}
    spans = sorted((item["began"], item["ended"]) for item in found)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


FAULTS = str(Path(__file__).parent / "fault_models.py")


def test_a_bench_divides_only_what_one_worker_interleaved_and_a_failure_fills_its_own_row(
    cluster, run_cli
):
    models = [f"{FAULTS}:{name}" for name in ("Good", "Flood", "Raises")]
    limits = ["--time-limit", "1500ms", "--precision", "20%"]
    code, out, _ = run_cli(
        "bench", *models, *limits, "--cluster", cluster.scheduler_address, "--store", "off",
        "--format", "json",
    )  # fmt: skip
    assert code == 1
    payload = json.loads(out)
    rows = payload["rows"]
    assert [row["model"] for row in rows] == [models[0], models[1], models[0], models[2]]
    for row in rows:
        assert {"model", "latency_s", "ratio", "peak_bytes", "error", "settings"} <= set(row)
    first, second, _, broken = rows
    assert first["ratio"]["value"] == 1.0
    assert second["ratio"] is None or second["ratio"]["to"] == models[0]
    assert second["ratio"] is not None or second["ratio_absent"]
    assert broken["latency_s"] is None
    assert "cannot run" in broken["error"]
    for group in payload["groups"]:
        assert group["conditions"]["machine"]["cores"] >= 1
        assert isinstance(group["warnings"], list)
