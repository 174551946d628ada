"""The cycles that the model predicts for each layer of a firmware, waits for overlays included."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.compiler.cycles import layer_features, prices
from firmware_sim.compiler.emit_layers import IN_FLASH, IN_SRAM, LayerText, layers_of
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.overlay import BYTE_CYCLES
from firmware_sim.compiler.placement import Placement


def layers_by_operator(graph: Graph, placed: Placement) -> list[list[LayerText]]:
    """The firmware's layers of each operator, in order of execution."""
    found = []
    for position, operator in enumerate(graph.operators):
        made = placed.generated.get(position)
        section = IN_FLASH if position in placed.in_flash else IN_SRAM
        generated = made.generated if made else None
        found.append(layers_of(position, operator, graph, placed.arena, section, generated, placed.cores))
    return found


def predict(graph: Graph, placed: Placement, layers: Sequence[Sequence[LayerText]]) -> list[int]:
    """Cycles of each operator, from `layers_by_operator`."""
    loads = [_load_cycles(layer) for group in layers for layer in group if _is_overlay(layer)]
    now = 0.0
    ready = loads.pop(0) if loads else 0.0  # when the next overlay is in its slot
    found = []
    for position, group in enumerate(layers):
        start = now
        for layer in group:
            if _is_overlay(layer):
                now = max(now, ready)
                ready = now + (loads.pop(0) if loads else 0.0)
            made, operator = placed.generated.get(position), graph.operators[position]
            in_flash = position in placed.in_flash
            now += prices().of(
                layer.kernel, layer_features(layer, operator, graph, made, placed.work_words, in_flash=in_flash)
            )
        found.append(round(now - start))
    return found


def _is_overlay(layer: LayerText) -> bool:
    return layer.chunk is not None and layer.chunk.overlay_bytes > 0


def _load_cycles(layer: LayerText) -> float:
    return BYTE_CYCLES * layer.chunk.overlay_bytes if layer.chunk is not None else 0.0
