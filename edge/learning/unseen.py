"""Photographs that a model has not learnt from: what it may be judged and certified by."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.datasets import LabelledFrames, open_dataset, split_by_group
from edge.learning.model_folder import CARD
from shared.errors import BadInputError
from shared.task import Task

log = logging.getLogger(__name__)


class Unseen(NamedTuple):
    """Photographs that are new to the model, in two parts without a common group."""

    held_out: LabelledFrames | None  # of a split: may have fitted the gate; None where nothing was split
    test: LabelledFrames
    split_seed: int | None

    @property
    def source(self) -> str:
        """For reports and certificates."""
        groups = sum(len(np.unique(part.groups)) for part in (self.held_out, self.test) if part is not None)
        split = "" if self.split_seed is None else f", split {self.split_seed} without its training part"
        return f"photographs of {self.test.source}{split}, {groups} groups"

    def all(self) -> LabelledFrames:
        """Both parts in one, groups kept."""
        if self.held_out is None:
            return self.test
        return LabelledFrames(
            self.test.source,
            np.concatenate([self.held_out.frames, self.test.frames]),
            np.concatenate([self.held_out.labels, self.test.labels]),
            np.concatenate([self.held_out.groups, self.test.groups]),  # numbered before the split: no clash
            self.held_out.names + self.test.names,
        )


def unseen_photographs(model: Path, source: str, task: Task, split_seed: int | None) -> Unseen:
    """Those of `source` that the model of the folder `model` was not trained on.

    A split that is named is taken; else that of the model's card, if the model was trained on this source; else the
    photographs are new altogether. Raises BadInputError and MissingPartError.
    """
    data = open_dataset(source, task)
    if data.skipped:
        log.warning(
            "%s: %d photographs cannot be read and do not count: %s", source, len(data.skipped), data.skipped[0]
        )
    if split_seed is None:
        split_seed = _trained_split(model, source)
    if split_seed is None:
        return Unseen(None, data, None)
    split = split_by_group(data, split_seed)
    return Unseen(split.held_out, split.test, split_seed)


def for_tuning(unseen: Unseen, share: float) -> tuple[LabelledFrames, int]:
    """The photographs in an order whose first n, about `share` of them, may choose thresholds, and that n.

    Of a split these are the held-out ones. Else groups are shuffled, so that no label comes first and no group is on
    both sides. Raises BadInputError when all have one label: what is escalated would mean nothing.
    """
    if len(np.unique(unseen.test.labels)) < 2:
        raise BadInputError(f"{unseen.test.source}: all items have one label: there is nothing to certify")
    if unseen.held_out is not None:
        return unseen.all(), len(unseen.held_out)
    data = unseen.test
    order = np.random.default_rng(0).permutation(np.unique(data.groups))  # [G]
    counts = np.array([(data.groups == group).sum() for group in order]).cumsum()  # [G]
    first = order[: max(1, int(np.searchsorted(counts, share * len(data))))]
    chosen: NDArray[np.bool_] = np.isin(data.groups, first)  # [N]
    return data.select(np.concatenate([np.flatnonzero(chosen), np.flatnonzero(~chosen)])), int(chosen.sum())


def _trained_split(model: Path, source: str) -> int | None:
    """The split that the model was trained on, if that was one of `source`. Raises BadInputError."""
    try:
        card = json.loads((model / CARD).read_bytes())
        trained_on, seed = card["evaluation"].get("data", "rendered"), int(card["settings"].get("split_seed", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BadInputError(
            f"{model / CARD}: does not say what the model was trained on: name its split with --split-seed"
        ) from None
    same = trained_on == source or (Path(source).exists() and Path(trained_on).resolve() == Path(source).resolve())
    return seed if same else None
