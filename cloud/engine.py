"""The engine: a checkpoint that turns the frames of one bake into a verdict.

It takes any checkpoint folder of the published layout: the small one that is shipped, or the full-size model.
Sampling is greedy and nothing is random, so equal frames give equal verdicts.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError, MissingPartError

try:
    import tokenizers  # noqa: F401 - what the model needs; missed here in one line
    import torch
    import transformers  # noqa: F401
except ImportError as error:
    raise MissingPartError(f"{error.name} is missing: pip install 'crustwatch[cloud]'") from error

from cloud.answer import (
    AnswerError,
    Findings,
    answer_schema,
    cannot_tell,
    doneness_span,
    longest_answer,
    parse_answer,
    verdict_of,
)
from cloud.chat import Chat, Question, Reply, Shown
from cloud.loading import SHIPPED, Loaded, checkpoint_folder, load_checkpoint
from cloud.media import Footage
from cloud.media.pictures import one_size
from cloud.readout.engine import READOUTS, load_readout
from cloud.spatial_mllm.prompts import chat_prompt
from cloud.taken import Taken, check_frames
from cloud.vocabulary import prompt_question
from shared.messages import BakeVerdict, Provenance
from shared.task import Task

__all__ = ["SHIPPED", "Engine", "checkpoint_folder", "load_engine"]

ENGINES = ("full", "int8", "int4", "no-geometry", *READOUTS)


class VerdictEngine(Protocol):
    """What a worker, a command or an evaluation asks for verdicts."""

    @property
    def engine(self) -> str:
        """One of `ENGINES`."""
        ...

    @property
    def name(self) -> str:
        """Of the checkpoint."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Of everything that was learnt."""
        ...

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """See `Engine.verdict`."""
        ...

    def verdicts(self, clips: Sequence[Taken], task: Task) -> list[BakeVerdict]:
        """See `Engine.verdicts`."""
        ...


def load_engine(
    checkpoint: str | Path = SHIPPED,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    attention: str = "auto",
    threads: int | None = None,
    engine: str = "full",
) -> VerdictEngine:
    """Load a checkpoint as an engine of `ENGINES`; see `cloud.loading.load_checkpoint` for the rest and for errors."""
    if engine not in ENGINES:
        raise BadInputError(f"engine {engine!r}: choose one of {', '.join(ENGINES)}")
    if engine in READOUTS:
        return load_readout(checkpoint, engine, device, dtype, threads=threads)
    loaded = load_checkpoint(
        checkpoint,
        device,
        dtype,
        attention=attention,
        threads=threads,
        geometry=engine != "no-geometry",
        weights=engine if engine in ("int8", "int4") else "full",
    )
    return Engine(loaded, engine)


class Engine:
    """A loaded checkpoint that answers through its language model. Not for several threads at once."""

    decodes_on_demand = True  # frames may be any sequence of arrays (`cloud.worker.answers.Frames`)

    def __init__(self, loaded: Loaded, engine: str = "full", *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.engine = engine
        self.name = loaded.name
        self.model = loaded.model
        self.weights_sha256 = loaded.weights_sha256
        self.chat = Chat(loaded)
        self._clock = clock
        config = self.model.config
        self.space_aware = config.geometry and config.vggt.point_head is not None
        """Of too many frames those are chosen that show most of the space; only with a point head."""

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """The verdict on frames uint8 [H, W, 3] RGB taken at `times_s`, any number and size.

        Of more frames than the task's clips have, that many are chosen: by the space that they show when the
        checkpoint has the heads for it, else evenly. A single one is looked at as a still. The answer is decoded under
        the task's schema, so that it always parses.

        Raises BadInputError for an empty clip, other dtypes or shapes, frames longer than 16:1, and times that are
        not one finite number a frame.
        """
        return self.verdicts([Taken(frames, times_s)], task)[0]

    def verdicts(self, clips: Sequence[Taken], task: Task) -> list[BakeVerdict]:
        """Verdicts on several clips, decoded as one batch; each is what `verdict` says of it.

        `provenance.seconds` is the batch's time over its clips.
        """
        started = self._clock()
        for clip in clips:
            check_frames(clip.frames, clip.times_s)
        orders = [clip.in_time() for clip in clips]
        shown = self._shown(clips, orders, task.escalation.frames)
        question = prompt_question(task, self.chat.tokenizer)
        constraint = self.chat.constraint(answer_schema(task), len(clips))
        asked = [Question(question, (one,)) for one in shown]
        replies = self.chat.answer(asked, longest_answer(task) + 1, constraint)
        seconds = (self._clock() - started) / max(1, len(clips))
        prompt_sha256 = hashlib.sha256(chat_prompt(question).encode()).hexdigest()
        return [
            self._verdict(
                reply,
                constraint.directions.get(row),
                tuple(order[place] for place in one.places),
                prompt_sha256,
                seconds,
                task,
            )
            for row, (reply, one, order) in enumerate(zip(replies, shown, orders, strict=True))
        ]

    def _shown(self, clips: Sequence[Taken], orders: Sequence[Sequence[int]], most: int) -> list[Shown]:
        """Every clip as the model sees it. Resizing takes a core each; the choice by space takes the model instead."""
        threads = min(len(clips), torch.get_num_threads())
        if threads < 2 or self.space_aware:
            return [self._show(clip, order, most) for clip, order in zip(clips, orders, strict=True)]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._show, clips, orders, [most] * len(clips)))

    def _show(self, clip: Taken, order: Sequence[int], most: int) -> Shown:
        frames = tuple(one_size([clip.frames[place] for place in order]))
        times_s = tuple(clip.times_s[place] for place in order)
        footage = Footage("bake", frames, times_s, tuple(order), still=False)
        return self.chat.show(footage, most, space_aware=self.space_aware)

    def _verdict(
        self,
        reply: Reply,
        direction_deg: float | None,
        frames_used: tuple[int, ...],
        prompt_sha256: str,
        seconds: float,
        task: Task,
    ) -> BakeVerdict:
        provenance = Provenance(
            model=self.name,
            weights_sha256=self.weights_sha256,
            prompt_sha256=prompt_sha256,
            frames_used=frames_used,
            geometry=self.model.config.geometry,
            attention=self.model.attention,
            device=str(self.model.device),
            seconds=seconds,
            engine=self.engine,
        )
        try:
            answer = parse_answer(reply.text, task)
        except AnswerError as error:
            return cannot_tell(str(error), provenance)
        start, end = doneness_span(reply.text, answer)
        confidence = math.exp(sum(log for first, last, log in reply.spans if first < end and last > start))
        return verdict_of(Findings(answer, min(1.0, confidence), direction_deg), provenance)
