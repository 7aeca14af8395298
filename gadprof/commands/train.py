"""``gadprof train``: train a pose network on COCO keypoints, the paper's settings by default."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.option_types import DEVICE, SEED, Count, Number
from gadprof.commands.options import (
    command,
    format_option,
    model_argument,
    option,
    packed,
    store_option,
)
from gadprof.commands.pose_options import Data, data_options, input_size, network_source
from gadprof.commands.show import show
from gadprof.output import Output, tell
from gadprof.results.sentences import counted

if TYPE_CHECKING:
    from gadprof.pose.training import RunSettings
    from gadprof.results.page import Page

MOST_EPOCHS = 1_000_000


@dataclass(frozen=True)
class Recipe:
    """How the weights change; None leaves the preset's value."""

    epochs: int | None
    batch: int | None
    lr: float | None
    schedule: str | None
    foreground: float | None
    warmup: int | None
    weight_decay: float | None
    sigma: float | None
    unbiased: bool | None
    augment: bool | None
    ema: float | None
    clip: float | None
    accumulate: int | None
    seed: int | None


@dataclass(frozen=True)
class Where:
    """Where the run happens and what it leaves."""

    out: str | None
    device: str
    devices: str
    nodes: int
    precision: str
    workers: int
    save_every: int
    logger: str
    resume: bool


_RECIPE = (
    click.option("--epochs", type=Count(1, MOST_EPOCHS), help="Epochs.  [paper: 260]"),
    click.option("--batch", type=Count(1, 65536), help="Persons a device and step.  [paper: 48]"),
    click.option(
        "--lr",
        type=Number(0, 1e6, above=True),
        help="Learning rate.  [paper: 0.001, a tenth from epoch 170]",
    ),
    click.option("--schedule", help="How the rate falls: step or cosine.  [paper: step]"),
    click.option(
        "--foreground", type=Number(0, 1e6), help="Weigh a cell by 1 + A times its target.  [0]"
    ),
    click.option(
        "--warmup",
        type=Count(0, MOST_EPOCHS),
        help="Epochs over which the rate rises first.  [0]",
    ),
    click.option("--weight-decay", type=Number(0, 1e6), help="Weight decay.  [paper preset: 0.01]"),
    click.option(
        "--sigma", type=Number(0, 1e6, above=True), help="Targets' sigma in cells.  [2 at 64x48]"
    ),
    click.option(
        "--unbiased", is_flag=True, default=None, help="Keep the targets' sub-cell centres."
    ),
    click.option("--augment/--no-augment", default=None, help="Random changes.  [default: on]"),
    click.option("--ema", type=Number(0, 1), help="Decay of averaged weights, e.g. 0.999.  [off]"),
    click.option("--clip", type=Number(0, 1e9), help="Limit on the gradient's norm.  [off]"),
    click.option("--accumulate", type=Count(1, 65536), help="Batches an optimiser step.  [1]"),
    click.option("--seed", type=SEED, help="Seed of weights, order and augmentation.  [0]"),
)
_WHERE = (
    option(
        "-o",
        "--output",
        "out",
        aliases=("--out",),
        metavar="DIR",
        help="Folder of the run.  [default: runs/MODEL]",
    ),
    option(
        "--device",
        aliases=("--accelerator",),
        type=DEVICE,
        default="auto",
        show_default=True,
        help="auto, cpu or gpu.",
    ),
    click.option("--devices", default="auto", show_default=True, help="Devices a node."),
    click.option("--nodes", type=Count(1, 100_000), default=1, show_default=True, help="Machines."),
    click.option(
        "--precision", default="32-true", show_default=True, help="E.g. 16-mixed, bf16-mixed."
    ),
    click.option(
        "--workers",
        type=Count(0, 256),
        default=0,
        show_default=True,
        help="Loader processes a device.",
    ),
    click.option(
        "--save-every",
        type=Count(1, MOST_EPOCHS),
        default=1,
        show_default=True,
        help="Epochs between checkpoints.",
    ),
    click.option("--logger", default="csv", show_default=True, help="csv, tensorboard or none."),
    click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint."),
)


