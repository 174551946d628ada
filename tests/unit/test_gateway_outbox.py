"""The outbox as a state machine: whatever happens in whatever order, each bake gets one final verdict, never two."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from edge.gateway import verdicts
from edge.gateway.clip_file import BLOCK
from edge.gateway.outbox import Outbox, OutboxConfig
from shared.errors import BadInputError
from shared.messages import BakeVerdict, Classification, LineVerdict
from shared.task import PRIORITIES, Priority, load_task

TASK = load_task("pizza")
SECOND = 1_000_000
CONFIG = OutboxConfig(in_flight=2, retry_s=10.0, max_bytes=3 * BLOCK, synchronous="NORMAL")


def edge(label: str = "golden", sure: bool = False) -> Classification:
    return Classification(label, (0, 0, 9, 0, 0), 0.6, sure, "sure" if sure else "unsure", 1.0, "emulated", 125)


def line_verdict(number: int, sure: bool, now_us: int) -> LineVerdict:
    return verdicts.from_edge(
        TASK,
        number.to_bytes(16, "big"),
        f"bake-{number}",
        edge(sure=sure),
        now_us,
        now_us,
        "sure" if sure else "unsure",
    )


def cloud(label: str = "burnt") -> BakeVerdict:
    return BakeVerdict(label, 0.9, False, "dark blisters")


def unable() -> BakeVerdict:
    return BakeVerdict(None, 0.0, True, "no")


class OutboxMachine(RuleBasedStateMachine):
    """Every rule may be followed by a crash: the file is reopened without `close`, as after kill -9."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.outbox = Outbox(self.path, TASK, CONFIG)
        self.now_us = 1_000 * SECOND
        self.accepted: list[int] = []
        self.published: list[LineVerdict] = []

    def teardown(self) -> None:
        self.now_us += 1_000 * SECOND
        self.outbox.expire(self.now_us)
        while self.outbox.next_announcement() is not None:
            self.publish(crash_before_the_note=False)
        assert self.outbox.is_idle()
        for number in self.accepted:
            finals = [v for v in self.published if v.state == "final" and int(v.id, 16) == number]
            assert len(set(map(msgspec.json.encode, finals))) == 1, f"bake {number} has {len(finals)} finals"
        self.outbox.close()
        self.folder.cleanup()

    @rule(target=ids, sure=st.booleans(), priority=st.sampled_from(PRIORITIES), size=st.integers(1, 7000))
    def accept(self, sure: bool, priority: Priority, size: int) -> int:
        number = len(self.accepted) + 1
        verdict = line_verdict(number, sure, self.now_us)
        if sure:
            self.outbox.accept_final("belt", verdict)
        else:
            deadline_us = self.now_us + 30 * SECOND
            self.outbox.accept_unsure("belt", verdict, bytes(size), priority, deadline_us, self.now_us)
        self.accepted.append(number)
        return number

    @rule(number=ids, sure=st.booleans())
    def accept_again(self, number: int, sure: bool) -> None:
        if self.outbox.is_lost(number.to_bytes(16, "big")):
            return  # may be accepted anew: see `lose_the_clip_and_bring_it_again`
        with pytest.raises(BadInputError, match="used once"):
            self.outbox.accept_final("belt", line_verdict(number, sure, self.now_us))

    @rule()
    def send(self) -> None:
        due = self.outbox.take_due(self.now_us)
        assert len(due) <= CONFIG.in_flight
        assert all(request.deadline_us > self.now_us for request in due)
        ranks = [PRIORITIES.index(request.priority) for request in due]
        assert ranks == sorted(ranks)

    @rule(number=ids, size=st.integers(1, 7000), sure=st.booleans(), dies_between=st.booleans())
    def lose_the_clip_and_bring_it_again(self, number: int, size: int, sure: bool, dies_between: bool) -> None:
        """Killed before it had told anybody of that bake; the source starts over."""
        bake_id = number.to_bytes(16, "big")
        row = self.outbox._store.execute("SELECT place FROM pending WHERE id = ?", (bake_id,)).fetchone()
        if row is not None:
            self.outbox._store.clips.file.write(row[0], b"rot")
        assert self.outbox.is_lost(bake_id) == (row is not None)
        if dies_between:  # and its source never brings it again
            self.crash()
            assert self.outbox.knows(bake_id)
        elif row is not None:
            verdict = line_verdict(number, sure, self.now_us)
            if sure:
                self.outbox.accept_final("belt", verdict)
            else:
                deadline_us = self.now_us + 30 * SECOND
                self.outbox.accept_unsure("belt", verdict, bytes(size), "normal", deadline_us, self.now_us)

    @rule(number=ids, tells=st.booleans())
    def answer(self, number: int, tells: bool) -> None:
        self.outbox.apply(number.to_bytes(16, "big"), cloud() if tells else unable(), self.now_us)

    @rule()
    def answer_a_stranger(self) -> None:
        assert self.outbox.apply(bytes(15) + b"\0", cloud(), self.now_us).outcome == "unknown"

    @rule(seconds=st.integers(0, 40))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * SECOND

    @rule()
    def deadlines(self) -> None:
        self.outbox.expire(self.now_us)

    @rule(crash_before_the_note=st.booleans())
    def publish(self, crash_before_the_note: bool) -> None:
        waiting = self.outbox.next_announcement()
        if waiting is not None:
            self.published.append(msgspec.json.decode(waiting.verdict, type=LineVerdict))
            if not crash_before_the_note:
                self.outbox.announced(waiting.number)

    @rule()
    def link_returns(self) -> None:
        self.outbox.retry_all(self.now_us)

    @rule()
    def crash(self) -> None:
        abandoned = self.outbox
        os.close(abandoned._store._lock)  # the kernel does this for a dead process; the database stays unclosed
        self.outbox = Outbox(self.path, TASK, CONFIG)
        abandoned._store._db.close()

    @invariant()
    def every_bake_is_pending_or_decided(self) -> None:
        count = "SELECT count(*) FROM {}"
        with sqlite3.connect(self.path) as outsider:
            pending = outsider.execute(count.format("pending")).fetchone()[0]
            decided = outsider.execute(count.format("decided")).fetchone()[0]
        outsider.close()
        assert pending + decided == len(self.accepted)
        assert pending == self.outbox.backlog()
        assert self.outbox.held_bytes() <= CONFIG.max_bytes
        totals = (self.outbox.backlog(), self.outbox.held_bytes(), self.outbox.unpublished())
        self.outbox._count()
        assert totals == (self.outbox.backlog(), self.outbox.held_bytes(), self.outbox.unpublished())


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db", TASK, OutboxConfig(in_flight=2, retry_s=10.0, synchronous="NORMAL"))


