"""What one bake says of champion and challenger."""

from __future__ import annotations

import msgspec

from shared.messages import Decision


class ShadowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Both models on the same frame of one bake, and what the cloud said of it when it was asked."""

    id: str  # 32 hex digits
    bake: str
    at_s: float  # seconds since the epoch
    champion_model: str  # SHA-256 of the .tflite
    challenger_model: str
    champion_label: str
    champion_decision: str  # as it stood: a Decision, or budget
    challenger_label: str
    challenger_decision: Decision  # what it would have been: by its own gate, thresholds and familiar frames
    challenger_probability: float
    cloud_label: str | None = None  # None: not asked, no answer in time, or an answer of "cannot tell"

    @property
    def agrees(self) -> bool:
        """Whether both name the same label."""
        return self.champion_label == self.challenger_label
