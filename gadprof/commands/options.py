"""The options that several commands share, each written once, and how they reach a command.

``result_options`` is the one rule for output: a command gets an ``Output`` that was checked before
any work. ``packed`` hands a command one frozen record instead of a dozen values.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gadprof.commands.option_types import BATCH, DURATION, MODEL, SIZE
from gadprof.output import choose_output, emit

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]
# the metavars of options that name a file or folder
PATHS = {"FILE": "file", "PATH": "file", "DIR": "folder", "FOLDER": "folder"}


class Command(click.Command):
    """A command whose help leaves through the one place that writes to a terminal.

    ``example`` is a command line that works; its help shows it, and so does the error of a missing
    argument or option.
    """

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example
        if example and example not in (self.help or ""):
            self.epilog = f"Example: {example}"

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        found = super().get_help_option(ctx)
        return found if found is None else through_emit(found)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words that are left; refuses an empty name of a file, which is no option left out."""
        left = super().parse_args(ctx, args)
        for parameter in self.params:
            value = ctx.params.get(parameter.name or "")
            typed = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
            empty = "" in value if isinstance(value, tuple) else value == ""
            # a variable of the same use, typed and unset ("$GITHUB_STEP_SUMMARY"), is left out
            if empty and typed and parameter.metavar in PATHS and not parameter.envvar:
                word, name = PATHS[parameter.metavar], parameter.opts[0]
                raise click.UsageError(f"'' names no {word}; name one, or leave {name} out", ctx)
        return left


