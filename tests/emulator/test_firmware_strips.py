"""Networks in strips give the same bytes, and fit where the whole ones do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest
from random_tflite import RandomNetwork, random_inputs
from tflite_files import SAME, TfliteFile

from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.placement import RAM_BYTES, least_ram
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.strips import STRIPS, chains, in_strips
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.chip_model import ChipModel
from firmware_sim.firmware.host import build_host_model
from firmware_sim.firmware.measure_model import litert_outputs
from firmware_sim.firmware.model import build_model

INPUTS = 2


def mobile_net(side: int, width: int) -> bytes:
    """The first layers of a MobileNet with `width` channels at the start, and a head."""
    rng, file = np.random.default_rng(side), TfliteFile()
    shape = [1, side, side, 3]
    source = current = file.tensor(shape, 0.05, -128)

    def layer(kind: str, kernel: int, stride: int, channels: int) -> None:
        nonlocal current, shape
        depthwise = kind == "DEPTHWISE_CONV_2D"
        size = (1, kernel, kernel, shape[3]) if depthwise else (channels, kernel, kernel, shape[3])
        weights = file.constant(rng.integers(-127, 128, size).astype(np.int8), 0.01)
        bias = file.constant(rng.integers(-2000, 2000, channels).astype(np.int32), 0.0005)
        shape = [1, -(-shape[1] // stride), -(-shape[2] // stride), channels]
        scale = 0.05 * 0.01 * 74 * 74 * float(np.sqrt(np.prod(size[1:]))) / 64
        out = file.tensor(shape, scale if not depthwise else 0.05 * 0.01 * 74 * 74 * 3 / 64, -128)
        strides = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
        options = (
            schema.DepthwiseConv2DOptionsT(padding=SAME, depthMultiplier=1, **strides)
            if depthwise
            else schema.Conv2DOptionsT(padding=SAME, **strides)
        )
        current = file.operator(kind, [current, weights, bias], out, options)

    layer("CONV_2D", 3, 2, width)
    for stride, channels in ((1, 2 * width), (2, 4 * width), (2, 4 * width), (2, 8 * width)):
        layer("DEPTHWISE_CONV_2D", 3, stride, shape[3])
        layer("CONV_2D", 1, 1, channels)
    return file.write([source], [current])


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
def test_a_mobile_net_of_144_pixels_fits_in_strips(tmp_path: Path) -> None:
    data = mobile_net(144, 16)
    graph = read_graph(data)
    assert least_ram(graph, plan(graph), 1) > RAM_BYTES
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    report = build_model(path, tmp_path / "build")
    assert any("[0:" in layer.output for layer in report.layers)
    chip = ChipModel(tmp_path / "build" / "firmware.elf", graph)
    x = random_inputs(data, 2, 0)[:1]
    found = np.stack([chip.run(row) for row in x])
    np.testing.assert_array_equal(found, litert_outputs(data, x).reshape(found.shape))


@pytest.mark.parametrize("seed", range(30))
def test_strips_give_the_same_bytes(seed: int) -> None:
    data = RandomNetwork(seed).write(4, ("conv", "depthwise", "pool"))
    graph = simplified(read_graph(data))
    x = random_inputs(data, INPUTS, seed)
    wanted = run_batch(graph, x)
    for begin, end in chains(graph):
        for count in STRIPS[:4]:
            changed = in_strips(graph, begin, end, count)
            if changed is not None:
                np.testing.assert_array_equal(run_batch(changed, x), wanted)


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("seed", [3, 11])
def test_so_does_the_c_code(seed: int, tmp_path: Path) -> None:
    data = mobile_net(64 + seed, 8)
    graph = simplified(read_graph(data))
    whole = least_ram(graph, plan(graph), 2)
    x = random_inputs(data, INPUTS, seed)
    found = build_host_model(data, tmp_path, cores=2, ram_bytes=whole - 600).run(x)
    np.testing.assert_array_equal(found, litert_outputs(data, x).reshape(found.shape))
