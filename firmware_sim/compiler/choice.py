"""Which form each layer takes in the SRAM that is left: always the step that saves most cycles a byte.

| state | weights | code | SRAM |
| --- | --- | --- | --- |
| flash | read through the XIP cache | the kernels' | none |
| sram | in SRAM | the kernels' | the weights |
| overlay | in the code | generated, loaded by DMA in chunks (overlay.py) | the two slots that all share |
| code | in the code, or of depthwise layers in flash | generated | the code |
| code alone | in the code, or beside it | generated; depthwise layers of which no channel needs the kernels | both |
| code+sram | in SRAM | generated | both; depthwise layers only |
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.compiler.emit_layers import WORK_WORDS, GeneratedDepthwise, weight_rows
from firmware_sim.compiler.generated import Candidate, kernel_cycles
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.overlay import overlay_cycles

FLASH_CYCLES = 8.0  # a byte that the XIP cache misses: a line of 8 in 64 (boot2_quad.S)
CACHED_BYTES = 12 * 1024  # of the 16 KB; the rest is for everything else


@dataclass(frozen=True, slots=True)
class State:
    """One form of a layer, with its predicted cycles and what it takes of SRAM."""

    name: str
    cycles: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A form of each convolution, by operator position, and the SRAM that is left."""

    states: dict[int, State]
    slot_bytes: int  # of each of the two slots of overlays
    room: int

    @property
    def cycles(self) -> float:
        """Of all convolutions."""
        return sum(state.cycles for state in self.states.values())

    def in_flash(self, graph: Graph) -> frozenset[int]:
        """The layers whose kernels read weights from flash."""
        return frozenset(
            i
            for i, state in self.states.items()
            if state.name == "flash" or (state.name == "code" and isinstance(graph.operators[i], DepthwiseConv2D))
        )


def _reads_weights(made: Candidate) -> bool:
    """Whether some channels of a depthwise layer run the kernels on pairs."""
    return isinstance(made.generated, GeneratedDepthwise) and bool(made.generated.rest)


def weight_bytes(operator: Operator) -> int:
    """Weights of a convolution as the kernels want them."""
    return weight_rows(operator).size if isinstance(operator, Conv2D | DepthwiseConv2D) else 0


def states_of(
    operator: Conv2D | DepthwiseConv2D, graph: Graph, made: Candidate | None, cores: int, slot_bytes: int
) -> list[State]:
    """The forms that a layer can take."""
    weights, kernel = weight_bytes(operator), kernel_cycles(operator, graph, cores)
    stalls = flash_cycles(operator, graph)
    states = [State("flash", kernel + stalls, 0), State("sram", kernel, weights)]
    if made is None:
        return states
    if isinstance(operator, DepthwiseConv2D) and not _reads_weights(made):
        return [*states, State("code alone", made.cycles, made.bytes)]
    if isinstance(operator, DepthwiseConv2D):
        return [
            *states,
            State("code", made.cycles + stalls, made.bytes),
            State("code+sram", made.cycles, made.bytes + weights),
        ]
    states.append(State("code", made.cycles, made.bytes))
    if slot_bytes and made.bytes > 0:
        states.append(State("overlay", overlay_cycles(made, slot_bytes), 0))
    return states


def fill(graph: Graph, found: dict[int, Candidate], room: int, cores: int, slot_bytes: int) -> Plan:
    """The forms that use `room` bytes of SRAM best when overlays have two slots of `slot_bytes`."""
    room -= 2 * slot_bytes
    options = {
        i: states_of(operator, graph, found.get(i), cores, slot_bytes)
        for i, operator in enumerate(graph.operators)
        if isinstance(operator, Conv2D | DepthwiseConv2D)
    }
    chosen = {i: min((s for s in states if s.bytes == 0), key=lambda s: s.cycles) for i, states in options.items()}
    if room < 0:
        return Plan({i: State(s.name, float("inf"), 0) for i, s in chosen.items()}, slot_bytes, room)
    while True:
        steps = [
            ((now.cycles - state.cycles) / max(1, state.bytes - now.bytes), i, state)
            for i, now in chosen.items()
            for state in options[i]
            if state.cycles < now.cycles and state.bytes - now.bytes <= room
        ]
        if not steps:
            return Plan(chosen, slot_bytes, room)
        _, position, state = max(steps, key=lambda step: step[:2])
        room -= state.bytes - chosen[position].bytes
        chosen[position] = state


def flash_cycles(operator: Conv2D | DepthwiseConv2D, graph: Graph) -> float:
    """Cycles that weights cost in flash: each tile of pixels streams them anew unless the cache holds them."""
    weights = weight_bytes(operator)
    tiles = 1
    if isinstance(operator, Conv2D) and weights > CACHED_BYTES:
        words = operator.weights[0].size
        pairs = (graph.tensors[operator.output].elements // len(operator.bias) + 1) // 2
        tiles = -(-pairs // max(1, WORK_WORDS // words))
    return FLASH_CYCLES * weights * tiles
