"""The generated C file: what goes in, and gates and models that nn.h cannot hold."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edge.gate.integer import NEVER_ALONE, Q15, exponential_table
from edge.learning.quantised import Activation, Convolution, QuantisedNetwork
from edge.learning.random_networks import random_network
from edge.learning.tflite_writer import write_tflite
from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.emit_c import emit_c
from firmware_sim.compiler.emit_layers import folded_bias
from firmware_sim.compiler.graph import Conv2D
from firmware_sim.compiler.placement import place
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

FILE = write_tflite(random_network(3, layers=6))
GRAPH = read_graph(FILE)
LUT = exponential_table(0.1, 1.0)


def test_the_text_is_deterministic_and_names_its_model() -> None:
    text = emit_c(FILE, gate_lut=LUT, tau_q15=[NEVER_ALONE] * GRAPH.labels)
    assert text == emit_c(FILE, gate_lut=LUT, tau_q15=[NEVER_ALONE] * GRAPH.labels)
    digest = ", ".join(f"0x{byte:02x}" for byte in hashlib.sha256(FILE).digest())
    assert f".sha256 = {{{digest}}}" in text
    arena = place(simplified(GRAPH), "model", overlays=False).arena
    assert f"static int8_t arena[{arena.bytes}] __attribute__((aligned(4)));" in text
    assert "malloc" not in text


def test_the_zero_point_is_in_the_bias() -> None:
    head = GRAPH.operators[-1]
    assert isinstance(head, Conv2D)
    zero_point = GRAPH.tensors[head.input].zero_point
    x = np.full(head.weights.shape[1:], 7, np.int64)  # [1, 1, I]
    with_zero_point = (head.weights * (x - zero_point)).sum(axis=(1, 2, 3)) + head.bias
    np.testing.assert_array_equal(
        (head.weights * x).sum(axis=(1, 2, 3)) + folded_bias(head, zero_point), with_zero_point
    )


@pytest.mark.parametrize(
    ("lut", "taus", "message"),
    [
        (LUT[:-1], [0] * GRAPH.labels, "256 entries"),
        ((Q15 - 1, *LUT[1:]), [0] * GRAPH.labels, "256 entries"),
        (LUT, [0] * (GRAPH.labels + 1), "thresholds for"),
        (LUT, [Q15 + 1] * GRAPH.labels, "never alone"),
    ],
)
def test_a_gate_that_does_not_fit_is_refused(lut: tuple[int, ...], taus: list[int], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        emit_c(FILE, gate_lut=lut, tau_q15=taus)


def test_more_labels_than_the_firmware_holds_are_refused() -> None:
    labels = 17
    head = Convolution(
        "head", False, 0, 1, np.ones((labels, 1, 1, 4), np.int8), np.full(labels, 0.1, np.float32),
        np.zeros(labels, np.int32), 1, "VALID", "NONE",
    )  # fmt: skip
    activations = (Activation("frame", (1, 1, 4), 0.1, 0), Activation("logits", (1, 1, labels), 0.1, 0))
    data = write_tflite(QuantisedNetwork(activations, (head,), 0, 1, "many labels"))
    with pytest.raises(BadInputError, match="17 labels; the firmware holds at most 16"):
        emit_c(data, gate_lut=LUT, tau_q15=[0] * labels)
