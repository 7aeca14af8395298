"""``gadprof ablate``: the paper's four variants counted, and trained where data are given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gadprof.commands.option_types import DURATION, Count, Number
from gadprof.commands.options import command, format_option, option, packed, store_option
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, emit, tell, write_atomic
from gadprof.render.progress import Working


@dataclass(frozen=True)
class Recipe:
    """How the variants are trained; None leaves the paper's value."""

    epochs: int | None
    batch: int | None
    lr: float | None
    schedule: str | None
    foreground: float | None
    warmup: int | None
    augment: bool | None


@dataclass(frozen=True)
class Training:
    """On what the variants are trained and scored, and where the runs go."""

    data: str | None
    train_split: str
    test_split: str
    seeds: str
    runs: str


@dataclass(frozen=True)
class Page:
    """Where the result goes: a page and its data in a folder, or standard output in a form."""

    folder: str | None
    name: str
    output_format: str | None


@command(name="ablate")
@click.option("--overrides", default="", metavar="KNOB=VALUE,…", help="The same for all.")
@click.option(
    "--also", multiple=True, metavar="MODEL", help="One more, beside the four; repeat it."
)
@click.option("--input", "input_text", default="256x192", show_default=True, metavar="HxW")
@click.option("--measure", is_flag=True, help="Measure latency, interleaved.")
@click.option(
    "--time-limit", type=DURATION, default="60s", show_default=True, help="For --measure."
)
@packed(
    "training",
    Training,
    click.option("--data", metavar="DIR", help="COCO layout to train and evaluate on."),
    click.option("--train-split", default="train2017", show_default=True),
    click.option("--test-split", default="val2017", show_default=True),
    click.option("--seeds", default="0", show_default=True, metavar="N,…", help="Seeds."),
    click.option("--runs", default="runs/ablation", show_default=True, help="Folder of the runs."),
)
@packed(
    "recipe",
    Recipe,
    click.option("--epochs", type=Count(1, 1_000_000), help="Epochs.  [paper: 260]"),
    click.option("--batch", type=Count(1, 65536), help="Persons a step.  [paper: 48]"),
    click.option("--lr", type=Number(0, 1e6, above=True), help="Learning rate.  [paper: 0.001]"),
    click.option("--schedule", help="How the rate falls: step or cosine.  [paper: step]"),
    click.option(
        "--foreground", type=Number(0, 1e6), help="Weigh a cell by 1 + A times its target.  [0]"
    ),
    click.option(
        "--warmup", type=Count(0, 1_000_000), help="Epochs over which the rate rises first.  [0]"
    ),
    click.option("--augment/--no-augment", default=None, help="Random changes.  [default: on]"),
)
@packed(
    "page",
    Page,
    option(
        "-o",
        "--output",
        "folder",
        metavar="FOLDER",
        help="Write NAME.md and NAME.json into this folder.",
    ),
    click.option("--name", default="ablation", show_default=True, help="The files' name, for -o."),
    format_option(),
)
@store_option
def ablate(
    overrides: str,
    also: tuple[str, ...],
    input_text: str,
    measure: bool,
    time_limit: float,
    training: Training,
    recipe: Recipe,
    page: Page,
    store: str | None,
) -> None:
    """Count HRNet, Ghost, Ghost+SE and GADNet; with --data also train and evaluate each."""
    from gadprof.models.sources import parse_shapes
    from gadprof.pose.ablation import variant_names
    from gadprof.results.escape import file_stem

    if file_stem(page.name) != page.name:
        raise click.BadParameter(f"{page.name!r} is no file name here", param_hint="--name")
    from gadprof.pose.pages import ablation_page
    from gadprof.render.markdown import page_markdown
    from gadprof.results.plain import describe_machine, to_json

    shape = parse_shapes((input_text,))[0]
    if page.folder is not None:
        check_writable(Path(page.folder) / f"{page.name}.md")
    numbers = _seeds(training.seeds)
    if training.data is not None:
        _check_training(training)
    variants = _counted(variant_names(overrides, also), shape, measure, time_limit, store)
    budget: dict[str, Any] = {}
    if training.data is not None:
        variants, budget = _scored(variants, training, recipe, shape, numbers, store)
    machine = describe_machine()
    made = ablation_page(variants, budget, machine, page.name, shape)
    if page.folder is not None:
        target = Path(page.folder) / f"{page.name}.md"
        write_atomic(target.with_suffix(".json"), to_json(made.json()))
        write_atomic(target, page_markdown(made, str, [("JSON", f"{page.name}.json")]))
        if page.output_format is None:
            emit(f"wrote {target}")
            return
        tell(f"wrote {target}")
    if page.output_format == "md":
        emit(page_markdown(made, str))
    else:
        out = Output(page.output_format or "table")
        show(out, made)


