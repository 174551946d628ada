"""A gateway with a store: what it escalates is there with the cloud's word, the late one too, and a person's on top."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import numpy as np
from line_scene import FRAME, TASK, RuleEngine, bakes, gateway, outsider, worker
from PIL import Image
from typer.testing import CliRunner

from edge.budget import Governor, Limits
from edge.budget.spending import Budget
from edge.budget.value import Valuer
from edge.cli import app
from edge.devices import Device
from edge.devices.model import DEFAULT_MODEL
from edge.gate import load_gate
from edge.loop.store import Store
from edge.loop.stored import known_bakes
from edge.watch.guard import Guard
from shared.broker import EmbeddedBroker
from shared.resize import square_resize


def test_escalated_bakes_and_the_words_on_them_are_kept(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    store = Store.begin(tmp_path / "store", TASK)
    guard = Guard(audit_share=0.5, rng=random.Random(5))

    async def scenario() -> int:
        async with (
            worker(broker, RuleEngine()),
            gateway(broker, device, tmp_path, guard=guard, store=store) as (line, _),
        ):
            return (await line.run(bakes(8))).escalated

    escalated = asyncio.run(scenario())
    known = known_bakes(store)
    assert len(known) == escalated > 0
    seen = square_resize(FRAME, TASK.input.size_px)
    for bake in known:
        assert bake.label == "dark"
        assert (bake.row["share"], bake.row["sure_share"]) == (0.5 if bake.row["decision"] == "audit" else 1.0, 0.5)
        assert bake.row["seen"] == seen.tobytes()
        assert len(store.frame_files(bake.row["id"])) == bake.row["frames"] == 3
        edge = device.classify(np.frombuffer(bake.row["seen"], np.uint8).reshape(seen.shape))
        assert (edge.label, edge.probability, list(edge.logits)) == (
            bake.row["label"],
            bake.row["probability"],
            bake.row["logits"],
        )


def test_the_late_word_comes_in_and_so_does_what_a_limit_refused(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    store = Store.begin(tmp_path / "store", TASK)
    budget = Budget(
        Governor(Limits(escalations_per_hour=3, reserve=0.0), None),
        Valuer(load_gate(DEFAULT_MODEL / "gate.json", 5), TASK),
    )
    guard = Guard(audit_share=1.0)

    async def scenario() -> None:
        engine = RuleEngine()
        engine.may_answer.clear()
        async with (
            outsider(broker) as seen,
            worker(broker, engine),
            gateway(broker, device, tmp_path, guard=guard, budget=budget, store=store, deadline_s=0.5) as (line, _),
        ):
            running = asyncio.create_task(line.run(bakes(5, pause=lambda: asyncio.sleep(0.3))))
            await seen.until(lambda: any(v.reason == "timeout" for v in seen.verdicts("final")))
            engine.may_answer.set()
            await running

    asyncio.run(scenario())
    known = known_bakes(store)
    assert len(known) == 5
    assert [bake.label for bake in known if bake.cloud is not None] == ["dark"] * sum(
        bake.cloud is not None for bake in known
    )
    assert 1 <= sum(bake.cloud is None for bake in known) <= 4  # what was over the limit, at least


def test_a_disk_that_refuses_costs_no_verdict(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    store = Store.begin(tmp_path / "store", TASK)
    (tmp_path / "store" / "incoming").rmdir()
    (tmp_path / "store" / "incoming").write_bytes(b"")  # nothing can be put there

    async def scenario() -> None:
        async with (
            worker(broker, RuleEngine()),
            gateway(broker, device, tmp_path, guard=Guard(audit_share=1.0), store=store) as (line, _),
        ):
            stats = await line.run(bakes(3))
            assert stats.finals == 3
            assert any(problem.startswith("store: ") for problem in stats.problems)

    asyncio.run(scenario())


def test_a_person_sees_what_waits_and_has_the_last_word(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = Store.begin(folder, TASK)

    async def scenario() -> None:
        async with (
            worker(broker, RuleEngine()),
            gateway(broker, device, tmp_path, guard=Guard(audit_share=1.0), store=store) as (line, _),
        ):
            await line.run(bakes(3))

    asyncio.run(scenario())
    run = CliRunner().invoke
    result = run(app, ["review", "--store", str(folder), "--list", "--sheet", str(tmp_path / "s.png"), "--json"])
    waiting = json.loads(result.output)
    assert waiting["waiting"] == 3
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (3 * 128, 128 + 28)
    first = waiting["bakes"][0]["id"]
    assert json.loads(run(app, ["review", "--store", str(folder), first[:8], "burnt", "--json"]).output)["id"] == first
    assert json.loads(run(app, ["review", "--store", str(folder), "--list", "--json"]).output)["waiting"] == 2
    assert {bake.row["id"]: bake.label for bake in known_bakes(store)}[first] == "burnt"
    assert "2 bakes wait" in run(app, ["review", "--store", str(folder), "--list"]).output
