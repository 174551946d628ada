"""The integer gate: the same decisions as the float gate, and the properties that the firmware relies on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.gate.fitting import fit_gate, fit_temperature, fit_threshold, softmax
from edge.gate.integer import NEVER_ALONE, Q15, GateTable, exponential_table
from shared.errors import BadInputError

LOGITS = st.lists(st.integers(-128, 127), min_size=2, max_size=8)
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy


def sharp_logits(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Int8 [rows, 5] that cover near ties and clear winners."""
    spread = rng.uniform(1, 60, (rows, 1))
    return np.clip(np.rint(rng.normal(0, 1, (rows, 5)) * spread), -128, 127).astype(np.int8)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.97])
def test_the_integer_gate_decides_as_the_float_gate(share: float) -> None:
    scale, temperature = 0.0835, 1.31
    table = GateTable(exponential_table(scale, temperature), (round(share * Q15),) * 5)
    logits = sharp_logits(np.random.default_rng(7), 5_000)
    probability = softmax(logits, scale, temperature)  # float64 [5000, 5]
    expected = probability.max(axis=1) >= table.tau_q15[0] / Q15
    differing = int((table.sure(logits) != expected).sum())
    assert differing == 0
    assert 0.02 < expected.mean() < 0.98  # both decisions are in the sample
    assert np.abs(table.probabilities_q15(logits) / Q15 - probability.max(axis=1)).max() < 3e-4


@patient
@given(LOGITS, st.integers(0, Q15), st.floats(0.005, 0.5), st.floats(0.3, 5.0))
def test_one_row_and_many_rows_agree(row: list[int], tau: int, scale: float, temperature: float) -> None:
    table = GateTable(exponential_table(scale, temperature), (tau,) * len(row))
    decision = table.decide(row)
    rows = np.array([row], np.int8)
    assert decision.label == int(rows.argmax(axis=1)[0])
    assert decision.probability_q15 == table.probabilities_q15(rows)[0]
    assert decision.sure == table.sure(rows)[0] == (decision.probability_q15 >= tau)
    assert Q15 // len(row) <= decision.probability_q15 <= Q15


@patient
@given(LOGITS, st.integers(0, Q15), st.integers(0, Q15))
def test_a_higher_threshold_never_makes_it_surer(row: list[int], one: int, two: int) -> None:
    lut = exponential_table(0.05, 1.0)
    low, high = (GateTable(lut, (tau,) * len(row)).decide(row).sure for tau in sorted((one, two)))
    assert low >= high


@patient
@given(LOGITS)
def test_never_alone_is_never_sure(row: list[int]) -> None:
    assert not GateTable(exponential_table(5.0, 0.1), (NEVER_ALONE,) * len(row)).decide(row).sure


def test_each_label_has_its_own_threshold() -> None:
    table = GateTable(exponential_table(0.05, 1.0), (0, NEVER_ALONE))
    assert table.decide([5, 4]).sure
    assert not table.decide([4, 5]).sure


@pytest.mark.parametrize(
    ("lut", "taus"),
    [
        ((Q15,) * 255, (0,)),
        ((Q15 - 1,) * 256, (0,)),
        ((Q15, 5, 6, *(0,) * 253), (0,)),
        ((Q15, *(0,) * 255), (Q15 + 1,)),
        ((Q15, *(0,) * 255), (-1,)),
    ],
)
def test_impossible_tables_are_refused(lut: tuple[int, ...], taus: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError):
        GateTable(lut, taus)


def test_the_number_of_logits_must_fit() -> None:
    with pytest.raises(BadInputError, match="2 logits for 1"):
        GateTable(exponential_table(0.1, 1.0), (0,)).decide([1, 2])


def sampled(temperature: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax at `temperature`: the truth that fitting must find."""
    rng = np.random.default_rng(3)
    logits = sharp_logits(rng, rows)
    cumulative = softmax(logits, 0.1, temperature).cumsum(axis=1)
    labels = (rng.random((rows, 1)) > cumulative).sum(axis=1).clip(0, 4)
    return logits, labels.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_fitted_temperature_is_the_one_that_made_the_labels(temperature: float) -> None:
    logits, labels = sampled(temperature)
    assert fit_temperature(logits, labels, 0.1) == pytest.approx(temperature, rel=0.05)


def test_the_threshold_is_the_least_escalation_for_the_target() -> None:
    probability = np.array([900, 800, 800, 700, 600, 500], np.int64)
    correct = np.array([True, True, False, True, True, False])
    assert fit_threshold(probability, correct, 0.25) == 600  # 1 wrong of 5; with 500 it is 2 of 6
    assert fit_threshold(probability, correct, 0.0) == 900  # 800 takes both equals, one of them wrong
    assert fit_threshold(probability, correct, 1.0) == 500
    assert fit_threshold(probability, np.zeros(6, bool), 0.1) == NEVER_ALONE


def test_a_fitted_gate_keeps_its_target_on_its_own_sample() -> None:
    logits, labels = sampled(1.4, 4_000)
    gate = fit_gate(logits, labels, logit_scale=0.1, target_error=0.05, data="rendered", seed=2000)
    sure = gate.table().sure(logits)
    wrong = logits.argmax(axis=1) != labels
    assert gate.fitted_on.selective_error == pytest.approx(wrong[sure].mean())
    assert gate.fitted_on.selective_error <= 0.05
    assert gate.fitted_on.escalation_rate == pytest.approx((~sure).mean())
    with pytest.raises(BadInputError, match="at least one bake"):
        fit_gate(logits[:0], labels[:0], logit_scale=0.1, target_error=0.05, data="rendered", seed=2000)
