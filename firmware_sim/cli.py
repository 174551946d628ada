"""`crustwatch firmware`: build the board's program and see what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from firmware_sim.firmware.build import Sizes

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Build the RP2040 firmware of a model.",
)

ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Folder with model.tflite and gate.json; default: the pizza model.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _print(sizes: Sizes, out: Path, as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode({"folder": str(out), **msgspec.to_builtins(sizes)}).decode())
        return
    typer.echo(f"{out / 'firmware.elf'}, {out / 'firmware.uf2'}")
    typer.echo(f"  code    {sizes.code_bytes:8,} bytes, run from SRAM")
    typer.echo(f"  tables  {sizes.table_bytes:8,} bytes, weights and constants, read from SRAM")
    typer.echo(f"  zeroed  {sizes.zeroed_bytes:8,} bytes, activations and buffers")
    typer.echo(f"  SRAM    {sizes.ram_bytes:8,} bytes of 270,336, the stack of 4,096 included")
    typer.echo(f"  flash   {sizes.flash_bytes:8,} bytes of 2,097,152")
    typer.echo(f"  largest stack frame: {sizes.largest_frame_bytes} bytes, {sizes.largest_frame_function}()")


@app.command()
def build(
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the build.")] = Path("build/firmware"),
    as_json: JsonOption = False,
) -> None:
    """Compile the firmware of a model to firmware.elf and firmware.uf2, and print its sizes.

    Example: crustwatch firmware build --model edge/models/pizza --out build/firmware
    """
    from firmware_sim.firmware.build import DEFAULT_MODEL, build

    _print(build(model or DEFAULT_MODEL, out), out, as_json)


@app.command()
def release(as_json: JsonOption = False) -> None:
    """Rebuild the ready-built default firmware in the source tree from the default model, and print its sizes.

    Example: crustwatch firmware release
    """
    from firmware_sim.firmware import PREBUILT
    from firmware_sim.firmware.build import build_prebuilt

    _print(build_prebuilt(), PREBUILT, as_json)


@app.command()
def size(
    out: Annotated[Path, typer.Argument(help="Folder of a build.")] = Path("build/firmware"),
    as_json: JsonOption = False,
) -> None:
    """Print code, tables, SRAM, flash and stack of an earlier build.

    Example: crustwatch firmware size build/firmware
    """
    from firmware_sim.firmware.build import measure
    from shared.errors import BadInputError

    if not (out / "firmware.elf").is_file():
        raise BadInputError(f"{out}: no firmware.elf in it: crustwatch firmware build --out {out}")
    _print(measure(out), out, as_json)


@app.command()
def speed(
    model: ModelOption = None,
    firmware: Annotated[
        Path | None, typer.Option("--firmware", help="ELF or UF2 file; default: the ready-built one.")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames to classify.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Classify frames on the emulated chip and print cycles, milliseconds and cycles a multiply-accumulate.

    Example: crustwatch firmware speed --frames 20
    """
    import msgspec

    from firmware_sim.firmware.build import DEFAULT_MODEL
    from firmware_sim.firmware.speed import measure_speed

    found = measure_speed(model or DEFAULT_MODEL, firmware, frames)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    typer.echo(f"{found.frames} frames on the emulated RP2040 at {found.clock_hz / 1e6:g} MHz (emulated figures)")
    typer.echo(
        f"  inference  {found.inference_ms:.1f} ms, {found.cycles_median:,} cycles, most {found.cycles_largest:,}"
    )
    typer.echo(f"  network    {found.macs:,} multiply-accumulates, {found.cycles_per_mac} cycles each")
    typer.echo(f"  stack      {found.stack_bytes} bytes of 4,096 used")


@app.command()
def examples(
    name: Annotated[str | None, typer.Option("--build", help="Example to build.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for NAME.elf and NAME.uf2.")] = Path("build/examples"),
    sram: Annotated[bool, typer.Option("--sram", help="Run from SRAM instead of flash.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the example programs for a bare RP2040, or build one with the cross compiler.

    Example: crustwatch firmware examples --build hello --out build/examples
    """
    import msgspec

    from firmware_sim.firmware.examples import build_example, list_examples

    if name is not None:
        built = build_example(name, out, memory="sram" if sram else "flash")
        paths = {"elf": str(built.elf), "uf2": str(built.uf2)}
        typer.echo(msgspec.json.encode(paths).decode() if as_json else f"{built.elf}, {built.uf2}")
        return
    found = [example._asdict() for example in list_examples()]
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    for example in found:
        typer.echo(f"{example['name']:16} {example['description']}")
