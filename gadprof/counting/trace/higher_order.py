"""Operators that take functions: counted by what their bodies do, as often as they run.

``run_bodies`` runs the bodies of loops, scans, maps and branches one after another under the
recording mode, each step as it comes, so that their operations are seen like any others; taking
steps apart and stacking their results is not counted, since a kernel reads and writes in place.
An operator that it does not know is left to its rule, or listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

Steps = Callable[[Any, Sequence[Any]], Any]


def run_bodies(mode: Any, name: str, args: Sequence[Any]) -> Any:
    """The result of an operator by its bodies, seen by ``mode``; NotImplemented where unknown."""
    steps = BODIES.get(name)
    return NotImplemented if steps is None else steps(mode, args)


def _cond(mode: Any, args: Sequence[Any]) -> Any:
    """The branch taken is what runs; on meta nothing says which."""
    with mode:
        return (args[1] if bool(args[0]) else args[2])(*args[3])


def _switch(mode: Any, args: Sequence[Any]) -> Any:
    branches = args[1]
    with mode:
        return branches[min(max(int(args[0]), 0), len(branches) - 1)](*args[2])


def _while(mode: Any, args: Sequence[Any]) -> Any:
    test, body, carried, more = args[:4]
    while True:
        with mode:
            goes_on = bool(test(*carried, *more))
        if not goes_on:
            return tuple(carried)
        with mode:
            carried = body(*carried, *more)


def _scan(mode: Any, args: Sequence[Any]) -> Any:
    combine, carried, sequences, more = args[:4]
    made: list[Sequence[Any]] = []
    for index in range(int(sequences[0].shape[0])):
        with mode:
            results = combine(*carried, *[item[index] for item in sequences], *more)
        carried, rest = results[: len(carried)], results[len(carried) :]
        made.append(rest)
    return [*carried, *_stacked(made)]


def _map(mode: Any, args: Sequence[Any]) -> Any:
    function, sequences, more = args[:3]
    made: list[Sequence[Any]] = []
    for index in range(int(sequences[0].shape[0])):
        with mode:
            results = function(*[item[index] for item in sequences], *more)
        made.append(results if isinstance(results, (tuple, list)) else (results,))
    return _stacked(made)


def _stacked(made: Sequence[Sequence[Any]]) -> list[Any]:
    return [torch.stack(list(items)) for items in zip(*made, strict=True)]


def _called(function: int, rest: int, unpacked: bool) -> Steps:
    """One function among the arguments, called once with those from ``rest`` on."""

    def steps(mode: Any, args: Sequence[Any]) -> Any:
        given = args[rest] if unpacked else args[rest:]
        with mode:
            return args[function](*given)

    return steps


BODIES: dict[str, Steps] = {
    "cond": _cond,
    "switch": _switch,
    "while_loop": _while,
    "scan": _scan,
    "map_impl": _map,
    "invoke_subgraph": _called(0, 2, unpacked=False),
    "wrap": _called(0, 1, unpacked=False),
    "hints_wrapper": _called(0, 1, unpacked=True),
    "strict_mode": _called(0, 1, unpacked=True),
    "run_const_graph": _called(0, 1, unpacked=True),
}
