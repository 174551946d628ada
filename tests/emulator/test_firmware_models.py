"""Firmware of any `.tflite` file on the emulated chip: LiteRT's bytes, figures that add up, and the commands."""

from __future__ import annotations

import os
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from random_tflite import legal_network, random_inputs
from typer.testing import CliRunner

from edge.devices.model import DEFAULT_MODEL
from firmware_sim.cli import app
from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.placement import least_ram
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.build import measure
from firmware_sim.firmware.chip_model import ChipModel
from firmware_sim.firmware.host import build_host_model
from firmware_sim.firmware.measure_model import litert_outputs
from firmware_sim.firmware.model import build_model, clock_flags
from shared.errors import BadInputError

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
MODELS = "CRUSTWATCH_MODELS"  # folder of int8 models of the MLPerf Tiny reference, no part of the project
PIZZA = DEFAULT_MODEL / "model.tflite"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all builds: only the model's file is compiled again."""
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_give_litert_s_bytes_on_the_chip(seed: int, folder: Path) -> None:
    data = legal_network(seed, 6)
    path = folder / "model.tflite"
    path.write_bytes(data)
    cores = 1 + seed % 2
    report = build_model(path, folder / "build", cores=cores)
    sizes = measure(folder / "build")  # as `crustwatch firmware size` finds them, without being told the cores
    assert (sizes.stack_bytes, sizes.ram_bytes) == (cores * 4096, report.sram_bytes)
    x = random_inputs(data, 4, seed)
    chip = ChipModel(folder / "build" / "firmware.elf", read_graph(data))
    found = np.stack([chip.run(row) for row in x])
    wanted = litert_outputs(data, x).reshape(found.shape)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    between = chip.cycles - sum(chip.layer_cycles)  # reading the time, and looking through the stack at the end
    assert 0 < between < 10_000 + 1_500 * len(chip.layer_cycles)


@pytest.mark.parametrize(("seed", "layers", "cores"), [(50023, 8, 2), (50064, 1, 1)])
def test_depthwise_windows_that_stand_apart(seed: int, layers: int, cores: int, folder: Path) -> None:
    """Strides of 3 and two windows a row or more: their loop and that of the rows once shared a register."""
    data = legal_network(seed, layers)
    path = folder / "model.tflite"
    path.write_bytes(data)
    build_model(path, folder / "build", cores=cores)
    chip = ChipModel(folder / "build" / "firmware.elf", read_graph(data))
    x = random_inputs(data, 4, seed)[0]
    found = chip.run(x)  # [H, W, C]
    np.testing.assert_array_equal(found, litert_outputs(data, x[None]).reshape(found.shape))


@pytest.mark.parametrize("seed", [41, 75, 82, 98, 139])
def test_code_loaded_from_flash_while_layers_run_gives_the_same_bytes(seed: int, folder: Path) -> None:
    """So little SRAM that generated code is cut into chunks."""
    data = legal_network(seed, 7, ("conv", "conv", "depthwise", "connected", "add"))
    graph = read_graph(data)
    path = folder / "model.tflite"
    path.write_bytes(data)
    x = random_inputs(data, 4, seed)
    loaded = []
    for cores in (1, 2):
        ram = least_ram(graph, plan(graph), cores) + 5 * 1024
        report = build_model(path, folder / "build", cores=cores, ram_bytes=ram)
        loaded += [layer.parts for layer in report.layers if layer.weights == "overlay"]
        chip = ChipModel(folder / "build" / "firmware.elf", graph)
        found = np.stack([chip.run(row) for row in x])
        np.testing.assert_array_equal(found, litert_outputs(data, x).reshape(found.shape))
        host = build_host_model(data, folder / "host", cores=cores, ram_bytes=ram).run(x)
        np.testing.assert_array_equal(host, found)
    assert max(loaded) > 1


@pytest.mark.parametrize("name", ["kws_int8", "resnet8_cifar10_int8", "vww_96_int8"])
def test_real_networks_verify(name: str) -> None:
    given = os.environ.get(MODELS)
    if given is None:
        pytest.skip(f"{MODELS} names no folder with {name}.tflite (mlcommons/tiny, Apache-2.0)")
    path = Path(given) / f"{name}.tflite"
    shown = CliRunner().invoke(app, ["verify", str(path), "--inputs", "60", "--chip-inputs", "2", "--json"])
    assert shown.exit_code == 0, shown.output
    found = msgspec.json.decode(shown.stdout)
    assert (found["inputs"], found["mismatches"], found["chip_inputs"]) == (60, 0, 2)


def test_build_and_bench_print_what_a_model_takes(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["build", str(PIZZA), "--out", str(tmp_path), "--json"])
    built = msgspec.json.decode(shown.stdout)
    assert (tmp_path / "firmware.uf2").exists()
    assert built["macs"] == sum(layer["macs"] for layer in built["layers"])
    assert built["predicted_cycles"] == sum(layer["predicted_cycles"] for layer in built["layers"])
    assert built["predicted_ms"] == pytest.approx(built["predicted_cycles"] / 125e3, abs=0.001)
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes()) == built
    check_report(built, (tmp_path / "report.txt").read_text())
    shown = CliRunner().invoke(app, ["bench", str(PIZZA), "--json"])
    found = msgspec.json.decode(shown.stdout)
    assert found["cycles"] == sum(layer["cycles"] for layer in found["layers"])
    assert found["ms"] == pytest.approx(found["cycles"] / 125e3, abs=0.001)
    assert found["cycles_per_mac"] == pytest.approx(found["cycles"] / found["macs"], abs=0.001)
    assert (found["flash_bytes"], found["sram_bytes"]) == (built["flash_bytes"], built["sram_bytes"])
    text = CliRunner().invoke(app, ["bench", str(PIZZA), "--clock", "100"])
    assert "1 core at 100 MHz" in text.stdout


def check_report(built: dict[str, Any], words: str) -> None:
    """Every layer reads what was written before, and the arena holds it all without one on another."""
    shapes = [built["layers"][0]["inputs"][0]]
    for layer in built["layers"]:
        assert all(shape in shapes for shape in layer["inputs"])
        shapes.append(layer["shape"])
        assert f"  {layer['position']:2}  {layer['operator']}" in words
        assert layer.get("requantisation", "") in words
        assert layer["code"] in ("sram", "flash")
    assert max(place["offset"] + place["bytes"] for place in built["arena"]) == built["arena_bytes"]
    for one, two in combinations(built["arena"], 2):
        together = one["first"] <= two["last"] and two["first"] <= one["last"]
        apart = one["offset"] + one["bytes"] <= two["offset"] or two["offset"] + two["bytes"] <= one["offset"]
        assert apart or not together
    assert built["arena"][0]["first"] == -1, "the network's input"
    assert all(place["tensors"] for place in built["arena"])


def test_a_clock_that_the_pll_does_not_reach_is_refused() -> None:
    assert clock_flags(125) == "-DSYS_HZ=125000000u -DPLL_FEEDBACK=125u -DPLL_POSTDIV1=6u -DPLL_POSTDIV2=2u"
    with pytest.raises(BadInputError, match="--clock 20"):
        clock_flags(20)
    with pytest.raises(BadInputError, match="--cores 3"):
        build_model(PIZZA, Path("nowhere"), cores=3)
    with pytest.raises(BadInputError, match="cannot be read"):
        build_model(Path("/no/such.tflite"), Path("nowhere"))
