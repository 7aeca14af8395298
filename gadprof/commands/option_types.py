"""The types of every command's values: durations, sizes, shares, counts, lists, devices, choices.

Promises bounds that the message says, and one spelling everywhere: ``--timeout 5s``,
``--memory-limit 4GiB``, ``--precision 2%``, ``--batch 1,8`` or ``1:8``. Refuses with one line that
names the option, the rule and an example. Completion knows the values where they can be listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from gadprof.errors import ConfigError, nearest

MOST_BATCH = 1 << 20
MOST_THREADS = 1024
MOST_PROCESSES = 256
MOST_SEED = 2**32 - 1
LONGEST_LIST = 1000
LEAST_MEMORY = 16 << 20


class Count(click.IntRange):
    """A whole number with bounds, which the help and the refusal say."""

    name = "n"

    def __init__(self, least: int = 1, most: int = 1_000_000_000) -> None:
        super().__init__(least, most)

    def _describe_range(self) -> str:
        return f"{self.min:,} to {self.max:,}"


BATCH = Count(1, MOST_BATCH)
THREADS = Count(1, MOST_THREADS)
PROCESSES = Count(1, MOST_PROCESSES)
LIMIT = Count(1, 100_000)
SEED = Count(0, MOST_SEED)


class Number(click.FloatRange):
    """A finite number with bounds, which the help and the refusal say."""

    name = "number"

    def __init__(self, least: float, most: float, *, above: bool = False) -> None:
        super().__init__(least, most, min_open=above)

    def _describe_range(self) -> str:
        return f"{'above ' if self.min_open else ''}{self.min:g} to {self.max:g}"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super(click.FloatRange, self).convert(value, param, ctx))
        if number != number:  # a NaN lies within every bound
            self.fail(f"{value!r} is not a number.", param, ctx)
        return float(super().convert(number, param, ctx))


class _Quantity(click.ParamType):  # type: ignore[type-arg]
    """A value with a unit, read as a configuration reads it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ConfigError as error:
            self.fail(str(error).removeprefix("value = "), param, ctx)

    def read(self, text: str) -> Any:
        """The value of a text; raises ConfigError."""
        raise NotImplementedError


class Duration(_Quantity):
    """``60``, ``60s``, ``2m`` or ``500ms`` in seconds: above 0, at most 30 days."""

    name = "duration"

    def read(self, text: str) -> float:
        from gadprof.results.quantities import read_duration

        return read_duration(text, "value")


class Size(_Quantity):
    """``4GiB`` or ``500MB`` in bytes, at least 16 MiB, at most 1 PiB."""

    name = "size"

    def read(self, text: str) -> int:
        from gadprof.results.quantities import read_bytes

        size = read_bytes(text, "value")
        if not LEAST_MEMORY <= size <= 1 << 50:
            raise ConfigError(f"{text!r} is not a size from 16MiB to 1024TiB; try 4GiB")
        return size


class Share(_Quantity):
    """``2%`` or ``0.02`` as 0.02; above 0 and below 1."""

    name = "share"

    def read(self, text: str) -> float:
        from gadprof.results.quantities import read_share

        share = float(read_share(text, "value"))
        if not 0 < share < 1:
            raise ConfigError(f"{text!r} is not a share between 0 and 100 %; try 2%")
        return share


