"""The worker as a process: loads the engine, connects, and obeys SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import re
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from cloud.worker.answers import Engine
from cloud.worker.archive import Archive
from cloud.worker.service import Worker, WorkerConfig, client_config
from shared.heap import settle_heap
from shared.limited_decoder import LimitedDecoder
from shared.mqtt import MqttClient, MqttConfig, parse_address
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.retention import NO_LIMITS, Limits
from shared.seal import Seal
from shared.seal.choose import choose
from shared.task import load_task
from shared.topics import check_name

log = logging.getLogger(__name__)


def default_name() -> str:
    """Host and process: two workers of one name would throw each other off the broker for ever."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:40].lstrip("-_") or "host"
    return f"{host}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Options:
    """What `crustwatch cloud worker` was asked for, as typed."""

    broker: str
    checkpoint: str
    device: str
    dtype: str
    attention: str
    engine: str
    task: str
    name: str
    threads: int  # 0: as many as torch likes
    credentials: Credentials | None = None
    unsigned: bool = False
    archive: Path | None = None
    archive_limits: Limits = NO_LIMITS


def serve(options: Options) -> None:
    """Answer requests until told to stop. Raises BadInputError or MissingPartError before the first of them."""
    from cloud.engine import load_engine  # loads torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    address, task = parse_address(options.broker), load_task(options.task)
    identity = own_identity(options)
    security = choose(address, options.credentials, options.unsigned, identity)
    name = identity.name
    archive = None if options.archive is None else Archive(options.archive, options.archive_limits)
    config = WorkerConfig(name, task, Path(options.checkpoint).name)
    engine = load_engine(
        options.checkpoint,
        device=options.device,
        dtype=options.dtype,
        attention=options.attention,
        engine=options.engine,
        threads=options.threads or None,
    )
    mqtt = dataclasses.replace(client_config(address, config), tls_context=security.tls_context)
    asyncio.run(run_worker(mqtt, config, engine, security.seal, archive))


def own_identity(options: Options) -> Identity:
    """Who this worker is: as told, as its certificate says, or by host and process. Raises BadInputError."""
    if not options.name and options.credentials is not None:
        return options.credentials.identity()
    return Identity.of("worker", check_name(options.name, "worker") if options.name else default_name())


async def run_worker(
    mqtt: MqttConfig, config: WorkerConfig, engine: Engine, seal: Seal | None = None, archive: Archive | None = None
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; the one in hand is answered first."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with LimitedDecoder() as decoder:
        async with MqttClient(mqtt, patient=True) as client:
            log.info("worker %s serves task %s from %s", config.name, config.task.name, mqtt.address)
            worker = Worker(config, engine, client, seal=seal, archive=archive, decode=decoder.decode)
            settle_heap()
            await worker.run(stop)
    log.info(
        "answered %d, refused %d, replayed %d, expired %d",
        worker.answered,
        worker.refused,
        worker.replayed,
        worker.expired,
    )
