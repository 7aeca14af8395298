"""Counting in a process of its own: what crosses is plain, and the user's folder stays outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from process_marks import MARK, marked_processes
from unknown_operator import write_graph_with_an_unknown_operator

from gadprof.errors import GadprofError, ModelFailedError, SpecError
from gadprof.models.counting import count_guarded, trace_model

ODD_CLASSES = """
import enum
import torch

class Size(enum.IntEnum):
    THREE = 3

class Count(int):
    pass

class Word(str):
    pass

def build():
    layer = torch.nn.Conv2d(Count(3), Count(8), Size.THREE)
    model = torch.nn.Sequential()
    model.add_module(Word("first"), layer)
    return model
"""

REPLACES_PICKLE = """
import json, pathlib, pickle, torch

class Touch:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path({target!r}),)

plain = pickle.dumps
pickle.dumps = lambda value, *args, **kwargs: plain(Touch())
pickle._dumps = pickle.dumps

def build():
    return torch.nn.Conv2d(3, 8, 3)
"""

LEAVES_MUCH = """
import atexit, os, subprocess, sys, threading, time, torch

def build():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    threading.Thread(target=time.sleep, args=(600,)).start()
    atexit.register(time.sleep, 600)
    if os.fork() == 0:
        time.sleep(600)
    return torch.nn.Conv2d(3, 8, 3)
"""

NEIGHBOURS = """
from beside import channels
import torch

def build():
    from beside_too import kernel
    return torch.nn.Conv2d(3, channels, kernel)
"""

MACS = 8 * 27 * 30 * 30


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder whose files would stand in for modules, and tell when they are run."""
    for name in ("random", "queue", "types", "gadprof", "json", "torch", "numpy", "optree"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def count(model: str, **options: float) -> int:
    return count_guarded(model, shapes=((3, 32, 32),), **options).macs  # type: ignore[arg-type]


def test_what_lies_in_the_current_folder_is_not_run_for_a_named_model(folder: Path) -> None:
    pytest.importorskip("torchvision")
    trace = count_guarded("torchvision:squeezenet1_1", shapes=((3, 64, 64),))
    assert trace.params == 1_235_496
    assert not (folder / "ran").exists()


def test_a_model_file_finds_its_neighbours_at_once_and_later(folder: Path) -> None:
    (folder / "beside.py").write_text("channels = 8\n")
    (folder / "beside_too.py").write_text("kernel = 3\n")
    (folder / "net.py").write_text(NEIGHBOURS)
    assert count("net.py:build") == MACS
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    "line",
    ["import json; json.dumps = lambda *a, **k: '{}'", "import sys; sys.setrecursionlimit(200)"],
)
def test_a_builder_that_changes_what_answering_needs_gets_the_right_count(
    folder: Path, line: str
) -> None:
    (folder / "net.py").write_text(
        f"import torch\n\ndef build():\n    {line}\n    return torch.nn.Conv2d(3, 8, 3)\n"
    )
    # the folder's own json.py would be taken for json
    (folder / "json.py").unlink()
    assert count("net.py:build") == MACS


def test_a_package_in_the_current_folder_is_found(folder: Path) -> None:
    (folder / "own_nets").mkdir()
    (folder / "own_nets" / "__init__.py").touch()
    (folder / "own_nets" / "small.py").write_text(
        "import torch\n\ndef build():\n    return torch.nn.Conv2d(3, 8, 3)\n"
    )
    assert count("own_nets.small:build") == MACS
    assert not (folder / "ran").exists()


