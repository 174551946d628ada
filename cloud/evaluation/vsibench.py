"""VSI-Bench (arXiv 2412.14171): questions, scores and their averages.

Two dialects of scoring exist and disagree on the same answers, so a table must name the one it used:

- `reference`: as Spatial-MLLM's evaluation scores. The whole cleaned answer must equal the option's letter; a number
  must be all of the answer; a relative error counts when strictly below the tolerance; fp32.
- `official`: as the benchmark's own scorer. Only the first word counts, and an error equal to the tolerance counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cloud.evaluation.answers import clean_answer, first_word, parse_number
from shared.errors import BadInputError

Dialect = Literal["reference", "official"]

DIRECTION_TYPES = (
    "object_rel_direction_easy",
    "object_rel_direction_medium",
    "object_rel_direction_hard",
)
CHOICE_TYPES = (*DIRECTION_TYPES, "object_rel_distance", "route_planning", "obj_appearance_order")
NUMBER_TYPES = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")

CHOICE_REQUEST = "Answer with the option's letter from the given choices directly."
NUMBER_REQUEST = "Please answer the question using a single word or phrase."


@dataclass(frozen=True)
class Scored:
    """One scored answer; `score` is within 0..1."""

    question_type: str
    prediction: str
    ground_truth: str
    score: float

    @property
    def correct(self) -> bool:
        """Fully right."""
        return self.score == 1.0


@dataclass(frozen=True)
class Mean:
    """Two averages: over samples (micro), and over question types (macro)."""

    micro: float = 0.0
    macro: float = 0.0


@dataclass(frozen=True)
class Summary:
    """Averages of a run. `accuracy`: multiple choice; `relative_accuracy`: numbers; 0 when there is none."""

    per_type: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    accuracy: Mean = field(default_factory=Mean)
    relative_accuracy: Mean = field(default_factory=Mean)
    all: Mean = field(default_factory=Mean)


def mean_relative_accuracy(prediction: float, target: float, dialect: Dialect = "reference") -> float:
    """Share of the tolerances 0.5, 0.45, ..., 0.05 that the relative error stays below.

    The reference computes in fp32 and strictly, so an error on a tolerance falls on the side where fp32 puts it.
    """
    if dialect == "official":
        error = abs(prediction - target) / target if target else float("inf")
        wide = 1 - np.linspace(0.5, 0.95, 10)  # [10]
        return float(np.mean(error <= wide))
    p, t = np.float32(prediction), np.float32(target)
    relative = np.abs(p - t) / (np.abs(t) + np.float32(1e-8))
    # arange in double, then rounded: how torch.arange fills an fp32 tensor
    tolerances = np.float32(1) - (0.5 + 0.05 * np.arange(10)).astype(np.float32)  # [10]
    return float(np.float32((relative < tolerances).sum()) / np.float32(10))


def score_answer(prediction: str, ground_truth: str, question_type: str, dialect: Dialect = "reference") -> Scored:
    """Score one raw answer.

    Raises:
        BadInputError: an unknown question type.
    """
    answer, truth = clean_answer(prediction), clean_answer(ground_truth)
    if dialect == "official":
        answer = first_word(answer)
    if question_type in CHOICE_TYPES:
        score = float(answer.strip() == truth.strip())
    elif question_type in NUMBER_TYPES:
        number, target = parse_number(answer), parse_number(truth)
        score = 0.0 if number is None or target is None else mean_relative_accuracy(number, target, dialect)
    else:
        raise BadInputError(f"unknown VSI-Bench question type {question_type!r}")
    return Scored(question_type, answer, truth, score)


def summarise(rows: Sequence[Scored]) -> Summary:
    """Average scored answers; the three direction types count as one type in macro averages."""
    by_type: dict[str, list[float]] = {}
    for row in rows:
        by_type.setdefault(row.question_type, []).append(row.score)
    per_type = {kind: _mean(scores) for kind, scores in sorted(by_type.items())}

    def mean_of(kinds: Sequence[str]) -> Mean:
        present = {kind: score for kind, score in per_type.items() if kind in kinds}
        directions = [score for kind, score in present.items() if kind in DIRECTION_TYPES]
        others = [score for kind, score in present.items() if kind not in DIRECTION_TYPES]
        grouped = ([_mean(directions)] if directions else []) + others
        return Mean(micro=_mean([row.score for row in rows if row.question_type in kinds]), macro=_mean(grouped))

    return Summary(
        per_type=per_type,
        counts={kind: len(scores) for kind, scores in sorted(by_type.items())},
        accuracy=mean_of(CHOICE_TYPES),
        relative_accuracy=mean_of(NUMBER_TYPES),
        all=mean_of(CHOICE_TYPES + NUMBER_TYPES),
    )


def question_text(item: Mapping[str, Any]) -> str:
    """The question with its options and the request that names the form of the answer.

    Raises:
        BadInputError: unknown type, or multiple choice without options.
    """
    question, kind = item["question"], item["question_type"]
    if kind in NUMBER_TYPES:
        return f"{question}\n{NUMBER_REQUEST}"
    if kind not in CHOICE_TYPES:
        raise BadInputError(f"unknown VSI-Bench question type {kind!r}")
    options = item.get("options")
    if not options:
        raise BadInputError(f"VSI-Bench question {question!r} is multiple choice but has no options")
    return "\n".join([question, "Options:", *options, CHOICE_REQUEST])


def user_message(item: Mapping[str, Any], video_folder: Path, frames: int) -> dict[str, Any]:
    """Chat message of one item: its video, `<dataset>/<scene>.mp4` or a folder of frames, then the question.

    Raises:
        BadInputError: neither exists, or the folder holds another number of frames than asked for.
    """
    scene = video_folder / item["dataset"] / item["scene_name"]
    file = scene.with_name(scene.name + ".mp4")
    video: dict[str, Any] = {"type": "video"}
    if file.exists():
        video |= {"video": str(file), "nframes": frames}
    elif scene.is_dir():
        images = sorted(str(path) for path in scene.glob("*.png"))
        if len(images) != frames:
            raise BadInputError(f"{scene} holds {len(images)} frames, {frames} were asked for")
        video["video"] = images
    else:
        raise BadInputError(f"neither {file} nor the folder {scene} exists")
    return {"role": "user", "content": [video, {"type": "text", "text": question_text(item)}]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
