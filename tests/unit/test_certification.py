"""The certificate keeps its word: exact bounds, a simulated population, the device's own integers, a signature."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from math import comb
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.certification.assumptions import assumptions
from edge.certification.bounds import miss_p_values, smallest_sample, upper_bound
from edge.certification.certificate import (
    Certificate,
    EscalationRate,
    Promise,
    Sample,
    load_certificate,
    save_certificate,
    sign,
    signed_bytes,
)
from edge.certification.path import threshold_path
from edge.certification.procedure import certify, check_sample, passes
from edge.certification.promises import parse_promises
from edge.gate.integer import NEVER_ALONE, GateTable, exponential_table
from shared.errors import BadInputError
from shared.intervals import wilson
from shared.pki.keys import load_or_create_key
from shared.task import load_task

TASK = load_task("pizza")
LABELS = 5
TABLE = GateTable(exponential_table(0.05, 1.0), (0,) * LABELS)


@dataclass(frozen=True)
class Population:
    """Many items of a made-up classifier: what a calibration sample is drawn from, and where the truth is known."""

    logits: NDArray[np.int8]  # [N, labels]
    truth: NDArray[np.int64]  # [N]


def population(seed: int, count: int = 200_000, noise: float = 28.0) -> Population:
    """Ordered labels whose neighbours are confused, as with doneness."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, LABELS, count)  # [N]
    seen = truth + rng.normal(0, 0.35, count)  # [N]
    distance = np.abs(seen[:, None] - np.arange(LABELS))  # [N, labels]
    logits = 60 - 70 * distance + rng.normal(0, noise, (count, LABELS))
    return Population(np.clip(np.rint(logits), -128, 127).astype(np.int8), truth)


def miss_rates(tau: tuple[int, ...], people: Population, labels: tuple[int, ...]) -> dict[int, float]:
    """True miss rate of each label under thresholds `tau`."""
    sure = passes(TABLE, np.array([tau]), people.logits)[0]  # [N]
    wrong = sure & (people.logits.argmax(axis=1) != people.truth)
    return {label: float(wrong[people.truth == label].mean()) for label in labels}


def test_the_promise_is_broken_in_at_most_delta_of_a_thousand_calibrations() -> None:
    people = population(1)
    alphas, delta, draws = {0: 0.03, 4: 0.02}, 0.1, 1000
    rng = np.random.default_rng(2)
    broken, escalated = 0, []
    for _ in range(draws):
        chosen = rng.integers(0, len(people.truth), 1600)
        logits, truth = people.logits[chosen], people.truth[chosen]
        path = threshold_path(TABLE, logits[:400], truth[:400], alphas)
        found = certify(TABLE, path, logits[400:], truth[400:], alphas, delta)
        rates = miss_rates(found.tau_q15, Population(people.logits[:20_000], people.truth[:20_000]), (0, 4))
        if any(rates[label] > 0.8 * alpha for label, alpha in alphas.items()):  # only then look closely
            rates = miss_rates(found.tau_q15, people, (0, 4))
        broken += any(rates[label] > alpha for label, alpha in alphas.items())
        escalated.append(found.escalated / found.n)
    assert wilson(broken, draws).low <= delta, f"broken in {broken} of {draws}"
    assert broken > 0, "a bound that is never reached wastes escalations"
    assert float(np.mean(escalated)) < 0.9


def test_a_test_without_the_exact_tail_would_break_the_promise() -> None:
    """The plug-in rule (observed misses at most alpha) breaks its promise often: the test above can fail."""
    people = population(1)
    alphas = {0: 0.03, 4: 0.02}
    rng = np.random.default_rng(3)
    broken = 0
    for _ in range(100):
        chosen = rng.integers(0, len(people.truth), 1600)
        logits, truth = people.logits[chosen], people.truth[chosen]
        path = threshold_path(TABLE, logits[:400], truth[:400], alphas)
        predicted, sure = logits[400:].argmax(axis=1), passes(TABLE, path, logits[400:])
        kept = [
            all(
                (sure[k] & (predicted != truth[400:]))[truth[400:] == label].mean() <= alpha
                for label, alpha in alphas.items()
            )
            for k in range(len(path))
        ]
        last = len(path) - 1 if all(kept) else kept.index(False) - 1
        rates = miss_rates(tuple(int(t) for t in path[last]), people, (0, 4))
        broken += any(rates[label] > alpha for label, alpha in alphas.items())
    assert wilson(broken, 100).low > 0.1


@given(seed=st.integers(0, 10_000), noise=st.floats(0, 120), count=st.integers(400, 3000))
@settings(max_examples=40, deadline=None)
def test_the_path_only_ever_lets_more_pass(seed: int, noise: float, count: int) -> None:
    people = population(seed, count, noise)
    path = threshold_path(TABLE, people.logits, people.truth, {0: 0.02, 4: 0.05})
    assert (path[0] == NEVER_ALONE).all()
    assert (np.diff(path, axis=0) <= 0).all()
    assert ((path <= 32768) | (path == NEVER_ALONE)).all()
    sure = passes(TABLE, path, people.logits)
    assert not sure[0].any()
    assert (sure[1:] | ~sure[:-1]).all()


def test_every_item_is_decided_as_the_device_decides_it() -> None:
    people = population(5, 2000)
    path = threshold_path(TABLE, people.logits[:500], people.truth[:500], {0: 0.05, 4: 0.05})
    found = certify(TABLE, path, people.logits[500:], people.truth[500:], {0: 0.05, 4: 0.05}, 0.05)
    device = GateTable(TABLE.lut, found.tau_q15)
    sure = passes(TABLE, np.array([found.tau_q15]), people.logits)[0]
    assert [device.decide(row).sure for row in people.logits] == sure.tolist()


