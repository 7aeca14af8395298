"""Training's options that are Lightning's: several processes, mixed precision, loggers, and the
command line that refuses what cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("cv2")
pytest.importorskip("lightning", reason="needs gadprof[pose]")
pytest.importorskip("pycocotools", reason="needs gadprof[pose]")

from gadprof.cli import run as cli
from gadprof.pose.checkpoints import LAST, read_checkpoint
from gadprof.pose.synthetic import make_split
from gadprof.pose.training import WEIGHTS
from gadprof.pose.weights import read_weights
from gadprof.store.store import Store

NETWORKS = """
import os

from torch import nn


def build():
    return nn.Sequential(nn.Conv2d(3, 6, 5, 4, 2), nn.ReLU(), nn.Conv2d(6, 17, 3, 1, 1))


class Poisoned(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.batches = build(), 0

    def forward(self, images):
        self.batches += 1
        bad = self.batches > 2 and os.environ.get("LOCAL_RANK") == "1"
        return self.body(images) * (float("nan") if bad else 1.0)


def poisoned():
    return Poisoned()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick-figure folder of 12 training pictures, and a file with networks."""
    path = tmp_path_factory.mktemp("processes")
    make_split(path, "train2017", 12, 1)
    (path / "net.py").write_text(NETWORKS)
    return path


def command(data: Path, out: Path, *more: str, model: str = "build") -> list[str]:
    return [
        *("train", f"{data / 'net.py'}:{model}", "--data", str(data), "--out", str(out)),
        *("--input", "64x64", "--epochs", "2", "--accelerator", "cpu", *more),
    ]


def in_processes(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "gadprof", *arguments],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(
    data: Path, tmp_path: Path
) -> None:
    two = in_processes(
        command(data, tmp_path / "two", "--devices", "2", "--batch", "3", "--logger", "none")
    )
    assert two.returncode == 0, two.stderr
    # the run tells its story once, not once a process
    assert two.stdout.count(str(tmp_path / "two" / WEIGHTS)) == 1
    assert two.stderr.count("12 persons") == 1
    assert two.stderr.count("epoch 1/2") == 1
    one = command(data, tmp_path / "one", "--batch", "6", "--logger", "none")
    assert cli(one) == 0
    first, second = (read_weights(tmp_path / name / WEIGHTS).state for name in ("one", "two"))
    for key, value in first.items():
        # sums in another order, through AdamW's first steps
        assert torch.allclose(value, second[key], atol=2e-5), key


@pytest.mark.slow
def test_a_loss_that_one_process_lost_stops_all_with_one_line(data: Path, tmp_path: Path) -> None:
    done = in_processes(
        command(
            data, tmp_path / "run", "--devices", "2", "--batch", "3", "--logger", "none",
            model="poisoned",
        )
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("the loss is not finite in epoch 1") == 1
    assert read_checkpoint(tmp_path / "run" / LAST)["epoch"] == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--precision", "bf16-mixed"),
        ("--precision", "bf16-mixed", "--clip", "1", "--accumulate", "2", "--ema", "0.9"),
        ("--precision", "64-true"),
    ],
    ids=" ".join,
)
def test_other_precisions_train(options: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    run = command(data, tmp_path / "run", "--batch", "4", "--logger", "none", *options)
    assert cli(run) == 0
    plain = command(data, tmp_path / "plain", "--batch", "4", "--logger", "none")
    assert cli(plain) == 0
    state = read_weights(tmp_path / "run" / WEIGHTS).state
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    other = read_weights(tmp_path / "plain" / WEIGHTS).state
    assert any(not torch.equal(value, other[key]) for key, value in state.items())


def test_a_finished_run_is_kept_in_the_store(data: Path, tmp_path: Path) -> None:
    store = tmp_path / "results.sqlite"
    run = command(data, tmp_path / "run", "--batch", "4", "--logger", "none", "--seed", "3")
    assert cli([*run, "--store", str(store)]) == 0
    with Store(store) as opened:
        (entry,) = opened.entries(kinds=("training",))
    assert entry.model == f"{data / 'net.py'}:build"
    assert len(entry.result["losses"]) == 2
    assert entry.result["loss"] == entry.result["losses"][-1] > 0
    assert entry.result["weights_sha256"] == read_weights(tmp_path / "run" / WEIGHTS).sha256
    assert entry.settings["seed"] == 3
    assert entry.settings["input"] == [[3, 64, 64]]
    assert entry.settings["data"] == "person_keypoints_train2017.json, 12 persons"


def test_the_csv_logger_keeps_every_epoch_s_loss(data: Path, tmp_path: Path) -> None:
    assert cli(command(data, tmp_path / "run", "--batch", "4")) == 0
    (log,) = (tmp_path / "run" / "logs").rglob("metrics.csv")
    header, *rows = log.read_text().splitlines()
    assert "loss" in header.split(",")
    assert len(rows) == 2


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "devices": (("--devices", "many"), "cannot train with accelerator 'cpu', devices 'many'"),
    "no devices": (("--devices", "0"), "devices '0'"),
    "precision": (("--precision", "12-odd"), "precision '12-odd'"),
    "workers": (("--workers", "-1"), "range 0 to 256"),
    "save every": (("--save-every", "0"), "range 1 to 1,000,000"),
    "nodes": (("--nodes", "0"), "range 1 to 100,000"),
    "seed": (("--seed", "-1"), "range 0 to 4,294,967,295"),
    "logger": (("--logger", "paper"), "it is csv, tensorboard or none"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_option_that_cannot_be_is_one_line(
    case: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words = BAD[case]
    assert cli(command(data, tmp_path / "run", *options)) == 2
    (line,) = [t for t in capsys.readouterr().err.splitlines() if t.startswith("gadprof:")]
    assert words in line


def test_a_run_is_never_written_into_its_data(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(data.rglob("*"))
    for out in (data / "train2017", data / "train2017" / "run", data / "annotations"):
        assert cli(command(data, out)) == 2
        assert "never written to" in capsys.readouterr().err
    assert sorted(data.rglob("*")) == before


def test_a_missing_picture_is_refused_before_training_and_can_be_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    (copy / "train2017" / "000000000003.png").unlink()
    assert cli(command(copy, tmp_path / "run")) == 2
    assert "of annotation 3 is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert cli(command(copy, tmp_path / "run", "--skip-bad", "--logger", "none")) == 0
    assert "11 persons" in capsys.readouterr().err


def test_a_damaged_picture_ends_a_run_in_one_line_whoever_reads_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    picture = copy / "train2017" / "000000000003.png"
    picture.write_bytes(picture.read_bytes()[:500])
    for workers in ("0", "2"):
        run = command(copy, tmp_path / workers, "--workers", workers, "--logger", "none")
        assert cli(run) == 2
        lines = [t for t in capsys.readouterr().err.splitlines() if t.startswith("gadprof:")]
        assert lines == [
            f"gadprof: picture '{picture}' is a truncated PNG (no end chunk); copy or download it "
            "again"
        ]
