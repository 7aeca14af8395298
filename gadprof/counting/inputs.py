"""One input of a model as plain data, without torch: what a caller asked for and nothing else.

Promises sizes with bounds: how an input is made into a tensor is decided where the model is known.
Refuses sizes that are not positive integers, or more elements than any machine holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from gadprof.errors import InputShapeError

MAX_SIZE = 2**31 - 1
MAX_ELEMENTS = 2**40  # of one input with its batch: four tebibytes of float32


@dataclass(frozen=True)
class Input:
    """One input of a model.

    ``shape`` is without the batch, or ``whole``: all there is. ``dtype`` is torch's name of its
    type ("" for the default), ``fill`` what it holds (``ones``, ``zeros``, ``arange``, a number, or
    ``<1000`` for integers below; "" for the default). ``name`` is the keyword that it is passed by,
    with the keys inside it (``batch.image``, ``boxes[0]``), "" for position. ``literal`` is a JSON
    value passed as it is, instead of a tensor; ``file`` a file that holds inputs.
    """

    shape: tuple[int, ...] = ()
    dtype: str = ""
    name: str = ""
    fill: str = ""
    whole: bool = False
    literal: str = ""
    file: str = ""

    @property
    def plain(self) -> bool:
        """Whether a shape says it all."""
        return self == Input(self.shape)

    @property
    def text(self) -> str:
        """The input as it is typed."""
        if self.file:
            return self.file
        if self.literal:
            return f"{self.name}:={self.literal}"
        sizes = "x".join(map(str, self.shape))
        fill = self.fill if self.fill.startswith("<") or not self.fill else f"={self.fill}"
        return "".join(
            (
                f"{self.name}=" if self.name else "",
                f"[{sizes}]" if self.whole else sizes,
                f":{self.dtype}" if self.dtype else "",
                fill,
            )
        )


def check_sizes(shape: tuple[int, ...], batch: int = 1) -> tuple[int, ...]:
    """Return a shape, or refuse sizes that no tensor can have. Raises InputShapeError."""
    for size in (batch, *shape):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputShapeError(
                f"{abridged(size)} is a size that is not positive; try for example 3x256x192"
            )
        if size > MAX_SIZE:
            raise InputShapeError(f"{abridged(size)} is a size over the limit of {MAX_SIZE:,}")
    if batch * prod(shape) > MAX_ELEMENTS:
        sizes = "x".join(map(str, (batch, *shape) if batch > 1 else shape))
        raise InputShapeError(
            f"input {sizes} has {batch * prod(shape):,} elements, more than {MAX_ELEMENTS:,}; "
            "try a smaller one"
        )
    return shape


def abridged(value: object, length: int = 40) -> str:
    """A value as a message shows it: whole, or its beginning where it is long."""
    if isinstance(value, int) and abs(value) >= 10**length:
        return f"a number of more than {length} digits"
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}…"
