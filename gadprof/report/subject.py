"""What a report is about: the models, their exact rows and sources, under distinct labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gadprof.comparison.compare import ComparedRow
from gadprof.models.sources import Source


@dataclass(frozen=True)
class Subject:
    """The models of a report: a distinct label, the exact row and the source of each."""

    labels: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    relative: tuple[Mapping[str, float | None], ...]
    sources: tuple[Source, ...]
    shapes: tuple[tuple[int, ...], ...]
    batch: int

    def shape(self, index: int) -> tuple[int, ...] | None:
        """The input of a model that has a plan, None for any other."""
        spec = self.sources[index].spec
        if spec is None or self.rows[index].error is not None:
            return None
        return self.shapes[0] if self.shapes else spec.default_input


def input_words(subject: Subject) -> str:
    """How the inputs read: one shape for all, or each model's own."""
    inputs = {row.input for row in subject.rows if row.input}
    if len(inputs) == 1:
        shapes = " and ".join("×".join(map(str, shape)) for shape in next(iter(inputs)))
        return f"input {shapes}, batch {subject.batch}"
    return f"each model at its own input, batch {subject.batch}"
