"""What the devices without a board share: a runtime gives the logits, the gate runs here."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.devices.device import ClosingDevice, DeviceInfo, DeviceKind, DeviceStatistics
from edge.devices.model import DeviceModel, classification
from edge.gate.integer import GateTable
from shared.errors import BadInputError
from shared.messages import Classification


class RuntimeDevice(ClosingDevice, ABC):
    """A device whose network runs on this machine. Subclasses give the logits."""

    def __init__(self, model: DeviceModel, name: str, kind: DeviceKind) -> None:
        self.name, self.kind = name, kind
        self._model, self._gate = model, model.gate
        self._started_s = time.monotonic()
        self._frames = self._escalated = 0

    @abstractmethod
    def logits(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """The network's output int8 [labels] for the quantised frame int8 [H, W, 3]."""

    def hello(self) -> DeviceInfo:
        """Who it is."""
        return DeviceInfo(self.name, self.kind, self._model.sha256, self._model.input_shape, self._model.labels)

    def set_thresholds(self, tau_q15: Sequence[int]) -> None:
        """Replace the gate's thresholds."""
        thresholds = tuple(tau_q15)
        if len(thresholds) != len(self._model.labels):
            raise BadInputError(f"{len(thresholds)} thresholds for {len(self._model.labels)} labels")
        self._gate = GateTable(self._gate.lut, thresholds)

    def classify(self, image: NDArray[np.uint8]) -> Classification:
        """Run the network and the gate; the time is that of the network alone."""
        self._model.check_image(image)
        x = (image ^ np.uint8(0x80)).view(np.int8)  # [H, W, 3], uint8 v to int8 v - 128
        start = time.perf_counter()
        row = self.logits(x)  # [labels]
        elapsed_ms = (time.perf_counter() - start) * 1e3
        found = classification(self._model, self._gate, tuple(row.tolist()), elapsed_ms, "measured")
        self._frames += 1
        self._escalated += not found.sure
        return found

    def statistics(self) -> DeviceStatistics:
        """Its counters."""
        return DeviceStatistics(self._frames, self._escalated, time.monotonic() - self._started_s, {})
