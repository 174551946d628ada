"""`crustwatch firmware explain`: why a layer takes the cycles that it takes, and what else was possible."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.choice import State
from firmware_sim.compiler.cycles import CONTENTION, SYNC, layer_features, prices
from firmware_sim.compiler.emit_layers import LayerText
from firmware_sim.compiler.features import CODE, Features
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.placement import RAM_BYTES, Placement, fitting, place
from firmware_sim.compiler.prediction import layers_by_operator, predict
from firmware_sim.firmware.model import read_model
from shared.errors import BadInputError

DENSE_FLOOR, DENSE_OUTPUT_FLOOR = 1.95, 15.0  # cycles of one core, a weight that is not zero and an output
DEPTHWISE_FLOOR = 4.0  # a weight that is not zero, requantisation included
WAIT = "waiting for code from flash"
MEANINGS = {  # features that have a price, in words
    CODE: "generated code",
    "layer": "beginning the layer",
    "macs": "multiplying",
    "macs3": "multiplying",
    "outputs": "requantising and storing",
    "flash lines": "waiting for weights from flash",
    "channels": "beginning channels",
    "calls": "beginning channels of a tile",
    "taps": "reading windows",
}
SHOWN = 4  # parts of a layer's cycles


class Alternative(msgspec.Struct, frozen=True):
    """A form that the layer could have."""

    form: str
    cycles: int
    sram_bytes: int
    why_not: str


class Explanation(msgspec.Struct, frozen=True):
    """One layer. All cycles are predicted, of the core that takes longer."""

    position: int
    operator: str
    output: str
    shape: tuple[int, int, int]
    macs: int
    zero_weights_percent: float
    kernel: str
    form: str  # where code and weights are: choice.py
    cycles: int
    share_percent: float  # of the network
    floor_cycles: int  # below which no known kernel gets; 0: not known
    parts: dict[str, int]  # what the cycles go into, largest first
    requantisation: str
    alternatives: tuple[Alternative, ...]


def explain_model(path: Path, *, cores: int = 1, ram_bytes: int = RAM_BYTES) -> tuple[Explanation, ...]:
    """All layers, in order. Raises BadInputError for a bad model or one that does not fit."""
    if cores not in (1, 2):
        raise BadInputError(f"--cores {cores}: an RP2040 has 1 or 2")
    graph = fitting(simplified(read_model(path)[1]), cores=cores, ram_bytes=ram_bytes)
    placed = place(graph, str(path), cores=cores, ram_bytes=ram_bytes)
    groups = layers_by_operator(graph, placed)
    predicted = predict(graph, placed, groups)
    macs = [count for _, count in graph.macs_by_operator()]
    total = sum(predicted) or 1
    return tuple(
        Explanation(
            position=position,
            operator=type(operator).__name__,
            output=graph.tensors[operator.output].name,
            shape=graph.tensors[operator.output].shape,
            macs=macs[position],
            zero_weights_percent=_zeros(operator),
            kernel=group[0].kernel,
            form=_form(position, operator, placed),
            cycles=predicted[position],
            share_percent=round(100.0 * predicted[position] / total, 1),
            floor_cycles=_floor(operator, graph, cores),
            parts=_parts(position, group, graph, placed, predicted[position]),
            requantisation=made.generated.forms.verdict() if (made := placed.generated.get(position)) else "",
            alternatives=_alternatives(position, placed),
        )
        for position, (operator, group) in enumerate(zip(graph.operators, groups, strict=True))
        if group
    )


def _form(position: int, operator: Operator, placed: Placement) -> str:
    state = placed.plan.states.get(position) if placed.plan is not None else None
    return state.name if state is not None and isinstance(operator, Conv2D | DepthwiseConv2D) else ""


def _zeros(operator: Operator) -> float:
    if not isinstance(operator, Conv2D | DepthwiseConv2D):
        return 0.0
    return round(100.0 * float((operator.weights == 0).mean()), 1)


def _floor(operator: Operator, graph: Graph, cores: int) -> int:
    if not isinstance(operator, Conv2D | DepthwiseConv2D):
        return 0
    pixels = graph.tensors[operator.output].elements / len(operator.bias)
    products = int(np.count_nonzero(operator.weights))
    if isinstance(operator, DepthwiseConv2D):
        return round(pixels * products * DEPTHWISE_FLOOR / cores)
    live = int(operator.weights.reshape(len(operator.weights), -1).any(axis=1).sum())
    return round(pixels * (products * DENSE_FLOOR + live * DENSE_OUTPUT_FLOOR) / cores)


def _parts(position: int, group: list[LayerText], graph: Graph, placed: Placement, predicted: int) -> dict[str, int]:
    """Price times count of what the longer core does, in words; what is left is the wait for overlays."""
    operator, made = graph.operators[position], placed.generated.get(position)
    known = prices()
    found: dict[str, float] = {}
    for layer in group:
        cores = layer_features(
            layer, operator, graph, made, placed.work_words, in_flash=position in placed.in_flash
        )  # of each core
        cost = known.kernels.get(layer.kernel, {})

        def priced(part: Features, cost: dict[str, float] = cost) -> float:
            return sum(cost.get(name, 0.0) * count for name, count in part.items())

        longest = max(cores, key=priced)
        for name, count in longest.items():
            what = MEANINGS.get(name.removeprefix("rest "), "packing and loops")
            found[what] = found.get(what, 0.0) + cost.get(name, 0.0) * count
        if len(cores) == 2:
            contention = priced(longest) * (cost.get(CONTENTION, 1.0) - 1.0)
            found["the other core"] = found.get("the other core", 0.0) + contention + getattr(known, SYNC)
    wait = predicted - sum(found.values())
    if wait > 1.0:
        found[WAIT] = wait
    largest = sorted(found.items(), key=lambda item: -item[1])[:SHOWN]
    return {name: round(cycles) for name, cycles in largest if cycles >= 1.0}


def _alternatives(position: int, placed: Placement) -> tuple[Alternative, ...]:
    if placed.plan is None or position not in placed.plan.states:
        return ()
    chosen, options = placed.plan.states[position], placed.plan.options[position]
    return tuple(
        Alternative(state.name, round(state.cycles), state.bytes, _why_not(state, chosen, placed.plan.room))
        for state in options
        if state.name != chosen.name
    )


def _why_not(state: State, chosen: State, room: int) -> str:
    if state.cycles >= chosen.cycles:
        return "slower"
    more = state.bytes - chosen.bytes
    if more > room:
        return f"{more:,} bytes of SRAM more, {room:,} are left: other layers save more a byte"
    return "saves nothing"
