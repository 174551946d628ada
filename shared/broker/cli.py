"""`crustwatch broker`: the embedded broker on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def broker() -> None:
    """Run the embedded MQTT broker (mosquitto when installed, else iotcore), on loopback only."""


@app.command()
def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 1883,
    kind: Annotated[str, typer.Option(help="auto, mosquitto or iotcore.")] = "auto",
    data: Annotated[Path | None, typer.Option(help="Folder that keeps the broker's data and log.")] = None,
) -> None:
    """Run a broker on 127.0.0.1 until Ctrl-C.

    Example: crustwatch broker run --port 1883
    """
    import signal
    import threading

    from shared.broker.embedded import EmbeddedBroker
    from shared.errors import BadInputError, CrustwatchError

    if kind not in ("auto", "mosquitto", "iotcore"):
        raise BadInputError(f"--kind is auto, mosquitto or iotcore, not {kind!r}")
    wanted = None if kind == "auto" else kind
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with EmbeddedBroker(wanted, port, data) as embedded:  # type: ignore[arg-type]
        typer.echo(f"{embedded.kind} (pid {embedded.pid}) serves {embedded.address} until Ctrl-C")
        while not stop.wait(2.0):
            if not embedded.is_alive() and not stop.is_set():
                raise CrustwatchError(f"{embedded.kind} stopped answering on {embedded.address}")
