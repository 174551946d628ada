"""A challenger beside the champion on a running line: the champion alone decides, an outsider reads the counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from line_scene import LINE, TASK, RuleEngine, bakes, gateway, outsider, worker

from edge.devices import Device
from edge.devices.model import DEFAULT_MODEL
from edge.loop.store import Store
from edge.shadow.opening import open_shadow
from shared.broker import EmbeddedBroker
from shared.messages import GatewayStats, decode


def test_the_challenger_is_counted_and_decides_nothing(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        store = Store.begin(tmp_path / "store", TASK)
        sha256 = device.hello().model_sha256
        shadow = open_shadow(DEFAULT_MODEL, TASK, sha256, write=store.add_shadow, device="reference")
        async with (
            outsider(broker) as seen,
            worker(broker, RuleEngine()),
            gateway(broker, device, tmp_path, shadow=shadow, store=store) as (line, _),
        ):
            stats = await line.run(bakes(12))
            # The champion's thresholds are "never alone"; what the challenger would do changes nothing of that.
            assert (stats.bakes, stats.finals, stats.escalated) == (12, 12, 12)
            assert stats.shadow is not None
            assert (stats.shadow.bakes, stats.shadow.agreed, stats.shadow.champion_escalated) == (12, 12, 12)
            assert (stats.shadow.challenger, stats.shadow.device, stats.shadow.passed_by) == (sha256, "reference", 0)
            await seen.until(lambda: len(seen.verdicts("final")) == 12)
            last = decode(seen.on(LINE.stats)[-1].payload, GatewayStats, "")
            assert last.shadow is not None
            assert last.shadow.bakes > 0
        rows = Store.open(tmp_path / "store").shadows()
        assert {(row.cloud_label, row.challenger_label == row.champion_label) for row in rows} == {("dark", True)}
        assert len(rows) == 12

    asyncio.run(scenario())
