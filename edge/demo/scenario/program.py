"""A scenario from the first bake to the picture: shift, alarm, everything escalated, learning, trial, promotion.

Broker, worker, renderers and every long chore are processes of their own. All shares are counted from outside: verdicts
as an observer reads them, against the truth that the renderer knows and nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from edge.certification.certificate import Certificate, load_certificate
from edge.demo.observer import Observer
from edge.demo.program import (
    LINE,
    OBSERVER_BACKOFF,
    WORKER_THREADS,
    broker_kind,
    demo_seal,
    run_folder,
    until_interrupted,
    wait_for_worker,
)
from edge.demo.scenario.commands import COMPILER, Chores, can_build_firmware
from edge.demo.scenario.diary import Belt, Diary, one_after_another
from edge.demo.scenario.line import OvenLine
from edge.demo.scenario.options import ScenarioOptions, check_parts
from edge.demo.scenario.outcome import Trial, outcome_of, table_of
from edge.demo.scenario.plan import DELTA
from edge.demo.scenario.watching import Watching
from edge.demo.worker_process import WorkerProcess
from edge.devices.model import DEFAULT_MODEL
from edge.gateway.sources.rendered import RenderedBakes
from edge.loop.registry import CERTIFICATE, MODEL, Registry
from edge.loop.store import Store
from edge.loop.trial import check_trial, trial_of
from shared.broker import EmbeddedBroker
from shared.clock import system_now_us
from shared.errors import BadInputError, CrustwatchError
from shared.mqtt import MqttClient, MqttConfig
from shared.pki.authority import Authority, utc_now
from shared.pki.identity import Identity
from shared.seal.seal import load_seal
from shared.task import load_task
from shared.task_errors import own_error_alone

RENDERERS = 2
MADE = ("first-model", "registry", "store", "challenger")  # by a run, below its folder
LEARNING_PAUSE_S = 0.3  # between bakes while the challenger is trained: it needs the cores more
LEARNING_BAKES = 0.3  # of the lessons: more do not pass while the challenger is trained
WITHOUT_COMPILER = "litert"  # the promoted model's device when no firmware can be built
POLL_S = 0.2


def run(options: ScenarioOptions) -> None:
    """Run a scenario; exits with 1 when a bake was lost or a verdict applied twice, with 130 after Ctrl-C."""
    logging.getLogger("edge.watch").setLevel(logging.ERROR)  # alarms are told by the scenario
    check_parts(options.plot)
    folder = run_folder(options.folder)
    if left := [name for name in MADE if (folder / name).exists()]:
        raise BadInputError(f"--out {folder}: holds {left[0]} of an earlier scenario: name another folder")
    kind = broker_kind(options.broker)
    outcome = asyncio.run(until_interrupted(Scenario(options, folder).run(EmbeddedBroker(kind))))
    if options.json:
        print(json.dumps(outcome), flush=True)  # noqa: T201
    if outcome["lost"] or outcome["duplicates"]:
        raise CrustwatchError(
            f"{outcome['lost']} bakes without verdict, {outcome['duplicates']} duplicates: both must be 0"
        )


class Scenario:
    """One run."""

    def __init__(self, options: ScenarioOptions, folder: Path) -> None:
        self._options, self._plan, self._folder = options, options.plan, folder
        self._console = Console(stderr=options.json and sys.stdout.isatty())
        self._task = load_task()
        self._diary = Diary(time.monotonic)
        self._trial = Trial()
        self._is_learning, self._has_learnt = False, asyncio.Event()
        self._began_learning = 0

    async def run(self, broker: EmbeddedBroker) -> dict[str, Any]:
        """The outcome, as `--json` prints it. Whatever ends it, what it started has ended before."""
        with contextlib.ExitStack() as parts:
            return await self._run(broker, parts)

    async def _run(self, broker: EmbeddedBroker, parts: contextlib.ExitStack) -> dict[str, Any]:
        plan = self._plan
        data = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="crustwatch-scenario-")))
        usual = parts.enter_context(RenderedBakes(plan.seed, plan.before, RENDERERS))
        shifted = parts.enter_context(
            RenderedBakes(plan.seed, plan.most, RENDERERS, start=plan.before, shift=plan.shift)
        )
        belt = Belt(one_after_another(usual.items(), shifted.items()), self._diary, self._ready)
        chores = Chores(self._folder)
        parts.callback(chores.stop)
        authority = Authority.create(data / "pki", LINE.site, utc_now())
        observer = Observer(LINE, system_now_us, demo_seal(authority, "observer", "demo"))
        self._watching = Watching(self._console, observer, self._diary, self._task.critical)
        parts.enter_context(broker)
        self._watching.say(f"broker {broker.kind}: pid {broker.pid}, {broker.address}; logs and plot: {self._folder}")
        worker = WorkerProcess(
            broker.address,
            self._folder / "worker.log",
            self._watching.say,
            self._options.checkpoint,
            WORKER_THREADS,
            authority,
        )
        parts.callback(worker.stop)
        worker.start()
        registry = await self._found(chores)
        identity = authority.issue(Identity.of("gateway", f"{LINE.site}/{LINE.gateway}"), utc_now())
        line = OvenLine(
            self._task,
            data,
            broker.address,
            load_seal(identity),
            Store.begin(self._folder / "store", self._task),
            self._options.limits,
            self._watching.say,
        )
        with own_error_alone():
            async with (
                MqttClient(MqttConfig(broker.address, "cw-demo-observer", backoff=OBSERVER_BACKOFF)) as client,
                asyncio.TaskGroup() as tasks,
            ):
                watchers = [
                    tasks.create_task(observer.follow(client), name="scenario observer"),
                    tasks.create_task(worker.supervise(), name="scenario worker"),
                ]
                await wait_for_worker(worker, observer)
                await self._pass_bakes(line, belt, registry, chores)
                await self._catch_up(observer)
                for watcher in watchers:
                    watcher.cancel()
        plot = self._options.plot or self._folder / "scenario.png"
        outcome = outcome_of(plan, self._trial, self._diary, observer, self._task.critical, plot)
        self._console.print(table_of(outcome))
        self._watching.say(f"promoted: {'yes' if self._trial.promoted else 'no'}; {self._trial.why}")
        self._watching.say(f"plot: {plot}")
        return outcome

    async def _found(self, chores: Chores) -> Registry:
        """A registry with the first champion: the shipped model, certified on rendered bakes of the usual look."""
        plan, alpha = self._plan, self._plan.alpha
        model = self._options.model or DEFAULT_MODEL
        self._watching.say(
            f"certifying the first model on {plan.calibration} rendered bakes: {alpha}, confidence {1 - DELTA:g}"
        )
        first = self._folder / "first-model"
        shutil.copytree(model, first)
        await chores.run(
            "certify",
            *("edge", "certify", "--model", str(model), "--alpha", alpha, "--delta", str(DELTA)),
            *("--bakes", str(plan.calibration), "--processes", str(RENDERERS)),
            *("--out", str(first / CERTIFICATE), "--key", str(self._folder / "signer.pem")),
        )
        return Registry.create(self._folder / "registry", self._task.name, first)

    async def _pass_bakes(self, line: OvenLine, belt: Belt, registry: Registry, chores: Chores) -> None:
        plan, diary, trial = self._plan, self._diary, self._trial
        champion = registry.champion
        promise = load_certificate(champion / CERTIFICATE).certificate
        with own_error_alone():
            async with asyncio.TaskGroup() as tasks:
                lessons = tasks.create_task(self._watch(promise, chores), name="scenario lessons")
                await line.serve(
                    self._options.device, champion, champion / CERTIFICATE, belt.until(self._has_learnt.is_set)
                )
                await lessons
        registry = Registry.open(registry.folder)
        if registry.challenger is None:
            return
        begun = diary.count
        self._watching.note(
            "shadow", f"{registry.challenger.name} beside the champion, on {WITHOUT_COMPILER}", "shadow"
        )
        stats = await line.serve(
            self._options.device,
            champion,
            champion / CERTIFICATE,
            belt.until(lambda: diary.count - begun >= plan.shadow),
            trial=registry.challenger,
        )
        trial.shadow = stats.shadow
        tried = trial_of(line.store.shadows(), _sha256(champion), _sha256(registry.challenger))
        trial.why = (
            f"of {tried.resolved} disagreements the cloud sided with it in {tried.challenger_right},"
            f" with the champion in {tried.champion_right}"
        )
        try:
            check_trial(tried)
        except BadInputError as error:
            trial.why = str(error)
            registry.drop(trial.why)
            self._watching.note("dropped", trial.why, "escalated")
            return
        registry.promote(trial.why)
        trial.promoted = True
        trial.device = await self._device_of(registry.champion, chores)
        begun = diary.count
        self._watching.note("promoted", f"{registry.champion.name} decides, on {trial.device}: {trial.why}", "after")
        promise = load_certificate(registry.champion / CERTIFICATE).certificate
        await line.serve(
            trial.device,
            registry.champion,
            registry.champion / CERTIFICATE,
            belt.until(lambda: diary.count - begun >= plan.after),
        )
        self._trial.was_in_force(promise, begun, diary.count)

    async def _watch(self, promise: Certificate, chores: Chores) -> None:
        """Wait for the alarm and for enough verdicts, then learn from them while bakes go on passing."""
        plan, diary = self._plan, self._diary
        try:
            while (alarm := self._watching.alarm()) is None:
                if diary.count - plan.before > plan.unnoticed:
                    self._trial.why = f"no alarm within {plan.unnoticed} bakes of the shift"
                    return
                await asyncio.sleep(POLL_S)
            ended = diary.count
            self._trial.was_in_force(promise, 0, ended)
            self._watching.note("alarm", f"{alarm}: the certificate ends, every bake is escalated", "escalated")
            while self._watching.finals_since(ended) < plan.lessons:
                await asyncio.sleep(POLL_S)
            self._watching.note(
                "learning", f"from {self._watching.finals_since(ended)} verdicts since the alarm and those before"
            )
            self._is_learning, self._began_learning = True, diary.count
            await self._learn(chores)
        finally:
            self._has_learnt.set()

    async def _learn(self, chores: Chores) -> None:
        plan, trial = self._plan, self._trial
        try:
            trial.learnt = await chores.run(
                "learn",
                *("edge", "learn", "--store", str(self._folder / "store")),
                *("--registry", str(self._folder / "registry")),
                *("--alpha", plan.alpha, "--delta", str(DELTA), "--key", str(self._folder / "signer.pem")),
                *("--replay", str(plan.replay), "--trusted", str(plan.trusted)),
                *("--processes", str(RENDERERS)),
                *("--out", str(self._folder / "challenger")),
            )
        except CrustwatchError as error:
            trial.why = str(error)
        else:
            if not trial.learnt["accepted"]:
                trial.why = "; ".join(trial.learnt["reasons"])
        if not trial.learnt.get("accepted"):
            self._watching.note("refused", f"no challenger: {trial.why}")

    async def _device_of(self, model: Path, chores: Chores) -> str:
        """The promoted model's device: the emulated board with firmware of its own where that can be built."""
        if self._options.device.partition(":")[0] not in ("emulated", "emulated-camera"):
            return self._options.device
        if not can_build_firmware():
            self._watching.say(
                f"no {COMPILER} here: the promoted model runs on {WITHOUT_COMPILER} instead of the board"
            )
            return WITHOUT_COMPILER
        out = self._folder / "firmware"
        await chores.run("firmware", "firmware", "build", "--model", str(model), "--out", str(out))
        return f"{self._options.device.partition(':')[0]}:{out / 'firmware.elf'}"

    async def _ready(self) -> None:
        """Before each bake: show where things stand; while the challenger is trained, let it have the cores."""
        self._watching.progress()
        if self._diary.count == self._plan.before and self._diary.phase == "before":
            self._watching.note("shift", f"{self._plan.shift} begins", "shift")
        if not self._is_learning or self._has_learnt.is_set():
            return
        await asyncio.sleep(LEARNING_PAUSE_S)
        most = self._began_learning + LEARNING_BAKES * self._plan.lessons
        while not self._has_learnt.is_set() and self._diary.count >= most:
            await asyncio.sleep(POLL_S)

    async def _catch_up(self, observer: Observer) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                while observer.finals < self._diary.count:
                    await asyncio.sleep(POLL_S)


def _sha256(model: Path) -> str:
    return hashlib.sha256((model / MODEL).read_bytes()).hexdigest()
