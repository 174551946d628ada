"""`crustwatch watch`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def watch(
    broker: Annotated[
        str, typer.Option(envvar="CRUSTWATCH_BROKER", help="mqtt://host:port or mqtts://user:password@host:port")
    ] = "mqtt://127.0.0.1:1883",
) -> None:
    """Show every gateway, verdict and worker live, from the same topics as any MQTT dashboard, until Ctrl-C.

    Example: crustwatch watch --broker mqtt://127.0.0.1:1883
    """
    import os

    from cloud.dashboard.terminal import watch as show
    from shared.mqtt import parse_address

    show(parse_address(broker), f"cw-watch-{os.getpid()}")
