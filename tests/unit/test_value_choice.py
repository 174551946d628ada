"""Values are chosen by what errs least, labels by what is likeliest."""

from __future__ import annotations

import torch
from spatial_folder import qwen_tokenizer_file
from torch import Tensor

from cloud.spatial_mllm.tokenizer import load_tokenizer
from cloud.value_choice import ValueChoice
from cloud.vocabulary import build_tokenizer
from shared.task import load_task

TOKENIZER = build_tokenizer(load_task("pizza"))
ROWS = TOKENIZER.get_vocab_size()


def logits(shares: dict[str, float]) -> Tensor:
    """[1, V]: -inf where no share is given."""
    row = torch.full((1, ROWS), -torch.inf)
    for text, share in shares.items():
        row[0, TOKENIZER.token_to_id(text)] = torch.tensor(share).log()
    return row


def said(shares: dict[str, float]) -> str:
    return str(TOKENIZER.id_to_token(int(ValueChoice(TOKENIZER, ROWS)(logits(shares))[0])))


def test_the_median_is_stated_not_the_mode() -> None:
    assert said({"0": 0.34, "1": 0.22, "2": 0.22, "3": 0.22}) == "1"
    assert said({"0": 0.6, "1": 0.2, "2": 0.2}) == "0"
    assert said({"7": 0.1, "8": 0.2, "9": 0.19, "10": 0.11, "30": 0.4}) == "10"  # by value, not by token id
    assert said({"0": 1e-9, "100": 1.0}) == "100"


def test_an_hour_is_the_middle_of_the_likeliest_part_of_the_clock() -> None:
    hours = dict.fromkeys(map(str, range(1, 13)), 1e-6)
    assert said(hours | {"12": 0.2, "1": 0.25, "11": 0.19, "6": 0.26, "null": 0.1}) == "12"
    assert said(hours | {"3": 0.15, "4": 0.2, "5": 0.15, "null": 0.45}) == "4"  # an hour is likelier than none
    assert said(hours | {"3": 0.2, "4": 0.2, "null": 0.6}) == "null"


def test_no_char_is_stated_only_where_it_is_twice_as_likely_as_char() -> None:
    assert said({"none": 0.6, "rim": 0.25, "centre": 0.15}) == "rim"
    assert said({"none": 0.45, "rim": 0.2, "centre": 0.35}) == "centre"
    assert said({"none": 0.68, "rim": 0.2, "centre": 0.12}) == "none"
    assert said({"rim": 0.4, "centre": 0.6}) == "centre"


def test_a_row_that_may_say_anything_is_left_to_the_likeliest() -> None:
    row = torch.full((1, ROWS), -9.0)
    row[0, TOKENIZER.token_to_id("golden")] = 0.0
    assert int(ValueChoice(TOKENIZER, ROWS)(row)[0]) == TOKENIZER.token_to_id("golden")


def test_labels_and_other_vocabularies_are_left_to_the_likeliest() -> None:
    assert said({"raw": 0.3, "golden": 0.4, "burnt": 0.3}) == "golden"
    tokenizer = load_tokenizer(qwen_tokenizer_file())
    choice = ValueChoice(tokenizer, 151_936)  # digits are tokens of parts of numbers there
    row = torch.full((1, 151_936), -torch.inf)
    for digit, share in (("0", 0.34), ("1", 0.22), ("2", 0.22), ("3", 0.22)):
        row[0, tokenizer.token_to_id(digit)] = torch.tensor(share).log()
    assert int(choice(row)[0]) == tokenizer.token_to_id("0")
