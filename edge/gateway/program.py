"""The gateway as a process: opens source, device, outbox and link, and obeys SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.budget import Limits
from edge.budget.spending import Budget, open_budget
from edge.devices import Device, open_device
from edge.devices.model import DEFAULT_MODEL
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway
from edge.gateway.sources import SourceItem, open_path
from edge.gateway.sources.rendered import RenderedBakes
from edge.gateway.threads import in_thread
from edge.loop.registry import Registry
from edge.loop.store import Store
from edge.shadow.opening import nowhere, open_shadow
from edge.shadow.shadow import Shadow
from edge.watch.guard import Guard, WhenWithdrawn
from edge.watch.opening import open_guard
from shared.clock import SteadyClock
from shared.errors import BadInputError
from shared.heap import settle_heap
from shared.mqtt import MqttClient, MqttConfig, parse_address
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.retention import NO_LIMITS
from shared.retention import Limits as RetentionLimits
from shared.seal import Seal
from shared.seal.choose import choose
from shared.task import load_task
from shared.topics import Line, check_name

log = logging.getLogger(__name__)

DEFAULT_SEED = 1
REOFFER_S = 60.0  # under --session, for the source to bring a bake again whose clip a kill -9 took
DEFAULT_SITE, DEFAULT_GATEWAY = "site-1", "gateway-1"


@contextlib.contextmanager
def open_source(source: str, bakes: int, frames: int) -> Iterator[AsyncIterator[SourceItem]]:
    """The bakes that `source` names: `rendered[:SEED]` or a path. Raises BadInputError."""
    kind, _, seed = source.partition(":")
    if kind != "rendered":
        yield in_thread(open_path(Path(source), frames))
        return
    if seed and not (seed.isascii() and seed.isdecimal()):
        raise BadInputError(f"--source rendered:SEED takes a number, not {seed!r}")
    with RenderedBakes(int(seed) if seed else DEFAULT_SEED, bakes) as rendered:
        yield rendered.items()


@dataclass(frozen=True, slots=True)
class Options:
    """What `crustwatch edge run` was asked for, as typed."""

    source: str
    device: str
    model: Path | None
    broker: str
    site: str | None
    gateway: str | None
    camera: str
    task: str
    outbox: Path
    outbox_bytes: int
    session: str | None
    certificate: Path | None
    signer: str | None
    audit: float | None
    limits: Limits
    deadline_s: float | None
    bakes: int
    backlog: int
    credentials: Credentials | None = None
    unsigned: bool = False
    store: Path | None = None
    store_limits: RetentionLimits = NO_LIMITS
    registry: Path | None = None
    shadow: Path | None = None
    when_withdrawn: WhenWithdrawn = "mark"

    def line(self) -> Line:
        """As told, as the certificate says, or the first of a site. Raises BadInputError."""
        own = Line(DEFAULT_SITE, DEFAULT_GATEWAY) if self.credentials is None else self.credentials.identity().line
        return Line.of(self.site or own.site, self.gateway or own.gateway)


def with_registry(options: Options) -> Options:
    """The registry's champion decides under its own certificate, and its challenger is in shadow.

    Raises BadInputError when a model is named as well, or a file of the registry was changed.
    """
    if options.registry is None:
        return options
    for name, given in (("model", options.model), ("certificate", options.certificate), ("shadow", options.shadow)):
        if given is not None:
            raise BadInputError(f"--registry says what --{name} would: give one of them")
    registry = Registry.open(options.registry)
    champion = registry.champion
    certificate = registry.certificate_of(champion)
    log.info("%s decides, %s is in shadow", champion.name, registry.challenger.name if registry.challenger else "none")
    return dataclasses.replace(
        options,
        model=champion,
        certificate=certificate,
        signer=options.signer or (registry.signer if certificate else None),
        shadow=registry.challenger,
    )


def serve(options: Options) -> None:
    """Run until the source has ended and each bake has its verdict, or until told to stop. Raises CrustwatchError."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = with_registry(options)
    address = parse_address(options.broker)
    config = GatewayConfig(
        line=options.line(),
        task=load_task(options.task),
        camera=check_name(options.camera, "camera"),
        deadline_s=options.deadline_s,
        max_backlog=options.backlog,
        session=options.session,
        outbox=OutboxConfig(max_bytes=options.outbox_bytes, reoffer_s=0.0 if options.session is None else REOFFER_S),
    )
    identity = Identity.of("gateway", f"{config.line.site}/{config.line.gateway}")
    security = choose(address, options.credentials, options.unsigned, identity)
    with (
        open_source(options.source, options.bakes, config.task.escalation.frames) as items,
        contextlib.closing(Outbox(options.outbox, config.task, config.outbox)) as outbox,
        open_device(options.device, model=options.model or DEFAULT_MODEL, task=options.task) as device,
    ):
        if waiting := outbox.backlog():
            log.info("%d bakes of an earlier run still wait for their verdict", waiting)
        guard = open_guard(
            options.model or DEFAULT_MODEL,
            config.task,
            device,
            certificate=options.certificate,
            signer=options.signer,
            audit_share=options.audit,
            state=options.outbox.with_name(f"{options.outbox.name}.guard.json"),
            when_withdrawn=options.when_withdrawn,
        )
        account = options.outbox.with_name(f"{options.outbox.name}.budget.json")
        budget = open_budget(options.limits, account, options.model or DEFAULT_MODEL, config.task)
        mqtt = dataclasses.replace(client_config(address, config, device.kind), tls_context=security.tls_context)
        store = None if options.store is None else Store.begin(options.store, config.task)
        shadow = None
        if options.shadow is not None:
            shadow = open_shadow(
                options.shadow,
                config.task,
                device.hello().model_sha256,
                task_name=options.task,
                write=nowhere if store is None else store.add_shadow,
                signer=options.signer,
            )
        work = run_gateway(
            mqtt,
            config,
            device,
            outbox,
            items,
            guard=guard,
            budget=budget,
            seal=security.seal,
            store=store,
            store_limits=options.store_limits,
            shadow=shadow,
        )
        asyncio.run(work)


async def run_gateway(
    mqtt: MqttConfig,
    config: GatewayConfig,
    device: Device,
    outbox: Outbox,
    items: AsyncIterator[SourceItem],
    *,
    guard: Guard | None = None,
    budget: Budget | None = None,
    clock: SteadyClock | None = None,
    seal: Seal | None = None,
    store: Store | None = None,
    store_limits: RetentionLimits = NO_LIMITS,
    shadow: Shadow | None = None,
) -> None:
    """Inspect `items` until they end, or until SIGTERM or Ctrl-C. Raises what the device or the source raises."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None  # noqa: S101
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    async with MqttClient(mqtt, patient=True) as client:
        gateway = Gateway(
            config,
            device,
            outbox,
            client,
            clock=clock,
            guard=guard,
            budget=budget,
            seal=seal,
            store=store,
            store_limits=store_limits,
            shadow=shadow,
        )
        settle_heap()
        log.info("%s inspects for %s on %s", device.name, config.line.prefix, mqtt.address)
        try:
            await gateway.run(items)
        except asyncio.CancelledError:
            log.info("stopped; %d bakes wait in the outbox for the next start", outbox.backlog())
        stats = gateway.stats()
    log.info(
        "%d bakes, %d final, %d escalated, %d timeouts", stats.bakes, stats.finals, stats.escalated, stats.timeouts
    )
