"""The worker over real brokers: good, bad, repeated and failing requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from line_scene import FRAME, LINE, RuleEngine, outsider, worker

from shared.broker import EmbeddedBroker
from shared.clip import ClipFrame, encode_clip
from shared.errors import BadInputError
from shared.escalation import Request
from shared.images import encode_jpeg
from shared.messages import Response, WorkerStatus, decode
from shared.mqtt import MqttClient, MqttConfig, Properties


def request(**changes: Any) -> Request:
    clip = encode_clip([ClipFrame(encode_jpeg(FRAME), 1_000_000 * i) for i in range(2)])
    fields = {"id": bytes(range(16)), "attempt": 1, "task": "pizza", "priority": "normal", "line": LINE}
    return Request(**{**fields, "clip": clip, "model": "m", "expiry_s": 30, **changes})


def test_a_repeated_id_is_answered_again_and_computed_once(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        asker = MqttClient(MqttConfig(broker.address, "asker"))
        async with outsider(broker) as seen, worker(broker, engine), asker:
            for attempt in (1, 2, 3):
                again = request(attempt=attempt)
                await asker.publish(again.topic, again.clip, properties=again.properties())
            await seen.until(lambda: len(seen.on(LINE.response)) == 3)
        answers = [decode(message.payload, Response, "") for message in seen.on(LINE.response)]
        assert [answer.attempt for answer in answers] == [1, 2, 3]
        assert {answer.id for answer in answers} == {bytes(range(16)).hex()}
        assert {message.properties.correlation for message in seen.on(LINE.response)} == {bytes(range(16))}
        assert engine.calls == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "properties", "words"),
    [
        ({"clip": b"no clip at all"}, {}, "not a clip"),
        ({"clip": encode_clip([ClipFrame(b"\xff\xd8" + bytes(60), 0)])}, {}, "JPEG damaged"),
        ({}, {"response_topic": "cw/1/rsp/plant/victim"}, "answers go nowhere else"),
        ({}, {"user": {}}, "schema"),
    ],
)
def test_a_bad_request_gets_an_error_verdict_and_the_next_good_one_works(
    broker: EmbeddedBroker, changes: dict[str, Any], properties: dict[str, Any], words: str
) -> None:
    async def scenario() -> None:
        async with outsider(broker) as seen, worker(broker, RuleEngine()) as running:
            async with MqttClient(MqttConfig(broker.address, "asker")) as asker:
                bad = request(**changes)
                fields = {name: getattr(bad.properties(), name) for name in Properties.__slots__}
                await asker.publish(bad.topic, bad.clip, properties=Properties(**{**fields, **properties}))
                good = request(id=bytes(16))
                await asker.publish(good.topic, good.clip, properties=good.properties())
                await seen.until(lambda: len(seen.on(LINE.response)) == 2)
            assert running.refused == 1
        first, second = (decode(message.payload, Response, "").verdict for message in seen.on(LINE.response))
        assert first.cannot_tell
        assert first.doneness is None
        assert words in first.rationale
        assert second.doneness == "dark"
        assert not [message for message in seen.messages if "victim" in message.topic]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [BadInputError("frames are longer than 16:1"), RuntimeError("out of memory")])
def test_an_engine_that_fails_does_not_end_the_worker(broker: EmbeddedBroker, error: Exception) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        engine.error = error
        asker = MqttClient(MqttConfig(broker.address, "asker"))
        async with outsider(broker) as seen, worker(broker, engine), asker:
            for number in (1, 2):
                one = request(id=number.to_bytes(16, "big"))
                await asker.publish(one.topic, one.clip, properties=one.properties())
                await seen.until(lambda number=number: len(seen.on(LINE.response)) == number)
                engine.error = None
        first, second = (decode(message.payload, Response, "").verdict for message in seen.on(LINE.response))
        assert first.cannot_tell
        assert second.doneness == "dark"

    asyncio.run(scenario())


def test_a_request_that_expired_before_its_turn_is_never_computed(broker: EmbeddedBroker) -> None:
    """By the broker's count while it holds it, by the worker's once it was handed over."""

    async def scenario() -> None:
        engine = RuleEngine()
        engine.may_answer.clear()
        asker = MqttClient(MqttConfig(broker.address, "asker"))
        async with outsider(broker) as seen, worker(broker, engine), asker:
            for number, expiry_s in ((1, 30), (2, 1), (3, 30)):
                one = request(id=number.to_bytes(16, "big"), expiry_s=expiry_s)
                await asker.publish(one.topic, one.clip, properties=one.properties())
            await asyncio.sleep(1.6)  # the second's life
            engine.may_answer.set()
            await seen.until(lambda: len(seen.on(LINE.response)) == 2)
        answered = [int(decode(message.payload, Response, "").id, 16) for message in seen.on(LINE.response)]
        assert (answered, engine.calls) == ([1, 3], 2)

    asyncio.run(scenario())


def test_workers_share_the_load_and_say_when_they_leave(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        first, second = RuleEngine(), RuleEngine()
        async with outsider(broker) as seen:
            async with worker(broker, first, "w-1"), worker(broker, second, "w-2"):
                await seen.until(lambda: len([m for m in seen.messages if "worker" in m.topic]) == 2)
                async with MqttClient(MqttConfig(broker.address, "asker")) as asker:
                    for number in range(20):
                        one = request(id=number.to_bytes(16, "big"))
                        await asker.publish(one.topic, one.clip, properties=one.properties())
                    await seen.until(lambda: len(seen.on(LINE.response)) == 20)
            assert first.calls + second.calls == 20
            assert min(first.calls, second.calls) > 0
            await seen.until(lambda: len(seen.on("cw/1/worker/w-1/status")) == 2)
        statuses = [decode(m.payload, WorkerStatus, "").status for m in seen.on("cw/1/worker/w-1/status")]
        assert statuses == ["online", "offline"]

    asyncio.run(scenario())
