"""A file that somebody named is read to an end, whatever lies there, or refused in one line."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from gadprof import cli
from gadprof.errors import DataError
from gadprof.results import files
from gadprof.results.files import check_regular, read_file, read_json

TOML = '[budgets.gadnet32]\nmax_macs = "1G"\n'


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert read_file(tmp_path / "f", "file", DataError) == b"abc"
    assert read_file(tmp_path / "f", "file", DataError, most_bytes=3) == b"abc"


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(DataError, match="larger than 1 MiB"):
        read_file(tmp_path / "f", "file", DataError, most_bytes=1 << 20)


def test_a_small_file_takes_no_room_for_a_large_one(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert read_file(tmp_path / "f", "file", DataError, most_bytes=1 << 60) == b"abc"


def test_a_file_of_the_kernels_that_tells_no_size_is_read() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    assert b"VmRSS" in read_file("/proc/self/status", "file", DataError)


@pytest.mark.parametrize(("most", "told"), [(1 << 20, "1 MiB"), (1 << 40, "64 MiB")])
def test_a_device_without_an_end_is_refused(most: int, told: str) -> None:
    with pytest.raises(DataError, match=f"larger than {told}"):
        read_file("/dev/zero", "file", DataError, most_bytes=most)


def test_a_pipe_that_nobody_writes_to_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PIPE_S", 0.1)
    monkeypatch.setattr(files, "WRITER_S", 0.1)
    os.mkfifo(tmp_path / "p")
    assert read_file(tmp_path / "p", "file", DataError) == b""
    held = os.open(tmp_path / "p", os.O_RDWR)  # one that could write, and does not
    with pytest.raises(DataError, match="nobody wrote"):
        read_file(tmp_path / "p", "file", DataError)
    os.close(held)


def test_a_pipe_is_read_to_its_end_however_late_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")

    def write() -> None:
        time.sleep(0.1)
        with open(tmp_path / "p", "wb") as stream:
            stream.write(b"one ")
            stream.flush()
            time.sleep(0.1)
            stream.write(b"two")

    writer = threading.Thread(target=write)
    writer.start()
    assert read_file(tmp_path / "p", "file", DataError) == b"one two"
    writer.join()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "is not JSON"),
        ("\udcff", "is not JSON"),
    ],
)
def test_what_is_no_json_is_one_error_of_the_callers_kind(
    text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=words):
        read_json(tmp_path / "f", "file", DataError)


@pytest.mark.parametrize("name", ["nothing", "pipe", "."])
def test_what_a_library_would_read_for_ever_is_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError):
        check_regular(tmp_path / name, "file", DataError)


@pytest.mark.parametrize("name", ["nothing", ".", "x" * 300, "a\0b"])
def test_what_cannot_be_opened_is_one_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read file"):
        read_file(tmp_path / name, "file", DataError)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "gadnet32", "--baseline=file:f.json"),
        ("compare", "gadnet32", "--accuracy=f.json"),
        ("report", "gadnet32", "--data=f.json"),
        ("diff", "f.json", "gadnet32"),
        ("comment", "--print", "f.json"),
        ("devices", "--coefficients=f.json"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("what", ["deep", "silent pipe"])
def test_every_command_that_reads_json_ends_in_one_line(
    words: tuple[str, ...], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "PIPE_S", 0.05)
    monkeypatch.setenv("GADPROF_STORE", "off")
    if what == "deep":
        Path("f.json").write_text(DEEP)
    else:
        os.mkfifo("f.json")
    assert cli.run(list(words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gadprof: ")
    assert "fault of gadprof" not in line


def test_a_report_refuses_the_data_of_a_newer_gadprof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"model": "gadnet32", "latency_s": {"median": 1.0}}
    Path("f.json").write_text(json.dumps({"schema_version": 99, "rows": [row]}))
    assert cli.run(["report", "gadnet32", "--data=f.json"]) == 2
    assert "has schema version 99" in capsys.readouterr().err


def test_an_event_that_never_ends_waives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_EVENT_PATH", "/dev/zero")
    Path("gadprof.toml").write_text(TOML)
    assert cli.run(["check", "--waiver-label=big", "--store=off"]) == 1


def test_a_name_that_names_nothing_costs_the_other_budgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gadprof.toml").write_text(TOML + "[budgets.hrnet23]\nmax_macs = 1\n")
    assert cli.run(["check", "--store=off"]) == 2
    said = capsys.readouterr()
    assert "1 broken" in said.out
    assert said.err.startswith("gadprof: unknown model 'hrnet23'")


@pytest.mark.parametrize(
    ("size", "told"), [(5 << 20, "is larger than 4 MiB"), (3 << 20, "does not fit the memory")]
)
def test_a_file_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch, size, told):
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(size)

    class Full:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...
        def read(self, count: int) -> bytes:
            raise MemoryError

    monkeypatch.setattr(files.os, "fdopen", Full)
    with pytest.raises(DataError, match=told):
        files.read_file(path, "weights", DataError, most_bytes=4 << 20)
