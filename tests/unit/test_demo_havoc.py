"""The demo's chaos: what it cannot heal ends the demo instead of leaving it waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge.demo.havoc import Havoc
from shared.errors import CrustwatchError


class Part:
    """Gateway, worker, broker and observer in one, all of them up; the broker never comes back."""

    pid = 1
    name = "w-1"
    workers = ("w-1",)
    finals = 1000
    kind = "mosquitto"

    async def pass_bakes(self, *_: object) -> None:
        await asyncio.Event().wait()

    def has_seen(self, *_: object) -> bool:
        return False

    def kill(self) -> None:
        pass

    def start(self) -> None:
        raise CrustwatchError("mosquitto could not bind")


def test_a_broker_that_does_not_come_back_ends_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge.demo.havoc.os.kill", lambda *_: None)
    part: Any = Part()
    havoc = Havoc(1, 30, part, part, part, part, lambda words: None)

    async def scenario() -> None:
        items: Any = None
        async with asyncio.timeout(60):
            await havoc.pass_bakes(items, tmp_path / "outbox.db")

    with pytest.raises(CrustwatchError, match="could not bind"):
        asyncio.run(scenario())
    assert havoc.killed["broker"] == 1
