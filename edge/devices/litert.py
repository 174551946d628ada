"""LiteRT (ai-edge-litert) as a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.devices.model import DeviceModel
from edge.devices.runtime import RuntimeDevice
from shared.errors import BadInputError, MissingPartError


class LiteRtDevice(RuntimeDevice):
    """LiteRT with its reference kernels, whose bytes are the board's, or with its fast ones (up to 4 steps off).

    Raises MissingPartError without the extra `litert`, BadInputError for a model that LiteRT refuses.
    """

    def __init__(self, model: DeviceModel, *, fast: bool = False) -> None:
        super().__init__(model, f"LiteRT, {'fast' if fast else 'reference'} kernels", "litert")
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError:
            raise MissingPartError("LiteRT is missing: pip install 'crustwatch[litert]'") from None
        kernels = OpResolverType.AUTO if fast else OpResolverType.BUILTIN_REF
        try:
            self._interpreter: Any = Interpreter(
                model_content=model.tflite, experimental_op_resolver_type=kernels, num_threads=1
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            path = model.folder / "model.tflite"
            raise BadInputError(f"{path}: LiteRT refuses it: {str(error).splitlines()[0]}") from None
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self._output: int = self._interpreter.get_output_details()[0]["index"]

    def logits(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """Logits int8 [labels] of int8 [H, W, 3]."""
        self._interpreter.set_tensor(self._input, x[None])  # [1, H, W, 3]
        self._interpreter.invoke()
        row: NDArray[np.int8] = self._interpreter.get_tensor(self._output).reshape(-1)  # [labels]
        return row
