"""``gadprof formula``: closed forms of a block, beside the ordinary convolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.option_types import (
    BLOCKS,
    COUNTERS,
    DURATION,
    SHARE,
    THREADS,
    Integers,
)
from gadprof.commands.options import command, option, packed, result_options, store_option
from gadprof.commands.show import show
from gadprof.formulas.formula import Formula
from gadprof.formulas.formula import formula as evaluate
from gadprof.output import Output, check_writable, tell

if TYPE_CHECKING:
    from gadprof.measuring.block_pairs import MeasuredPair
    from gadprof.results.page import Page

GRID_LIMIT = 100_000


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is not a size; type 64x48", param_hint="--hw")
    return int(parts[0]), int(parts[1])


@dataclass(frozen=True)
class Grid:
    """The blocks and the values of their inputs; every combination is a point."""

    block_text: str
    c_in: tuple[int, ...] | None
    at: str | None
    c_out: tuple[int, ...] | None
    k: tuple[int, ...]
    d: tuple[int, ...]
    s: tuple[int, ...]
    r: tuple[int, ...] | None
    hw: str
    stride: tuple[int, ...] | None
    extra_texts: tuple[str, ...]


@dataclass(frozen=True)
class Tried:
    """Whether the real blocks are counted, and timed."""

    verifying: bool
    backends: str
    measuring: bool
    precision: float
    point_limit: float
    threads: int
    runtimes: str | None
    page: str | None


_INTEGERS = Integers(1 << 24)
_GRID = (
    click.option(
        "--block",
        "block_text",
        type=BLOCKS,
        default="ga",
        show_default=True,
        help="Block or blocks of those below, or all.",
    ),
    option(
        "--c-in",
        "c_in",
        aliases=("--cin",),
        type=_INTEGERS,
        metavar="N[,N…]",
        help="Input channels; this or --at is needed.",
    ),
    click.option(
        "--at",
        metavar="C:HxW[,…]",
        help="Channels and size together, as in 32:64x48,64:32x24, for --c-in and --hw.",
    ),
    option(
        "--c-out",
        "c_out",
        aliases=("--cout",),
        type=_INTEGERS,
        metavar="N[,N…]",
        help="Output channels.  [default: those of the input]",
    ),
    click.option(
        "--k",
        type=_INTEGERS,
        default="3",
        show_default=True,
        metavar="N[,N…]",
        help="Kernel of the convolution.",
    ),
    click.option(
        "--d",
        type=_INTEGERS,
        default="3",
        show_default=True,
        metavar="N[,N…]",
        help="Kernel of the cheap operation.",
    ),
    click.option(
        "--s",
        type=_INTEGERS,
        default="2",
        show_default=True,
        metavar="N[,N…]",
        help="All maps to intrinsic maps.",
    ),
    click.option(
        "--r",
        type=_INTEGERS,
        metavar="N[,N…]",
        help="Reduction of the attention.  [default: 16, and 8 for ccw]",
    ),
    click.option(
        "--hw",
        default="64x48",
        show_default=True,
        metavar="HxW[,HxW…]",
        help="Output size, or several.",
    ),
    click.option(
        "--stride", type=_INTEGERS, metavar="N[,N…]", help="Stride.  [default: 1, and 2 for gd]"
    ),
    click.option(
        "--with",
        "extra_texts",
        multiple=True,
        metavar="NAME=N[,N…]",
        help="Further input of a block.",
    ),
)
_TRIED = (
    click.option("--verify", "verifying", is_flag=True, help="Build each block and count it."),
    click.option(
        "--backends",
        type=COUNTERS,
        default="all",
        show_default=True,
        metavar="all|NAME,…",
        help="Counters for --verify.",
    ),
    click.option("--measure", "measuring", is_flag=True, help="Time each block and a convolution."),
    click.option(
        "--precision",
        type=SHARE,
        default="5%",
        show_default=True,
        help="Of a measured speed-up.",
    ),
    click.option(
        "--point-limit",
        type=DURATION,
        default="2s",
        show_default=True,
        help="Sampling time of a point.",
    ),
    click.option("--threads", type=THREADS, default=1, show_default=True, help="For --measure."),
    click.option(
        "--runtime",
        "runtimes",
        metavar="NAME[:PRECISION],…",
        help="Where --measure times them, as in onnxruntime,openvino:int8.  [default: eager]",
    ),
    click.option("--page", metavar="FILE", help="Write a page with plots of --measure, like f.md."),
)


@command(name="formula", example="gadprof formula --c-in 64")
@packed("grid", Grid, *_GRID)
@packed("tried", Tried, *_TRIED)
@result_options("latex")
@store_option
def formula(grid: Grid, tried: Tried, out: Output, store: str | None) -> int:
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
    points = _points(grid)
    verified: list[dict[str, Any]] | None = None
    if tried.verifying:
        from gadprof.store.recording import record_verified

        verified = _verify(points, tried.backends)
        record_verified(points, verified, store=store)
    measured: Sequence[MeasuredPair] | None = None
    interrupted = False
    if tried.runtimes is not None:
        return _in_runtimes(points, tried, out, store)
    if tried.measuring or tried.page is not None:
        measured, interrupted = _measure(points, tried, store)
    if out.form == "json":
        from gadprof.formulas.page import point_object
        from gadprof.results.plain import to_json

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
            document |= _circumstances(tried.threads)
        out.emit(to_json(document))
    elif measured is not None:
        show(out, _measured_page(points, measured))
    elif len(points) == 1 and out.form == "table":
        first = verdict(points[0])
        if first and out.color:
            first = f"\x1b[1m{first}\x1b[0m"
        shown = describe(points[0], verified[0] if verified else None)
        out.emit(f"{first}\n\n{shown}" if first else shown)
    else:
        from gadprof.formulas.page import grid_table
        from gadprof.results.page import page_of

        show(out, page_of(grid_table(points, verified), document={}, name="formula"))
    ours = [row["gadprof"] for row in verified or () if "gadprof" in row]
    if interrupted:
        return 130
    failed = any(pair.error for pair in measured or ())
    return 1 if failed or any(not row.equal for row in ours) else 0


def _in_runtimes(points: list[Formula], tried: Tried, out: Output, store: str | None) -> int:
    """Measure in the runtimes named, and show where blocks pay."""
    from gadprof.commands.formula_runtimes import (
        measure_in_runtimes,
        read_runtimes,
        show_runtimes,
    )

    assert tried.runtimes is not None
    if not tried.measuring and tried.page is None:
        raise click.UsageError("--runtime is where --measure times blocks; add --measure")
    settings = read_runtimes(tried.runtimes, tried.threads)
    if tried.page is not None:
        check_writable(tried.page)
    measured, interrupted = measure_in_runtimes(
        points, settings, precision=tried.precision, point_limit_s=tried.point_limit, store=store,
        page=tried.page,
    )  # fmt: skip
    show(out, show_runtimes(points, measured, None if interrupted else tried.page))
    if interrupted:
        rest = "; the same command goes on" if tried.page is not None else ""
        tell(f"gadprof: interrupted; the points so far are above{rest}")
        return 130
    return 1 if any(pair.error for _, pairs in measured for pair in pairs) else 0


def _places(grid: Grid) -> tuple[tuple[int | None, int, int], ...]:
    """Channels (None where they are an axis of their own), height and width of every size."""
    if grid.at is None:
        if grid.c_in is None:
            raise click.UsageError("no channels; type for example --c-in 64, or --at 64:32x24")
        return tuple((None, *_size(part)) for part in grid.hw.split(","))
    if grid.c_in is not None:
        raise click.UsageError("--at says the channels and sizes; leave --c-in out")
    found: list[tuple[int | None, int, int]] = []
    for part in grid.at.split(","):
        channels, colon, size = part.strip().partition(":")
        if not (colon and channels.isdigit() and int(channels) > 0):
            raise click.BadParameter(f"{part!r} is not C:HxW; type 64:32x24", param_hint="--at")
        found.append((int(channels), *_size(size)))
    return tuple(found)


def _points(grid: Grid) -> list[Formula]:
    """Every combination of the options' values, in the order of the options."""
    names = ("c_in", "c_out", "k", "d", "s", "r", "stride")
    axes: dict[str, tuple[Any, ...]] = {
        name: getattr(grid, name) for name in names if getattr(grid, name) is not None
    }
    for text in grid.extra_texts:
        name, equals, typed = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=N", param_hint="--with")
        axes[name] = Integers(1 << 24).convert(typed, None, None)
    sizes = _places(grid)
    blocks = tuple(part.strip() for part in grid.block_text.split(",") if part.strip())
    if blocks == ("all",):
        from gadprof.networks.blocks.names import FORMULA_BLOCKS, MODULE_BLOCKS

        blocks = tuple(n for n in FORMULA_BLOCKS if n not in ("conv", *MODULE_BLOCKS))
    count = len(sizes) * len(blocks)
    for values in axes.values():
        count *= len(values)
    if count > GRID_LIMIT:
        raise click.UsageError(f"a grid of {count:,} points is too large; keep to {GRID_LIMIT:,}")
    points: list[Formula] = []
    for block in blocks:
        for combination in itertools.product(*axes.values()):
            inputs = dict(zip(axes, combination, strict=True))
            for channels, h, w in sizes:
                c_in = inputs["c_in"] if channels is None else channels
                both = {**inputs, "c_in": c_in, "c_out": inputs.get("c_out", c_in)}
                points.append(evaluate(block, **both, h=h, w=w))
    return points


