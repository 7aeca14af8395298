"""The results store keeps what it was given, and refuses what it cannot trust."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gadprof.errors import StoreError
from gadprof.store.store import NewEntry, Store, chosen_path, default_path, record

MACHINE = {"cpu": "a processor", "cores": 2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def filled(path: Path, count: int = 3) -> Path:
    with Store(path) as store:
        store.add(
            [NewEntry("cost", f"m{index}", {"macs": 10**18 + index}) for index in range(count)],
            machine=MACHINE,
        )
    return path


def test_an_entry_comes_back_as_it_was_given(path: Path) -> None:
    entry = NewEntry("cost", "gadnet32:s=4", {"macs": 7_645_003_776 * 10**9}, {"batch": 2})
    with Store(path) as store:
        store.add([entry], machine=MACHINE)
    with Store(path, create=False) as store:
        (kept,) = store.entries("gadnet32:s=4")
    assert kept.result == entry.result
    assert kept.settings == {"batch": 2}
    assert kept.machine == MACHINE
    assert kept.finished


def test_the_machine_and_its_versions_are_described_when_none_is_given(path: Path) -> None:
    with Store(path) as store:
        store.add([NewEntry("cost", "m", {})])
        (kept,) = store.entries()
    assert kept.machine["python"].split(".")[0] == "3"
    assert "packages" in kept.machine


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(), max_size=50))
def test_any_model_name_is_kept_as_data(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    with Store(tmp_path_factory.getbasetemp() / "fuzz.sqlite") as store:
        store.add([NewEntry("cost", name, {"name": name})], machine=MACHINE)
        assert store.entries(limit=1)[0].result == {"name": name}


def test_the_log_is_write_ahead(path: Path) -> None:
    with sqlite3.connect(filled(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_keeps_the_newest(path: Path, limit: int) -> None:
    with Store(filled(path)) as store:
        assert [entry.model for entry in store.entries(limit=limit)] == ["m1", "m2"][-limit:]


def test_a_baseline_is_the_newest_entry_of_each_model_under_its_name(path: Path) -> None:
    with Store(path) as store:
        for macs in (1, 2):
            store.add([NewEntry("cost", "m", {"macs": macs})], name="main", machine=MACHINE)
        store.add([NewEntry("cost", "m", {"macs": 3})], machine=MACHINE)
        assert [entry.result for entry in store.baseline("main")] == [{"macs": 2}]
        with pytest.raises(StoreError, match="did you mean 'main'"):
            store.baseline("mian")


WRITER = """
import sys
from gadprof.store.store import NewEntry, Store
for index in range(int(sys.argv[3])):
    with Store(sys.argv[1]) as store:
        store.add([NewEntry("cost", sys.argv[2], {"index": index})], machine={})
"""

SAMPLER = """
import itertools, sys
from gadprof.store.store import Store
with Store(sys.argv[1]) as store:
    recording = store.start("measurement", "m", {"threads": 1}, machine={})
    for index in itertools.count():
        recording.sample(index)
        print(index, flush=True)
