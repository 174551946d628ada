"""What a build of a `.tflite` file takes of the chip: report.json and report.txt beside the firmware."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from firmware_sim.compiler.arena import ArenaPlan
from firmware_sim.compiler.graph import Graph

HEAD = (
    "  op  operator                 input        output        MACs  kernel                      code   weights  "
    "   predicted      cycles  a MAC  requantisation"
)


class LayerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One layer of the firmware. `cycles` are the emulated chip's, when it was measured."""

    position: int  # of the operator in the file
    operator: str
    output: str
    shape: tuple[int, int, int]  # of the output
    inputs: tuple[tuple[int, int, int], ...]  # shapes
    macs: int
    kernel: str
    weights: str  # "code", "overlay" (code that DMA loads from flash), "sram", "flash", or empty
    code: str  # where the layer's code lies: "sram", or "flash", from which DMA loads it
    code_bytes: int = 0  # of generated code
    parts: int = 1  # layers of the firmware that it is: the chunks of an overlay
    predicted_cycles: int = 0  # by the cycle model (firmware_sim/compiler/cycles.py)
    requantisation: str = ""  # what was proven of how many channels
    cycles: int | None = None


class ArenaEntry(msgspec.Struct, frozen=True):
    """One buffer of the arena; those that are never alive together may share bytes."""

    tensors: tuple[str, ...]  # more than one when RESHAPE or an operator in place gives bytes another name
    offset: int
    bytes: int
    first: int  # operator position that writes it; -1: the network's input
    last: int  # operator position that reads it last


class ModelReport(msgspec.Struct, frozen=True):
    """A build: what it takes of the chip, and its layers."""

    model: str
    folder: str
    clock_mhz: int
    cores: int
    macs: int
    predicted_cycles: int
    predicted_ms: float
    predicted_cycles_per_mac: float
    arena_bytes: int
    flash_bytes: int
    sram_bytes: int  # code, tables, activations and the cores' stacks
    stack_bytes: int  # set aside, of all cores together
    largest_frame_bytes: int
    layers: tuple[LayerReport, ...]
    arena: tuple[ArenaEntry, ...]


def arena_map(graph: Graph, arena: ArenaPlan) -> tuple[ArenaEntry, ...]:
    """The buffers of the activations, in the order in which they are written."""
    written = {operator.output: at for at, operator in enumerate(graph.operators)}
    entries = []
    for place in sorted(arena.placements, key=lambda place: (place.first, place.offset)):
        here = [
            graph.tensors[index].name
            for index, offset in arena.offsets.items()
            if offset == place.offset and place.first <= written.get(index, -1) <= place.last
        ]
        entries.append(ArenaEntry(tuple(here), place.offset, place.bytes, place.first, place.last))
    return tuple(entries)


def layer_lines(layers: Sequence[LayerReport]) -> list[str]:
    """The table of the layers, for people."""
    lines = [HEAD]
    for layer in layers:
        shapes = "+".join("x".join(map(str, shape)) for shape in layer.inputs), "x".join(map(str, layer.shape))
        cycles = "" if layer.cycles is None else f"{layer.cycles:,}"
        each = f"{layer.cycles / layer.macs:.2f}" if layer.cycles is not None and layer.macs else ""
        lines.append(
            f"  {layer.position:2}  {layer.operator:15}  {shapes[0]:>12}  {shapes[1]:>12}  {layer.macs:10,}  "
            f"{layer.kernel:27} {layer.code:5}  {layer.weights:7} {layer.predicted_cycles:>11,} {cycles:>11}  {each:>5}"
            f"  {layer.requantisation}".rstrip()
        )
    return lines


def text(report: ModelReport) -> str:
    """The whole report, for people."""
    lines = [
        f"{report.model} at {report.clock_mhz} MHz, {report.cores} core{'s' if report.cores > 1 else ''}",
        f"  SRAM    {report.sram_bytes:8,} bytes of 270,336: {report.arena_bytes:,} of activations, "
        f"{report.stack_bytes:,} for stacks (largest frame {report.largest_frame_bytes})",
        f"  flash   {report.flash_bytes:8,} bytes of 2,097,152",
        f"  network {report.macs:,} multiply-accumulates; predicted {report.predicted_cycles:,} cycles, "
        f"{report.predicted_ms:.2f} ms, {report.predicted_cycles_per_mac:.2f} a MAC "
        "(`crustwatch firmware bench` measures them)",
        *layer_lines(report.layers),
        "  arena: offset, bytes, written by operator, read last by operator",
    ]
    for entry in report.arena:
        names = " = ".join(name[:40] for name in entry.tensors)
        first = "input" if entry.first < 0 else str(entry.first)
        lines.append(f"  {entry.offset:8,} {entry.bytes:8,} {first:>6} {entry.last:4}  {names}")
    return "\n".join(lines)


def write_report(report: ModelReport, folder: Path) -> None:
    """report.json and report.txt in the build's folder."""
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    (folder / "report.txt").write_text(text(report) + "\n", encoding="utf-8")
