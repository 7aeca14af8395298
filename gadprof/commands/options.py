"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def parse_integers(text: str, option: str) -> tuple[int, ...]:
    """Read ``8``, ``8,16,32`` or a range ``16:64:8`` (end included) of positive integers.

    Raises click.BadParameter.
    """
    values: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?::(\d+)(?::(\d+))?)?\s*", part)
        if match is None:
            raise click.BadParameter(
                f"{part!r} is not a positive integer or a range like 16:64:8", param_hint=option
            )
        start, stop, step = match.groups()
        if stop is None:
            values.append(int(start))
        else:
            values.extend(range(int(start), int(stop) + 1, max(1, int(step or 1))))
    if not values or any(value <= 0 for value in values):
        raise click.BadParameter(f"{text!r} must be positive", param_hint=option)
    return tuple(values)


def input_option(function: Function) -> Function:
    """``--input 3x256x192`` (repeatable for several inputs), as ``input_texts``."""
    return click.option(
        "--input",
        "input_texts",
        multiple=True,
        metavar="CxHxW",
        help="Input shape without the batch; repeat for several inputs.",
    )(function)


def typed_input_option(function: Function) -> Function:
    """``--input [NAME=]SHAPE[:TYPE]``, as ``input_texts``, for models of any signature."""
    return click.option(
        "--input",
        "input_texts",
        multiple=True,
        metavar="[NAME=]CxHxW[:TYPE]",
        help="Input shape without the batch; NAME= passes it by keyword, :int64 sets its type; "
        "repeat for several inputs.",
    )(function)


def batch_option(function: Function) -> Function:
    """``--batch N``, as ``batch``."""
    return click.option(
        "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Batch size."
    )(function)


def output_option(function: Function) -> Function:
    """``-o FILE``, as ``output``."""
    return click.option(
        "-o", "--output", metavar="FILE", help="Write to a file instead of standard output."
    )(function)


def format_option(*choices: str) -> Callable[[Function], Function]:
    """``--format``, as ``output_format``; the first choice is the default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="How to print the result.",
    )


def store_option(function: Function) -> Function:
    """``--store PATH``, as ``store``: the results store, or ``off``."""
    return click.option(
        "--store",
        metavar="PATH",
        help="Results store, or 'off'; default $GADPROF_STORE, else the user's data folder.",
    )(function)


def baseline_option(function: Function) -> Function:
    """``--baseline NAME|FILE|GIT-REF``, as ``baseline``."""
    return click.option(
        "--baseline",
        metavar="NAME|FILE|REF",
        help="Compare with kept figures: a name in the store, a JSON file, or a git ref.",
    )(function)


def save_as_option(function: Function) -> Function:
    """``--save-as NAME``, as ``save_as``: keep the results under a baseline's name."""
    return click.option(
        "--save-as", metavar="NAME", help="Keep the results in the store under this baseline name."
    )(function)


def complete_models(context: click.Context, argument: click.Parameter, typed: str) -> list[str]:
    """Presets and the prefixes of other model strings, for a shell's completion."""
    from gadprof.networks.spec import known_presets

    names = (*known_presets(), "timm:", "torchvision:", "transformers:")
    return [name for name in names if name.startswith(typed)]


def tell_pieces() -> Callable[[int, int], None]:
    """A function that says on a terminal how many of a cluster's tasks are done, and what is left.

    The rate is that of this run: tasks that an earlier one finished take no time.
    """
    started = time.monotonic()
    ran = 0

    def tell(done: int, total: int) -> None:
        nonlocal ran
        ran += 1
        if sys.stderr.isatty():
            rate = ran / max(time.monotonic() - started, 1e-9)
            text = f"\r{done}/{total} tasks, {rate:.2g}/s, {(total - done) / rate:.0f} s left   "
            click.echo(text, nl=done == total, err=True)

    return tell
