"""Builds the firmware of any `.tflite` file: the network alone, run by a debugger or by the emulated chip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.emit_c import emit_model
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, inputs_of
from firmware_sim.compiler.placement import RAM_BYTES, Placement, fitting, place
from firmware_sim.compiler.prediction import layers_by_operator, predict
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.build import measure, require_compiler, run_make, write_sources
from firmware_sim.firmware.report import LayerReport, ModelReport, arena_map, write_report
from shared.errors import BadInputError
from shared.output_folder import output_folder

XOSC_MHZ = 12
VCO_MHZ = (750, 1600)  # RP2040 datasheet 2.18
CLOCKS_MHZ = (48, 133)


def read_model(path: Path) -> tuple[bytes, Graph]:
    """The bytes and the checked network of a `.tflite` file. Raises BadInputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    return data, read_graph(data, str(path))


def build_model(
    path: Path, out: Path, *, clock_mhz: int = 125, cores: int = 1, ram_bytes: int = RAM_BYTES
) -> ModelReport:
    """Write model_data.c, firmware.elf, firmware.uf2 and the report of the `.tflite` file `path` to the folder `out`.

    `ram_bytes`: of SRAM, stacks aside, to use. Raises BadInputError for a bad model or clock, MissingPartError without
    the compiler, CrustwatchError when it does not build.
    """
    if cores not in (1, 2):
        raise BadInputError(f"--cores {cores}: an RP2040 has 1 or 2")
    clock = clock_flags(clock_mhz)
    data, graph = read_model(path)
    macs = graph.macs()
    graph = fitting(simplified(graph), cores=cores, ram_bytes=ram_bytes)
    require_compiler()
    placed = place(graph, str(path), cores=cores, ram_bytes=ram_bytes)
    output_folder(out)
    write_sources(out, emit_model(graph, hashlib.sha256(data).digest(), placed))
    run_make(out, ["PROGRAM=runner", f"CLOCK={clock}"])
    sizes = measure(out)
    layers = tuple(_layer_reports(graph, placed))
    cycles = sum(layer.predicted_cycles for layer in layers)
    report = ModelReport(
        model=str(path),
        folder=str(out),
        clock_mhz=clock_mhz,
        cores=cores,
        macs=macs,
        predicted_cycles=cycles,
        predicted_ms=round(cycles / (1e3 * clock_mhz), 3),
        predicted_cycles_per_mac=round(cycles / max(1, macs), 3),
        arena_bytes=placed.arena.bytes,
        flash_bytes=sizes.flash_bytes,
        sram_bytes=sizes.ram_bytes,
        stack_bytes=sizes.stack_bytes,
        largest_frame_bytes=sizes.largest_frame_bytes,
        layers=layers,
        arena=arena_map(graph, placed.arena),
    )
    write_report(report, out)
    return report


def _layer_reports(graph: Graph, placed: Placement) -> Iterator[LayerReport]:
    """One an operator that is a layer of the firmware or several (chunks of an overlay, inputs of CONCATENATION)."""
    macs = [count for _, count in graph.macs_by_operator()]
    groups = layers_by_operator(graph, placed)
    predicted = predict(graph, placed, groups)
    for position, (operator, layers) in enumerate(zip(graph.operators, groups, strict=True)):
        if not layers:
            continue
        made = placed.generated.get(position)
        weights = "flash" if position in placed.in_flash else "sram"
        if layers[0].chunk is not None:
            weights = "overlay" if layers[0].chunk.overlay_bytes else "code"
        yield LayerReport(
            position=position,
            operator=type(operator).__name__,
            output=graph.tensors[operator.output].name,
            shape=graph.tensors[operator.output].shape,
            inputs=tuple(graph.tensors[index].shape for index in inputs_of(operator)),
            macs=macs[position],
            code="flash" if weights == "overlay" else "sram",
            kernel=layers[0].kernel,
            weights=weights if isinstance(operator, Conv2D | DepthwiseConv2D) else "",
            code_bytes=sum(code.bytes for code in made.assembly) if made else 0,
            parts=len(layers),
            requantisation=made.generated.forms.verdict() if made else "",
            predicted_cycles=predicted[position],
        )


def clock_flags(clock_mhz: int) -> str:
    """The compiler's -D flags for clk_sys: feedback and both dividers of the PLL. BadInputError when there are none."""
    low, high = CLOCKS_MHZ
    for feedback in range(VCO_MHZ[1] // XOSC_MHZ, VCO_MHZ[0] // XOSC_MHZ, -1):
        for first in range(7, 0, -1):
            for second in range(1, first + 1):
                if low <= clock_mhz <= high and XOSC_MHZ * feedback == clock_mhz * first * second:
                    return f"-DSYS_HZ={clock_mhz}000000u -DPLL_FEEDBACK={feedback}u " + (
                        f"-DPLL_POSTDIV1={first}u -DPLL_POSTDIV2={second}u"
                    )
    raise BadInputError(f"--clock {clock_mhz}: the PLL reaches {low} to {high} MHz; try 125, 133, 100, 75 or 48")
