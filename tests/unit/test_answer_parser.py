"""The answer's strict parser: what it accepts, what it refuses, and that it never invents a finding."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.answer import (
    BLISTER_MAX_MM,
    CRUST_MAX_MM,
    MAX_CHARACTERS,
    Answer,
    AnswerError,
    Findings,
    cannot_tell,
    doneness_span,
    parse_answer,
    verdict_of,
)
from shared.messages import BakeVerdict, Provenance, decode, encode
from shared.task import load_task

TASK = load_task("pizza")
GOOD = Answer("golden", 12, "rim", 3, 85, 18, 4)
WHENCE = Provenance("small", "00", "11", (0, 1), True, "sdpa", "cpu", 0.1)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    place = draw(st.sampled_from(("none", "rim", "centre")))
    return Answer(
        doneness=draw(st.sampled_from(TASK.labels)),
        burnt_percent=draw(st.integers(0, 100)),
        char=place,
        hour=None if place == "none" else draw(st.none() | st.integers(1, 12)),
        evenness_percent=draw(st.integers(0, 100)),
        crust_mm=draw(st.integers(0, CRUST_MAX_MM)),
        blister_mm=draw(st.integers(0, BLISTER_MAX_MM)),
    )


@given(answers())
def test_what_is_written_is_read_back(answer: Answer) -> None:
    assert parse_answer(answer.text(), TASK) == answer


@given(answers(), st.sampled_from((" {} ", "```json\n{}\n```", "```\n{}```", "\n{}\n")))
def test_space_and_one_code_fence_are_accepted(answer: Answer, form: str) -> None:
    assert parse_answer(form.replace("{}", answer.text()), TASK) == answer


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@example("[" * MAX_CHARACTERS)
@example('{"a":' * 400)
@example("9" * MAX_CHARACTERS)
@example("NaN")
@example("```")
@example("``````")
def test_any_text_is_an_answer_or_a_named_error(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(text, TASK)


@given(answers(), st.data())
def test_no_truncated_answer_is_accepted(answer: Answer, data: st.DataObject) -> None:
    text = answer.text()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(AnswerError):
        parse_answer(text[:cut], TASK)


@given(
    answers(),
    st.sampled_from(Answer.__struct_fields__),
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.lists(st.integers()),
)
def test_a_wrong_value_is_refused_or_within_its_range(answer: Answer, name: str, value: object) -> None:
    fields = json.loads(answer.text())
    fields[name] = value
    try:
        read = parse_answer(json.dumps(fields), TASK)
    except AnswerError:
        return
    verdict = verdict_of(Findings(read, 0.5), WHENCE)
    decode(encode(verdict), BakeVerdict, "round trip")  # raises when a finding is out of its range


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("The pizza is golden.", "not JSON"),
        (GOOD.text() + GOOD.text(), "not JSON"),
        (GOOD.text().replace("golden", "crispy"), "crispy"),
        (GOOD.text().replace('"burnt_percent":12', '"burnt_percent":101'), "burnt_percent"),
        (GOOD.text().replace('"burnt_percent":12', '"burnt_percent":12.5'), "burnt_percent"),
        (GOOD.text().replace('"burnt_percent":12', '"burnt_percent":"12"'), "burnt_percent"),
        (GOOD.text().replace('"hour":3', '"hour":13'), "hour"),
        (GOOD.text().replace('"rim"', '"none"'), "contradicts"),
        (GOOD.text().replace('"rim"', '"edge"'), "char"),
        (GOOD.text().replace(',"blister_mm":4', ""), "blister_mm"),
        (GOOD.text().replace("}", ',"taste":"good"}'), "taste"),
        (GOOD.text().replace("}", ',"doneness":"raw"}'), "twice"),
        (GOOD.text().replace("12", "NaN"), "NaN"),
        ("[" + GOOD.text() + "]", "form"),
        (" " * (MAX_CHARACTERS + 1), "characters"),
    ],
)
def test_each_rule_has_its_own_reason(text: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        parse_answer(text, TASK)


@given(answers())
def test_doneness_span_is_where_the_label_stands(answer: Answer) -> None:
    for text in (answer.text(), "```json\n" + json.dumps(json.loads(answer.text()), indent=2) + "\n```"):
        start, end = doneness_span(text, parse_answer(text, TASK))
        assert text[start:end] == answer.doneness
        assert text[start - 1] == text[end] == '"'


def test_verdict_carries_each_finding() -> None:
    verdict = verdict_of(Findings(GOOD, 0.9), WHENCE)
    assert (verdict.doneness, verdict.confidence, verdict.cannot_tell) == ("golden", 0.9, False)
    assert (verdict.burnt_fraction, verdict.evenness) == (0.12, 0.85)
    assert verdict.char is not None
    assert (verdict.char.where, verdict.char.hour) == ("rim", 3)
    assert verdict.relief is not None
    assert (verdict.relief.crust_height_mm, verdict.relief.blister_height_mm) == (18.0, 4.0)
    assert "golden" in verdict.rationale
    assert "3 o'clock" in verdict.rationale
    assert verdict.provenance == WHENCE


def test_cannot_tell_holds_no_finding() -> None:
    verdict = cannot_tell("the answer is empty", WHENCE)
    assert verdict.cannot_tell
    assert verdict.confidence == 0
    assert verdict.rationale == "the answer is empty"
    assert {verdict.doneness, verdict.burnt_fraction, verdict.char, verdict.evenness, verdict.relief} == {None}
