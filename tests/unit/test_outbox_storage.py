"""The outbox's file: kill -9, power cuts, full disks, and files of earlier versions."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from power_cut import cut_power

from edge.gateway import storage, verdicts
from edge.gateway.clip_file import BLOCK
from edge.gateway.outbox import KnownBakeError, Outbox, OutboxConfig
from edge.gateway.schema import MIGRATIONS
from edge.gateway.storage import StorageError
from shared.clock import TimeMark
from shared.messages import BakeVerdict, Classification, LineVerdict, encode
from shared.task import load_task

TASK = load_task("pizza")

WRITER = """
import sys
from pathlib import Path
from edge.gateway import verdicts
from edge.gateway.outbox import Outbox, OutboxConfig
from shared.messages import BakeVerdict, Classification
from shared.task import load_task

path, start = Path(sys.argv[1]), int(sys.argv[2])
task = load_task("pizza")
outbox = Outbox(path, task, OutboxConfig(synchronous=sys.argv[3]))
cloud = BakeVerdict("burnt", 0.9, False, "")
for number in range(start, start + 100_000):
    edge = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
    bake_id = number.to_bytes(16, "big")
    verdict = verdicts.from_edge(task, bake_id, str(number), edge, number, number, "unsure")
    outbox.accept_unsure("belt", verdict, bytes(5000), "normal", number + 30, number)
    outbox.sync()
    print("accepted", number, flush=True)
    if number % 2:
        outbox.apply(bake_id, cloud, number)
        outbox.sync()
        print("decided", number, flush=True)
"""

BRINGS_AGAIN = """
import os, signal, sys
from pathlib import Path
from edge.gateway.outbox import Outbox
from shared.messages import LineVerdict, decode
from shared.task import load_task

path, where = Path(sys.argv[1]), sys.argv[2]
verdict = decode(path.with_name("verdict").read_bytes(), LineVerdict, "verdict")
outbox = Outbox(path, load_task("pizza"))
assert outbox.is_lost(bytes.fromhex(verdict.id))
if where == "before":
    os.kill(os.getpid(), signal.SIGKILL)
setattr(outbox, where, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
outbox.accept_unsure("belt", verdict, b"again", "normal", 10**9, 2)
"""


def provisional(number: int) -> LineVerdict:
    edge = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
    return verdicts.from_edge(TASK, number.to_bytes(16, "big"), str(number), edge, 0, 0, "unsure")


def announced(outbox: Outbox) -> list[LineVerdict]:
    found = []
    while (waiting := outbox.next_announcement()) is not None:
        found.append(msgspec.json.decode(waiting.verdict, type=LineVerdict))
        outbox.announced(waiting.number)
    return found


def write_and_kill(path: Path, start: int, steps: int, synchronous: str = "FULL") -> tuple[set[int], set[int]]:
    """Bakes of which a child said that they were accepted and decided before it was killed."""
    said: dict[str, set[int]] = {"accepted": set(), "decided": set()}
    command = [sys.executable, "-c", WRITER, str(path), str(start), synchronous]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for number, line in enumerate(child.stdout):
        word, bake = line.split()
        said[word].add(int(bake))
        if number == steps:
            child.send_signal(signal.SIGKILL)
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return said["accepted"], said["decided"]


@pytest.mark.parametrize("power", [True, False])
def test_neither_kill_9_nor_a_power_cut_loses_what_was_accepted(tmp_path: Path, power: bool) -> None:
    path, rng = tmp_path / "outbox.db", random.Random(5)
    accepted: set[int] = set()
    decided: set[int] = set()
    for life in range(3):
        more, less = write_and_kill(path, 1 + 1_000_000 * life, rng.randrange(10, 120))
        accepted |= more
        decided |= less
        if not power:
            cut_power(path, rng)
    outbox = Outbox(path, TASK)
    while outbox.expire(10**12):
        pass
    verdicts_seen = announced(outbox)
    outbox.close()
    finals = [v for v in verdicts_seen if v.state == "final"]
    by_id = {int(v.id, 16): v for v in finals}
    assert len(by_id) == len(finals), "a bake has two finals"
    assert accepted <= by_id.keys(), "an accepted bake is lost"
    assert all(by_id[number].source == "cloud" for number in decided), "an applied verdict is lost"


def test_normal_survives_kill_9_alone(tmp_path: Path) -> None:
    """What the default's fsync is for: without it, a power cut takes all since the last checkpoint."""
    path = tmp_path / "outbox.db"
    accepted, _ = write_and_kill(path, 1, 40, "NORMAL")
    log = path.with_name("outbox.db-wal")
    frames = log.stat().st_size
    cut_power(path, random.Random(1), synced=0, fate="cut")
    assert log.stat().st_size < frames
    outbox = Outbox(path, TASK)
    assert len(accepted) > outbox.backlog()
    outbox.close()


def test_what_a_killed_gateway_had_committed_is_synced_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was alive in the page cache alone; the next gateway would publish it, and a power cut take it back."""
    path = tmp_path / "outbox.db"
    write_and_kill(path, 1, 10, "NORMAL")
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    outbox = Outbox(path, TASK)
    assert outbox.unpublished() > 0
    assert synced == [f"{path}-clips", f"{path}-wal"]
    outbox.close()


def test_a_clip_is_on_the_disk_before_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut between the two would leave an accepted bake without its clip."""
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, TASK)
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    outbox.accept_unsure("belt", provisional(1), b"clip", "normal", 30, 0)
    assert synced == []
    outbox.sync()
    assert synced == [f"{path}-clips", f"{path}-wal"]
    outbox.close()


