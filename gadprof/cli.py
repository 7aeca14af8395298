"""The command line: a lazy table of commands, and one place where errors become exit codes.

A command's module is imported only when that command runs, so that ``gadprof formula`` never
pays for torch. Exit codes: 0 success, 1 a check that failed, 2 bad use, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys

import click
from click.shell_completion import CompletionItem

from gadprof.commands.options import through_emit
from gadprof.errors import GadprofError, is_interrupt, nearest, os_reason
from gadprof.output import ReaderGoneError, emit, tell
from gadprof.version import __version__

# group -> command -> (module:attribute, one line of help); listing them imports nothing
_HERE = "gadprof.commands"
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Count": {
        "compare": (f"{_HERE}.compare:compare", "Compare models in one table."),
        "count": (f"{_HERE}.count:count", "Count a model exactly, by module or operation."),
        "diff": (f"{_HERE}.diff:diff", "Which modules changed, between models or git refs."),
        "shapes": (f"{_HERE}.shapes:shapes", "Every feature map's channels and size."),
        "formula": (
            f"{_HERE}.formula:formula",
            "Closed forms GP, GG and Rs of a block, with every term.",
        ),
        "models": (f"{_HERE}.models:models", "List what can be named, one line each."),
        "rules": (f"{_HERE}.rules:rules", "Every operation that is counted, with its formula."),
    },
    "Explain figures": {
        "audit": (f"{_HERE}.audit:audit", "Explain every other counter's number."),
        "reconcile": (
            f"{_HERE}.reconcile:reconcile",
            "Find the reading under which a published figure is true.",
        ),
        "zoo": (f"{_HERE}.zoo:zoo", "Explain the published figures of pose networks, row by row."),
        "paper": (f"{_HERE}.paper:paper", "Judge the paper's tables, equations and figures."),
    },
    "Measure and predict": {
        "bench": (f"{_HERE}.bench:bench", "Measure latency ratios, memory and energy."),
        "export": (f"{_HERE}.export:export", "A model as the file of a runtime, checked."),
        "explain": (f"{_HERE}.explain:explain", "Where the time of two models goes, and why."),
        "predict": (f"{_HERE}.predict:predict", "Predict latency on a named device."),
        "fit": (f"{_HERE}.fit:fit", "The largest batch that fits a card's memory."),
        "devices": (
            f"{_HERE}.devices:devices",
            "List the devices that latency is predicted for, and how well.",
        ),
        "calibrate": (
            f"{_HERE}.calibrate:calibrate",
            "Fit the latency model to your own measurements.",
        ),
    },
    "Design": {
        "sweep": (f"{_HERE}.sweep:sweep", "Cost millions of designs and keep the front."),
        "search": (f"{_HERE}.search:search", "Multi-objective search of a design space."),
    },
    "Report and gate": {
        "report": (f"{_HERE}.report:report", "Write a markdown and an HTML report."),
        "check": (f"{_HERE}.check:check", "Gate a pipeline on cost budgets."),
        "comment": (f"{_HERE}.comment:comment", "Post a check as the pull request's comment."),
        "history": (f"{_HERE}.history:history", "What the results store holds of a model."),
    },
    "Train and evaluate": {
        "train": (f"{_HERE}.train:train", "Train a pose network on COCO keypoints."),
        "evaluate": (f"{_HERE}.evaluate:evaluate", "AP and AR of a trained network on COCO."),
        "detect": (f"{_HERE}.detect:detect", "Find keypoints in a picture."),
        "redundancy": (
            f"{_HERE}.redundancy:redundancy",
            "How redundant a network's feature maps are.",
        ),
        "ablate": (f"{_HERE}.ablate:ablate", "The paper's four-variant ablation."),
    },
    "Set up": {
        "doctor": (f"{_HERE}.doctor:doctor", "What is installed, missing, and how to get it."),
        "schema": (f"{_HERE}.schema:schema", "The JSON Schema of a command's JSON."),
        "completion": (f"{_HERE}.completion:completion", "Print a shell's completion script."),
    },
}
COMMANDS: dict[str, tuple[str, str]] = {
    name: entry for group in GROUPS.values() for name, entry in group.items()
}


class LazyGroup(click.Group):
    """A click group that imports a command's module on first use."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        found = super().get_help_option(ctx)
        return found if found is None else through_emit(found)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands by name, without importing any; options as click lists them."""
        names = [
            CompletionItem(name, help=help_line)
            for name, (_, help_line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            hint = nearest(args[0], COMMANDS) or "; 'gadprof --help' lists the commands"
            raise click.UsageError(f"unknown command {args[0]!r}{hint}", ctx)
        if args[:1] == ["predict"] and any(word.partition("=")[0] == "--image" for word in args):
            args = ["detect", *args[1:]]  # keypoints were a half of predict once
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl(
                    [(name.ljust(width), line) for name, (_, line) in commands.items()]
                )


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        emit(f"gadprof, version {__version__}")
        context.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="gadprof COMMAND --help says the rest; begin with: gadprof compare hrnet32 gadnet32",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--color",
    type=click.Choice(("auto", "always", "never")),
    default="auto",
    help="Colour on a terminal (auto, respects NO_COLOR), always or never.",
)
@click.pass_context
def app(context: click.Context, debug: bool, color: str) -> None:
    """Exact costs, explained counters and honest measurements for efficient vision networks."""
    context.color = {"always": True, "never": False}.get(color)
    if context.invoked_subcommand is None:
        emit(context.get_help())


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code; never shows a traceback without --debug."""
    _fill_standard_streams()
    _forget_impossible_sizes()
    if sys.stdout is not None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the help, where the encoding is poor
    code = run(sys.argv[1:] if argv is None else argv)
    _remove_empty_cache()
    sys.exit(code)


