"""`crustwatch firmware`: build the board's program and see what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firmware_sim.cli_board import flash
from firmware_sim.cli_explain import calibrate, explain

if TYPE_CHECKING:
    from firmware_sim.firmware.build import Sizes

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Build the RP2040 firmware of a model, measure it on the emulated chip, and put it on a board.",
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
    typer.echo(f"  SRAM    {sizes.ram_bytes:8,} bytes of 270,336, {sizes.stack_bytes:,} of them for stacks")
    typer.echo(f"  flash   {sizes.flash_bytes:8,} bytes of 2,097,152")
    typer.echo(f"  largest stack frame: {sizes.largest_frame_bytes} bytes, {sizes.largest_frame_function}()")


TfliteArgument = Annotated[Path, typer.Argument(help="A full-int8 .tflite file.", metavar="MODEL.tflite")]
ClockOption = Annotated[int, typer.Option("--clock", help="clk_sys in MHz.")]
RamOption = Annotated[int, typer.Option("--ram", help="Bytes of SRAM to use, stacks aside.")]
CoresOption = Annotated[int, typer.Option("--cores", min=1, max=2, help="Cores that compute.")]


@app.command()
def build(
    tflite: Annotated[
        Path | None, typer.Argument(help="Any full-int8 .tflite file: the network alone.", metavar="[MODEL.tflite]")
    ] = None,
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the build.")] = Path("build/firmware"),
    cores: CoresOption = 1,
    clock: ClockOption = 125,
    ram: RamOption = 262_144,
    as_json: JsonOption = False,
) -> None:
    """Compile firmware to firmware.elf and firmware.uf2, and print what it takes.

    Of a model folder (model.tflite and gate.json) it is the serial service that classifies frames; of a .tflite file
    the network alone, which a debugger or `firmware bench` runs, with report.txt and report.json: layers, their
    kernels, places and predicted cycles, the arena.

    Example: crustwatch firmware build --model edge/models/pizza --out build/firmware

    Example: crustwatch firmware build edge/models/pizza/model.tflite --out build/network --clock 133
    """
    import msgspec

    from firmware_sim.firmware.build import DEFAULT_MODEL, build
    from firmware_sim.firmware.model import build_model
    from firmware_sim.firmware.report import text
    from shared.errors import BadInputError

    if tflite is not None and model is not None:
        raise BadInputError("give a .tflite file, a model folder, or --model FOLDER: one of them")
    if tflite is None or tflite.is_dir():
        if (cores, clock, ram) != (1, 125, 262_144):
            raise BadInputError(
                "--cores, --clock and --ram go with a .tflite file; the serial service runs one core at 125 MHz"
            )
        _print(build(tflite or model or DEFAULT_MODEL, out), out, as_json)
        return
    report = build_model(tflite, out, clock_mhz=clock, cores=cores, ram_bytes=ram)
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    typer.echo(f"{out / 'firmware.elf'}, {out / 'firmware.uf2'}, {out / 'report.txt'}, {out / 'report.json'}")
    typer.echo(text(report))


@app.command()
def bench(
    tflite: TfliteArgument,
    cores: CoresOption = 1,
    clock: ClockOption = 125,
    ram: RamOption = 262_144,
    as_json: JsonOption = False,
) -> None:
    """Build a .tflite file, run it once on the emulated chip, and print cycles in all and of each layer.

    Example: crustwatch firmware bench edge/models/pizza/model.tflite
    """
    import msgspec

    from firmware_sim.firmware.measure_model import bench_model
    from firmware_sim.firmware.report import layer_lines

    found = bench_model(tflite, clock_mhz=clock, cores=cores, ram_bytes=ram)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    typer.echo(
        f"{found.model} on the emulated RP2040, {found.cores} core{'s' * (found.cores > 1)} at "
        f"{found.clock_mhz} MHz (emulated figures)"
    )
    typer.echo(f"  {found.ms:.1f} ms, {found.cycles:,} cycles, {found.macs:,} MACs, {found.cycles_per_mac} cycles each")
    typer.echo(
        f"  predicted {found.predicted_ms:.1f} ms; "
        f"the layers' predictions are off by {found.prediction_error_percent} % on average"
    )
    typer.echo(f"  flash {found.flash_bytes:,} bytes, SRAM {found.sram_bytes:,}, stack {found.stack_bytes}")
    typer.echo("\n".join(layer_lines(found.layers)))


app.command()(explain)


@app.command()
def compare(
    models: Annotated[
        Path,
        typer.Argument(envvar="CRUSTWATCH_MODELS", help="Folder of the MLPerf Tiny int8 models.", metavar="FOLDER"),
    ],
) -> None:
    """Measure the MLPerf Tiny networks on the emulated chip, one core and two at 125 MHz, beside CMSIS-NN.

    Example: crustwatch firmware compare models/mlperf_tiny
    """
    from firmware_sim.firmware.compare import rows

    for row in rows(models):
        typer.echo(row)


@app.command()
def verify(
    tflite: TfliteArgument,
    inputs: Annotated[int, typer.Option("--inputs", min=1, help="Inputs to compare.")] = 100,
    chip_inputs: Annotated[int, typer.Option("--chip-inputs", min=0, help="How many also run on the chip.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Of the random inputs.")] = 0,
    cores: CoresOption = 1,
    ram: RamOption = 262_144,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Folder of real inputs; default: scikit-image's, if installed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare output bytes with LiteRT's reference kernels: numpy reference, C on this machine, emulated chip.

    Inputs are noise, steps, extremes and parts of pictures in turns. Exit code 1 when any output differs.

    Example: crustwatch firmware verify edge/models/pizza/model.tflite --inputs 1000 --cores 2
    """
    import msgspec

    from firmware_sim.firmware.measure_model import verify_model

    found = verify_model(
        tflite, inputs, chip_inputs=chip_inputs, seed=seed, cores=cores, ram_bytes=ram, pictures=pictures
    )
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        typer.echo(
            f"{found.model}: {found.inputs} inputs, {found.real_inputs} of them pictures, "
            f"{found.mismatches} mismatches with LiteRT's reference kernels"
        )
        typer.echo(f"  numpy {found.reference_mismatches}, C on this machine {found.host_mismatches}")
        typer.echo(f"  emulated chip {found.chip_mismatches} of {found.chip_inputs}")
    if found.mismatches:
        raise typer.Exit(1)


app.command()(flash)


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


app.command()(calibrate)
