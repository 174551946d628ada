"""What goes wrong in a campaign, and when: drawn from its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "kill gateway", "kill worker", "kill broker", "kill broker, lose data", "kill board", "freeze gateway",
    "freeze worker", "power cut", "net cut", "net delay", "net loss", "half open", "disk full", "clock jump",
    "noise", "reset board", "unplug board",
]  # fmt: skip
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
ROUND = 12  # faults of one campaign; two campaigns in a row have every kind


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: it strikes once so many bakes have been seen, and heals after `lasts_s`."""

    at_bake: int
    kind: Kind
    lasts_s: float
    side: Literal["gateway", "worker"]  # of the network
    hours: float  # of a set clock


@dataclass(frozen=True, slots=True)
class Plan:
    """All that differs from campaign to campaign."""

    seed: int
    bakes: int
    broker: Literal["mosquitto", "faulty"]
    workers: int
    deadline_s: float
    outbox_bytes: int
    never_sure: bool  # every bake is escalated; else about 4 in 10
    faults: tuple[Fault, ...]


def plan(seed: int, bakes: int) -> Plan:
    """The campaign of a seed."""
    rng = random.Random(f"chaos {seed}")
    kinds = list(KINDS)
    random.Random(f"chaos pair {seed // 2}").shuffle(kinds)  # each pair of seeds shares a shuffled list of kinds
    own = [kinds[(seed % 2 * ROUND + number) % len(kinds)] for number in range(ROUND)]
    rng.shuffle(own)
    faults = tuple(
        Fault(
            at_bake=rng.randrange(0, max(1, bakes - 20)),
            kind=kind,
            lasts_s=rng.choice((0.05, 0.2, 0.5, 1.0)),
            side=rng.choice(("gateway", "worker")),
            hours=rng.choice((-20.0, -3.0, 1.5, 7.0)),
        )
        for kind in own
    )
    return Plan(
        seed=seed,
        bakes=bakes,
        broker="faulty" if seed % 2 else "mosquitto",
        workers=rng.choice((1, 2)),
        deadline_s=rng.choice((0.6, 3.0, 30.0)),
        outbox_bytes=rng.choice((40_000, 50_000_000)),
        never_sure=rng.random() < 0.5,
        faults=tuple(sorted(faults, key=lambda fault: fault.at_bake)),
    )
