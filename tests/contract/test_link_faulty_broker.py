"""The client against a broker that breaks its promises: acknowledgements that never come, come twice, or come late."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from faulty_broker import FaultyBroker, Misbehaviour

from shared.broker.embedded import free_port
from shared.mqtt import BrokerAddress, LinkDownError, MqttClient, MqttConfig
from shared.mqtt.backoff import Backoff
from shared.mqtt.config import Will

QUICK = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)
GOOD = Misbehaviour(ack_lost=0.0, ack_twice=0.0, ack_late=0.0, lost=0.0, twice=0.0, late=0.0)


def test_an_acknowledgement_that_never_comes_ends_the_connection() -> None:
    """On the same connection a message may not be sent again (MQTT 5, 4.4): the publisher must not wait for ever."""

    async def scenario() -> None:
        broker = FaultyBroker(free_port(), 1, Misbehaviour(ack_lost=1.0))
        await broker.start()
        config = MqttConfig(BrokerAddress(port=broker.port), "c-1", ack_timeout_s=0.5, backoff=QUICK)
        async with MqttClient(config) as client:
            reasons: list[str] = []
            client.on_down = reasons.append
            async with asyncio.timeout(20):
                with pytest.raises(LinkDownError, match=r"an acknowledgement is missing for 0\.5 s"):
                    await client.publish("news", b"1")
                broker._shares = GOOD
                await asyncio.sleep(0)
                await client.wait_connected()
                await client.publish("news", b"1")
            assert len(reasons) == 1
        await broker.kill()

    asyncio.run(scenario())


def test_the_acknowledgement_of_a_subscription_confirms_no_publication() -> None:
    """A broker that answers PUBLISH with SUBACK has not said that it has the message."""

    async def scenario() -> None:
        broker = FaultyBroker(free_port(), 4, replace(GOOD, ack_mistaken=1.0))
        await broker.start()
        config = MqttConfig(BrokerAddress(port=broker.port), "c-1", ack_timeout_s=0.5, backoff=QUICK)
        async with MqttClient(config) as client, asyncio.timeout(20):
            await client.subscribe("news")
            with pytest.raises(LinkDownError, match="an acknowledgement is missing"):
                await client.publish("news", b"1")
        assert broker.done["ack mistaken"] == 1
        await broker.kill()

    asyncio.run(scenario())


def test_late_and_repeated_acknowledgements_confirm_their_own_message_only() -> None:
    async def scenario() -> None:
        broker = FaultyBroker(free_port(), 2, Misbehaviour(0.0, 0.5, 0.5, 0.0, 0.0, 0.0, delay_s=0.05))
        await broker.start()
        got: list[bytes] = []
        async with (
            MqttClient(MqttConfig(BrokerAddress(port=broker.port), "c-1", backoff=QUICK)) as client,
            MqttClient(MqttConfig(BrokerAddress(port=broker.port), "observer", backoff=QUICK)) as reader,
        ):
            await reader.subscribe("news")
            for number in range(30):
                await client.publish("news", b"%d" % number)
                message = await anext(reader.messages())
                reader.acknowledge(message)
                got.append(message.payload)
        assert got == [b"%d" % number for number in range(30)]
        assert broker.done["ack twice"] > 5
        assert broker.done["ack late"] > 5
        await broker.kill()

    asyncio.run(scenario())


def test_who_vanishes_has_its_will_said() -> None:
    async def scenario() -> None:
        broker = FaultyBroker(free_port(), 3, GOOD)
        await broker.start()
        await broker.start()  # listens already
        will = Will("state", b"gone")
        config = MqttConfig(BrokerAddress(port=broker.port), "c-1", will=will, backoff=QUICK)
        async with MqttClient(MqttConfig(BrokerAddress(port=broker.port), "observer", backoff=QUICK)) as reader:
            await reader.subscribe("state")
            async with MqttClient(config) as client, asyncio.timeout(20):
                await client.wait_connected()
                broker._sessions["c-1"].writer.transport.abort()
                message = await anext(reader.messages())
                assert (message.topic, message.payload) == ("state", b"gone")
                reader.acknowledge(message)
        await broker.kill()

    asyncio.run(scenario())
