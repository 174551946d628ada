"""One contract, every device: emulated board, board on a serial port, and the runtimes of this machine."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.devices import Device, open_device
from edge.devices.board import BoardDevice
from edge.devices.model import DEFAULT_MODEL, load_model
from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from shared.bakery import KEY_FRAME, render_bake
from shared.errors import BadInputError, DeviceError, MissingPartError
from shared.resize import square_resize
from shared.task import load_task

EXACT = ["reference", "emulated", "serial", "litert", "tflite-runtime"]
CLOSE = {"litert:fast": 4, "tflite-runtime:fast": 4, "onnx": 4}  # most steps of difference of a logit
NEVER = 65535
LABELS = load_task("pizza").labels


class PtyBoard:
    """An emulated board behind a pseudo-terminal: what a USB adapter is to a real one."""

    def __init__(self) -> None:
        self.line = EmulatedLine()
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.port = os.ttyname(self.slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pty-board")
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if select.select([self.master], [], [], 0.002)[0]:
                self.line.write(os.read(self.master, 65_536))
            if answer := self.line.read(self.line.now_s() + 0.005):
                os.write(self.master, answer)

    def unplug(self) -> None:
        """End the chip and close both ends of the terminal."""
        self._stop.set()
        self._thread.join()
        os.close(self.slave)
        os.close(self.master)


@contextmanager
def opened(name: str) -> Iterator[Device]:
    if name != "serial":
        with open_device(name) as device:
            yield device
        return
    board = PtyBoard()
    try:
        with open_device(f"serial:{board.port}") as device:
            yield device
    finally:
        board.unplug()


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Rendered key frames, and the ends of the range: uint8 [N, 48, 48, 3]."""
    frames = [square_resize(render_bake(seed=7, index=index).frames[KEY_FRAME], 48) for index in range(6)]
    ends = [np.zeros((48, 48, 3), np.uint8), np.full((48, 48, 3), 255, np.uint8)]
    return np.stack(frames + ends)


@pytest.fixture(params=[*EXACT, *CLOSE])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def device(name: str) -> Iterator[Device]:
    with opened(name) as opened_device:
        yield opened_device


def test_a_device_says_who_it_is(device: Device) -> None:
    found = device.hello()
    assert found.kind == device.kind
    assert found.name == device.name
    assert found.model_sha256 == hashlib.sha256((DEFAULT_MODEL / "model.tflite").read_bytes()).hexdigest()
    assert found.input_shape == (48, 48, 3)
    assert found.labels == LABELS
    is_board = device.kind in ("emulated", "serial")
    assert found.clock_hz == (125_000_000 if is_board else None)
    assert (found.firmware is not None) == is_board


def test_a_device_agrees_with_the_reference(name: str, device: Device, images: NDArray[np.uint8]) -> None:
    steps = CLOSE.get(name, 0)
    with open_device("reference") as reference:
        for image in images:
            wanted, found = reference.classify(image), device.classify(image)
            difference = np.abs(np.array(found.logits) - np.array(wanted.logits)).max()
            assert difference <= steps
            assert found.label == wanted.label
            if steps == 0:
                assert (found.probability, found.sure, found.reason) == (
                    wanted.probability,
                    wanted.sure,
                    wanted.reason,
                )
            assert found.inference_ms > 0
            assert found.timing == ("emulated" if device.kind == "emulated" else "measured")
            assert (found.cycles is not None) == (device.kind in ("emulated", "serial"))


def test_thresholds_decide_and_wrong_ones_change_nothing(device: Device, images: NDArray[np.uint8]) -> None:
    device.set_thresholds([0] * 5)
    assert device.classify(images[0]).sure
    for wrong in ([0] * 4, [0] * 6, [32769] * 5, [-1] * 5):
        with pytest.raises(BadInputError):
            device.set_thresholds(wrong)
    assert device.classify(images[0]).sure
    device.set_thresholds([NEVER] * 5)
    found = device.classify(images[0])
    assert not found.sure
    assert "never acts alone" in found.reason
    statistics = device.statistics()
    assert (statistics.frames, statistics.escalated) == (3, 1)
    assert statistics.uptime_s > 0


def test_a_wrong_image_is_refused_and_the_next_one_served(device: Device, images: NDArray[np.uint8]) -> None:
    wanted = device.classify(images[0])
    for wrong in (images[0][:47], images[0].astype(np.float32), images[0][:, :, :1], images[0].astype(np.int8)):
        with pytest.raises(BadInputError, match="the classifier takes uint8"):
            device.classify(wrong)
    assert device.classify(images[0]).logits == wanted.logits
    strided = np.repeat(images[0], 2, axis=1)[:, ::2]
    assert not strided.flags.c_contiguous
    assert device.classify(strided).logits == wanted.logits


def test_closing_twice_is_fine(device: Device) -> None:
    device.close()
    device.close()


@pytest.mark.parametrize("name", ["", "emulator", "serial", "serial:", "litert:slow", "onnx:fast", "reference:1"])
def test_an_unknown_device_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(BadInputError, match=r"no device .*emulated"):
        open_device(name)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("litert", "ai_edge_litert.interpreter", "litert"), ("onnx", "onnxruntime", "onnx")],
)
def test_a_missing_runtime_names_its_extra(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPartError, match=rf"crustwatch\[{extra}\]"):
        open_device(name)


def test_a_python_without_tflite_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUSTWATCH_TFLITE_PYTHON", "/no/such/python")
    with pytest.raises(MissingPartError, match="/no/such/python"):
        open_device("tflite-runtime")
    monkeypatch.setenv("CRUSTWATCH_TFLITE_PYTHON", sys.executable)
    with pytest.raises(MissingPartError, match="tflite_runtime"):
        open_device("tflite-runtime")


def test_a_serial_port_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match=r"/dev/no-such-port: the serial port cannot be opened"):
        open_device("serial:/dev/no-such-port")


def test_an_unplugged_board_is_named_and_served_again_when_it_is_back(
    images: NDArray[np.uint8], tmp_path: Path
) -> None:
    port = tmp_path / "ttyUSB0"
    board = PtyBoard()
    port.symlink_to(board.port)
    with open_device(f"serial:{port}") as device:
        device.set_thresholds([NEVER] * 5)
        board.unplug()
        port.unlink()
        for _ in range(2):
            with pytest.raises(DeviceError, match="ttyUSB0"):
                device.classify(images[0])
        board = PtyBoard()
        port.symlink_to(board.port)
        try:
            assert not device.classify(images[0]).sure  # another board, and it was given the thresholds
            device.set_thresholds([0] * 5)
            assert device.classify(images[0]).sure
        finally:
            board.unplug()


def test_a_board_that_was_reset_gets_its_thresholds_again(images: NDArray[np.uint8]) -> None:
    line = EmulatedLine()
    model = load_model(DEFAULT_MODEL, load_task("pizza"))
    with BoardDevice(BoardClient(line), model, "emulated RP2040", "emulated") as device:
        device.set_thresholds([NEVER] * 5)
        line.reopen()  # a reset that the host does not see
        assert not device.classify(images[0]).sure
        assert device.statistics().frames == 2  # the first decision was made by other thresholds, and done again


def test_a_gateway_with_a_real_board_needs_no_numba_and_no_torch() -> None:
    """Its import chain, in a fresh interpreter: pyserial, numpy and msgspec are all it installs."""
    script = (
        "import sys, edge.devices, firmware_sim.board.serial_port\n"
        "heavy = {'numba', 'torch', 'onnxruntime', 'ai_edge_litert'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