@command(name="train", example="gadprof train gadnet32 --data coco")
@model_argument
@data_options("train2017")
@click.option("--preset", default="paper", show_default=True, help="paper or hrnet.")
@click.option("--input", "input_text", metavar="HxW", help="Crop size.  [preset: 256x192]")
@packed("recipe", Recipe, *_RECIPE)
@packed("where", Where, *_WHERE)
@format_option()
@store_option
def train(
    model: str,
    data: Data,
    preset: str,
    input_text: str | None,
    recipe: Recipe,
    where: Where,
    output_format: str | None,
    store: str | None,
) -> int:
    """Train MODEL on COCO keypoints.

    Writes last.ckpt (for --resume) and weights.pt (for evaluate and detect) into the run's
    folder. The same seed gives the same weights on the CPU, bit for bit; a killed and resumed run
    ends where an uninterrupted one does. Ctrl-C exits 130.
    """
    from gadprof.pose.extra import require

    source = network_source(model)
    from gadprof.pose.coco import find_split, load_people, spare

    # before lightning is imported, to see whether it can be: a word that is wrong is told at once
    split = find_split(data.data, data.split, annotations=data.annotations, images=data.images)
    require("gadprof train", "lightning", "cv2", "pycocotools")
    from gadprof.errors import TrainingDivergedError
    from gadprof.models.sources import build_module
    from gadprof.pose.settings import make_settings, rate_text, settings_dict
    from gadprof.pose.training import WEIGHTS
    from gadprof.pose.training import train as run_training
    from gadprof.render.progress import Working
    from gadprof.results.plain import describe_machine
    from gadprof.store.recording import record_training

    size = input_size(input_text)
    changes = asdict(recipe) | ({"height": size[0], "width": size[1]} if size else {})
    settings = make_settings(source.name, preset, changes)
    notes: list[str] = []
    people = load_people(split, skip_bad=data.skip_bad, notes=notes)
    folder = Path(where.out or f"runs/{re.sub(r'[^A-Za-z0-9.=-]+', '_', model)}")
    spare(split, folder)
    run = _run_settings(folder, where)
    first = _first_process()
    for note in notes if first else ():
        tell(note)
    if first:
        tell(
            f"{source.name}: {counted(len(people), 'person')} of {split.annotations.name}, "
            f"{settings.height}x{settings.width}, {settings.epochs} epochs, batch "
            f"{settings.batch}, {settings.optimiser} {rate_text(settings)}, seed {settings.seed}"
        )
    start = time.monotonic()
    losses: list[float] = []
    with Working("epoch", settings.epochs) as work:

        def heard(epoch: int, loss: float, rate: float) -> None:
            elapsed = time.monotonic() - start
            tell(
                f"epoch {epoch + 1}/{settings.epochs}  loss {loss:.3e}  lr {rate:g}  "
                f"{elapsed:.0f} s"
            )
            losses.append(loss)
            work.at(f"{epoch + 2}", epoch + 1)

        try:
            run_training(lambda: build_module(source), people, settings, run, tell=heard)
        except TrainingDivergedError as error:
            if first:
                raise
            raise SystemExit(error.exit_code) from error  # all agree; the first one tells
        except KeyboardInterrupt:
            if first:
                tell(f"gadprof: interrupted; {_way_on(run)}")
            return 130
    if not first:
        return 0
    record_training(
        source.name,
        settings_dict(settings),
        losses,
        data=f"{split.annotations.name}, {len(people)} persons",
        seconds=time.monotonic() - start,
        weights=run.out / WEIGHTS,
        store=store,
    )
    done: dict[str, Any] = {
        "model": source.name,
        "weights": str(run.out / WEIGHTS),
        "settings": settings_dict(settings),
        "persons": len(people),
        "losses": losses,
        "train_s": time.monotonic() - start,
        "machine": describe_machine(),
    }
    show(Output(output_format or "table"), training_page(done))
    return 0


def training_page(done: Mapping[str, Any]) -> Page:
    """What was trained, where its weights are, and each epoch's mean loss for programs."""
    from gadprof.results.page import Page, Section
    from gadprof.results.table import Column, Table

    losses = done["losses"]
    columns = (
        Column("model", "model", rank=0),
        Column("persons", "persons", "count", rank=2),
        Column("epochs", "epochs", "count", rank=1),
        Column("loss", "last loss", rank=1),
        Column("train_s", "time", "seconds", rank=1),
        Column("weights", "weights", place="exact"),
    )
    loss = f"{losses[-1]:.3e}" if losses else None
    row = (done["model"], done["persons"], len(losses), loss, done["train_s"], done["weights"])
    run = Table("run", "", columns, (row,))
    first = done["settings"]["epochs"] - len(losses) + 1  # a resumed run has its last epochs alone
    epochs = Table(
        "epochs",
        "",
        (Column("epoch", "epoch"), Column("loss", "loss")),
        tuple(enumerate(losses, start=first)),
    )
    words = (f"trained; the weights are in {done['weights']}",)
    return Page("train", "train", (Section("train", "", words, (run,)),), done, frame=epochs)


def _run_settings(folder: Path, where: Where) -> RunSettings:
    from gadprof.pose.training import RunSettings, make_folder

    return RunSettings(
        out=make_folder(folder),
        accelerator=where.device,
        devices=where.devices,
        nodes=where.nodes,
        precision=where.precision,
        workers=where.workers,
        save_every=where.save_every,
        logger=where.logger,
        resume=where.resume,
    )


def _first_process() -> bool:
    """Whether this process speaks: the others of a run repeat this command."""
    import os

    return all(int(os.environ.get(name, "0")) == 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def _way_on(run: RunSettings) -> str:
    """How an interrupted run goes on."""
    import sys

    from gadprof.pose.checkpoints import LAST

    if not (run.out / LAST).exists():
        return "no epoch was finished, so nothing is kept"
    words = [word for word in sys.argv[1:] if word != "--resume"]
    again = shlex.join(["gadprof", *words, "--resume"]) if words[:1] == ["train"] else "--resume"
    return f"go on with: {again}"
