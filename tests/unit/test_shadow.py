"""A challenger in shadow: what is counted and written, and that its troubles cost evidence only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.devices import DeviceInfo
from edge.gateway import verdicts
from edge.shadow.record import ShadowRecord
from edge.shadow.shadow import MOST_WAITING, Shadow
from edge.watch.guard import Guard, Promised, when_withdrawn_of
from shared.errors import BadInputError, DeviceError
from shared.messages import Classification, LineVerdict
from shared.task import load_task

TASK = load_task("pizza")
FRAME = np.zeros((TASK.input.size_px, TASK.input.size_px, 3), np.uint8)
ZERO = (0,) * len(TASK.labels)
CHALLENGER = "c" * 64


class Scripted:
    """A device that says what the first pixel asks for: label number, 100 more when sure; 255 fails."""

    kind = "reference"

    def __init__(self) -> None:
        self.may_speak = threading.Event()
        self.may_speak.set()
        self.closed = False

    def hello(self) -> DeviceInfo:
        return DeviceInfo("scripted", "reference", CHALLENGER, FRAME.shape, TASK.labels)

    def classify(self, image: np.ndarray) -> Classification:
        assert self.may_speak.wait(10)
        said = int(image[0, 0, 0])
        if said == 255:
            raise DeviceError("scripted: no answer")
        return Classification(TASK.labels[said % 100], ZERO, 0.9, said >= 100, "", 1.0, "measured")

    def close(self) -> None:
        self.closed = True


def frame(label: str, *, sure: bool = True) -> np.ndarray:
    seen = FRAME.copy()
    seen[0, 0, 0] = TASK.labels.index(label) + 100 * sure
    return seen


def champion(number: int, label: str, decision: str) -> LineVerdict:
    edge = Classification(label, ZERO, 0.8, decision == "sure", "", 1.0, "measured")
    return verdicts.from_edge(TASK, number.to_bytes(16, "big"), f"bake-{number}", edge, 0, 0, decision)  # type: ignore[arg-type]


def tried(script: Callable[[Shadow, Scripted], object]) -> tuple[Shadow, list[ShadowRecord], Scripted]:
    device, records = Scripted(), []

    async def trial() -> Shadow:
        shadow = Shadow("a" * 64, device, Guard(), records.append)  # type: ignore[arg-type]
        found = script(shadow, device)
        if asyncio.iscoroutine(found):
            await found
        await shadow.finish()
        return shadow

    return asyncio.run(trial()), records, device


def test_agreement_escalations_and_who_was_right_are_counted_and_written() -> None:
    def script(shadow: Shadow, device: Scripted) -> None:
        shadow.show(champion(0, "golden", "sure"), "sure", frame("golden"))
        shadow.show(champion(1, "golden", "unsure"), "unsure", frame("dark"))
        shadow.answered(champion(1, "golden", "unsure").id, "dark")  # before the challenger has spoken
        shadow.show(champion(2, "raw", "unsure"), "unsure", frame("golden", sure=False))
        shadow.answered(champion(2, "raw", "unsure").id, "raw")
        shadow.show(champion(3, "raw", "policy"), "policy", frame("dark"))
        shadow.answered(champion(3, "raw", "policy").id, None)  # the cloud cannot tell
        shadow.show(champion(4, "raw", "unsure"), "budget", frame("burnt"))
        shadow.show(champion(5, "dark", "unsure"), "unsure", frame("dark"))  # never answered
        shadow.show(champion(6, "raw", "unsure"), "unsure", frame("dark"))
        shadow.answered(champion(6, "raw", "unsure").id, "dark")
        shadow.answered(champion(99, "dark", "unsure").id, "raw")  # not of this trial

    shadow, records, device = tried(script)
    stats = shadow.stats()
    assert (stats.challenger, stats.device, stats.bakes) == (CHALLENGER, "reference", 7)
    assert (stats.agreed, stats.would_escalate, stats.champion_escalated) == (2, 1, 6)
    assert (stats.resolved, stats.challenger_right, stats.champion_right) == (3, 2, 1)
    by_bake = {record.bake: record for record in records}
    assert len(records) == len(by_bake) == 7
    assert [by_bake[f"bake-{n}"].cloud_label for n in range(6)] == [None, "dark", "raw", None, None, None]
    assert by_bake["bake-4"].champion_decision == "budget"
    assert (by_bake["bake-2"].challenger_decision, by_bake["bake-1"].challenger_decision) == ("unsure", "sure")
    assert [record.agrees for record in sorted(records, key=lambda record: record.bake)][:2] == [True, False]
    assert device.closed


def test_a_challenger_that_fails_costs_evidence_only() -> None:
    def script(shadow: Shadow, device: Scripted) -> None:
        broken = FRAME.copy()
        broken[0, 0, 0] = 255
        shadow.show(champion(0, "golden", "unsure"), "unsure", broken)
        shadow.show(champion(1, "golden", "sure"), "sure", frame("golden"))

    shadow, records, _ = tried(script)
    assert (shadow.stats().bakes, shadow.stats().passed_by) == (1, 1)
    assert [record.bake for record in records] == ["bake-1"]


def test_a_challenger_that_is_behind_is_passed_by() -> None:
    async def script(shadow: Shadow, device: Scripted) -> None:
        device.may_speak.clear()
        for number in range(MOST_WAITING + 3):
            shadow.show(champion(number, "golden", "sure"), "sure", frame("golden"))
        device.may_speak.set()

    shadow, records, _ = tried(script)  # type: ignore[arg-type]
    assert (len(records), shadow.stats().passed_by) == (MOST_WAITING, 3)


def test_a_record_that_cannot_be_written_does_not_stop_the_trial() -> None:
    def full(record: ShadowRecord) -> None:
        raise BadInputError("the disk is full")

    async def trial() -> Shadow:
        shadow = Shadow("a" * 64, Scripted(), Guard(), full)  # type: ignore[arg-type]
        for number in range(3):
            shadow.show(champion(number, "golden", "sure"), "sure", frame("golden"))
        await shadow.finish()
        return shadow

    assert asyncio.run(trial()).stats().bakes == 3


def test_without_a_certificate_that_stands_everything_is_escalated_when_told_to(tmp_path: Path) -> None:
    promised = Promised({"burnt": 0.05}, 0.05, date(2026, 5, 1))
    sure = Classification("golden", ZERO, 0.99, True, "", 1.0, "measured")
    for when, decision, share in (("mark", "sure", 0.0), ("escalate", "withdrawn", 1.0)):
        guard = Guard(promised=promised, today=lambda: date(2026, 5, 2), when_withdrawn=when_withdrawn_of(when))
        assert guard.certificate == "expired"
        assert (guard.rule(sure, FRAME).decision, guard.sure_share) == (decision, share)
    stands = Guard(promised=promised, today=lambda: date(2026, 5, 1), when_withdrawn="escalate")
    assert (stands.rule(sure, FRAME).decision, stands.sure_share) == ("sure", 0.0)
    none = Guard(when_withdrawn="escalate")  # nothing was promised: the gate's thresholds decide
    assert none.rule(msgspec.structs.replace(sure), FRAME).decision == "sure"
    with pytest.raises(BadInputError, match="mark or escalate, not 'ignore'"):
        when_withdrawn_of("ignore")
