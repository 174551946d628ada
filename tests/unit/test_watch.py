"""The watch over a certificate: few false withdrawals, breaches found, drift named, strangers told from the family."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.watch.audit import LabelState, RiskAudit
from edge.watch.drift import DriftWatch, watched_figures
from edge.watch.familiar import fit_familiarity, load_familiarity, save_familiarity
from edge.watch.features import FEATURES, frame_features
from shared.errors import BadInputError
from shared.intervals import wilson

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


def test_strangers_are_told_from_the_family(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    fitted = fit_familiarity(textures(rng, 1200, 40))
    save_familiarity(fitted, tmp_path / "reference.npz")
    family = load_familiarity(tmp_path / "reference.npz")
    assert family.limit == fitted.limit
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


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x93NUMPY", None])
def test_a_reference_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "reference.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInputError, match="not a reference"):
        load_familiarity(path)


def test_a_reference_of_other_features_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "reference.npz", mean=np.zeros(2), whitening=np.eye(2), reference=np.zeros((1, 2)), limit=1.0)
    with pytest.raises(BadInputError, match="other features"):
        load_familiarity(tmp_path / "reference.npz")
    with pytest.raises(BadInputError, match="at least"):
        fit_familiarity(np.zeros((10, 24, 24, 3), np.uint8))
