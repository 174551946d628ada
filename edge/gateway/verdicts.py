"""What a verdict becomes: pure functions from findings to the LineVerdict that dashboards see."""

from __future__ import annotations

import msgspec

from shared.messages import BakeVerdict, Classification, Decision, LineVerdict
from shared.task import Task


def from_edge(
    task: Task,
    bake_id: bytes,
    bake: str,
    edge: Classification,
    captured_us: int,
    now_us: int,
    decision: Decision,
    certified: bool | None = None,
) -> LineVerdict:
    """The edge's own verdict: final when the decision is "sure", else provisional until the cloud answers."""
    return LineVerdict(
        id=bake_id.hex(),
        bake=bake,
        label=edge.label,
        confidence=edge.probability,
        source="edge",
        state="final" if decision == "sure" else "provisional",
        reason=decision,
        captured_at=captured_us / 1e6,
        decided_at=now_us / 1e6,
        problem=edge.label in task.rejected,
        edge=edge,
        certified=certified,
    )


def edge_final(provisional: LineVerdict, reason: str, now_us: int) -> LineVerdict:
    """The edge's verdict made final for a `reason` (timeout, outbox_full, budget); no certificate covers that."""
    return msgspec.structs.replace(
        provisional,
        state="final",
        reason=reason,
        decided_at=now_us / 1e6,
        certified=None if provisional.certified is None else False,
    )


def from_cloud(task: Task, earlier: LineVerdict, cloud: BakeVerdict, now_us: int) -> LineVerdict:
    """The verdict after the cloud's answer: final over a provisional one, a correction over a final one.

    A cloud that cannot tell leaves the label to the edge, and says so in `reason`.
    """
    late = earlier.state != "provisional"
    state = "correction" if late else "final"
    if cloud.cannot_tell or cloud.doneness is None:
        return msgspec.structs.replace(earlier, state=state, reason="cannot_tell", decided_at=now_us / 1e6, cloud=cloud)
    return msgspec.structs.replace(
        earlier,
        label=cloud.doneness,
        confidence=cloud.confidence,
        source="cloud",
        state=state,
        reason="late" if late else "escalated",
        decided_at=now_us / 1e6,
        problem=cloud.doneness in task.rejected,
        cloud=cloud,
    )
