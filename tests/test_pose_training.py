"""Training: repeatable, resumable after a kill, and safe when the loss or the disk fails."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("cv2")
lightning = pytest.importorskip("lightning")

import gadprof
from gadprof.cli import run as cli
from gadprof.errors import (
    DataError,
    GadprofError,
    OutputError,
    SpecError,
    TrainingDivergedError,
    UnknownNameError,
)
from gadprof.pose.checkpoints import LAST, read_checkpoint
from gadprof.pose.coco import Person, find_split, load_people
from gadprof.pose.dataset import EpochSampler
from gadprof.pose.settings import TrainSettings, make_settings, rate_factor
from gadprof.pose.synthetic import make_split
from gadprof.pose.training import WEIGHTS, RunSettings, joint_mse, sample_settings, train
from gadprof.pose.weights import load_into, read_weights

TOY = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 17, 3, 1, 1)
    )

def other():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 4, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 17, 3, 1, 1)
    )
"""


def toy() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 17, 3, 1, 1)
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick-figure folder of 12 pictures, and a file with toy networks."""
    path = tmp_path_factory.mktemp("sticks")
    make_split(path, "train2017", 12, 1)
    make_split(path, "val2017", 4, 2)
    (path / "toy.py").write_text(TOY)
    return path


@pytest.fixture(scope="module")
def people(data: Path) -> Sequence[Person]:
    return load_people(find_split(data, "train2017"))


def settings(**changes: Any) -> TrainSettings:
    given = {"height": 64, "width": 64, "epochs": 4, "batch": 5, "milestones": (2,), **changes}
    return make_settings("toy", "paper", given)


def run_settings(out: Path, **changes: Any) -> RunSettings:
    out.mkdir(exist_ok=True)
    return RunSettings(out, accelerator="cpu", **{"logger": "none", **changes})


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return dict(read_weights(out / WEIGHTS).state)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def test_the_default_preset_is_the_paper_s() -> None:
    preset = make_settings("gadnet32", "paper", {})
    assert (preset.optimiser, preset.lr, preset.gamma, preset.milestones) == (
        "adamw",
        1e-3,
        0.1,
        (170,),
    )
    assert (preset.epochs, preset.batch, preset.height, preset.width) == (260, 48, 256, 192)
    assert preset.augment


def test_a_shortened_run_still_ends_at_the_low_rate() -> None:
    assert make_settings("m", "paper", {"epochs": 26}).milestones == (17,)
    assert make_settings("m", "paper", {"epochs": 26, "milestones": (20,)}).milestones == (20,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"height": 250}, "height 250 is not a positive multiple of 32"),
        ({"epochs": 0}, "epochs 0"),
        ({"lr": -1.0}, "lr -1.0"),
        ({"lr": float("nan")}, "lr nan"),
        ({"ema": 1.0}, "ema 1.0"),
        ({"sigma": 0.0}, "sigma 0.0"),
        ({"foreground": -1.0}, "foreground -1.0"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(changes, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make_settings("m", "paper", changes)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'paper'"):
        make_settings("m", "papper", {})


def test_the_loss_counts_only_weighted_joints() -> None:
    maps = torch.ones(2, 3, 4, 4)
    weights = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    assert joint_mse(maps, torch.zeros_like(maps), weights).item() == pytest.approx(0.5 * 3 / 6)


def test_a_foreground_weighs_cells_by_their_target_and_zero_is_the_plain_mean() -> None:
    targets = torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]]])
    maps = targets + torch.tensor([[[[1.0, 1.0], [2.0, 0.0]]]])
    ones = torch.ones(1, 1)
    expected = 0.5 * (1.0 * 1 + (1 + 10.0) * 1 + (1 + 5.0) * 4) / 4
    assert joint_mse(maps, targets, ones, 10.0).item() == pytest.approx(expected)
    assert joint_mse(maps, targets, ones).item() == pytest.approx(0.5 * 6 / 4)


def test_every_epoch_is_another_shuffle_and_processes_share_it() -> None:
    sampler = EpochSampler(10, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == list(range(10))
    assert sorted(second) == list(range(10, 20))
    assert [key - 10 for key in second] != first
    shares = [list(EpochSampler(10, seed=3, rank=rank, world=3)) for rank in range(3)]
    assert {len(share) for share in shares} == {4}
    assert {key for share in shares for key in share} == set(range(10))


def test_a_seed_gives_the_same_weights_bit_for_bit(people, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(toy, people, settings(seed=seed), run_settings(tmp_path / name))
    first, again, other = (weights_of(tmp_path / name) for name in "abc")
    assert same(first, again)
    assert not same(first, other)


def test_the_number_of_workers_changes_nothing(people, tmp_path: Path) -> None:
    for name, workers in (("a", 0), ("b", 2)):
        run = run_settings(tmp_path / name, workers=workers)
        train(toy, people, settings(epochs=2), run)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"accumulate": 2}], ids=str)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    changes: dict[str, Any], people, tmp_path: Path
) -> None:
    class Stop(lightning.pytorch.callbacks.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 3:
                raise InterruptedError

    train(toy, people, settings(**changes), run_settings(tmp_path / "whole"))
    run = run_settings(tmp_path / "cut")
    with pytest.raises(InterruptedError):
        train(toy, people, settings(**changes), run, callbacks=[Stop()])
    assert read_checkpoint(tmp_path / "cut" / LAST)["epoch"] == 2
    train(toy, people, settings(**changes), run_settings(tmp_path / "cut", resume=True))
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut"))


@pytest.mark.slow
def test_kill_9_and_resume_give_the_weights_of_an_uninterrupted_run(
    data: Path, tmp_path: Path
) -> None:
    def command(out: Path, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "gadprof", "train", f"{data / 'toy.py'}:build"),
            *("--data", str(data), "--out", str(out), "--input", "64x64", "--epochs", "8"),
            *("--batch", "4", "--accelerator", "cpu", "--logger", "none", *more),
        ]

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command(tmp_path / "whole"), env=environment, check=True, timeout=300)
    with subprocess.Popen(
        command(tmp_path / "cut"), env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 3/"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "cut" / LAST).exists()
    assert not (tmp_path / "cut" / WEIGHTS).exists()
    subprocess.run(command(tmp_path / "cut", "--resume"), env=environment, check=True, timeout=300)
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut"))


def test_averaged_weights_are_exported_and_differ_from_the_last_ones(people, tmp_path) -> None:
    module = train(toy, people, settings(ema=0.9), run_settings(tmp_path))
    exported = weights_of(tmp_path)
    assert same(exported, dict(module.average.module.state_dict()))
    assert not torch.equal(exported["0.weight"], module.net.state_dict()["0.weight"])
    assert same(exported, dict(read_weights(tmp_path / LAST).state))


def test_a_network_with_intermediate_supervision_trains_and_its_last_maps_answer(
    people, tmp_path
) -> None:
    from gadprof.pose.inference import InferenceSettings, heatmaps

    name = "hourglass2:depth=1,features=4"
    given = settings(epochs=1, milestones=())
    torch.manual_seed(0)
    before = gadprof.build(name)
    start = before.heads[0].weight.clone()
    module = train(lambda: before, people, given, run_settings(tmp_path)).net.cpu().eval()
    assert not torch.equal(module.heads[0].weight, start)
    with torch.no_grad():
        sample = torch.randn(1, 3, 64, 64)
        last = module(sample)[-1]
        inference = InferenceSettings(samples=sample_settings(given), flip=False)
        assert torch.equal(torch.from_numpy(heatmaps(module, sample, inference)), last)


class Poisoned(nn.Module):
    """A toy network whose loss is no number from its n-th training batch on."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.toy, self.left = toy(), good

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        maps: torch.Tensor = self.toy(images)
        return maps if self.left >= 0 else maps * float("nan")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    people, tmp_path: Path
) -> None:
    with pytest.raises(TrainingDivergedError, match=r"loss is not finite in epoch 2.*last\.ckpt"):
        train(lambda: Poisoned(7), people, settings(), run_settings(tmp_path))
    kept = read_checkpoint(tmp_path / LAST)
    assert kept["epoch"] == 1
    assert all(bool(torch.isfinite(value).all()) for value in kept["state_dict"].values())
    assert not (tmp_path / WEIGHTS).exists()


