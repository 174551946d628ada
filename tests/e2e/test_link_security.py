"""What a hostile broker, a hostile gateway or a stranger tries on a sealed line over a real broker: all refused."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import json
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from line_scene import FRAME, KINDS, LINE, RuleEngine, bakes, gateway, outsider, worker
from PIL import Image
from seal_scene import Clock, digest, seal

from edge.devices import Device
from shared.broker import EmbeddedBroker
from shared.clip import ClipFrame, encode_clip
from shared.errors import BadInputError
from shared.escalation import Request
from shared.images import encode_jpeg
from shared.messages import BakeVerdict, LineVerdict, Response, decode, encode
from shared.mqtt import Incoming, MqttClient, MqttConfig, Properties
from shared.topics import Line, parse_request

NAME = "plant/oven-1"
OTHER = Line.of("plant", "oven-2")
CLIP = encode_clip([ClipFrame(encode_jpeg(FRAME), 1_000_000 * i) for i in range(2)])
GATEWAY, WORKER = seal("gateway", NAME), seal("worker", "w-1")
FORGED = BakeVerdict("golden", 1.0, False, "nothing to see here")


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(KINDS[-1]) as running:
        yield running


def attacker(broker: EmbeddedBroker) -> MqttClient:
    return MqttClient(MqttConfig(broker.address, "attacker"))


def request(**changes: Any) -> Request:
    fields = {"id": bytes(range(16)), "attempt": 1, "task": "pizza", "priority": "normal", "line": LINE}
    return Request(**{**fields, "clip": CLIP, "model": "m", "expiry_s": 30, **changes})


def test_a_sealed_line_works_and_its_verdicts_prove_who_gave_them(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with (
            outsider(broker) as seen,
            worker(broker, RuleEngine(), seal=WORKER),
            gateway(broker, device, tmp_path, seal=GATEWAY) as (line, _),
        ):
            stats = await line.run(bakes(4))
            assert (stats.finals, stats.refused, stats.problems) == (4, 0, ())
            await seen.until(lambda: len(seen.verdicts("final")) == 4)
        for message in (*seen.on(LINE.verdict("belt")), *seen.on(LINE.event("belt"))):
            WORKER.check(message.topic, digest(message.payload), message.properties, f"gateway/{NAME}")
        asked = {m.properties.correlation.hex(): digest(m.payload).hex() for m in requests(seen.messages)}
        for verdict in seen.verdicts("final"):
            assert verdict.clip_sha256 == asked[verdict.id], "a verdict must name the clip that was judged"

    asyncio.run(scenario())


def requests(messages: list[Incoming]) -> list[Any]:
    return [message for message in messages if message.topic.startswith("cw/1/req/")]


async def forge(client: MqttClient, asked: Incoming, make: Callable[[Response, Properties], Properties]) -> None:
    """Publish a verdict of the attacker for the request `asked`."""
    bake_id = asked.properties.correlation or b""
    forged = Response(bake_id.hex(), 1, "w-1", FORGED)
    properties = Properties(
        correlation=bake_id,
        content_type="application/json",
        user={"schema": "1.0", "worker": "w-1", "attempt": "1", "request": digest(asked.payload).hex()},
    )
    await client.publish(LINE.response, encode(forged), properties=make(forged, properties))


def by(signer: Any, topic: str = LINE.response) -> Callable[[Response, Properties], Properties]:
    return lambda forged, properties: signer.sign(topic, digest(encode(forged)), properties)


FORGERIES = {
    "unsealed": lambda forged, properties: properties,
    "rubbish": lambda forged, properties: dataclasses.replace(
        properties, user={**properties.user, "seal": base64.b64encode(bytes(600)).decode()}
    ),
    "another gateway": by(seal("gateway", "plant/oven-2")),
    "the gateway itself": by(GATEWAY),
    "another worker's name": by(seal("worker", "w-9")),
    "an observer": by(seal("observer", "w-1")),
    "a stranger's worker": by(seal("worker", "w-1", of="elsewhere")),
    "for another line": by(WORKER, OTHER.response),
}


def test_forged_verdicts_are_ignored_and_named_in_the_state_topic(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        engine.may_answer.clear()
        async with (
            outsider(broker) as seen,
            attacker(broker) as client,
            worker(broker, engine, seal=WORKER),
            gateway(broker, device, tmp_path, seal=GATEWAY) as (line, _),
        ):
            running = asyncio.create_task(line.run(bakes(1)))
            await seen.until(lambda: requests(seen.messages))
            asked = requests(seen.messages)[0]
            for make in FORGERIES.values():
                await forge(client, asked, make)
            await seen.until(lambda: line.counters.refused == len(FORGERIES))
            assert any(problem.startswith("answers") for problem in line.stats().problems), line.stats().problems
            assert not seen.verdicts("final")
            engine.may_answer.set()
            stats = await running
            await seen.until(lambda: seen.verdicts("final"))
        assert stats.refused == len(FORGERIES)
        assert [verdict.label for verdict in seen.verdicts("final")] == ["dark"]

    asyncio.run(scenario())


def test_an_answer_to_another_clip_or_another_bake_changes_nothing(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    """Real answers of a real worker, moved by the broker: to another id, or sent for a clip that was not judged."""

    async def scenario() -> None:
        engine = RuleEngine()
        engine.may_answer.clear()
        async with (
            outsider(broker) as seen,
            attacker(broker) as client,
            worker(broker, engine, seal=WORKER),
            gateway(broker, device, tmp_path, seal=GATEWAY) as (line, _),
        ):
            running = asyncio.create_task(line.run(bakes(1)))
            await seen.until(lambda: requests(seen.messages))
            asked = requests(seen.messages)[0]
            bake_id = asked.properties.correlation

            def of_another_clip(forged: Response, properties: Properties) -> Properties:
                user = {**properties.user, "request": "0" * 64}
                return by(WORKER)(forged, dataclasses.replace(properties, user=user))

            def of_another_bake(forged: Response, properties: Properties) -> Properties:
                signed = by(WORKER)(forged, dataclasses.replace(properties, correlation=bytes(16)))
                return dataclasses.replace(signed, correlation=bake_id)

            def contradicting(forged: Response, properties: Properties) -> Properties:
                return by(WORKER)(forged, dataclasses.replace(properties, correlation=bytes(16)))

            for make in (of_another_clip, of_another_bake, contradicting):
                await forge(client, asked, make)
            await seen.until(lambda: line.counters.refused == 3)
            engine.may_answer.set()
            await running
            await seen.until(lambda: seen.verdicts("final"))
        assert [verdict.label for verdict in seen.verdicts("final")] == ["dark"]

    asyncio.run(scenario())


def test_forged_requests_are_neither_computed_nor_answered(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        async with outsider(broker) as seen, worker(broker, engine, seal=WORKER) as running, attacker(broker) as client:
            good = request(id=bytes(16))
            moved = dataclasses.replace(good.sealed(GATEWAY), response_topic=OTHER.response)
            stolen = request(line=OTHER)  # another line's topic, its response topic and all, by the wrong key
            bad = [
                (request(), request().properties()),
                (request(), request().sealed(seal("gateway", "plant/oven-2"))),
                (request(), request().sealed(WORKER)),
                (request(), request().sealed(seal("gateway", NAME, of="elsewhere"))),
                (stolen, stolen.sealed(GATEWAY)),
                (good, moved),
                (request(clip=CLIP + b"more"), request().sealed(GATEWAY)),
            ]
            for sent, properties in bad:
                await client.publish(sent.topic, sent.clip, properties=properties)
            await client.publish(good.topic, good.clip, properties=good.sealed(GATEWAY))
            await seen.until(lambda: seen.on(LINE.response))
            assert running.refused == len(bad)
        assert engine.calls == 1
        assert [m.properties.correlation for m in seen.messages if "/rsp/" in m.topic] == [bytes(16)]

    asyncio.run(scenario())


def test_a_replayed_request_is_dropped_and_a_resend_is_answered(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        async with outsider(broker) as seen, worker(broker, engine, seal=WORKER) as running, attacker(broker) as client:
            first = request()
            captured = first.sealed(GATEWAY)
            for _ in range(5):
                await client.publish(first.topic, first.clip, properties=captured)
            again = request(attempt=2)
            await client.publish(again.topic, again.clip, properties=again.sealed(GATEWAY))
            await seen.until(lambda: len(seen.on(LINE.response)) == 2)
            assert running.replayed == 4
            later = Clock()
            later.us += 1_000_000
            await client.publish(again.topic, again.clip, properties=again.sealed(seal("gateway", NAME, later)))
            await seen.until(lambda: len(seen.on(LINE.response)) == 3)  # the number was lost in a power cut
            assert running.replayed == 4
        assert engine.calls == 1
        assert [decode(m.payload, Response, "").attempt for m in seen.on(LINE.response)] == [1, 2, 2]

    asyncio.run(scenario())


def test_a_request_of_long_ago_is_not_computed(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        late = Clock()
        late.us += 2 * 86_400 * 1_000_000
        async with (
            outsider(broker) as seen,
            worker(broker, engine, seal=seal("worker", "w-1", late)),
            attacker(broker) as client,
        ):
            await client.publish(request().topic, CLIP, properties=request().sealed(GATEWAY))
            await seen.until(lambda: seen.on(LINE.response))
        assert engine.calls == 0
        [answer] = seen.on(LINE.response)
        assert "check the clocks" in decode(answer.payload, Response, "").verdict.rationale

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "topic",
    [
        "cw/1/req/pizza/normal/plant/oven-1 ",
        "cw/1/req/pizza/normal/plant/..",
        "cw/1/req/pizza/normal/../oven-1",
        "cw/1/req/pizza/normal/plant/" + "o" * 65,
        "cw/1/req/pizza/normal/req/oven-1",
        "cw/1/req/pizza/normal/plant/status",
        "cw/1/req/pizza/normal/pl\u00e4nt/oven-1",
        "cw/1/req/pizza/normal//oven-1",
    ],
)
def test_strange_names_are_answered_nowhere(broker: EmbeddedBroker, topic: str) -> None:
    async def scenario() -> None:
        serving = worker(broker, RuleEngine(), seal=WORKER)
        async with outsider(broker) as seen, serving as running, attacker(broker) as client:
            await client.publish(topic, CLIP, properties=request().sealed(GATEWAY))
            await seen.until(lambda: running.refused == 1)
        assert not [message for message in seen.messages if "/rsp/" in message.topic]

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["+", "#", "a/b", "a+", "", "a\0b", "$share", "..", "a b", "\u202e"])
def test_wildcards_and_slashes_are_no_names(name: str) -> None:
    with pytest.raises(BadInputError):
        Line.of("plant", name)
    with pytest.raises(BadInputError):
        parse_request(f"cw/1/req/pizza/high/plant/{name}")
    with pytest.raises(BadInputError):
        LINE.verdict(name)


def jpeg_of(width: int, height: int) -> bytes:
    """A small file that claims many pixels."""
    buffer = io.BytesIO()
    Image.fromarray(FRAME).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def clip_that_claims(length: int) -> bytes:
    """A clip whose index says that its first frame has `length` bytes, with a checksum that fits."""
    jpeg = encode_jpeg(FRAME)
    body = jpeg + struct.pack("<qI", 0, length) + struct.pack("<HBB", 1, 1, 0)
    return body + struct.pack("<I", zlib.crc32(body)) + b"CWCL"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clip": encode_clip([ClipFrame(jpeg_of(60_000, 60_000), 0)])}, "60000x60000"),
        ({"clip": encode_clip([ClipFrame(jpeg_of(4_000, 3_900), 0)] * 5)}, "JPEG"),
        ({"clip": encode_clip([ClipFrame(encode_jpeg(FRAME)[:-2], 0)])}, "cut short"),
        ({"clip": encode_clip([ClipFrame(encode_jpeg(FRAME) + b"PK\x03\x04", 0)])}, "behind the end of the JPEG"),
        ({"clip": clip_that_claims(1 << 30)}, "claims 1073741824 bytes"),
        ({"clip": b""}, "not a clip"),
        ({"task": "elpv"}, None),
    ],
)
def test_a_hostile_clip_of_a_known_gateway_costs_one_answer(
    broker: EmbeddedBroker, changes: dict[str, Any], words: str | None
) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        async with outsider(broker) as seen, worker(broker, engine, seal=WORKER), attacker(broker) as client:
            bad, good = request(**changes), request(id=bytes(16))
            for sent in (bad, good):
                await client.publish(sent.topic, sent.clip, properties=sent.sealed(GATEWAY))
            await seen.until(lambda: len(seen.on(LINE.response)) == (1 if words is None else 2))
        if words is not None:
            verdict = decode(seen.on(LINE.response)[0].payload, Response, "").verdict
            assert verdict.cannot_tell
            assert words in verdict.rationale
        assert engine.calls == 1

    asyncio.run(scenario())


def test_an_unknown_schema_is_refused_with_the_one_that_is_read(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        async with outsider(broker) as seen, worker(broker, RuleEngine(), seal=WORKER), attacker(broker) as client:
            for number, schema in enumerate(("2.0", "", "0.9", "1" * 5000, "\u0661.0")):
                sent = request(id=number.to_bytes(16, "big"))
                properties = sent.properties()
                properties = dataclasses.replace(properties, user={**properties.user, "schema": schema})
                signed = GATEWAY.sign(sent.topic, digest(sent.clip), properties)
                await client.publish(sent.topic, sent.clip, properties=signed)
            await seen.until(lambda: len(seen.on(LINE.response)) == 5)
        for answer in seen.on(LINE.response):
            assert "this worker reads 1.0" in decode(answer.payload, Response, "").verdict.rationale

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"id":"' + b"0" * 100_000_0 + b'"}',
        b'{"verdict":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        json.dumps({"id": "+/#", "attempt": 1, "worker": "w-1", "verdict": {}}).encode(),
        b'{"id":"00","attempt":1e999,"worker":"w","verdict":null}',
        b"\xff\xfe\x00",
        b"",
        b"\x81" * 60_000,  # CBOR arrays, one in the other
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # a CBOR array of 2^64 - 1 items
        msgspec.msgpack.encode({"id": "00"}),
    ],
)
def test_deep_and_huge_answers_are_refused_quickly(payload: bytes) -> None:
    with pytest.raises(BadInputError):
        decode(payload, Response, "cw/1/rsp/plant/oven-1")
    with pytest.raises(BadInputError):
        decode(payload, LineVerdict, "cw/1/plant/oven-1/belt/verdict")


def test_logs_hold_no_images_and_no_secrets(
    broker: EmbeddedBroker, device: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything on debug, with forged, replayed and damaged messages: the places where logs grow careless."""

    async def scenario() -> None:
        with caplog.at_level(logging.DEBUG):
            async with (
                outsider(broker) as seen,
                attacker(broker) as client,
                worker(broker, RuleEngine(), seal=WORKER),
                gateway(broker, device, tmp_path, seal=GATEWAY) as (line, _),
            ):
                await line.run(bakes(2))
                asked = requests(seen.messages)[0]
                for properties in (asked.properties, Properties(correlation=bytes(16))):
                    await client.publish(asked.topic, asked.payload, properties=properties)
                await forge(client, asked, FORGERIES["rubbish"])
                broken = request(clip=asked.payload[:-40])
                await client.publish(broken.topic, broken.clip, properties=broken.sealed(GATEWAY))
                await seen.until(lambda: len(seen.on(LINE.response)) >= 4)
                clip, sealed = asked.payload, asked.properties.user["seal"]
                for start in range(0, len(clip) - 32, 997):
                    piece = clip[start : start + 24]
                    for form in (piece.hex(), base64.b64encode(piece).decode(), repr(piece)[2:-1]):
                        assert form not in caplog.text
                assert sealed[:60] not in caplog.text
        assert "PRIVATE KEY" not in caplog.text
        assert len(caplog.text) < 200_000

    asyncio.run(scenario())
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png")]
