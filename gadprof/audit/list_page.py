"""The page and the data of an audit of many models; the same text from the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.audit.page import audit_payload
from gadprof.results.cells import share_text, short_signed_text
from gadprof.results.figures import total
from gadprof.results.page import Page, Section
from gadprof.results.plain import SCHEMA_VERSION, package_version, to_plain
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.audit.audit import Audit, AuditRow

_MODEL_PACKAGES = ("torch", "timm", "torchvision")

METHOD = (
    "Each counter ran for real, in a process of its own, on every model below. Beside its number "
    "stands ours (multiply-accumulates of convolutions and matrix products), and the difference is "
    "taken apart by what is known of that counter's rules. What its rules do not explain is the "
    "residual; a pair of model and counter is explained when that is 0, to the last operation.",
    "The whole ledgers, with operations, modules and amounts, are in the data beside this page. "
    "The command below rebuilds both; with --only NAME,… it audits those anew, with --missing "
    "those that the data lacks.",
)


def list_page(
    audits: Sequence[Audit],
    refused: Mapping[str, str],
    versions: Mapping[str, str] | None = None,
    *,
    name: str = "audit",
) -> Page:
    """How many pairs are explained, why the rest are not, causes, and all numbers.

    ``versions`` are those that counted; the installed ones by default.
    """
    pairs = [(audit, row) for audit in audits for row in audit.backends]
    ran = [(audit, row) for audit, row in pairs if row.error is None]
    explained = [(audit, row) for audit, row in ran if row.residual == 0]
    rest = [(audit, row) for audit, row in pairs if row.residual != 0 or row.error is not None]
    known = versions if versions is not None else installed_versions()
    sections = [
        Section(
            "summary",
            "Summary",
            (
                *_finding(pairs, ran, explained, audits),
                "Versions: " + ", ".join(f"{k} {v}" for k, v in known.items()) + ".",
            ),
        ),
        Section("method", "What was done", METHOD),
        Section("counters", "By counter", (), (_by_counter(pairs),)),
        Section(
            "rest", "The rest, with the reason", () if rest else ("None.",),
            (_rest(rest),) if rest else (),
        ),
    ]  # fmt: skip
    if refused:
        columns = (Column("model", "model"), Column("why", "why"))
        table = Table("refused", "", columns, tuple(refused.items()))
        sections.append(Section("refused", "Models that could not be traced", (), (table,)))
    sections += [
        Section("causes", "What the differences are made of", (), (_causes(ran),)),
        Section("numbers", "All numbers", (), (_numbers(audits),)),
    ]
    return Page(
        name,
        "Every counter, explained",
        tuple(sections),
        list_data(audits, refused),
        "gadprof audit --list -o reports/audit.md",
    )


def list_data(audits: Sequence[Audit], refused: Mapping[str, str]) -> dict[str, Any]:
    """The data: every ledger of every pair; module paths with ``*`` for numbers that vary."""
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": installed_versions(),
        "models": [to_plain(audit_payload(audit, patterns=True)) for audit in audits],
        "refused": dict(refused),
    }


def list_json(data: Mapping[str, Any]) -> str:
    """The data as text."""
    import json

    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def installed_versions() -> dict[str, str]:
    """The versions of torch, of the packages that models come from, and of every counter."""
    from gadprof.audit.backends import BACKENDS

    names = [*_MODEL_PACKAGES]
    names += [name for entry in BACKENDS.values() for name in entry.distributions]
    found = {name: package_version(name) for name in dict.fromkeys(names)}
    return {name: version for name, version in found.items() if version is not None}


def _finding(
    pairs: Sequence[tuple[Audit, AuditRow]],
    ran: Sequence[tuple[Audit, AuditRow]],
    explained: Sequence[tuple[Audit, AuditRow]],
    audits: Sequence[Audit],
) -> list[str]:
    share = share_text(len(explained) / len(pairs)) if pairs else "none"
    counters = len({row.name for _, row in pairs})
    words = [
        f"{len(explained)} of {len(pairs)} pairs explained ({share}): {len(audits)} models, "
        f"{counters} counters."
    ]
    as_ours = sum(1 for audit, row in ran if not row.differences and row.residual == 0)
    if ran and len(explained) > as_ours:
        words.append(
            f"Counters disagree by rule and not by accident: of {len(ran)} numbers {as_ours} are "
            f"ours as they stand, and {len(explained) - as_ours} become ours once the counter's "
            "own rules are applied."
        )
    return words


def _by_counter(pairs: Sequence[tuple[Audit, AuditRow]]) -> Table:
    from gadprof.audit.conventions import convention

    lines: list[tuple[Any, ...]] = []
    for name in dict.fromkeys(row.name for _, row in pairs):
        rows = [row for _, row in pairs if row.name == name]
        failed = sum(row.error is not None for row in rows)
        exact = sum(row.residual == 0 for row in rows)
        lines.append((name, rows[0].unit, exact, failed, len(rows), convention(name).about))
    columns = (
        Column("counter", "counter"),
        Column("unit", "unit"),
        Column("explained", "explained", "count"),
        Column("failed", "failed", "count"),
        Column("models", "models", "count"),
        Column("about", "what it counts"),
    )
    return Table("counters", "", columns, tuple(lines))


def _rest(pairs: Sequence[tuple[Audit, AuditRow]]) -> Table:
    lines = tuple(
        (
            audit.model,
            row.name,
            row.reported,
            row.residual if row.error is None else None,
            row.error or row.unexplained or "a rule of this counter that is not understood yet",
        )
        for audit, row in pairs
    )
    columns = (
        Column("model", "model"),
        Column("counter", "counter"),
        Column("reported", "reported", "count"),
        Column("residual", "residual", "count"),
        Column("reason", "reason"),
    )
    return Table("rest", "", columns, lines)


def _causes(pairs: Sequence[tuple[Audit, AuditRow]]) -> Table:
    """For each counter and cause: in how many models, and the largest share of ours."""
    found: dict[tuple[str, str], list[tuple[float, str, int | float]]] = {}
    for audit, row in pairs:
        for difference in row.differences:
            share = abs(difference.amount) / max(audit.ours, 1)
            found.setdefault((row.name, difference.cause), []).append(
                (share, audit.model, difference.amount)
            )
    order = {name: index for index, name in enumerate(dict.fromkeys(row.name for _, row in pairs))}
    lines = []
    for (name, cause), cases in sorted(
        found.items(), key=lambda item: (order[item[0][0]], -len(item[1]), item[0][1])
    ):
        share, model, amount = max(cases, key=lambda case: (case[0], case[1]))
        largest = f"{short_signed_text(amount)} ({100 * share:.3g} %)"
        lines.append((name, cause, len(cases), largest, model))
    columns = (
        Column("counter", "counter"),
        Column("cause", "cause"),
        Column("models", "models", "count"),
        Column("largest", "largest, and as a share of ours"),
        Column("model", "in"),
    )
    return Table("causes", "", columns, tuple(lines))


def _numbers(audits: Sequence[Audit]) -> Table:
    names = list(dict.fromkeys(row.name for audit in audits for row in audit.backends))
    lines: list[tuple[Any, ...]] = []
    for audit in audits:
        by_name = {row.name: row for row in audit.backends}
        shapes = ", ".join("x".join(map(str, shape)) for shape in audit.input_shapes)
        cells = [_number(by_name[name]) for name in names]
        ours = total("macs", audit.ours, bool(audit.uncovered))
        lines.append((audit.model, shapes, ours, *cells))
    note = (
        "A number in brackets is not explained to the last operation; torch and calflops count "
        "FLOPs, two a multiply-accumulate."
    )
    columns = (
        Column("model", "model"),
        Column("input", "input"),
        Column("ours", "ours", "count"),
        *(Column(name, name, "count") for name in names),
    )
    return Table("numbers", "", columns, tuple(lines), note)


def _number(row: AuditRow) -> Any:
    if row.reported is None:
        return "failed"
    return row.reported if row.residual == 0 else f"({row.reported:,})"
