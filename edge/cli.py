"""`crustwatch edge`: the gateway and the learning of its classifier."""

from __future__ import annotations

import typer

from edge.certification.cli import app as certification
from edge.comparison.cli import app as comparison
from edge.gateway.cli import app as gateway
from edge.learning.cli import app as learning
from edge.learning.search_cli import app as search
from edge.loop.cli import app as loop

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Run the gateway beside the oven; train, certify, compare and renew its classifier.",
)
app.add_typer(gateway)
app.add_typer(learning)
app.add_typer(search)
app.add_typer(certification)
app.add_typer(comparison)
app.add_typer(loop)
