"""Brings the whole line up on one machine, passes bakes through it, and takes it down again.

Broker, worker and renderer are processes of their own; gateway and board are in this one, and in a process of their
own when the demo kills its own parts. However this process ends, its children end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from rich.console import Console

from edge.budget import Limits
from edge.budget.spending import open_budget
from edge.demo.gateway_child import GatewaySettings
from edge.demo.gateway_process import GatewayProcess
from edge.demo.havoc import Havoc
from edge.demo.observer import Observer
from edge.demo.report import Report, make_report
from edge.demo.screen import Screen
from edge.demo.worker_process import WorkerProcess
from edge.devices import open_device
from edge.devices.model import DEFAULT_MODEL
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway
from edge.gateway.sources import SourceBake, SourceItem, open_path
from edge.gateway.sources.rendered import RenderedBakes
from edge.gateway.threads import in_thread
from edge.watch.opening import open_guard
from shared.broker import EmbeddedBroker, Kind
from shared.broker.embedded import free_port
from shared.clock import system_now_us
from shared.errors import BadInputError, CrustwatchError
from shared.images import encode_jpeg
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig
from shared.mqtt.backoff import Backoff
from shared.output_folder import output_file
from shared.pki.authority import Authority, utc_now
from shared.pki.identity import Identity
from shared.seal import Seal
from shared.seal.seal import load_seal
from shared.task import load_task
from shared.task_errors import own_error_alone
from shared.topics import Line

Outcome = TypeVar("Outcome")

DEFAULT_BAKES = 60
LINE = Line.of("demo", "oven-1")
DEADLINE_S = 120.0  # generous: a worker that is killed and started again still answers in time
MAX_BACKLOG = 2  # one bake at the worker and one on its way: the belt is as fast as the cloud
DEVICE_ATTEMPTS = 3  # an emulated chip that fails does not heal
WORKER_THREADS = 1  # of two cores, the other one emulates the board and renders
WORKER_START_S = 180.0
OUTBOX = "outbox.db"
OBSERVER_BACKOFF = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)  # back before the gateway, to miss nothing
CATCH_UP_S = 5.0  # for the observer, after the gateway has published everything


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `crustwatch demo` was asked for, as typed."""

    bakes: int | None
    seed: int
    path: Path | None
    json: bool
    device: str
    model: Path | None
    checkpoint: str
    broker: str
    chaos: bool
    folder: Path | None
    picture: Path | None
    limits: Limits


@dataclass(slots=True)
class Taken:
    """What was handed to the gateway, noted on the way in."""

    truths: dict[str, str | None] = field(default_factory=dict)  # by name of the bake
    pictures: dict[str, str] = field(default_factory=dict)


def run(options: DemoOptions) -> None:
    """Run the demo; exits with 1 when a bake was lost or a verdict applied twice, with 130 after Ctrl-C."""
    kind = broker_kind(options.broker)
    folder = run_folder(options.folder)
    if options.picture is not None:
        output_file(options.picture)
    report = asyncio.run(until_interrupted(_demo(options, kind, folder)))
    if options.json:
        print(json.dumps(report.as_json()), flush=True)  # noqa: T201
    if report.lost or report.duplicates:
        raise CrustwatchError(f"{report.lost} bakes without verdict, {report.duplicates} duplicates: both must be 0")


async def until_interrupted(work: Coroutine[None, None, Outcome]) -> Outcome:
    """The outcome of `work`; Ctrl-C and SIGTERM end it in order, and this process with 130."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None  # noqa: S101
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, this.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        # The children are gone. A thread may still be compiling the emulator, which nothing can interrupt.
        print("crustwatch: interrupted", file=sys.stderr, flush=True)  # noqa: T201
        sys.stdout.flush()
        os._exit(130)


def broker_kind(name: str) -> Kind | None:
    """The broker of that name; None to choose. Raises BadInputError for another name."""
    if name not in ("auto", "mosquitto", "iotcore"):
        raise BadInputError(f"--broker is auto, mosquitto or iotcore, not {name!r}")
    return None if name == "auto" else cast(Kind, name)


def run_folder(wanted: Path | None) -> Path:
    """The folder for pictures and logs, a temporary one without. Raises BadInputError when it cannot be written."""
    folder = wanted or Path(tempfile.mkdtemp(prefix="crustwatch-demo-"))
    try:
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--out {folder}: cannot be written: {error.strerror}") from None
    return folder


async def _demo(options: DemoOptions, kind: Kind | None, folder: Path) -> Report:
    with contextlib.ExitStack() as parts:
        items, total = _open_source(options, parts)
        data = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="crustwatch-outbox-")))
        authority = Authority.create(data / "pki", LINE.site, utc_now())
        observer, taken = Observer(LINE, system_now_us, demo_seal(authority, "observer", "demo")), Taken()
        screen = Screen(Console(stderr=options.json and sys.stdout.isatty()), observer, taken.pictures, folder)
        # Under chaos the broker comes back at the same port, and with what it had written.
        broker = EmbeddedBroker(kind, free_port(), data / "broker") if options.chaos else EmbeddedBroker(kind)
        parts.enter_context(broker)
        screen.say(f"broker {broker.kind}: pid {broker.pid}, {broker.address}")
        screen.say("requests, answers and verdicts are sealed with keys that end with this run")
        screen.say(f"pictures and logs: {folder}")
        worker = WorkerProcess(
            broker.address, folder / "worker.log", screen.say, options.checkpoint, WORKER_THREADS, authority
        )
        parts.callback(worker.stop)
        worker.start()
        parts.callback(screen.stop)
        killed: dict[str, int] = {}
        passing = _taking(items, taken, folder / "pictures", options.bakes)
        with own_error_alone():
            async with (
                MqttClient(MqttConfig(broker.address, "cw-demo-observer", backoff=OBSERVER_BACKOFF)) as client,
                asyncio.TaskGroup() as tasks,
            ):
                watchers = [
                    tasks.create_task(observer.follow(client), name="demo observer"),
                    tasks.create_task(worker.supervise(), name="demo worker"),
                    tasks.create_task(screen.refresh(), name="demo screen"),
                ]
                identity = authority.issue(Identity.of("gateway", f"{LINE.site}/{LINE.gateway}"), utc_now())
                if options.chaos:
                    gateway = _gateway_process(options, data, folder, identity, broker.address, screen)
                    parts.callback(gateway.stop)
                    screen.say("waiting for the worker to load its model")
                    await wait_for_worker(worker, observer)
                    screen.start(total)
                    havoc = Havoc(options.seed, total, observer, broker, worker, gateway, screen.say)
                    await havoc.pass_bakes(passing, data / OUTBOX)
                    killed = havoc.killed
                else:
                    await _pass_bakes(
                        options, data, broker.address, worker, observer, screen, passing, total, load_seal(identity)
                    )
                await _catch_up(observer, taken)
                for task in watchers:
                    task.cancel()
        screen.stop()
        report = make_report(observer, taken.truths, "user" if options.path else "rendered", killed)
        screen.summary(report)
        if options.picture is not None:
            screen.picture(options.picture, report)
        return report


def demo_seal(authority: Authority, role: str, name: str) -> Seal:
    """A seal of this run's authority."""
    return load_seal(authority.issue(Identity.of(role, name), utc_now()))


