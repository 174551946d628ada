"""Configuration of one gateway, units in the field names."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.gateway.outbox import OutboxConfig
from shared.mqtt.backoff import Backoff
from shared.task import Task
from shared.topics import DISCOVERY_PREFIX, Line


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One gateway with one camera."""

    line: Line
    task: Task
    camera: str = "belt"
    deadline_s: float | None = None  # None: the task's
    max_backlog: int | None = None  # bakes waiting for the cloud before the source is held up; None: a live camera
    device_attempts: int | None = None  # for one bake, before the gateway gives up; None: it waits for the device
    device_backoff: Backoff = field(default_factory=Backoff)
    jpeg_quality: int = 85
    snapshot_bytes: int = 30_000  # cap of the retained picture, so that dashboards on thin links stay quick
    stats_interval_s: float = 1.0  # at most so often
    settle_s: float = 1.0  # a verdict is published for good when the link outlived its acknowledgement by this
    session: str | None = None  # name of a run of the source: bakes of it that the outbox knows are not taken again
    discovery_prefix: str = DISCOVERY_PREFIX
    outbox: OutboxConfig = field(default_factory=OutboxConfig)

    @property
    def deadline_us(self) -> int:
        """How long a bake may wait for the cloud."""
        seconds = self.task.escalation.deadline_s if self.deadline_s is None else self.deadline_s
        return int(seconds * 1e6)
