"""The escalation request: round trip, and each way in which a hostile or old sender can get it wrong."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import BadInputError
from shared.escalation import BadRequestError, Request, read_request, sender_of
from shared.mqtt import Incoming, Properties
from shared.topics import Line

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy
REQUEST = Request(bytes(range(16)), 3, "pizza", "high", Line.of("plant", "oven"), b"clip", "model-1", 30)


def message(request: Request = REQUEST, topic: str | None = None, **changes: object) -> Incoming:
    properties = dataclasses.replace(request.properties(), **changes)  # type: ignore[arg-type]
    return Incoming(topic or request.topic, request.clip, False, properties)


def user(**changes: str) -> dict[str, str]:
    return {**REQUEST.properties().user, **changes}


def test_round_trip() -> None:
    assert read_request(message()) == REQUEST
    assert sender_of(message()).id == REQUEST.id


def test_unknown_properties_and_minor_versions_are_ignored() -> None:
    assert read_request(message(user=user(schema="1.7", colour="brown"))) == REQUEST


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"response_topic": "cw/1/rsp/plant/other"}, "answers go nowhere else"),
        ({"response_topic": "#"}, "answers go nowhere else"),
        ({"response_topic": None}, "answers go nowhere else"),
        ({"content_type": "text/html"}, "ContentType must be"),
        ({"user": user(schema="2.0")}, "schema '2.0'"),
        ({"user": {}}, "schema ''"),
        ({"user": user(sha256="0" * 64)}, "does not match its sha256"),
        ({"user": user(attempt="0")}, "attempt must be"),
        ({"user": user(attempt="-1")}, "attempt must be"),
        ({"user": user(attempt="9" * 400)}, "attempt must be"),
        ({"user": user(attempt="\u0663")}, "attempt must be"),
    ],
)
def test_a_bad_request_says_why_and_can_be_answered(changes: dict[str, object], words: str) -> None:
    bad = message(**changes)
    assert sender_of(bad).line == REQUEST.line
    with pytest.raises(BadRequestError, match=words):
        read_request(bad)


@pytest.mark.parametrize(
    ("topic", "correlation"),
    [
        ("cw/1/req/pizza/high/plant", REQUEST.id),
        ("cw/1/req/pizza/high/plant/oven/x", REQUEST.id),
        ("cw/1/req/pizza/high/rsp/oven", REQUEST.id),
        ("cw/1/req/pizza/high/../oven", REQUEST.id),
        ("cw/2/req/pizza/high/plant/oven", REQUEST.id),
        (REQUEST.topic, b"short"),
        (REQUEST.topic, None),
    ],
)
def test_who_cannot_be_answered_is_refused(topic: str, correlation: bytes | None) -> None:
    with pytest.raises(BadInputError):
        sender_of(message(topic=topic, correlation=correlation))


@patient
@given(
    st.builds(
        Properties,
        response_topic=st.none() | st.text(max_size=20),
        correlation=st.none() | st.binary(max_size=20),
        expiry_s=st.none() | st.integers(0, 2**32 - 1),
        content_type=st.none() | st.text(max_size=20),
        user=st.dictionaries(st.sampled_from(["schema", "sha256", "attempt", "model"]), st.text(max_size=70)),
    ),
    st.text("cwreq/1+#\0é", max_size=40) | st.just(REQUEST.topic),
    st.binary(max_size=50),
)
def test_any_properties_are_a_request_or_bad_input(properties: Properties, topic: str, payload: bytes) -> None:
    incoming = Incoming(topic, payload, False, properties)
    try:
        sender_of(incoming)
        read_request(incoming)
    except BadInputError:
        pass