def test_divergence_before_the_first_checkpoint_says_so(people, tmp_path: Path) -> None:
    with pytest.raises(TrainingDivergedError, match="no checkpoint was made yet"):
        train(lambda: Poisoned(0), people, settings(), run_settings(tmp_path))
    assert not (tmp_path / LAST).exists()


def test_weights_that_are_not_finite_are_never_saved(people, tmp_path: Path) -> None:
    class Break(lightning.pytorch.callbacks.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if trainer.current_epoch == 1:
                with torch.no_grad():
                    module.net[3].bias.fill_(float("inf"))

    # one batch an epoch: the broken step is the epoch's last, so that no loss shows it
    with pytest.raises(TrainingDivergedError, match="is not finite in epoch 1"):
        train(toy, people, settings(batch=12), run_settings(tmp_path), callbacks=[Break()])
    assert read_checkpoint(tmp_path / LAST)["epoch"] == 0


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    people, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fill(lightning.pytorch.callbacks.Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 2:

                def full(descriptor: int) -> None:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

                monkeypatch.setattr(os, "fsync", full)

    words = "No space left on device; the checkpoint before it is whole"
    with pytest.raises(OutputError, match=words):
        train(toy, people, settings(), run_settings(tmp_path), callbacks=[Fill()])
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / LAST)["epoch"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [LAST]  # nothing half-written is left
    train(toy, people, settings(), run_settings(tmp_path, resume=True))
    train(toy, people, settings(), run_settings(tmp_path / "whole"))
    assert same(weights_of(tmp_path), weights_of(tmp_path / "whole"))


def test_a_full_disk_while_a_log_is_written_is_one_line_too(
    people, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning.pytorch.loggers import CSVLogger

    saves = CSVLogger.save

    def full(self: Any) -> None:
        if (tmp_path / LAST).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saves(self)

    monkeypatch.setattr(CSVLogger, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device; .*last\.ckpt' is whole"):
        train(toy, people, settings(), run_settings(tmp_path, logger="csv"))
    assert read_checkpoint(tmp_path / LAST)["epoch"] == 0


def test_resuming_another_model_or_other_settings_is_refused(people, tmp_path: Path) -> None:
    train(toy, people, settings(epochs=1), run_settings(tmp_path))
    resume = run_settings(tmp_path, resume=True)
    with pytest.raises(DataError, match=r"batch was 5, is 6"):
        train(toy, people, settings(batch=6), resume)
    other = make_settings("hrnet32", "paper", {"height": 64, "width": 64})
    with pytest.raises(DataError, match="is of 'toy', not of 'hrnet32'"):
        train(toy, people, other, resume)
    with pytest.raises(DataError, match="go on with --resume"):
        train(toy, people, settings(), run_settings(tmp_path))
    with pytest.raises(DataError, match="no checkpoint"):
        train(toy, people, settings(), run_settings(tmp_path / "absent", resume=True))


def test_a_longer_run_goes_on_from_a_shorter_one(people, tmp_path: Path) -> None:
    train(toy, people, settings(epochs=2), run_settings(tmp_path))
    train(toy, people, settings(epochs=4), run_settings(tmp_path, resume=True))
    train(toy, people, settings(epochs=4), run_settings(tmp_path / "whole"))
    assert same(weights_of(tmp_path), weights_of(tmp_path / "whole"))


def test_weights_of_another_architecture_are_refused(people, tmp_path: Path) -> None:
    train(toy, people, settings(epochs=1), run_settings(tmp_path))
    weights = read_weights(tmp_path / WEIGHTS)
    module = nn.Sequential(nn.Conv2d(3, 6, 5))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(DataError, match="are of 'toy', not of 'small': 2 of 2 tensors"):
        load_into(module, weights, "small")
    assert same(before, dict(module.state_dict()))


def test_a_plain_state_dict_loads_and_a_pickle_of_code_does_not(tmp_path: Path) -> None:
    module = toy()
    torch.save({f"module.{k}": v for k, v in module.state_dict().items()}, tmp_path / "plain.pth")
    target = toy()
    load_into(target, read_weights(tmp_path / "plain.pth"), "toy")
    assert same(dict(module.state_dict()), dict(target.state_dict()))
    torch.save(module, tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("module.pt", "text.pt"):
        with pytest.raises(DataError, match="not a weights file that can be read safely"):
            read_weights(tmp_path / name)


def test_targets_follow_the_settings() -> None:
    assert sample_settings(settings(augment=False)).augmentation.flip_probability == 0
    assert sample_settings(settings()).augmentation.rotation_deg == 45


BAD_USE: dict[str, tuple[list[str], str]] = {
    "no data": (["train", "gadnet32"], "no data"),
    "absent folder": (["train", "gadnet32", "--data", "absent"], "does not exist"),
    "unknown model": (["train", "gadnt32", "--data", "DATA"], "did you mean 'gadnet32'"),
    "odd input": (["train", "gadnet32", "--data", "DATA", "--input", "250x192"], "multiple of 32"),
    "unknown preset": (["train", "gadnet32", "--data", "DATA", "--preset", "x"], "unknown preset"),
    "no such accelerator": (
        ["train", "TOY:build", "--data", "DATA", "--accelerator", "warp", "--out", "OUT"],
        "cannot train with accelerator 'warp'",
    ),
    "no weights": (["evaluate", "gadnet32", "--data", "DATA"], "--weights"),
    "absent weights": (
        ["evaluate", "TOY:build", "--data", "DATA", "--weights", "absent.pt"],
        "cannot read weights",
    ),
    "neither device nor image": (["predict", "gadnet32"], "--device NAME for latency"),
    "image without weights": (["predict", "gadnet32", "--image", "x.jpg"], "give --weights"),
}


@pytest.mark.parametrize("case", BAD_USE)
def test_bad_use_is_one_line_and_exit_code_2(
    case: str, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = {"DATA": str(data), "OUT": str(tmp_path), "TOY:build": f"{data / 'toy.py'}:build"}
    words, expected = BAD_USE[case]
    assert cli([names.get(word, word) for word in words]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("gadprof:")]
    assert len(lines) == 1
    assert expected in lines[0]


def test_the_cosine_schedule_rises_over_its_warm_up_and_falls_to_nothing() -> None:
    given = make_settings("m", "paper", {"epochs": 100, "schedule": "cosine", "warmup": 4})
    factors = [rate_factor(given, epoch) for epoch in range(100)]
    assert factors[0] == pytest.approx(0.2)
    assert factors.index(max(factors)) == 4
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[-1] < 0.001


def test_the_step_schedule_is_the_papers() -> None:
    given = make_settings("m", "paper", {})
    assert rate_factor(given, 0) == rate_factor(given, 169) == 1.0
    assert rate_factor(given, 170) == pytest.approx(0.1)


@pytest.mark.parametrize("changes", [{"schedule": "cosin"}, {"warmup": 300}, {"warmup": -1}])
def test_a_schedule_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(GadprofError):
        make_settings("m", "paper", changes)


def test_training_leaves_torchs_choice_of_algorithms_as_it_was(people, tmp_path: Path) -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    train(toy, people, settings(epochs=1, milestones=()), run_settings(tmp_path))
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_interrupted_run_exits_130_and_says_how_to_go_on(
    data: Path, tmp_path: Path, run_cli, monkeypatch
) -> None:
    from gadprof.pose import training

    out = tmp_path / "run"

    def interrupted(*_: Any, **__: Any) -> None:
        (out / "last.ckpt").write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    words = ["train", f"{data / 'toy.py'}:build", "--data", str(data), "--epochs", "1",
             "--input", "64x64", "-o", str(out)]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["gadprof", *words])
    code, printed, err = run_cli(*words)
    assert (code, printed) == (130, "")
    assert f"interrupted; go on with: gadprof {' '.join(words)} --resume" in err


def test_ctrl_c_in_lightning_stays_ctrl_c() -> None:
    import signal

    from gadprof.pose.training import _fit

    class Trainer:
        interrupted = True

        def fit(self, *_: Any, **__: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning does
            raise SystemExit(1)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _fit(Trainer(), None, None)  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("content", [None, [1], {}, {"gadprof_settings": 5}])
def test_a_file_that_is_no_checkpoint_of_ours_is_refused(content: object, tmp_path: Path) -> None:
    from gadprof.pose.checkpoints import read_checkpoint

    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(DataError, match="is not a checkpoint of 'gadprof train'"):
        read_checkpoint(tmp_path / "last.ckpt")