def _gateway_process(
    options: DemoOptions, data: Path, folder: Path, identity: Path, address: BrokerAddress, screen: Screen
) -> GatewayProcess:
    model = None if options.model is None else str(options.model)
    settings = GatewaySettings(
        (LINE.site, LINE.gateway),
        str(data / OUTBOX),
        str(identity),
        address.port,
        options.device,
        model,
        DEADLINE_S,
        MAX_BACKLOG,
        options.limits,
    )
    return GatewayProcess(settings, folder / "gateway.log", screen.say)


def _open_source(options: DemoOptions, parts: contextlib.ExitStack) -> tuple[AsyncIterator[SourceItem], int | None]:
    if options.path is not None:
        return in_thread(open_path(options.path, load_task().escalation.frames)), None
    total = options.bakes or DEFAULT_BAKES
    renderer = parts.enter_context(RenderedBakes(options.seed, total))
    return renderer.items(), total


async def _pass_bakes(
    options: DemoOptions,
    data: Path,
    address: BrokerAddress,
    worker: WorkerProcess,
    observer: Observer,
    screen: Screen,
    items: AsyncIterator[SourceItem],
    total: int | None,
    seal: Seal,
) -> None:
    first = " (the first time, the emulator is compiled)" if options.device.startswith("emulated") else ""
    screen.say(f"opening the device {options.device}{first}")
    device = await asyncio.to_thread(open_device, options.device, model=options.model or DEFAULT_MODEL)
    with contextlib.closing(device):
        screen.say("waiting for the worker to load its model")
        await wait_for_worker(worker, observer)
        outbox_config = OutboxConfig(synchronous="NORMAL")
        config = GatewayConfig(
            LINE,
            load_task(),
            deadline_s=DEADLINE_S,
            max_backlog=MAX_BACKLOG,
            device_attempts=DEVICE_ATTEMPTS,
            stats_interval_s=0.2,
            outbox=outbox_config,
        )
        with contextlib.closing(Outbox(data / OUTBOX, config.task, config.outbox)) as outbox:
            async with MqttClient(client_config(address, config, device.kind)) as client:
                screen.start(total)
                gateway = Gateway(
                    config,
                    device,
                    outbox,
                    client,
                    guard=open_guard(options.model or DEFAULT_MODEL, config.task, device),
                    budget=open_budget(
                        options.limits, data / "budget.json", options.model or DEFAULT_MODEL, config.task
                    ),
                    seal=seal,
                    skipped=lambda item: screen.say(f"skipped {item.name}: {item.reason}"),
                )
                await gateway.run(items)


async def wait_for_worker(worker: WorkerProcess, observer: Observer) -> None:
    """Until the worker says that it is online. Raises CrustwatchError when it takes too long."""
    try:
        async with asyncio.timeout(WORKER_START_S):
            while worker.name not in observer.workers:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise CrustwatchError(f"the worker was not ready within {WORKER_START_S:.0f} s: see its log") from None
    worker.was_online.set()


async def _catch_up(observer: Observer, taken: Taken) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CATCH_UP_S):
            while observer.finals < len(taken.truths):
                await asyncio.sleep(0.02)


async def _taking(
    items: AsyncIterator[SourceItem], taken: Taken, pictures: Path, limit: int | None
) -> AsyncIterator[SourceItem]:
    """The source, with a note of each bake that the gateway takes and a picture of it."""
    async for item in items:
        if isinstance(item, SourceBake):
            if limit is not None and len(taken.truths) >= limit:
                return
            taken.truths[item.name] = item.truth
            taken.pictures[item.name] = item.picture or await asyncio.to_thread(_save_picture, item, pictures)
        yield item


def _save_picture(bake: SourceBake, folder: Path) -> str:
    path = folder / f"{bake.name.replace('/', '_')}.jpg"
    path.write_bytes(encode_jpeg(bake.frames[bake.key]))
    return str(path)
