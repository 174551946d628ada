"""What a gateway counts since it started, and the GatewayStats it makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.gateway.outbox import Outbox
from edge.watch.guard import Guard
from shared.messages import GatewayStats, ShadowStats

MAX_ALARMS = 8  # the newest


@dataclass(slots=True)
class Counters:
    """Plain counts; `escalated` are bakes handed to the outbox, not attempts."""

    bakes: int = 0
    finals: int = 0
    escalated: int = 0
    audited: int = 0
    unfamiliar: int = 0
    withdrawn: int = 0
    over_budget: int = 0
    corrections: int = 0
    timeouts: int = 0
    skipped: int = 0
    repeated: int = 0  # bakes of this session that the outbox knew
    clock_jumps: int = 0
    duplicates: int = 0  # cloud verdicts that came again, and changed nothing
    refused: int = 0  # messages that were not what they should be
    last_cloud_s: float | None = None

    def stats(
        self,
        outbox: Outbox,
        cloud_link: bool,
        guard: Guard,
        problems: tuple[str, ...],
        shadow: ShadowStats | None = None,
    ) -> GatewayStats:
        """The retained message of these counts."""
        return GatewayStats(
            bakes=self.bakes,
            finals=self.finals,
            escalated=self.escalated,
            corrections=self.corrections,
            timeouts=self.timeouts,
            backlog=outbox.backlog(),
            escalation_rate=self.escalated
            / max(1, self.bakes, self.escalated),  # one may be escalated, not yet counted
            cloud_link=cloud_link,
            last_cloud_s=self.last_cloud_s,
            audited=self.audited,
            unfamiliar=self.unfamiliar,
            over_budget=self.over_budget,
            certificate=guard.certificate,
            alarms=tuple(guard.alarms[-MAX_ALARMS:]),
            shed=outbox.shed,
            repeated=self.repeated,
            refused=self.refused,
            held_bytes=outbox.held_bytes(),
            unpublished=outbox.unpublished(),
            clock_jumps=self.clock_jumps,
            problems=problems,
            withdrawn=self.withdrawn,
            shadow=shadow,
        )
