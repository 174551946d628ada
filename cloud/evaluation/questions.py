"""The questions of VSI-Bench and ScanQA, from the files that the benchmarks publish."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud.evaluation.vsibench import CHOICE_TYPES, NUMBER_REQUEST, NUMBER_TYPES, question_text, user_message
from shared.errors import BadInputError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")


@dataclass(frozen=True)
class BenchQuestion:
    """One question.

    Attributes:
        key: its id in the benchmark.
        text: as the model is asked it.
        video: file, or folder of frames.
        item: the benchmark's own record.
    """

    key: str
    text: str
    video: Path
    item: dict[str, Any]


def read_items(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON list or a JSONL file.

    Raises:
        BadInputError: no such file, or something else in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        items = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read: {error}") from None
    except ValueError as error:
        raise BadInputError(f"{path}: neither a JSON list nor JSON lines: {error}") from None
    if not items or not all(isinstance(item, dict) for item in items):
        raise BadInputError(f"{path}: holds no questions")
    return items


def vsibench_questions(file: Path, videos: Path, frames: int) -> list[BenchQuestion]:
    """VSI-Bench: records with dataset, scene_name, question_type, question, options and ground_truth.

    Videos lie under `videos` as `<dataset>/<scene_name>.mp4`, or as a folder of `frames` PNG frames.

    Raises:
        BadInputError: a record lacks a field, names an unknown type, or its video is missing.
    """

    def build(index: int, item: dict[str, Any]) -> BenchQuestion:
        if item["question_type"] not in (*CHOICE_TYPES, *NUMBER_TYPES):
            raise BadInputError(f"unknown VSI-Bench question type {item['question_type']!r}")
        shown = user_message(item, videos, frames)["content"][0]["video"]
        video = Path(shown) if isinstance(shown, str) else Path(shown[0]).parent
        str(item["ground_truth"])
        return BenchQuestion(str(item.get("id", index)), question_text(item), video, item)

    return list(_built(file, build))


def scanqa_questions(file: Path, videos: Path) -> list[BenchQuestion]:
    """ScanQA: records with scene_id, question_id, question and answers.

    Videos lie under `videos` as `<scene_id>.mp4` (or another video suffix), or as a folder of frames.

    Raises:
        BadInputError: a record lacks a field, or its video is missing.
    """

    def build(index: int, item: dict[str, Any]) -> BenchQuestion:
        scene, answers = str(item["scene_id"]), item["answers"]
        if not isinstance(answers, list) or not answers:
            raise BadInputError("answers must be a list with at least one")
        options = [videos / (scene + suffix) for suffix in VIDEO_SUFFIXES] + [videos / scene]
        video = next((path for path in options if path.exists()), None)
        if video is None:
            raise BadInputError(f"neither {options[0]} nor the folder {videos / scene} exists")
        text = f"{item['question']}\n{NUMBER_REQUEST}"
        return BenchQuestion(str(item.get("question_id", index)), text, video, item)

    return list(_built(file, build))


def _built(file: Path, build: Callable[[int, dict[str, Any]], BenchQuestion]) -> Iterator[BenchQuestion]:
    keys: set[str] = set()
    for index, item in enumerate(read_items(file)):
        try:
            question = build(index, item)
        except KeyError as error:
            raise BadInputError(f"{file}: question {index} lacks {error}") from None
        except BadInputError as error:
            raise BadInputError(f"{file}: question {index}: {error}") from None
        if question.key in keys:
            raise BadInputError(f"{file}: two questions are called {question.key}")
        keys.add(question.key)
        yield question