def _verify(points: list[Formula], backends: str) -> list[dict[str, Any]]:
    from gadprof.audit.backends import parse_backends
    from gadprof.audit.verify import verify
    from gadprof.render.progress import Working

    names = parse_backends(backends)
    results = []
    with Working("verifying", len(points)) as work:
        for index, point in enumerate(points):
            work.at(point.block, index)
            results.append(verify(point, names))
    return results


def _measure(
    points: list[Formula], tried: Tried, store: str | None
) -> tuple[Sequence[MeasuredPair], bool]:
    from gadprof.commands.formula_measure import measure_points, page_log, write_page
    from gadprof.measuring.settings import Setting
    from gadprof.store.recording import MeasurementRecorder

    page = tried.page
    if page is not None:
        check_writable(page)
    setting = Setting(threads=tried.threads)
    log = page_log(page, setting, tried.precision, tried.point_limit) if page is not None else None
    with MeasurementRecorder(store) as recorder:
        measured, interrupted = measure_points(
            points,
            setting,
            precision=tried.precision,
            point_limit_s=tried.point_limit,
            recorder=recorder,
            log=log,
        )
    if interrupted:
        rest = f"; {page} is left as it was, the same command goes on" if page is not None else ""
        tell(f"gadprof: interrupted; the points so far follow{rest}")
    elif page is not None and log is not None:
        for path in write_page(page, points, measured, setting):
            tell(f"wrote {path}")
        if not any(pair.error for pair in measured):
            log.remove()
    return measured, interrupted


def _circumstances(threads: int) -> dict[str, Any]:
    """Setting and machine of the measured figures."""
    from gadprof.measuring.settings import Setting
    from gadprof.results.plain import describe_machine

    return {"setting": Setting(threads=threads), "machine": describe_machine()}


def _measured_page(points: list[Formula], measured: Sequence[MeasuredPair]) -> Page:
    from gadprof.report.formula_page import measured_table, words
    from gadprof.results.page import page_of

    failures = dict.fromkeys(f"failed: {pair.error}" for pair in measured if pair.error)
    notes = (*words(points, measured), *failures)
    table = measured_table(points, measured, notes=notes)
    return page_of(table, document={}, name="formula")


def verdict(point: Formula) -> str:
    """The block against the convolution that it replaces, in one line; empty for that itself."""
    from gadprof.results.sentences import fewer, fewer_than

    other = point.reference
    if other is None or not (other.GG and other.GP):
        return ""
    macs = fewer_than(point.GG / other.GG, "MACs", "the convolution")
    return f"{point.block} needs {macs}, with {fewer(point.GP / other.GP, 'weights')}."


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
