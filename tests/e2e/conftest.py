"""Brokers and a device for the tests of the whole line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from line_scene import KINDS, TASK

from edge.devices import Device, open_device
from shared.broker import EmbeddedBroker


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with open_device("reference") as opened:
        opened.set_thresholds([65_535] * len(TASK.labels))  # never sure: everything is escalated
        yield opened
