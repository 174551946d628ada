"""A fine-tuning run: examples in a fixed order, accelerate around the steps, a state to resume from, a checkpoint.

`accelerate launch` runs it in several processes, each with a whole copy of the model; sharded optimisers are not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cloud.curve import Curve
from cloud.loading import Loaded
from cloud.spatial_mllm.loader import HEADS, load_heads
from cloud.training.learner import read_state, write_state
from cloud.tuning.adapters import ADAPTER_NAME, Adapters
from cloud.tuning.examples import Lesson, Lessons, TuningBatch, make_batch
from cloud.tuning.masters import Masters
from cloud.tuning.recipe import FROZEN, Recipe
from shared.errors import BadInputError
from shared.output_folder import output_folder

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE_NAME = "tuning-state.pt"
CARD_NAME = "card.json"
READ_AHEAD = 4  # examples that threads read while the step before is computed


@dataclass(frozen=True)
class TuningReport:
    """A step as a watcher is told of it: `step` of `steps` is done."""

    step: int
    steps: int
    loss: float
    rate_factor: float


def accelerator(recipe: Recipe, device: torch.device) -> Accelerator:
    """accelerate's view of this process."""
    from accelerate import Accelerator

    return Accelerator(gradient_accumulation_steps=recipe.accumulate, cpu=device.type == "cpu")


