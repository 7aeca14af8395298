"""The page of the referee: what each counter gets wrong, by kind, and how far ours was checked.

Everything comes from the kept rows, but the minimal modules, which run when the page is made. Says
how many of how many models were run; what was not run is not spoken of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.minimal_modules import HEADER, MINIMAL, ask

Row = Mapping[str, Any]
COMMAND = (
    "python benchmarks/conformance.py --results reports/data/conformance.jsonl "
    "--page reports/conformance.md"
)


def page(rows: Iterable[Row], whole: Mapping[str, int]) -> str:
    """The page as markdown; ``whole`` is how many models each package has."""
    rows = sorted(rows, key=lambda row: str(row["model"]))
    counted = [row for row in rows if "macs" in row]
    pairs = [(row, name, pair) for row in counted for name, pair in row["pairs"].items()]
    answered = [item for item in pairs if "reported" in item[2]]
    exact = [item for item in answered if item[2]["residual"] == 0]
    gaps = [item for item in answered if item[2]["residual"] != 0]
    lines = [
        "# Conformance: our count against every counter",
        "",
        *_finding(counted, answered, exact),
        "",
        f"Run: {_how_many(rows, whole)}, one of each architecture first. A pair is a model and a "
        "counter, whose own code ran: timm's models on the meta device, the others' with values. "
        "The residual is what the counter reports less what its convention makes of the model; "
        "0 means that every operation of the difference is named.",
        "",
        "| counter | answered | residual 0 | failed itself |",
        "| --- | ---: | ---: | ---: |",
        *_by_counter(pairs),
        "",
        "## What differs, by kind",
        "",
        "The largest share is the amount beside our count, in the counter's own unit.",
        "",
        "| counter | kind | models | largest share |",
        "| --- | --- | ---: | ---: |",
        *_by_kind(answered),
        "",
        *_listed("Not explained", (f"{row['model']}, {name}: residual {pair['residual']:,}"
                                   for row, name, pair in gaps)),
        *_listed("Counters that failed", _failures(pairs)),
        *_listed("Not built, run or counted", (f"{row['model']}: {row['error']}" for row in rows
                                                  if "error" in row)),
        *_listed("Counted in part", (f"{row['model']}: no rule for {', '.join(row['uncovered'])}"
                                     for row in counted if row["uncovered"])),
        "## Minimal modules",
        "",
        f"Each began with `{'`, `'.join(HEADER.strip().splitlines())}`, was put in eval mode and "
        "was run when this page was made.",
        "",
        *_minimal(),
        f"Made by `{COMMAND}`.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _finding(counted: list[Row], answered: list[Any], exact: list[Any]) -> list[str]:
    equal = [row for row in counted if row["pairs"].get("torch", {}).get("residual") == 0]
    asked = [row for row in counted if "reported" in row["pairs"].get("torch", {})]
    names = Counter(name for _, name, pair in answered if pair["causes"].keys() - {"unit"})
    most = ", ".join(name for name, _ in names.most_common(3))
    return [
        f"Of {len(answered)} numbers that other counters gave for {len(counted)} models, "
        f"{len(exact)} ({100 * len(exact) / max(1, len(answered)):.1f} %) are explained to the "
        f"last operation, and torch's own counter is ours on {len(equal)} of {len(asked)} once "
        "its known gaps are closed. "
        f"Counters differ by rule and not by accident: {most} differ most often."
    ]


def _how_many(rows: list[Row], whole: Mapping[str, int]) -> str:
    run = Counter(str(row["model"]).partition(":")[0] for row in rows)
    return ", ".join(f"{run[name]} of {whole[name]} of {name}" for name in whole if run[name])


def _by_counter(pairs: list[Any]) -> list[str]:
    lines = []
    for name in sorted({name for _, name, _ in pairs}):
        mine = [pair for _, other, pair in pairs if other == name]
        answered = [pair for pair in mine if "reported" in pair]
        zero = sum(pair["residual"] == 0 for pair in answered)
        lines.append(f"| {name} | {len(answered)} | {zero} | {len(mine) - len(answered)} |")
    return lines


def _by_kind(answered: list[Any]) -> list[str]:
    shares: dict[tuple[str, str], list[float]] = {}
    for row, name, pair in answered:
        for cause, amount in pair["causes"].items():
            if cause != "unit":
                share = abs(amount) / max(1, row["macs"])
                shares.setdefault((name, cause), []).append(share)
    return [
        f"| {name} | {cause} | {len(found)} | {100 * max(found):.3g} % |"
        for (name, cause), found in sorted(shares.items(), key=lambda i: (i[0][0], -len(i[1])))
    ]


def _failures(pairs: list[Any]) -> list[str]:
    found: Counter[tuple[str, str]] = Counter()
    for _, name, pair in pairs:
        if "error" in pair:
            words = re.sub(r"\d+", "n", str(pair["error"]))[:110]
            found[name, words] += 1
    return [f"{name}, {number} models: {words}" for (name, words), number in found.most_common()]


def _listed(title: str, items: Iterable[str]) -> list[str]:
    found = [f"- {item}" for item in items]
    return [f"## {title}", "", *found, ""] if found else []


def _minimal() -> list[str]:
    from gadprof.audit.backends import adapter

    lines = []
    for minimal in MINIMAL:
        answer = ask(minimal)
        unit = adapter(minimal.counter).unit
        right = answer.ours * (2 if unit == "flops" else 1)
        said = answer.error if answer.reported is None else f"{answer.reported:,}"
        lines += [
            f"### {minimal.counter}: {minimal.kind}",
            "",
            f"{minimal.work} = {answer.ours:,} MACs"
            + (f", {right:,} {unit}" if unit == "flops" else "")
            + f"; {minimal.counter} says {said}"
            + (f" (residual {answer.residual:,})." if answer.residual is not None else "."),
            "",
            "```python",
            minimal.code.strip(),
            "```",
            "",
        ]
    return lines
