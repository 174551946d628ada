"""The cloud worker's service with an engine that answers at once and says that it did not look.

`python tests/bench/bench_worker.py PORT KEYS [NAME]`: KEYS is a folder of keys that both sides use, as messages are
sealed in any installation; `-` for none.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.worker.service import Worker, WorkerConfig, client_config
from shared.heap import settle_heap
from shared.limited_decoder import LimitedDecoder
from shared.messages import BakeVerdict
from shared.mqtt import BrokerAddress, MqttClient
from shared.pki.identity import Identity
from shared.seal.local import local_seal
from shared.task import Task, load_task

MODEL = "bench-answers-at-once"
TASK = load_task("pizza")
SAID = BakeVerdict("dark", 0.5, False, "bench engine: answers at once without looking at a pixel")


class AtOnce:
    """Says `dark` to everything, and who said it."""

    decodes_on_demand = True  # as the real engine; this one does not look

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """The one answer."""
        return SAID


async def serve(port: int, keys: str, name: str) -> None:
    """Answer until SIGTERM."""
    seal = None if keys == "-" else local_seal(Identity.of("worker", name), Path(keys))
    stop, config = asyncio.Event(), WorkerConfig(name, TASK, MODEL)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with MqttClient(client_config(BrokerAddress("127.0.0.1", port), config)) as client:
        settle_heap()  # this and the decoder in its child: as `cloud.worker.program` does
        with LimitedDecoder() as decoder:
            await Worker(config, AtOnce(), client, seal=seal, decode=decoder.decode).run(stop)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "bench"))
