"""Designs that pass, as Parquet: written part by part, so that a killed sweep goes on.

Promises: the finished file has the same bytes however often the sweep was interrupted, since a
part holds a fixed run of designs; nothing is at the final path until the sweep is whole. Refuses a
file or a folder of parts that belongs to another sweep.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gadprof.errors import MissingExtraError, OutputError, SourceError
from gadprof.output import check_writable, write_atomic
from gadprof.sweep.chunks import Chunk, place_columns
from gadprof.sweep.front import Front
from gadprof.sweep.run import Filters, Objective, SweepResult
from gadprof.sweep.space import Axis, Space, format_axis_value
from gadprof.sweep.tables import QUANTITIES
from gadprof.version import __version__

METADATA_KEY = b"gadprof.sweep"
PART_DESIGNS = 1 << 21  # designs a part covers, whatever passes


@dataclass(frozen=True)
class State:
    """Where an interrupted sweep stands."""

    done: int
    passed: int
    checked: int
    front: Front


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "sweep", "writing Parquet") from error
    return pyarrow


class PartStore:
    """The parts of one sweep beside its output file.

    Its identity holds everything that the result depends on (``latency`` what is predicted, where
    something is); a part covers ``part_designs`` designs. Raises SourceError for the parts or
    the file of another sweep, OutputError for a folder that cannot be written.
    """

    def __init__(
        self,
        output: str,
        space: Space,
        objectives: tuple[Objective, ...],
        limits: Filters,
        *,
        sample: int | None,
        seed: int,
        latency: Mapping[str, Any] | None = None,
        part_designs: int | None = None,
    ) -> None:
        self._arrow = _pyarrow()
        self._output = check_writable(output)
        self._folder = self._output.with_name(self._output.name + ".parts")
        self._space = space
        self._identity = {
            "gadprof": __version__,
            "space": space.describe(),
            "front": [item.text for item in objectives],
            "largest": dict(limits.largest),
            "smallest": dict(limits.smallest),
            "sample": sample,
            "seed": seed if sample is not None else None,
            **({"latency": dict(latency)} if latency is not None else {}),
        }
        self._timed = latency is not None
        self._part_designs = part_designs or PART_DESIGNS
        self._quantities = len(objectives)
        self._pending: list[tuple[Any, dict[str, Any]]] = []
        self._pending_designs = 0
        self._parts = 0
        self._refuse_another()

    def _refuse_another(self) -> None:
        if self._output.exists():
            found = read_metadata(self._output)
            if found is None or found.get("identity") != self._identity:
                raise SourceError(
                    f"{str(self._output)!r} holds another sweep, or one by another version; name "
                    f"another file with -o, or type: rm {self._output}"
                )
        state = self._folder / "state.json"
        if state.exists() and _read_json(state).get("identity") != self._identity:
            raise SourceError(
                f"{str(self._folder)!r} holds the parts of another sweep, or of one by another "
                f"version; name another file with -o, or type: rm -r {self._folder}"
            )

    def finished(self) -> dict[str, Any] | None:
        """What the output says of this very sweep when it is whole, None while it is not.

        Gives ``designs``, ``passed``, ``checked`` and the ``front`` rows.
        """
        if not self._output.exists():
            return None
        shutil.rmtree(self._folder, ignore_errors=True)  # left where a kill came between the two
        found = dict(read_metadata(self._output) or {})
        return {
            **{name: int(found[name]) for name in ("designs", "passed", "checked")},
            "front": tuple(found["front"]),
        }

    def resume(self) -> State | None:
        """Where an earlier run of this sweep stopped, or None for a fresh start."""
        state = self._folder / "state.json"
        if not state.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            return None
        saved = _read_json(state)
        self._parts = int(saved["parts"])
        points: Any = np.array(saved["points"], dtype=np.float64 if self._timed else np.int64)
        designs = np.array(saved["designs"], dtype=np.int64)
        front = Front(points.reshape(len(designs), self._quantities), designs)
        return State(int(saved["done"]), int(saved["passed"]), int(saved["checked"]), front)

    def add(
        self, chunk: Chunk, mask: Any, *, done: int, passed: int, checked: int, front: Front
    ) -> None:
        """Take the designs of a chunk that pass; writes a part when enough were seen."""
        chosen = slice(None) if mask is None else np.flatnonzero(mask)
        columns = {
            name: np.asarray(values)[chosen].astype(np.int64 if name in QUANTITIES else np.float64)
            for name, values in chunk.columns.items()
        }
        self._pending.append((chunk.designs[chosen], columns))
        self._pending_designs += len(chunk.designs)
        if self._pending_designs >= self._part_designs:
            self._write_part(done=done, passed=passed, checked=checked, front=front)

    def add_range(
        self, chunk: Chunk, covered: int, *, done: int, passed: int, checked: int, front: Front
    ) -> None:
        """Take the designs that passed in a range of ``covered`` designs."""
        self._pending.append((chunk.designs, dict(chunk.columns)))
        self._pending_designs += covered
        if self._pending_designs >= self._part_designs:
            self._write_part(done=done, passed=passed, checked=checked, front=front)

    def _write_part(self, *, done: int, passed: int, checked: int, front: Front) -> None:
        self._folder.mkdir(exist_ok=True)
        table = self._table()
        sink = self._arrow.BufferOutputStream()
        self._arrow.parquet.write_table(table, sink, compression="zstd")
        write_atomic(self._folder / f"part-{self._parts:06d}.parquet", sink.getvalue().to_pybytes())
        self._parts += 1
        self._pending.clear()
        self._pending_designs = 0
        state = {
            "identity": self._identity,
            "parts": self._parts,
            "done": done,
            "passed": passed,
            "checked": checked,
            "points": front.points.tolist(),
            "designs": front.designs.tolist(),
        }
        write_atomic(self._folder / "state.json", json.dumps(state))

    def _table(self) -> Any:
        """The pending designs: number, every varying knob (tuples a column a place), quantities."""
        arrow = self._arrow
        designs = np.concatenate([part for part, _ in self._pending])
        rest = designs
        knobs: list[tuple[str, Any]] = []
        for axis in reversed(self._space.axes):
            rest, position = np.divmod(rest, len(axis.values))
            if len(axis.values) > 1:
                knobs = [*self._knob_columns(axis, position), *knobs]
        columns = {"design": arrow.array(designs), **dict(knobs)}
        for name in self._pending[0][1]:
            columns[name] = arrow.array(np.concatenate([part[name] for _, part in self._pending]))
        return arrow.table(columns)

    def _knob_columns(self, axis: Axis, position: Any) -> list[tuple[str, Any]]:
        arrow = self._arrow
        first = axis.values[0]
        if isinstance(first, tuple) and axis.name != "input":
            places = place_columns(axis.values, position)
            return [
                (f"{axis.name}_{place}", arrow.array(column))
                for place, column in enumerate(places, start=1)
            ]
        if isinstance(first, int) and not isinstance(first, bool):
            return [(axis.name, arrow.array(np.array(axis.values, np.int64)[position]))]
        texts = arrow.array([format_axis_value(value) for value in axis.values])
        indices = arrow.array(position.astype(np.int32))
        return [(axis.name, arrow.DictionaryArray.from_arrays(indices, texts))]

    def finish(self, result: SweepResult, front: Front) -> None:
        """Join the parts into the output file and remove them; ``front`` is the whole sweep's."""
        if not self._pending and self._parts == 0:
            empty = np.empty(0, np.int64)
            timed = {"predicted_latency_s": np.empty(0)} if self._timed else {}
            self._pending.append((empty, {"params": empty, "macs": empty, **timed}))
        if self._pending:
            self._write_part(
                done=result.designs, passed=result.passed, checked=result.checked, front=front
            )
        arrow = self._arrow
        parts = [self._folder / f"part-{index:06d}.parquet" for index in range(self._parts)]
        metadata = {
            METADATA_KEY: json.dumps(
                {
                    "identity": self._identity,
                    "designs": result.designs,
                    "passed": result.passed,
                    "checked": result.checked,
                    "front": list(result.front),
                },
                sort_keys=True,
            )
        }
        schema = arrow.parquet.read_schema(parts[0]).with_metadata(metadata)
        temporary = self._output.with_name(f".{self._output.name}.joining")
        try:
            with arrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for part in parts:
                    table = arrow.parquet.read_table(part)
                    writer.write_table(table.replace_schema_metadata(metadata))
            os.replace(temporary, self._output)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise OutputError(
                f"cannot write {str(self._output)!r}: {why}; what was costed is kept in "
                f"{str(self._folder)!r}, run it again"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self._folder)


def read_metadata(path: Path) -> Mapping[str, Any] | None:
    """What a sweep wrote into a Parquet file about itself, None for a file of another kind."""
    arrow = _pyarrow()
    try:
        metadata = arrow.parquet.read_schema(path).metadata or {}
        found = json.loads(metadata[METADATA_KEY])
    except (OSError, ValueError, KeyError, arrow.ArrowException):
        return None
    return found if isinstance(found, dict) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{str(path)!r} cannot be read; type: rm -r {path.parent}") from error
    return found if isinstance(found, dict) else {}