def _check_training(training: Training) -> None:
    """Refuse to train where an extra or a split is missing. Raises MissingExtraError, DataError."""
    from gadprof.pose.coco import find_split, spare
    from gadprof.pose.extra import require

    require("gadprof ablate", "lightning", "cv2", "pycocotools", "scipy")
    for split in (training.train_split, training.test_split):
        spare(find_split(training.data, split), training.runs)


def _scored(
    variants: list[Any],
    training: Training,
    recipe: Recipe,
    shape: tuple[int, ...],
    seeds: tuple[int, ...],
    store: str | None,
) -> tuple[list[Any], dict[str, Any]]:
    """The variants trained and scored, and what each was given."""
    from gadprof.pose.ablation import accuracies
    from gadprof.pose.coco import find_split
    from gadprof.store.recording import record_accuracies

    assert training.data is not None
    changes = dataclasses.asdict(recipe) | {"height": shape[1], "width": shape[2]}
    if recipe.epochs is not None and recipe.schedule != "cosine":
        changes["milestones"] = (max(1, recipe.epochs * 170 // 260),)
    names = (training.train_split, training.test_split)
    variants = _trained(variants, training, changes, seeds)
    told = {key: value for key, value in changes.items() if value is not None}
    told["data"] = f"{Path(training.data).name} ({_persons(training.data, *names)})"
    test = find_split(training.data, training.test_split)
    record_accuracies(accuracies(variants, test, shape, told), store=store)
    return variants, {**told, "seeds": ", ".join(map(str, seeds))}


def _persons(data: str, *names: str) -> str:
    """How many persons the training and the test split hold, in words. Raises DataError."""
    from gadprof.pose.coco import find_split, load_people

    train, test = (find_split(data, name) for name in names)
    count = len(load_people(train))
    if (train.annotations, train.images) == (test.annotations, test.images):
        return f"{count} persons, trained and scored on the same"
    return f"{count} persons, scored on {len(load_people(test))} others"


def _seeds(text: str) -> tuple[int, ...]:
    """``0,1,2`` as different integers from 0 on. Raises click.BadParameter."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise click.BadParameter(
            f"{text!r} is not a list of different seeds; type for example 0,1,2",
            param_hint="--seeds",
        )
    return tuple(map(int, parts))


def _counted(
    names: tuple[str, ...],
    shape: tuple[int, ...],
    measure: bool,
    time_limit_s: float,
    store: str | None,
) -> list[Any]:
    from gadprof.comparison.compare import compare_models, with_latency
    from gadprof.errors import SpecError
    from gadprof.pose.ablation import Variant
    from gadprof.render.live import live_view
    from gadprof.store.recording import MeasurementRecorder, record_rows

    with Working("counting", len(names)) as work:
        comparison = compare_models(names, shapes=(shape,), progress=work.at)
    for row in comparison.rows:
        if row.error is not None:
            raise SpecError(row.error)
    if measure:
        with MeasurementRecorder(store) as recorder, live_view() as view:
            comparison = with_latency(
                comparison, time_limit_s=time_limit_s, progress=view, recorder=recorder
            )
    record_rows(comparison.rows, store=store)
    return [
        Variant(
            row.model,
            row.params or 0,
            row.macs or 0,
            row.change_percent["params"] or 0.0,
            row.change_percent["macs"] or 0.0,
            row.latency_s,
            row.ratio,
        )
        for row in comparison.rows
    ]


def _trained(
    variants: list[Any], training: Training, changes: dict[str, Any], seeds: tuple[int, ...]
) -> list[Any]:
    import re

    from gadprof.pose.ablation import train_and_score
    from gadprof.pose.coco import find_split

    train = find_split(training.data, training.train_split)
    test = find_split(training.data, training.test_split)
    folder = Path(training.runs)
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Any] = []
    with Working("training", len(variants) * len(seeds)) as work:
        for item in variants:
            runs: list[Any] = []
            for seed in seeds:
                name = re.sub(r"[^A-Za-z0-9.=-]+", "_", f"{item.model}-seed{seed}")
                work.at(name, len(made) * len(seeds) + len(runs))
                runs.append(
                    train_and_score(
                        item.model, train, test, {**changes, "seed": seed}, folder / name, tell=tell
                    )
                )
            made.append(dataclasses.replace(item, runs=tuple(runs)))
    return made
