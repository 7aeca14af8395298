"""Every option of every command, each with values that it cannot take, read off the commands."""

from __future__ import annotations

from collections.abc import Iterator

import click

from benchmarks.fault_cases.case import Case

NUMBERS = ("", "nan", "-1", "1e300", "9" * 5000, "\u0664x", "\x1b[2J")
SIZES = ("", "nan", "-1GiB", "1e300GiB", "9" * 5000, "\x1b[2J")
CHOICES = ("", "nothing", "\x1b]0;t\x07")
PATHS = ("", "/nothing/at/all/f.json", "x" * 300 + ".json", "/dev/null/f.json", "/proc/f.json")
OUT = ("output", "plot", "junit", "json_path", "save_baseline", "draw", "results", "page", "trace")
# what a command needs before it looks at the option
NEEDS: dict[str, tuple[str, ...]] = {
    "compare": ("gadnet32",),
    "count": ("gadnet32",),
    "diff": ("gadnet32", "hrnet32"),
    "shapes": ("gadnet32",),
    "formula": ("--c-in=32",),
    "audit": ("gadnet32",),
    "reconcile": ("hrnet32", "--claimed=7.1G"),
    "bench": ("gadnet32",),
    "explain": ("gadnet32",),
    "predict": ("gadnet32", "--device=rtx3090"),
    "fit": ("gadnet32", "--device=24GiB"),
    "calibrate": ("--from=store", "--output=c.json"),
    "sweep": ("gadnet", "--width=8"),
    "search": ("gadnet", "--width=8"),
    "report": ("gadnet32",),
    "comment": ("check.json",),
    "train": ("gadnet32", "--data=nothing"),
    "evaluate": ("gadnet32", "--weights=nothing.pt", "--data=nothing"),
    "detect": ("gadnet32", "--image=nothing.png"),
    "redundancy": ("gadnet32", "--image=nothing.png"),
    "completion": ("bash",),
}


# of many models one that names nothing costs its own row: the others would be run, for minutes
MANY = ("bench", "explain", "fit", "report", "redundancy")


def _values(option: click.Option) -> tuple[str, ...]:
    kind = type(option.type).__name__
    if kind in ("Count", "Number", "Integers", "IntRange", "FloatRange", "IntParamType"):
        return NUMBERS
    if kind in ("Size", "Duration", "Share"):
        return SIZES
    if kind in ("Choice", "Words"):
        return CHOICES
    if option.name in OUT:
        return PATHS
    return ()


def cases() -> Iterator[Case]:
    """Each option of each command with each value that its type refuses."""
    from gadprof.cli import COMMANDS, app

    with click.Context(app) as context:
        found = {name: app.get_command(context, name) for name in COMMANDS}
    for name, command in found.items():
        assert command is not None
        words = NEEDS.get(name, ())
        for option in command.params:
            if not isinstance(option, click.Option) or option.is_flag or option.multiple:
                continue
            for number, value in enumerate(_values(option)):
                flag = max(option.opts, key=len)
                yield Case(
                    f"{name} {flag} {number} {value.encode('unicode_escape').decode()[:30]}",
                    (name, *words, f"{flag}={value}"),
                )
        yield Case(f"{name} with an option that is not there", (name, *words, "--nothing-of-it"))
        yield Case(f"{name} with an option of escapes", (name, *words, "--\x1b[2J"))
        if name not in MANY:
            yield Case(f"{name} with words too many", (name, *words, *("\u202e" * 3 + "x",) * 50),
                       exits=(1, 2), lines=60)  # fmt: skip
        yield Case(f"{name} --help on an odd width", (name, "--help"), exits=(0,),
                   env={"COLUMNS": "1"})  # fmt: skip
        if words:
            yield Case(f"{name} without anything", (name,), exits=(0, 1, 2))
        last = [o for o in command.params if isinstance(o, click.Option) and not o.is_flag]
        if last:
            yield Case(f"{name} whose last option has no value", (name, *words, last[-1].opts[-1]))
