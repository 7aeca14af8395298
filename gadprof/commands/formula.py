"""``gadprof formula``: closed forms of a block, beside the ordinary convolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.options import format_option, output_option, parse_integers, store_option
from gadprof.formulas.formula import Formula
from gadprof.formulas.formula import formula as evaluate

if TYPE_CHECKING:
    from gadprof.measuring.block_pairs import MeasuredPair

GRID_LIMIT = 100_000


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is not a size; type 64x48", param_hint="--hw")
    return int(parts[0]), int(parts[1])


@click.command(name="formula")
@click.option(
    "--block", "block_text", default="ga", show_default=True, help="Block or blocks of those below."
)
@click.option("--cin", required=True, metavar="N[,N…]", help="Input channels.")
@click.option("--cout", metavar="N[,N…]", help="Output channels  [default: cin]")
@click.option("--k", default="3", show_default=True, help="Kernel of the convolution.")
@click.option("--d", default="3", show_default=True, help="Kernel of the cheap operation.")
@click.option("--s", default="2", show_default=True, help="All maps to intrinsic maps.")
@click.option("--r", help="Reduction of the attention  [default: 16, and 8 for ccw]")
@click.option("--hw", default="64x48", show_default=True, help="Output size, or several.")
@click.option("--stride", help="Stride  [default: 1, and 2 for gd]")
@click.option(
    "--with", "extra_texts", multiple=True, metavar="NAME=N[,N…]", help="Further input of a block."
)
@click.option("--verify", "verifying", is_flag=True, help="Build each block and count it.")
@click.option("--backends", default="all", show_default=True, help="Counters for --verify.")
@click.option("--measure", "measuring", is_flag=True, help="Time each block and a convolution.")
@click.option("--precision", default="5%", show_default=True, help="Of a measured speed-up.")
@click.option("--point-limit", default="2s", show_default=True, help="Sampling time of a point.")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Threads for --measure.")
@click.option("--page", metavar="FILE", help="Write a page with plots of --measure, like f.md.")
@format_option("table", "json", "csv", "md", "latex")
@output_option
@store_option
def formula(
    block_text: str,
    hw: str,
    extra_texts: tuple[str, ...],
    verifying: bool,
    backends: str,
    measuring: bool,
    precision: str,
    point_limit: str,
    threads: int,
    page: str | None,
    output_format: str,
    output: str | None,
    store: str | None,
    **numbers: str | None,
) -> int:
    """Closed forms GP, GG and Rs of a block, every term apart, beside the ordinary convolution.

    Any number may be a list (32,64) or a range (32:128:32); several make a grid.

    \b
    Blocks, with their inputs beyond k and r as --with NAME=N:
      conv      ordinary convolution      ghost, ghost-se   d, s
      ga, gd    GADNet's, d, s            grouped           groups
      dwsep     MobileNet                 inverted          MobileNetV2, t
      shuffle1  ShuffleNet, groups        shuffle2          ShuffleNet V2
      se, cbam  conv and attention        sk                SKNet, groups
      dense     DenseNet, layers, q       dam               DAM-Net, layers, q
      stn       spatial transformer       mra               MRA-UNet
      ccw       Lite-HRNet, branches
    """
    from gadprof.formulas.page import grid_table, point_object
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render
    from gadprof.results.page import page_of
    from gadprof.results.plain import to_json

    if output is not None:
        check_writable(output)
    points = _points(block_text, hw, extra_texts, numbers)
    verified: list[dict[str, Any]] | None = None
    if verifying:
        from gadprof.store.recording import record_verified

        verified = _verify(points, backends)
        record_verified(points, verified, store=store)
    measured: Sequence[MeasuredPair] | None = None
    interrupted = False
    if measuring or page is not None:
        measured, interrupted = _measure(points, precision, point_limit, threads, page, store)
    if output_format == "json":
        objects = [
            point_object(
                point,
                verified[index] if verified else None,
                measured[index] if measured else None,
            )
            for index, point in enumerate(points)
        ]
        document = objects[0] if len(objects) == 1 else {"points": objects}
        if measured is not None:
            document |= _circumstances(threads)
        emit(to_json(document), output)
    elif measured is not None:
        emit(_measured_text(points, measured, output_format), output)
    elif len(points) == 1 and output_format == "table":
        emit(describe(points[0], verified[0] if verified else None), output)
    else:
        grid = page_of(grid_table(points, verified), document={}, name="formula")
        emit(render(grid, output_format), output)
    ours = [row["gadprof"] for row in verified or () if "gadprof" in row]
    if interrupted:
        return 130
    failed = any(pair.error for pair in measured or ())
    return 1 if failed or any(not row.equal for row in ours) else 0


def _points(
    block_text: str, hw: str, extra_texts: tuple[str, ...], numbers: dict[str, str | None]
) -> list[Formula]:
    """Every combination of the options' values, in the order of the options."""
    names = {"c_in": "cin", "c_out": "cout", "k": "k", "d": "d", "s": "s", "r": "r"}
    names["stride"] = "stride"
    axes: dict[str, tuple[Any, ...]] = {}
    for name, option in names.items():
        text = numbers[option]
        if text is not None:
            axes[name] = parse_integers(text, f"--{option}")
    for text in extra_texts:
        name, equals, typed = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=N", param_hint="--with")
        axes[name] = parse_integers(typed, "--with")
    sizes = tuple(_size(part) for part in hw.split(","))
    blocks = tuple(part.strip() for part in block_text.split(",") if part.strip())
    count = len(sizes) * len(blocks)
    for values in axes.values():
        count *= len(values)
    if count > GRID_LIMIT:
        raise click.UsageError(f"a grid of {count:,} points is too large; keep to {GRID_LIMIT:,}")
    points: list[Formula] = []
    for block in blocks:
        for combination in itertools.product(*axes.values()):
            inputs = dict(zip(axes, combination, strict=True))
            inputs.setdefault("c_out", inputs["c_in"])
            points.extend(evaluate(block, **inputs, h=h, w=w) for h, w in sizes)
    return points


