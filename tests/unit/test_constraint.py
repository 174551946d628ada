"""Answers under a schema always parse, in either vocabulary, alone and in a batch; every right one can be said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spatial_folder import qwen_tokenizer_file, write_folder
from tokenizers import Tokenizer

from cloud.answer import BLISTER_MAX_MM, CRUST_MAX_MM, Answer, answer_schema, longest_answer, parse_answer
from cloud.constraint import SchemaGrammar
from cloud.engine import Engine
from cloud.loading import load_checkpoint
from cloud.spatial_mllm.tokenizer import load_tokenizer, text_ids, token_id
from cloud.taken import Taken
from cloud.vocabulary import build_tokenizer
from shared.errors import BadInputError
from shared.task import Task, load_task

torch.set_num_threads(1)
TASKS = [load_task(name) for name in ("pizza", "elpv")]
WORDS = build_tokenizer(TASKS[0])
QWEN = load_tokenizer(qwen_tokenizer_file())


def grammar(tokenizer: Tokenizer, rows: int) -> SchemaGrammar:
    return SchemaGrammar(tokenizer, rows, [token_id(tokenizer, "<|im_end|>"), token_id(tokenizer, "<|endoftext|>")])


GRAMMARS = {"words": (WORDS, grammar(WORDS, 165)), "qwen": (QWEN, grammar(QWEN, 151_936))}


def says(name: str, task: Task, text: str) -> bool:
    """Whether the schema lets the vocabulary write `text` and then end."""
    tokenizer, known = GRAMMARS[name]
    constraint = known.constraint(answer_schema(task), 1)
    for token in [*text_ids(tokenizer, text), token_id(tokenizer, "<|im_end|>")]:
        if not bool(constraint.allowed(torch.device("cpu"))[0, token]):
            return False
        constraint.take(torch.tensor([token]), torch.tensor([False]))
    return constraint._ended == [True]


ANSWERS = st.builds(
    Answer,
    st.sampled_from(TASKS[0].labels),
    st.integers(0, 100),
    st.sampled_from(["rim", "centre"]),
    st.none() | st.integers(1, 12),
    st.integers(0, 100),
    st.integers(0, CRUST_MAX_MM),
    st.integers(0, BLISTER_MAX_MM),
) | st.builds(
    Answer, st.sampled_from(TASKS[0].labels), st.integers(0, 100), st.just("none"), st.none(), *[st.integers(0, 30)] * 3
)


@settings(max_examples=40, deadline=None)
@given(ANSWERS)
def test_every_answer_can_be_said(answer: Answer) -> None:
    assert parse_answer(answer.text(), TASKS[0]) == answer
    assert len(answer.text()) <= longest_answer(TASKS[0])
    for name in GRAMMARS:
        assert says(name, TASKS[0], answer.text())


@pytest.mark.parametrize(
    "text",
    [
        '{"doneness":"well","burnt_percent":1,"char":"rim","hour":1,"evenness_percent":1,"crust_mm":1,"blister_mm":1}',
        '{"doneness":"dark","burnt_percent":101,"char":"rim","hour":1,"evenness_percent":1,"crust_mm":1,"blister_mm":1}',
        '{"doneness":"dark","burnt_percent":1,"char":"none","hour":1,"evenness_percent":1,"crust_mm":1,"blister_mm":1}',
        '{"doneness":"dark","burnt_percent":1,"char":"rim","hour":13,"evenness_percent":1,"crust_mm":1,"blister_mm":1}',
        '{"doneness":"dark","burnt_percent":01,"char":"rim","hour":1,"evenness_percent":1,"crust_mm":1,"blister_mm":1}',
        '{"burnt_percent":1,"doneness":"dark","char":"rim","hour":1,"evenness_percent":1,"crust_mm":1,"blister_mm":1}',
        '{"doneness": "dark"',
        '{"doneness":"dark"}',
        "dark",
    ],
)
def test_what_does_not_parse_cannot_be_said(text: str) -> None:
    assert not says("qwen", TASKS[0], text)


@pytest.mark.parametrize("vocabulary", ["pizza", "qwen"])
def test_random_weights_still_give_valid_verdicts(tmp_path: Path, vocabulary: str) -> None:
    """Models that know nothing, two tasks: a verdict that parses each time, with the confidence it deserves."""
    for seed in range(2):
        engine = Engine(load_checkpoint(write_folder(tmp_path / str(seed), vocabulary=vocabulary, seed=seed)))
        random = np.random.default_rng(seed)
        clips = [
            Taken([random.integers(0, 256, (50, 70 + 9 * k, 3), dtype=np.uint8) for _ in range(n)], list(range(n)))
            for k, n in enumerate((1, 4, 9))
        ]
        for task in TASKS if vocabulary == "qwen" else TASKS[:1]:
            verdicts = engine.verdicts(clips, task)
            for clip, verdict in zip(clips, verdicts, strict=True):
                assert not verdict.cannot_tell
                assert verdict.doneness in task.labels
                assert verdict.confidence < 0.5
                alone = engine.verdict(clip.frames, clip.times_s, task)
                assert (alone.rationale, alone.doneness) == (verdict.rationale, verdict.doneness)


def test_an_impossible_schema_is_named() -> None:
    with pytest.raises(BadInputError, match="no grammar"):
        GRAMMARS["words"][1].constraint({"type": "nonsense"}, 1)


def test_a_vocabulary_without_the_words_of_a_task_says_so() -> None:
    """The small model's words are those of pizzas: it cannot spell another task's labels, and must not pretend to."""
    constraint = GRAMMARS["words"][1].constraint(answer_schema(TASKS[1]), 1)

    def write() -> None:
        for _ in range(200):
            allowed = constraint.allowed(torch.device("cpu"))
            constraint.take(allowed.int().argmax(dim=1), torch.tensor([False]))

    with pytest.raises(BadInputError, match="cannot write the answers of this task"):
        write()
