"""How a command's page leaves it: in the form asked for, in colour where the terminal wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gadprof.output import Output

if TYPE_CHECKING:
    from gadprof.results.page import Page


def show(out: Output, page: Page) -> None:
    """Write a page as ``--format`` or the file's suffix says. Raises OutputError."""
    from gadprof.render.tables import render

    out.emit(render(page, out.form, color=out.color))
