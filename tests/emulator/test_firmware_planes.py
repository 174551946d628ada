"""Activations as planes and words of two pixels: LiteRT's bytes, on this machine and on the chip."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from random_tflite import RandomNetwork, random_inputs
from tflite_files import SAME, VALID

from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.placement import place
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.chip_model import ChipModel
from firmware_sim.firmware.host import build_host_model
from firmware_sim.firmware.measure_model import litert_outputs
from firmware_sim.firmware.model import build_model

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
INPUTS = 4


class Separable(RandomNetwork):
    """1x1 and other convolutions, each with a 3x3 depthwise layer behind it, at any size, stride and padding."""

    _depthwise = False

    def _window(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int, int, int, int]:
        rng = self.rng
        if not self._depthwise and rng.random() < 0.7:
            return 1, 1, 1, 1, int(SAME), shape[0], shape[1]
        size = [3, 3] if self._depthwise else [min(int(rng.integers(1, 5)), side) for side in shape[:2]]
        strides = [int(rng.integers(1, 3 if self._depthwise else 2))] * 2
        padding = int(rng.choice([SAME, SAME, VALID])) if min(shape[:2]) >= 3 else int(SAME)
        sides = zip(shape[:2], size, strides, strict=True)
        out = [-(-side // stride) if padding == SAME else (side - k) // stride + 1 for side, k, stride in sides]
        return size[0], size[1], strides[0], strides[1], padding, out[0], out[1]

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.maximum(super()._weights(shape), -127).astype(np.int8)

    def pair(self, current: int) -> int | None:
        """A convolution and a depthwise layer."""
        self._depthwise = False
        between = self.conv(current)
        self._depthwise = True
        return None if between is None else self.depthwise(between)


SEEDS = (9, 13, 19, 21, 26, 38)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all builds: only the model's files are compiled again."""
    return tmp_path_factory.mktemp("planes")


def network(seed: int) -> bytes:
    return Separable(seed).write(3, ("pair",))


@pytest.mark.parametrize("seed", SEEDS)
def test_planes_give_the_same_bytes(seed: int, folder: Path) -> None:
    data = network(seed)
    path = folder / "model.tflite"
    path.write_bytes(data)
    x = random_inputs(data, INPUTS, seed)
    cores = 1 + seed % 2
    host = build_host_model(data, folder / "host", cores=cores).run(x)
    np.testing.assert_array_equal(host, litert_outputs(data, x).reshape(host.shape))
    build_model(path, folder / "build", cores=cores)
    chip = ChipModel(folder / "build" / "firmware.elf", read_graph(data))
    np.testing.assert_array_equal(np.stack([chip.run(row) for row in x]), host)


def test_both_formats_are_among_them() -> None:
    found = [place(simplified(read_graph(network(seed))), "network").formats for seed in SEEDS]
    assert sum(bool(formats.planes) for formats in found) >= 4
    assert sum(bool(formats.words) for formats in found) >= 2