"""


def _python(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)


def test_two_processes_create_and_write_at_once(path: Path) -> None:
    writers = [_python(WRITER, str(path), name, "25") for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    with Store(path, create=False) as store:
        for name in "ab":
            kept = [entry.result for entry in store.entries(name)]
            assert kept == [{"index": index} for index in range(25)]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("after", [1, 40])
def test_a_kill_loses_at_most_the_sample_in_flight(path: Path, after: int) -> None:
    process = _python(SAMPLER, str(path))
    assert process.stdout is not None
    for _ in range(after):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    said = after + len(process.stdout.read().splitlines())
    process.wait(30)
    process.stdout.close()
    with Store(path, create=False) as store:
        (kept,) = store.entries("m")
    assert not kept.finished
    assert list(kept.samples) == list(range(len(kept.samples)))
    assert said <= len(kept.samples) <= said + 1


def test_a_finished_recording_holds_its_samples_and_its_result(path: Path) -> None:
    with Store(path) as store:
        recording = store.start("measurement", "m", machine=MACHINE)
        for value in (0.5, 0.25):
            recording.sample(value)
        recording.finish({"median_s": 0.375})
        (kept,) = store.entries("m")
    assert kept.samples == (0.5, 0.25)
    assert kept.result == {"median_s": 0.375}


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _scribble(data: bytes) -> bytes:
    return data[:4096] + b"\xa5" * (len(data) - 4096)


def _newer(data: bytes) -> bytes:
    return data[:60] + struct.pack(">I", 2) + data[64:]


def _foreign(data: bytes) -> bytes:
    return data[:68] + struct.pack(">I", 7) + data[72:]


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda data: b"", "damaged"),
        (lambda data: b"not a database" * 100, "not an SQLite file"),
        (_truncate, "damaged"),
        (_scribble, "damaged"),
        (_newer, "schema 2, this gadprof reads up to 1"),
        (_foreign, "another program's"),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_cannot_be_trusted_is_refused_and_left_untouched(
    path: Path, harm: Callable[[bytes], bytes], word: str, create: bool
) -> None:
    harmed = harm(filled(path, 200).read_bytes())
    path.write_bytes(harmed)
    with pytest.raises(StoreError, match=word) as refusal:
        Store(path, create=create)
    assert "untouched" in str(refusal.value)
    assert path.read_bytes() == harmed
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE entries RENAME COLUMN result TO other",
        "ALTER TABLE samples RENAME TO other",
        "DROP TABLE samples; CREATE VIEW samples AS SELECT 1 AS entry, 1 AS position, 1 AS value",
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_a_store_with_other_tables_is_refused_and_left_untouched(
    path: Path, change: str, create: bool
) -> None:
    with contextlib.closing(sqlite3.connect(filled(path))) as connection:
        connection.executescript(change)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="its tables are not those of a store"):
        Store(path, create=create)
    assert path.read_bytes() == before


def test_an_entry_that_is_not_json_is_refused(path: Path) -> None:
    with sqlite3.connect(filled(path)) as connection:
        connection.execute("UPDATE entries SET result = '{' WHERE id = 2")
    connection.close()
    with Store(path) as store, pytest.raises(StoreError, match="entry 2 is not JSON"):
        store.entries()


def test_a_missing_store_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(StoreError, match="no results store"):
        Store(path, create=False)
    assert not path.exists()


def test_a_default_store_that_cannot_be_written_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gadprof").write_text("in the way")
    monkeypatch.delenv("GADPROF_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    warnings: list[str] = []
    assert record([NewEntry("cost", "m", {})], warn=warnings.append) == ()
    assert len(warnings) == 1
    assert "results not kept" in warnings[0]


def test_a_named_store_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--store"):
        record([NewEntry("cost", "m", {})], store=str(tmp_path / "file" / "x.sqlite"))


def test_off_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert record([NewEntry("cost", "m", {})], store="off") == ()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="is off"):
        record([NewEntry("cost", "m", {})], store="off", name="main")


def test_the_option_beats_the_environment_beats_the_data_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("GADPROF_STORE", "/env.sqlite")
    assert chosen_path("/option.sqlite") == Path("/option.sqlite")
    assert chosen_path(None) == Path("/env.sqlite")
    monkeypatch.delenv("GADPROF_STORE")
    assert chosen_path(None) == default_path() == Path("/data/gadprof/results.sqlite")


def test_recording_imports_nothing_heavy(path: Path) -> None:
    code = (
        "import sys, json; from gadprof.store.store import NewEntry, record;"
        f"record([NewEntry('cost', 'm', {{}})], store={str(path)!r});"
        "print(json.dumps([m for m in ('torch', 'numpy', 'pandas', 'rich') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_what_a_killed_creation_left_is_swept_and_what_is_being_made_is_not(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "s.sqlite"
    left = [tmp_path / f".s.sqlite.abcdefg1{side}" for side in ("", "-journal", "-wal", "-shm")]
    alone = tmp_path / ".s.sqlite.abcdefg2-journal"
    others = [tmp_path / ".other.sqlite.abcdefgh", tmp_path / ".s.sqlite.kept-by-hand"]
    for file in (*left, alone, *others):
        file.write_bytes(b"half")
    made = tmp_path / ".s.sqlite.abcdefg3"
    with made.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        Store(path).close()
        assert made.exists()
    assert not [file for file in (*left, alone) if file.exists()]
    assert all(file.exists() for file in others)
    Store(path).close()
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


@pytest.mark.skipif(not hasattr(os, "fork") or os.getuid() != 0, reason="only root can mount")
def test_a_store_on_media_that_nobody_can_write_is_read(tmp_path, run_cli):
    folder = tmp_path / "media"
    folder.mkdir()
    assert run_cli("compare", "gadnet32", "--store", str(folder / "s.sqlite"))[0] == 0
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", str(folder), str(folder)], capture_output=True, check=False
    )
    remounted = subprocess.run(
        ["mount", "-o", "remount,ro,bind", str(folder)], capture_output=True, check=False
    )
    try:
        if mounted.returncode or remounted.returncode:
            pytest.skip("nothing can be mounted here")
        code, out, err = run_cli("history", "gadnet32", "--store", str(folder / "s.sqlite"))
        assert (code, err) == (0, "")
        assert "gadnet32" in out
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.mark.parametrize("place", ["x" * 300, "x/" * 3000, "~nobody-at-all/s.sqlite"])
def test_a_path_that_cannot_be_looked_up_is_one_error_or_one_warning(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = NewEntry("cost", "m", {"macs": 1})
    with pytest.raises(StoreError):
        record([entry], store=place)
    monkeypatch.setenv("GADPROF_STORE", place)
    warned: list[str] = []
    assert record([entry], warn=warned.append) == ()
    assert len(warned) == 1


def test_a_name_that_is_no_text_is_kept_as_its_escape(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    record([NewEntry("cost", "m", {"macs": 1})], store=str(path), name="a\udcff")
    with Store(path) as store:
        assert store.names() == ("a\\udcff",)


def test_a_store_whose_last_page_was_cut_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add([NewEntry("cost", "m", {"macs": 1})])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(StoreError, match="is damaged"):
        Store(path)
    assert path.read_bytes() == whole[:-100]


def test_each_model_is_summed_up_without_reading_its_entries(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        for model, kind, name in (
            ("b", "cost", None), ("a", "count", "main"), ("a", "cost", None), ("a", "cost", "next")
        ):  # fmt: skip
            store.add([NewEntry(kind, model, {"macs": 1})], name=name, machine=MACHINE)
        newest = {entry.model: entry.recorded_at for entry in store.entries()}
        found = [(s.model, s.entries, s.kinds, s.baselines, s.latest) for s in store.summaries()]
        assert [(s.model, s.entries) for s in store.summaries(("count",))] == [("a", 1)]
    assert found == [
        ("a", 3, ("cost", "count"), ("main", "next"), newest["a"]),
        ("b", 1, ("cost",), (), newest["b"]),
    ]


def test_a_baseline_is_the_newest_finished_entry_of_each_model(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        for model, macs in (("a", 1), ("b", 2), ("a", 3)):
            store.add([NewEntry("cost", model, {"macs": macs})], name="main", machine=MACHINE)
        store.add([NewEntry("cost", "a", {"macs": 4})], name="other", machine=MACHINE)
        kept = {entry.model: (entry.result or {})["macs"] for entry in store.baseline("main")}
    assert kept == {"a": 3, "b": 2}


def test_thousands_of_points_are_drawn_together() -> None:
    from gadprof.render.plots import MOST_MARKS, render_plot, tips
    from gadprof.results.page import Plot

    def drawn(count: int) -> tuple[int, int]:
        points = [{"label": "", "group": "g", "x": x, "y": x} for x in range(1, count + 1)]
        plot = Plot("h", "scatter", "t", "x", "y", "a", {"points": points})
        return render_plot(plot, "svg").count(b'id="tip-'), len(tips(plot))

    assert drawn(20) == (20, 20)
    assert drawn(MOST_MARKS + 1) == (0, 0)