@given(n=st.integers(1, 400), data=st.data(), delta=st.floats(0.001, 0.5))
@settings(deadline=None)
def test_bounds_are_the_exact_binomial(n: int, data: st.DataObject, delta: float) -> None:
    misses = data.draw(st.integers(0, n))
    bound = upper_bound(misses, n, delta)
    tail = sum(comb(n, k) * bound**k * (1 - bound) ** (n - k) for k in range(misses + 1))
    assert bound == 1.0 if misses == n else tail == pytest.approx(delta, rel=1e-6)
    p_value = float(miss_p_values(np.array([misses]), n, 0.1)[0])
    assert p_value == pytest.approx(sum(comb(n, k) * 0.1**k * 0.9 ** (n - k) for k in range(misses + 1)), rel=1e-9)


@given(alpha=st.floats(0.002, 0.5), delta=st.floats(0.01, 0.4), misses=st.integers(0, 5))
@settings(deadline=None)
def test_the_smallest_sample_is_the_smallest(alpha: float, delta: float, misses: int) -> None:
    n = smallest_sample(alpha, delta, misses)
    assert upper_bound(misses, n, delta) <= alpha * (1 + 1e-9)
    assert n == 1 or upper_bound(misses, n - 1, delta) > alpha * (1 - 1e-9)


def test_too_small_a_sample_is_refused_with_the_size_that_would_do() -> None:
    truth = np.repeat(np.arange(LABELS), 100)
    with pytest.raises(BadInputError, match=r"burnt: 100 items .* at least 299 are needed"):
        check_sample(truth, {4: 0.01}, 0.05, TASK.labels)
    check_sample(truth, {4: 0.03}, 0.05, TASK.labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("burnt", "LABEL=RATE"),
        ("burnt=0", "LABEL=RATE"),
        ("burnt=1", "LABEL=RATE"),
        ("burnt=nan", "LABEL=RATE"),
        ("burnt=x", "LABEL=RATE"),
        ("", "LABEL=RATE"),
        ("charcoal=0.1", "no label 'charcoal'"),
        ("burnt=0.1,burnt=0.2", "twice"),
    ],
)
def test_promises_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_promises(text, TASK)


def test_promises_name_labels_of_the_task() -> None:
    assert parse_promises(" burnt=0.01, raw=0.02", TASK) == {4: 0.01, 0: 0.02}


CERTIFICATE = Certificate(
    schema=1,
    task="pizza",
    labels=TASK.labels,
    model_sha256="0" * 64,
    gate_table_sha256="1" * 64,
    tau_q15=(20_000, 30_000, NEVER_ALONE, 0, 32_768),
    delta=0.05,
    promises=(Promise("burnt", 0.01, 600, 1, 0.0079),),
    escalation=EscalationRate(0.3, 0.28, 0.32, 3000),
    sample=Sample("rendered seed 2000", 1000, 3000, "2" * 64),
    issued=date(2026, 11, 1),
    expires=date(2027, 5, 1),
    ends_when=("the model changes",),
)


def test_a_certificate_is_read_back_and_any_change_is_found(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path / "keys" / "key.pem")
    path = tmp_path / "certificate.json"
    signed = sign(CERTIFICATE, key)
    save_certificate(signed, path)
    assert load_certificate(path, signed.public_key) == signed
    assert (tmp_path / "keys" / "key.pem").stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    for old, new in (("20000", "10000"), ("2027-05-01", "2037-05-01"), ('"alpha": 0.01', '"alpha": 0.001')):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(BadInputError, match="signature"):
            load_certificate(path)


def test_certificates_from_before_assumptions_keep_their_signature() -> None:
    assert b"assumes" not in signed_bytes(CERTIFICATE)
    assumed = msgspec.structs.replace(CERTIFICATE, assumes=assumptions(None, 0.05))
    assert b"drawn by itself" in signed_bytes(assumed)


def test_a_certificate_says_that_items_of_one_group_are_alike() -> None:
    alone, grouped = assumptions(np.arange(6), 0.05), assumptions(np.array([7, 7, 7, 8, 8, 8]), 0.05)
    assert alone == assumptions(None, 0.05)
    assert "6 items come from 2 groups" in grouped[1]
    assert "less than 0.95" in grouped[1]


def test_a_stranger_s_certificate_is_refused_where_the_signer_is_known(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    save_certificate(sign(CERTIFICATE, Ed25519PrivateKey.generate()), path)
    trusted = sign(CERTIFICATE, load_or_create_key(tmp_path / "key.pem")).public_key
    with pytest.raises(BadInputError, match="signed by"):
        load_certificate(path, trusted)


@given(
    text=st.binary(max_size=300)
    | st.builds(lambda v: json.dumps(v).encode(), st.recursive(st.none() | st.integers() | st.text(), st.lists))
)
@settings(max_examples=60)
def test_hostile_certificates_raise_one_kind_of_error(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("hostile") / "certificate.json"
    path.write_bytes(text)
    with pytest.raises(BadInputError):
        load_certificate(path)


def test_a_key_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("not a key")
    with pytest.raises(BadInputError, match="not an Ed25519 private key"):
        load_or_create_key(tmp_path / "key.pem")
