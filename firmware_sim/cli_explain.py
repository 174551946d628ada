"""`crustwatch firmware explain` and `calibrate`: the cycle model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from firmware_sim.firmware.explain import Explanation


def explain(
    tflite: Annotated[Path, typer.Argument(help="A full-int8 .tflite file.", metavar="MODEL.tflite")],
    layer: Annotated[
        int | None, typer.Option("--layer", help="Only the operator of this number; default: the slowest five.")
    ] = None,
    cores: Annotated[int, typer.Option("--cores", min=1, max=2, help="Cores that compute.")] = 1,
    ram: Annotated[int, typer.Option("--ram", help="Bytes of SRAM to use, stacks aside.")] = 262_144,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all layers.")] = False,
) -> None:
    """Say why layers are slow: what their cycles go into, the floor, the form chosen, and what was rejected and why.

    All cycles are predicted by the cycle model; `firmware bench` measures them beside it.

    Example: crustwatch firmware explain edge/models/pizza/model.tflite --layer 1
    """
    import msgspec

    from firmware_sim.firmware.explain import explain_model
    from shared.errors import BadInputError

    layers = explain_model(tflite, cores=cores, ram_bytes=ram)
    if layer is not None:
        layers = tuple(found for found in layers if found.position == layer)
        if not layers:
            raise BadInputError(f"--layer {layer}: no operator of {tflite} with that number does anything")
    if as_json:
        typer.echo(msgspec.json.encode({"model": str(tflite), "cores": cores, "layers": layers}).decode())
        return
    shown = layers if layer is not None else sorted(layers, key=lambda found: -found.cycles)[:5]
    for found in shown:
        _print(found)


def calibrate(
    networks: Annotated[int, typer.Option("--networks", min=2, help="To measure for the fit, 45 layers each.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the kernels on the emulated chip, on one core and on two, and write the cycle model's prices anew.

    To be run after a kernel changes; takes some minutes. Prints how far the prices are off on two other networks.

    Example: crustwatch firmware calibrate --networks 8
    """
    import msgspec

    from firmware_sim.firmware.calibration import calibrate

    done = calibrate(range(1, networks + 1), range(100, 102))
    if as_json:
        typer.echo(msgspec.json.encode(done).decode())
        return
    typer.echo(
        f"{done.layers} layers measured; on {done.held_out_layers} others the mean error is "
        f"{done.mean_error_percent} %, the largest {done.worst_error_percent} %"
    )
    for kernel, error in done.errors_percent.items():
        typer.echo(f"  {error:6.2f} %  {kernel}")


def _print(found: Explanation) -> None:
    shape = "x".join(map(str, found.shape))
    zeros = f", {found.zero_weights_percent:g} % of the weights zero" if found.zero_weights_percent else ""
    typer.echo(f"operator {found.position}, {found.operator} to {shape} ({found.output}): {found.macs:,} MACs{zeros}")
    each = f", {found.cycles / found.macs:.2f} a MAC" if found.macs else ""
    typer.echo(f"  {found.cycles:,} cycles predicted, {found.share_percent} % of the network{each}")
    if found.floor_cycles:
        times = found.cycles / found.floor_cycles
        typer.echo(f"  {times:.1f} times the floor of {found.floor_cycles:,} (decision 0096)")
    form = f", {found.form}" if found.form else ""
    typer.echo(f"  kernel {found.kernel}{form}{'; ' + found.requantisation if found.requantisation else ''}")
    for what, cycles in found.parts.items():
        typer.echo(f"  {cycles:12,}  {what}")
    for other in found.alternatives:
        typer.echo(f"  rejected: {other.form}, {other.cycles:,} cycles, {other.sram_bytes:,} bytes: {other.why_not}")
