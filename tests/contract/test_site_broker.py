"""`crustwatch broker config` against a real mosquitto: what each identity may do, and everything else refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from site_scene import IDENTITIES, LONG_AGO, Site

from shared.broker import mosquitto
from shared.broker.access import acl_text
from shared.broker.probe import answers, connect_packet
from shared.errors import BadInputError
from shared.mqtt import LinkDownError, MqttClient, MqttConfig, RefusedError
from shared.pki.authority import Authority, utc_now
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.topics import Line

pytestmark = pytest.mark.skipif(mosquitto.find_mosquitto() is None, reason="mosquitto is not installed")

ONE, TWO = Line.of("plant", "oven-1"), Line.of("plant", "oven-2")
OWN = {
    "gateway/plant/oven-1": (
        ONE.status,
        ONE.stats,
        ONE.verdict("belt"),
        ONE.event("belt"),
        ONE.snapshot("belt"),
        ONE.setting("audit")[1],
        ONE.request("pizza", "high"),
        ONE.discovery(),
    ),
    "worker/w-1": (ONE.response, TWO.response, "cw/1/worker/w-1/status"),
    "operator/shift-lead": (ONE.setting("audit")[0],),
    "observer/grafana": (),
}
EVERYTHING = (
    *OWN["gateway/plant/oven-1"],
    *(topic.replace("oven-1", "oven-2") for topic in OWN["gateway/plant/oven-1"]),
    ONE.setting("audit")[0],
    TWO.setting("audit")[0],
    ONE.response,
    TWO.response,
    "cw/1/worker/w-1/status",
    "cw/1/worker/w-2/status",
    "cw/1/req/pizza/high/plant/oven-1/more",
    "cw/2/plant/oven-1/status",
    "homeassistant/device/other/config",
    "$SYS/broker/uptime",
    "elsewhere",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")).running() as running:
        yield running


def split(identity: str) -> tuple[str, str]:
    role, _, name = identity.partition("/")
    return role, name


async def accepted(client: MqttClient, topic: str) -> bool:
    try:
        await client.publish(topic, b"x")
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("identity", sorted(OWN))
def test_an_identity_publishes_its_own_topics_and_no_other(site: Site, identity: str) -> None:
    async def scenario() -> list[str]:
        async with site.client(site.of(*split(identity))) as client:
            return [topic for topic in EVERYTHING if await accepted(client, topic)]

    allowed = set(asyncio.run(scenario()))
    shared_with_two = {ONE.setting("audit")[0], TWO.setting("audit")[0]} if identity.startswith("operator") else set()
    assert allowed == set(OWN[identity]) | shared_with_two


GATEWAY_SENDS = ("status", "belt/verdict", "belt/snapshot")
READS = {
    "gateway/plant/oven-1": {ONE.response, ONE.setting("audit")[0], "cw/1/worker/w-1/status"},
    "worker/w-2": {ONE.request("pizza", "high"), TWO.request("pizza", "high")},
    "observer/grafana": {f"{line.prefix}/{last}" for line in (ONE, TWO) for last in GATEWAY_SENDS}
    | {"cw/1/worker/w-1/status"},
}
"""Of what the next test sends, what each identity receives however widely it subscribes."""


@pytest.mark.parametrize("identity", sorted(READS))
@pytest.mark.parametrize("topic_filter", ["#", "cw/1/#", "cw/1/+/+/#", "$share/spies/cw/1/#", "+/+/+/+/+/+/+"])
def test_wildcards_deliver_only_what_is_allowed(site: Site, identity: str, topic_filter: str) -> None:
    async def scenario() -> set[str]:
        seen: set[str] = set()
        async with contextlib.AsyncExitStack() as clients:

            async def client(name: str) -> MqttClient:
                return await clients.enter_async_context(site.client(site.of(*split(name))))

            reader = await client(identity)
            await reader.subscribe(topic_filter)
            for line in (ONE, TWO):
                name = f"gateway/plant/{line.gateway}"
                if name != identity:  # a certificate is one connection
                    gateway = await client(name)
                    for last in GATEWAY_SENDS:
                        await gateway.publish(f"{line.prefix}/{last}", b"x")
                    await gateway.publish(line.request("pizza", "high"), b"x")
            worker, operator = await client("worker/w-1"), await client("operator/shift-lead")
            for line in (ONE, TWO):
                await worker.publish(line.response, b"x")
                await operator.publish(line.setting("audit")[0], b"x")
            await worker.publish("cw/1/worker/w-1/status", b"x")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):  # the broker keeps the order: what it lets through is there by now
                    async for message in reader.messages():
                        reader.acknowledge(message)
                        seen.add(message.topic)
        return seen

    seen = asyncio.run(scenario())
    assert seen <= READS[identity]
    if topic_filter in ("#", "cw/1/#"):
        assert seen == READS[identity], "its own topics must work"


def test_nobody_takes_the_client_id_of_another(site: Site) -> None:
    async def scenario() -> bool:
        async with (
            site.client(site.of("gateway", "plant/oven-1"), "cw-gateway-plant-oven-1") as victim,
            site.client(site.of("gateway", "plant/oven-2"), "cw-gateway-plant-oven-1"),
        ):
            await victim.publish(ONE.status, b"still here")
            return victim.connected

    assert asyncio.run(scenario())


def refused(client: MqttClient) -> str:
    async def scenario() -> None:
        async with client:
            pass

    with pytest.raises((LinkDownError, RefusedError)) as caught:
        asyncio.run(scenario())
    return str(caught.value)


def test_an_expired_certificate_is_refused(site: Site) -> None:
    expired = site.issue("gateway", "plant/oven-3", utc_now() - LONG_AGO, days=30)
    assert "expired, revoked or of another site" in refused(site.client(expired))


def test_a_revoked_certificate_is_refused_after_sighup(tmp_path: Path) -> None:
    with Site(tmp_path).running() as site:
        one, two = site.of("gateway", "plant/oven-1"), site.of("gateway", "plant/oven-2")

        async def connects(credentials: Credentials) -> bool:
            try:
                async with site.client(credentials):
                    return True
            except LinkDownError:
                return False

        assert asyncio.run(connects(one))
        site.authority.revoke(utc_now(), Identity.of("gateway", "plant/oven-1"))
        site.reload()
        while asyncio.run(connects(one)):
            pass  # the broker has not taken the signal yet
        assert asyncio.run(connects(two))


def test_rotation_both_certificates_work_until_the_old_one_is_revoked(site: Site, tmp_path: Path) -> None:
    folder = site.authority.folder / "gateway" / "plant" / "oven-2"
    old = tmp_path / "old"
    old.mkdir()
    for path in folder.glob("*.pem"):
        (old / path.name).write_bytes(path.read_bytes())
    (old / "key.pem").chmod(0o600)
    site.issue("gateway", "plant/oven-2")

    async def scenario() -> None:
        for credentials in (site.credentials(old), site.of("gateway", "plant/oven-2")):
            async with site.client(credentials) as client:
                await client.publish(TWO.status, b"x")

    asyncio.run(scenario())


def test_a_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "pki", "plant", utc_now())
    folder = stranger.issue(Identity.of("gateway", "plant/oven-1"), utc_now())
    (folder / "ca.pem").write_bytes((site.authority.folder / "ca.pem").read_bytes())  # it trusts the site's broker
    refused(site.client(site.credentials(folder)))


def test_the_brokers_own_certificate_is_no_client(site: Site) -> None:
    refused(site.client(site.of("broker", "mqtt")))


def test_plaintext_and_tls_without_a_certificate_are_refused(site: Site) -> None:
    assert not answers("127.0.0.1", site.port)
    without = ssl.create_default_context(cafile=str(site.authority.folder / "ca.pem"))
    refused(MqttClient(MqttConfig(site.address, "nobody", tls_context=lambda: without)))


def test_a_client_of_another_authority_refuses_this_broker(site: Site, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "pki", "plant", utc_now())
    folder = stranger.issue(Identity.of("gateway", "plant/oven-1"), utc_now())
    assert "certificate verify failed" in refused(site.client(site.credentials(folder)))


def test_a_claim_of_a_quarter_gigabyte_is_cut_off(site: Site) -> None:
    """The largest claim that MQTT can make (2.1.4) is 268,435,455 bytes; the broker must not wait for them."""
    context = site.of("gateway", "plant/oven-1").client_context()
    with (
        socket.create_connection(("127.0.0.1", site.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as link,
    ):
        link.sendall(connect_packet("claims"))
        assert link.recv(4)[3:] == b"\x00"
        link.settimeout(10)
        topic = ONE.status.encode()
        link.sendall(b"\x32\xff\xff\xff\x7f" + struct.pack(">H", len(topic)) + topic)
        received = b"x"
        while received and received[0] != 0xE0:  # DISCONNECT or the end of the stream
            try:
                received = link.recv(4096)
                received = received[-4:] if b"\xe0" not in received else b"\xe0"
            except (ConnectionError, ssl.SSLError):
                break


def test_limits_are_those_of_the_configuration(site: Site) -> None:
    text = (site.folder / "broker" / "mosquitto.conf").read_text()
    for line in ("set_tcp_nodelay true", "persistence true", "allow_anonymous false", "tls_version tlsv1.3"):
        assert f"\n{line}\n" in text
    assert len([line for line in text.splitlines() if line.startswith("listener ")]) == 1

    async def scenario() -> None:
        async with site.client(site.of("gateway", "plant/oven-1")) as client:
            await client.publish(ONE.request("pizza", "high"), bytes(8 * 1024 * 1024))  # the largest clip
            with pytest.raises((LinkDownError, RefusedError)):
                await client.publish(ONE.request("pizza", "high"), bytes(9 * 1024 * 1024))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "name", ["+/oven", "plant/#", "plant", "plant/a/b", "req/x", "../x/y", "plant/status", "a b/c"]
)
def test_names_that_are_no_topic_level_get_no_certificate(name: str) -> None:
    with pytest.raises(BadInputError):
        Identity.of("gateway", name)


def test_every_topic_of_the_design_has_a_rule() -> None:
    text = acl_text(Identity.of(role, name) for role, name in IDENTITIES)
    for topic in ("status", "stats", "+/verdict", "+/event", "+/snapshot", "+/state"):
        assert f"topic write cw/1/plant/oven-1/{topic}\n" in text
    for rule in ("read cw/1/plant/oven-1/+/set", "write cw/1/req/+/+/plant/oven-1", "read cw/1/rsp/plant/oven-1"):
        assert f"topic {rule}\n" in text
    assert "#" not in text.replace("# Written", "")


def test_two_gateways_never_share_a_discovery_topic() -> None:
    with pytest.raises(BadInputError, match="would share homeassistant/device/crustwatch_a_b_c/config"):
        acl_text([Identity.of("gateway", "a_b/c"), Identity.of("gateway", "a/b_c")])
