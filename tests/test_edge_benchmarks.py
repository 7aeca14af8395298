"""Claims about the edge page's data and about the figures that other programs print."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from script_modules import module_at

from gadprof.errors import DataError
from gadprof.measuring.bench import _made

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def edge() -> ModuleType:
    return module_at(FOLDER / "edge.py")


@pytest.fixture(scope="module")
def timers() -> ModuleType:
    return module_at(FOLDER / "edge_timers.py")


@pytest.mark.parametrize(
    ("runtime", "asked", "there", "left"),
    [
        ("openvino", ["int8"], None, ["fp32", "int8"]),
        ("openvino", ["int8"], ["fp32", "int8"], []),
        ("openvino", ["fp16"], ["fp32", "int8"], ["fp32", "fp16", "int8"]),
        ("ncnn", ["fp32", "int8"], ["fp32"], []),
        ("eager", ["fp32", "fp16"], None, ["fp32"]),
    ],
)
def test_a_run_is_taken_up_only_with_the_precisions_wanted(edge, runtime, asked, there, left):
    run = there and {"rows": [{"precision": name} for name in there]}
    assert edge.wanted(runtime, asked, run) == left


def test_an_interrupted_run_is_no_data(edge, monkeypatch):
    monkeypatch.setattr(edge, "measure", lambda *_, **__: SimpleNamespace(interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        edge.measured("eager", ["fp32"], "kept", 1.0, 1.0)


def test_a_page_without_data_is_refused(edge, tmp_path):
    words = ["--page", str(tmp_path / "page.md"), "--data", str(tmp_path / "none.json")]
    with pytest.raises(DataError, match="measure first"):
        edge.main(words, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("runtime", "printed", "seconds"),
    [
        ("openvino", "[ INFO ]    Median:        4.66 ms", 4.66e-3),
        ("openvino", "[ INFO ]    Median:        512.5 us", 512.5e-6),
        ("litert", "Inference (median):    12.73 ms", 12.73e-3),
        ("onnxruntime", "MEDIAN 0.0055 s", 5.5e-3),
    ],
)
def test_another_programs_median_is_read_in_its_unit(
    timers, monkeypatch, runtime, printed, seconds
):
    monkeypatch.setattr(timers, "said", lambda words: printed)
    assert timers.own_median(runtime, "file", "folder", 1.0) == pytest.approx(seconds)


def test_a_program_that_fails_is_told_by_its_last_line(timers):
    with pytest.raises(RuntimeError, match=r"ended with 3: no such option$"):
        timers.said([sys.executable, "-c", "print('begun\\nno such option\\n'); exit(3)"])
    with pytest.raises(RuntimeError, match="no median in what it printed; its last line: done"):
        timers.read(r"Median: ([\d.]+) (ms)", "begun\ndone\n")


def test_files_are_kept_by_their_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _made("kept") == str(tmp_path / "kept")
