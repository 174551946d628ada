"""`crustwatch demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    bakes: Annotated[
        int | None, typer.Option(min=1, help="How many; default: 60 rendered ones, or all of --input.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the rendered bakes.")] = 42,
    input_path: Annotated[
        Path | None, typer.Option("--input", help="Folder of photographs or of clips, a photograph, or a video file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on the last line.")] = False,
    device: Annotated[
        str, typer.Option(help="emulated[-camera], serial:/dev/ttyACM0, litert, tflite-runtime, onnx or reference.")
    ] = "emulated",
    model: Annotated[Path | None, typer.Option(help="Folder of the device's model; default: the shipped one.")] = None,
    checkpoint: Annotated[str, typer.Option(help="Of the cloud worker: a shipped name or a folder.")] = "pizza-small",
    broker: Annotated[str, typer.Option(help="Embedded broker: auto, mosquitto or iotcore.")] = "auto",
    scenario: Annotated[
        str | None,
        typer.Option(help="new-topping or new-light: a shift, and how the loop back learns from the cloud's verdicts."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file for the picture of a --scenario; default: scenario.png in --out.")
    ] = None,
    bytes_per_day: Annotated[float | None, typer.Option(help="Most bytes of clips a day; default: no limit.")] = None,
    escalations_per_hour: Annotated[
        float | None, typer.Option(help="Most escalations an hour; default: no limit.")
    ] = None,
    cloud_seconds_per_day: Annotated[
        float | None, typer.Option(help="Most seconds of workers a day; default: no limit.")
    ] = None,
    joules_per_day: Annotated[
        float | None, typer.Option(help="Most energy for sending a day, modelled; default: no limit.")
    ] = None,
    reserve: Annotated[float, typer.Option(help="Share of each limit that only critical bakes may use.")] = 0.2,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Kill gateway, worker and broker at random while bakes pass.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="SVG file for a picture of the last table and the summary.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures and the worker's log; default: a temporary one.")
    ] = None,
) -> None:
    """Bring up broker, worker, gateway and board, pass bakes through them, and say how each side did.

    Example: crustwatch demo --bakes 60 --seed 42

    Example: crustwatch demo --scenario new-topping --out build/scenario

    Example: crustwatch demo --bakes 60 --escalations-per-hour 10
    """
    from edge.budget import Limits
    from edge.demo.program import DemoOptions, run
    from shared.bakery.truth import parse_shift
    from shared.errors import BadInputError

    limits = Limits(bytes_per_day, escalations_per_hour, cloud_seconds_per_day, joules_per_day, reserve)
    if (shift := parse_shift(scenario)) is not None:
        if chaos or input_path is not None or picture is not None:
            raise BadInputError("--scenario goes without --chaos, --input and --picture")
        from edge.demo.scenario.options import ScenarioOptions
        from edge.demo.scenario.plan import Plan
        from edge.demo.scenario.program import run as run_scenario

        plan = Plan.of(shift, seed, bakes)
        run_scenario(ScenarioOptions(plan, json, device, model, checkpoint, broker, out, plot, limits))
        return
    if plot is not None:
        raise BadInputError("--plot belongs to --scenario")
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
            limits=limits,
        )
    )
