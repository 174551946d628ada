"""After an outage: what is live goes first, each bake's states keep their order, priority orders the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge.gateway import verdicts
from edge.gateway.lanes import BATCH, CROWD, Lanes
from edge.gateway.outbox import Outbox, OutboxConfig
from shared.messages import BakeVerdict, Classification, LineVerdict
from shared.task import Priority, load_task

TASK = load_task("pizza")
EDGE = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
CLOUD = BakeVerdict("dark", 0.9, False, "")
HOUR = 3_600_000_000


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    config = OutboxConfig(in_flight=4, synchronous="NORMAL")
    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK, config)) as opened:
        yield opened


def bake_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def accept(outbox: Outbox, number: int, now_us: int, priority: Priority = "normal", deadline_us: int = HOUR) -> None:
    verdict = verdicts.from_edge(TASK, bake_id(number), str(number), EDGE, now_us, now_us, "unsure")
    outbox.accept_unsure("belt", verdict, bytes(10), priority, deadline_us + now_us, now_us)


def published(lanes: Lanes, limit: int = 10_000) -> list[tuple[str, str, bool]]:
    """Name, state and retain flag of what is published, each acknowledged at once."""
    seen: list[tuple[str, str, bool]] = []
    while len(seen) < limit and (batch := lanes.next()) is not None:
        for waiting, publications in batch.waiting:
            for publication in publications:
                said = msgspec.json.decode(publication.verdict, type=LineVerdict)
                seen.append((said.bake, said.state, publication.retain))
            lanes.acknowledged(waiting.number)
    return seen


def test_what_is_live_overtakes_what_waited_and_stays_the_present_verdict(outbox: Outbox) -> None:
    for number in range(1, 40):
        accept(outbox, number, number)
    lanes = Lanes(outbox)
    first = published(lanes, BATCH)
    assert [name for name, _, _ in first] == [str(number) for number in range(1, BATCH + 1)]
    assert all(retain for _, _, retain in first), "until something is live, the newest is the present verdict"
    accept(outbox, 100, 1000)
    rest = published(lanes)
    assert rest[0] == ("100", "provisional", True)
    assert [name for name, _, _ in rest[1:]] == [str(number) for number in range(BATCH + 1, 40)]
    assert not any(retain for _, _, retain in rest[1:]), "an old verdict replaces the present one"


def test_each_bake_s_states_keep_their_order_across_the_lanes(outbox: Outbox) -> None:
    accept(outbox, 1, 1, deadline_us=10)
    accept(outbox, 2, 1)
    outbox.expire(100)
    lanes = Lanes(outbox)
    assert outbox.apply(bake_id(1), CLOUD, 200).outcome == "correction"
    assert outbox.apply(bake_id(2), CLOUD, 200).outcome == "final"
    seen = published(lanes)
    for name in ("1", "2"):
        states = [state for bake, state, _ in seen if bake == name]
        assert states[0] == "final"
        assert "provisional" not in states, "it comes after its final"
    one = [state for bake, state, _ in seen if bake == "1"]
    assert one == ["final", "correction", "final"], (
        "the final goes before its correction, and comes again from its lane"
    )


def test_only_what_both_lanes_settled_leaves_the_outbox(outbox: Outbox) -> None:
    for number in range(1, 4):
        accept(outbox, number, number)
    lanes = Lanes(outbox)
    accept(outbox, 4, 1000)
    batch = lanes.next()
    assert batch is not None
    assert batch.live
    lanes.acknowledged(batch.waiting[0][0].number)
    lanes.settle([batch.waiting[0][0].number])
    assert outbox.unpublished() == 3, "a settled live verdict must not take along what waits before it"
    published(lanes)
    lanes.settle([1, 2, 3])
    assert outbox.unpublished() == 0


def test_a_backlog_leaves_half_of_the_slots_to_live_bakes(outbox: Outbox) -> None:
    for number in range(1, 50):
        accept(outbox, number, number, "high" if number % 10 == 0 else "normal")
    up_us = 1000
    for number in range(100, 106):
        accept(outbox, number, up_us + number)
    due = [int.from_bytes(request.id, "big") for request in outbox.take_due(2000, up_us)]
    assert due == [100, 101, 10, 20], "two live ones, and the backlog's most urgent"
    outbox.apply(bake_id(10), CLOUD, 2000)
    assert [int.from_bytes(r.id, "big") for r in outbox.take_due(2000, up_us)] == [30], "the live ones have theirs"
    outbox.apply(bake_id(100), CLOUD, 2000)
    assert [int.from_bytes(r.id, "big") for r in outbox.take_due(2000, up_us)] == [102]


def test_a_backlog_drains_in_order_of_priority_and_deadline(outbox: Outbox) -> None:
    order: list[Priority] = ["low", "normal", "urgent", "high"]
    for number in range(1, 201):
        accept(outbox, number, 201 - number, order[number % 4])
    seen: list[tuple[int, int]] = []
    while due := outbox.take_due(1000, 500):
        for request in due:
            seen.append((("urgent", "high", "normal", "low").index(request.priority), request.deadline_us))
            outbox.apply(request.id, CLOUD, 1000)
    assert seen == sorted(seen)
    assert len(seen) == 200


def test_what_the_broker_refuses_is_set_aside_and_stays_in_the_outbox(outbox: Outbox) -> None:
    for number in range(1, 6):
        accept(outbox, number, number)
    lanes = Lanes(outbox)
    accept(outbox, 6, 1000)
    while (batch := lanes.next()) is not None:
        for waiting, _ in batch.waiting:
            (lanes.refused if waiting.number in (2, 3, 6) else lanes.acknowledged)(waiting.number)
    lanes.settle([1, 4, 5])
    assert outbox.unpublished() == 3
    again = lanes.refused_batch().waiting
    assert [waiting.number for waiting, _ in again] == [6, 2, 3], "live ones were tried first"
    assert [said.retain for _, publications in again for said in publications] == [True, False, False]
    lanes.acknowledged(3)
    lanes.refused(2)
    lanes.acknowledged(6)
    assert [waiting.number for waiting, _ in lanes.refused_batch().waiting] == [2]
    lanes.settle([6])
    assert outbox.unpublished() == 2, "a settled verdict takes along one that was taken late"
    lanes.settle([3])
    assert outbox.unpublished() == 1
    lanes.acknowledged(2)
    lanes.settle([2])
    assert outbox.unpublished() == 0
    assert not lanes.has_refused()


def test_a_provisional_verdict_is_left_out_once_its_final_is_known_and_many_wait(outbox: Outbox) -> None:
    lanes = Lanes(outbox)
    accept(outbox, 1, 1)
    outbox.apply(bake_id(1), CLOUD, 2)
    assert [state for _, state, _ in published(lanes)] == ["provisional", "final"], "as long as few wait"
    for number in range(2, 2 + CROWD):
        accept(outbox, number, number)
    outbox.apply(bake_id(2), CLOUD, 100)
    seen = published(lanes)
    assert ("2", "provisional", True) not in seen
    assert [name for name, _, _ in seen] == [str(number) for number in range(3, 2 + CROWD)] + ["2"]
    assert outbox.unpublished() == 3 + CROWD, "left out or not, they stay until they are settled"


def test_of_a_crowd_the_newest_alone_becomes_the_present_verdict(outbox: Outbox) -> None:
    lanes = Lanes(outbox)
    seen: list[list[bool]] = []
    for first, last in ((1, CROWD), (CROWD + 1, CROWD + 2)):
        for number in range(first, last + 1):
            accept(outbox, number, number)
        batch = lanes.next()
        assert batch is not None
        seen.append([said.as_event_alone for _, publications in batch.waiting for said in publications])
        lanes.acknowledged(batch.waiting[-1][0].number)
    assert seen == [[True] * (CROWD - 1) + [False], [False, False]]
