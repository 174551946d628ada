"""Many gateways in one process on one broker, scaled down: each bake one final, none late to the end of the run."""

from __future__ import annotations

import bench_fleet
import pytest

from shared.broker.mosquitto import find_mosquitto


@pytest.mark.skipif(find_mosquitto() is None, reason="the bench needs mosquitto")
def test_a_fleet_on_one_broker_loses_nothing() -> None:
    order = bench_fleet.FleetOrder(0, "", 0, 0, 3.0, 2.0, 0.3, 3000, 500, "NORMAL")
    figures = bench_fleet.measure(order, gateways=15, processes=2)
    assert (figures.missing, figures.doubled, figures.timeouts) == (0, 0, 0)
    assert figures.bakes_per_s > 0
    assert figures.cloud_p50_ms > 0, "no bake went to the cloud"
    assert all(sizes[-1] - sizes[0] < 64 for sizes in figures.memory_mb.values()), figures.memory_mb
