"""What every result can do at a prompt: show itself in a notebook, and become a DataFrame.

A result that derives from ``Tabular`` gets both from one place, ``render.notebook``, which holds a
rule a type; the result itself stays plain data. Imports nothing until it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Tabular:
    """A result with ``to_pandas()`` and a table in notebooks."""

    __slots__ = ()

    def to_pandas(self) -> pd.DataFrame:
        """The result as a DataFrame: exact values in base units, names as in JSON and CSV."""
        import pandas as pd

        from gadprof.render.notebook import exact_table

        headers, rows = exact_table(self)
        frame: pd.DataFrame = pd.DataFrame(rows, columns=headers)
        return frame

    def _repr_html_(self) -> str:
        from gadprof.render.notebook import html_of

        return html_of(self)
