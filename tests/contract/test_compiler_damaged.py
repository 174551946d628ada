"""Damaged .tflite files are refused clearly or run: 1,000, or as many as CRUSTWATCH_DAMAGED_MODELS says."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fuzzed_tflite import damaged
from random_tflite import RandomNetwork

from edge.devices.model import DEFAULT_MODEL
from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.emit_c import emit_model
from firmware_sim.compiler.placement import place
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

GROUPS = 4
FILES = int(os.environ.get("CRUSTWATCH_DAMAGED_MODELS", "1000"))
A_NETWORK = 25  # damaged files of one random network
MOST_MACS = 300_000  # of one that is compiled and run


def compiles_or_is_refused(data: bytes) -> bool:
    """Whether the file is a network, which then is compiled and run; a BadInputError of one line otherwise."""
    refusal = ""
    try:
        graph = read_graph(data)
        if graph.macs() > MOST_MACS or graph.input_tensor.elements > MOST_MACS:
            return True
        simple = simplified(graph)
        emit_model(simple, bytes(32), place(simple, "model", cores=2))
    except BadInputError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal.splitlines()) == 1
        assert len(refusal) > 10
        return False
    run_batch(graph, np.zeros((1, *graph.input_tensor.shape), graph.input_tensor.dtype))
    return True


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the schema's own writer, for numbers that do not fit
@pytest.mark.parametrize("group", range(GROUPS))
def test_damaged_files_are_refused_clearly_or_run(group: int) -> None:
    rng = np.random.default_rng(group)
    pizza = (DEFAULT_MODEL / "model.tflite").read_bytes()
    made = 0
    for seed in range(group, FILES, GROUPS):
        if made % A_NETWORK == 0:
            data = RandomNetwork(seed).write(int(rng.integers(1, 6)))
        if made % (4 * A_NETWORK) == 3 * A_NETWORK:
            data = pizza
        made += 1
        compiles_or_is_refused(damaged(data, rng))
    assert made == len(range(group, FILES, GROUPS))