def _fill_standard_streams() -> None:
    """Keep the first three descriptors taken where a shell closed them.

    Else the next file opened, say the store, would be what a child process writes its output to.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _remove_empty_cache() -> None:
    """Remove the folder that torch makes for what it compiles, where nothing was compiled."""
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
    if os.path.basename(folder).startswith("torchinductor_"):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _forget_impossible_sizes() -> None:
    """Drop a terminal's size that no terminal has, for libraries take any digits for a number."""
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")
        if not size.isdecimal() or len(size) > 5:
            os.environ.pop(name, None)


# options of the program that may also stand behind the command's name
_ANYWHERE = ("--debug",)


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    debug = "--debug" in argv
    ours = [word for word in argv if word in _ANYWHERE or word.startswith("--color=")]
    arguments = [*ours, *(word for word in argv if word not in ours)]
    try:
        result = app.main(args=arguments, prog_name="gadprof", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except click.MissingParameter as error:
        return _fail(_missing(error), 2)
    except click.NoSuchOption as error:
        return _fail(_unknown_option(error), 2)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = context.command_path if context else ""
        hint = f" (see '{command} --help')" if command else ""
        return _fail(_one_line(error.format_message()) + hint, 2)
    except ReaderGoneError:
        return 0
    except GadprofError as error:
        if debug:
            raise
        return _fail(_one_line(str(error)), error.exit_code)
    except OSError as error:
        if debug:
            raise
        named = f"{error.filename!r}: " if error.filename else ""
        return _fail(_one_line(f"{named}{os_reason(error)}"), 2)
    except Exception as error:
        if is_interrupt(error):
            return _fail("interrupted", 130)
        if debug:
            raise
        words = _one_line(f"{type(error).__name__}: {error}")
        return _fail(f"this is a fault of gadprof: {words}; --debug shows where", 2)


def _missing(error: click.MissingParameter) -> str:
    """What is missing, and a command line that has it."""
    context, parameter = error.ctx, error.param
    if context is None or parameter is None:
        return error.format_message()
    option = isinstance(parameter, click.Option)
    what = parameter.opts[0] if option else parameter.make_metavar(context)
    example = getattr(context.command, "example", "")
    way = f"type for example: {example}" if example else f"see '{context.command_path} --help'"
    return f"{what} is missing; {way}"


def _unknown_option(error: click.NoSuchOption) -> str:
    """An option that is not there, the nearest that the help shows, and where the help is."""
    if error.ctx is None:
        return error.format_message()
    shown = [
        name
        for item in error.ctx.command.get_params(error.ctx)
        if isinstance(item, click.Option) and not item.hidden
        for name in (*item.opts, *item.secondary_opts)
    ]
    where = error.ctx.command_path
    hint = nearest(error.option_name, shown) or f"; '{where} --help' lists the options"
    return f"{where} has no option {error.option_name!r}{hint}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fail(text: str, code: int) -> int:
    tell(f"gadprof: {text}")
    return code
