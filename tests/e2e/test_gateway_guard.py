"""Guard and budget in a running gateway: what an outsider sees of an audit, a broken promise and a limit."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

from line_scene import LINE, TASK, RuleEngine, bakes, gateway, outsider, worker

from edge.budget import Governor, Limits
from edge.budget.spending import Budget
from edge.budget.value import Valuer
from edge.devices import Device, open_device
from edge.devices.model import DEFAULT_MODEL
from edge.gate import load_gate
from edge.watch.guard import Guard, Promised
from shared.broker import EmbeddedBroker
from shared.messages import GatewayStats, decode

# RuleEngine answers "dark" to everything, so with a promise on dark each audit of another label is a miss.
PROMISED = Promised({"dark": 0.05}, 0.05, date(2100, 1, 1))


def test_an_audit_finds_a_broken_promise_and_the_certificate_ends(broker: EmbeddedBroker, tmp_path: Path) -> None:
    async def scenario() -> None:
        guard = Guard(promised=PROMISED, audit_share=1.0, state=tmp_path / "guard.json")
        with open_device("reference") as device:
            device.set_thresholds([0] * len(TASK.labels))  # always sure
            async with (
                outsider(broker) as seen,
                worker(broker, RuleEngine()),
                gateway(broker, device, tmp_path, guard=guard) as (line, _),
            ):
                stats = await line.run(bakes(30))
                assert (stats.finals, stats.escalated, stats.audited) == (30, 30, 30)
                assert stats.certificate == "withdrawn"
                await seen.until(lambda: len(seen.verdicts("final")) == 30)
                assert {v.reason for v in seen.verdicts("provisional")} == {"audit"}
                assert seen.verdicts("provisional")[0].certified is True
                assert seen.verdicts("provisional")[-1].certified is False
                last = decode(seen.on(LINE.stats)[-1].payload, GatewayStats, "")
                assert "dark" in last.alarms[0]

    asyncio.run(scenario())


def test_a_limit_makes_marked_edge_verdicts_and_nothing_is_lost(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        governor = Governor(Limits(escalations_per_hour=3, reserve=0.0), tmp_path / "budget.json")
        budget = Budget(governor, Valuer(load_gate(DEFAULT_MODEL / "gate.json"), TASK))
        async with (
            outsider(broker) as seen,
            worker(broker, RuleEngine()),
            gateway(broker, device, tmp_path, budget=budget) as (line, _),
        ):
            stats = await line.run(bakes(10))
            assert (stats.bakes, stats.finals, stats.escalated, stats.over_budget) == (10, 10, 3, 7)
            await seen.until(lambda: len(seen.verdicts("final")) == 10)
            reasons = sorted(v.reason for v in seen.verdicts("final"))
            assert reasons == ["budget"] * 7 + ["escalated"] * 3
            assert len({v.id for v in seen.verdicts("final")}) == 10

    asyncio.run(scenario())
