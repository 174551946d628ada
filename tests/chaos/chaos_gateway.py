"""The gateway of a campaign: the real one, with short times, a clock that can be set, and a session that goes on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import sys
from pathlib import Path

import msgspec
from power_cut import note_syncs

from edge.devices import open_device
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.program import open_source, run_gateway
from shared.clock import SteadyClock, system_now_us
from shared.errors import CrustwatchError
from shared.mqtt import BrokerAddress
from shared.mqtt.backoff import Backoff
from shared.pki.identity import Identity
from shared.seal.local import local_seal
from shared.task import load_task
from shared.topics import Line

LINE = Line.of("chaos", "oven-1")
QUICK = Backoff(first_s=0.05, cap_s=0.3, floor_s=0.02)
KEEPALIVE_S = 2
ACK_TIMEOUT_S = 1.5
MAX_BACKLOG = 40


class Settings(msgspec.Struct):
    """What the campaign tells its gateway."""

    folder: str  # with outbox and clock
    pictures: str
    port: int
    device: str
    deadline_s: float
    outbox_bytes: int
    never_sure: bool


def set_wall(path: Path) -> int:
    """The campaign's wall clock: the system's, moved by the seconds in a file."""
    with contextlib.suppress(OSError, ValueError):
        return system_now_us() + int(float(path.read_text()) * 1e6)
    return system_now_us()


def main() -> None:
    """Argument: Settings as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    note_syncs()
    folder, task = Path(settings.folder), load_task("pizza")
    config = GatewayConfig(
        LINE,
        task,
        deadline_s=settings.deadline_s,
        max_backlog=MAX_BACKLOG,
        device_backoff=QUICK,
        stats_interval_s=0.2,
        session="campaign",
        outbox=OutboxConfig(retry_s=0.5, retry_cap_s=2.0, max_bytes=settings.outbox_bytes, reoffer_s=5.0),
    )
    try:
        with (
            open_source(settings.pictures, 1, 1) as items,
            contextlib.closing(Outbox(folder / "outbox.db", task, config.outbox)) as outbox,
            open_device(settings.device) as device,
        ):
            if settings.never_sure:
                device.set_thresholds([65_535] * len(task.labels))
            mqtt = dataclasses.replace(
                client_config(BrokerAddress(port=settings.port), config, device.kind),
                keepalive_s=KEEPALIVE_S,
                ack_timeout_s=ACK_TIMEOUT_S,
                backoff=QUICK,
            )
            clock = SteadyClock(outbox.time_mark(), wall=lambda: set_wall(folder / "clock"))
            identity = Identity.of("gateway", f"{LINE.site}/{LINE.gateway}")
            seal = local_seal(identity, folder / "pki", clock.wall_us)
            asyncio.run(run_gateway(mqtt, config, device, outbox, items, clock=clock, seal=seal))
    except CrustwatchError as error:
        logging.getLogger("chaos").error("ends: %s", error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
