"""`crustwatch broker`: the embedded broker on its own, and the configuration of a site's broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def broker() -> None:
    """Run the embedded MQTT broker on loopback, or configure a mosquitto with TLS for a site."""


@app.command()
def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 1883,
    kind: Annotated[str, typer.Option(help="auto, mosquitto or iotcore.")] = "auto",
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps the broker's data and log; default: a temporary one.")
    ] = None,
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


@app.command()
def config(
    out: Annotated[Path, typer.Option(help="Folder for mosquitto.conf, its access rules, certificate and key.")],
    pki: Annotated[
        Path, typer.Option(envvar="CRUSTWATCH_PKI", help="Folder of the authority (crustwatch pki init).")
    ] = Path("pki"),
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port; there is only TLS.")] = 8883,
    data: Annotated[Path | None, typer.Option(help="Folder for what the broker keeps; default: OUT/data.")] = None,
    user: Annotated[str, typer.Option(help="Whom mosquitto becomes when root starts it.")] = "mosquitto",
    max_connections: Annotated[int, typer.Option(min=1, help="Clients at a time.")] = 2000,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a complete mosquitto configuration: TLS 1.3, client certificates, access rules for each identity, limits.

    Run it again, and send mosquitto SIGHUP, after `crustwatch pki issue` or `revoke`.

    Example: crustwatch broker config --pki pki --out /etc/mosquitto/crustwatch
    """
    import json as json_module

    from shared.broker.site import CONFIGURATION, SiteBroker, barring_folder, write_site
    from shared.pki.authority import Authority, utc_now

    site = SiteBroker(listen, port, user, max_connections)
    holders = write_site(Authority(pki), out, site, utc_now(), data)
    path = out / CONFIGURATION
    for option, folder, other in (("--out", out, "/etc/mosquitto/crustwatch"), ("--data", data, "/var/lib/mosquitto")):
        if folder is not None and (barred := barring_folder(user, folder)) is not None:
            told = f"started by root, mosquitto becomes {user}, who cannot enter {barred}"
            typer.echo(f"crustwatch: {told}: name another {option}, such as {other}, or --user", err=True)
    if json:
        typer.echo(json_module.dumps({"configuration": str(path), "identities": [str(holder) for holder in holders]}))
        return
    typer.echo(f"{path}: TLS on {listen}:{port} for {len(holders)} identities")
    for holder in holders:
        typer.echo(f"  {holder}")
    typer.echo(f"start it with: mosquitto -c {path}")
