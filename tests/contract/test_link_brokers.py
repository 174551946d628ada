"""The MQTT client against real brokers: mosquitto where it is installed, and iotcore always."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.broker import EmbeddedBroker, Kind, mosquitto
from shared.broker.embedded import choose_kind
from shared.broker.probe import answers
from shared.errors import CrustwatchError, MissingPartError
from shared.mqtt import BrokerAddress, LinkDownError, MqttClient, MqttConfig, Properties, Will
from shared.mqtt.backoff import Backoff

KINDS: list[Kind] = ["iotcore"] + (["mosquitto"] if mosquitto.find_mosquitto() else [])  # type: ignore[assignment]
QUICK = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(request.param) as running:
        yield running


def config(broker: EmbeddedBroker, name: str, **options: object) -> MqttConfig:
    return MqttConfig(broker.address, name, backoff=QUICK, **options)  # type: ignore[arg-type]


async def stop_all_threads(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    states = Path(f"/proc/{broker.pid}/task").glob("*/stat")
    while any(state.read_text().rpartition(")")[2].split()[0] != "T" for state in states):
        await asyncio.sleep(0.01)
        states = Path(f"/proc/{broker.pid}/task").glob("*/stat")


async def next_message(client: MqttClient, timeout_s: float = 10.0):  # type: ignore[no-untyped-def]
    async with asyncio.timeout(timeout_s):
        return await anext(client.messages())


def test_a_clip_with_all_its_properties_reaches_one_worker(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        properties = Properties(
            "cw/1/rsp/a/b", bytes(range(16)), 30, "application/x", {"schema": "1.0", "attempt": "2"}
        )
        async with (
            MqttClient(config(broker, "gateway")) as gateway,
            MqttClient(config(broker, "worker-1")) as first,
            MqttClient(config(broker, "worker-2")) as second,
        ):
            for worker in (first, second):
                await worker.subscribe("$share/workers/cw/1/req/pizza/+/+/+")
            payload = random.Random(1).randbytes(2_000_000)
            assert await gateway.publish("cw/1/req/pizza/high/a/b", payload, properties=properties)
            got = [asyncio.create_task(next_message(worker)) for worker in (first, second)]
            done, waiting = await asyncio.wait(got, return_when=asyncio.FIRST_COMPLETED)
            message = done.pop().result()
            assert message.payload == payload
            assert message.properties.correlation == properties.correlation
            assert message.properties.response_topic == properties.response_topic
            assert message.properties.content_type == properties.content_type
            assert message.properties.user == properties.user
            assert message.properties.expiry_s is not None
            assert message.properties.expiry_s <= 30
            await asyncio.sleep(0.1)
            assert not waiting.pop().done(), "both members of the group got the request"
            for task in got:
                task.cancel()
            await asyncio.gather(*got, return_exceptions=True)

    asyncio.run(scenario())


def test_the_client_returns_after_kill_9_of_the_broker(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        ups: list[bool] = []
        async with MqttClient(config(broker, "patient")) as client:
            client.on_up = lambda: ups.append(True)
            client.on_down = lambda reason: ups.append(False)
            await client.subscribe("cw/1/news")
            port = broker.address.port
            broker.kill()
            while client.connected:
                await asyncio.sleep(0.01)
            with pytest.raises(LinkDownError):
                await client.publish("cw/1/news", b"lost")
            again = EmbeddedBroker(broker.kind, port)
            with again:
                async with asyncio.timeout(10):
                    await client.wait_connected()
                await client.publish("cw/1/news", b"found")
                assert (await next_message(client)).payload == b"found", "the subscription was not renewed"
                assert ups == [False, True]

    asyncio.run(scenario())


def test_a_publication_without_its_acknowledgement_raises(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        async with MqttClient(config(broker, "cut")) as client:
            await stop_all_threads(broker)  # the socket stays open and nothing answers
            try:
                publishing = asyncio.create_task(client.publish("cw/1/x", b"y"))
                await asyncio.sleep(0.1)
                assert not publishing.done()
            finally:
                broker.kill()
            with pytest.raises(LinkDownError):
                await publishing

    asyncio.run(scenario())


def test_the_will_is_sent_for_the_dead_and_not_for_the_leaving(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        async with MqttClient(config(broker, "watcher")) as watcher:
            await watcher.subscribe("cw/1/a/+/status")
            async with MqttClient(config(broker, "leaver", will=Will("cw/1/a/leaver/status", b"offline"))):
                pass
            dying = f"""
