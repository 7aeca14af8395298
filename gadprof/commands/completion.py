"""``gadprof completion``: the script that makes a shell complete commands, options and models."""

from __future__ import annotations

import click

from gadprof.commands.options import command

_USE = {
    "bash": "gadprof completion bash > ~/.gadprof-complete.bash; "
    "echo '. ~/.gadprof-complete.bash' >> ~/.bashrc",
    "zsh": "gadprof completion zsh > ~/.gadprof-complete.zsh; "
    "echo '. ~/.gadprof-complete.zsh' >> ~/.zshrc",
    "fish": "gadprof completion fish > ~/.config/fish/completions/gadprof.fish",
}


@command(
    name="completion", example="gadprof completion bash", epilog="\b\n" + "\n".join(_USE.values())
)
@click.argument("shell", type=click.Choice(tuple(_USE)))
def completion(shell: str) -> None:
    """Print the completion script of SHELL."""
    from click.shell_completion import get_completion_class

    from gadprof.cli import app
    from gadprof.output import emit

    found = get_completion_class(shell)
    assert found is not None
    script = found(app, {}, "gadprof", "_GADPROF_COMPLETE").source_template
    values = {
        "complete_func": "_gadprof_completion",
        "complete_var": "_GADPROF_COMPLETE",
        "prog_name": "gadprof",
    }
    emit(script % values)
