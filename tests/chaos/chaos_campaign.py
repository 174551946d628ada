"""One campaign: a line of real processes, faults by schedule, and the witness's judgement.

Gateway, workers, board and mosquitto are processes of their own, killed with SIGKILL. Between them and the broker
stand proxies that are a bad network. The witness is connected to the broker itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import chaos_gateway
import msgspec
from fault_proxy import FaultProxy
from faulty_broker import FaultyBroker
from parts import HERE, BoardPart, Part
from power_cut import cut_power, synced_frames
from schedule import Fault, Plan
from witness import Witness, unpublished, violations

from shared.broker.embedded import EmbeddedBroker, free_port
from shared.errors import BadInputError
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig

END_S = 180.0  # the longest wait for a part to get on; a quiet machine needs a few seconds
MEASURE_S = 1.0
MEMORY_BYTES = 120_000_000  # peak of a gateway or worker; they start at about 50 MB
FILE_BYTES = 64_000_000  # outbox and log of 500 small clips with all their verdicts


class Report(msgspec.Struct):
    """What became of a campaign."""

    seed: int
    bakes: int
    violations: list[str]
    seconds: float
    faults: dict[str, int]
    repeats: int
    corrections: int
    shed: int
    problems: list[str]
    peak_bytes: int


class Campaign:
    """The parts of one campaign, and what can be done to them."""

    def __init__(self, plan: Plan, folder: Path, pictures: Path, library: Path | None) -> None:
        self.plan, self.folder = plan, folder
        self.rng = random.Random(f"campaign {plan.seed}")
        self.faulty: FaultyBroker | None = None
        self.mosquitto: EmbeddedBroker | None = None
        self.broker_port = free_port()
        self.networks = {
            side: FaultProxy(free_port(), self.broker_port, random.Random(f"{side} {plan.seed}"))
            for side in ("gateway", "worker")
        }
        python, port = sys.executable, self.networks["worker"].port
        self.workers = [
            Part(
                name,
                [python, str(HERE / "chaos_worker.py"), name, str(port), str(folder)],
                folder / f"{name}.log",
                "serves task",
            )
            for name in (f"w-{number}" for number in range(plan.workers))
        ]
        self.board = BoardPart(library, folder, plan.seed)
        device = "reference" if library is None else f"serial:{folder / 'board'}"
        settings = chaos_gateway.Settings(
            str(folder), str(pictures), self.networks["gateway"].port, device, plan.deadline_s, plan.outbox_bytes,
            plan.never_sure,
        )  # fmt: skip
        command = [python, str(HERE / "chaos_gateway.py"), msgspec.json.encode(settings).decode()]
        self.gateway = Part("gateway", command, folder / "gateway.log", "inspects for")
        self.names = sorted(path.name for path in pictures.glob("*.jpg"))[: plan.bakes]
        self.seen = Witness(chaos_gateway.LINE)
        self.happened: dict[str, int] = {}
        self.hours = 0.0
        self._gateway_wanted = True

    @property
    def outbox(self) -> Path:
        """The gateway's database."""
        return self.folder / "outbox.db"

    # The broker.

    async def start_broker(self) -> None:
        if self.plan.broker == "faulty":
            self.faulty = self.faulty or FaultyBroker(self.broker_port, self.plan.seed)
            await self.faulty.start()
        else:
            self.mosquitto = self.mosquitto or EmbeddedBroker("mosquitto", self.broker_port, self.folder / "broker")
            self.mosquitto.start()

    async def kill_broker(self, lasts_s: float, *, lose_data: bool) -> None:
        """Kill -9; the network stays closed until the witness is back, who must not miss what is said meanwhile."""
        if self.faulty is not None:
            await self.faulty.kill(lose_data=lose_data)
        if self.mosquitto is not None:
            self.mosquitto.kill()
            if lose_data:
                (self.folder / "broker" / "mosquitto.db").unlink(missing_ok=True)
        for network in self.networks.values():
            network.close()
        await asyncio.sleep(lasts_s)
        await self.start_broker()
        await asyncio.sleep(0.05)  # for the witness's client to notice, if it has not
        async with asyncio.timeout(END_S):
            await self.observer.wait_connected()
        for network in self.networks.values():
            network.open()

    # Faults.

    async def strike(self, fault: Fault) -> None:
        """Do a fault, and heal it."""
        self.happened[fault.kind] = self.happened.get(fault.kind, 0) + 1
        network, gateway = self.networks[fault.side], self.gateway
        worker = self.rng.choice(self.workers)
        match fault.kind:
            case "kill gateway":
                await self.without_gateway(fault.lasts_s)
            case "power cut":
                await self.without_gateway(fault.lasts_s, self.cut_power)
            case "kill worker":
                worker.kill()
                await asyncio.sleep(fault.lasts_s)
                worker.start()
            case "kill broker" | "kill broker, lose data":
                await self.kill_broker(fault.lasts_s, lose_data=fault.kind.endswith("data"))
            case "freeze gateway" | "freeze worker":
                part = gateway if fault.kind == "freeze gateway" else worker
                await self.while_(fault, lambda: part.signal(signal.SIGSTOP), lambda: part.signal(signal.SIGCONT))
            case "net cut":
                await self.while_(fault, network.close, network.open)
            case "net delay":
                delay_s = self.rng.choice((0.02, 0.15))
                await self.while_(fault, network.delay(delay_s), network.delay(0.0))
            case "net loss":
                await self.while_(fault, network.lose(0.1), network.lose(0.0))
            case "half open":
                network.half_open()
            case "disk full":
                await self.while_(fault, self.fill_disk, lambda: self.limit_files(resource.RLIM_INFINITY))
            case "clock jump":
                self.hours += fault.hours
                fresh = self.folder / "clock.new"
                fresh.write_text(str(3600 * self.hours))
                fresh.rename(self.folder / "clock")
            case "noise":
                await self.while_(fault, lambda: self.board.tell("noise"), lambda: self.board.tell("quiet"))
            case "reset board":
                self.board.tell("reset")
            case "unplug board":
                await self.while_(fault, lambda: self.board.tell("unplug"), lambda: self.board.tell("plug"))
            case "kill board":
                self.board.end(kill=True)
                await asyncio.sleep(fault.lasts_s)
                self.board.start()

    async def while_(self, fault: Fault, begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            end()

    async def without_gateway(self, lasts_s: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._gateway_wanted = False
        self.gateway.kill()
        meanwhile()
        await asyncio.sleep(lasts_s)
        self.gateway.start()
        self._gateway_wanted = True

    def cut_power(self) -> None:
        """What the gateway had not synced is in the hands of fate."""
        if self.outbox.with_name("outbox.db-shm").exists():
            cut_power(self.outbox, self.rng, synced_frames(self.outbox))

    def fill_disk(self) -> None:
        """No file of the gateway may grow: as on a full disk, writes that would fail."""
        log = self.outbox.with_name("outbox.db-wal")
        sizes = [path.stat().st_size for path in (self.outbox, log) if path.exists()]
        self.limit_files(max(4096, min(sizes, default=4096)))

    def limit_files(self, size: int) -> None:
        child = self.gateway.child
        if child is not None and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    # From beginning to end.

    async def run(self) -> Report:
        """Start everything, let the faults strike, and judge."""
        started_s = time.monotonic()
        await self.start_broker()
        found: list[str] = []
        config = MqttConfig(
            BrokerAddress(port=self.broker_port), "observer", backoff=chaos_gateway.QUICK, keepalive_s=60
        )
        async with MqttClient(config) as self.observer:
            follower = self.follower = asyncio.create_task(self.seen.follow(self.observer))
            for network in self.networks.values():
                await network.start()
            self.board.start()
            for part in (*self.workers, self.gateway):
                part.start()
            keeper = asyncio.create_task(self.keep_gateway())
            strikes: list[asyncio.Task[None]] = []
            try:
                for fault in self.plan.faults:
                    await self.until(lambda at=fault.at_bake: len(self.seen.bakes) >= at, f"{fault.at_bake} bakes")  # type: ignore[misc]
                    strikes.append(asyncio.create_task(self.strike(fault)))
                    await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.3)))
                await asyncio.gather(*strikes)
                await self.until(lambda: keeper.done(), "the gateway's end")
                await keeper
                await self.until(lambda: len(self.seen.finals) >= len(self.names), "the witness", patience_s=3.0)
            except TimeoutError as error:
                found.append(f"stuck: {error}")
            for task in (*strikes, keeper, follower):
                task.cancel()
            results = await asyncio.gather(*strikes, keeper, follower, return_exceptions=True)
            found += [
                f"{error!r}"
                for error in results
                if isinstance(error, Exception) and not isinstance(error, TimeoutError)
            ]
        found += await self.end_parts()
        if self.seen.lost_clips and not {"power cut", "kill gateway"} & set(self.happened):
            found.append(f"clips were lost though the gateway lived: {sorted(self.seen.lost_clips)[:4]}")
        found += violations(self.seen, self.outbox, self.names, chaos_gateway.MAX_BACKLOG, self.plan.outbox_bytes)
        return self.report(found, time.monotonic() - started_s)

    async def keep_gateway(self) -> None:
        """What a service manager does: start the gateway again until it is done and has nothing left to repeat."""
        while True:
            await asyncio.sleep(0.05)
            child = self.gateway.child
            if child is None or not self._gateway_wanted or child.poll() is None:
                continue
            if child.returncode == 0:
                if not unpublished(self.outbox):
                    return
                self.gateway.start()
                continue
            said = self.gateway.log.read_text(errors="replace").strip().splitlines() or [""]
            # A crash, or one of its own checks failed: a bake taken twice is bad input too, and no fault of the disk.
            if "ends: " not in said[-1] or child.returncode == BadInputError.exit_code:
                self.gateway.ends.append(child.returncode)
            await asyncio.sleep(0.1)
            if self._gateway_wanted:
                self.gateway.start()

    async def until(self, condition: Callable[[], object], what: str, patience_s: float = END_S) -> None:
        """Wait for a condition; TimeoutError says what was waited for when no bake got on for `patience_s`."""
        last, since_s, measured_s = -1, time.monotonic(), 0.0
        while not condition():
            if self.follower.done():
                raise TimeoutError("the witness is blind")
            if time.monotonic() - measured_s > MEASURE_S:
                measured_s = time.monotonic()
                self.gateway.measure()
            progress = len(self.seen.bakes) + len(self.seen.finals)
            if progress != last:
                last, since_s = progress, time.monotonic()
            if time.monotonic() - since_s > patience_s:
                raise TimeoutError(f"no progress for {patience_s:.0f} s while waiting for {what}")
            await asyncio.sleep(0.01)

    async def end_parts(self) -> list[str]:
        """Stop what still runs; what ended badly, grew too large or left children behind."""
        found = []
        for part in (self.gateway, *self.workers):
            part.signal(signal.SIGCONT)
            await asyncio.to_thread(part.stop)
            found += [f"{part.name} ended with {status}" for status in part.ends if status != 0]
            if part.peak_bytes > MEMORY_BYTES:
                found.append(f"{part.name}: {part.peak_bytes} bytes of memory")
        if (status := self.board.end(kill=False)) != 0:
            found.append(f"the board ended with {status}")
        for network in self.networks.values():
            await network.stop()
        if self.faulty is not None:
            await self.faulty.kill()
        if self.mosquitto is not None:
            self.mosquitto.stop()
        sizes = {path.name: path.stat().st_size for path in self.folder.glob("outbox.db*")}
        if sum(sizes.values()) > FILE_BYTES:
            found.append(f"the outbox takes {sizes}")
        return found

    def report(self, found: list[str], seconds: float) -> Report:
        faults = dict(self.happened)
        if self.faulty is not None:
            faults |= self.faulty.done
        return Report(
            seed=self.plan.seed,
            bakes=self.plan.bakes,
            violations=found,
            seconds=seconds,
            faults=faults,
            repeats=self.seen.repeats,
            corrections=len(self.seen.corrections),
            shed=self.seen.shed,
            problems=sorted(self.seen.problems),
            peak_bytes=max(part.peak_bytes for part in (self.gateway, *self.workers)),
        )


def run_campaign(plan: Plan, folder: Path, pictures: Path, library: Path | None) -> Report:
    """Run one campaign in `folder`, which is empty."""
    work: Callable[[], Awaitable[Report]] = Campaign(plan, folder, pictures, library).run
    return asyncio.run(work())  # type: ignore[arg-type]
