"""A dataclass of options is one parameter of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from shared.option_groups import grouped


@dataclass(frozen=True)
class Light:
    lamp: Annotated[str, typer.Option(help="Which lamp.")] = "left"
    level: Annotated[int, typer.Option(min=0)] = 3


BRIGHT = Light(level=9)
SEEN: list[object] = []
app = typer.Typer()


@app.command()
@grouped
def read(book: str, light: Light, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
    """Read a book."""
    SEEN.append((book, light, loud))


@app.command()
@grouped
def search(light: Light = BRIGHT) -> None:
    """Search."""
    SEEN.append(light)


def test_a_group_becomes_options_and_comes_back_whole() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["read", "Faust", "--lamp", "right", "--loud"]).exit_code == 0
    assert runner.invoke(app, ["search", "--lamp", "up"]).exit_code == 0
    assert [("Faust", Light("right"), True), Light("up", 9)] == SEEN
    assert runner.invoke(app, ["search", "--level", "-1"]).exit_code == 2
    assert "Which lamp." in runner.invoke(app, ["read", "--help"]).output
