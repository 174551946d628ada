"""How the nine products of a depthwise window are cut into runs between two drains."""

from __future__ import annotations

from firmware_sim.compiler.depthwise_channels import choose_splits


def test_a_layer_that_nobody_reads_has_no_channels_to_split() -> None:
    assert choose_splits([], 4) == []
