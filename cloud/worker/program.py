"""The worker as a process: loads the engine, connects, and obeys SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
from pathlib import Path

from cloud.engine import load_engine
from cloud.worker.answers import Engine
from cloud.worker.service import Worker, WorkerConfig, client_config
from shared.mqtt import BrokerAddress, MqttClient, parse_address
from shared.task import load_task
from shared.topics import check_name

log = logging.getLogger(__name__)


def default_name() -> str:
    """Host and process: two workers of one name would throw each other off the broker for ever."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:40].lstrip("-_") or "host"
    return f"{host}-{os.getpid()}"


def serve(broker: str, checkpoint: str, device: str, dtype: str, task_name: str, name: str, threads: int) -> None:
    """Answer requests until told to stop. Raises BadInputError or MissingPartError before the first of them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    address = parse_address(broker)
    task = load_task(task_name)
    config = WorkerConfig(check_name(name, "worker") if name else default_name(), task, Path(checkpoint).name)
    engine = load_engine(checkpoint, device=device, dtype=dtype, threads=threads or None)
    asyncio.run(_serve(address, config, engine))


async def _serve(address: BrokerAddress, config: WorkerConfig, engine: Engine) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with MqttClient(client_config(address, config), patient=True) as client:
        log.info("worker %s serves task %s from %s", config.name, config.task.name, address)
        worker = Worker(config, engine, client)
        await worker.run(stop)
    log.info("answered %d, refused %d, expired %d", worker.answered, worker.refused, worker.expired)
