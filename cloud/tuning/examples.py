"""What a fine-tuning learns from: conversations about videos and pictures, read from a file, or rendered bakes.

Four kinds of record are known by their fields: the reference's conversations, plain questions with an answer, and the
records of VSI-Bench and ScanQA, which are asked exactly as their evaluations ask them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloud.chat import SECONDS_PER_GRID
from cloud.evaluation.questions import read_items, scanqa_questions, vsibench_questions
from cloud.media import Footage, read_pictures, read_video
from cloud.spatial_mllm.model import IGNORED_LABEL, ModelInputs
from cloud.spatial_mllm.processor import Processor, PromptRow
from cloud.spatial_mllm.prompts import VisualKind, training_example
from cloud.training.targets import answer_of
from cloud.vocabulary import prompt_question
from shared.bakery import render_bake
from shared.errors import BadInputError
from shared.images import decode_jpeg, encode_jpeg
from shared.task import Task


@dataclass(frozen=True)
class Lesson:
    """One example, read: what is shown and what is said. `turns` are in the reference's form."""

    footage: Footage | None
    turns: Sequence[Mapping[str, str]]


class Lessons(Protocol):
    """A finite list of lessons, read one at a time."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, index: int) -> Lesson:
        """Lesson `index`. Raises BadInputError, naming it, when it cannot be read."""
        ...


@dataclass(frozen=True)
class _Row:
    name: str
    turns: Sequence[Mapping[str, str]]
    video: Path | None
    pictures: tuple[Path, ...]


class FileLessons:
    """The records of a JSON list or JSONL file, whose media lie under one folder."""

    def __init__(self, file: Path, media: Path, frames: int, reader: str = "av") -> None:
        """`frames`: evenly spread over each video. Raises BadInputError for records of no known form."""
        self._frames, self._reader = frames, reader
        items = read_items(file)
        kinds = {_kind(item) for item in items}
        if len(kinds) != 1 or None in kinds:
            raise BadInputError(
                f"{file}: all records hold conversations or question and answer, or all are VSI-Bench's or ScanQA's"
            )
        (kind,) = kinds
        if kind == "vsibench":
            self._rows = [
                _asked(f"{file}: {one.key}", one.text, str(one.item["ground_truth"]), one.video)
                for one in vsibench_questions(file, media, frames)
            ]
        elif kind == "scanqa":
            self._rows = [
                _asked(f"{file}: {one.key}", one.text, str(one.item["answers"][0]), one.video)
                for one in scanqa_questions(file, media)
            ]
        else:
            self._rows = [_row(f"{file}: record {number}", item, media) for number, item in enumerate(items)]

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int) -> Lesson:
        """Its frames, as inference would read them."""
        row = self._rows[index]
        try:
            if row.video is not None:
                return Lesson(read_video(row.video, self._frames, self._reader), row.turns)
            return Lesson(read_pictures(row.pictures)[0] if row.pictures else None, row.turns)
        except BadInputError as error:
            raise BadInputError(f"{row.name}: {error}") from None


class BakeLessons:
    """Rendered bakes with the answers that they deserve."""

    def __init__(self, count: int, first_seed: int, task: Task, tokenizer: Tokenizer) -> None:
        self._count, self._seed = count, first_seed
        self._question = prompt_question(task, tokenizer)

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> Lesson:
        """Render it, its frames compressed as gateways do."""
        bake = render_bake(self._seed, index)
        frames = tuple(decode_jpeg(encode_jpeg(frame)) for frame in bake.frames)
        footage = Footage("bake", frames, tuple(bake.truth.times_s), tuple(range(len(frames))), still=False)
        return Lesson(footage, _turns(self._question, answer_of(bake.truth).text(), "video"))


def _kind(item: Mapping[str, Any]) -> str | None:
    """Which form a record has: our own (conversations or question and answer), a benchmark's, or None."""
    if "conversations" in item or {"question", "answer"} <= item.keys():
        return "own"
    if {"question_type", "ground_truth", "scene_name"} <= item.keys():
        return "vsibench"
    if {"scene_id", "answers", "question"} <= item.keys():
        return "scanqa"
    return None


