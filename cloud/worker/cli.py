"""`crustwatch cloud worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.pki.options import CaFile, CertFile, IdentityFolder, KeyFile, Unsigned

app = typer.Typer(add_completion=False)


@app.command()
def worker(
    broker: Annotated[
        str, typer.Option(envvar="CRUSTWATCH_BROKER", help="mqtt://host:port or mqtts://user:password@host:port")
    ] = "mqtt://127.0.0.1:1883",
    checkpoint: Annotated[
        str, typer.Option(help="Name of a shipped checkpoint, or a folder in the published layout.")
    ] = "pizza-small",
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    attention: Annotated[
        str, typer.Option(help="auto, sdpa, eager or flash_attention_2 (extra gpu); auto takes the fastest there is.")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(help="full, int8, int4 (extra quant), no-geometry, features or light; each verdict names it.")
    ] = "full",
    task: Annotated[str, typer.Option(help="Name of a task, or a .toml file.")] = "pizza",
    name: Annotated[
        str, typer.Option(help="Name of this worker in its topics; its certificate's, or host and pid, without one.")
    ] = "",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads for the model; 0 leaves it to torch.")] = 1,
    identity: IdentityFolder = None,
    ca: CaFile = None,
    cert: CertFile = None,
    key: KeyFile = None,
    unsigned: Unsigned = False,
    archive: Annotated[
        Path | None, typer.Option(help="Folder that keeps clips and decisions, for `crustwatch cloud replay`.")
    ] = None,
    archive_days: Annotated[float, typer.Option(min=0, help="How long it keeps a clip.")] = 30.0,
    archive_bytes: Annotated[float, typer.Option(min=0, help="Most bytes of clips; the oldest go first.")] = 10e9,
) -> None:
    """Answer escalated bakes until Ctrl-C or SIGTERM; any number of workers share the load.

    Only requests that their gateway has sealed are answered, and every answer is sealed. On one machine the keys are
    made by themselves; for a site see docs/security.md.

    Example: crustwatch cloud worker --broker mqtt://127.0.0.1:1883 --device cuda --dtype bfloat16

    Example: crustwatch cloud worker --broker mqtts://mqtt.plant.example --identity pki/worker/w-1
    """
    from cloud.worker.program import Options, serve
    from shared.pki.credentials import Credentials
    from shared.retention import limits

    serve(
        Options(
            broker=broker,
            checkpoint=checkpoint,
            device=device,
            dtype=dtype,
            attention=attention,
            engine=engine,
            task=task,
            name=name,
            threads=threads,
            credentials=Credentials.of(identity, ca, cert, key),
            unsigned=unsigned,
            archive=archive,
            archive_limits=limits(archive_days, archive_bytes),
        )
    )


@app.command()
def replay(
    bake: Annotated[str, typer.Argument(help="Id of the bake, as in its verdict: 32 hexadecimal digits.")],
    archive: Annotated[Path, typer.Option(help="Folder of `crustwatch cloud worker --archive`.")],
    checkpoint: Annotated[
        str, typer.Option(help="Name of a shipped checkpoint, or a folder in the published layout.")
    ] = "pizza-small",
    task: Annotated[str, typer.Option(help="Name of a task, or a .toml file.")] = "pizza",
    ca: CaFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Prove a decision by the seals of its gateway and its worker, and compute it again from its clip.

    Example: crustwatch cloud replay 000102030405060708090a0b0c0d0e0f --archive archive --ca pki/ca.pem
    """
    from cloud.worker.replay import run
    from shared.task import load_task

    run(archive, bake, checkpoint, load_task(task), ca, json)
