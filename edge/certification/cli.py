"""`crustwatch edge certify` and `crustwatch edge certificate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.learning.judged import Judged
from edge.learning.options import AsJson, SigningKey
from shared.option_groups import grouped

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def certify(
    judged: Judged,
    alpha: Annotated[
        str | None,
        typer.Option(
            help="LABEL=RATE,...: most that may pass as something else; 0.01 for each critical label without."
        ),
    ] = None,
    delta: Annotated[float, typer.Option(help="The promise may fail for this share of calibration samples.")] = 0.05,
    bakes: Annotated[int, typer.Option(help="Rendered bakes of the sample.", min=1)] = 4000,
    seed: Annotated[int, typer.Option(help="Their seed; never one that the model was trained on.", min=0)] = 2000,
    days: Annotated[int, typer.Option(help="Days until the certificate expires.", min=1)] = 180,
    out: Annotated[Path | None, typer.Option(help="File for the certificate; default: certificate.json.")] = None,
    key: SigningKey = None,
    json: AsJson = False,
) -> None:
    """Find the thresholds that escalate least while the promise on critical labels is proven, and sign them.

    Example: crustwatch edge certify --alpha burnt=0.02,raw=0.02 --delta 0.05 --json

    Example: crustwatch edge certify --task elpv --alpha defective=0.05
    """
    from edge.certification.commands import run_certification

    run_certification(
        judged,
        alpha=alpha,
        delta=delta,
        seed=seed,
        bakes=bakes,
        days=days,
        out=out,
        key=key,
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
