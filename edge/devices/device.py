"""What every classifier device does, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.messages import Classification

DeviceKind = Literal["emulated", "serial", "litert", "tflite-runtime", "onnx", "reference"]


class DeviceInfo(msgspec.Struct, frozen=True):
    """Who a device is, from the device itself."""

    name: str
    kind: DeviceKind
    model_sha256: str  # 64 hex digits, of model.tflite
    input_shape: tuple[int, int, int]  # height, width, channels
    labels: tuple[str, ...]
    firmware: str | None = None  # version, of boards
    clock_hz: int | None = None  # of the processor, of boards


class DeviceStatistics(msgspec.Struct, frozen=True):
    """Counters since the device started."""

    frames: int
    escalated: int  # of these not sure
    uptime_s: float  # emulated seconds for an emulated board
    errors: dict[str, int]  # by name; kinds that happened only
    stack_bytes: int | None = None  # most of the stack ever used, of boards


class Device(Protocol):
    """A classifier with its gate. Not thread-safe. Use it in a `with` block, or call `close`."""

    name: str
    kind: DeviceKind
    takes_scene: bool  # `classify` wants the camera's whole frame, uint8 [H, W, 3], not the model's input

    def hello(self) -> DeviceInfo:
        """Who it is. Raises DeviceError when it does not answer."""
        ...

    def set_thresholds(self, tau_q15: Sequence[int]) -> None:
        """Replace the gate's thresholds, one a label: 0 to 32768 (Q15), or 65535 for never alone.

        Raises BadInputError for other values or another number of them.
        """
        ...

    def classify(self, image: NDArray[np.uint8]) -> Classification:
        """The label, probability and gate decision of `image`, uint8 [H, W, 3] RGB of the model's input size.

        Raises BadInputError for another shape or dtype, DeviceError when the device fails.
        """
        ...

    def statistics(self) -> DeviceStatistics:
        """Its counters. Raises DeviceError when it does not answer."""
        ...

    def close(self) -> None:
        """Give up processes, ports and memory. Closing twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClosingDevice:
    """The `with` block of every device."""

    takes_scene = False

    def close(self) -> None:
        """Give up what the device holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
