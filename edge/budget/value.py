"""What an escalation is worth: the risk that the cloud's answer may remove."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.gate.gate_file import GateFile
from shared.messages import Classification
from shared.task import Task

CRITICAL_WEIGHT = 5.0  # a missed critical item against any other mistake
CRITICAL_FROM = 0.1  # probability of a critical label from which the reserve is open


class Worth(NamedTuple):
    """Of one escalation."""

    value: float  # expected cost of deciding at the edge
    critical: bool  # it may be of a critical label


class Valuer:
    """Values the classifications of one model."""

    def __init__(self, gate: GateFile, task: Task) -> None:
        self._sharpness = gate.logit_scale / gate.temperature
        self._critical = np.array([label in task.critical for label in task.labels])  # [labels]
        self._labels = task.labels

    def worth(self, edge: Classification) -> Worth:
        """From the calibrated probabilities of the labels that the edge would not say."""
        scaled = np.array(edge.logits, np.float64) * self._sharpness  # [labels]
        powers = np.exp(scaled - scaled.max())
        probability = powers / powers.sum()  # [labels]
        others = np.array([label != edge.label for label in self._labels])  # [labels]
        weights = np.where(self._critical, CRITICAL_WEIGHT, 1.0)  # [labels]
        return Worth(
            float((probability * weights)[others].sum()), float(probability[self._critical].sum()) >= CRITICAL_FROM
        )
