"""The same bytes everywhere: numpy reference, C for this machine, C on the emulated chip, LiteRT, tflite-micro."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime as tflite_micro

from edge.devices import open_device
from edge.devices.model import DEFAULT_MODEL
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.build import model_c
from firmware_sim.firmware.host import build_host_library
from shared.bakery import KEY_FRAME, render_bake
from shared.resize import square_resize

FRAMES = 500
RENDERED = 16


@pytest.fixture(scope="module")
def tflite() -> bytes:
    return (DEFAULT_MODEL / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """uint8 [500, 48, 48, 3]: rendered key frames, noise, smooth colour ramps and constants."""
    rng = np.random.default_rng(20)
    rendered = [square_resize(render_bake(seed=11, index=i).frames[KEY_FRAME], 48) for i in range(RENDERED)]
    constant = [np.full((48, 48, 3), value, np.uint8) for value in (0, 127, 128, 255)]
    ramp = np.linspace(0, 1, 48)[:, None, None] * np.ones((48, 48, 3))
    ramps = [(ramp * rng.integers(0, 256, 3)).astype(np.uint8) for _ in range(56)]
    noise = rng.integers(0, 256, (FRAMES - RENDERED - 60, 48, 48, 3), np.uint8)
    return np.concatenate([rendered, constant, ramps, noise])


@pytest.fixture(scope="module")
def wanted(tflite: bytes, images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """int8 [500, 5] of the numpy reference."""
    return run_batch(read_graph(tflite), (images ^ 0x80).view(np.int8))


def test_the_chip_gives_the_reference_bytes(images: NDArray[np.uint8], wanted: NDArray[np.int8]) -> None:
    assert len(images) == FRAMES
    assert len(np.unique(wanted, axis=0)) > FRAMES // 2
    cycles = []
    with open_device("emulated") as device:
        for image, row in zip(images, wanted, strict=True):
            found = device.classify(image)
            assert found.logits == tuple(row.tolist())
            cycles.append(found.cycles or 0)
        statistics = device.statistics()
    assert (statistics.frames, statistics.errors) == (FRAMES, {})
    assert max(cycles) < 1.02 * min(cycles)  # its time hardly depends on what it sees


@pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)
def test_the_host_build_gives_the_reference_bytes(
    images: NDArray[np.uint8], wanted: NDArray[np.int8], tmp_path: Path
) -> None:
    library = build_host_library(model_c(DEFAULT_MODEL), tmp_path)
    np.testing.assert_array_equal(np.stack([library.infer(image) for image in images]), wanted)


def test_litert_reference_kernels_give_the_reference_bytes(
    tflite: bytes, images: NDArray[np.uint8], wanted: NDArray[np.int8]
) -> None:
    interpreter = Interpreter(
        model_content=tflite, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    source, target = (d()[0]["index"] for d in (interpreter.get_input_details, interpreter.get_output_details))
    for image, row in zip(images, wanted, strict=True):
        interpreter.set_tensor(source, (image ^ 0x80).view(np.int8)[None])
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(target).ravel(), row)


def test_tflite_micro_gives_the_reference_bytes(
    tflite: bytes, images: NDArray[np.uint8], wanted: NDArray[np.int8]
) -> None:
    interpreter = tflite_micro.Interpreter.from_bytes(tflite, arena_size=1_000_000)
    for image, row in zip(images, wanted, strict=True):
        interpreter.set_input((image ^ 0x80).view(np.int8)[None], 0)
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_output(0).ravel(), row)
