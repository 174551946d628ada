"""tflite-runtime as a device: in a child process with an interpreter of its own, because it needs numpy below 2."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge.devices.model import DeviceModel
from edge.devices.runtime import RuntimeDevice
from shared.errors import DeviceError, MissingPartError

VARIABLE = "CRUSTWATCH_TFLITE_PYTHON"
VENV = Path(".venv-tflite") / "bin" / "python"
_CHILD = Path(__file__).with_name("tflite_child.py")
_GOODBYE_S = 5.0


def find_python() -> str:
    """The interpreter that has tflite-runtime: the one named by the environment variable, this one, or .venv-tflite.

    Raises MissingPartError when there is none.
    """
    if named := os.environ.get(VARIABLE):
        return named
    if importlib.util.find_spec("tflite_runtime") is not None:
        return sys.executable
    for folder in (Path.cwd(), Path(__file__).parents[2]):
        if (folder / VENV).is_file():
            return str(folder / VENV)
    raise MissingPartError(
        f"tflite-runtime is missing: make tflite-env, or name a Python that has crustwatch[tflite] in {VARIABLE}"
    )


class TfliteRuntimeDevice(RuntimeDevice):
    """tflite-runtime, with its reference kernels (the board's bytes) or its fast ones (up to 4 steps off).

    Raises MissingPartError when no interpreter has it, DeviceError when the child does not come up.
    """

    def __init__(self, model: DeviceModel, *, fast: bool = False, python: str | None = None) -> None:
        super().__init__(model, f"tflite-runtime, {'fast' if fast else 'reference'} kernels", "tflite-runtime")
        self._python = python or find_python()
        command = [self._python, "-I", str(_CHILD), "fast" if fast else "reference"]
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise MissingPartError(f"tflite-runtime: {command[0]} cannot be started: {error}") from None
        try:
            self._start(len(model.tflite).to_bytes(4, "little") + model.tflite)
        except BaseException:
            self.close()
            raise

    def logits(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """Logits int8 [labels] of int8 [H, W, 3]."""
        self._send(x.tobytes())
        row = self._pipe_out().read(len(self._model.labels))
        if len(row) != len(self._model.labels):
            raise self._dead()
        return np.frombuffer(row, np.int8)  # [labels]

    def close(self) -> None:
        """End the child."""
        if self._child.stdin is None or self._child.stdout is None or self._child.stdin.closed:
            return
        try:
            self._child.stdin.close()
            self._child.wait(_GOODBYE_S)
        except (OSError, subprocess.TimeoutExpired):
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()

    def _start(self, model: bytes) -> None:
        self._send(model)
        line = self._pipe_out().readline(65_536)
        try:
            answer = json.loads(line)
        except json.JSONDecodeError:
            raise self._dead() from None
        if "error" in answer:
            text = f"tflite-runtime ({self._python}): {answer['error']}"
            raise MissingPartError(text) if "ModuleNotFound" in text else DeviceError(text)

    def _pipe_out(self) -> IO[bytes]:
        if self._child.stdout is None or self._child.stdout.closed:
            raise DeviceError("tflite-runtime: the device is closed")
        return self._child.stdout

    def _send(self, data: bytes) -> None:
        if self._child.stdin is None or self._child.stdin.closed:
            raise DeviceError("tflite-runtime: the device is closed")
        try:
            self._child.stdin.write(data)
            self._child.stdin.flush()
        except OSError:
            raise self._dead() from None

    def _dead(self) -> DeviceError:
        return DeviceError(f"tflite-runtime: its process ended (exit code {self._child.poll()})")