def order(examples: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of an epoch's examples: int64 [examples]."""
    return np.random.default_rng((seed, epoch)).permutation(examples)


class Tuning:
    """One run in a folder, which ends up as a checkpoint folder in the published layout."""

    def __init__(
        self,
        loaded: Loaded,
        lessons: Lessons,
        recipe: Recipe,
        out: Path,
        *,
        resume: bool,
        data: str,
        most_steps: int | None = None,
    ) -> None:
        """`data`: what the lessons are, for the card and to know the run again. Raises BadInputError."""
        self.out, self.recipe, self.loaded = out, recipe, loaded
        self._lessons, self._state_path = lessons, out / STATE_NAME
        if self._state_path.exists() and not resume:
            raise BadInputError(f"{out} holds an unfinished run: add --resume, or name another folder")
        output_folder(out)
        self.model = loaded.model
        self._accelerator = accelerator(recipe, self.model.device)
        processes = self._accelerator.num_processes
        steps = recipe.steps(len(lessons), processes)
        self.steps = steps if most_steps is None else min(steps, most_steps)
        self._identity = json.dumps(
            {"base": loaded.weights_sha256, "data": data, "recipe": recipe.describe(), "steps": self.steps},
            sort_keys=True,
        )
        self._data = data
        self.adapters = Adapters(self.model, recipe) if recipe.adapter_rank else None
        if self.adapters is None:
            geometry = self.model.config.geometry
            self.model.freeze(prefix for prefix in FROZEN if geometry or prefix != "spatial_encoder")
        if recipe.recompute:
            self.model.model.activation_checkpointing_enable({"use_reentrant": False})
        self.model.train()
        self.masters = Masters(self.model, recipe)
        self._wrapped = self._accelerator.prepare_model(self.model)
        self.step = 0
        self.losses: list[float] = []
        if resume and self._state_path.exists():
            self._restore(read_state(self._state_path))

    def go(self, watch: Callable[[TuningReport], None], stop_after: int | None = None) -> None:
        """Learn to the end and write the checkpoint. Stopped at any moment, `resume` goes on from the last save.

        `stop_after`: saves after so many steps of the run and returns, for tests.
        """
        every = max(1, self.steps // self.recipe.saves)
        end = self.steps if stop_after is None else min(self.steps, stop_after)
        with closing(Curve(self.out, self.step)) as curve, ThreadPoolExecutor(READ_AHEAD) as pool:
            batches = self._batches(pool, end)
            while self.step < end:
                factor = self.recipe.factor(self.step, self.steps)
                loss = self._learn(batches, factor)
                self.step += 1
                self.losses.append(loss)
                curve.add(self.step, {"loss": loss, "rate_factor": factor})
                watch(TuningReport(self.step, self.steps, loss, factor))
                if self.step % every == 0 or self.step == end:
                    self.save()
        if self.step == self.steps and self._accelerator.is_main_process:
            self.export()

    def _learn(self, batches: Iterator[TuningBatch], factor: float) -> float:
        """One step of the optimiser over `accumulate` batches; the mean loss of this process."""
        total = 0.0
        for _ in range(self.recipe.accumulate):
            batch = next(batches)
            with self._accelerator.accumulate(self._wrapped):
                inputs = batch.inputs.to(self.model.device)
                loss = self._wrapped(**vars(inputs), labels=batch.labels.to(self.model.device)).loss  # []
                self._accelerator.backward(loss)
                total += float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.masters.learning, self.recipe.clip_norm)
        if not torch.isfinite(norm):
            raise BadInputError(f"step {self.step + 1}: the gradient is not finite: use a lower --rate")
        self.masters.step(factor)
        return total / self.recipe.accumulate

    def _batches(self, pool: ThreadPoolExecutor, end: int) -> Iterator[TuningBatch]:
        """This process's batches from the present step to `end`, read ahead."""
        recipe, own = self.recipe, self._accelerator.process_index
        wide = recipe.batch * self._accelerator.num_processes
        places = [
            micro * wide + own * recipe.batch + row
            for micro in range(self.step * recipe.accumulate, end * recipe.accumulate)
            for row in range(recipe.batch)
        ]
        orders: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}
        ahead: list[Future[Lesson]] = []
        given = 0
        while given < len(places):
            while len(ahead) < max(READ_AHEAD, recipe.batch) and given + len(ahead) < len(places):
                epoch, place = divmod(places[given + len(ahead)], len(self._lessons))
                if epoch not in orders:
                    orders = {epoch: order(len(self._lessons), recipe.seed, epoch)}
                ahead.append(pool.submit(self._lessons.read, int(orders[epoch][place])))
            group, ahead = ahead[: recipe.batch], ahead[recipe.batch :]
            given += len(group)
            lessons = [future.result() for future in group]
            yield make_batch(lessons, self.loaded.processor, self.loaded.tokenizer, recipe.longest)

    def save(self) -> None:
        """Write the state that `resume` goes on from."""
        if self._accelerator.is_main_process:
            state = {"run": self._identity, "step": self.step, "losses": self.losses, "masters": self.masters.state()}
            write_state(self._state_path, state)
        self._accelerator.wait_for_everyone()

    def _restore(self, state: dict[str, Any]) -> None:
        if state.get("run") != self._identity:
            raise BadInputError(f"{self.out} holds a run of another model, data or recipe: name another folder")
        self.masters.restore(state["masters"])
        self.step, self.losses = state["step"], state["losses"]

    def export(self) -> None:
        """Write the checkpoint: weights with adapters folded in, VGGT's heads as they were, vocabulary, card."""
        if self.adapters is not None:
            self.adapters.save(self.out / ADAPTER_NAME)
            self.adapters.fold()
        self.model.eval()
        config = self.model.config
        if config.geometry:
            load_heads(self.model, [name for name in HEADS if getattr(config.vggt, name) is not None])
        self.model.save_folder(self.out)
        self.loaded.processor.save_folder(self.out)
        base = self.model.folder
        for name in ("tokenizer.json", "generation_config.json"):
            if base is not None and (base / name).exists():
                shutil.copy(base / name, self.out / name)
        card = {
            "base": self.loaded.name,
            "base_sha256": self.loaded.weights_sha256,
            "data": self._data,
            "recipe": self.recipe.describe(),
            "steps": self.steps,
            "last_loss": self.losses[-1] if self.losses else None,
        }
        (self.out / CARD_NAME).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")
