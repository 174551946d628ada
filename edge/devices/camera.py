"""The emulated board with its camera: the chip captures, shrinks and classifies what the camera sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.devices.board import BoardDevice
from edge.devices.model import DeviceModel
from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from firmware_sim.rp2040.camera import from_rgb565, to_rgb565
from shared.resize import square_resize
from shared.uart.messages import Result


class CameraDevice(BoardDevice):
    """Takes whole frames: each is shown to the emulated OV2640, and only its result comes over the serial line."""

    takes_scene = True

    def __init__(self, line: EmulatedLine, model: DeviceModel) -> None:
        self._line = line
        super().__init__(BoardClient(line), model, "emulated RP2040 with camera", "emulated")

    def _check(self, image: NDArray[np.uint8]) -> None:
        """Any frame will do: the sensor sees it at its own size."""

    def _ask(self, image: NDArray[np.uint8]) -> Result:
        self._line.board.camera.show(image)
        return self._client.capture()


def as_captured(scene: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """What the chip's network sees of `scene` uint8 [240, 320, 3]: 16 bits a pixel, then uint8 [size, size, 3]."""
    return square_resize(from_rgb565(to_rgb565(scene)), size)
