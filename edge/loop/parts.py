"""What a store gives to learn from: labelled bakes in three parts, by a hash of their names.

The hash is the same in every round, so that what was held out once is never trained on later. Bakes of one name (an
item that came by twice) are in one part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.learning.frames import FrameSet
from edge.loop.store import Store
from edge.loop.stored import Known, known_bakes
from shared.errors import BadInputError
from shared.images import decode_jpeg
from shared.resize import square_resize
from shared.task import Task

Part = Literal["train", "fit", "held_out"]
PARTS: tuple[Part, ...] = ("train", "fit", "held_out")
TRAIN_SHARE, FIT_SHARE = 0.4, 0.2  # the rest is held out: it compares and certifies
MOST_SILENT = 0.2  # of the held-out bakes of a kind: beyond, those with a word no longer stand for the others


@dataclass(frozen=True, slots=True)
class Lessons:
    """Labelled bakes of a store, oldest first."""

    known: tuple[Known, ...]  # [N]
    seen: NDArray[np.uint8]  # [N, S, S, 3], as the classifier saw them
    labels: NDArray[np.int64]  # [N]
    shares: NDArray[np.float64]  # [N], probability with which each was stored and labelled
    sure_shares: NDArray[np.float64]  # [N], the same of the sure bakes of that time
    parts: tuple[Part, ...]  # [N]
    silent: int  # bakes that nobody could tell
    unreadable: int

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, part: Part) -> NDArray[np.int64]:
        """Indices of a part."""
        return np.array([i for i, own in enumerate(self.parts) if own == part], np.int64)


def part_of(name: str) -> Part:
    """The part of all bakes of one name."""
    place = int.from_bytes(hashlib.sha256(f"split\0{name}".encode()).digest()[:8], "big") / 2.0**64
    return "train" if place < TRAIN_SHARE else "fit" if place < TRAIN_SHARE + FIT_SHARE else "held_out"


def lessons_of(store: Store, task: Task, since_us: int = 0) -> Lessons:
    """The labelled bakes since `since_us`. Raises BadInputError when there is nothing to learn.

    A share of the unsure, and of the audited ones, has no word (deadline, limit, cannot tell): within its kind those
    with a word stand for those without, up to MOST_SILENT of them.
    """
    store.check_task(task)
    size = task.input.size_px
    known = [one for one in known_bakes(store) if one.row["captured_us"] >= since_us]
    if not known:
        raise BadInputError(f"{store.folder}: no bake to learn from yet")
    whole = [one for one in known if _is_whole(one, task)]
    told = [one for one in whole if one.label in task.labels]
    if len({one.label for one in told}) < 2:
        raise BadInputError(
            f"{store.folder}: {len(told)} of {len(whole)} bakes have a word, on"
            f" {len({one.label for one in told})} label: at least two labels are needed to learn"
        )
    spoken = {audited: _spoken(whole, audited) for audited in (False, True)}
    return Lessons(
        tuple(told),
        np.stack([np.frombuffer(one.row["seen"], np.uint8).reshape(size, size, 3) for one in told]),
        np.array([task.index(one.label or "") for one in told], np.int64),
        np.array([one.row["share"] * spoken[_audited(one)] for one in told]),
        np.array([one.row["sure_share"] * spoken[True] for one in told]),
        tuple(part_of(one.row["bake"]) for one in told),
        len(whole) - len(told),
        len(known) - len(whole),
    )


def _is_whole(one: Known, task: Task) -> bool:
    """Whether a row says what it must: another program may have written it."""
    row = one.row
    fits = len(row["seen"]) == 3 * task.input.size_px**2 and row["task"] == task.name
    return bool(fits and 0 < row["share"] <= 1 and 0 <= row["sure_share"] <= 1)


def _audited(one: Known) -> bool:
    return bool(one.row["decision"] == "audit")


def _spoken(known: list[Known], audited: bool) -> float:
    """The share of bakes of a kind that have a word; 1 when there are none of the kind."""
    kind = [one for one in known if _audited(one) == audited]
    return sum(one.label is not None for one in kind) / len(kind) if kind else 1.0


def check_spoken(lessons: Lessons, store: Store) -> None:
    """Raise BadInputError when too many bakes have no word for those with one to stand for them."""
    if lessons.silent > MOST_SILENT * (len(lessons) + lessons.silent):
        raise BadInputError(
            f"{store.folder}: nobody could tell of {lessons.silent} of {len(lessons) + lessons.silent} bakes: at most"
            f" {MOST_SILENT:.0%} may be without a word for a certificate; crustwatch edge review --list shows them"
        )


def newest_complete(lessons: Lessons) -> NDArray[np.int64]:
    """Indices of the newest unbroken run of bakes in whose time every bake was escalated."""
    return _newest(lessons, lambda sure_share: sure_share >= 1)


def newest_audited(lessons: Lessons) -> NDArray[np.int64]:
    """Indices of the newest unbroken run of bakes in whose time sure bakes were audited."""
    return _newest(lessons, lambda sure_share: sure_share > 0)


def _newest(lessons: Lessons, holds: Callable[[float], bool]) -> NDArray[np.int64]:
    run = takewhile(lambda i: holds(lessons.known[i].row["sure_share"]), range(len(lessons) - 1, -1, -1))
    return np.array([*run][::-1], np.int64)


def training_frames(store: Store, lessons: Lessons, items: NDArray[np.int64], frames: int, size: int) -> FrameSet:
    """Frames uint8 [n, frames, S, S, 3] of some bakes: what the classifier saw, and others of the clip.

    A frame that cannot be read is replaced by what the classifier saw.
    """
    stacks = []
    for item in items:
        own = lessons.seen[item]  # [S, S, 3]
        stack = [own] * frames
        files = store.frame_files(lessons.known[item].row["id"])
        others = [path for number, path in enumerate(files) if number != lessons.known[item].row["key"]]
        for place in range(min(frames - 1, len(others))):
            path = others[place * len(others) // (frames - 1)]
            try:
                stack[place + (place >= frames // 2)] = square_resize(decode_jpeg(path.read_bytes()), size)
            except (BadInputError, OSError):
                continue
        stacks.append(np.stack(stack))
    shape = (0, frames, size, size, 3)
    pixels = np.stack(stacks) if stacks else np.zeros(shape, np.uint8)
    return FrameSet(0, pixels, lessons.labels[items], "store")
