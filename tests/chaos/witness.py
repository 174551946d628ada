"""What an outsider sees of a campaign, topics and database alone, and whether the promises hold."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from link_test_engine import answer

from shared.messages import GatewayStats, LineVerdict, decode
from shared.mqtt import MqttClient
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")


@dataclass
class Witness:
    """Reads the topics of one line."""

    line: Line
    camera: str = "belt"
    bakes: set[str] = field(default_factory=set)  # names seen, in any state
    ids: dict[str, set[str]] = field(default_factory=dict)  # of each name
    finals: dict[str, set[bytes]] = field(default_factory=dict)  # distinct payloads of each id
    corrections: dict[str, set[bytes]] = field(default_factory=dict)
    repeats: int = 0  # messages that came again, byte for byte
    largest_backlog: int = 0
    largest_held: int = 0
    shed: int = 0
    lost_clips: set[str] = field(default_factory=set)  # bakes whose clips were not what was written
    problems: set[str] = field(default_factory=set)  # subjects of the state topic's problems
    jumps: int = 0

    async def follow(self, client: MqttClient) -> None:
        """For ever: read the line's topics."""
        await client.subscribe(f"{self.line.prefix}/#")
        async for message in client.messages():
            client.acknowledge(message)
            if message.topic == self.line.event(self.camera):
                self._verdict(message.payload)
            elif message.topic == self.line.stats:
                self._stats(decode(message.payload, GatewayStats, message.topic))

    def _verdict(self, payload: bytes) -> None:
        verdict = decode(payload, LineVerdict, "event")
        self.bakes.add(verdict.bake)
        self.ids.setdefault(verdict.bake, set()).add(verdict.id)
        if verdict.reason == "clip_lost":
            self.lost_clips.add(verdict.bake)
        if verdict.state != "provisional":
            kept = self.finals if verdict.state == "final" else self.corrections
            seen = kept.setdefault(verdict.id, set())
            self.repeats += payload in seen
            seen.add(payload)

    def _stats(self, stats: GatewayStats) -> None:
        self.largest_backlog = max(self.largest_backlog, stats.backlog)
        self.largest_held = max(self.largest_held, stats.held_bytes)
        self.shed = max(self.shed, stats.shed)
        self.jumps = max(self.jumps, stats.clock_jumps)
        self.problems |= {line.split(":")[0] for line in stats.problems}


def unpublished(database: Path) -> int:
    """Verdicts that the gateway keeps, as no link outlived their acknowledgement yet; its next start repeats them."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as outsider:
        count: int = outsider.execute("SELECT count(*) FROM announcement").fetchone()[0]
    outsider.close()
    return count


def violations(seen: Witness, database: Path, names: Iterable[str], max_backlog: int, max_bytes: int) -> list[str]:
    """Every promise that does not hold, one line each."""
    found: list[str] = []
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as outsider:
        count = "SELECT count(*) FROM {}"
        pending = outsider.execute(count.format("pending")).fetchone()[0]
        decided = {bytes(i).hex(): bytes(verdict) for i, verdict in outsider.execute("SELECT id, verdict FROM decided")}
    outsider.close()
    kept = unpublished(database)
    if pending or kept:
        found.append(f"{pending} bakes pending and {kept} verdicts unpublished after the end")
    stored: dict[str, list[str]] = {}
    for bake_id, payload in decided.items():
        stored.setdefault(msgspec.json.decode(payload, type=LineVerdict).bake, []).append(bake_id)
    for name in names:
        ids = seen.ids.get(name, set()) | set(stored.get(name, ()))
        if len(ids) != 1:
            found.append(f"{name}: {len(ids)} ids" if ids else f"{name}: lost, neither in the database nor on a topic")
            continue
        [bake_id] = ids
        finals = seen.finals.get(bake_id, set())
        if bake_id not in decided:
            found.append(f"{name}: no final verdict in the database")
        if not finals:
            found.append(f"{name}: no final verdict was published")
        if len(finals) > 1:
            found.append(f"{name}: {len(finals)} different final verdicts")
        if finals and decided.get(bake_id) not in finals:
            found.append(f"{name}: the database and the topic differ")
        found += _content(name, bake_id, seen, finals)
    if seen.largest_backlog > max_backlog:
        found.append(f"{seen.largest_backlog} bakes in the outbox, at most {max_backlog} are allowed")
    if seen.largest_held > max_bytes:
        found.append(f"{seen.largest_held} bytes of clips in the outbox, at most {max_bytes} are allowed")
    return found


def _content(name: str, bake_id: str, seen: Witness, finals: set[bytes]) -> list[str]:
    """An answer belongs to its bake, and at most one corrects a final verdict of the edge."""
    found = []
    corrections = seen.corrections.get(bake_id, set())
    if len(corrections) > 1:
        found.append(f"{name}: {len(corrections)} different corrections")
    number = int(re.sub(r"\D", "", name))
    for payload in finals | corrections:
        verdict = decode(payload, LineVerdict, name)
        if verdict.cloud is not None and (
            verdict.cloud.rationale != f"link test, bake {number}" or verdict.label != answer(number, TASK)
        ):
            found.append(f"{name}: carries the answer {verdict.cloud.rationale!r}, label {verdict.label}")
        if verdict.state == "final" and corrections and verdict.reason not in ("timeout", "outbox_full", "clip_lost"):
            found.append(f"{name}: corrected though its final verdict says {verdict.reason}")
    return found
