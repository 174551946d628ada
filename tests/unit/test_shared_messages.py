"""Messages and topics: round trips, unknown fields, hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadInputError
from shared.messages import BakeVerdict, CharLocation, Response, decode, encode
from shared.topics import Line, check_name, parse_request, shared_requests

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)

VERDICT = BakeVerdict("golden", 0.93, False, "even browning", 0.01, CharLocation("rim", 3), 0.8)


def test_a_response_survives_the_wire_and_unknown_fields() -> None:
    response = Response("00" * 16, 2, "w1", VERDICT)
    wire = encode(response)
    assert decode(wire, Response, "response") == response
    newer = wire[:-1] + b',"added_in_1_1":{"x":[1]}}'
    assert decode(newer, Response, "response") == response


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[" * 100_000,
        encode(Response("00" * 16, 2, "w1", VERDICT)).replace(b"0.93", b"1.93"),
        encode(Response("00" * 16, 2, "w1", VERDICT)).replace(b'"hour":3', b'"hour":13'),
        encode(Response("00" * 16, 2, "w1", VERDICT)).replace(b'"rim"', b'"roof"'),
        b"\xff" * 40,
    ],
)
def test_what_is_no_response_is_refused(payload: bytes) -> None:
    with pytest.raises(BadInputError, match=r"^response: "):
        decode(payload, Response, "response", max_bytes=1 << 20)


def test_a_long_payload_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BadInputError, match="at most 65536"):
        decode(b" " * 65_537, Response, "response")


@given(names, names, names, names)
def test_request_topics_round_trip(task: str, priority: str, site: str, gateway: str) -> None:
    if site in ("req", "rsp", "worker"):
        with pytest.raises(BadInputError):
            Line.of(site, gateway)
        return
    line = Line.of(site, gateway)
    assert parse_request(line.request(task, priority)) == (task, priority, line)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "$SYS", "a b", "x" * 65, "ä", "a\n", "-a"])
def test_names_that_could_escape_their_level_are_refused(name: str) -> None:
    with pytest.raises(BadInputError):
        check_name(name, "site")


@pytest.mark.parametrize("topic", ["", "cw/1/req/pizza", "cw/2/req/a/b/c/d", "cw/1/req/a/b/c/d/e", "cw/1/req/a/+/c/d"])
def test_other_topics_are_no_requests(topic: str) -> None:
    with pytest.raises(BadInputError):
        parse_request(topic)


def test_the_shared_subscription_is_the_documented_one() -> None:
    assert shared_requests("pizza") == "$share/workers/cw/1/req/pizza/+/+/+"
