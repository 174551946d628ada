"""The worker of a campaign: the real one, with short times and the link-test engine."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
from pathlib import Path

from chaos_gateway import ACK_TIMEOUT_S, KEEPALIVE_S, QUICK
from link_test_engine import LinkTestEngine

from cloud.worker.program import run_worker
from cloud.worker.service import WorkerConfig, client_config
from shared.mqtt import BrokerAddress
from shared.pki.identity import Identity
from shared.seal.local import local_seal
from shared.task import load_task


def main() -> None:
    """Arguments: name, port of the broker, the campaign's folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = WorkerConfig(sys.argv[1], load_task("pizza"), "link-test")
    mqtt = dataclasses.replace(
        client_config(BrokerAddress(port=int(sys.argv[2])), config),
        keepalive_s=KEEPALIVE_S,
        ack_timeout_s=ACK_TIMEOUT_S,
        backoff=QUICK,
    )
    seal = local_seal(Identity.of("worker", config.name), Path(sys.argv[3]) / "pki")
    asyncio.run(run_worker(mqtt, config, LinkTestEngine(), seal))


if __name__ == "__main__":
    main()
