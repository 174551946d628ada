"""`crustwatch edge certify` and `crustwatch edge certificate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command()
def certify(
    alpha: Annotated[
        str | None,
        typer.Option(
            help="LABEL=RATE,...: most that may pass as something else; 0.01 for each critical label without."
        ),
    ] = None,
    delta: Annotated[float, typer.Option(help="The promise may fail for this share of calibration samples.")] = 0.05,
    task: Annotated[str, typer.Option(help="Name of a task, or path of its .toml file.")] = "pizza",
    model: Annotated[Path | None, typer.Option(help="Folder of the model; default: the shipped one.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Photographs: a folder with a sub-folder a label, a .csv table, or elpv; default: the task's."
        ),
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(help="Certify by this split without its training part; default: as trained.", min=0)
    ] = None,
    bakes: Annotated[int, typer.Option(help="Rendered bakes of the sample.", min=1)] = 4000,
    seed: Annotated[int, typer.Option(help="Their seed; never one that the model was trained on.", min=0)] = 2000,
    days: Annotated[int, typer.Option(help="Days until the certificate expires.", min=1)] = 180,
    out: Annotated[Path | None, typer.Option(help="File for the certificate; default: certificate.json.")] = None,
    key: Annotated[Path | None, typer.Option(help="Ed25519 key that signs (PEM); made on first use.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where rendered frames are kept.")] = None,
    processes: Annotated[int, typer.Option(help="Processes that render frames.", min=1)] = 1,
    json: AsJson = False,
) -> None:
    """Find the thresholds that escalate least while the promise on critical labels is proven, and sign them.

    Example: crustwatch edge certify --alpha burnt=0.02,raw=0.02 --delta 0.05 --json

    Example: crustwatch edge certify --task elpv --alpha defective=0.05
    """
    from edge.certification.commands import run_certification

    run_certification(
        model=model,
        task_name=task,
        data=data,
        split_seed=split_seed,
        alpha=alpha,
        delta=delta,
        seed=seed,
        bakes=bakes,
        days=days,
        out=out,
        key=key,
        cache=cache,
        processes=processes,
        as_json=json,
    )


@app.command()
def certificate(
    file: Annotated[Path, typer.Argument(help="The certificate.")],
    public_key: Annotated[str | None, typer.Option(help="Base64 key that must have signed it.")] = None,
    json: AsJson = False,
) -> None:
    """Check a certificate's signature and expiry, and print what it promises.

    Example: crustwatch edge certificate certificate.json
    """
    from edge.certification.show import run_check

    run_check(file, public_key, json)
