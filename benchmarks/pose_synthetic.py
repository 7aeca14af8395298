"""Does training learn? Two minutes on stick figures, scored before and after on held-out ones.

Writes a stick-figure set, trains a small GADNet on its training split without mirroring (a limb's
colour tells its side) for at most ``--limit-s`` seconds of training, and prints the held-out AP by
pycocotools before and after. Exit code 1 below ``--target``. It says nothing about photographs.

    python benchmarks/pose_synthetic.py [--limit-s 120]
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from lightning.pytorch.callbacks import Callback

from gadprof.models.sources import build_module, resolve
from gadprof.pose.coco import find_split, load_people
from gadprof.pose.evaluate import evaluate
from gadprof.pose.inference import InferenceSettings
from gadprof.pose.settings import make_settings
from gadprof.pose.synthetic import make_stick_figures
from gadprof.pose.training import RunSettings, sample_settings, train
from gadprof.results.plain import describe_machine

# 16 maps carry the 17 joints, which 8 do not; a thin stage 1 leaves the time for more steps
MODEL = "gadnet32:width=16,stage1=8,bottlenecks=1,modules=1-1-1,blocks=1-1-2-2"


class StopAfter(Callback):  # type: ignore[misc]
    """End the run when its time is up; the rate rises over a twentieth of it, then falls to 0."""

    def __init__(self, limit_s: float, lr: float) -> None:
        self.limit_s = limit_s
        self.lr = lr
        self.start = 0.0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Start the clock."""
        self.start = time.monotonic()

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """Set the rate for the share of the time that has passed."""
        share = min(1.0, (time.monotonic() - self.start) / self.limit_s)
        factor = min(share / 0.05, 0.5 * (1 + math.cos(math.pi * share)))
        trainer.optimizers[0].param_groups[0]["lr"] = self.lr * max(factor, 0.01)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Look at the clock."""
        if time.monotonic() - self.start >= self.limit_s:
            trainer.should_stop = True


@click.command()
@click.option("--model", default=MODEL, show_default=True)
@click.option("--limit-s", default=120.0, show_default=True, help="Seconds of training.")
@click.option("--target", default=0.5, show_default=True, help="Held-out AP to reach.")
@click.option("--pictures", default=512, show_default=True, help="Training pictures.")
@click.option("--batch", default=8, show_default=True)
@click.option("--lr", default=4e-3, show_default=True)
@click.option("--input", "size", default="128x96", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    model: str,
    limit_s: float,
    target: float,
    pictures: int,
    batch: int,
    lr: float,
    size: str,
    seed: int,
) -> None:
    """Train on stick figures and print the held-out AP before and after."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_stick_figures(Path(temporary), train=pictures, val=48, seed=seed)
        height, width = (int(part) for part in size.split("x"))
        changes = {
            "height": height,
            "width": width,
            "epochs": 1000,
            "batch": batch,
            "lr": lr,
            "milestones": (1000,),
            "augment": False,
            "unbiased": True,
            "seed": seed,
        }
        settings = make_settings(model, "paper", changes)
        source = resolve(model)
        held_out = find_split(folder, "val2017")
        people = load_people(held_out)
        inference = InferenceSettings(sample_settings(settings), "dark", flip=False)
        before, _ = evaluate(build_module(source), held_out, people, inference)
        run = RunSettings(Path(temporary), accelerator="cpu", logger="none", save_every=1000)
        module = train(
            lambda: build_module(source),
            load_people(find_split(folder, "train2017")),
            settings,
            run,
            tell=lambda epoch, loss, _: click.echo(f"epoch {epoch + 1}  loss {loss:.2e}"),
            callbacks=[StopAfter(limit_s, lr)],
        )
        after, _ = evaluate(module.final, held_out, people, inference)
    click.echo(f"{model}: held-out AP {before.ap:.3f} -> {after.ap:.3f} (AP50 {after.ap50:.3f})")
    click.echo(f"{limit_s:.0f} s of training on {describe_machine().cpu}")
    if after.ap < target:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
