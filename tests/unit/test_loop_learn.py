"""Learning from verdicts alone, in a small world of blobs: a shift is learnt, wrong labels and odd stores are not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from store_scene import TASK, bake_id, bake_row

from edge.certification.certificate import load_certificate
from edge.gate.integer import GateTable
from edge.learning.epoch import EpochReport
from edge.learning.evaluation import integer_logits
from edge.learning.frames import FrameSet
from edge.learning.model_folder import read_model
from edge.learning.parts import Parts
from edge.learning.settings import Settings
from edge.loop import learn as learning
from edge.loop.evidence import proof_of
from edge.loop.learn import Learned, Plan, learn
from edge.loop.parts import lessons_of, part_of
from edge.loop.rows import LabelRow
from edge.loop.store import Store
from edge.watch.features import frame_features
from edge.watch.reference import load_reference
from shared.errors import BadInputError
from shared.images import encode_jpeg

SIZE = 24
WORLD = msgspec.structs.replace(
    TASK,
    labels=("raw", "golden", "burnt"),
    critical=("raw", "burnt"),
    rejected=("raw", "burnt"),
    input=msgspec.structs.replace(TASK.input, size_px=SIZE),
)
ALPHAS = {0: 0.1, 2: 0.1}
KEY = Ed25519PrivateKey.generate()


class Quiet:
    def stage(self, text: str, total: int) -> Callable[[int], None]:
        return lambda steps: None

    def epoch(self, report: EpochReport) -> None:
        pass


def pictures(labels: NDArray[np.int64], seed: int, light: float) -> NDArray[np.uint8]:
    """A disc on a plate, the darker the more it is baked, under a light: uint8 [N, 1, S, S, 3]."""
    rng, count = np.random.default_rng(seed), len(labels)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    centre = rng.normal(0, 1.5, (count, 2, 1, 1))
    disc = (x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 < rng.uniform(60, 90, (count, 1, 1))  # [N, S, S]
    crust = np.clip(190 - 50 * labels[:, None, None] + rng.normal(0, 18, (count, 1, 1)), 75, 240)
    grey = np.where(disc, crust, 120) + rng.normal(0, 12, (count, SIZE, SIZE))  # [N, S, S]
    tint = np.where(disc, (crust - 70) / 120, 1.0)[..., None] ** np.array([0.0, 0.4, 0.8])  # [N, S, S, 3]
    return np.clip(grey[..., None] * tint * light, 0, 255).astype(np.uint8)[:, None]


def bakes(count: int, seed: int, light: float = 1.0) -> FrameSet:
    labels = np.random.default_rng(seed + 1000).integers(0, 3, count)
    return FrameSet(seed, pictures(labels, seed, light), labels, "blobs")


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from edge.learning.pipeline import train_model

    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("champion")
    settings = Settings(shape="8,8,16/2", epochs=8, batch=32, calibration_bakes=100, learning_rate=1e-2)
    parts = Parts(bakes(500, 1), bakes(250, 2), bakes(200, 3))
    train_model(settings, WORLD, parts, out, resume=False, reporter=Quiet())
    return out


@pytest.fixture(autouse=True)
def own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_trusted_parts", lambda task, plan, reporter: (bakes(200, 4), bakes(300, 5)))


def fill(
    folder: Path, data: FrameSet, said: NDArray[np.int64], *, sure: NDArray[np.bool_] | None = None, audit: float = 1.0
) -> Store:
    """A store as a gateway leaves it: all bakes, or the unsure ones and a share of the sure; the cloud has `said`."""
    store, rng = Store.begin(folder, WORLD), np.random.default_rng(9)
    rows, words = [], []
    for number, frame in enumerate(data.key_frames):
        audited = sure is not None and bool(sure[number])
        if audited and rng.random() >= audit:
            continue
        jpeg = encode_jpeg(frame)
        row = bake_row(
            number,
            decision="audit" if audited else "unsure",
            share=audit if audited else 1.0,
            sure_share=audit,
            frames=1,
            key=0,
            frame_bytes=len(jpeg),
            seen=frame.tobytes(),
        )
        place = store._place(row.id)
        place.mkdir(parents=True)
        (place / "0.jpg").write_bytes(jpeg)
        rows.append(msgspec.structs.asdict(row))
        words.append(msgspec.structs.asdict(LabelRow(row.id, "cloud", WORLD.labels[said[number]], 0.9, "w", "", 1)))
    store._bakes.append(rows)
    store._labels.append(words)
    return store


def noisy(labels: NDArray[np.int64], share: float = 0.03) -> NDArray[np.int64]:
    rng = np.random.default_rng(8)
    return np.where(rng.random(len(labels)) < share, rng.integers(0, 3, len(labels)), labels)


def taught(store: Store, champion: Path, out: Path, **changes: Any) -> Learned:
    plan = Plan(**{"alphas": ALPHAS, "epochs": 5, "learning_rate": 1e-2, **changes})
    return learn(store, champion, WORLD, plan, out, KEY, reporter=Quiet(), resume=changes.get("resume", False))


def test_a_shift_is_learnt_from_verdicts_alone(champion: Path, tmp_path: Path) -> None:
    dim = bakes(700, 7, light=0.6)
    store = fill(tmp_path / "store", dim, noisy(dim.labels))
    learned = taught(store, champion, tmp_path / "new")
    figures = learned.figures
    assert learned.accepted, figures["reasons"]
    assert figures["accuracy"]["difference"]["low"] > 0
    assert figures["escalated"]["difference"]["high"] < 0
    assert figures["trusted"]["difference"]["low"] > -0.1
    json.dumps(figures)

    signed = load_certificate(tmp_path / "new" / "certificate.json")
    folder, fresh = read_model(tmp_path / "new"), bakes(3000, 11, light=0.6)
    logits = integer_logits(folder.graph, fresh.key_frames)
    passed = GateTable(folder.gate.lut, signed.certificate.tau_q15).sure(logits)
    wrong = passed & (logits.argmax(axis=1) != fresh.labels)
    for label, alpha in ALPHAS.items():  # of truths that it has never been told
        assert wrong[fresh.labels == label].mean() < alpha
    assert "by the cloud, 0 by people" in signed.certificate.sample.data
    familiar = load_reference(tmp_path / "new" / "reference.npz").familiarity
    assert (familiar.distances(frame_features(fresh.key_frames[:300])) <= familiar.limit).mean() > 0.95
    far = bakes(300, 12, light=0.2)
    assert (familiar.distances(frame_features(far.key_frames)) <= familiar.limit).mean() < 0.5

    first = (tmp_path / "new" / "model.tflite").read_bytes()
    plan = Plan(ALPHAS, epochs=5, learning_rate=1e-2)
    learn(store, champion, WORLD, plan, tmp_path / "new", KEY, reporter=Quiet(), resume=True)
    assert (tmp_path / "new" / "model.tflite").read_bytes() == first


def test_a_store_with_wrong_labels_makes_no_champion(champion: Path, tmp_path: Path) -> None:
    """They are wrong everywhere, also where the challenger is compared: only what is trusted shows it."""
    usual = bakes(400, 7)
    learned = taught(fill(tmp_path / "store", usual, (usual.labels + 1) % 3), champion, tmp_path / "new", epochs=3)
    assert not learned.accepted
    assert any("taught wrongly" in reason for reason in learned.figures["reasons"])


def test_wrong_words_on_a_shift_are_found_by_people_alone(champion: Path, tmp_path: Path) -> None:
    """A model can be right in the old light and wrong in the new one: trusted bakes of the old one do not tell."""
    dim = bakes(400, 7, light=0.6)
    store = fill(tmp_path / "store", dim, (dim.labels + 1) % 3)
    for number in range(12):
        store.add_review(bake_id(number), WORLD.labels[dim.labels[number]], "ann", 1)
    learned = taught(store, champion, tmp_path / "new", epochs=3)
    assert not learned.accepted
    assert any(
        "of 12 bakes that people looked at the cloud called 100% wrongly" in r for r in learned.figures["reasons"]
    )


def test_what_brings_nothing_is_dropped(champion: Path, tmp_path: Path) -> None:
    same = bakes(400, 21)
    store = fill(tmp_path / "store", same, noisy(same.labels))
    learned = taught(store, champion, tmp_path / "new", epochs=1, learning_rate=1e-9)
    assert not learned.accepted
    assert "neither more often right" in " ".join(learned.figures["reasons"])


def test_audited_bakes_certify_by_their_weight_and_unsure_ones_alone_do_not(champion: Path, tmp_path: Path) -> None:
    dim = bakes(1000, 7, light=0.6)
    sure = np.random.default_rng(6).random(1000) < 0.5
    store = fill(tmp_path / "store", dim, noisy(dim.labels), sure=sure, audit=0.4)
    learned = taught(store, champion, tmp_path / "new")
    assert learned.accepted, learned.figures["reasons"]
    assert learned.figures["store"]["certified_on"] == "unsure and audited bakes, weighted"
    assert learned.figures["accuracy"]["challenger"]["n"] < learned.figures["store"]["held_out"]  # weights cost some

    lonely = fill(tmp_path / "lonely", dim, noisy(dim.labels), sure=sure, audit=0.0)
    learned = taught(lonely, champion, tmp_path / "lone", epochs=1)
    assert not learned.accepted
    assert "sure bakes were not looked at" in learned.figures["reasons"][0]


def test_a_complete_time_is_preferred_and_parts_keep_names_together(tmp_path: Path) -> None:
    dim = bakes(700, 7)
    store = fill(tmp_path / "store", dim, dim.labels)
    lessons = lessons_of(store, WORLD)
    proof = proof_of(lessons, ALPHAS, 0.1)
    assert proof.complete
    assert {lessons.parts[item] for item in proof.certifying} == {"held_out"}
    assert {part_of(f"bake-{n}") for n in range(50)} == {"train", "fit", "held_out"}
    shares = [len(lessons.of(part)) / len(lessons) for part in ("train", "fit", "held_out")]
    assert shares == pytest.approx([0.4, 0.2, 0.4], abs=0.06)


@pytest.mark.parametrize("what", ["empty", "one label", "few", "silent", "another task", "another model"])
def test_stores_that_teach_nothing_are_one_line(champion: Path, tmp_path: Path, what: str) -> None:
    data = bakes(30 if what == "few" else 200, 7)
    said = np.zeros(200, np.int64) if what == "one label" else data.labels
    store = Store.begin(tmp_path / "store", WORLD)
    if what != "empty":
        store = fill(tmp_path / "store", data, said)
    words = {
        "empty": "no bake to learn from yet",
        "one label": "at least two labels",
        "few": "at least 50 are needed",
        "another task": "not of pizza",
        "another model": "24 px",
    }
    if what == "silent":
        for number in range(1000, 1100):
            store.add_bake(bake_row(number, seen=data.key_frames[0].tobytes(), frames=0), [])
        learned = taught(store, champion, tmp_path / "new", epochs=1)
        assert any("nobody could tell of 100 of 300" in reason for reason in learned.figures["reasons"])
        return
    task = TASK if what in ("another task", "another model") else WORLD
    if what == "another model":
        store = Store.begin(tmp_path / "other", TASK)
    with pytest.raises(BadInputError, match=words[what]) as raised:
        learn(store, champion, task, Plan(ALPHAS), tmp_path / "new", KEY, reporter=Quiet())
    assert "\n" not in str(raised.value)


def test_a_time_without_audits_is_not_certified_on_and_ends_at_the_newer_one(tmp_path: Path) -> None:
    data = bakes(300, 7)
    store = fill(tmp_path / "store", data, data.labels, sure=np.zeros(300, bool), audit=0.0)
    frame = data.key_frames[0].tobytes()
    for number in range(300, 330):
        store.add_bake(bake_row(number, seen=frame, sure_share=0.1 if number > 309 else 0.0, frames=0), [])
        store.add_review(bake_id(number), "raw", "ann", 1)
    proof = proof_of(lessons_of(store, WORLD), ALPHAS, 0.1)
    assert not proof.complete
    assert proof.certifying.min() >= 310
    assert len(proof.tuning) + len(proof.certifying) <= 20


def test_rows_of_other_programs_are_left_out(tmp_path: Path) -> None:
    data = bakes(100, 7)
    store = fill(tmp_path / "store", data, data.labels)
    odd = [{"share": 0.0}, {"share": float("nan")}, {"sure_share": -1.0}, {"seen": b"cut short"}, {"task": "elpv"}]
    rows = [
        msgspec.structs.asdict(bake_row(1000 + n, **{"seen": data.key_frames[0].tobytes(), **changes}))
        for n, changes in enumerate(odd)
    ]
    store._bakes.append(rows)
    lessons = lessons_of(store, WORLD)
    assert (len(lessons), lessons.unreadable) == (100, 5)


def test_pictures_that_cannot_be_read_cost_no_lesson(champion: Path, tmp_path: Path) -> None:
    data = bakes(200, 7)
    store = fill(tmp_path / "store", data, data.labels)
    for number in range(0, 200, 3):
        with contextlib.suppress(FileNotFoundError):
            store.frame_files(bake_id(number))[0].write_bytes(b"\xff\xd8 not a picture")
    assert taught(store, champion, tmp_path / "new", epochs=1).figures["store"]["labelled"] == 200
