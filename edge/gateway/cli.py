"""`crustwatch edge run`: the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.pki.options import CaFile, CertFile, IdentityFolder, KeyFile, Unsigned

app = typer.Typer(add_completion=False)


@app.command()
def run(
    source: Annotated[
        str, typer.Option(help="rendered, rendered:SEED, a photograph, a folder of photographs or clips, or a video.")
    ] = "rendered",
    device: Annotated[
        str,
        typer.Option(help="emulated[-camera], serial:/dev/ttyACM0, litert, tflite-runtime, onnx or reference."),
    ] = "emulated",
    model: Annotated[Path | None, typer.Option(help="Folder of the device's model; default: the shipped one.")] = None,
    broker: Annotated[
        str, typer.Option(envvar="CRUSTWATCH_BROKER", help="mqtt://host:port or mqtts://user:password@host:port")
    ] = "mqtt://127.0.0.1:1883",
    site: Annotated[str | None, typer.Option(help="In the topics; default: its certificate's, or site-1.")] = None,
    gateway: Annotated[
        str | None, typer.Option(help="In the topics; default: its certificate's, or gateway-1.")
    ] = None,
    camera: Annotated[str, typer.Option(help="Name of the camera in the topics.")] = "belt",
    task: Annotated[str, typer.Option(help="Name of a task, or a .toml file.")] = "pizza",
    outbox: Annotated[
        Path, typer.Option(help="SQLite file that holds what waits for a verdict; it survives restarts.")
    ] = Path("crustwatch-outbox.db"),
    outbox_bytes: Annotated[
        int,
        typer.Option(
            min=1_000_000, help="Most that clips take on the disk; beyond, the least valuable bakes give way."
        ),
    ] = 1_000_000_000,
    session: Annotated[
        str | None,
        typer.Option(help="Name of this run of the source; started again under it, no bake is taken a second time."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate whose thresholds the device takes, watched from then on.")
    ] = None,
    signer: Annotated[str | None, typer.Option(help="Base64 public key that must have signed it.")] = None,
    audit: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of sure bakes escalated all the same; 0.02 with a certificate."),
    ] = None,
    bytes_per_day: Annotated[float | None, typer.Option(help="Most bytes of clips a day.")] = None,
    escalations_per_hour: Annotated[float | None, typer.Option(help="Most escalations an hour.")] = None,
    cloud_seconds_per_day: Annotated[float | None, typer.Option(help="Most seconds of workers a day.")] = None,
    joules_per_day: Annotated[float | None, typer.Option(help="Most energy for sending a day, modelled.")] = None,
    reserve: Annotated[float, typer.Option(help="Share of each limit that only critical bakes may use.")] = 0.2,
    deadline: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds until the edge's verdict is final; default: the task's.")
    ] = None,
    bakes: Annotated[int, typer.Option(min=1, help="How many rendered bakes.")] = 60,
    identity: IdentityFolder = None,
    ca: CaFile = None,
    cert: CertFile = None,
    key: KeyFile = None,
    unsigned: Unsigned = False,
    backlog: Annotated[
        int, typer.Option(min=1, help="Bakes waiting for the cloud before the source is held up.")
    ] = 1000,
    when_withdrawn: Annotated[
        str, typer.Option(help="Sure bakes once the certificate has ended: mark them as uncertified, or escalate all.")
    ] = "mark",
    registry: Annotated[
        Path | None, typer.Option(help="Its champion decides under its certificate, its challenger is in shadow.")
    ] = None,
    shadow: Annotated[
        Path | None, typer.Option(help="Folder of a challenger: it sees the same frames and decides nothing.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps escalated bakes and the cloud's words, to learn from (Parquet and JPEG)."),
    ] = None,
    store_bytes: Annotated[float, typer.Option(min=0, help="Most bytes of it; the oldest bakes go first.")] = 5e9,
    store_days: Annotated[float, typer.Option(min=0, help="Days that a bake stays in it.")] = 90.0,
) -> None:
    """Classify bakes on a device, escalate the unsure ones, and publish every verdict until the source ends.

    Requests and verdicts are sealed, and only sealed answers of workers count. On one machine the keys are made by
    themselves; for a site see docs/security.md.

    Example: crustwatch edge run --device serial:/dev/ttyACM0 --broker mqtt://127.0.0.1:1883 --source photos/

    Example: crustwatch edge run --broker mqtts://mqtt.plant.example --identity pki/gateway/plant/oven-1

    Example: crustwatch edge run --certificate certificate.json --store bakes-store

    Example: crustwatch edge run --registry models --store bakes-store --when-withdrawn escalate
    """
    from edge.budget import Limits
    from edge.gateway.program import Options, serve
    from edge.watch.guard import when_withdrawn_of
    from shared.pki.credentials import Credentials
    from shared.retention import limits

    serve(
        Options(
            source=source,
            device=device,
            model=model,
            broker=broker,
            site=site,
            gateway=gateway,
            camera=camera,
            task=task,
            outbox=outbox,
            outbox_bytes=outbox_bytes,
            session=session,
            certificate=certificate,
            signer=signer,
            audit=audit,
            limits=Limits(bytes_per_day, escalations_per_hour, cloud_seconds_per_day, joules_per_day, reserve),
            deadline_s=deadline,
            bakes=bakes,
            backlog=backlog,
            credentials=Credentials.of(identity, ca, cert, key),
            unsigned=unsigned,
            when_withdrawn=when_withdrawn_of(when_withdrawn),
            registry=registry,
            shadow=shadow,
            store=store,
            store_limits=limits(store_days, store_bytes),
        )
    )
