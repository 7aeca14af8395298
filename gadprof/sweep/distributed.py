"""A sweep in pieces: ranges of designs that any machine can cost, joined in order.

Promises the same result, and the same Parquet bytes, as one machine gives alone: ranges end where
the chunks of a local sweep end, and are joined in their order.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gadprof.errors import GadprofError
from gadprof.networks.spec import families, read_value
from gadprof.results.rebuild import SchemaError, from_plain
from gadprof.sweep import parquet
from gadprof.sweep.chunks import SAMPLE_CHUNK, Chunk, check_chunk, chunk_ends
from gadprof.sweep.front import Front, Ints, empty_front, merge
from gadprof.sweep.run import (
    Filters,
    Objective,
    SweepResult,
    checked_positions,
    chunks_of,
    extend_front,
    front_rows,
    keep_mask,
    read_objectives,
    total_designs,
    wanted_quantities,
)
from gadprof.sweep.space import Axis, Places, Space

PIECES = 64  # that a sweep is shared out in, unless they become too small or too large
RANGE_DESIGNS, LARGEST_RANGE = 1 << 20, 1 << 22
SAMPLE_RANGE = 2 * SAMPLE_CHUNK


def space_arguments(space: Space) -> dict[str, Any]:
    """A space as plain values that ``space_from`` reads again."""
    return {
        "family": space.family,
        "axes": {axis.name: axis.describe() for axis in space.axes},
    }


def space_from(family: str, axes: Mapping[str, Any]) -> Space:
    """The space that ``space_arguments`` described."""
    from gadprof.networks.spec import parse_shape

    knobs = {knob.name: knob for knob in families()[family].knobs}

    def values(name: str, described: list[Any]) -> Any:
        if name == "input":
            return tuple(parse_shape(text) for text in described)
        if described and isinstance(described[0], list):
            return Places(described)
        return tuple(read_value(knobs[name], text) for text in described)

    return Space(family, tuple(Axis(name, values(name, found)) for name, found in axes.items()))


def ranges(space: Space, sample: int | None, *, keep: bool) -> list[tuple[int, int]]:
    """The pieces of a sweep, (start, stop) each, in order.

    A piece ends where a chunk ends, and with ``keep`` wherever a Parquet part ends too, so that
    parts are the same as alone. Their size depends on the sweep, never on who works on it.
    """
    total = total_designs(space, sample)
    if sample is not None:
        return [
            (first, min(first + SAMPLE_RANGE, total)) for first in range(0, total, SAMPLE_RANGE)
        ]
    part_designs = parquet.PART_DESIGNS if keep else total
    aim = min(max(total // PIECES, RANGE_DESIGNS), LARGEST_RANGE, part_designs)
    found: list[tuple[int, int]] = []
    start = part = 0
    for end in chunk_ends(space):
        if end - start >= aim or end - part >= part_designs:
            found.append((start, end))
            start = end
        if end - part >= part_designs:
            part = end
    if start < total:
        found.append((start, total))
    return found


def sweep_range(
    family: str,
    axes: Mapping[str, Any],
    objectives: str,
    largest: Mapping[str, int],
    smallest: Mapping[str, int],
    start: int,
    stop: int,
    *,
    sample: int | None,
    seed: int,
    keep: bool,
) -> dict[str, Any]:
    """Cost a range: how many passed, its own front, and with ``keep`` the designs that passed."""
    space = space_from(family, axes)
    chosen = read_objectives(objectives)
    limits = Filters(largest, smallest)
    wanted = wanted_quantities(chosen, limits, every=keep)
    positions = checked_positions(total_designs(space, sample), seed)
    front, passed, checked, done = empty_front(len(chosen)), 0, 0, start
    designs: list[Any] = [np.empty(0, np.int64)]
    columns: dict[str, list[Any]] = {name: [np.empty(0, np.int64)] for name in wanted}
    for chunk in chunks_of(space, wanted, sample=sample, seed=seed, start=start):
        count = len(chunk.designs)
        offsets = [spot - done for spot in positions if done <= spot < done + count]
        checked += check_chunk(space, chunk, wanted, offsets)
        mask = keep_mask(chunk.columns, limits)
        front = extend_front(front, chunk, mask, chosen)
        done += count
        passed += count if mask is None else int(np.count_nonzero(mask))
        if keep:
            kept = np.arange(count) if mask is None else np.flatnonzero(mask)
            designs.append(chunk.designs[kept])
            for name in wanted:
                columns[name].append(np.asarray(chunk.columns[name])[kept].astype(np.int64))
        if done >= stop:
            break
    return {
        "passed": passed,
        "checked": checked,
        "designs": done - start,
        "front_points": front.points.tolist(),
        "front_designs": front.designs.tolist(),
        "kept_designs": pack(np.concatenate(designs)),
        "kept_columns": {name: pack(np.concatenate(parts)) for name, parts in columns.items()},
    }


@dataclass(frozen=True)
class Piece:
    """What ``sweep_range`` gives, as it travels."""

    passed: int
    checked: int
    designs: int
    front_points: tuple[tuple[int, ...], ...]
    front_designs: tuple[int, ...]
    kept_designs: str
    kept_columns: dict[str, str]


def check_piece(value: Any, *, designs: int, objectives: int) -> None:
    """Take a piece of so many designs and objectives. Raises SchemaError for anything else."""
    piece = from_plain(Piece, value)
    if piece.designs != designs or not 0 <= piece.passed <= designs:
        raise SchemaError(f"{piece.passed} of {piece.designs} designs, not of {designs}")
    if any(len(point) != objectives for point in piece.front_points):
        raise SchemaError(f"a design with other than {objectives} objectives")
    if len(piece.front_points) != len(piece.front_designs):
        raise SchemaError("a front whose points are not its designs'")
    try:
        kept = {len(unpack(text, designs)) for text in piece.kept_columns.values()}
        kept.add(len(unpack(piece.kept_designs, designs)))
    except (ValueError, zlib.error) as error:
        raise SchemaError(f"columns that cannot be read ({error})") from error
    if len(kept) != 1:
        raise SchemaError("columns of different lengths")


def pack(values: Ints) -> str:
    """Integers as text that travels well."""
    return base64.b64encode(zlib.compress(values.astype("<i8").tobytes(), 1)).decode()


def unpack(text: str, most: int | None = None) -> Ints:
    """The integers of ``pack``. Raises ValueError or zlib.error, also for more than ``most``."""
    packed, reader = base64.b64decode(text, validate=True), zlib.decompressobj()
    data = reader.decompress(packed, 0 if most is None else 8 * most + 1)
    if most is not None and len(data) > 8 * most:
        raise ValueError(f"more than {most} numbers")
    return np.frombuffer(data, dtype="<i8").astype(np.int64)


def join(
    space: Space,
    objectives: tuple[Objective, ...],
    limits: Filters,
    pieces: Iterator[Any],
    *,
    sample: int | None,
    store: Any = None,
    on_piece: Callable[[int], None] | None = None,
) -> SweepResult:
    """Put the pieces of a sweep together, in order. Raises the error that a piece brought."""
    import time

    started = time.perf_counter()
    total = total_designs(space, sample)
    front: Front = empty_front(len(objectives))
    done = passed = checked = 0
    for piece in pieces:
        if isinstance(piece, GadprofError):
            raise piece
        points = np.array(piece["front_points"], dtype=np.int64).reshape(-1, len(objectives))
        front = merge(front, points, np.array(piece["front_designs"], dtype=np.int64))
        done += piece["designs"]
        passed += piece["passed"]
        checked += piece["checked"]
        if store is not None:
            columns = {name: unpack(text) for name, text in piece["kept_columns"].items()}
            chunk = Chunk(unpack(piece["kept_designs"]), columns)
            store.add_range(
                chunk, piece["designs"], done=done, passed=passed, checked=checked, front=front
            )
        if on_piece is not None:
            on_piece(done)
    if done != total:
        raise GadprofError(f"{done:,} of {total:,} designs were costed; please report this")
    result = SweepResult(
        space, objectives, limits, done, passed, checked,
        front_rows(space, front), time.perf_counter() - started, sampled=sample,
    )  # fmt: skip
    if store is not None:
        store.finish(result, front)
    return result