import asyncio, os
from shared.mqtt import *
async def main():
    address, will = BrokerAddress("127.0.0.1", {broker.address.port}), Will("cw/1/a/dying/status", b"gone")
    async with MqttClient(MqttConfig(address, "dying", will)):
        os._exit(9)
asyncio.run(main())
"""
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", dying)
            assert await child.wait() == 9
            message = await next_message(watcher)
            assert (message.topic, message.payload) == ("cw/1/a/dying/status", b"gone")

    asyncio.run(scenario())


def test_a_flood_is_held_back_and_nothing_is_discarded(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        async with (
            MqttClient(config(broker, "slow", receive_maximum=8, incoming_limit=8)) as slow,
            MqttClient(config(broker, "flooding")) as flooding,
        ):
            await slow.subscribe("cw/1/flood")
            for number in range(120):
                await flooding.publish("cw/1/flood", number.to_bytes(2, "big") + bytes(20_000))
            await asyncio.sleep(0.2)
            assert slow._incoming.qsize() <= 2 * 8, "the client holds more than its limit"
            for number in range(120):
                message = await next_message(slow)
                assert int.from_bytes(message.payload[:2], "big") == number
                slow.acknowledge(message)

    asyncio.run(scenario())


def test_a_patient_client_waits_for_its_broker(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        port = broker.address.port
        broker.stop()
        client = MqttClient(MqttConfig(BrokerAddress("127.0.0.1", port), "early", backoff=QUICK), patient=True)
        async with client:
            await client.subscribe("cw/1/x")
            with pytest.raises(LinkDownError):
                await client.publish("cw/1/x", b"too early")
            with EmbeddedBroker(broker.kind, port):
                async with asyncio.timeout(10):
                    await client.wait_connected()
                await client.publish("cw/1/x", b"now")
                assert (await next_message(client)).payload == b"now"

    asyncio.run(scenario())


def test_an_impatient_client_says_where_nobody_is() -> None:
    async def scenario() -> None:
        async with MqttClient(MqttConfig(BrokerAddress("127.0.0.1", 1), "nobody")):
            pass

    with pytest.raises(LinkDownError, match=r"mqtt://127\.0\.0\.1:1: .*refused"):
        asyncio.run(scenario())


def test_round_trips_do_not_wait_for_nagle(broker: EmbeddedBroker) -> None:
    """With Nagle and delayed ACKs a round trip takes 40 ms and more, whatever the machine."""

    async def scenario() -> float:
        times = []
        async with MqttClient(config(broker, "a")) as a, MqttClient(config(broker, "b")) as b:
            await a.subscribe("cw/1/pong")
            await b.subscribe("cw/1/ping")
            for _ in range(30):
                started = time.perf_counter()
                await a.publish("cw/1/ping", bytes(30_000))
                request = await next_message(b)
                await b.publish("cw/1/pong", request.payload)
                b.acknowledge(request)
                a.acknowledge(await next_message(a))
                times.append(time.perf_counter() - started)
        return min(times)

    assert asyncio.run(scenario()) < 0.030


def test_the_broker_binds_loopback_only(broker: EmbeddedBroker) -> None:
    port = f":{broker.address.port:04X}"
    listening = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if local.endswith(port) and state == "0A":
                listening.append(local.removesuffix(port))
    assert listening == ["0100007F"]  # 127.0.0.1, little-endian


def test_the_broker_dies_with_its_parent(broker: EmbeddedBroker) -> None:
    parent = f"""
