"""The firmware's portable C code built for this machine: one shared library a model, called through ctypes.

For tests and for looking at a model without a chip. Needs a C compiler (`cc`), not the cross compiler.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_sim.firmware import FOLDER
from shared.errors import BadInputError, CrustwatchError, MissingPartError

_PARTS = ("service", "packet", "crc32", "gate", "network", "conv", "depthwise", "elementwise", "pair", "requantise")
_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


def _compile(model_c: str, directory: Path, target: Path, sources: list[str], flags: list[str]) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingPartError("the host build of the firmware needs a C compiler: apt install gcc")
    directory.mkdir(parents=True, exist_ok=True)
    model = directory / "model_data.c"
    model.write_text(model_c, encoding="utf-8")
    files = [*(str(FOLDER / "src" / f"{part}.c") for part in _PARTS), *(str(FOLDER / s) for s in sources), str(model)]
    includes = [f"-I{FOLDER / 'src'}", f"-I{FOLDER / 'host'}"]
    command = [compiler, "-std=gnu11", *flags, *_WARNINGS, *includes, *files, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CrustwatchError(f"the host build of the firmware failed:\n{done.stderr.strip()}")


class HostFirmware:
    """The service and the network of one model in this process. One at a time a library: its state is static."""

    def __init__(self, library: Path, height: int, width: int, channels: int, labels: int) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.host_reset.restype = None
        self._library.host_infer.restype = None
        self._library.host_infer.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        self._library.host_receive.restype = None
        self._library.host_receive.argtypes = [ctypes.c_char_p, ctypes.c_uint32, ctypes.c_int]
        self._library.host_take.restype = ctypes.c_uint32
        self._library.host_take.argtypes = [ctypes.c_char_p, ctypes.c_uint32]
        self._shape, self._labels = (height, width, channels), labels
        self.reset()

    def reset(self) -> None:
        """As after a reset of the board."""
        self._library.host_reset()

    def infer(self, frame: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Logits int8 [labels] of `frame` uint8 [H, W, C]. BadInputError for another shape or dtype."""
        if frame.dtype != np.uint8 or frame.shape != self._shape:
            raise BadInputError(f"the model takes uint8 {list(self._shape)}, not {frame.dtype} {list(frame.shape)}")
        logits = np.zeros(self._labels, np.int8)  # [labels]
        self._library.host_infer(np.ascontiguousarray(frame).tobytes(), logits.ctypes.data)
        return logits

    def exchange(self, data: bytes, *, work: bool = True) -> bytes:
        """Give the service bytes from the line; what it sends back. Without `work` a complete frame stays waiting."""
        self._library.host_receive(data, len(data), int(work))
        out = bytearray()
        room = ctypes.create_string_buffer(65_536)
        while count := self._library.host_take(room, len(room)):
            out += room.raw[:count]
        return bytes(out)


def build_host_library(
    model_c: str, directory: Path, *, height: int = 48, width: int = 48, channels: int = 3, labels: int = 5
) -> HostFirmware:
    """Compile the firmware with `model_c` (text from emit_c) below `directory` and load it.

    The sizes are the model's. Raises MissingPartError without a compiler, CrustwatchError when it refuses.
    """
    library = directory / "firmware.so"
    flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    _compile(model_c, directory, library, ["host/host_port.c"], flags)
    return HostFirmware(library, height, width, channels, labels)


def build_host_program(model_c: str, directory: Path) -> Path:
    """Compile the service as a filter from standard input to standard output, with address and undefined-behaviour
    sanitizers. Returns the program. Raises as `build_host_library`.
    """
    program = directory / "firmware-pipe"
    _compile(model_c, directory, program, ["host/host_port.c", "host/pipe.c"], ["-O1", *_SANITIZERS])
    return program
