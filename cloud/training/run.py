"""A whole training run: render beside, learn, save, resume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cloud.curve import Curve
from cloud.training.batches import RoundSampler, choose_frames, make_batch
from cloud.training.export import export_checkpoint
from cloud.training.learner import Learner, random_of, read_state, write_state
from cloud.training.plan import TRAINING_SEEDS, VALIDATION_SEED, TrainingPlan
from cloud.training.store import (
    SHARD_CLIPS,
    VALIDATION_SHARDS,
    ClipStore,
    Renderer,
    Shard,
    training_shards,
    validation_shards,
)
from cloud.training.symmetries import seen_otherwise
from cloud.vocabulary import build_tokenizer
from shared.bakery import FRAME_COUNT, KEY_FRAME
from shared.errors import BadInputError
from shared.intervals import Share, wilson
from shared.output_folder import output_folder
from shared.task import Task

STATE_NAME = "training-state.pt"
LOG_EVERY = 5  # steps between two points of the loss curve


@dataclass(frozen=True)
class Limits:
    """When a run stops: after so many minutes of work, or after so many steps."""

    minutes: float | None = None
    steps: int | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, 0..1."""
        by_time = 0.0 if self.minutes is None else seconds / (60 * self.minutes)
        by_steps = 0.0 if self.steps is None else step / self.steps
        return min(1.0, max(by_time, by_steps))


@dataclass(frozen=True)
class Report:
    """What a run tells whoever watches it."""

    step: int
    progress: float
    seconds: float
    clips_rendered: int
    clips_seen: int
    losses: dict[str, float] = field(default_factory=dict)
    validation: Share | None = None


Watcher = Callable[[Report], None]


class Run:
    """One training run in a folder, which ends up as a checkpoint folder."""

    def __init__(
        self,
        folder: Path,
        cache: Path | None,
        plan: TrainingPlan,
        limits: Limits,
        task: Task,
        *,
        resume: bool,
        processes: int = 1,
        validation: int = VALIDATION_SHARDS,
        save_every_s: float = 60.0,
        export_every_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.plan, self.limits, self.task = folder, plan, limits, task
        self.training, self.validation = training_shards(plan.clips), validation_shards(validation)
        self._state_path = folder / STATE_NAME
        self._processes = processes
        self._save_every_s, self._export_every_s = save_every_s, export_every_s
        self._clock = clock
        if self._state_path.exists() and not resume:
            raise BadInputError(f"{folder} holds an unfinished run: add --resume, or name another folder")
        output_folder(folder)
        self.store = ClipStore(cache, plan.pixels, task)
        self.tokenizer = build_tokenizer(task)
        self.learner = Learner(plan, self.tokenizer, task)
        self.sampler = RoundSampler(self.store, self.training, plan.seed)
        self.step, self.seconds, self.clips_seen = 0, 0.0, 0
        self.curve: list[dict[str, float]] = []
        self.validated: Share | None = None
        if resume and self._state_path.exists():
            self._restore(read_state(self._state_path))

    def go(self, watch: Watcher) -> Share:
        """Train to the limits and write the checkpoint; returns the last validation accuracy.

        Leaves a state to resume from when interrupted or killed at any moment.
        """
        started = self._clock() - self.seconds
        early, late = self.training[:6], self.training[6:]  # something to learn from, then all to measure by
        order = (*self.validation[:1], *early, *self.validation[1:], *late)
        renderer = Renderer(self.store, order, self._processes)
        curve = Curve(self.folder, self.step)
        try:
            self._await_first_shards(renderer, watch, started)
            saved = exported = self._clock()
            while (progress := self._progress(started)) < 1.0:
                self._learn(progress, watch, curve)
                now = self._clock()
                if now - saved >= self._save_every_s:
                    renderer.check()
                    self.save()
                    saved = now
                if now - exported >= self._export_every_s:
                    self._validate(self.store.ready(self.validation), watch)
                    self._export()
                    exported = self._clock()
        finally:
            self.save()
            curve.close()
            renderer.close()
        result = self._validate(self.store.ready(self.validation), watch)
        self._export()
        return result

    def _progress(self, started: float) -> float:
        self.seconds = self._clock() - started
        return self.limits.progress(self.step, self.seconds)

    def _await_first_shards(self, renderer: Renderer, watch: Watcher, started: float) -> None:
        needed = (self.training[0], self.validation[0])
        while len(self.store.ready(needed)) < len(needed):
            renderer.check()
            time.sleep(0.2)
            self.seconds = self._clock() - started
            watch(self._report(0.0))

    def _learn(self, progress: float, watch: Watcher, curve: Curve) -> None:
        phase = self.plan.phase(progress)
        random = random_of(self.plan.seed, self.step)
        records = seen_otherwise(self.sampler.next(phase.batch_clips), random)
        batch = make_batch(records, choose_frames(min(phase.frames, self.plan.frames), random), random)
        if self.step == 0:
            self.learner.begin(batch)
        losses = self.learner.step(batch, self.step, progress)
        if self.step % LOG_EVERY == 0:
            self.curve.append({"step": float(self.step), **losses})
            curve.add(self.step, {f"loss/{name}": value for name, value in losses.items()})
        self.step += 1
        self.clips_seen += len(records)
        watch(self._report(progress, losses))

    def _validate(self, there: list[Shard], watch: Watcher) -> Share:
        hits = count = 0
        shown = np.arange(FRAME_COUNT) if self.plan.frames > 1 else np.array([KEY_FRAME, KEY_FRAME])
        with self.learner.averaged_weights():
            for shard in there:
                records = self.store.open(shard)
                for start in range(0, SHARD_CLIPS, 32):
                    part = np.array(records[start : start + 32])  # [32]
                    hits += self.learner.doneness_hits(make_batch(part, shown, None))
                    count += len(part)
        self.validated = wilson(hits, count)
        watch(self._report(self.limits.progress(self.step, self.seconds)))
        return self.validated

    def _report(self, progress: float, losses: dict[str, float] | None = None) -> Report:
        rendered = len(self.store.ready(self.training)) * SHARD_CLIPS
        return Report(self.step, progress, self.seconds, rendered, self.clips_seen, losses or {}, self.validated)

    def save(self) -> None:
        """Write the state that `resume` goes on from."""
        if self.step:
            write_state(
                self._state_path,
                {
                    "plan": json.dumps(self.plan.describe(), sort_keys=True),
                    "learner": self.learner.state(),
                    "sampler": self.sampler.state,
                    "step": self.step,
                    "seconds": self.seconds,
                    "clips_seen": self.clips_seen,
                    "curve": self.curve,
                },
            )

    def _restore(self, state: dict[str, Any]) -> None:
        if state["plan"] != json.dumps(self.plan.describe(), sort_keys=True):
            raise BadInputError(f"{self.folder} holds a run of another plan: name another folder")
        self.learner.restore(state["learner"])
        self.sampler.restore(state["sampler"])
        self.step, self.seconds, self.clips_seen = state["step"], state["seconds"], state["clips_seen"]
        self.curve = state["curve"]

    def _export(self) -> None:
        card = {
            "data": "rendered",
            "training_seeds": [TRAINING_SEEDS[0], self.training[-1].seed],
            "training_clips": len(self.store.ready(self.training)) * SHARD_CLIPS,
            "validation_seed": VALIDATION_SEED,
            "clips_seen": self.clips_seen,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "torch_threads": torch.get_num_threads(),
            "validation_doneness": None if self.validated is None else self.validated._asdict(),
            "plan": self.plan.describe(),
        }
        export_checkpoint(self.folder, self.learner, self.tokenizer, card)
