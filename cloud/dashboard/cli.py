"""`crustwatch watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from shared.pki.options import CaFile, CertFile, IdentityFolder, KeyFile

app = typer.Typer(add_completion=False)


@app.command()
def watch(
    broker: Annotated[
        str, typer.Option(envvar="CRUSTWATCH_BROKER", help="mqtt://host:port or mqtts://user:password@host:port")
    ] = "mqtt://127.0.0.1:1883",
    identity: IdentityFolder = None,
    ca: CaFile = None,
    cert: CertFile = None,
    key: KeyFile = None,
) -> None:
    """Show every gateway, verdict and worker live, from the same topics as any MQTT dashboard, until Ctrl-C.

    With an observer's certificate, verdicts that their gateway has not sealed are not shown.

    Example: crustwatch watch --broker mqtt://127.0.0.1:1883

    Example: crustwatch watch --broker mqtts://mqtt.plant.example --identity pki/observer/office
    """
    import os

    from cloud.dashboard.terminal import watch as show
    from shared.mqtt import parse_address
    from shared.pki.credentials import Credentials

    credentials = Credentials.of(identity, ca, cert, key)
    show(parse_address(broker), f"cw-watch-{os.getpid()}", credentials)
