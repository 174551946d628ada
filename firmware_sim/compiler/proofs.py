"""The proofs of layers (prover.py), each found once."""

from __future__ import annotations

from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.prover import Requantisation, prove, staircase_of

MOST_PROVEN = 256  # layers that are remembered
_PROVEN: dict[tuple[int, int], tuple[Operator, Graph, Requantisation]] = {}


def proven(operator: Conv2D | DepthwiseConv2D, graph: Graph) -> Requantisation:
    """The layer's forms; found once, as the planner looks at a layer in several surroundings."""
    key = (id(operator), id(graph))
    if key not in _PROVEN:
        while len(_PROVEN) >= MOST_PROVEN:
            _PROVEN.pop(next(iter(_PROVEN)))
        _PROVEN[key] = (operator, graph, prove(staircase_of(operator, graph)))  # which keeps both alive, and their ids
    return _PROVEN[key][2]
