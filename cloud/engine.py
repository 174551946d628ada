"""The engine: a checkpoint that turns the frames of one bake into a verdict.

It takes any checkpoint folder of the published layout: the small one that is shipped, or the full-size model.
Sampling is greedy and nothing is random, so equal frames give equal verdicts.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError, MissingPartError

try:
    import tokenizers  # noqa: F401 - what the model needs; missed here in one line
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as error:
    raise MissingPartError(f"{error.name} is missing: pip install 'crustwatch[cloud]'") from error

from cloud.answer import AnswerError, Findings, cannot_tell, doneness_span, parse_answer, verdict_of
from cloud.chat import Chat, Question
from cloud.loading import SHIPPED, Loaded, checkpoint_folder, load_checkpoint
from cloud.media import Footage
from cloud.media.pictures import one_size
from cloud.spatial_mllm.prompts import chat_prompt
from cloud.vocabulary import prompt_question
from shared.messages import BakeVerdict, Provenance
from shared.task import Task

__all__ = ["SHIPPED", "Engine", "checkpoint_folder", "load_engine"]

MAX_ANSWER_TOKENS = 128  # an answer takes 16 small tokens, about 60 of Qwen's
MAX_SIDES_RATIO = 16.0


def load_engine(
    checkpoint: str | Path = SHIPPED,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    attention: str = "auto",
    threads: int | None = None,
) -> Engine:
    """Load a checkpoint as an engine; see `cloud.loading.load_checkpoint` for arguments and errors."""
    return Engine(load_checkpoint(checkpoint, device, dtype, attention=attention, threads=threads))


class Engine:
    """A loaded checkpoint. One verdict at a time; not for several threads at once."""

    def __init__(self, loaded: Loaded, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.name = loaded.name
        self.model = loaded.model
        self.weights_sha256 = loaded.weights_sha256
        self.chat = Chat(loaded)
        self._clock = clock

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """The verdict on frames uint8 [H, W, 3] RGB taken at `times_s`, any number and size.

        Of more frames than the task's clips have, that many are chosen: by the space that they show when the
        checkpoint has the heads for it, else evenly. A single one is looked at as a still. An answer that breaks its
        form gives `cannot_tell` with the reason.

        Raises BadInputError for an empty clip, other dtypes or shapes, frames longer than 16:1, and times that are
        not one finite number a frame.
        """
        started = self._clock()
        _check(frames, times_s)
        in_time = sorted(range(len(frames)), key=lambda index: (times_s[index], index))
        clip = one_size([frames[index] for index in in_time])
        spread = Footage("bake", tuple(clip), tuple(times_s[index] for index in in_time), tuple(in_time), still=False)
        shown = self.chat.show(spread, task.escalation.frames, space_aware=self._sees_space)
        question = prompt_question(task, self.chat.tokenizer)
        (reply,) = self.chat.answer([Question(question, (shown,))], MAX_ANSWER_TOKENS)
        provenance = Provenance(
            model=self.name,
            weights_sha256=self.weights_sha256,
            prompt_sha256=hashlib.sha256(chat_prompt(question).encode()).hexdigest(),
            frames_used=tuple(in_time[place] for place in shown.places),
            geometry=self.model.config.geometry,
            attention=self.model.attention,
            device=str(self.model.device),
            seconds=self._clock() - started,
        )
        try:
            answer = parse_answer(reply.text, task)
        except AnswerError as error:
            return cannot_tell(str(error), provenance)
        start, end = doneness_span(reply.text, answer)
        confidence = math.exp(sum(log for first, last, log in reply.spans if first < end and last > start))
        return verdict_of(Findings(answer, min(1.0, confidence)), provenance)

    @property
    def _sees_space(self) -> bool:
        """Whether the checkpoint can choose frames by the space that they show."""
        config = self.model.config
        return config.geometry and config.vggt.point_head is not None


def _check(frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float]) -> None:
    if not frames:
        raise BadInputError("a clip has at least one frame")
    if len(frames) != len(times_s) or not all(math.isfinite(at) for at in times_s):
        raise BadInputError(f"{len(frames)} frames need as many finite capture times, not {list(times_s)[:8]}")
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < 1:
            raise BadInputError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {list(frame.shape)}")
        if max(frame.shape[:2]) > MAX_SIDES_RATIO * min(frame.shape[:2]):
            raise BadInputError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels is longer than 16:1")
