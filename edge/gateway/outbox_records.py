"""What goes into an outbox and comes out of it, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edge.gateway.storage import CACHE_KB, Synchronous
from shared.errors import BadInputError
from shared.messages import LineVerdict
from shared.task import Priority

VERDICT_BYTES = 2048  # more than a verdict and its indexes take in the file


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    """Limits of the outbox, units in the field names."""

    in_flight: int = 4  # few, so that an urgent bake overtakes what waits here and not in the broker
    retry_s: float = 10.0  # a request without a verdict is sent again after this, doubled each time ...
    retry_cap_s: float = 60.0  # ... up to this
    max_bytes: int = 1_000_000_000  # that clips take, in blocks; beyond it the least valuable are decided by the edge
    max_announcements: int = 100_000  # verdicts waiting to be published; then no more bakes are taken in
    keep_decided_s: float = 7 * 86_400.0  # how long repeated and late answers are recognised ...
    max_decided: int = 200_000  # ... and how many at most
    synchronous: Synchronous = "FULL"  # FULL survives power loss, NORMAL only kill -9
    reoffer_s: float = 0.0  # from acceptance, how long a bake whose clip is lost waits for its source to bring it again
    cache_kb: int = CACHE_KB  # of the database's pages in memory; fewer where a process hosts many outboxes

    @property
    def first_retry_us(self) -> int:
        """How long a first request waits for its verdict before it is sent again."""
        return int(1e6 * min(self.retry_cap_s, self.retry_s))

    @property
    def max_file_bytes(self) -> int:
        """What the file may grow to: the outer limit behind all the others."""
        return self.max_bytes * 5 // 4 + VERDICT_BYTES * (self.max_announcements + self.max_decided) + 2**24


class KnownBakeError(BadInputError):
    """A bake of this id was accepted before, and its clip is not lost: ids are used once."""


class Due(NamedTuple):
    """One request to be sent now."""

    id: bytes
    camera: str
    priority: Priority
    attempt: int  # 1 the first time
    deadline_us: int
    clip: bytes
    sha256: str  # of the clip


class Ending(NamedTuple):
    """A pending bake that is about to be decided."""

    id: bytes
    clip_bytes: int
    place: bytes  # of its clip


class Applied(NamedTuple):
    """What a cloud verdict did."""

    outcome: Literal["final", "correction", "duplicate", "unknown"]
    earlier: LineVerdict | None = None  # what it replaced, for the first two


class Announcement(NamedTuple):
    """One verdict to be published on its camera's topics."""

    number: int
    camera: str
    verdict: bytes  # LineVerdict, JSON
