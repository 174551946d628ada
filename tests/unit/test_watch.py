"""The watch over a certificate: few false withdrawals, breaches found, drift named, strangers told from the family."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.devices.model import DEFAULT_MODEL
from edge.gate import load_gate
from edge.watch.audit import LabelState, RiskAudit
from edge.watch.drift import DriftWatch, watched_figures
from edge.watch.familiar import fit_familiarity
from edge.watch.features import FEATURES, frame_features
from edge.watch.guard import Guard, Promised
from edge.watch.reference import fit_reference, load_reference, save_reference
from shared.errors import BadInputError
from shared.intervals import wilson
from shared.messages import Classification

ALPHA, DELTA, SHARE = 0.02, 0.05, 0.1


def audited_stream(rng: np.random.Generator, count: int, miss_rate: float) -> list[str | None]:
    """What the audit sees of `count` burnt items: None for an unsure one, the label an audited one passed as."""
    seen: list[str | None] = []
    for _ in range(count):
        u = rng.random()
        sure, wrong = u < 0.7, u < miss_rate
        if not sure:
            seen.append(None)
        elif rng.random() < SHARE:
            seen.append("golden" if wrong else "burnt")
    return seen


def withdrawn_after(seen: list[str | None]) -> int | None:
    audit = RiskAudit({"burnt": ALPHA}, DELTA, SHARE)
    for number, passed_as in enumerate(seen):
        if audit.observe("burnt", passed_as):
            return number
    return None


def test_a_promise_that_just_holds_is_withdrawn_in_at_most_delta_of_the_runs() -> None:
    rng = np.random.default_rng(1)
    withdrawn = sum(withdrawn_after(audited_stream(rng, 4000, ALPHA)) is not None for _ in range(400))
    assert wilson(withdrawn, 400).low <= DELTA


def test_a_broken_promise_is_found() -> None:
    rng = np.random.default_rng(2)
    found = [withdrawn_after(audited_stream(rng, 4000, 5 * ALPHA)) for _ in range(50)]
    assert all(number is not None for number in found)


def test_the_finding_names_label_and_rate() -> None:
    audit = RiskAudit({"burnt": ALPHA, "raw": ALPHA}, DELTA, SHARE)
    findings = [audit.observe("burnt", "golden" if i % 4 == 0 else None) for i in range(200)]
    finding = next(finding for finding in findings if finding)
    assert sum(finding is not None for finding in findings) == 1
    assert finding.label == "burnt"
    assert finding.rate > ALPHA
    assert not audit.holds()
    assert audit.refuted("burnt")
    assert not audit.refuted("raw")
    assert audit.observe("golden", "burnt") is None  # no promise about golden


@given(
    st.lists(st.tuples(st.sampled_from(["burnt", "raw", "dark"]), st.sampled_from([None, "burnt", "raw"])), max_size=80)
)
def test_the_state_survives_a_restart(bakes: list[tuple[str, str | None]]) -> None:
    promises = {"burnt": ALPHA, "raw": 0.1}
    whole = RiskAudit(promises, DELTA, SHARE)
    parts = RiskAudit(promises, DELTA, SHARE)
    for truth, passed_as in bakes:
        stored = msgspec.json.decode(msgspec.json.encode(parts.state), type=dict[str, LabelState])
        parts = RiskAudit(promises, DELTA, SHARE, stored)
        assert whole.observe(truth, passed_as) == parts.observe(truth, passed_as)
    assert whole.state == parts.state
    assert all(min(label.wealth) >= 0 for label in whole.state.values())


def test_drift_is_quiet_while_nothing_moves_and_names_what_did() -> None:
    rng = np.random.default_rng(3)
    watch = DriftWatch(rng.normal(size=(1000, 3)), ("brightness", "sharpness", "colour"), limit=1e5)
    assert not any(watch.observe(rng.normal(size=3)) for _ in range(20_000))
    moved = [drift for i in range(400) for drift in watch.observe(rng.normal(size=3) + np.array([0, -1.5, 0]))]
    assert [drift.figure for drift in moved] == ["sharpness"]
    assert moved[0].now < moved[0].usual
    assert moved[0].frames < 20_000 + 60
    assert "sharpness fell" in str(moved[0])
    watch.restart()
    assert not any(watch.observe(rng.normal(size=3)) for _ in range(1000))


def test_a_spread_that_grows_is_found_too() -> None:
    rng = np.random.default_rng(4)
    watch = DriftWatch(rng.normal(size=(1000, 1)), ("brightness",))
    assert any(watch.observe(2.5 * rng.normal(size=1)) for _ in range(600))


def textures(rng: np.random.Generator, count: int, warm: float) -> NDArray[np.uint8]:
    """Noise around a colour: a family of pictures that have something in common."""
    base = np.array([120 + warm, 90, 60], float) + rng.normal(0, 8, (count, 1, 1, 3))
    return np.clip(base + rng.normal(0, 12, (count, 24, 24, 3)), 0, 255).astype(np.uint8)


def test_strangers_are_told_from_the_family() -> None:
    rng = np.random.default_rng(5)
    family = fit_familiarity(textures(rng, 1200, 40))
    unfamiliar = sum(not family.is_familiar(frame) for frame in textures(rng, 600, 40))
    assert wilson(unfamiliar, 600).low < 0.02
    grey = np.repeat(rng.integers(0, 256, (20, 24, 24, 1), np.uint8), 3, axis=3)
    assert not any(family.is_familiar(frame) for frame in grey)
    assert not any(family.is_familiar(frame) for frame in textures(rng, 20, -60))
    assert not family.is_familiar(np.zeros((24, 24, 3), np.uint8))


@given(st.integers(0, 10_000), st.sampled_from([0, 255]))
@settings(max_examples=30, deadline=None)
def test_features_of_any_frame_are_finite(seed: int, flat: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 256, (3, 16, 16, 3), np.uint8)
    frames[1] = flat
    frames[2] = 255 * (np.indices((16, 16)).sum(axis=0) % 2)[:, :, None]
    features = frame_features(frames)
    assert features.shape == (3, len(FEATURES))
    assert np.isfinite(features).all()
    figures = watched_figures(features, np.array([[-128, 127]] * 3, np.int8), 0.1, np.ones(3))
    assert np.isfinite(figures).all()


LOGITS, GATE = np.zeros((1200, 5), np.int8), load_gate(DEFAULT_MODEL / "gate.json")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x93NUMPY", None])
def test_a_reference_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "reference.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInputError, match="not a reference"):
        load_reference(path)


def test_a_reference_is_read_back_and_one_of_other_features_refused(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    made = fit_reference(textures(np.random.default_rng(6), 1200, 40), LOGITS, GATE)
    save_reference(made, path)
    again = load_reference(path)
    assert again.familiarity.limit == made.familiarity.limit
    np.testing.assert_allclose(again.figures, made.figures, rtol=1e-6)
    with np.load(path) as stored:
        parts = {name: stored[name] for name in stored.files}
    np.savez(path, **{**parts, "mean": parts["mean"][:-1]})
    with pytest.raises(BadInputError, match="other features"):
        load_reference(path)
    with pytest.raises(BadInputError, match="at least"):
        fit_familiarity(np.zeros((10, 24, 24, 3), np.uint8))


def classified(*, sure: bool, label: str = "burnt") -> Classification:
    return Classification(label, (0, 0, 0, 0, 10), 0.9, sure, "made up", 1.0, "measured")


def test_the_guard_audits_a_share_of_the_sure_and_ends_a_broken_promise(tmp_path: Path) -> None:
    state = tmp_path / "guard.json"
    promised = Promised({"burnt": ALPHA}, DELTA, date(2027, 1, 1))

    def guard(today: date = date(2026, 11, 23)) -> Guard:
        return Guard(promised=promised, audit_share=SHARE, state=state, today=lambda: today, rng=random.Random(1))

    one = guard()
    frame = np.zeros((24, 24, 3), np.uint8)
    drawn = [one.rule(classified(sure=True), frame).decision for _ in range(2000)]
    assert set(drawn) == {"sure", "audit"}
    assert wilson(drawn.count("audit"), 2000).low < SHARE < wilson(drawn.count("audit"), 2000).high
    assert one.rule(classified(sure=False), frame).decision == "unsure"
    assert one.certificate == "valid"
    assert guard(date(2027, 1, 2)).certificate == "expired"
    for _ in range(20):
        one.learned(classified(sure=True, label="golden"), "audit", "burnt")
    assert one.certificate == "withdrawn"
    assert "burnt" in one.alarms[0]
    one.kept.write_now()
    assert guard().certificate == "withdrawn"  # after a restart as well
    assert guard().alarms == one.alarms
    state.write_text("not a state")
    with pytest.raises(BadInputError, match="not a guard"):
        guard()


def test_the_guard_escalates_strangers_and_reports_drift() -> None:
    rng = np.random.default_rng(7)
    family = textures(rng, 1200, 40)
    logits = np.tile(np.array([0, 0, 0, 0, 10], np.int8), (1200, 1))
    reference = fit_reference(family, logits, GATE)
    guard = Guard(reference=reference, logit_scale=GATE.logit_scale)
    assert guard.rule(classified(sure=True), np.zeros((24, 24, 3), np.uint8)).decision == "policy"
    decisions = [guard.rule(classified(sure=True), frame).decision for frame in textures(rng, 300, 40)]
    assert decisions.count("sure") > 280
    for frame in textures(rng, 400, 60):
        guard.rule(classified(sure=True), frame)
    assert any("red-green rose" in alarm for alarm in guard.alarms), guard.alarms
    assert guard.certificate == "none"
