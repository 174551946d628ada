"""The usual rules by their formulas, and a comparison in which a gate that knows the critical labels must win."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.comparison.compare import OURS, compare, text_of
from edge.comparison.curves import Outcomes, curve_of, escalation_at_miss, miss_at_escalation, passed_by_score
from edge.comparison.rules import RULES, cross_entropy, ibt
from edge.devices.model import DEFAULT_MODEL
from edge.gate import load_gate
from shared.task import load_task

probabilities = st.lists(st.floats(0.001, 1.0), min_size=5, max_size=5).map(lambda row: [v / sum(row) for v in row])


@given(row=probabilities, threshold=st.floats(0.001, 0.999))
def test_sedna_s_rules_are_their_formulas(row: list[float], threshold: float) -> None:
    p = np.array([row])
    hard = 1 + sum(v * math.log(v) for v in row) / math.log(5) < threshold
    assert bool(cross_entropy(p)[0] < threshold) == hard
    t_img = 0.5
    hard = sum(v <= threshold for v in row) / len(row) >= 1 - t_img
    assert bool(ibt(p)[0] <= threshold) == hard
    assert bool(RULES["fixed top score"](p)[0] < threshold) == (max(row) < threshold)


def test_no_rule_is_a_number_on_certain_predictions() -> None:
    certain = np.eye(5)
    for rule in RULES.values():
        assert np.isfinite(rule(certain)).all()


@given(st.integers(0, 1000))
def test_curves_fall_from_everything_passed_to_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong, critical = rng.random(300) < 0.2, rng.random(300) < 0.3
    passed = passed_by_score(rng.random(300))
    curve = curve_of(passed, Outcomes(wrong, wrong & critical, critical))
    assert passed[0].all()
    assert not passed[-1].any()
    assert (np.diff(curve.escalated) >= 0).all()
    assert (np.diff(curve.miss_rate) <= 0).all()
    assert miss_at_escalation(curve, 0.0) == pytest.approx((wrong & critical).sum() / critical.sum())
    assert escalation_at_miss(curve, 1.0) == 0.0


def test_knowing_what_is_critical_saves_escalations() -> None:
    task, gate = load_task("pizza"), load_gate(DEFAULT_MODEL / "gate.json")
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 5, 6000)
    seen = truth + rng.normal(0, 0.45, 6000)
    logits = 60 - 60 * np.abs(seen[:, None] - np.arange(5)) + rng.normal(0, 10, (6000, 5))
    rows = np.clip(np.rint(logits), -128, 127).astype(np.int8)
    report = compare(gate, task, (rows[:3000], truth[:3000]), (rows[3000:], truth[3000:]))
    low = report["fewer_escalations_than_best"]["0.01"][1]
    assert low > 1.1
    assert report["rules"][OURS]["escalation_at_miss"]["0.01"][0] < 1
    assert report["less_than_best"]["misses"]["0.2"][1] > 0
    assert report["less_than_best"]["errors"]["0.2"][0] > -0.003
    assert "times fewer escalations" in text_of(report)
