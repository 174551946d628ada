"""The small model's vocabulary: words of the prompt, fragments and values of the answer, the chat's special tokens.

It is an ordinary `tokenizer.json` of the tokenizers library, so text becomes ids and ids become text on the same
route as with the full-size model's vocabulary. Its fragments make a whole answer 16 tokens long, and every value
that the answer may hold is one token.
"""

from __future__ import annotations

import re
from typing import get_args

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from cloud.answer import BLISTER_MAX_MM, CRUST_MAX_MM, form_of
from cloud.spatial_mllm.prompts import chat_prompt
from cloud.spatial_mllm.tokenizer import SPECIAL
from shared.messages import CharPlace
from shared.task import Task

UNKNOWN = "<unk>"

FRAGMENTS = (
    '{"doneness":"',
    '","burnt_percent":',
    ',"char":"',
    '","hour":',
    ',"evenness_percent":',
    ',"crust_mm":',
    ',"blister_mm":',
    "}",
)
PLACES = get_args(CharPlace)
_WORD = r" ?[A-Za-z]+| ?[0-9]+|\n| |[^\sA-Za-z0-9]"


def question_of(task: Task) -> str:
    """The text that follows the frames."""
    return f"{task.prompt.question}\n{task.prompt.instruction}"


def prompt_question(task: Task, tokenizer: Tokenizer) -> str:
    """The question as a checkpoint with this vocabulary is asked it.

    A vocabulary that holds the answer's fragments belongs to a model trained on the bare question, which knows the
    form; any other, such as the published ones, is told the form as well.
    """
    question = question_of(task)
    return question if tokenizer.token_to_id(FRAGMENTS[0]) is not None else f"{question}\n{form_of(task)}"


def build_tokenizer(task: Task) -> Tokenizer:
    """The vocabulary for `task`: its labels, its prompt's words and the answer's fragments and values."""
    numbers = {*range(101), *range(CRUST_MAX_MM + 1), *range(BLISTER_MAX_MM + 1)}
    split = "|".join([*(re.escape(fragment) for fragment in FRAGMENTS), _WORD])
    scaffold = chat_prompt(question_of(task))
    for special in SPECIAL:
        scaffold = scaffold.replace(special, "\x00")
    words = [word for part in scaffold.split("\x00") for word in re.findall(split, part)]
    entries = [*SPECIAL, UNKNOWN, *FRAGMENTS, *task.labels, *PLACES, "null", *map(str, sorted(numbers)), *words]
    vocabulary = {entry: index for index, entry in enumerate(dict.fromkeys(entries))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(split), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(special, special=True, normalized=False) for special in SPECIAL])
    return tokenizer
