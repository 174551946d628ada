"""Verdicts of the cloud on rendered bakes, as `crustwatch cloud eval bakes --out FILE` keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError
from shared.task import Task

MAX_BYTES = 256 << 20
CANNOT_TELL = -1


@dataclass(frozen=True, slots=True)
class CloudAnswers:
    """What the cloud said of bakes 0 to N - 1 of a seed, as label indices or CANNOT_TELL, int64 [N] each."""

    seed: int
    truth: NDArray[np.int64]
    clip: NDArray[np.int64]
    one_frame: NDArray[np.int64]  # control: of the key frame alone


def read_cloud_answers(path: Path, task: Task) -> CloudAnswers:
    """Read the file. Raises BadInputError with one line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInputError(f"{path}: over {MAX_BYTES >> 20} MB")
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        run, rows = lines[0]["run"], {int(line["id"]): line for line in lines[1:]}
        if run["bench"] != "bakes" or sorted(rows) != list(range(len(rows))) or not rows:
            raise BadInputError(
                f"{path}: not the answers on bakes 0 to N - 1: run `crustwatch cloud eval bakes` to its end"
            )
        ordered = [rows[index] for index in range(len(rows))]
        return CloudAnswers(
            int(run["seed"]),
            np.array([task.index(row["truth"]["doneness"]) for row in ordered], np.int64),
            np.array([_said(row["clip"], task) for row in ordered], np.int64),
            np.array([_said(row["one_frame"], task) for row in ordered], np.int64),
        )
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        if isinstance(error, BadInputError):
            raise
        why = f"{type(error).__name__}: {error}"  # not its repr, which may hold the whole file
        raise BadInputError(f"{path}: no answers of `crustwatch cloud eval bakes --out`: {why}") from None


def _said(verdict: dict[str, str | None], task: Task) -> int:
    label = verdict.get("doneness")
    return CANNOT_TELL if label is None or verdict.get("cannot_tell") else task.index(label)
