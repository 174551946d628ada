"""The command `crustwatch`: finds its sub-commands by entry point and imports only the one that is run."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from shared import __version__
from shared.errors import CrustwatchError, MissingPartError

GROUP = "crustwatch.commands"


class EntryPointGroup(TyperGroup):
    """A command group whose members are the Typer apps registered under the entry-point group GROUP."""

    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=GROUP)}

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in alphabetical order."""
        return sorted(self._entries())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the Typer app called `cmd_name`; None when there is none. Raises MissingPartError."""
        entry = self._entries().get(cmd_name)
        if entry is None:
            return None
        try:
            app = entry.load()
        except ImportError as error:
            raise MissingPartError(f"crustwatch {cmd_name} is not installed completely: {error}") from error
        command = get_command(app)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="crustwatch",
    cls=EntryPointGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crustwatch {__version__}")
        raise typer.Exit


@app.callback()
def crustwatch(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Edge-to-cloud inspection: an RP2040 decides what it is sure of, Spatial-MLLM answers the rest.

    Try: crustwatch demo
    """


def main() -> None:
    """Run the command; errors raised on purpose become one line and their exit code."""
    try:
        app()
    except CrustwatchError as error:
        typer.echo(f"crustwatch: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