def test_the_clip_of_a_verdict_that_a_power_cut_takes_back_is_still_there(tmp_path: Path) -> None:
    path, after = tmp_path / "outbox.db", tmp_path / "after.db"
    outbox = Outbox(path, TASK)
    outbox.accept_unsure("belt", provisional(1), b"first", "normal", 30, 0)
    outbox.sync()
    for suffix in ("", "-wal"):  # all that is on the disk for certain
        shutil.copy(f"{path}{suffix}", f"{after}{suffix}")
    outbox.apply((1).to_bytes(16, "big"), BakeVerdict("dark", 0.9, False, ""), 1)
    outbox.accept_unsure("belt", provisional(2), b"other", "normal", 60, 1)
    outbox.store.clips.save()
    shutil.copy(f"{path}-clips", f"{after}-clips")
    outbox.close()
    outbox = Outbox(after, TASK)
    assert [due.clip for due in outbox.take_due(2)] == [b"first"]
    outbox.close()


def fill(outbox: Outbox) -> int:
    """Offer bakes until one is refused; its number."""
    for number in range(1, 1000):
        try:
            outbox.accept_unsure("belt", provisional(number), bytes(8000), "normal", 30, 0)
        except StorageError:
            return number
    raise AssertionError("the file is never full")


@pytest.mark.parametrize("what", ["database", "clips"])
def test_a_full_disk_refuses_and_nothing_has_changed(tmp_path: Path, what: str) -> None:
    outbox = Outbox(tmp_path / "outbox.db", TASK, OutboxConfig(synchronous="NORMAL"))
    (pages,) = outbox._store.execute("PRAGMA page_count").fetchone()
    if what == "clips":
        outbox.store.clips.file._max_blocks = 41
    else:
        outbox._store.execute(f"PRAGMA max_page_count = {pages + 20}")
    refused = fill(outbox)
    before = (outbox.backlog(), outbox.held_bytes(), outbox.unpublished())
    assert before == (refused - 1, 2 * BLOCK * (refused - 1), refused - 1)
    assert not outbox.knows(refused.to_bytes(16, "big"))
    if what == "database":
        outbox._store.execute(f"PRAGMA max_page_count = {pages + 1000}")
    for number in range(1, refused):  # what they leave can be used at once: nothing is on the disk here before
        assert outbox.apply(number.to_bytes(16, "big"), BakeVerdict("dark", 0.9, False, ""), 1).outcome == "final"
    assert outbox.accept_unsure("belt", provisional(refused), bytes(8000), "normal", 30, 0)
    assert len(announced(outbox)) == 2 * refused - 1
    outbox.close()


