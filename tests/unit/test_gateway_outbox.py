"""The outbox as a state machine: whatever happens in whatever order, each bake gets one final verdict, never two."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from edge.gateway import verdicts
from edge.gateway.outbox import Outbox, OutboxConfig
from shared.errors import BadInputError, CrustwatchError
from shared.messages import BakeVerdict, Classification, LineVerdict
from shared.task import PRIORITIES, Priority, load_task

TASK = load_task("pizza")
SECOND = 1_000_000
CONFIG = OutboxConfig(in_flight=2, retry_s=10.0, max_bytes=1000, synchronous="NORMAL")


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

    @rule(target=ids, sure=st.booleans(), priority=st.sampled_from(PRIORITIES), size=st.integers(1, 600))
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
        with pytest.raises(BadInputError, match="used once"):
            self.outbox.accept_final("belt", line_verdict(number, sure, self.now_us))

    @rule()
    def send(self) -> None:
        due = self.outbox.take_due(self.now_us)
        assert len(due) <= CONFIG.in_flight
        assert all(request.deadline_us > self.now_us for request in due)
        ranks = [PRIORITIES.index(request.priority) for request in due]
        assert ranks == sorted(ranks)

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
        os.close(abandoned._lock)  # the kernel does this for a dead process; the database stays unclosed
        self.outbox = Outbox(self.path, TASK, CONFIG)
        abandoned._db.close()

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


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
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


def test_a_full_outbox_decides_at_once(outbox: Outbox) -> None:
    assert outbox.accept_unsure("belt", line_verdict(1, False, 0), bytes(900), "normal", 30, 0)
    assert not outbox.accept_unsure("belt", line_verdict(2, False, 0), bytes(200), "normal", 30, 0)
    assert announced(outbox)[-1].reason == "outbox_full"


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


def test_a_second_gateway_is_kept_out(outbox: Outbox, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="another gateway"):
        Outbox(tmp_path / "outbox.db", TASK)
    outbox.close()
    Outbox(tmp_path / "outbox.db", TASK).close()


def test_a_file_that_is_no_outbox_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"flour, water, salt" * 100)
    with pytest.raises(CrustwatchError, match=r"outbox\.db: cannot be used"):
        Outbox(tmp_path / "outbox.db", TASK)


WRITER = """
import sys
from pathlib import Path
from edge.gateway import verdicts
from edge.gateway.outbox import Outbox, OutboxConfig
from shared.messages import BakeVerdict, Classification
from shared.task import load_task

path, start = Path(sys.argv[1]), int(sys.argv[2])
task = load_task("pizza")
outbox = Outbox(path, task, OutboxConfig())
cloud = BakeVerdict("burnt", 0.9, False, "")
for number in range(start, start + 100_000):
    edge = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
    bake_id = number.to_bytes(16, "big")
    verdict = verdicts.from_edge(task, bake_id, str(number), edge, number, number, "unsure")
    outbox.accept_unsure("belt", verdict, bytes(5000), "normal", number + 30, number)
    print("accepted", number, flush=True)
    if number % 2:
        outbox.apply(bake_id, cloud, number)
        print("decided", number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    accepted: set[int] = set()
    decided: set[int] = set()
    for life in range(4):
        start = 1 + 1_000_000 * life
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for number, line in enumerate(child.stdout):
            word, bake = line.split()
            (accepted if word == "accepted" else decided).add(int(bake))
            if number == 25 + 8 * life:
                child.send_signal(signal.SIGKILL)
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    outbox = Outbox(path, TASK)
    outbox.expire(10**12)
    verdicts_seen = announced(outbox)
    outbox.close()
    finals = [v for v in verdicts_seen if v.state == "final"]
    by_id = {int(v.id, 16): v for v in finals}
    assert len(by_id) == len(finals), "a bake has two finals"
    assert accepted <= by_id.keys(), "an accepted bake is lost"
    assert all(by_id[number].source == "cloud" for number in decided), "an applied verdict is lost"
