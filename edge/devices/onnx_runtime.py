"""ONNX Runtime as a device, on the QDQ form of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.devices.model import DeviceModel
from edge.devices.runtime import RuntimeDevice
from shared.errors import BadInputError, MissingPartError


class OnnxDevice(RuntimeDevice):
    """onnxruntime on model.onnx; its logits are within 2 steps of the board's.

    Raises MissingPartError without the extra `onnx` (or `onnx-gpu`), BadInputError for a model that it refuses.
    """

    def __init__(self, model: DeviceModel) -> None:
        super().__init__(model, "ONNX Runtime", "onnx")
        try:
            import onnxruntime
        except ImportError:
            raise MissingPartError("ONNX Runtime is missing: pip install 'crustwatch[onnx]'") from None
        options = onnxruntime.SessionOptions()
        # Without VNNI its int8 kernels saturate silently (up to 20 steps off); this takes exact ones.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.intra_op_num_threads = 1
        path = model.folder / "model.onnx"
        if not path.is_file():
            raise BadInputError(f"{path}: no such file; this device needs the ONNX form of the model")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # its own exception types derive from Exception alone
            raise BadInputError(f"{path}: ONNX Runtime refuses it: {str(error).splitlines()[0]}") from None
        self._input: str = self._session.get_inputs()[0].name

    def logits(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """Logits int8 [labels] of int8 [H, W, 3]."""
        row: NDArray[np.int8] = self._session.run(None, {self._input: x[None]})[0].reshape(-1)  # [labels]
        return row
