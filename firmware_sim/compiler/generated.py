"""Which convolutions become generated code, with their proofs and their assembly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.dense_code import Assembly, dense_code
from firmware_sim.compiler.emit_layers import WORK_WORDS, Generated
from firmware_sim.compiler.graph import Conv2D, Graph
from firmware_sim.compiler.prover import EXACT, prove, staircase_of

MAX_EXACT = 64  # pair.h, PAIR_SUMS: two sums a channel
PAIR_CYCLES, PAIR_OUTPUT_CYCLES = 3.6, 55.0  # of the kernels on pairs, a MAC and an output (decision 0091)
PLAIN_CYCLES = 15.0  # a MAC of the plain kernels


@dataclass(frozen=True, slots=True)
class Candidate:
    """One layer as generated code: what it costs and what it saves."""

    generated: Generated
    assembly: Assembly
    saved_cycles: float
    bytes: int  # of SRAM, less the tables of bias and factors that it replaces


def candidate(position: int, operator: Conv2D, graph: Graph) -> Candidate | None:
    """Generated code of a CONV_2D or FULLY_CONNECTED; None when its window does not fit the work area."""
    taps = operator.weights[0].size
    if taps > WORK_WORDS:
        return None
    stairs = staircase_of(operator, graph)
    forms = prove(stairs)
    exact = np.flatnonzero(forms.form == EXACT)
    if len(exact) > MAX_EXACT:
        return None
    name = f"layer_{position}_code"
    rows: NDArray[np.int8] = operator.weights.reshape(len(operator.weights), -1)  # [O, K]
    constants = stairs.value(np.zeros((len(rows), 1), np.int64))[:, 0]  # [O]
    assembly = dense_code(name, rows, forms, constants)
    pixels = graph.tensors[operator.output].elements // len(rows)
    instead = (
        PLAIN_CYCLES * rows.size if operator.rescale.once else PAIR_CYCLES * rows.size + PAIR_OUTPUT_CYCLES * len(rows)
    )
    saved = pixels * instead - (pixels + 1) // 2 * assembly.cycles
    return Candidate(Generated(name, forms, exact), assembly, saved, assembly.bytes - 9 * len(rows))


def choose(graph: Graph, room: int) -> dict[int, Candidate]:
    """Candidates by operator position that fit `room` bytes of SRAM, those first that save most a byte."""
    found = {
        position: made
        for position, operator in enumerate(graph.operators)
        if isinstance(operator, Conv2D) and (made := candidate(position, operator, graph)) and made.saved_cycles > 0
    }
    chosen: dict[int, Candidate] = {}
    for position in sorted(found, key=lambda i: -found[i].saved_cycles / max(1, found[i].bytes)):
        if found[position].bytes <= room:
            chosen[position] = found[position]
            room -= found[position].bytes
    return chosen
