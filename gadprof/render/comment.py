"""A pull request's comment in markdown: the verdict, the budgets, the modules that changed most.

Promises that nothing in a name acts (links, mentions, HTML, a forged end of a table), and a body
that the service takes: tables are cut, and say so. The first line is the mark by which the comment
is found again.
"""

from __future__ import annotations

from gadprof.render.annotations import MARKS
from gadprof.render.markdown import details, to_markdown
from gadprof.results.cells import percent_text, signed_text
from gadprof.results.escape import markdown, markdown_code
from gadprof.results.figures import FIGURES
from gadprof.results.sentences import counted
from gadprof.results.verdicts import BaseChange, CheckResult, CommentData, ordered

MARK = "<!-- gadprof comment -->"
LONGEST = 60_000  # characters; the service takes 65,536
MOST_MODELS = 12
MOST_RULES = 60


def comment_body(data: CommentData) -> str:
    """The whole comment."""
    result = CheckResult(data.verdicts)
    mark = "✗" if result.exit_code else "✓"
    parts = [MARK, f"### {mark} gadprof: {markdown(result.summary, 400)}\n"]
    moved = [change for change in data.changes if _differs(change)]
    if data.base is not None:
        still = len(data.changes) - len(moved)
        words = f"Against {markdown_code(data.base, 80)}: {counted(len(moved), 'model')} changed"
        parts.append(f"{words}, {still} did not.\n")
    for change in moved[:MOST_MODELS]:
        parts += _model(change)
    if len(moved) > MOST_MODELS:
        parts.append(f"{len(moved) - MOST_MODELS} further models changed.\n")
    shown = ordered(data.verdicts)[:MOST_RULES]
    open_ones = [v for v in shown if v.status != "pass"]
    holding = [v for v in shown if v.status == "pass"]
    for verdicts in (open_ones, holding):
        rows = [[MARKS[v.status], v.budget, v.rule, v.message] for v in verdicts]
        table = to_markdown(["", "budget", "rule", "result"], rows, limit=300) if rows else ""
        if table:
            folded = details(f"✓ {counted(len(verdicts), 'rule holds', 'rules hold')}", table)
            parts.append(table if verdicts is open_ones else folded)
    if len(data.verdicts) > len(shown):
        parts.append(f"{len(data.verdicts) - len(shown)} further rules are in the log.\n")
    body = "\n".join(parts)
    if len(body) <= LONGEST:
        return body
    return "\n".join([*parts[:2], "The tables are too long for a comment; the log has them.\n"])


def _differs(change: BaseChange) -> bool:
    return change.problem is not None or bool(change.modules) or change.before != change.after


def _model(change: BaseChange) -> list[str]:
    parts = [f"#### {markdown_code(change.model, 120)}\n"]
    if change.problem is not None:
        return [*parts, f"not compared: {markdown(change.problem, 400)}\n"]
    rows = []
    for figure in FIGURES:
        before, after = change.before.get(figure.key), change.after.get(figure.key)
        if before is not None and after is not None and before != after:
            grown = percent_text(after / before, 2) if before else "new"
            totals = [
                "at least " * (figure.summed and bounded) + f"{value:,}"
                for value, bounded in (
                    (before, change.before_at_least), (after, change.after_at_least)
                )
            ]  # fmt: skip
            rows.append([figure.title, *totals, grown])
    if change.latency is not None:
        ratio, low, high = change.latency
        shown = f"{ratio:.3f} × base [{low:.3f}, {high:.3f}]"
        rows.append(["latency, interleaved", "1", shown, percent_text(ratio)])
    if rows:
        parts.append(to_markdown(["figure", "base", "head", "change"], rows, limit=120))
    if change.modules:
        lines = [
            [m.kind, m.path or "(model)", m.type, *map(signed_text, (m.params, m.macs,
             m.activations))]
            for m in change.modules
        ]  # fmt: skip
        headers = ["", "module", "type", "params", "MACs", "activations"]
        parts.append(to_markdown(headers, lines, limit=120))
        if change.more:
            parts.append(f"and {change.more} further modules; gadprof diff lists them.\n")
    return parts