@pytest.fixture
def tight(tmp_path: Path) -> Outbox:
    """Room for three small clips."""
    return Outbox(tmp_path / "outbox.db", TASK, CONFIG)


def hold(outbox: Outbox, number: int, now_us: int = 0, priority: Priority = "normal", deadline_s: int = 30) -> bytes:
    verdict = line_verdict(number, False, now_us)
    assert outbox.accept_unsure("belt", verdict, b"clip", priority, now_us + deadline_s * SECOND, now_us)
    return bytes.fromhex(verdict.id)


def announced(outbox: Outbox) -> list[LineVerdict]:
    found = []
    while (waiting := outbox.next_announcement()) is not None:
        found.append(msgspec.json.decode(waiting.verdict, type=LineVerdict))
        outbox.announced(waiting.number)
    return found


def test_urgent_bakes_overtake_and_few_are_in_flight(outbox: Outbox) -> None:
    for number in range(1, 6):
        hold(outbox, number)
    urgent = hold(outbox, 9, priority="urgent")
    assert [due.id for due in outbox.take_due(0)] == [urgent, (1).to_bytes(16, "big")]
    assert outbox.take_due(0) == []
    outbox.apply(urgent, cloud(), 0)
    assert [due.id for due in outbox.take_due(0)] == [(2).to_bytes(16, "big")]


