"""The language model's answer: one compact JSON object, its writer and its strict parser.

The same text serves the full-size model, which spells it with the Qwen vocabulary, and the small one, whose
word-level vocabulary (cloud/vocabulary.py) holds its fragments. An answer that breaks a rule is never repaired into
findings: `verdict_of` turns it into `cannot_tell` with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import msgspec

from shared.errors import BadInputError
from shared.messages import BakeVerdict, CharLocation, CharPlace, Hour, Provenance, Relief
from shared.task import Task

MAX_CHARACTERS = 2_048  # a full answer has about 120
EVENNESS_STEP = 5  # percent; what the small model can spell
CRUST_MAX_MM = 60
BLISTER_MAX_MM = 30

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
CrustMm = Annotated[int, msgspec.Meta(ge=0, le=CRUST_MAX_MM)]
BlisterMm = Annotated[int, msgspec.Meta(ge=0, le=BLISTER_MAX_MM)]


class AnswerError(BadInputError):
    """The model's text is not an answer; the message says which rule it breaks."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model says of a bake. Field order is the order of the text: doneness first, as it matters most."""

    doneness: str  # a label of the task
    burnt_percent: Percent  # of the top's area
    char: CharPlace  # where most of the char is
    hour: Hour | None  # its clock sector, 12 in the direction of belt travel; null without char or all round
    evenness_percent: Percent  # 100: baked alike everywhere
    crust_mm: CrustMm  # height of the crust's rim over the belt
    blister_mm: BlisterMm  # height of the blisters over the crust; 0 without blisters

    def text(self) -> str:
        """The compact JSON that the model is trained to write."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True)
class Findings:
    """An answer that was accepted, and what the model's probabilities say beyond its text.

    Attributes:
        answer: the text's content.
        confidence: probability of the doneness label.
        direction_deg: where the char lies towards, clockwise from belt travel; None where only the hour is known.
    """

    answer: Answer
    confidence: float
    direction_deg: float | None = None


def form_of(task: Task) -> str:
    """What a model that was not trained on `Answer` must be told to write one that `parse_answer` accepts."""
    labels = ", ".join(f'"{label}"' for label in task.labels)
    places = ", ".join(f'"{place}"' for place in get_args(CharPlace))
    return (
        "Reply with that JSON object alone and give exactly these fields:\n"
        f'"doneness": one of {labels};\n'
        '"burnt_percent": integer 0 to 100, the charred share of the top;\n'
        f'"char": one of {places};\n'
        '"hour": integer 1 to 12 on a clock face whose 12 points along the belt, or null without char or all round;\n'
        '"evenness_percent": integer 0 to 100, 100 when baked alike everywhere;\n'
        f'"crust_mm": integer 0 to {CRUST_MAX_MM}, height of the rim;\n'
        f'"blister_mm": integer 0 to {BLISTER_MAX_MM}, height of blisters over the crust, 0 without.'
    )


def answer_schema(task: Task) -> dict[str, Any]:
    """JSON schema of exactly the answers that `parse_answer` accepts, fields in the order of `Answer`."""
    hour = {"type": "integer", "minimum": 1, "maximum": 12}
    places = [place for place in get_args(CharPlace) if place != "none"]

    def fields(char: dict[str, Any], hours: dict[str, Any]) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "doneness": {"enum": list(task.labels)},
            "burnt_percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "char": char,
            "hour": hours,
            "evenness_percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "crust_mm": {"type": "integer", "minimum": 0, "maximum": CRUST_MAX_MM},
            "blister_mm": {"type": "integer", "minimum": 0, "maximum": BLISTER_MAX_MM},
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    return {
        "anyOf": [
            fields({"const": "none"}, {"type": "null"}),
            fields({"enum": places}, {"anyOf": [hour, {"type": "null"}]}),
        ]
    }


def longest_answer(task: Task) -> int:
    """Bytes of the longest answer, so many tokens at most and one more to end it."""
    label = max(task.labels, key=lambda name: len(json.dumps(name)))
    place = max(get_args(CharPlace), key=len)
    return len(Answer(label, 100, place, 12, 100, CRUST_MAX_MM, BLISTER_MAX_MM).text().encode()) + len(
        json.dumps(label)
    )


def parse_answer(text: str, task: Task) -> Answer:
    """Read an answer from the model's text.

    Accepted is exactly one JSON object with exactly the fields of `Answer`, bare or in one Markdown code fence.
    Raises AnswerError for anything else: prose, missing, unknown or repeated fields, numbers out of range or not
    integers, a label that `task` does not have, an hour without char.
    """
    if len(text) > MAX_CHARACTERS:
        raise AnswerError(f"the answer has {len(text)} characters, at most {MAX_CHARACTERS} are read")
    body = _unfenced(text.strip())
    if not body:
        raise AnswerError("the answer is empty")
    try:
        fields = json.loads(body, object_pairs_hook=_no_repeats, parse_constant=_no_constants)
    except json.JSONDecodeError as error:
        raise AnswerError(f"the answer is not JSON: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError) as error:  # nesting; integers of over 4,300 digits
        if isinstance(error, AnswerError):
            raise
        raise AnswerError("the answer is not JSON that can be read") from None
    try:
        answer = msgspec.convert(fields, Answer)
    except msgspec.ValidationError as error:
        raise AnswerError(f"the answer breaks its form: {error}") from None
    if answer.doneness not in task.labels:
        raise AnswerError(f"the answer's doneness {answer.doneness!r} is none of {', '.join(task.labels)}")
    if answer.char == "none" and answer.hour is not None:
        raise AnswerError(f"the answer contradicts itself: char 'none' with hour {answer.hour}")
    return answer


def doneness_span(text: str, answer: Answer) -> tuple[int, int]:
    """Start and end character of the doneness label in `text`, which `parse_answer` accepted.

    The probabilities of the tokens that overlap this span are the answer's confidence.
    """
    key = text.index('"doneness"') + len('"doneness"')
    start = text.index('"', text.index(":", key)) + 1
    return start, start + len(answer.doneness)


def verdict_of(findings: Findings, provenance: Provenance) -> BakeVerdict:
    """The verdict that an accepted answer stands for."""
    answer = findings.answer
    return BakeVerdict(
        doneness=answer.doneness,
        confidence=findings.confidence,
        cannot_tell=False,
        rationale=_rationale(answer),
        burnt_fraction=answer.burnt_percent / 100,
        char=CharLocation(answer.char, answer.hour, findings.direction_deg),
        evenness=answer.evenness_percent / 100,
        relief=Relief(float(answer.crust_mm), float(answer.blister_mm)),
        provenance=provenance,
    )


def cannot_tell(reason: str, provenance: Provenance | None) -> BakeVerdict:
    """The verdict when there is no acceptable answer: no findings, no confidence, and the reason."""
    return BakeVerdict(doneness=None, confidence=0.0, cannot_tell=True, rationale=reason, provenance=provenance)


def _rationale(answer: Answer) -> str:
    """One sentence for people, made of the answer's own evidence."""
    where = "all round" if answer.hour is None else f"towards {answer.hour} o'clock"
    char = "no char" if answer.char == "none" else f"char at the {answer.char} {where}"
    blisters = f", blisters {answer.blister_mm} mm" if answer.blister_mm else ""
    return (
        f"{answer.doneness}: {answer.burnt_percent} % burnt, {char}; evenness {answer.evenness_percent} %; "
        f"crust {answer.crust_mm} mm high{blisters}"
    )


def _unfenced(text: str) -> str:
    """`text` without one enclosing Markdown code fence, which chat models like to add."""
    if text.startswith("```") and text.endswith("```") and len(text) >= 6:
        return text[3:-3].removeprefix("json").strip()
    return text


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise AnswerError("the answer names a field twice")
    return fields


def _no_constants(name: str) -> object:
    raise AnswerError(f"the answer holds {name}, which is not JSON")