def _turns(question: str, answer: str, kind: VisualKind | None, visuals: int = 1) -> list[dict[str, str]]:
    marks = "" if kind is None else f"<{kind}>" * visuals + "\n"
    return [{"from": "human", "value": marks + question}, {"from": "gpt", "value": answer}]


def _asked(name: str, question: str, answer: str, video: Path) -> _Row:
    return _Row(name, _turns(question, answer, "video"), video, ())


def _row(name: str, item: Mapping[str, Any], media: Path) -> _Row:
    """A record of conversations, or of a question with its answer. Raises BadInputError."""
    pictures = item.get("images", item.get("image", []))
    pictures = [pictures] if isinstance(pictures, str) else pictures
    video = item.get("video")
    if not isinstance(pictures, list) or not all(isinstance(path, str) for path in pictures):
        raise BadInputError(f"{name}: images is a list of paths")
    if video is not None and (not isinstance(video, str) or pictures):
        raise BadInputError(f"{name}: video is one path, and a record shows either a video or images")
    kind: VisualKind | None = "video" if video else "image" if pictures else None
    turns = item.get("conversations")
    if turns is None:
        turns = _turns(str(item["question"]), str(item["answer"]), kind, max(1, len(pictures)))
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict) and isinstance(turn.get("from"), str) and isinstance(turn.get("value"), str)
        for turn in turns
    ):
        raise BadInputError(f"{name}: conversations is a list of turns with from and value")
    if not any(turn["from"] == "gpt" for turn in turns):
        raise BadInputError(f"{name}: nobody answers, so there is nothing to learn")
    paths = [media / path for path in ([video] if video else pictures)]
    if missing := next((path for path in paths if not path.exists()), None):
        raise BadInputError(f"{name}: {missing} does not exist")
    return _Row(name, turns, paths[0] if video else None, () if video else tuple(paths))


@dataclass(frozen=True)
class TuningBatch:
    """Prompts with their answers. `labels` int64 [B, L]; -100 where nothing is learned."""

    inputs: ModelInputs
    labels: Tensor


def make_batch(lessons: Sequence[Lesson], processor: Processor, tokenizer: Tokenizer, longest: int) -> TuningBatch:
    """Lessons as one batch, by the processor of inference: frames, positions and chat text are the same.

    Args:
        lessons: read.
        processor: of the model.
        tokenizer: of the model.
        longest: tokens of a row at most.

    Raises:
        BadInputError: marks that do not match what is shown, or a row that is too long.
    """
    rows: list[PromptRow] = []
    expanded = []
    for lesson in lessons:
        kind: VisualKind = "image" if lesson.footage is not None and lesson.footage.still else "video"
        clips = []
        if lesson.footage is not None:
            frames = lesson.footage.frames
            clips = [processor.scene(frames) if kind == "image" else processor.video(frames)]
        counts = [count for clip in clips for count in processor.visual_tokens(clip)]
        whole = training_example(tokenizer, lesson.turns, kind, counts)
        if len(whole.input_ids) > longest:
            raise BadInputError(f"an example of {len(whole.input_ids)} tokens: at most {longest} are taken")
        expanded.append(whole)
        compact = training_example(tokenizer, lesson.turns, kind, [1] * len(counts)).input_ids
        videos = [clip for clip in clips if not clip.still]
        images = [clip for clip in clips if clip.still]
        rows.append(PromptRow(compact, videos, [SECONDS_PER_GRID] * len(videos), images))
    inputs = processor.batch(rows)
    B, L = inputs.input_ids.shape
    labels = np.full((B, L), IGNORED_LABEL, np.int64)  # [B, L]
    for number, one in enumerate(expanded):
        labels[number, L - len(one.labels) :] = one.labels
    return TuningBatch(inputs, torch.from_numpy(labels))
