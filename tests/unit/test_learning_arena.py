"""The memory plan: tensors alive together never share a byte, and the plan does not waste the arena."""

from __future__ import annotations

from itertools import combinations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.learning.random_networks import random_network
from edge.learning.tflite_writer import write_tflite
from firmware_sim.compiler.arena import ALIGNMENT, Placement, plan
from firmware_sim.compiler.graph import Add, Lookup, Mul, Reshape, inputs_of
from firmware_sim.compiler.tflite_reader import read_graph


def overlap(one: Placement, two: Placement) -> bool:
    return one.offset < two.offset + two.bytes and two.offset < one.offset + one.bytes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10_000), st.integers(1, 10))
def test_tensors_alive_together_never_overlap(seed: int, layers: int) -> None:
    graph = read_graph(write_tflite(random_network(seed, layers)))
    arena = plan(graph)
    for one, two in combinations(arena.placements, 2):
        assert not (one.meets(two) and overlap(one, two)), (one, two)
    for position, operator in enumerate(graph.operators):
        if isinstance(operator, Reshape):
            continue
        out = arena.offsets[operator.output]
        for index in inputs_of(operator):
            into = arena.offsets[index]
            if isinstance(operator, Add | Mul | Lookup) and out == into:  # in place, value by value
                assert graph.tensors[index].shape == graph.tensors[operator.output].shape
                assert all(index not in inputs_of(after) for after in graph.operators[position + 1 :])
                continue
            assert out >= into + graph.tensors[index].bytes or into >= out + graph.tensors[operator.output].bytes
    assert all(offset % ALIGNMENT == 0 for offset in arena.offsets.values())
    alive = (
        sum(p.bytes for p in arena.placements if p.first <= now <= p.last)
        for now in range(-1, len(graph.operators) + 1)
    )
    assert max(alive) <= arena.bytes <= sum(p.bytes for p in arena.placements)
