"""Numbers on the command line: one spelling a kind, bounds that are said, no traceback."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from gadprof.cli import COMMANDS, app
from gadprof.commands.option_types import (
    BATCH,
    DURATION,
    SHARE,
    SIZE,
    Integers,
    Number,
    Words,
)
from gadprof.commands.options import packed


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DURATION, "60", 60.0),
        (DURATION, "1.5m", 90.0),
        (DURATION, "500ms", 0.5),
        (DURATION, "2 h", 7200.0),
        (SIZE, "4GiB", 4 << 30),
        (SIZE, "500MB", 500_000_000),
        (SIZE, "64mib", 64 << 20),
        (SIZE, "1.5gib", 3 << 29),
        (SHARE, "2%", 0.02),
        (SHARE, "0.02", 0.02),
        (SHARE, ".5%", 0.005),
        (Integers(), "8", (8,)),
        (Integers(), "1,8:16:4", (1, 8, 12, 16)),
        (Words(("a", "b")), "b,a,b", ("b", "a")),
    ],
)
def test_a_value_is_read_in_base_units(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (DURATION, "nan", "not a quantity"),
        (DURATION, "inf", "not a quantity"),
        (DURATION, "1e300", "not a quantity"),
        (DURATION, "-1s", "not a quantity"),
        (DURATION, "0", "above 0 and at most 30 days"),
        (DURATION, "99999h", "above 0 and at most 30 days"),
        (DURATION, "5 parsecs", "unknown unit 'parsecs'"),
        (DURATION, "9" * 5000, "not a quantity"),
        (SIZE, "nan", "not a quantity"),
        (SIZE, "4", "is not a size from 16MiB"),
        (SIZE, "4G", "could be 4GiB or 4GB"),
        (SIZE, "9999999TiB", "is not a size from 16MiB"),
        (SHARE, "0", "between 0 and 100 %"),
        (SHARE, "100%", "between 0 and 100 %"),
        (SHARE, "nan", "not a quantity"),
        (BATCH, "9999999999999999999", "1 to 1,048,576"),
        (BATCH, "0", "1 to 1,048,576"),
        (Integers(100), "101", "101 is above 100"),
        (Integers(), "1:999999999", "more than 1000 values"),
        (Integers(), "0", "positive"),
        (Integers(), "9" * 5000, "not a positive integer"),
        (Number(0, 1), "nan", "not a number"),
        (Number(0, 1), "inf", "0 to 1"),
        (Words(("macs",)), "mac", "did you mean 'macs'"),
    ],
)
def test_what_is_no_value_is_refused_with_the_rule(kind, text, words):
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert words in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "hrnet32", "--batch", "9999999999999999999"),
        ("compare", "hrnet32", "--input", "64000000x64000000"),
        ("compare", "hrnet32", "--timeout", "nan"),
        ("compare", "hrnet32:blocks=999999999"),
        ("compare", "hrnet32:modules=1-1000000-3"),
        ("compare", "hrnet32:width=" + "9" * 5000),
        ("compare", "hourglass8:stacks=1000000"),
        ("shapes", "hrnet32", "--input", "9" * 5000 + "x64"),
        ("bench", "hrnet32", "--batch", "1:999999999"),
        ("bench", "hrnet32", "--memory-limit", "nan"),
        ("bench", "hrnet32", "--threads", "100000"),
        ("sweep", "gadnet", "--width", "4294967296,8"),
        ("sweep", "gadnet", "--input", "64000000x64000000"),
        ("sweep", "gadnet", "--width", "16", "--seed", "-1"),
        ("formula", "--c-in", "99999999999"),
        ("formula", "--c-in", "8", "--precision", "1e300"),
        ("check", "--time-limit", "inf"),
        ("train", "gadnet32", "--lr", "nan"),
        ("train", "gadnet32", "--epochs", "99999999999999999999"),
    ],
)
def test_a_number_without_bounds_costs_one_line_and_no_work(arguments, run_cli):
    code, out, err = run_cli(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "fault of gadprof" not in err
    assert len(err) < 1600


def test_a_plan_of_ordinary_size_is_still_built(run_cli):
    assert run_cli("compare", "hrnet32:blocks=8-8-8-8,modules=2-8-6")[0] == 0


def test_a_former_name_works_and_is_not_shown(run_cli):
    assert run_cli("formula", "--cin", "64", "--cout", "64")[0] == 0
    shown = run_cli("formula", "--help")[1]
    assert "--c-in" in shown
    assert "--cin" not in shown
    assert "--show" not in run_cli("sweep", "--help")[1]
    assert "--torch-device" not in run_cli("evaluate", "--help")[1]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_no_command_has_a_dozen_parameters_or_options_by_string(name):
    import importlib
    import inspect

    module, _, attribute = COMMANDS[name][0].partition(":")
    function = inspect.unwrap(getattr(importlib.import_module(module), attribute).callback)
    parameters = inspect.signature(function).parameters.values()
    assert len(parameters) < 10
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)


def test_packed_hands_over_one_frozen_record():
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Pair:
        left: int
        right: str

    @click.command()
    @packed("pair", Pair, click.option("--left", type=int), click.option("--right"))
    def command(pair: Pair) -> None:
        click.echo(f"{pair.left}{pair.right}")

    assert CliRunner().invoke(command, ["--left", "3", "--right", "x"]).output == "3x\n"


def completions(line: str) -> list[str]:
    """What a shell would offer at the end of a line."""
    from click.shell_completion import ShellComplete

    words = line.split(" ")
    complete = ShellComplete(app, {}, "gadprof", "_GADPROF_COMPLETE")
    return [item.value for item in complete.get_completions(words[:-1], words[-1])]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("comp", "compare"),
        ("compare hrn", "hrnet32"),
        ("count gad", "gadnet32"),
        ("predict hrnet32 --device rtx4", "rtx4090"),
        ("diff hrnet32 gadnet32 --device rtx3090,rtx4", "rtx3090,rtx4090"),
        ("formula --block cb", "cbam"),
        ("audit hrnet32 --backends fv", "fvcore"),
        ("bench hrnet32 --runtime eager,onnx", "eager,onnxruntime"),
        ("bench hrnet32 --device cu", "cuda"),
        ("compare hrnet32 --format l", "latex"),
        ("explain hrnet32 --roofline h1", "h100"),
        ("models --knobs litehr", "litehrnet18"),
    ],
)
def test_completion_knows_the_values(line, offered):
    assert offered in completions(line)


def test_help_is_readable_without_arguments_and_in_groups(run_cli):
    code, out, err = run_cli()
    assert (code, err) == (0, "")
    assert "Measure and predict:\n" in out
    lines = out.splitlines()
    assert sum(line.startswith("  compare ") for line in lines) == 1
    assert all(len(line) <= 100 for line in lines)
