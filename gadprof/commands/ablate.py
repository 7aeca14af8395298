"""``gadprof ablate``: the paper's four variants counted, and trained where data are given."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from gadprof.commands.options import store_option


@click.command(name="ablate")
@click.option("--overrides", default="", metavar="KNOB=VALUE,…", help="The same for all four.")
@click.option("--input", "input_text", default="256x192", show_default=True, metavar="HxW")
@click.option("--measure", is_flag=True, help="Measure latency, interleaved.")
@click.option("--time-limit", default="60s", show_default=True, help="For --measure.")
@click.option("--data", metavar="DIR", help="COCO layout to train and evaluate on.")
@click.option("--train-split", default="train2017", show_default=True)
@click.option("--test-split", default="val2017", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs.  [paper: 260]")
@click.option("--batch", type=click.IntRange(min=1), help="Persons a step.  [paper: 48]")
@click.option("--lr", type=float, help="Learning rate.  [paper: 0.001]")
@click.option("--schedule", help="How the rate falls: step or cosine.  [paper: step]")
@click.option("--foreground", type=float, help="Weigh a cell by 1 + A times its target.  [0]")
@click.option("--warmup", type=int, help="Epochs over which the rate rises first.  [0]")
@click.option("--augment/--no-augment", default=None, help="Random changes.  [default: on]")
@click.option("--seeds", default="0", show_default=True, metavar="N,…", help="Seeds.")
@click.option("--runs", default="runs/ablation", show_default=True, help="Folder of the runs.")
@click.option("-o", "--output", metavar="FOLDER", help="Write NAME.md and NAME.json.")
@click.option("--name", default="ablation", show_default=True, help="The files' name, for -o.")
@store_option
def ablate(
    overrides: str,
    input_text: str,
    measure: bool,
    time_limit: str,
    data: str | None,
    train_split: str,
    test_split: str,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    schedule: str | None,
    foreground: float | None,
    warmup: int | None,
    augment: bool | None,
    seeds: str,
    runs: str,
    output: str | None,
    name: str,
    store: str | None,
) -> None:
    """Count HRNet, Ghost, Ghost+SE and GADNet; with --data also train and evaluate each."""
    from pathlib import Path

    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit, write_atomic
    from gadprof.pose.ablation import accuracies, variant_names
    from gadprof.pose.extra import require
    from gadprof.pose.pages import ablation_page
    from gadprof.render.markdown import page_markdown
    from gadprof.results.plain import describe_machine, to_json
    from gadprof.store.recording import record_accuracies

    shape = parse_shapes((input_text,))[0]
    if output is not None:
        check_writable(Path(output) / f"{name}.md")
    numbers = _seeds(seeds)
    if data is not None:
        require("gadprof ablate", "lightning", "cv2", "pycocotools", "scipy")
        from gadprof.pose.coco import find_split, spare

        for split in (train_split, test_split):
            spare(find_split(data, split), runs)
    names = variant_names(overrides)
    variants = _counted(names, shape, measure, time_limit, store)
    budget: dict[str, Any] = {}
    if data is not None:
        changes: dict[str, Any] = {"epochs": epochs, "batch": batch, "lr": lr}
        changes |= {"schedule": schedule, "warmup": warmup, "augment": augment}
        changes["foreground"] = foreground
        changes |= {"height": shape[1], "width": shape[2]}
        if epochs is not None and schedule != "cosine":
            changes["milestones"] = (max(1, epochs * 170 // 260),)
        variants = _trained(variants, data, train_split, test_split, changes, numbers, Path(runs))
        told = {key: value for key, value in changes.items() if value is not None}
        told["data"] = f"{Path(data).name} ({_persons(data, train_split, test_split)})"
        budget = {**told, "seeds": ", ".join(map(str, numbers))}
        test = find_split(data, test_split)
        record_accuracies(accuracies(variants, test, shape, told), store=store)
    machine = describe_machine()
    page = ablation_page(variants, budget, machine, name, shape)
    if output is None:
        emit(page_markdown(page, str))
        return
    write_atomic(Path(output) / f"{name}.json", to_json(page.json()))
    write_atomic(Path(output) / f"{name}.md", page_markdown(page, str, [("JSON", f"{name}.json")]))
    click.echo(f"wrote {Path(output) / f'{name}.md'}")


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
    time_limit: str,
    store: str | None,
) -> list[Any]:
    from gadprof.commands.option_types import parse_duration
    from gadprof.comparison.compare import compare_models, with_latency
    from gadprof.errors import SpecError
    from gadprof.pose.ablation import Variant
    from gadprof.store.recording import MeasurementRecorder, record_rows

    comparison = compare_models(names, shapes=(shape,))
    for row in comparison.rows:
        if row.error is not None:
            raise SpecError(row.error)
    if measure:
        seconds = parse_duration(time_limit, "--time-limit")
        with MeasurementRecorder(store) as recorder:
            comparison = with_latency(comparison, time_limit_s=seconds, recorder=recorder)
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
    variants: list[Any],
    data: str,
    train_split: str,
    test_split: str,
    changes: dict[str, Any],
    seeds: tuple[int, ...],
    folder: Any,
) -> list[Any]:
    import re

    from gadprof.pose.ablation import train_and_score
    from gadprof.pose.coco import find_split

    train, test = find_split(data, train_split), find_split(data, test_split)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for item in variants:
        found = []
        for seed in seeds:
            name = re.sub(r"[^A-Za-z0-9.=-]+", "_", f"{item.model}-seed{seed}")
            found.append(
                train_and_score(
                    item.model, train, test, {**changes, "seed": seed}, folder / name,
                    tell=lambda text: click.echo(text, err=True),
                )
            )  # fmt: skip
        made.append(dataclasses.replace(item, runs=tuple(found)))
    return made
