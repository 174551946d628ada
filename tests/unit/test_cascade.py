"""Edge and cloud together, on made-up answers whose outcome can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.comparison.cascade import ALL, EdgeAnswers, cascade, text_of
from edge.comparison.cloud_answers import CANNOT_TELL, CloudAnswers, read_cloud_answers
from edge.devices.model import DEFAULT_MODEL
from edge.gate import load_gate
from shared.errors import BadInputError
from shared.task import load_task

TASK, GATE = load_task("pizza"), load_gate(DEFAULT_MODEL / "gate.json")


def logits_of(said: np.ndarray, lead: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(said), 5), np.int8)
    rows[np.arange(len(said)), said] = lead
    return rows


def made_up(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and logits of an edge that is right where it is sure."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, count)
    lead = rng.integers(1, 120, count)
    wrong = rng.random(count) < 0.5 * (lead < 40)
    return truth, logits_of(np.where(wrong, (truth + 1) % 5, truth), lead)


def test_the_cloud_s_word_counts_where_it_is_asked_and_can_tell() -> None:
    truth, logits = made_up(1000, 1)
    answers = CloudAnswers(3000, truth, np.where(np.arange(1000) % 10 == 0, CANNOT_TELL, truth), truth.copy())
    every = np.repeat(logits[:, None], 8, axis=1)
    report = cascade(GATE, TASK, made_up(1000, 2)[::-1], EdgeAnswers(logits, every), answers, 0.4)
    edge = (logits.argmax(axis=1) == truth).mean()
    assert report["edge"]["share"] == pytest.approx(edge, abs=1e-4)
    assert report["controls"]["edge, mean over all frames"]["share"] == pytest.approx(edge, abs=1e-4)
    assert report["controls"]["cloud on every bake"]["share"] == 0.9
    for name, row in report["gates"].items():
        if name != "gate.json":
            assert row["escalated"]["share"] <= 0.4, name
    top, chance = report["gates"]["fixed top score"], report["gates"]["random"]
    escalated = logits.max(axis=1) < np.quantile(logits.max(axis=1), 0.4)
    final = np.where(escalated & (answers.clip != CANNOT_TELL), truth, logits.argmax(axis=1))
    assert top["accuracy"]["share"] == pytest.approx((final == truth).mean(), abs=0.02)
    assert top["above_edge"][1] > chance["above_edge"][2]
    assert report["gates"][ALL]["accuracy"]["share"] >= top["accuracy"]["share"] - 0.03
    assert "cloud on every bake" in text_of(report)


def test_answers_without_a_critical_bake_have_no_share_of_misses() -> None:
    golden = np.full(20, TASK.index("golden"))
    logits = logits_of(golden, np.full(20, 90))
    answers = CloudAnswers(3000, golden, golden, golden)
    report = cascade(GATE, TASK, made_up(100, 2)[::-1], EdgeAnswers(logits, logits[:, None]), answers, 0.4)
    assert report["gates"]["gate.json"]["critical_missed"]["share"] is None
    assert "none" in text_of(report)


def test_answers_are_read_as_the_cloud_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = [
        {"id": "1", "truth": {"doneness": "raw"}, "clip": {"doneness": None, "cannot_tell": True}, "one_frame": {}},
        {"id": "0", "truth": {"doneness": "dark"}, "clip": {"doneness": "dark"}, "one_frame": {"doneness": "burnt"}},
    ]
    head = {"run": {"bench": "bakes", "seed": 9}}
    path.write_text("\n".join(json.dumps(line) for line in [head, *rows]))
    found = read_cloud_answers(path, TASK)
    assert (found.seed, found.truth.tolist(), found.clip.tolist()) == (9, [3, 0], [3, CANNOT_TELL])
    assert found.one_frame.tolist() == [4, CANNOT_TELL]


HEAD = '{"run": {"bench": "bakes", "seed": 1}}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"run": {"bench": "vsibench", "seed": 1}}\n{"id": "0"}',
        HEAD,
        HEAD + '\n{"id": "1", "truth": {"doneness": "raw"}, "clip": {}, "one_frame": {}}',
        HEAD + '\n{"id": "0", "truth": {"doneness": "tea"}, "clip": {}, "one_frame": {}}',
        HEAD + '\n{"id": "0", "truth": 3, "clip": {}, "one_frame": {}}',
    ],
)
def test_other_files_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(BadInputError):
        read_cloud_answers(path, TASK)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_cloud_answers(tmp_path / "none", TASK)


def test_a_file_of_bytes_is_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b"\xff" + bytes(range(128, 228)) * 20)
    with pytest.raises(BadInputError, match="no answers of") as raised:
        read_cloud_answers(path, TASK)
    assert "\\x" not in str(raised.value)
    assert len(str(raised.value)) < 400
