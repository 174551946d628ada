"""The shape of MLPerf Tiny's anomaly network on the emulated chip: FULLY_CONNECTED only, more weights than SRAM.

mlcommons/tiny, benchmark/training/anomaly_detection/keras_model.py: 640 features, four layers of 128, 8, four of 128,
640. The weights here are random; its float inputs and outputs are kept.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest
from tflite_files import NONE, RELU, TfliteFile

from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.chip_model import ChipModel
from firmware_sim.firmware.measure_model import litert_outputs
from firmware_sim.firmware.model import build_model

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")

WIDTHS = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)


def autoencoder() -> bytes:
    rng = np.random.default_rng(5)
    file = TfliteFile()
    features = file.tensor([1, 640], dtype="float32")
    current, scale = file.tensor([1, 640], 0.4, 80), 0.4
    file.operator("QUANTIZE", [features], current, schema.QuantizeOptionsT())
    for number, (depth, width) in enumerate(pairwise(WIDTHS)):
        weights = np.clip(rng.normal(0.0, 30.0, (width, depth)), -127, 127).astype(np.int8)
        weight_scale = 1.5 / (30.0 * depth**0.5)  # keeps the size of the values from layer to layer
        last = number == len(WIDTHS) - 2
        inputs = [
            current,
            file.constant(weights, weight_scale),
            file.constant(rng.integers(-2000, 2000, width).astype(np.int32), scale * weight_scale),
        ]
        current = file.tensor([1, width], 0.4, 10 if last else -128)
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=NONE if last else RELU)
        file.operator("FULLY_CONNECTED", inputs, current, options)
    out = file.tensor([1, 640], dtype="float32")
    return file.write([features], [file.operator("DEQUANTIZE", [current], out, schema.DequantizeOptionsT())])


@pytest.mark.parametrize("cores", [1, 2])
def test_an_autoencoder_gives_litert_s_values_on_the_chip(cores: int, tmp_path: Path) -> None:
    data = autoencoder()
    path = tmp_path / "anomaly.tflite"
    path.write_bytes(data)
    report = build_model(path, tmp_path / "build", cores=cores)
    assert report.macs == sum(a * b for a, b in pairwise(WIDTHS))
    assert any(layer.weights in ("flash", "overlay") for layer in report.layers)
    x = np.random.default_rng(6).normal(-20.0, 15.0, (3, 1, 1, 640)).astype(np.float32)
    chip = ChipModel(tmp_path / "build" / "firmware.elf", read_graph(data))
    found = np.stack([chip.run(row) for row in x])
    wanted = litert_outputs(data, x).reshape(found.shape)
    assert len(np.unique(wanted)) > 100, "values that say nothing prove nothing"
    np.testing.assert_array_equal(found, wanted)
