"""A whole line over the broker of `crustwatch broker config`: certificates, access rules and seals at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
from pathlib import Path

import pytest
from line_scene import TASK, RuleEngine, bakes
from site_scene import Site

from cloud.worker.service import Worker, WorkerConfig
from cloud.worker.service import client_config as worker_client
from edge.devices import Device
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway
from shared.broker import mosquitto
from shared.messages import GatewayStatus, LineVerdict, WorkerStatus, decode
from shared.mqtt import Incoming, MqttClient
from shared.pki import files
from shared.pki.authority import utc_now
from shared.pki.credentials import Credentials
from shared.pki.trust import Trust
from shared.seal import Checker, Seal, Signer
from shared.topics import STATE_FILTERS, Line

pytestmark = pytest.mark.skipif(mosquitto.find_mosquitto() is None, reason="mosquitto is not installed")
LINE = Line.of("plant", "oven-1")


def seal(credentials: Credentials) -> Seal:
    return Seal.load(credentials)


def impatient(credentials: Credentials) -> Seal:
    """A seal that looks at its files for every message."""
    ticks = itertools.count(0, 10)
    signer, checker = Signer.load(credentials), Checker(Trust.load(credentials.ca))
    return Seal(signer, checker, monotonic_s=lambda: float(next(ticks)))


def test_a_line_needs_nothing_that_its_access_rules_refuse(tmp_path: Path, device: Device) -> None:
    async def scenario(site: Site) -> dict[str, list[Incoming]]:
        seen: dict[str, list[Incoming]] = {}
        mine, his = site.of("gateway", "plant/oven-1"), site.of("worker", "w-1")
        config = GatewayConfig(LINE, TASK, stats_interval_s=0.01, outbox=OutboxConfig(synchronous="NORMAL"))
        working = WorkerConfig("w-1", TASK, "rules")
        gateway_mqtt = client_config(site.address, config, device.kind)
        worker_mqtt = worker_client(site.address, working)
        async with (
            site.client(site.of("observer", "grafana")) as observer,
            MqttClient(dataclasses.replace(worker_mqtt, tls_context=his.client_context)) as at_worker,
        ):
            for topic_filter in (*STATE_FILTERS, "homeassistant/device/+/config"):
                await observer.subscribe(topic_filter)

            async def watch() -> None:
                async for message in observer.messages():
                    observer.acknowledge(message)
                    seen.setdefault(message.topic, []).append(message)

            watching, stop = asyncio.create_task(watch()), asyncio.Event()
            serving = asyncio.create_task(Worker(working, RuleEngine(), at_worker, seal=seal(his)).run(stop))
            with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK, config.outbox)) as outbox:
                async with MqttClient(dataclasses.replace(gateway_mqtt, tls_context=mine.client_context)) as at_oven:
                    line = Gateway(config, device, outbox, at_oven, seal=seal(mine))
                    stats = await line.run(bakes(5))
            assert (stats.finals, stats.escalated, stats.timeouts, stats.refused) == (5, 5, 0, 0)
            assert stats.problems == ()
            async with asyncio.timeout(20):
                while len(seen.get(LINE.status, ())) < 2:
                    await asyncio.sleep(0.01)
            stop.set()
            await serving
            watching.cancel()
        return seen

    with Site(tmp_path).running() as site:
        seen = asyncio.run(scenario(site))
        reader = seal(site.of("observer", "grafana"))
    for topic in (LINE.verdict("belt"), LINE.event("belt")):
        for message in seen[topic]:
            digest = hashlib.sha256(message.payload).digest()
            reader.check(topic, digest, message.properties, "gateway/plant/oven-1")
    finals = [decode(m.payload, LineVerdict, "") for m in seen[LINE.event("belt")]]
    assert sum(verdict.state == "final" for verdict in finals) == 5
    assert [decode(m.payload, GatewayStatus, "").status for m in seen[LINE.status]] == ["online", "offline"]
    assert decode(seen["cw/1/worker/w-1/status"][0].payload, WorkerStatus, "").status == "online"
    assert seen[LINE.snapshot("belt")]
    assert seen[LINE.stats]
    assert seen[LINE.discovery()]
    assert not any("/req/" in topic or "/rsp/" in topic for topic in seen)


def test_keys_are_renewed_and_revoked_in_the_middle_of_a_run(tmp_path: Path, device: Device) -> None:
    """Old and new keys of both ends are valid together for a while; no bake waits and none is lost."""

    async def scenario(site: Site) -> None:
        mine, his = site.of("gateway", "plant/oven-1"), site.of("worker", "w-1")
        config = GatewayConfig(LINE, TASK, stats_interval_s=0.01, outbox=OutboxConfig(synchronous="NORMAL"))
        working, taken = WorkerConfig("w-1", TASK, "rules"), 0
        old: list[int] = []

        async def renew() -> None:
            nonlocal taken
            taken += 1
            if taken in (4, 7):
                for role, name in (("gateway", "plant/oven-1"), ("worker", "w-1")):
                    folder = site.authority.folder / role / name
                    old.append(files.read_certificate(folder / files.CERTIFICATE).serial_number)
                    site.issue(role, name)
            if taken == 12:
                for serial in old:
                    site.authority.revoke(utc_now(), serial=serial)
                site.reload()
            await asyncio.sleep(0.05)

        gateway_mqtt, worker_mqtt = client_config(site.address, config, "x"), worker_client(site.address, working)
        async with (
            MqttClient(dataclasses.replace(worker_mqtt, tls_context=his.client_context)) as at_worker,
            MqttClient(dataclasses.replace(gateway_mqtt, tls_context=mine.client_context)) as at_oven,
        ):
            stop = asyncio.Event()
            worker = Worker(working, RuleEngine(), at_worker, seal=impatient(his))
            serving = asyncio.create_task(worker.run(stop))
            with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK, config.outbox)) as outbox:
                stats = await Gateway(config, device, outbox, at_oven, seal=impatient(mine)).run(bakes(15, pause=renew))
            stop.set()
            await serving
        assert (stats.finals, stats.timeouts, stats.refused, worker.refused) == (15, 0, 0, 0)
        assert len(old) == 4

    with Site(tmp_path).running() as site:
        asyncio.run(scenario(site))
