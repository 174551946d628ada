"""The numpy integer reference as a device: exact, slow, needs nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.devices.model import DeviceModel
from edge.devices.runtime import RuntimeDevice
from firmware_sim.compiler import reference
from firmware_sim.compiler.tflite_reader import read_graph


class ReferenceDevice(RuntimeDevice):
    """`firmware_sim.compiler.reference` on the model's `.tflite`. Raises BadInputError for a model it cannot read."""

    def __init__(self, model: DeviceModel) -> None:
        super().__init__(model, "numpy reference", "reference")
        self._graph = read_graph(model.tflite, str(model.folder / "model.tflite"))

    def logits(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """Logits int8 [labels] of int8 [H, W, 3]."""
        return reference.run(self._graph, x)