class ShareOrFormats(Share):
    """A share like ``2%``, or number formats like ``fp32,int8``: as a float, or as words."""

    name = "share"

    def __init__(self, formats: Callable[[], Sequence[str]]) -> None:
        self._formats = formats

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and re.match(r"\s*[a-zA-Z]", value):
            return Words(self._formats).convert(value, param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return completed(self._formats(), incomplete)


class Integers(click.ParamType):  # type: ignore[type-arg]
    """``8``, ``8,16,32`` or a range ``16:64:8`` (end included) as positive integers.

    At most 1000 of them, each at most ``most``.
    """

    name = "integers"

    def __init__(self, most: int = 1_000_000_000) -> None:
        self.most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        values: list[int] = []
        for part in value.split(","):
            match = re.fullmatch(r"\s*(\d{1,18})(?::(\d{1,18})(?::(\d{1,18}))?)?\s*", part)
            if match is None:
                self.fail(
                    f"{part[:60]!r} is not a positive integer or a range like 16:64:8", param, ctx
                )
            start, stop, step = match.groups()
            numbers = range(int(start), int(stop or start) + 1, max(1, int(step or 1)))
            if len(values) + len(numbers) > LONGEST_LIST:
                self.fail(f"{value[:60]!r} names more than {LONGEST_LIST} values", param, ctx)
            values.extend(numbers)
        if not values or min(values) <= 0:
            self.fail(f"{value[:60]!r} must be positive", param, ctx)
        if max(values) > self.most:
            self.fail(f"{max(values):,} is above {self.most:,}", param, ctx)
        return tuple(values)


class Words(click.ParamType):  # type: ignore[type-arg]
    """A comma-separated list of known words, each once, in the order given."""

    name = "words"

    def __init__(self, known: Sequence[str] | Callable[[], Sequence[str]]) -> None:
        self._known = known

    @property
    def known(self) -> Sequence[str]:
        """The words, read when they are asked for."""
        return self._known() if callable(self._known) else self._known

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if not isinstance(value, str):
            return tuple(value)
        words = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
        for word in words:
            if word not in self.known:
                hint = nearest(word, self.known) or f"; one of {', '.join(self.known)}"
                self.fail(f"{word!r} is not known{hint}", param, ctx)
        if not words:
            self.fail(f"empty; one of {', '.join(self.known)}", param, ctx)
        return words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return completed(self.known, incomplete)


class Named(click.ParamType):  # type: ignore[type-arg]
    """One word that the command itself checks; completion offers the known ones."""

    def __init__(self, name: str, known: Callable[[], Sequence[str]]) -> None:
        self.name = name
        self._known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return completed(self._known(), incomplete)


def completed(known: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """The known words that go on from what is typed, after its last comma."""
    head, comma, last = incomplete.rpartition(",")
    taken = head.split(",")
    return [
        CompletionItem(f"{head}{comma}{word}")
        for word in known
        if word.startswith(last) and word not in taken
    ]


def _models() -> Sequence[str]:
    from gadprof.networks.spec import known_presets

    return (*known_presets(), "timm:", "torchvision:", "transformers:", "ultralytics:")


def _blocks() -> Sequence[str]:
    from gadprof.networks.blocks.names import FORMULA_BLOCKS

    return tuple(FORMULA_BLOCKS)


def _counters() -> Sequence[str]:
    from gadprof.audit.backends import BACKENDS

    return ("all", *BACKENDS)


def _cards() -> Sequence[str]:
    from gadprof.prediction.fits import fits
    from gadprof.prediction.sheets import card_sheets

    return tuple(dict.fromkeys((*(fit.device for fit in fits().values()), *card_sheets())))


def _sheets() -> Sequence[str]:
    from gadprof.measuring.explain.roofline import sheets

    return tuple(sheets())


def _runtimes() -> Sequence[str]:
    from gadprof.measuring.settings import RUNTIMES

    return (*RUNTIMES, "all")


def _formats() -> Sequence[str]:
    from gadprof.measuring.settings import DTYPES

    return DTYPES


DURATION = Duration()
SIZE = Size()
SHARE = Share()
MODEL = Named("model", _models)
BLOCKS = Named("block", _blocks)
COUNTERS = Named("counter", _counters)
CARD = Named("device", _cards)
SHEET = Named("device", _sheets)
DEVICE = Named("device", lambda: ("cpu", "cuda", "mps"))
PLACE = Named("device", lambda: ("cpu", "cuda", "mps", *_cards()))
RUNTIME_LIST = Words(_runtimes)
PRECISION = ShareOrFormats(_formats)
