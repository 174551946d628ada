"""`crustwatch demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    bakes: Annotated[
        int | None, typer.Option(min=1, help="How many; 60 rendered ones, or all of --input, without.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the rendered bakes.")] = 42,
    input_path: Annotated[
        Path | None, typer.Option("--input", help="Folder of photographs or of clips, a photograph, or a video file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on the last line.")] = False,
    device: Annotated[
        str, typer.Option(help="emulated[-camera], serial:/dev/ttyACM0, litert, tflite-runtime, onnx or reference.")
    ] = "emulated",
    model: Annotated[Path | None, typer.Option(help="Folder of the device's model; the shipped one without.")] = None,
    checkpoint: Annotated[str, typer.Option(help="Of the cloud worker: a shipped name or a folder.")] = "pizza-small",
    broker: Annotated[str, typer.Option(help="Embedded broker: auto, mosquitto or iotcore.")] = "auto",
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Kill gateway, worker and broker at random while bakes pass.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="SVG file for a picture of the last table and the summary.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures and the worker's log; a temporary one without.")
    ] = None,
) -> None:
    """Bring up broker, worker, gateway and board, pass bakes through them, and say how each side did.

    Example: crustwatch demo --bakes 60 --seed 42
    """
    from edge.demo.program import DemoOptions, run

    run(
        DemoOptions(
            bakes=bakes,
            seed=seed,
            path=input_path,
            json=json,
            device=device,
            model=model,
            checkpoint=checkpoint,
            broker=broker,
            chaos=chaos,
            folder=out,
            picture=picture,
        )
    )
