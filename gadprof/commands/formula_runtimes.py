"""``gadprof formula --measure --runtime …``: where blocks pay, in each runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gadprof.formulas.formula import Formula
from gadprof.measuring.block_pairs import MeasuredPair
from gadprof.measuring.settings import Setting, read_runtime
from gadprof.output import tell

if TYPE_CHECKING:
    from gadprof.measuring.block_groups import BlockGroup
    from gadprof.measuring.block_pairs_log import PointLog
    from gadprof.results.page import Page
    from gadprof.store.recording import MeasurementRecorder

Measured = list[tuple[Setting, tuple[MeasuredPair, ...]]]


def read_runtimes(text: str, threads: int) -> tuple[Setting, ...]:
    """The settings that ``onnxruntime,openvino:int8`` names. Raises GadprofError."""
    from gadprof.errors import SettingError
    from gadprof.measuring.designs import check_runnable

    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        setting = read_runtime(part, threads=threads)
        check_runnable(setting)
        found.append(setting)
    if len(set(found)) != len(found) or not found:
        raise SettingError(f"--runtime {text!r} names no runtime, or one twice; type onnxruntime")
    return tuple(found)


def measure_in_runtimes(
    points: Sequence[Formula],
    settings: Sequence[Setting],
    *,
    precision: float,
    point_limit_s: float,
    store: str | None,
    page: str | None,
) -> tuple[Measured, bool]:
    """Measure every point in every runtime, and whether Ctrl-C ended it before the last one.

    With a page's name, points are kept beside it as they end, and the same command goes on. Raises
    SpecError where a block comes twice at one size, which the page could not tell apart.
    """
    from gadprof.commands.formula_measure import page_log
    from gadprof.measuring.block_groups import measure_group
    from gadprof.render.progress import Working
    from gadprof.report.formula_page import NOT_MEASURED
    from gadprof.store.recording import MeasurementRecorder, block_name

    check_distinct(points)
    groups = groups_of(points)
    found: dict[tuple[Setting, str], MeasuredPair] = {}
    interrupted = False
    total = len(points) * len(settings)
    with Working("measuring", total) as work:
        try:
            for setting in settings:
                log = page_log(page, setting, precision, point_limit_s) if page else None
                for group in groups:
                    work.at(f"{setting.runtime} {setting.dtype}", len(found))
                    left = _known(group, setting, log, found)
                    if len(left.names) < 2:
                        continue
                    with MeasurementRecorder(store) as recorder:
                        pairs = measure_group(
                            left, setting, precision=precision, block_limit_s=point_limit_s,
                            on_turn=recorder.turn,
                        )  # fmt: skip
                        _finish(recorder, left, pairs)
                    for name, pair in pairs.items():
                        found[setting, name] = pair
                        if log is not None and pair.error is None:
                            log.put(name, pair)
        except KeyboardInterrupt:
            interrupted = True
    missing = MeasuredPair(None, None, None, error=NOT_MEASURED)
    return [
        (setting, tuple(found.get((setting, block_name(point)), missing) for point in points))
        for setting in settings
    ], interrupted


def _finish(
    recorder: MeasurementRecorder, group: BlockGroup, pairs: Mapping[str, MeasuredPair]
) -> None:
    """Complete the store's entries of a group: the convolution's, where it ran, and the blocks'."""
    usual = next((pair.reference_latency_s for pair in pairs.values() if not pair.error), None)
    if usual is not None:
        recorder.finish_row(0, {"latency_s": {"median": usual}, "error": None})
    for place, name in enumerate(group.names[1:], 1):
        pair = pairs[name]
        result = {"latency_s": {"median": pair.latency_s}, "error": pair.error}
        recorder.finish_row(place, {**result, "speed_up": pair.speed_up})


def check_distinct(points: Sequence[Formula]) -> None:
    """Refuse a grid with two points of one block and size. Raises SpecError."""
    from gadprof.errors import SpecError
    from gadprof.report.blocks_page import size_of, size_text

    seen: dict[tuple[str, tuple[int, int, int]], Formula] = {}
    for point in points:
        other = seen.setdefault((point.block, size_of(point)), point)
        if other is not point:
            names = [key for key in point.inputs if point.inputs[key] != other.inputs.get(key)]
            raise SpecError(
                f"{point.block} comes twice at {size_text(size_of(point))}"
                + (f", with another {', '.join(names)}" if names else "")
                + "; --runtime takes a block once a size"
            )


def groups_of(points: Sequence[Formula]) -> tuple[BlockGroup, ...]:
    """Points that replace the same convolution together, in the order of their first."""
    from gadprof.commands.formula_measure import factories
    from gadprof.measuring.block_groups import BlockGroup
    from gadprof.store.recording import block_name

    groups: dict[str, list[tuple[str, dict[str, object]]]] = {}
    for point in points:
        block, plain = factories(point)
        inputs = ",".join(f"{key}={value}" for key, value in plain["arguments"]["inputs"].items())
        name = f"block:conv:{inputs}"
        groups.setdefault(name, [(name, plain)]).append((block_name(point), block))
    return tuple(
        BlockGroup(tuple(name for name, _ in items), tuple(made for _, made in items))
        for items in groups.values()
    )


def _known(
    group: BlockGroup,
    setting: Setting,
    log: PointLog | None,
    found: dict[tuple[Setting, str], MeasuredPair],
) -> BlockGroup:
    """What of a group is still to measure; what the log has goes into ``found``."""
    from gadprof.measuring.block_groups import BlockGroup

    left = [0]
    for place, name in enumerate(group.names[1:], 1):
        pair = log.get(name) if log is not None else None
        if pair is None:
            left.append(place)
        else:
            found[setting, name] = pair
    return BlockGroup(
        tuple(group.names[place] for place in left), tuple(group.factories[p] for p in left)
    )


def show_runtimes(points: Sequence[Formula], measured: Measured, page: str | None) -> Page:
    """The page of where blocks pay, written with its plots and data where a name is given.

    A page whose every point was measured needs the log of its points no longer.
    """
    from gadprof.commands.formula_measure import log_path, typed_command, write_files
    from gadprof.report.blocks_page import blocks_page

    stem = Path(page).stem if page else "blocks"
    made = blocks_page(stem, points, measured, typed_command())
    if page is not None:
        for path in write_files(page, made):
            tell(f"wrote {path}")
        if not any(pair.error for _, pairs in measured for pair in pairs):
            log_path(page).unlink(missing_ok=True)
    return made
