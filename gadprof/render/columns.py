"""How wide the columns of a console table are, and where their words are folded.

Promises: a column of numbers keeps its natural width; so does a column of words up to ``SHORT``
columns, and in wider ones no word, interval or number with its unit is broken that is not longer
than ``LONG_WORD``, or ``LONG_NAME`` in a column of rank 0, whose words are typed again. Only the
widest columns of words are made narrower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

GAP = 3  # blanks between two columns
SHORT = 16  # a column of words up to this width is never folded
LONG_WORD = 24  # a longer word may be broken, where a table does not fit otherwise
LONG_NAME = 40  # the same in a column of rank 0
NARROWEST_WORDS = 8  # of a column on a terminal that is too narrow even for that

# a space at which a text may be folded: not the one between a number and its unit
_SPACE = re.compile(r"(?<!\d) | (?!(?:%|[kMGT]|[KMGT]iB|B|J|m?s|µs)(?!\w))")


def natural_widths(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """The width of every column without folding."""
    from rich.cells import cell_len

    return [
        max([cell_len(name), *(cell_len(row[index]) for row in cells)])
        for index, name in enumerate(names)
    ]


def total(widths: Sequence[int]) -> int:
    """The width of a table whose columns are this wide."""
    return sum(widths) + GAP * (len(widths) - 1)


def narrowest_widths(
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    ranks: Sequence[int],
) -> list[int]:
    """The width of every column where the columns of words are folded as far as is good."""
    from rich.cells import cell_len

    found = []
    for index, natural in enumerate(natural_widths(names, cells)):
        if not numeric[index] and natural > SHORT:
            words = [names[index], *(row[index] for row in cells)]
            longest = max(cell_len(word) for text in words for word in _SPACE.split(text))
            most = LONG_WORD if ranks[index] else LONG_NAME
            natural = min(natural, max(SHORT, min(longest, most)))
        found.append(natural)
    return found


def fitted_widths(
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    ranks: Sequence[int],
    width: int,
) -> list[int]:
    """Widths with which the table takes ``width`` columns, or as few as its numbers allow."""
    widths = natural_widths(names, cells)
    good = narrowest_widths(names, cells, numeric, ranks)
    fair = narrowest_widths(names, cells, numeric, [1] * len(names))
    least = [
        floor if right else min(floor, NARROWEST_WORDS)
        for floor, right in zip(good, numeric, strict=True)
    ]
    for floors in (good, fair, least):
        while total(widths) > width:
            spare = [index for index, floor in enumerate(floors) if widths[index] > floor]
            if not spare:
                break
            widths[max(spare, key=lambda index: widths[index])] -= 1
    return widths


def folded(text: str, width: int) -> str:
    """A text in lines of at most ``width`` columns, folded at spaces, else within a word."""
    from rich.cells import cell_len, chop_cells

    if cell_len(text) <= width:
        return text
    indent = text[: len(text) - len(text.lstrip(" "))]  # a tree's level, kept whole
    lines: list[str] = []
    line = ""
    for word in _SPACE.split(text[len(indent) :]):
        joined = f"{line} {word}" if line else indent + word if not lines else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = chop_cells(word, width)
        lines.extend(full)
    return "\n".join([*lines, line])
