"""The archive proves what was decided, and with its clips decides it again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from line_scene import KINDS, TASK, RuleEngine, bakes, gateway, outsider, worker
from seal_scene import Clock, authority, seal

from cloud.worker.archive import Archive, read_decisions
from cloud.worker.replay import replay
from edge.devices import Device
from shared.broker import EmbeddedBroker
from shared.errors import BadInputError
from shared.messages import BakeVerdict, LineVerdict, Provenance
from shared.pki.trust import Trust
from shared.retention import DAY_S, Limits


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(KINDS[-1]) as running:
        yield running


class ProvenEngine(RuleEngine):
    """The rule, with a provenance; `weights` change what it says."""

    weights = "a" * 64

    def verdict(self, frames: Any, times_s: Any, task: Any) -> BakeVerdict:
        told = super().verdict(frames, times_s, task)
        provenance = Provenance("rules", self.weights, "b" * 64, (0, 1, 2), True, "none", "cpu", time.perf_counter())
        return msgspec.structs.replace(
            told, provenance=provenance, doneness="dark" if self.weights[0] == "a" else "raw"
        )


def decided(broker: EmbeddedBroker, device: Device, tmp_path: Path, limits: Limits) -> list[LineVerdict]:
    async def scenario() -> list[LineVerdict]:
        archive = Archive(tmp_path / "archive", limits)
        signed = {"seal": seal("gateway", "plant/oven-1", Clock(time.time_ns() // 1000))}
        async with (
            outsider(broker) as seen,
            worker(broker, ProvenEngine(), seal=seal("worker", "w-1"), archive=archive),
            gateway(broker, device, tmp_path, **signed) as (line, _),
        ):
            await line.run(bakes(3))
            await seen.until(lambda: len(seen.verdicts("final")) == 3)
            return seen.verdicts("final")

    return asyncio.run(scenario())


def test_every_decision_is_proven_and_computed_again(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    trust = Trust.load(authority("plant").folder / "ca.pem")
    stranger = Trust(authority("elsewhere").certificate)
    for verdict in decided(broker, device, tmp_path, Limits()):
        assert verdict.cloud is not None
        assert verdict.cloud.provenance is not None
        assert verdict.cloud.provenance.clip_sha256 == verdict.clip_sha256
        assert verdict.cloud.provenance.worker == "w-1"
        decision = read_decisions(tmp_path / "archive", verdict.id)[0]  # a resend is a decision too
        again = replay(tmp_path / "archive", decision, ProvenEngine(), TASK, trust)
        assert (again.outcome, again.sealed) == ("same", True)
        assert again.response.verdict == verdict.cloud
        other = ProvenEngine()
        other.weights = "c" * 64
        assert replay(tmp_path / "archive", decision, other, TASK, None).outcome == "different"
        assert replay(tmp_path / "archive", decision, ProvenEngine(), TASK, stranger).sealed is False


def test_a_changed_archive_proves_nothing(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    folder, trust = tmp_path / "archive", Trust.load(authority("plant").folder / "ca.pem")
    verdict = decided(broker, device, tmp_path, Limits())[0]
    path = folder / "decisions" / f"{verdict.id}-1.json"
    record = json.loads(path.read_bytes())
    record["answer"]["payload"] = record["answer"]["payload"].replace("dark", "golden")
    path.write_text(json.dumps(record))
    with pytest.raises(BadInputError, match="the answer was changed in the archive"):
        replay(folder, read_decisions(folder, verdict.id)[0], ProvenEngine(), TASK, trust)
    record["answer"]["sha256"] = hashlib.sha256(record["answer"]["payload"].encode()).hexdigest()
    path.write_text(json.dumps(record))
    assert replay(folder, read_decisions(folder, verdict.id)[0], ProvenEngine(), TASK, trust).sealed is False
    clip = folder / "clips" / f"{verdict.clip_sha256}.clip"
    clip.write_bytes(clip.read_bytes()[:-1])
    with pytest.raises(BadInputError, match="the clip was changed in the archive"):
        replay(folder, read_decisions(folder, verdict.id)[0], ProvenEngine(), TASK, trust)


def test_clips_expire_and_decisions_stay(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    verdict = decided(broker, device, tmp_path, Limits())[0]
    archive = Archive(tmp_path / "archive", Limits(30 * DAY_S))
    assert archive.purge(time.time() + 29 * DAY_S).kept_files == 3
    assert archive.purge(time.time() + 31 * DAY_S).files == 3
    decision = read_decisions(tmp_path / "archive", verdict.id)[0]
    done = replay(tmp_path / "archive", decision, ProvenEngine(), TASK, None)
    assert (done.outcome, done.reason) == ("not computed again", "the clip has expired")
    archive.purge(time.time() + 366 * DAY_S)
    with pytest.raises(BadInputError, match="no decision on bake"):
        read_decisions(tmp_path / "archive", verdict.id)
    with pytest.raises(BadInputError, match="32 hexadecimal digits"):
        read_decisions(tmp_path / "archive", "../../etc/passwd")


def test_images_expire_on_a_line_that_stands_still(broker: EmbeddedBroker, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive", Limits(30 * DAY_S))
    clip = archive.clip_path("0" * 64)
    clip.write_bytes(b"a picture")
    os.utime(clip, (time.time() - 31 * DAY_S,) * 2)

    async def scenario() -> None:
        async with worker(broker, ProvenEngine(), archive=archive), asyncio.timeout(60):
            while clip.exists():
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_an_archive_that_cannot_be_written_costs_no_answer(
    broker: EmbeddedBroker, device: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Archive):
        def keep(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

    async def scenario() -> int:
        async with (
            worker(broker, ProvenEngine(), archive=Failing(tmp_path / "archive", Limits())),
            gateway(broker, device, tmp_path) as (line, _),
        ):
            return (await line.run(bakes(1))).finals

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(scenario()) == 1
    assert "not in the archive" in caplog.text
