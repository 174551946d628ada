"""Options that the commands about models share. Imports typer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TaskName = Annotated[str, typer.Option(help="Name of a task, or path of its .toml file.")]
Data = Annotated[
    str | None,
    typer.Option(help="Photographs: a folder with a sub-folder a label, a .csv table, or elpv; default: the task's."),
]
SigningKey = Annotated[
    Path | None,
    typer.Option(
        help="Ed25519 key that signs (PEM), made on first use; default: ~/.config/crustwatch/certificate-key.pem."
    ),
]
Cache = Annotated[Path | None, typer.Option(help="Where rendered frames are kept; default: the user's cache folder.")]
Processes = Annotated[int, typer.Option(help="Processes that render frames.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