def test_a_retry_keeps_the_id_and_counts(outbox: Outbox) -> None:
    bake_id = hold(outbox, 1, deadline_s=100)
    attempts = []
    for _ in range(3):
        now_us = outbox.next_send_us(0) or 0
        [due] = outbox.take_due(now_us)
        assert due.id == bake_id
        attempts.append((due.attempt, now_us // SECOND))
    assert attempts == [(1, 0), (2, 10), (3, 30)]


def test_only_the_verdict_deletes_the_clip(outbox: Outbox) -> None:
    bake_id = hold(outbox, 1)
    outbox.take_due(0)
    assert outbox.backlog() == 1
    assert outbox.apply(bake_id, cloud(), 1).outcome == "final"
    assert outbox.backlog() == 0
    assert outbox.apply(bake_id, cloud("raw"), 2).outcome == "duplicate"
    assert [(v.state, v.label, v.source) for v in announced(outbox)] == [
        ("provisional", "golden", "edge"),
        ("final", "burnt", "cloud"),
    ]


def test_the_deadline_makes_the_edge_final_and_a_late_answer_a_correction(outbox: Outbox) -> None:
    bake_id = hold(outbox, 1)
    assert outbox.expire(30 * SECOND - 1) == 0
    assert outbox.expire(30 * SECOND) == 1
    assert outbox.take_due(30 * SECOND) == []
    assert outbox.apply(bake_id, cloud(), 31 * SECOND).outcome == "correction"
    assert outbox.apply(bake_id, cloud(), 32 * SECOND).outcome == "duplicate"
    assert [(v.state, v.reason, v.label, v.source, v.problem) for v in announced(outbox)] == [
        ("provisional", "unsure", "golden", "edge", False),
        ("final", "timeout", "golden", "edge", False),
        ("correction", "late", "burnt", "cloud", True),
    ]


def test_a_cloud_that_cannot_tell_leaves_it_to_the_edge(outbox: Outbox) -> None:
    bake_id = hold(outbox, 1)
    assert outbox.apply(bake_id, unable(), 1).outcome == "final"
    final = announced(outbox)[-1]
    assert (final.state, final.reason, final.label, final.source) == ("final", "cannot_tell", "golden", "edge")
    assert final.cloud is not None


def test_a_full_outbox_decides_at_once(tight: Outbox) -> None:
    assert tight.accept_unsure("belt", line_verdict(1, False, 0), bytes(9000), "normal", 30, 0)
    assert not tight.accept_unsure("belt", line_verdict(2, False, 0), bytes(200), "normal", 30, 0)
    assert announced(tight)[-1].reason == "outbox_full"


def test_the_least_valuable_make_room(tight: Outbox) -> None:
    """Of a lower priority first; among equals the one of which the edge is surest; never more than is needed."""

    def offer(number: int, priority: Priority, confidence: float, size: int = 300) -> bool:
        verdict = msgspec.structs.replace(line_verdict(number, False, 0), confidence=confidence)
        return tight.accept_unsure("belt", verdict, bytes(size), priority, 30 * SECOND, 0)

    assert offer(1, "normal", 0.9)
    assert offer(2, "normal", 0.4)
    assert offer(3, "low", 0.3)
    announced(tight)
    assert offer(4, "high", 0.99)
    assert next((v.bake, v.state, v.reason) for v in announced(tight)) == ("bake-3", "final", "outbox_full")
    assert offer(5, "normal", 0.5)
    assert next((v.bake, v.state) for v in announced(tight)) == ("bake-1", "final")
    assert not offer(6, "normal", 0.8)
    assert not offer(7, "normal", 0.1, size=3 * BLOCK + 1)
    assert [(v.bake, v.state) for v in announced(tight)] == [("bake-6", "final"), ("bake-7", "final")]
    assert (tight.shed, tight.backlog(), tight.held_bytes()) == (4, 3, 3 * BLOCK)
    assert tight.apply((3).to_bytes(16, "big"), cloud(), 1).outcome == "correction"


def test_small_clips_are_counted_as_the_blocks_that_they_take(tmp_path: Path) -> None:
    """By their bytes, the file would have been full before the outbox: it holds the source up, and nothing is shed."""
    config = OutboxConfig(max_bytes=40 * BLOCK, synchronous="NORMAL")
    outbox = Outbox(tmp_path / "outbox.db", TASK, config)
    for number in range(1, 61):
        verdict = msgspec.structs.replace(line_verdict(number, False, 0), confidence=1 / number)
        assert outbox.accept_unsure("belt", verdict, bytes(1000), "normal", 30 * SECOND, 0)
    assert (outbox.shed, outbox.backlog(), outbox.held_bytes()) == (20, 40, 40 * BLOCK)
    outbox._count()
    assert outbox.held_bytes() == 40 * BLOCK, "and so when it is opened again"
    outbox.close()
    assert (tmp_path / "outbox.db-clips").stat().st_size <= 41 * BLOCK  # the new one is written before one gives way


def test_waiting_times(outbox: Outbox) -> None:
    assert outbox.next_send_us(0) is None
    assert outbox.next_deadline_us() is None
    hold(outbox, 1)
    hold(outbox, 2)
    hold(outbox, 3)
    assert outbox.next_send_us(5) == 0
    outbox.take_due(5)
    assert outbox.next_send_us(5) == 5 + 10 * SECOND  # both slots are taken: the third waits for a retry's time
    assert outbox.next_deadline_us() == 30 * SECOND


def test_old_decisions_are_forgotten(outbox: Outbox) -> None:
    outbox.accept_final("belt", line_verdict(1, True, SECOND))
    assert outbox.forget(SECOND + 1) == 0
    assert outbox.forget(8 * 86_400 * SECOND) == 1


def test_only_so_many_decisions_are_remembered(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", TASK, OutboxConfig(max_decided=3, synchronous="NORMAL"))
    for number in range(1, 6):
        outbox.accept_final("belt", line_verdict(number, True, number * SECOND))
    assert outbox.forget(6 * SECOND) == 2
    assert not outbox.knows((2).to_bytes(16, "big"))
    assert outbox.knows((3).to_bytes(16, "big"))
    outbox.close()


def test_a_second_gateway_is_kept_out(outbox: Outbox, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="another gateway"):
        Outbox(tmp_path / "outbox.db", TASK)
    outbox.close()
    Outbox(tmp_path / "outbox.db", TASK).close()


def test_a_file_that_is_no_outbox_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"flour, water, salt" * 100)
    with pytest.raises(BadInputError, match=r"outbox\.db: cannot be used"):
        Outbox(tmp_path / "outbox.db", TASK)
    with pytest.raises(BadInputError, match=r"outbox\.db: is a file: name a folder"):
        Outbox(tmp_path / "outbox.db" / "below", TASK)
