"""`crustwatch doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def doctor(
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "--model", help="full-size (the published sizes), a name, folder or hub id.")
    ] = "full-size",
    frames: Annotated[int, typer.Option(min=1, max=128, help="Frames of a clip.")] = 8,
    memory_gb: Annotated[float, typer.Option(min=0, help="Plan for a device of so many GB; 0: this machine's.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU if there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    validate: Annotated[
        bool, typer.Option("--validate", help="Compare the memory model with measured peaks at three sizes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """Say what this machine is, which engine and how many frames fit, and what the best one would take.

    Example: crustwatch doctor --memory-gb 8 --device cuda --frames 8
    """
    from cloud.doctor.commands import run_doctor

    run_doctor(checkpoint, frames, memory_gb, device, dtype, validate, as_json)
