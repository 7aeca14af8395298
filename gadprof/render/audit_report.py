"""The page and the data of an audit of many models; the same text from the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.audit import audit_payload, short
from gadprof.render.markdown import to_markdown
from gadprof.results.plain import SCHEMA_VERSION, package_version, to_plain

if TYPE_CHECKING:
    from gadprof.audit.audit import Audit, AuditRow

_MODEL_PACKAGES = ("torch", "timm", "torchvision")

_INTRO = """# Every counter, explained

Each counter ran for real, in a process of its own, on every model below. Beside its number stands
ours (multiply-accumulates of convolutions and matrix products), and the difference is taken apart
by what is known of that counter's rules. What its rules do not explain is the residual; a pair of
model and counter is *explained* when that is 0, to the last operation. The whole ledgers, with
operations, modules and amounts, are in the data beside this page.

Rebuild both with `gadprof audit --list -o reports/audit.md`; `--only NAME,…` audits those anew,
`--missing` those that the data lacks.
"""


def report_markdown(
    audits: Sequence[Audit],
    refused: Mapping[str, str],
    versions: Mapping[str, str] | None = None,
) -> str:
    """The page: how many pairs are explained, why the rest are not, causes, and all numbers.

    ``versions`` are those that counted; the installed ones by default.
    """
    pairs = [(audit, row) for audit in audits for row in audit.backends]
    ran = [(audit, row) for audit, row in pairs if row.error is None]
    explained = [(audit, row) for audit, row in ran if row.residual == 0]
    parts = [
        _INTRO,
        f"**{len(explained)} of {len(pairs)} pairs explained "
        f"({_share(len(explained), len(pairs))}): {len(audits)} models, "
        f"{len({row.name for _, row in pairs})} counters.**\n",
        _versions(versions if versions is not None else installed_versions()),
        "## By counter\n",
        _by_counter(pairs),
    ]
    rest = [(audit, row) for audit, row in pairs if row.residual != 0 or row.error is not None]
    parts.append("## The rest, with the reason\n")
    parts.append(_rest(rest) if rest else "None.\n")
    if refused:
        parts.append("## Models that could not be traced\n")
        parts.append(to_markdown(("model", "why"), list(refused.items()), limit=300))
    parts += ["## What the differences are made of\n", _causes(ran)]
    parts += ["## All numbers\n", _numbers(audits)]
    return "\n".join(parts)


def report_data(audits: Sequence[Audit], refused: Mapping[str, str]) -> dict[str, Any]:
    """The data: every ledger of every pair; module paths with ``*`` for numbers that vary."""
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": installed_versions(),
        "models": [to_plain(audit_payload(audit, patterns=True)) for audit in audits],
        "refused": dict(refused),
    }


def report_json(data: Mapping[str, Any]) -> str:
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


def _versions(versions: Mapping[str, str]) -> str:
    return "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".\n"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _by_counter(pairs: Sequence[tuple[Audit, AuditRow]]) -> str:
    from gadprof.audit.conventions import convention

    lines: list[list[Any]] = []
    for name in dict.fromkeys(row.name for _, row in pairs):
        rows = [row for _, row in pairs if row.name == name]
        failed = sum(row.error is not None for row in rows)
        exact = sum(row.residual == 0 for row in rows)
        lines.append([name, rows[0].unit, exact, failed, len(rows), convention(name).about])
    headers = ("counter", "unit", "explained", "failed", "models", "what it counts")
    return to_markdown(headers, lines, limit=400)


def _rest(pairs: Sequence[tuple[Audit, AuditRow]]) -> str:
    lines = [
        [
            audit.model,
            row.name,
            row.reported,
            row.residual if row.error is None else None,
            row.error or row.unexplained or "a rule of this counter that is not understood yet",
        ]
        for audit, row in pairs
    ]
    return to_markdown(("model", "counter", "reported", "residual", "reason"), lines, limit=300)


def _causes(pairs: Sequence[tuple[Audit, AuditRow]]) -> str:
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
        lines.append([name, cause, len(cases), f"{short(amount)} ({100 * share:.3g} %)", model])
    headers = ("counter", "cause", "models", "largest, and as a share of ours", "in")
    return to_markdown(headers, lines)


def _numbers(audits: Sequence[Audit]) -> str:
    names = list(dict.fromkeys(row.name for audit in audits for row in audit.backends))
    lines: list[list[Any]] = []
    for audit in audits:
        by_name = {row.name: row for row in audit.backends}
        shapes = ", ".join("x".join(map(str, shape)) for shape in audit.input_shapes)
        cells = [_number(by_name[name]) for name in names]
        lines.append([audit.model, shapes, audit.ours, *cells])
    note = "A number in brackets is not explained to the last operation; torch and calflops count "
    note += "FLOPs, two a multiply-accumulate.\n"
    return note + "\n" + to_markdown(("model", "input", "ours", *names), lines)


def _number(row: AuditRow) -> Any:
    if row.reported is None:
        return "failed"
    return row.reported if row.residual == 0 else f"({row.reported:,})"
