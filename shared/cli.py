"""The command `crustwatch`: finds its sub-commands by entry point and imports only the one that is run."""

from __future__ import annotations

import re
import sys
from collections import Counter
from importlib.metadata import EntryPoint, entry_points, requires
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


def extra_with(module: str) -> str | None:
    """The smallest extra of crustwatch that installs the top-level `module`; None when no extra does."""
    found = re.compile(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]")
    pairs = [match.groups() for line in requires("crustwatch") or () if (match := found.match(line))]
    sizes = Counter(extra for _, extra in pairs)
    wanted = module.replace("_", "-").lower()
    return min((extra for name, extra in pairs if name == wanted), key=lambda extra: sizes[extra], default=None)


def main() -> None:
    """Run the command; errors raised on purpose, and missing extras, become one line and an exit code."""
    try:
        app()
    except CrustwatchError as error:
        typer.echo(f"crustwatch: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        module = (error.name or "").split(".")[0]
        extra = extra_with(module)
        if extra is None:
            raise
        typer.echo(f"crustwatch: {module} is missing: pip install 'crustwatch[{extra}]'", err=True)
        sys.exit(MissingPartError.exit_code)


if __name__ == "__main__":
    main()
