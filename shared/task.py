"""Task files: what is inspected, which labels there are, and how it is asked. A new task is a new TOML file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from shared.errors import BadInputError

Priority = Literal["urgent", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal", "low")


class ClassifierInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The on-device classifier's input: uint8 RGB [size_px, size_px, 3], real value = (q - zero_point) * scale."""

    size_px: int
    scale: float
    zero_point: int


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How unsure bakes travel: frames a clip, seconds until the edge's verdict is final, default priority."""

    frames: int
    deadline_s: float
    priority: Priority


class VerdictFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of BakeVerdict that this task fills."""

    fields: tuple[str, ...]


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the language model is asked."""

    question: str
    instruction: str


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One inspection task, as read from its TOML file."""

    name: str
    title: str
    item: str
    labels: tuple[str, ...]
    critical: tuple[str, ...]
    rejected: tuple[str, ...]
    input: ClassifierInput
    escalation: Escalation
    verdict: VerdictFields
    prompt: Prompt
    data: str = "rendered"  # where learning finds its frames: rendered, elpv, or folder (named with --data)

    def index(self, label: str) -> int:
        """Position of `label` among the logits; BadInputError for an unknown label."""
        try:
            return self.labels.index(label)
        except ValueError:
            raise BadInputError(f"task {self.name} has no label {label!r}: one of {', '.join(self.labels)}") from None


def parse_task(text: str, origin: str) -> Task:
    """Read a task from TOML text; `origin` names the file in errors. Raises BadInputError."""
    try:
        task = msgspec.convert(tomllib.loads(text), Task)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadInputError(f"{origin}: not a task file: {error}") from None
    _check(task, origin)
    return task


def _check(task: Task, origin: str) -> None:
    if not 2 <= len(task.labels) <= 255 or len(set(task.labels)) != len(task.labels):
        raise BadInputError(f"{origin}: labels must be 2 to 255 different names")
    for kind, names in (("critical", task.critical), ("rejected", task.rejected)):
        if unknown := sorted(set(names) - set(task.labels)):
            raise BadInputError(f"{origin}: {kind} names unknown labels: {', '.join(unknown)}")
    if not 8 <= task.input.size_px <= 224:
        raise BadInputError(f"{origin}: input.size_px must be 8 to 224, not {task.input.size_px}")
    if not 1 <= task.escalation.frames <= 64:
        raise BadInputError(f"{origin}: escalation.frames must be 1 to 64, not {task.escalation.frames}")
    if not 0 < task.escalation.deadline_s <= 86_400:
        raise BadInputError(f"{origin}: escalation.deadline_s must be over 0 and at most 86400 seconds")


@cache
def load_task(name_or_path: str = "pizza") -> Task:
    """The task of that name shipped with crustwatch, or read from a `.toml` file.

    Raises BadInputError when there is no such task or the file is not a task.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        try:
            return parse_task(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"{path}: cannot be read: {error}") from None
    shipped = resources.files("shared.tasks")
    names = sorted(entry.name.removesuffix(".toml") for entry in shipped.iterdir() if entry.name.endswith(".toml"))
    if name_or_path not in names:
        raise BadInputError(f"no task {name_or_path!r}: one of {', '.join(names)}, or the path of a .toml file")
    return parse_task((shipped / f"{name_or_path}.toml").read_text(encoding="utf-8"), f"{name_or_path}.toml")