def through_emit(option: click.Option) -> click.Option:
    """A help option that prints by ``emit``."""

    def show(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            emit(ctx.get_help())
            ctx.exit()

    option.callback = show
    return option


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """``click.command`` of ``Command``."""
    return click.command(name=name, cls=Command, **settings)


class Option(click.Option):
    """An option whose former names (``aliases``) still work and are not shown."""

    def __init__(self, *args: Any, aliases: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases = aliases

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        shown = self.opts
        self.opts = [*shown, *self.aliases]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


def option(*names: str, aliases: tuple[str, ...] = (), **settings: Any) -> Decorator[Any]:
    """``click.option`` with hidden former names."""
    return click.option(*names, cls=Option, aliases=aliases, **settings)


def packed(parameter: str, record: type[Any], *options: Decorator[Any]) -> Decorator[Any]:
    """Options whose values reach the command as one record: ``parameter`` of type ``record``.

    The record's fields are the options' names.
    """
    names = [field.name for field in dataclasses.fields(record)]

    def decorate(function: Function) -> Any:
        @functools.wraps(function)
        def called(*args: Any, **values: Any) -> Any:
            made = record(**{name: values.pop(name) for name in names})
            return function(*args, **{parameter: made}, **values)

        made: Any = called
        for add in reversed(options):
            made = add(made)
        return made

    return decorate


RESULT_FORMS = ("table", "json", "csv", "md")


def format_option(*more: str) -> Decorator[Any]:
    """``--format``, as ``output_format``: the four forms that every result has, and ``more``."""
    return option(
        "--format",
        "output_format",
        type=click.Choice((*RESULT_FORMS, *more)),
        help=f"How to print the result.  [default: {RESULT_FORMS[0]}]",
    )


def output_option(help_text: str = "Write to a file; its suffix names the form.") -> Decorator[Any]:
    """``-o FILE``, as ``output``."""
    return option("-o", "--output", "output", aliases=("--out",), metavar="FILE", help=help_text)


def result_options(*more: str, checked: Callable[..., Any] = choose_output) -> Decorator[Any]:
    """``--format`` and ``-o``: the command gets ``out``, an ``Output`` that was checked.

    The form is what ``--format`` says, else what the file's suffix says, else a table.
    """

    def decorate(function: Function) -> Any:
        @functools.wraps(function)
        def called(*args: Any, **values: Any) -> Any:
            form, path = values.pop("output_format"), values.pop("output")
            return function(*args, out=checked(form, path, (*RESULT_FORMS, *more)), **values)

        return format_option(*more)(output_option()(called))

    return decorate


def models_argument(*, required: bool = True) -> Decorator[Any]:
    """``MODEL...``, as ``models``."""
    shown = "MODEL..." if required else "[MODEL]..."
    return click.argument("models", nargs=-1, required=required, metavar=shown, type=MODEL)


def model_argument(function: Function) -> Function:
    """``MODEL``, as ``model``."""
    return click.argument("model", metavar="MODEL", type=MODEL)(function)


def picture_option(function: Function) -> Function:
    """``--input 3x256x192``, as ``input_texts``, for networks that take one picture."""
    return click.option(
        "--input",
        "input_texts",
        multiple=True,
        metavar="CxHxW",
        help="Input shape without the batch.",
    )(function)


def input_option(function: Function) -> Any:
    """``--input`` in the one grammar of inputs, as ``input_texts``; ``--trust`` for model files."""

    @functools.wraps(function)
    def called(*args: Any, trust: bool, **values: Any) -> Any:
        if trust:
            from gadprof.models.sources import trusted

            if "model" in values:
                values["model"] = trusted(values["model"])
            if "models" in values:
                values["models"] = tuple(map(trusted, values["models"]))
        return function(*args, **values)

    made: Any = click.option(
        "--input",
        "input_texts",
        multiple=True,
        metavar="[NAME=]CxHxW[:TYPE]",
        help="Input without the batch: 3x224x224, ids=128:int64<1000, boxes=[100x4] (whole), "
        "steps:=5, or a file .pt or .npz; repeat for several. MODEL@3x224x224 gives one its own.",
    )(called)
    return click.option(
        "--trust",
        is_flag=True,
        help="Load a module that was pickled whole: that runs the code it names.",
    )(made)


def batch_option(function: Function) -> Function:
    """``--batch N``, as ``batch``."""
    return click.option("--batch", type=BATCH, default=1, show_default=True, help="Batch size.")(
        function
    )


def timeout_option(help_text: str) -> Decorator[Any]:
    """``--timeout 300s``, as ``timeout`` in seconds."""
    return click.option(
        "--timeout", type=DURATION, default="300s", show_default=True, help=help_text
    )


calibrate_option: Decorator[Any] = click.option(
    "--calibrate",
    "calibration",
    default="",
    metavar="FOLDER",
    help="Pictures to calibrate integers on.  [default: synthetic inputs]",
)


memory_limit_option: Decorator[Any] = click.option(
    "--memory-limit",
    type=SIZE,
    help="Memory for one model, like 4GiB; four fifths of the machine's by default.",
)


@dataclasses.dataclass(frozen=True)
class Within:
    """The time and memory that one model's process may take."""

    timeout: float
    memory_limit: int | None

    @property
    def bounds(self) -> dict[str, Any]:
        """The same, as the functions that start such a process take it."""
        return {"timeout_s": self.timeout, "memory_limit_bytes": self.memory_limit}


def store_option(function: Function) -> Function:
    """``--store PATH``, as ``store``: the results store, or ``off``."""
    return click.option(
        "--store",
        metavar="PATH",
        help="Results store, or 'off'; default $GADPROF_STORE, else the user's data folder.",
    )(function)


def baseline_option(function: Function) -> Function:
    """``--baseline NAME|FILE|GIT-REF``, as ``baseline``."""
    return click.option(
        "--baseline",
        metavar="NAME|FILE|REF",
        help="Compare with kept figures: a name in the store, a JSON file, or a git ref.",
    )(function)


def save_as_option(function: Function) -> Function:
    """``--save-as NAME``, as ``save_as``: keep the results under a baseline's name."""
    return click.option(
        "--save-as", metavar="NAME", help="Keep the results in the store under this baseline name."
    )(function)


def config_option(function: Function) -> Function:
    """``--config FILE``, as ``config``."""
    return click.option(
        "--config", metavar="FILE", help="Configuration; default gadprof.toml or pyproject.toml."
    )(function)


def plot_option(help_text: str = "Draw the result (svg, pdf or png).") -> Decorator[Any]:
    """``--plot FILE``, as ``plot``; its former name was ``--figure`` in one command."""
    return option("--plot", aliases=("--figure",), metavar="FILE", help=help_text)


def limit_option(default: int | None, help_text: str) -> Decorator[Any]:
    """``--limit N``, as ``limit``; ``--show`` and ``--nearest`` were its names elsewhere."""
    from gadprof.commands.option_types import LIMIT

    return option(
        "--limit",
        aliases=("--show", "--nearest"),
        type=LIMIT,
        default=default,
        show_default=default is not None,
        help=help_text,
    )


def cluster_option(help_text: str) -> Decorator[Any]:
    """``--cluster ADDRESS`` of a Dask scheduler, as ``cluster``."""
    return click.option("--cluster", metavar="ADDRESS", help=help_text)
