"""The cycle model against the emulated chip, and `firmware explain` that stands on it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edge.devices.model import DEFAULT_MODEL
from firmware_sim.cli import app
from firmware_sim.compiler.cycles import prices
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware import calibration
from firmware_sim.firmware.inputs import verification_inputs
from shared.errors import BadInputError

needs_cross = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
PIZZA = DEFAULT_MODEL / "model.tflite"
MODELS = "CRUSTWATCH_MODELS"
MEAN_ERROR = 3.0  # percent over all layers
UNSEEN = 977  # a seed that no calibration used


def run(*words: str) -> str:
    shown = CliRunner().invoke(app, list(words))
    assert shown.exit_code == 0, shown.output
    return shown.stdout


@needs_cross
def test_layers_that_the_fit_never_saw_are_predicted(tmp_path: Path) -> None:
    errors = [
        abs(prices().of(sample.kernel, sample.parts) / sample.cycles - 1.0)
        for cores in (1, 2)
        for sample in calibration.samples(UNSEEN, cores, tmp_path)
    ]
    assert len(errors) > 60
    assert 100.0 * sum(errors) / len(errors) < MEAN_ERROR + 1.0  # one network; calibrate prints the mean of several


@needs_cross
@pytest.mark.parametrize("cores", [1, 2])
def test_real_networks_are_predicted(cores: int) -> None:
    folder = os.environ.get(MODELS)
    if folder is None:
        pytest.skip(f"{MODELS} names no folder with the MLPerf Tiny models (mlcommons/tiny, Apache-2.0)")
    errors: list[float] = []
    for name in ("kws_int8", "resnet8_cifar10_int8", "vww_96_int8"):
        found = msgspec.json.decode(run("bench", f"{folder}/{name}.tflite", "--cores", str(cores), "--json"))
        layers = found["layers"]
        errors += [abs(layer["predicted_cycles"] / layer["cycles"] - 1.0) for layer in layers]
        assert found["predicted_ms"] == pytest.approx(found["ms"], rel=0.03)
    assert 100.0 * sum(errors) / len(errors) <= MEAN_ERROR


def test_a_fit_finds_prices_that_made_the_cycles() -> None:
    rng = np.random.default_rng(1)
    taken = [
        calibration.Sample("k", tuple({"layer": 1.0, "macs": m} for _ in range(cores)), round(cost))
        for cores in (1, 2)
        for m in rng.integers(10, 5000, 30).tolist()
        for cost in [100 + 7 * m if cores == 1 else 1.1 * (100 + 7 * m) + 50]
    ]
    found = calibration.fit(taken)
    assert found.kernels["k"]["macs"] == pytest.approx(7.0, rel=0.01)
    assert found.kernels["k"]["layer"] == pytest.approx(100.0, rel=0.05)
    assert found.kernels["k"]["contention"] == pytest.approx(1.1, rel=0.03)


def test_explain_says_where_cycles_go_and_what_was_rejected() -> None:
    found = json.loads(run("explain", str(PIZZA), "--cores", "2", "--json"))
    layers = found["layers"]
    assert sum(layer["share_percent"] for layer in layers) == pytest.approx(100.0, abs=1.0)
    dense = next(layer for layer in layers if layer["operator"] == "Conv2D")
    assert dense["form"] == "code"
    assert dense["cycles"] > dense["floor_cycles"] > 0
    assert 0.7 * dense["cycles"] < sum(dense["parts"].values()) <= 1.01 * dense["cycles"]
    assert {"flash", "sram"} <= {other["form"] for other in dense["alternatives"]}
    text = run("explain", str(PIZZA), "--layer", str(dense["position"]))
    assert "rejected: flash" in text
    assert "slower" in text
    tight = run("explain", str(PIZZA), "--layer", str(dense["position"]), "--ram", "60000")
    assert "bytes of SRAM more" in tight or "slower" in tight
    with pytest.raises(BadInputError, match="--layer 99"):
        CliRunner().invoke(app, ["explain", str(PIZZA), "--layer", "99"], catch_exceptions=False)


def test_inputs_are_noise_extremes_steps_and_pictures(tmp_path: Path) -> None:
    graph = read_graph(PIZZA.read_bytes())
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    x, real = verification_inputs(graph, 40, 1, tmp_path)
    assert x.dtype == np.int8
    assert real.sum() == 10
    assert set(np.unique(x[:2]).tolist()) == {-128, 127}
    assert set(np.unique(x[5]).tolist()) == {-128, 127}
    assert len(np.unique(x[~real & (np.arange(40) % 4 == 0)])) == 256
    assert verification_inputs(graph, 120, 1)[1].sum() == 30  # more than scikit-image ships
    (tmp_path / "two.png").write_bytes(b"no picture")
    with pytest.raises(BadInputError, match=r"two\.png: no picture"):
        verification_inputs(graph, 40, 1, tmp_path)
    with pytest.raises(BadInputError, match="no pictures in it"):
        verification_inputs(graph, 4, 1, DEFAULT_MODEL)