def _verify(points: list[Formula], backends: str) -> list[dict[str, Any]]:
    import sys

    from gadprof.audit.backends import parse_backends
    from gadprof.audit.verify import verify

    names = parse_backends(backends)
    results = []
    for index, point in enumerate(points, start=1):
        if len(points) > 1 and sys.stderr.isatty():
            click.echo(f"\rverifying {index}/{len(points)}", nl=False, err=True)
        results.append(verify(point, names))
    if len(points) > 1 and sys.stderr.isatty():
        click.echo(err=True)
    return results


def _measure(
    points: list[Formula],
    precision: str,
    point_limit: str,
    threads: int,
    page: str | None,
    store: str | None,
) -> tuple[Sequence[MeasuredPair], bool]:
    from gadprof.commands.formula_measure import measure_points, page_log, write_page
    from gadprof.commands.option_types import parse_duration, parse_share
    from gadprof.measuring.settings import Setting
    from gadprof.output import check_writable
    from gadprof.store.recording import MeasurementRecorder

    share = parse_share(precision, "--precision")
    limit_s = parse_duration(point_limit, "--point-limit")
    if page is not None:
        check_writable(page)
    setting = Setting(threads=threads)
    log = page_log(page, setting, share, limit_s) if page is not None else None
    with MeasurementRecorder(store) as recorder:
        measured, interrupted = measure_points(
            points, setting, precision=share, point_limit_s=limit_s, recorder=recorder, log=log
        )
    if interrupted:
        rest = f"; {page} is left as it was, the same command goes on" if page is not None else ""
        click.echo(f"gadprof: interrupted; the points so far follow{rest}", err=True)
    elif page is not None and log is not None:
        for path in write_page(page, points, measured, setting):
            click.echo(f"wrote {path}", err=True)
        if not any(pair.error for pair in measured):
            log.remove()
    return measured, interrupted


def _circumstances(threads: int) -> dict[str, Any]:
    """Setting and machine of the measured figures."""
    from gadprof.measuring.settings import Setting
    from gadprof.results.plain import describe_machine

    return {"setting": Setting(threads=threads), "machine": describe_machine()}


def _measured_text(
    points: list[Formula], measured: Sequence[MeasuredPair], output_format: str
) -> str:
    from gadprof.render.tables import render
    from gadprof.report.formula_page import measured_table, words
    from gadprof.results.page import page_of

    failures = dict.fromkeys(f"failed: {pair.error}" for pair in measured if pair.error)
    notes = (*words(points, measured), *failures)
    table = measured_table(points, measured, notes=notes)
    return render(page_of(table, document={}, name="formula"), output_format)


def describe(point: Formula, verified: dict[str, Any] | None) -> str:
    """One point for a person: the formulas, the terms, the ordinary convolution, the check."""
    from gadprof.formulas.page import totals_table, verified_table
    from gadprof.render.console import table_console

    shown = {"c_in": "Cin", "c_out": "Cout", "h": "H", "w": "W"}
    read = point.uses or tuple(point.inputs)
    inputs = ", ".join(
        f"{shown.get(name, name)}={value}" for name, value in point.inputs.items() if name in read
    )
    derived = ", ".join(f"{name}={value}" for name, value in point.names.items())
    lines = [f"{point.block}: {inputs}" + (f"  ({derived})" if derived else ""), ""]
    for key in ("GP", "GG"):
        lines.append(f"  {point.symbols[key]}")
        lines.append(f"     = {point.substituted[key]}")
    lines.append(f"  {point.symbols['Rs']} = {point.substituted['Rs']}")
    if point.reference is not None:
        lines.append(f"  G / GG = {point.reference.GG} / {point.GG} = {point.Rs_macs:.4f}")
        lines.append(f"  limit: {point.limit}")
    lines.append("")
    table = table_console(totals_table(point))
    lines.append(table.rstrip("\n"))
    lines.append("")
    if point.note:
        lines.append(f"note: {point.note}")
    lines.append(f"source: {point.source}")
    if verified:
        lines.append("")
        lines.append(table_console(verified_table(point, verified)).rstrip("\n"))
    return "\n".join(lines) + "\n"
