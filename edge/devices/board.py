"""A board with the project's firmware, emulated or on a serial port."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.devices.device import ClosingDevice, DeviceInfo, DeviceKind, DeviceStatistics
from edge.devices.model import DeviceModel, classification
from edge.gate.integer import GateTable
from firmware_sim.board.client import BoardClient
from shared.errors import BadInputError, DeviceError
from shared.messages import Classification, Timing
from shared.uart.messages import Board, ErrorCode, Result


class BoardDevice(ClosingDevice):
    """A board behind `client`. It must run the firmware of `model`; its gate's decisions are checked against ours.

    The thresholds are sent when the board is first met, and again whenever it was reset or its line was gone.
    """

    def __init__(self, client: BoardClient, model: DeviceModel, name: str, kind: DeviceKind) -> None:
        self.name, self.kind = name, kind
        self._client, self._model, self._gate = client, model, model.gate
        self._greeted = False
        self._meet()

    def hello(self) -> DeviceInfo:
        """Who it is."""
        board = self._client.hello()
        return DeviceInfo(
            self.name,
            self.kind,
            board.model_sha256.hex(),
            (board.height, board.width, board.channels),
            self._model.labels,
            ".".join(str(part) for part in board.firmware),
            board.clock_hz,
        )

    def set_thresholds(self, tau_q15: Sequence[int]) -> None:
        """Replace the gate's thresholds, here and on the board."""
        thresholds = tuple(tau_q15)
        if len(thresholds) != len(self._model.labels):
            raise BadInputError(f"{len(thresholds)} thresholds for {len(self._model.labels)} labels")
        gate = GateTable(self._gate.lut, thresholds)
        self._client.set_thresholds(thresholds)
        self._gate = gate

    def classify(self, image: NDArray[np.uint8]) -> Classification:
        """Have the board classify the frame, and read its decision."""
        self._check(image)
        try:
            if not self._greeted:
                self._meet()
            result = self._ask(image)
            if result.tau_q15 != self._gate.tau_q15[result.label]:
                self._meet()  # it was reset and fell back to the thresholds it was built with
                result = self._ask(image)
        except DeviceError:
            self._greeted = False
            raise
        return self._checked(result)

    def _check(self, image: NDArray[np.uint8]) -> None:
        """Raise BadInputError for an image that cannot be sent."""
        self._model.check_image(image)

    def _ask(self, image: NDArray[np.uint8]) -> Result:
        """Send the frame and wait for its result."""
        return self._client.classify(np.ascontiguousarray(image).tobytes())  # uint8 [H, W, 3]

    def statistics(self) -> DeviceStatistics:
        """The board's counters."""
        counters = self._client.statistics()
        errors = {ErrorCode(code).name.lower(): count for code, count in enumerate(counters.errors, 1) if count}
        return DeviceStatistics(
            counters.frames, counters.escalated, counters.uptime_us / 1e6, errors, counters.stack_bytes
        )

    def close(self) -> None:
        """Give the line back."""
        self._client.close()

    def _meet(self) -> None:
        """Check who answers and give it the thresholds. Raises DeviceError for a board with another model."""
        board = self._client.hello()
        self._check_model(board)
        self._client.set_thresholds(self._gate.tau_q15)
        self._greeted = True

    def _check_model(self, board: Board) -> None:
        wanted = self._model.sha256
        if board.model_sha256.hex() != wanted:
            raise DeviceError(
                f"{self.name}: the board runs model {board.model_sha256.hex()[:12]}, not {wanted[:12]} of "
                f"{self._model.folder}: build its firmware (crustwatch firmware build --model {self._model.folder})"
            )
        shape = (board.height, board.width, board.channels)
        if shape != self._model.input_shape or board.labels != len(self._model.labels):
            raise BadInputError(
                f"{self.name}: the model takes {list(shape)} and has {board.labels} labels; "
                f"the task has {list(self._model.input_shape)} and {len(self._model.labels)}"
            )

    def _checked(self, result: Result) -> Classification:
        timing: Timing = "emulated" if self.kind == "emulated" else "measured"
        found = classification(self._model, self._gate, result.logits, result.inference_us / 1e3, timing, result.cycles)
        decision = self._gate.decide(result.logits)
        if decision != (result.label, result.probability_q15, bool(result.sure)):
            raise DeviceError(
                f"{self.name}: the board's gate says {result.label}, {result.probability_q15}, {result.sure}, "
                f"gate.json {tuple(decision)}: it was built from another gate.json"
            )
        return found