def test_classes_of_the_users_come_back_as_what_they_stand_for(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(ODD_CLASSES)
    trace = count_guarded(f"{tmp_path}/net.py:build", shapes=((3, 32, 32),))
    assert trace.macs == MACS
    assert trace.operations[0].attributes["kernel"] == (3, 3)
    assert type(trace.modules["first"].path) is str
    assert type(trace.operations[0].attributes["c_out"]) is int


def test_a_model_file_cannot_run_anything_in_the_parent(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    (tmp_path / "net.py").write_text(REPLACES_PICKLE.replace("{target!r}", repr(str(target))))
    assert count(f"{tmp_path}/net.py:build") == MACS
    assert not target.exists()


def test_a_count_ends_when_its_answer_is_there_whatever_the_model_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"leaves much {os.getpid()}"
    monkeypatch.setenv(MARK, mark)
    (tmp_path / "net.py").write_text(LEAVES_MUCH)
    assert count(f"{tmp_path}/net.py:build", timeout_s=300) == MACS
    assert marked_processes(mark) == []


def test_the_trace_from_another_process_equals_the_one_from_here() -> None:
    from gadprof.models.counting import count_here

    pytest.importorskip("torchvision")
    for name in ("torchvision:squeezenet1_1", "torchvision:shufflenet_v2_x0_5"):
        there = count_guarded(name, shapes=((3, 64, 64),))
        here, _ = count_here(name, shapes=((3, 64, 64),))
        assert there == here
        assert there.macs == here.macs > 0


@pytest.mark.parametrize(
    ("model", "kind"),
    [("hrnet32:width=three", SpecError), ("hrnet23", GadprofError), ("nowhere.py:f", GadprofError)],
)
def test_an_error_keeps_its_kind_and_its_exit_code(model: str, kind: type[GadprofError]) -> None:
    with pytest.raises(kind) as caught:
        count(model)
    assert caught.value.exit_code == 2


def test_an_answer_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from gadprof.models.guarded import call_guarded
    from gadprof.results.plain import Machine

    with pytest.raises(ModelFailedError, match=r"m: answered with what is no machine \(.*\)"):
        call_guarded("builtins:dict", Machine, {"model": "m", "cpu": 3})


def test_sigterm_ends_a_count_and_the_model_it_runs(tmp_path: Path) -> None:
    mark = f"sigterm {os.getpid()}"
    (tmp_path / "net.py").write_text(
        "import pathlib, time\n\ndef build():\n"
        f"    pathlib.Path({str(tmp_path / 'began')!r}).touch()\n    time.sleep(600)\n"
    )
    script = "from gadprof.cli import main; main(['count', 'net.py:build'])"
    command = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "began").exists():
        assert command.poll() is None
        time.sleep(0.05)
    started = time.monotonic()
    command.send_signal(signal.SIGTERM)
    command.wait(timeout=30)
    while marked_processes(mark) and time.monotonic() < started + 20:
        psutil.wait_procs([], timeout=0)
        time.sleep(0.05)
    assert marked_processes(mark) == []


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "M.TFLITE"])
def test_a_graph_file_is_read_under_the_limits_of_its_command(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(ModelFailedError, match="no answer within 0 s; allow more with --timeout"):
        trace_model(str(path), timeout_s=0.0)


def test_a_graph_file_is_read_outside_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gadprof.models import counting

    path = str(tmp_path / "m.onnx")
    write_graph_with_an_unknown_operator(tmp_path / "m.onnx")
    here = trace_model(path, in_process=True)
    monkeypatch.setattr(counting, "count_graph", None)
    there = trace_model(path)
    assert (here.macs, there.macs) == (384, 384)
    assert here == there


def test_the_proposals_of_a_detector_are_set_by_its_constructor() -> None:
    pytest.importorskip("torchvision")
    detector = "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn"
    trace = count_guarded(
        f"{detector},rpn_post_nms_top_n_test=20,rpn_score_thresh=0.0", shapes=((3, 64, 64),)
    )
    # a proposal's 256 maps of 7x7 go through two layers of 1024 to 91 scores and 4 x 91 corners
    each = 256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * (91 + 4 * 91)
    assert trace.chosen_by_data["torchvision.roi_align"] == 20
    assert trace.data_dependent_macs == 20 * each


def test_a_child_writes_no_identity_of_the_machine_into_the_users_home() -> None:
    from gadprof.workers.launch import child_environment

    assert child_environment()["ORT_DISABLE_TELEMETRY"] == "1"
    assert child_environment(scrubbed=True)["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("folder", "kept"), [("/tmp/torchinductor_root", False), ("/home/me/compiled", True)]
)
def test_what_a_child_compiles_goes_with_it_unless_somebody_named_a_folder(
    folder: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gadprof.workers.launch import child_environment

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", folder)
    assert ("TORCHINDUCTOR_CACHE_DIR" in child_environment()) == kept
