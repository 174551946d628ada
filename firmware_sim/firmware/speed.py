"""How long the firmware takes for a frame on the emulated chip."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError


class Speed(msgspec.Struct, frozen=True):
    """Emulated figures of one firmware; cycles are the chip's own count, without the transfer of the frame."""

    frames: int
    cycles_median: int
    cycles_largest: int
    clock_hz: int
    inference_ms: float  # of the median
    macs: int
    cycles_per_mac: float
    stack_bytes: int  # most of the stack ever used


def measure_speed(model: Path, firmware: Path | None, frames: int) -> Speed:
    """Classify `frames` frames of noise with `firmware` (default: the ready-built one), which runs `model`.

    Raises BadInputError when it runs another model, DeviceError when the chip fails.
    """
    tflite = model / "model.tflite"
    try:
        data = tflite.read_bytes()
    except OSError as error:
        raise BadInputError(f"{tflite}: cannot be read: {error.strerror}") from None
    graph = read_graph(data, str(tflite))
    client = BoardClient(EmulatedLine(firmware))
    board = client.hello()
    if board.model_sha256 != hashlib.sha256(data).digest():
        raise BadInputError(f"the firmware runs model {board.model_sha256.hex()[:12]}, which is not {tflite}")
    shape = (board.height, board.width, board.channels)
    rng = np.random.default_rng(0)
    cycles = [client.classify(rng.integers(0, 256, shape, np.uint8).tobytes()).cycles for _ in range(frames)]
    median = int(np.median(cycles))
    return Speed(
        frames=frames,
        cycles_median=median,
        cycles_largest=max(cycles),
        clock_hz=board.clock_hz,
        inference_ms=round(1e3 * median / board.clock_hz, 3),
        macs=graph.macs(),
        cycles_per_mac=round(median / graph.macs(), 2),
        stack_bytes=client.statistics().stack_bytes,
    )
