"""The RP2040 emulator.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.clock_hz
6500000

numpy and LLVM are loaded on first use: `crustwatch --help` imports this package to read one line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board
    from firmware_sim.rp2040.i2c_port import I2cRegisters
    from firmware_sim.rp2040.image import Image, load_image
    from firmware_sim.rp2040.profile import Profile
    from firmware_sim.rp2040.report import Breakpoint, FaultReport, Stop
    from firmware_sim.rp2040.trace import Trace

__all__ = [
    "Board",
    "Breakpoint",
    "FaultReport",
    "I2cRegisters",
    "Image",
    "Profile",
    "Stop",
    "Trace",
    "load_image",
]

_PLACES = {
    "Board": "board",
    "Breakpoint": "report",
    "FaultReport": "report",
    "I2cRegisters": "i2c_port",
    "Image": "image",
    "Profile": "profile",
    "Stop": "report",
    "Trace": "trace",
    "load_image": "image",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
