"""``gadprof formula --measure``: each closed form's block against the ordinary convolution."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gadprof.errors import SpecError
from gadprof.formulas.formula import DEFAULTS, Formula
from gadprof.measuring.block_pairs import Factory, MeasuredPair, measure_pairs
from gadprof.measuring.settings import Setting
from gadprof.output import tell, write_atomic
from gadprof.render.progress import Working
from gadprof.report.formula_page import NOT_MEASURED
from gadprof.store.recording import MeasurementRecorder, block_name

if TYPE_CHECKING:
    from gadprof.measuring.block_pairs_log import PointLog
    from gadprof.results.page import Page

FACTORY = "gadprof.audit.verify:block_example"


def factories(point: Formula) -> tuple[Factory, Factory]:
    """The factories of a point's block and of the ordinary convolution that it replaces.

    Raises SpecError for a form without a module or without a reference.
    """
    from gadprof.networks.blocks.names import FORMULA_BLOCKS, MODULE_BLOCKS

    single = [name for name in FORMULA_BLOCKS if name not in ("conv", *MODULE_BLOCKS)]
    if point.block not in single or point.reference is None:
        raise SpecError(
            f"block {point.block!r} cannot be measured against a convolution; try "
            + ", ".join(single)
        )
    inputs = {name: int(value) for name, value in point.inputs.items()}
    plain = {name: value for name, value in inputs.items() if name in DEFAULTS}
    return (
        {"function": FACTORY, "arguments": {"block": point.block, "inputs": inputs}},
        {"function": FACTORY, "arguments": {"block": "conv", "inputs": plain}},
    )


def measure_points(
    points: Sequence[Formula],
    setting: Setting,
    *,
    precision: float,
    point_limit_s: float,
    recorder: MeasurementRecorder,
    log: PointLog | None = None,
) -> tuple[tuple[MeasuredPair, ...], bool]:
    """Measure every point that ``log`` has not, with progress on a terminal.

    Returns the points in order, and whether Ctrl-C ended it before the last one.
    """
    pairs = [factories(point) for point in points]
    known = {n: pair for n, p in enumerate(points) if log and (pair := log.get(block_name(p)))}
    if known:
        tell(f"gadprof: {len(known)} of {len(points)} points are measured already")
    wanted = [number for number in range(len(points)) if number not in known]
    interrupted = False

    def on_turn(index: int, seat: int, used: Setting, samples: Sequence[float]) -> None:
        number = wanted[index]
        name = block_name(points[number], None if seat else "conv")
        recorder.turn(2 * number + seat, name, used, samples)

    found = measure_pairs(
        [pairs[number] for number in wanted],
        setting,
        precision=precision,
        point_limit_s=point_limit_s,
        on_turn=on_turn,
    )
    with Working("measuring", len(pairs)) as work:
        try:
            for number, pair in zip(wanted, found, strict=True):
                _keep(recorder, number, pair)
                known[number] = pair
                if log is not None and pair.error is None:
                    log.put(block_name(points[number]), pair)
                work.at(f"{pair.speed_up:.2f} x" if pair.speed_up else "failed", len(known))
        except KeyboardInterrupt:
            interrupted = True
    missing = MeasuredPair(None, None, None, error=NOT_MEASURED)
    return tuple(known.get(number, missing) for number in range(len(points))), interrupted


def log_path(page: str) -> Path:
    """The file that holds the points of an unfinished page."""
    target = Path(page)
    return target.parent / "data" / f"{target.stem}.part.jsonl"


def page_log(page: str, setting: Setting, precision: float, point_limit_s: float) -> PointLog:
    """The points that an unfinished page has so far, in its data folder."""
    from gadprof.measuring.block_pairs_log import PointLog
    from gadprof.results.plain import describe_machine

    machine = describe_machine()
    return PointLog(
        log_path(page),
        {
            "setting": setting,
            "precision": precision,
            "point_limit_s": point_limit_s,
            "cpu": machine.cpu,
            "cores": machine.cores,
            "packages": machine.packages,
        },
    )


def _keep(recorder: MeasurementRecorder, number: int, pair: MeasuredPair) -> None:
    """Complete the store's entries of a pair: the convolution's and the block's."""
    reference = {"latency_s": {"median": pair.reference_latency_s}, "error": pair.error}
    recorder.finish_row(2 * number, {**reference, "peak_bytes": pair.reference_peak_bytes})
    recorder.finish_row(
        2 * number + 1,
        {
            "latency_s": {"median": pair.latency_s},
            "speed_up": pair.speed_up,
            "ci95": pair.ci95,
            "memory_ratio": pair.memory_ratio,
            "peak_bytes": pair.peak_bytes,
            "error": pair.error,
        },
    )


def write_page(
    page: str, points: Sequence[Formula], measured: Sequence[MeasuredPair], setting: Setting
) -> list[Path]:
    """Write the page with its plots and data beside it; returns the files. Raises OutputError.

    The machine's peaks are measured for it: they bound what the blocks could reach.
    """
    from gadprof.measuring.explain.explain import measured_peaks
    from gadprof.output import check_writable
    from gadprof.report.formula_page import formula_page

    target = check_writable(page)
    shown = formula_page(
        target.stem, points, measured, setting, typed_command(), measured_peaks(setting)
    )
    return list(write_files(page, shown))


def typed_command() -> str:
    """The command line as it can be typed again."""
    import shlex

    return shlex.join(["gadprof", *sys.argv[1:]])


def write_files(name: str, page: Page) -> Iterator[Path]:
    """Write a page with its plots and data, each file's path as it is there. Raises OutputError."""
    from gadprof.output import check_writable
    from gadprof.render.page_files import page_files

    target = check_writable(name)
    for file, content in page_files(page).items():
        path = target.parent / file
        path.parent.mkdir(exist_ok=True)
        yield write_atomic(path, content)