def test_a_checkpoint_that_fails_does_not_undo_the_commit_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LONGEST_LOG_BYTES", 0)
    outbox = Outbox(tmp_path / "outbox.db", TASK)
    outbox.store.shorten_log()
    denied: list[int] = []

    def refuse(action: int, name: str | None, *rest: object) -> int:
        if (action, name) != (sqlite3.SQLITE_PRAGMA, "wal_checkpoint"):
            return sqlite3.SQLITE_OK
        denied.append(action)
        return sqlite3.SQLITE_DENY

    outbox.store._db.set_authorizer(refuse)
    assert outbox.accept_unsure("belt", provisional(1), bytes(5000), "normal", 30, 1)  # raises: would be tried again
    assert denied
    assert (outbox.backlog(), outbox.unpublished(), outbox.held_bytes()) == (1, 1, 2 * BLOCK)
    outbox.close()


def test_the_log_stays_bounded_when_it_never_comes_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At saturation commits come during each checkpoint, so that the log is not begun anew by itself."""
    monkeypatch.setattr(storage, "LOG_BYTES", 200_000)
    monkeypatch.setattr(storage, "LONGEST_LOG_BYTES", 500_000)
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, TASK)
    checkpoints = 0
    for number in range(100):
        outbox.accept_unsure("belt", provisional(number), b"", "normal", 30, 0)
        if outbox.store.log_is_long():
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
                reader.execute("BEGIN")  # the last commit is not copied, as if it had come meanwhile
                reader.execute("SELECT count(*) FROM pending").fetchone()
                outbox.keep_time(TimeMark(number, number, number, "boot"))
                outbox.store.shorten_log()
                reader.execute("COMMIT")
            checkpoints += 1
    assert checkpoints > 5
    assert path.with_name("outbox.db-wal").stat().st_size < 500_000 + 2 * 200_000
    outbox.close()


def test_a_full_file_of_version_1_is_migrated_beyond_its_limit(tmp_path: Path) -> None:
    """The second migration copies all clips before it drops the old ones."""
    path = tmp_path / "outbox.db"
    old = sqlite3.connect(path)
    old.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
    for number in range(40):
        row = (number.to_bytes(16, "big"), "belt", 2, 30, 0, 0, encode(provisional(number)), 20_000, bytes(20_000))
        old.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.commit()
    old.close()
    opened = storage.Storage(path, "NORMAL", 1_000_000)
    places = opened.execute("SELECT id, place, sha256 FROM pending").fetchall()
    assert [opened.clips.get(bake, place, 20_000, sha256) for bake, place, sha256 in places] == 40 * [bytes(20_000)]
    opened.close()


def test_a_file_of_version_1_is_carried_on_with(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    old = sqlite3.connect(path)
    old.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
    row = (bytes(15) + b"\7", "belt", 2, 30_000_000, 0, 0, encode(provisional(7)), 4, b"clip")
    old.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.commit()
    old.close()
    outbox = Outbox(path, TASK)
    [due] = outbox.take_due(1)
    assert (due.clip, due.priority, outbox.held_bytes()) == (b"clip", "normal", BLOCK)
    assert outbox.apply(due.id, BakeVerdict("dark", 0.9, False, ""), 2).outcome == "final"
    outbox.close()


def test_a_clip_that_cannot_be_read_back_leaves_its_bake_to_the_edge(tmp_path: Path) -> None:
    """A gateway killed before it had said that the bake was accepted, or a bad block: one final verdict, none lost."""
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, TASK)
    for number in (1, 2):
        outbox.accept_unsure("belt", provisional(number), b"clip %d" % number, "normal", 30, 0)
    outbox.close()
    with path.with_name("outbox.db-clips").open("r+b") as clips:
        clips.write(b"rot")
    outbox = Outbox(path, TASK)
    assert [due.clip for due in outbox.take_due(1)] == [b"clip 2"]
    assert (outbox.spoiled, outbox.backlog(), outbox.held_bytes()) == (1, 1, BLOCK)
    last = announced(outbox)[-1]
    assert (int(last.id, 16), last.state, last.source, last.reason) == (1, "final", "edge", "clip_lost")
    assert outbox.apply((1).to_bytes(16, "big"), BakeVerdict("dark", 0.9, False, ""), 2).outcome == "correction"
    outbox.close()


def test_a_bake_whose_clip_is_lost_is_taken_again_when_its_source_brings_it_again(tmp_path: Path) -> None:
    """Killed between commit and disk, the gateway had told nobody of it; what a session starts over mends it."""
    path, config = tmp_path / "outbox.db", OutboxConfig(in_flight=1, reoffer_s=60.0)
    outbox = Outbox(path, TASK, config)
    for number in (1, 2):
        outbox.accept_unsure("belt", provisional(number), b"clip %d" % number, "normal", 10**9, 0, sent=number == 1)
    outbox.close()
    with path.with_name("outbox.db-clips").open("r+b") as clips:
        clips.write(b"rot")
    outbox = Outbox(path, TASK, config)
    outbox.retry_all(1)
    assert outbox.take_due(1) == [], "it waits for its source"
    assert [due.clip for due in outbox.take_due(1)] == [b"clip 2"], "and takes no slot meanwhile"
    one, two = (number.to_bytes(16, "big") for number in (1, 2))
    assert outbox.is_lost(one)
    assert not outbox.is_lost(two), "its clip is there"
    with pytest.raises(KnownBakeError, match="used once"):
        outbox.accept_unsure("belt", provisional(2), b"again", "high", 10**9, 2)
    assert outbox.accept_unsure("belt", provisional(1), b"again", "high", 10**9, 2)
    assert not outbox.is_lost(one), "it has a clip again"
    assert (outbox.backlog(), outbox.held_bytes()) == (2, 2 * BLOCK)
    assert outbox.apply(two, BakeVerdict("dark", 0.9, False, ""), 3).outcome == "final"
    assert [due.clip for due in outbox.take_due(4)] == [b"again"]
    assert outbox.apply(one, BakeVerdict("dark", 0.9, False, ""), 5).outcome == "final"
    assert outbox.spoiled == 0
    outbox.close()


@pytest.mark.parametrize("where", ["before", "_make_room", "_announce", "_gone"])
def test_a_bake_whose_clip_is_lost_outlives_a_kill_while_it_is_accepted_anew(tmp_path: Path, where: str) -> None:
    """Its source may never bring it a third time."""
    path, config = tmp_path / "outbox.db", OutboxConfig(reoffer_s=60.0)
    outbox = Outbox(path, TASK, config)
    outbox.accept_unsure("belt", provisional(1), b"clip", "normal", 10**9, 0)
    outbox.close()
    path.with_name("outbox.db-clips").write_bytes(bytes(BLOCK))
    path.with_name("verdict").write_bytes(encode(provisional(1)))
    child = subprocess.run([sys.executable, "-c", BRINGS_AGAIN, str(path), where], check=False)
    assert child.returncode == -signal.SIGKILL
    outbox = Outbox(path, TASK, config)
    assert (outbox.backlog(), outbox.held_bytes()) == (1, BLOCK)
    assert outbox.take_due(60_000_002) == []
    finals = [verdict for verdict in announced(outbox) if verdict.state == "final"]
    assert [(int(final.id, 16), final.reason) for final in finals] == [(1, "clip_lost")]
    assert outbox.is_idle()
    outbox.close()


def test_a_bake_whose_clip_is_lost_is_the_edge_s_when_its_source_does_not_bring_it_again(tmp_path: Path) -> None:
    path, config = tmp_path / "outbox.db", OutboxConfig(reoffer_s=60.0)
    outbox = Outbox(path, TASK, config)
    outbox.accept_unsure("belt", provisional(1), b"clip", "normal", 10**9, 0)
    outbox.close()
    path.with_name("outbox.db-clips").unlink()
    outbox = Outbox(path, TASK, config)
    assert outbox.take_due(1) == []
    assert outbox.next_send_us(1) == 60_000_000
    assert outbox.take_due(60_000_000) == []
    assert announced(outbox)[-1].reason == "clip_lost"
    assert outbox.is_idle()
    outbox.close()
