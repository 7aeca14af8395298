"""Can a narrow GADNet learn four real COCO pictures on the CPU? Trains until AP says so.

Trains ``gadnet32:width=8`` on the persons of a small COCO folder without augmentation, evaluates on
the same pictures by pycocotools every few epochs, and stops at AP >= 0.9 or at the time limit. This
shows that data, targets, training, decoding and evaluation fit together; it says nothing about
accuracy on pictures that the network has not seen. Every step takes all persons, at 128x96, since
on a CPU the many small operations cost more than their size.

Width 8 has 8 last maps for 17 joints, so that its 1x1 head has rank 8. Under the plain mean of
squares the best maps of that rank give these pictures AP 0.76 (their targets, projected); joints
whose cells weigh more (``--foreground``) stay apart. With ``shortcut=yes`` (a GaBlock adds its
input) the same settings get there in less than a third of the epochs. Exit code 1 below the AP.

    python benchmarks/pose_overfit.py --data DIR [--out DIR] [--quick]
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch
from lightning.pytorch.callbacks import Callback

from gadprof.models.sources import build_module, resolve
from gadprof.output import write_atomic
from gadprof.pose.coco import find_split, load_people
from gadprof.pose.evaluate import Scores, evaluate
from gadprof.pose.inference import InferenceSettings
from gadprof.pose.predict import predict
from gadprof.pose.settings import make_settings, settings_dict
from gadprof.pose.training import WEIGHTS, RunSettings, sample_settings, train
from gadprof.results.plain import describe_machine, to_json


class Watch(Callback):  # type: ignore[misc]
    """Evaluate every few epochs, and end the run when it has learned or its time is up."""

    def __init__(self, split: Any, people: Any, target: float, every: int, limit_s: float) -> None:
        self.split, self.people = split, people
        self.target, self.every, self.limit_s = target, every, limit_s
        self.start, self.cpu_start = time.monotonic(), time.process_time()
        self.history: list[dict[str, float]] = []
        self.scores: Scores | None = None

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Score the network on its own pictures."""
        epoch = trainer.current_epoch + 1
        seconds = time.monotonic() - self.start
        late = seconds > self.limit_s
        if epoch % self.every and not late:
            return
        settings = InferenceSettings(sample_settings(module.settings), "dark", flip=False)
        self.scores, _ = evaluate(module.final, self.split, self.people, settings)
        loss = float(trainer.callback_metrics["loss"])
        cpu_s = time.process_time() - self.cpu_start
        ap = self.scores.ap
        self.history.append({"epoch": epoch, "s": seconds, "cpu_s": cpu_s, "loss": loss, "ap": ap})
        click.echo(
            f"epoch {epoch}  {seconds:.0f} s ({cpu_s:.0f} s of CPU)  loss {loss:.2e}  AP {ap:.3f}"
        )
        if self.scores.ap >= self.target or late:
            trainer.should_stop = True


@click.command()
@click.option("--data", required=True, metavar="DIR", help="COCO layout, or pictures and JSON.")
@click.option("--model", default="gadnet32:width=8", show_default=True)
@click.option("--input", "size", default="128x96", show_default=True)
@click.option("--epochs", default=1000, show_default=True, help="At most; the rate falls over all.")
@click.option("--batch", default=16, show_default=True)
@click.option("--lr", default=3e-3, show_default=True)
@click.option("--foreground", default=20.0, show_default=True, help="Weight of joints' cells.")
@click.option("--limit-s", default=840.0, show_default=True, help="At most, in seconds.")
@click.option("--target", default=0.9, show_default=True, help="AP to reach.")
@click.option("--threads", default=1, show_default=True, help="Threads inside an operation.")
@click.option("--every", default=25, show_default=True, help="Epochs between evaluations.")
@click.option("--out", metavar="DIR", help="Keep weights, figures and drawn predictions here.")
@click.option("--quick", is_flag=True, help="One minute, and no AP to reach.")
def main(
    data: str,
    model: str,
    size: str,
    epochs: int,
    batch: int,
    lr: float,
    foreground: float,
    limit_s: float,
    target: float,
    threads: int,
    every: int,
    out: str | None,
    quick: bool,
) -> None:
    """Train on a few real pictures until they are learned, and print how long it took."""
    torch.set_num_threads(threads)
    split = find_split(data, "val2017")
    people = load_people(split)
    height, width = (int(part) for part in size.split("x"))
    settings = make_settings(
        model,
        "paper",
        {
            "height": height,
            "width": width,
            "epochs": epochs,
            "batch": batch,
            "lr": lr,
            "foreground": foreground,
            "schedule": "cosine",
            "warmup": 20,
            "augment": False,
            "unbiased": True,
        },
    )
    watch = Watch(split, people, target, every, 60.0 if quick else limit_s)
    source = resolve(model)
    with tempfile.TemporaryDirectory() as temporary:
        run = RunSettings(Path(temporary), accelerator="cpu", logger="none", save_every=epochs)
        module = train(lambda: build_module(source), people, settings, run, callbacks=[watch])
        if out:
            Path(out).mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(temporary) / WEIGHTS, out)
    assert watch.scores is not None
    machine = describe_machine()
    record = {
        "model": model,
        "data": f"{len({p.image_id for p in people})} pictures, {len(people)} persons",
        "trained_and_evaluated_on_the_same_pictures": True,
        "settings": settings_dict(settings),
        "decoding": "dark",
        "flip_test": False,
        "scores": watch.scores,
        "history": watch.history,
        "threads": threads,
        "machine": machine,
    }
    if out:
        write_atomic(Path(out) / "pose_overfit.json", to_json(record))
        inference = InferenceSettings(sample_settings(settings), "dark", flip=False)
        for image in sorted({person.path for person in people}):
            boxes = tuple((p.box, 1.0) for p in people if p.path == image)
            drawn = predict(module.final, image, inference, boxes=boxes)
            write_atomic(Path(out) / f"{image.stem}.png", drawn.drawn_png)
    last = watch.history[-1]
    click.echo(
        f"{model} at {size}: AP {last['ap']:.3f} after {last['epoch']} epochs, {last['s']:.0f} s "
        f"({last['cpu_s']:.0f} s of CPU) on {machine.cpu}"
    )
    if not quick and last["ap"] < target:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
