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

from firmware_sim.compiler.candidates import Candidate
from firmware_sim.compiler.cycles import choice_cycles
from firmware_sim.compiler.emit_layers import weight_rows
from firmware_sim.compiler.generated_layer import GeneratedDepthwise
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.overlay import overlay_cost

CHUNK_BYTES = 208  # of tables in SRAM: struct nn_layer, nn_generated and nn_overlay
NEVER = 1e12  # cycles of what cannot be


@dataclass(frozen=True, slots=True)
class State:
    """One form of a layer, with its predicted cycles and what it takes of SRAM."""

    name: str
    cycles: float
    bytes: int
    chunks: int = 0  # of an overlay
    running: float = 0.0  # cycles of an overlay without any wait
    load: float = 0.0  # cycles of loading it


@dataclass(frozen=True, slots=True)
class Plan:
    """A form of each convolution, by operator position, and the SRAM that is left."""

    states: dict[int, State]
    slot_bytes: int  # of each of the two slots of overlays
    room: int
    options: dict[int, list[State]]  # all forms that were possible

    @property
    def cycles(self) -> float:
        """Of all convolutions, one after the other, with the waits for overlays."""
        loads = [s.load / s.chunks for _, s in sorted(self.states.items()) for _ in range(s.chunks)]
        now, ready = 0.0, loads.pop(0) if loads else 0.0
        for _, state in sorted(self.states.items()):
            if not state.chunks:
                now += state.cycles
            for _ in range(state.chunks):
                now = max(now, ready)
                ready = now + (loads.pop(0) if loads else 0.0)
                now += state.running / state.chunks
        return now

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


Options = dict[int, list[State]]  # of each convolution, by operator position


def states_of(
    operator: Conv2D | DepthwiseConv2D, graph: Graph, made: Candidate | None, cores: int, words: int, *, plain: bool
) -> list[State]:
    """The forms that a layer can take, overlays left out. Only generated code knows others than `plain` activations."""
    states = [State("none", NEVER, 0)]
    weights = weight_bytes(operator)
    if plain:
        states = [
            State("flash", choice_cycles(operator, graph, None, cores, words, in_flash=True), 0),
            State("sram", choice_cycles(operator, graph, None, cores, words, in_flash=False), weights),
        ]
    if made is None:
        return states
    code = choice_cycles(operator, graph, made, cores, words, in_flash=False)
    if not isinstance(operator, DepthwiseConv2D):
        return [*states, State("code", code, made.bytes)]
    if not _reads_weights(made):
        return [*states, State("code alone", code, made.bytes)]
    return [
        *states,
        State("code", choice_cycles(operator, graph, made, cores, words, in_flash=True), made.bytes),
        State("code+sram", code, made.bytes + weights),
    ]


def with_overlay(states: list[State], made: Candidate | None, slot_bytes: int) -> list[State]:
    """Those of a layer and, of a dense one, the form whose code goes through slots of that size."""
    if made is None or made.source is None or not slot_bytes or made.bytes <= 0:
        return states
    code = next(state for state in states if state.name == "code")
    cost = overlay_cost(made, slot_bytes)
    more = code.cycles - made.cycles
    return [
        *states,
        State(
            "overlay",
            more + cost.cycles,
            cost.chunks * CHUNK_BYTES - 9 * len(made.source.rows),  # bias and factors are in the code
            chunks=cost.chunks,
            running=more + cost.running,
            load=cost.load,
        ),
    ]


def fill(options: Options, room: int, slot_bytes: int) -> Plan:
    """The forms that use `room` bytes of SRAM best when two slots take `slot_bytes` of them each."""
    room -= 2 * slot_bytes
    chosen = {i: min((s for s in states if s.bytes == 0), key=lambda s: s.cycles) for i, states in options.items()}
    if room < 0:
        return Plan({i: State(s.name, float("inf"), 0) for i, s in chosen.items()}, slot_bytes, room, options)
    while True:
        steps = [
            ((now.cycles - state.cycles) / max(1, state.bytes - now.bytes), i, state)
            for i, now in chosen.items()
            for state in options[i]
            if state.cycles < now.cycles and state.bytes - now.bytes <= room
        ]
        if not steps:
            return Plan(chosen, slot_bytes, room, options)
        _, position, state = max(steps, key=lambda step: step[:2])
        room -= state.bytes - chosen[position].bytes
        chosen[position] = state
