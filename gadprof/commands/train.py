"""``gadprof train``: train a pose network on COCO keypoints, the paper's settings by default."""

from __future__ import annotations

import time
from typing import Any

import click

from gadprof.commands.options import store_option
from gadprof.commands.pose_options import data_options, input_size, network_source


@click.command()
@click.argument("model")
@data_options("train2017")
@click.option("-o", "--out", metavar="DIR", help="Folder of the run.  [default: runs/MODEL]")
@click.option("--preset", default="paper", show_default=True, help="paper or hrnet.")
@click.option("--input", "input_text", metavar="HxW", help="Crop size.  [preset: 256x192]")
@click.option("--epochs", type=int, help="Epochs.  [paper: 260]")
@click.option("--batch", type=int, help="Persons a device and step.  [paper: 48]")
@click.option("--lr", type=float, help="Learning rate.  [paper: 0.001, a tenth from epoch 170]")
@click.option("--schedule", help="How the rate falls: step or cosine.  [paper: step]")
@click.option("--foreground", type=float, help="Weigh a cell by 1 + A times its target.  [0]")
@click.option("--warmup", type=int, help="Epochs over which the rate rises first.  [0]")
@click.option("--weight-decay", type=float, help="Weight decay.  [paper preset: 0.01]")
@click.option("--sigma", type=float, help="Targets' sigma in cells.  [2 at 64x48]")
@click.option("--unbiased", is_flag=True, default=None, help="Keep the targets' sub-cell centres.")
@click.option("--augment/--no-augment", default=None, help="Random changes.  [default: on]")
@click.option("--ema", type=float, help="Decay of averaged weights, e.g. 0.999.  [off]")
@click.option("--clip", type=float, help="Limit on the gradient's norm.  [off]")
@click.option("--accumulate", type=int, help="Batches an optimiser step.  [1]")
@click.option("--seed", type=int, help="Seed of weights, order and augmentation.  [0]")
@click.option("--accelerator", default="auto", show_default=True, help="auto, cpu or gpu.")
@click.option("--devices", default="auto", show_default=True, help="Devices a node.")
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Machines.")
@click.option(
    "--precision", default="32-true", show_default=True, help="E.g. 16-mixed, bf16-mixed."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Loader processes a device.",
)
@click.option("--save-every", type=click.IntRange(min=1), default=1, show_default=True,
              help="Epochs between checkpoints.")  # fmt: skip
@click.option("--logger", default="csv", show_default=True, help="csv, tensorboard or none.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@store_option
def train(model: str, **options: Any) -> None:
    """Train MODEL on COCO keypoints.

    Writes last.ckpt (for --resume) and weights.pt (for evaluate and predict) into the run's
    folder. The same seed gives the same weights on the CPU, bit for bit; a killed and resumed run
    ends where an uninterrupted one does.
    """
    from gadprof.pose.extra import require

    source = network_source(model)
    require("gadprof train", "lightning", "cv2", "pycocotools")
    import os
    import re
    from pathlib import Path

    from gadprof.errors import TrainingDivergedError
    from gadprof.models.sources import build_module
    from gadprof.pose.coco import find_split, load_people, spare
    from gadprof.pose.settings import make_settings, rate_text, settings_dict
    from gadprof.pose.training import WEIGHTS, RunSettings, make_folder
    from gadprof.pose.training import train as run_training
    from gadprof.store.recording import record_training

    names = ("epochs", "batch", "lr", "weight_decay", "sigma", "unbiased", "augment", "ema", "clip")
    rest = ("schedule", "warmup", "foreground", "accumulate", "seed")
    changes = {name: options[name] for name in (*names, *rest)}
    size = input_size(options["input_text"])
    if size:
        changes |= {"height": size[0], "width": size[1]}
    settings = make_settings(source.name, options["preset"], changes)
    split = find_split(
        options["data"],
        options["split"],
        annotations=options["annotations"],
        images=options["images"],
    )
    notes: list[str] = []
    people = load_people(split, skip_bad=options["skip_bad"], notes=notes)
    folder = Path(options["out"] or f"runs/{re.sub(r'[^A-Za-z0-9.=-]+', '_', model)}")
    spare(split, folder)
    out = make_folder(folder)
    run = RunSettings(
        out=out,
        accelerator=options["accelerator"],
        devices=options["devices"],
        nodes=options["nodes"],
        precision=options["precision"],
        workers=options["workers"],
        save_every=options["save_every"],
        logger=options["logger"],
        resume=options["resume"],
    )
    # with several processes the others of a run repeat this command; the first one speaks
    first = all(int(os.environ.get(name, "0")) == 0 for name in ("LOCAL_RANK", "NODE_RANK"))
    for note in notes if first else ():
        click.echo(note, err=True)
    if first:
        click.echo(
            f"{source.name}: {len(people)} persons of {split.annotations.name}, "
            f"{settings.height}x{settings.width}, {settings.epochs} epochs, batch "
            f"{settings.batch}, {settings.optimiser} {rate_text(settings)}, seed {settings.seed}",
            err=True,
        )
    start = time.monotonic()
    losses: list[float] = []

    def tell(epoch: int, loss: float, rate: float) -> None:
        elapsed = time.monotonic() - start
        line = f"epoch {epoch + 1}/{settings.epochs}  loss {loss:.3e}  lr {rate:g}  {elapsed:.0f} s"
        click.echo(line, err=True)
        losses.append(loss)

    try:
        run_training(lambda: build_module(source), people, settings, run, tell=tell)
    except TrainingDivergedError as error:
        if first:
            raise
        raise SystemExit(error.exit_code) from error  # all processes agree; the first one tells
    if not first:
        return
    record_training(
        source.name,
        settings_dict(settings),
        losses,
        data=f"{split.annotations.name}, {len(people)} persons",
        seconds=time.monotonic() - start,
        weights=out / WEIGHTS,
        store=options["store"],
    )
    click.echo(str(out / WEIGHTS))
