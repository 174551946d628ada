"""The RP2040 emulator.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.clock_hz
6500000
"""

from __future__ import annotations

from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.image import Image, load_image
from firmware_sim.rp2040.report import Breakpoint, FaultReport, Stop

__all__ = ["Board", "Breakpoint", "FaultReport", "Image", "Stop", "load_image"]
