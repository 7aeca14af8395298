"""What every result can do at a prompt: print itself, show itself in a notebook, be a DataFrame.

A result that derives from ``Tabular`` says in ``page`` what it holds, once; exact and readable
forms follow from that. Imports nothing until it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from gadprof.results.page import Page


class Tabular:
    """A result with ``page()``, ``to_pandas()``, a table in notebooks and one for ``print``."""

    __slots__ = ()

    def page(self) -> Page:
        """The result's tables, words and JSON document. Raises TypeError for a type without."""
        raise TypeError(f"no table rule for {type(self).__name__}")

    def to_pandas(self) -> pd.DataFrame:
        """The first table as a DataFrame: exact values in base units, names as in JSON and CSV."""
        import pandas as pd

        headers, rows = self.page().exact()
        frame: pd.DataFrame = pd.DataFrame(rows, columns=headers)
        return frame

    def _repr_html_(self) -> str:
        from gadprof.results.prompt import html_of

        return html_of(self.page())

    def __str__(self) -> str:
        from gadprof.results.prompt import text_of

        return text_of(self.page())
