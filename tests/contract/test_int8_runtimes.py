"""The shipped model gives the same bytes everywhere: numpy, LiteRT's reference kernels, tflite-micro, C and the chip.

The C code runs built for this machine and, as the ready-built firmware, on the emulated RP2040. Frames: rendered bakes
never trained on, random ones and extreme ones. Every device decides as the integer gate does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime as tflite_micro

from edge.devices import open_device
from edge.gate import load_gate
from edge.learning.commands import shipped_model
from firmware_sim.compiler.emit_c import emit_c
from firmware_sim.compiler.reference import run, run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.host import build_host_library
from shared.bakery import render_bake
from shared.resize import square_resize

Frames = NDArray[np.uint8]
Logits = NDArray[np.int8]

FOLDER = shipped_model("pizza")
TFLITE = (FOLDER / "model.tflite").read_bytes()
GRAPH = read_graph(TFLITE)
SIDE = 48
RENDERED_BAKES = 20
RENDERED_SEED = 3099  # of the test split
RANDOM_FRAMES = 280
TOLERANCE = 4  # steps, of optimised kernels
TIE = 2  # steps between the two best logits
needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)


def extreme_frames() -> Frames:
    """Frames at the ends of the range, uint8 [N, 48, 48, 3]: flat, striped, checkered, split, single pixels."""
    row, column = np.mgrid[:SIDE, :SIDE]
    planes = [np.full((SIDE, SIDE), level) for level in (0, 1, 127, 128, 254, 255)]
    planes += [255 * ((row // step + column // step) % 2) for step in (1, 2, 3, 5, 8)]
    planes += [255 * (row // step % 2) for step in (1, 4)] + [255 * (column // step % 2) for step in (1, 4)]
    planes += [255 * (row >= 24), 255 * (column >= 24), 5 * row, 5 * column, 255 * ((row == 0) & (column == 0))]
    masks = [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    return np.stack([plane[..., None] * np.array(mask) for plane in planes for mask in masks]).astype(np.uint8)


@pytest.fixture(scope="module")
def rendered() -> Frames:
    """Every frame of some bakes, uint8 [N, 48, 48, 3]."""
    bakes = (render_bake(RENDERED_SEED, index) for index in range(RENDERED_BAKES))
    return np.stack([square_resize(frame, SIDE) for bake in bakes for frame in bake.frames])


@pytest.fixture(scope="module")
def frames(rendered: Frames) -> Frames:
    """All frames of the comparison, uint8 [N, 48, 48, 3]."""
    noise = np.random.default_rng(11).integers(0, 256, (RANDOM_FRAMES, SIDE, SIDE, 3)).astype(np.uint8)
    every = np.concatenate([rendered, noise, extreme_frames()])
    assert len(every) >= 500
    return every


@pytest.fixture(scope="module")
def expected(frames: Frames) -> Logits:
    """The reference's logits, int8 [N, 5]."""
    return run_batch(GRAPH, quantised(frames))


def quantised(frames: Frames) -> NDArray[np.int8]:
    return (frames.astype(np.int16) - 128).astype(np.int8)


def litert(frames: Frames, resolver: OpResolverType) -> Logits:
    interpreter = Interpreter(model_content=TFLITE, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    source, target = (d()[0]["index"] for d in (interpreter.get_input_details, interpreter.get_output_details))
    rows = []
    for frame in quantised(frames):
        interpreter.set_tensor(source, frame[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target).ravel().copy())
    return np.stack(rows)


def litert_reference(frames: Frames, folder: Path) -> Logits:
    return litert(frames, OpResolverType.BUILTIN_REF)


def micro(frames: Frames, folder: Path) -> Logits:
    interpreter = tflite_micro.Interpreter.from_bytes(TFLITE)
    rows = []
    for frame in quantised(frames):
        interpreter.set_input(frame[None], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0).ravel().copy())
    return np.stack(rows)


def host_c(frames: Frames, folder: Path) -> Logits:
    gate = load_gate(FOLDER / "gate.json", GRAPH.labels)
    library = build_host_library(emit_c(TFLITE, gate_lut=gate.lut, tau_q15=gate.tau_q15), folder)
    return np.stack([library.infer(frame) for frame in frames])


def chip(frames: Frames, folder: Path) -> Logits:
    with open_device("emulated", model=FOLDER) as device:
        return np.stack([np.array(device.classify(frame).logits, np.int8) for frame in frames])


@pytest.mark.parametrize("runtime", [litert_reference, micro, pytest.param(host_c, marks=needs_compiler), chip])
def test_the_bytes_are_the_same(
    runtime: Callable[[Frames, Path], Logits], frames: Frames, expected: Logits, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(runtime(frames, tmp_path), expected)


def test_one_frame_and_a_batch_are_the_same(frames: Frames, expected: Logits) -> None:
    for position in range(0, len(frames), 50):
        np.testing.assert_array_equal(run(GRAPH, quantised(frames)[position]), expected[position])


def onnx(frames: Frames) -> Logits:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])
    logits: Logits = session.run(None, {"input": quantised(frames)})[0]
    return logits


def fast_litert(frames: Frames) -> Logits:
    return litert(frames, OpResolverType.AUTO)


def litert_without_xnnpack(frames: Frames) -> Logits:
    return litert(frames, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


@pytest.mark.parametrize("runtime", [fast_litert, litert_without_xnnpack, onnx])
def test_fast_kernels_are_close_and_agree_on_the_label(
    runtime: Callable[[Frames], Logits], rendered: Frames, expected: Logits
) -> None:
    """The label is the same wherever the reference's own lead is more than a tie that one rounding decides.

    Such ties are never answered alone, so no verdict of the edge depends on them.
    """
    logits, reference = runtime(rendered), expected[: len(rendered)]
    assert np.abs(logits.astype(int) - reference).max() <= TOLERANCE
    ranked = np.sort(reference.astype(int), axis=1)  # [N, 5]
    decided = ranked[:, -1] - ranked[:, -2] > TIE
    assert decided.mean() > 0.95
    same = logits.argmax(axis=1) == reference.argmax(axis=1)
    assert same[decided].all()
    assert same[load_gate(FOLDER / "gate.json", GRAPH.labels).table().sure(reference)].all()


def test_the_sample_is_no_easy_one(expected: Logits) -> None:
    """Logits move over their range and every label wins somewhere: equal bytes are no accident of saturation."""
    assert len(np.unique(expected)) > 100
    assert set(expected.argmax(axis=1)) == set(range(GRAPH.labels))
