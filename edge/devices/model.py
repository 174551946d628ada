"""A model folder as the devices use it: the `.tflite`, the `.onnx` and the gate, checked against the task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.gate.gate_file import load_gate
from edge.gate.integer import Q15, GateTable
from shared.errors import BadInputError
from shared.messages import Classification, Timing
from shared.task import Task

DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "pizza"
MAX_MODEL_BYTES = 2 * 1024 * 1024  # the board's flash


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """What a device needs to know of its model."""

    folder: Path
    tflite: bytes
    gate: GateTable
    labels: tuple[str, ...]
    input_shape: tuple[int, int, int]  # height, width, channels

    @property
    def sha256(self) -> str:
        """64 hex digits of the `.tflite`."""
        return hashlib.sha256(self.tflite).hexdigest()

    def check_image(self, image: NDArray[np.uint8]) -> None:
        """Raise BadInputError unless `image` is uint8 of the model's input shape."""
        if image.dtype != np.uint8 or image.shape != self.input_shape:
            shape = list(self.input_shape)
            raise BadInputError(f"the classifier takes uint8 {shape}, not {image.dtype} {list(image.shape)}")


def load_model(folder: Path, task: Task) -> DeviceModel:
    """Read `folder` (model.tflite, gate.json) for `task`. Raises BadInputError when they do not fit together."""
    path = folder / "model.tflite"
    try:
        size = path.stat().st_size
        tflite = path.read_bytes() if size <= MAX_MODEL_BYTES else b""
    except OSError as error:
        raise BadInputError(f"{path}: the model cannot be read: {error.strerror}") from None
    if size > MAX_MODEL_BYTES:
        raise BadInputError(f"{path}: {size} bytes, a model has at most {MAX_MODEL_BYTES}")
    gate = load_gate(folder / "gate.json", len(task.labels)).table()
    shape = (task.input.size_px, task.input.size_px, 3)
    return DeviceModel(folder, tflite, gate, task.labels, shape)


def classification(
    model: DeviceModel,
    gate: GateTable,
    logits: tuple[int, ...],
    inference_ms: float,
    timing: Timing,
    cycles: int | None = None,
) -> Classification:
    """The gate's decision on int8 `logits` [labels], in words."""
    decision = gate.decide(logits)
    label, tau = model.labels[decision.label], gate.tau_q15[decision.label]
    probability = decision.probability_q15 / Q15
    if tau > Q15:
        reason = f"{label} never acts alone"
    elif decision.sure:
        reason = f"probability {probability:.3f} reaches the threshold {tau / Q15:.3f} of {label}"
    else:
        reason = f"probability {probability:.3f} is below the threshold {tau / Q15:.3f} of {label}"
    return Classification(label, logits, probability, decision.sure, reason, inference_ms, timing, cycles)
