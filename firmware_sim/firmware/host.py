"""The firmware's portable C code built for this machine: one shared library a model, called through ctypes.

For tests and for looking at a model without a chip. Needs a C compiler (`cc`), not the cross compiler.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.emit_c import emit_model
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.placement import RAM_BYTES, fitting, place
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware import FOLDER
from shared.errors import BadInputError, CrustwatchError, MissingPartError

_KERNELS = ("conv", "generated", "band", "depthwise", "depthwise_code", "plain", "elementwise", "pool", "softmax")
_LOOPS = ("pair", "pack", "requantise", "sum")  # assembly on the chip
_SERVICE = ("service", "packet", "crc32", "gate")
_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


def _compile(
    model_c: str, directory: Path, target: Path, sources: list[str], flags: list[str], parts: tuple[str, ...] = _SERVICE
) -> None:
    """Compile and link; the parts that no model changes are compiled once a folder and set of flags."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingPartError("the host build of the firmware needs a C compiler: apt install gcc")
    directory.mkdir(parents=True, exist_ok=True)
    model = directory / "model_data.c"
    model.write_text(model_c, encoding="utf-8")
    compile_flags = ["-std=gnu11", *flags, *_WARNINGS, f"-I{FOLDER / 'src'}", f"-I{FOLDER / 'host'}"]
    key = hashlib.sha256(" ".join(flags).encode()).hexdigest()[:8]
    objects = []
    for source in (*(f"src/{part}.c" for part in (*parts, "network", *_KERNELS, *_LOOPS)), *sources):
        objects.append(directory / f"{Path(source).stem}-{key}.o")
        if not objects[-1].exists():
            _run([compiler, *(f for f in compile_flags if f != "-shared"), "-c", str(FOLDER / source)], objects[-1])
    _run([compiler, *compile_flags, str(model), *map(str, objects)], target)


def _run(command: list[str], target: Path) -> None:
    done = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, check=False)
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
    _compile(model_c, directory, library, ["host/host_port.c", "host/host_chip.c"], flags)
    return HostFirmware(library, height, width, channels, labels)


def build_host_program(model_c: str, directory: Path) -> Path:
    """Compile the service as a filter from standard input to standard output, with address and undefined-behaviour
    sanitizers. Returns the program. Raises as `build_host_library`.
    """
    program = directory / "firmware-pipe"
    _compile(
        model_c,
        directory,
        program,
        ["host/host_port.c", "host/host_chip.c", "host/pipe.c"],
        ["-O1", *_SANITIZERS],
    )
    return program


class HostModel:
    """The network of one model in this process: any input and output."""

    def __init__(self, library: Path, graph: Graph) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.host_run.restype = None
        self._library.host_run.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint32]
        self._graph = graph

    def run(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [N, n] of inputs [N, H, W, C], both of the dtypes that the model has."""
        out = np.zeros((len(inputs), self._graph.output_tensor.elements), self._graph.output_tensor.dtype)
        data = np.ascontiguousarray(inputs, self._graph.input_tensor.dtype).tobytes()
        self._library.host_run(data, out.ctypes.data, len(inputs))
        return out


def build_host_model(tflite: bytes, directory: Path, *, cores: int = 1, ram_bytes: int = RAM_BYTES) -> HostModel:
    """Compile the network of a `.tflite` file below `directory` and load it. Raises as `build_host_library`."""
    return build_host_graph(read_graph(tflite), tflite, directory, cores=cores, ram_bytes=ram_bytes)


def build_host_graph(
    graph: Graph, tflite: bytes, directory: Path, *, cores: int = 1, ram_bytes: int = RAM_BYTES
) -> HostModel:
    """The same of a checked network, which `tflite` only names."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".so", delete=False) as file:
        library = Path(file.name)  # never the same name twice: a loaded library stays loaded
    flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    _compile(
        model_c(graph, tflite, cores, ram_bytes),
        directory,
        library,
        ["host/host_model.c", "host/host_chip.c"],
        flags,
        (),
    )
    return HostModel(library, graph)


def build_model_program(tflite: bytes, directory: Path, *, cores: int = 1, ram_bytes: int = RAM_BYTES) -> Path:
    """Compile the network as a filter from inputs to outputs, with address and undefined-behaviour sanitizers."""
    program = directory / "model-pipe"
    sources = ["host/host_model.c", "host/host_chip.c", "host/model_pipe.c"]
    _compile(
        model_c(read_graph(tflite), tflite, cores, ram_bytes), directory, program, sources, ["-O1", *_SANITIZERS], ()
    )
    return program


def model_c(graph: Graph, tflite: bytes, cores: int = 1, ram_bytes: int = RAM_BYTES) -> str:
    """The C text of a network without gate."""
    graph = fitting(simplified(graph), cores=cores, ram_bytes=ram_bytes)
    placed = place(graph, "model", cores=cores, ram_bytes=ram_bytes)
    return emit_model(graph, hashlib.sha256(tflite).digest(), placed).c
