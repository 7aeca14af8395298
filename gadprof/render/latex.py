"""LaTeX tables for a paper: booktabs rules, numbers to the right, every name escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.results.cells import cell_text, numeric_columns, padded
from gadprof.results.escape import latex


def to_latex(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str = "",
    label: str = "",
) -> str:
    """A ``tabular`` with booktabs' rules, inside a ``table`` where a caption is given.

    The document needs ``\\usepackage{booktabs}`` and ``\\usepackage{textcomp}``; a right-to-left
    name needs XeLaTeX or LuaLaTeX.
    """
    filled = padded(headers, rows)
    columns = "".join("r" if numeric else "l" for numeric in numeric_columns(filled, len(headers)))
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(list(headers)), r"\midrule"]
    body += [_line([cell_text(cell) for cell in row]) for row in filled]
    body += [r"\bottomrule", r"\end{tabular}"]
    if caption:
        mark = [rf"\label{{{label}}}"] if label else []
        body = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex(caption, 400)}}}",
            *mark,
            *body,
            r"\end{table}",
        ]
    return "\n".join(body) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(latex(cell) or "{}" for cell in cells) + r" \\"
