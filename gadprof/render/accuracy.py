"""Measured accuracies as tables; -1, COCO's mark for "no such persons", is shown as a dash."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from gadprof.render.tables import render_table

if TYPE_CHECKING:
    from gadprof.pose.accuracy import Accuracy
    from gadprof.pose.evaluate import Scores

TITLES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "apm": "APM",
    "apl": "APL",
    "ar": "AR",
    "ar50": "AR50",
    "ar75": "AR75",
    "arm": "ARM",
    "arl": "ARL",
}


def percent(value: float) -> str:
    """A score of 0 to 1 in per cent with one digit; a dash where no person counts."""
    return "–" if value < 0 else f"{100 * value:.1f}"


def score_table(accuracy: Accuracy, scores: Scores, table_format: str = "table") -> str:
    """One measured accuracy with all ten figures in per cent."""
    fields = [field.name for field in dataclasses.fields(scores)]
    values: list[Any] = [percent(getattr(scores, name)) for name in fields]
    height, width = accuracy.input
    flip = "flip test" if accuracy.flip_test else "no flip test"
    notes = (
        f"{accuracy.data}: {accuracy.pictures} pictures, {accuracy.persons} boxes "
        f"({accuracy.boxes}), {height}x{width}, {accuracy.decoding} decoding, {flip}; per cent; "
        "– means that no annotated person is of that size.",
    )
    options = {"notes": notes} if table_format == "table" else {}
    return render_table(
        table_format,
        ["model", *(TITLES[name] for name in fields)],
        [[accuracy.model, *values]],
        **options,
    )
