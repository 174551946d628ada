"""Bakes of a store with the word that counts for each: a person's over the cloud's, the last of people's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge.loop.rows import LabelRow
from edge.loop.store import Store


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one bake."""

    row: dict[str, Any]  # columns of BakeRow
    cloud: LabelRow | None
    person: LabelRow | None

    @property
    def label(self) -> str | None:
        """The word that counts; None when nobody could tell yet."""
        word = self.person or self.cloud
        return None if word is None else word.label

    @property
    def confidence(self) -> float:
        """How sure whoever spoke was; 0 when nobody could tell."""
        word = self.person or self.cloud
        return 0.0 if word is None or word.label is None else word.confidence


def known_bakes(store: Store, columns: Iterable[str] | None = None) -> list[Known]:
    """All bakes, oldest first, with what was said of them; some columns of their rows, or all."""
    cloud: dict[str, LabelRow] = {}
    person: dict[str, LabelRow] = {}
    for word in store.labels():
        if word.by == "cloud":
            cloud.setdefault(word.id, word)
        else:
            person[word.id] = word
    rows = store.bakes(None if columns is None else [*columns])
    return [Known(row, cloud.get(row["id"]), person.get(row["id"])) for row in rows]
