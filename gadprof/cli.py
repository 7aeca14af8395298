"""The command line: a lazy table of commands, and one place where errors become exit codes.

A command's module is imported only when that command runs, so that ``gadprof formula`` never
pays for torch. Exit codes: 0 success, 1 a check that failed, 2 bad use, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys

import click
from click.shell_completion import CompletionItem

from gadprof.errors import GadprofError, nearest
from gadprof.version import __version__

# command -> (module:attribute, one line of help); the help is here so that listing imports nothing
COMMANDS: dict[str, tuple[str, str]] = {
    "models": ("gadprof.commands.models:models", "List what can be named, one line each."),
    "formula": (
        "gadprof.commands.formula:formula",
        "Closed forms GP, GG and Rs of a block, with every term.",
    ),
    "compare": ("gadprof.commands.compare:compare", "Compare models in one table."),
    "shapes": ("gadprof.commands.shapes:shapes", "Every feature map's channels and size."),
    "count": ("gadprof.commands.count:count", "Count a model exactly, by module or operation."),
    "audit": ("gadprof.commands.audit:audit", "Explain every other counter's number."),
    "reconcile": (
        "gadprof.commands.reconcile:reconcile",
        "Find the reading under which a published figure is true.",
    ),
    "zoo": (
        "gadprof.commands.zoo:zoo",
        "Explain the published figures of pose networks, row by row.",
    ),
    "bench": ("gadprof.commands.bench:bench", "Measure latency ratios, memory and energy."),
    "explain": ("gadprof.commands.explain:explain", "Where the time of two models goes, and why."),
    "report": ("gadprof.commands.report:report", "Write a markdown and an HTML report."),
    "check": ("gadprof.commands.check:check", "Gate a pipeline on cost budgets."),
    "history": ("gadprof.commands.history:history", "What the results store holds of a model."),
    "train": ("gadprof.commands.train:train", "Train a pose network on COCO keypoints."),
    "evaluate": ("gadprof.commands.evaluate:evaluate", "AP and AR of a trained network on COCO."),
    "predict": (
        "gadprof.commands.predict:predict",
        "Predict latency on a named device, or keypoints in a picture.",
    ),
    "calibrate": (
        "gadprof.commands.calibrate:calibrate",
        "Fit the latency model to your own measurements.",
    ),
    "fit": ("gadprof.commands.fit:fit", "The largest batch that fits a card's memory."),
    "redundancy": (
        "gadprof.commands.redundancy:redundancy",
        "How redundant a network's feature maps are.",
    ),
    "ablate": ("gadprof.commands.ablate:ablate", "The paper's four-variant ablation."),
    "paper": (
        "gadprof.commands.paper:paper",
        "Judge the paper's tables, equations and figures.",
    ),
    "sweep": ("gadprof.commands.sweep:sweep", "Cost millions of designs and keep the front."),
    "search": ("gadprof.commands.search:search", "Multi-objective search of a design space."),
    "completion": (
        "gadprof.commands.completion:completion",
        "Print a shell's completion script.",
    ),
}


class LazyGroup(click.Group):
    """A click group that imports a command's module on first use."""

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
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gadprof")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Exact costs, explained counters and honest measurements for efficient vision networks."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code; never shows a traceback without --debug."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    debug = "--debug" in argv
    arguments = ["--debug", *(word for word in argv if word != "--debug")] if debug else argv
    try:
        result = app.main(args=arguments, prog_name="gadprof", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return _fail("interrupted", 130)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = context.command_path if context else ""
        hint = f" (see '{command} --help')" if command else ""
        return _fail(_one_line(error.format_message()) + hint, 2)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except GadprofError as error:
        if debug:
            raise
        return _fail(_one_line(str(error)), error.exit_code)


def _one_line(text: str) -> str:
    """One line; of a very long one the beginning, and the end, which holds the way out."""
    text = " ".join(text.split())
    return text if len(text) <= 1500 else f"{text[:1000]} … {text[-400:]}"


def _fail(text: str, code: int) -> int:
    click.echo(f"gadprof: {text}", err=True)
    return code
