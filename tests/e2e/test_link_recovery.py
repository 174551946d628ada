"""The end of a long outage, scaled down: order, completeness, bounds. `make bench-link` has the figures."""

from __future__ import annotations

import bench_recovery
import pytest

from shared.broker.mosquitto import find_mosquitto


@pytest.mark.skipif(find_mosquitto() is None, reason="the bench needs mosquitto")
def test_a_backlog_drains_in_order_while_the_belt_goes_on() -> None:
    figures = bench_recovery.measure(queued=600, outage_s=60, live_per_s=20.0, clip_bytes=3000)
    assert figures.missing == 0
    assert figures.doubled == 0
    assert figures.out_of_order == 0
    assert figures.live_bakes > 0
    assert figures.live_p50_ms < 1e3 * figures.drain_s / 2, "live bakes waited for the backlog"
    assert figures.gateway_mb_peak - figures.gateway_mb_before < 64