import os
from shared.broker import EmbeddedBroker
broker = EmbeddedBroker("{broker.kind}")
broker.start()
print(broker.address.port, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    port = int(done.stdout)
    deadline = time.monotonic() + 5
    while answers("127.0.0.1", port, 0.2):
        assert time.monotonic() < deadline, "the broker outlived its parent"
        time.sleep(0.05)


def test_a_taken_port_is_an_error_that_names_it(broker: EmbeddedBroker) -> None:
    with pytest.raises(CrustwatchError, match=f"already listens on mqtt://127.0.0.1:{broker.address.port}"):
        EmbeddedBroker(broker.kind, broker.address.port).start()


def test_without_any_broker_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.broker.mosquitto.find_mosquitto", lambda: None)
    monkeypatch.setattr("shared.broker.iotcore.is_installed", lambda: False)
    with pytest.raises(MissingPartError, match="apt-get install mosquitto, or pip install"):
        choose_kind()


@pytest.mark.skipif(mosquitto.find_mosquitto() is None, reason="mosquitto is not installed")
def test_mosquitto_keeps_retained_state_over_a_restart(tmp_path: Path) -> None:
    async def publish(address: BrokerAddress) -> None:
        async with MqttClient(MqttConfig(address, "writer")) as client:
            await client.publish("cw/1/a/b/stats", b"kept", retain=True)

    async def read(address: BrokerAddress) -> bytes:
        async with MqttClient(MqttConfig(address, "reader")) as client:
            await client.subscribe("cw/1/a/b/stats")
            message = await next_message(client)
            assert message.retain
            return bytes(message.payload)

    with EmbeddedBroker("mosquitto", folder=tmp_path) as first:
        asyncio.run(publish(first.address))
    with EmbeddedBroker("mosquitto", folder=tmp_path) as second:
        assert asyncio.run(read(second.address)) == b"kept"


def test_ten_thousand_user_properties_cost_nothing_but_themselves(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        async with MqttClient(config(broker, "reader")) as reader, MqttClient(config(broker, "flood")) as flood:
            await reader.subscribe("cw/1/news")
            many = Properties(user={f"{number:05d}": "y" * 20 for number in range(10_000)})
            for _ in range(3):
                await flood.publish("cw/1/news", bytes(1_000_000), properties=many)
            await flood.publish("cw/1/news", b"after the flood", properties=Properties(user={"schema": "1.0"}))
            message = await next_message(reader)
            assert message.payload == b"after the flood", "messages with too many properties must be dropped"
            assert message.properties.user == {"schema": "1.0"}
            assert reader.connected

    asyncio.run(scenario())


def test_a_packet_beyond_the_announced_maximum_ends_the_connection() -> None:
    """A hostile broker: it claims 268,435,455 bytes, the most that MQTT can, and sends on and on."""

    async def scenario() -> int:
        sent = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.read(1000)
            writer.write(b"\x20\x03\x00\x00\x00" + b"\x30\xff\xff\xff\x7f\x00\x01x\x00")
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(bytes(65_536))
                    await writer.drain()
                    sent += 65_536
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with contextlib.suppress(LinkDownError):  # its first bytes may come together with the CONNACK
                async with MqttClient(MqttConfig(BrokerAddress(port=port), "victim")) as client:
                    while client.connected:
                        await asyncio.sleep(0.01)
        return sent

    assert asyncio.run(scenario()) < 64_000_000


def test_topics_with_control_characters_never_reach_a_log(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with MqttClient(config(broker, "reader")) as reader, MqttClient(config(broker, "writer")) as writer:
            await reader.subscribe("cw/1/+/status")
            with contextlib.suppress(LinkDownError):  # a broker may refuse them itself (MQTT 5, 1.5.4)
                await writer.publish("cw/1/a\nERROR all is lost\x1b[2J/status", b"x")
            await writer.wait_connected()
            await writer.publish("cw/1/b/status", b"x")
            assert (await next_message(reader)).topic == "cw/1/b/status"

    asyncio.run(scenario())
    assert "all is lost" not in caplog.text


def test_whoever_takes_the_messages_may_wait_for_an_acknowledgement(broker: EmbeddedBroker) -> None:
    """A worker answers each request before it takes the next: with reading paused, its PUBACK would never be read."""

    async def scenario() -> None:
        async with (
            MqttClient(config(broker, "busy", receive_maximum=64, incoming_limit=4)) as busy,
            MqttClient(config(broker, "flood")) as flood,
            asyncio.timeout(30),
        ):
            await busy.subscribe("cw/flood")
            async with asyncio.TaskGroup() as tasks:
                for number in range(60):
                    tasks.create_task(flood.publish("cw/flood", bytes([number]) * 20_000))
            answered = 0
            async for message in busy.messages():
                await asyncio.sleep(0.005)  # the queue fills up
                await busy.publish("cw/answer", message.payload[:1])
                busy.acknowledge(message)
                answered += 1
                if answered == 60:
                    return

    asyncio.run(scenario())
