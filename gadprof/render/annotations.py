"""GitHub workflow commands and the step summary of a check; nothing in a name ends a command."""

from __future__ import annotations

from collections.abc import Callable

from gadprof.render.markdown import details, to_markdown
from gadprof.results.escape import annotation_message, annotation_property
from gadprof.results.verdicts import CheckResult, Verdict, ordered

_LEVELS = {"fail": "error", "error": "error", "warn": "warning", "waived": "warning"}
MARKS = {"pass": "✓", "fail": "✗", "warn": "?", "error": "!", "waived": "~"}


def to_annotations(
    result: CheckResult, line_of: Callable[[Verdict], int | None] = lambda verdict: None
) -> str:
    """One ``::error`` or ``::warning`` a broken or undecided rule, and a closing ``::notice``."""
    lines = []
    for verdict in ordered(result.verdicts):
        if verdict.status not in _LEVELS:
            continue
        properties = []
        if result.config:
            properties.append(f"file={annotation_property(result.config)}")
            line = line_of(verdict)
            if line:
                properties.append(f"line={line}")
        properties.append(f"title={annotation_property(f'{verdict.budget}: {verdict.rule}')}")
        level = _LEVELS[verdict.status]
        lines.append(f"::{level} {','.join(properties)}::{annotation_message(verdict.message)}")
    lines.append(f"::notice title=gadprof check::{annotation_message(result.summary)}")
    return "\n".join(lines) + "\n"


def to_step_summary(result: CheckResult) -> str:
    """Markdown for ``$GITHUB_STEP_SUMMARY`` and for a comment: broken rules first, rest folded."""
    mark = "✗" if result.exit_code else "?" if result.count("warn") else "✓"
    bad = [verdict for verdict in ordered(result.verdicts) if verdict.status != "pass"]
    good = [verdict for verdict in result.verdicts if verdict.status == "pass"]
    parts = [f"### {mark} gadprof check: {result.summary}\n"]
    if bad:
        parts.append(_table(bad))
    if good:
        word = "rule holds" if len(good) == 1 else "rules hold"
        parts.append(details(f"{len(good)} {word}", _table(good)))
    return "\n".join(parts)


def _table(verdicts: list[Verdict]) -> str:
    rows = [[MARKS[v.status], v.budget, v.rule, v.message] for v in verdicts]
    return to_markdown(["", "model", "rule", "result"], rows, limit=400)
