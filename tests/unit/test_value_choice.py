"""Values are chosen by what errs least, labels by what is likeliest."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from spatial_folder import qwen_tokenizer_file
from torch import Tensor

from cloud.spatial_mllm.tokenizer import load_tokenizer
from cloud.value_choice import ValueChoice
from cloud.vocabulary import build_tokenizer
from shared.task import load_task

TOKENIZER = build_tokenizer(load_task("pizza"))
ROWS = TOKENIZER.get_vocab_size()
BELL = {off: math.exp(-0.5 * (off / 12) ** 2) / (12 * math.sqrt(2 * math.pi)) for off in range(-60, 61)}  # by degree


def logits(shares: dict[str, float]) -> Tensor:
    """[1, V]: -inf where no share is given."""
    row = torch.full((1, ROWS), -torch.inf)
    for text, share in shares.items():
        row[0, TOKENIZER.token_to_id(text)] = torch.tensor(share).log()
    return row


def said(shares: dict[str, float]) -> str:
    return str(TOKENIZER.id_to_token(int(ValueChoice(TOKENIZER, ROWS)(logits(shares)).tokens[0])))


def direction(hours: list[float]) -> float:
    """Degrees that shares of the hours 1 to 12 stand for."""
    shares = {str(hour): max(share, 1e-9) for hour, share in enumerate(hours, start=1)}
    return ValueChoice(TOKENIZER, ROWS)(logits(shares | {"null": 1e-9})).directions[0]


def near_share(hours: list[float], place: int) -> float:
    """How much of `hours` lies within 30 degrees of `place`, each spread over the degrees around it."""
    return sum(
        share * BELL[off] * (0.5 if apart == 30 else 1.0)
        for hour, share in enumerate(hours, start=1)
        for off in BELL
        if (apart := abs((30 * hour + off - place + 180) % 360 - 180)) <= 30
    )


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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12).filter(lambda shares: sum(shares) > 0.1))
def test_the_direction_is_the_likeliest_to_be_near(hours: list[float]) -> None:
    """Against adding up what is near, of every degree that an hour's share is spread over."""
    told = direction(hours)
    near = {place: near_share(hours, place) for place in range(360)}
    assert near_share(hours, round(told)) >= max(near.values()) - 0.01 * sum(hours)  # degrees in steps of two
    shares = {str(hour): max(share, 1e-9) for hour, share in enumerate(hours, start=1)}
    hour = said(shares | {"null": 1e-9})
    assert abs((told - 30 * int(hour) + 180) % 360 - 180) < 15  # text and degrees agree


def test_directions_turn_with_the_hours_and_lie_between_them() -> None:
    one = [0.0] * 12
    one[3 - 1] = 1.0
    assert direction(one) == 90
    two = [0.0] * 12
    two[3 - 1], two[4 - 1] = 0.5, 0.5
    assert direction(two) == pytest.approx(105, abs=2)
    two[11 - 1] = 0.4  # elsewhere, and less likely than both together
    for turn in range(12):
        turned = two[-turn:] + two[:-turn]
        assert direction(turned) == pytest.approx((direction(two) + 30 * turn) % 360, abs=1e-6)


def test_no_direction_without_an_hour() -> None:
    hours = dict.fromkeys(map(str, range(1, 13)), 1e-6)
    choice = ValueChoice(TOKENIZER, ROWS)
    assert choice(logits(hours | {"null": 0.9})).directions == {}
    assert choice(logits({"none": 0.2, "rim": 0.5, "centre": 0.3})).directions == {}
    assert choice(torch.cat((logits({"7": 1.0, "8": 1.0}), logits(hours | {"null": 1e-6})))).directions.keys() == {1}


def test_no_char_is_stated_only_where_it_is_twice_as_likely_as_char() -> None:
    assert said({"none": 0.6, "rim": 0.25, "centre": 0.15}) == "rim"
    assert said({"none": 0.45, "rim": 0.2, "centre": 0.35}) == "centre"
    assert said({"none": 0.68, "rim": 0.2, "centre": 0.12}) == "none"
    assert said({"rim": 0.4, "centre": 0.6}) == "centre"


def test_a_row_that_may_say_anything_is_left_to_the_likeliest() -> None:
    row = torch.full((1, ROWS), -9.0)
    row[0, TOKENIZER.token_to_id("golden")] = 0.0
    assert int(ValueChoice(TOKENIZER, ROWS)(row).tokens[0]) == TOKENIZER.token_to_id("golden")


def test_labels_and_other_vocabularies_are_left_to_the_likeliest() -> None:
    assert said({"raw": 0.3, "golden": 0.4, "burnt": 0.3}) == "golden"
    tokenizer = load_tokenizer(qwen_tokenizer_file())
    choice = ValueChoice(tokenizer, 151_936)  # digits are tokens of parts of numbers there
    row = torch.full((1, 151_936), -torch.inf)
    for digit, share in (("0", 0.34), ("1", 0.22), ("2", 0.22), ("3", 0.22)):
        row[0, tokenizer.token_to_id(digit)] = torch.tensor(share).log()
    assert int(choice(row).tokens[0]) == tokenizer.token_to_id("0")
