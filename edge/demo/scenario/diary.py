"""What happened in a scenario, noted from outside: bakes as they were handed over, and moments between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.gateway.sources import SourceBake, SourceItem


class Moment(NamedTuple):
    """Something that happened before bake number `bake`, `seconds` after the first one."""

    what: str
    bake: int
    seconds: float
    words: str


@dataclass(slots=True)
class Diary:
    """Bakes in the order in which they were handed to the gateway; a bake's number is its place in it."""

    now_s: Callable[[], float]
    names: list[str] = field(default_factory=list)
    truths: dict[str, str | None] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)  # of each bake
    moments: list[Moment] = field(default_factory=list)
    phase: str = "before"
    _began_s: float | None = None

    def took(self, bake: SourceBake) -> None:
        """A bake is handed to the gateway."""
        if self._began_s is None:
            self._began_s = self.now_s()
        self.names.append(bake.name)
        self.truths[bake.name] = bake.truth
        self.phases.append(self.phase)

    def note(self, what: str, words: str, phase: str | None = None) -> None:
        """Something happened; bakes from here on are of `phase`."""
        seconds = 0.0 if self._began_s is None else self.now_s() - self._began_s
        self.moments.append(Moment(what, len(self.names), round(seconds, 1), words))
        self.phase = phase or self.phase

    @property
    def count(self) -> int:
        """Bakes handed over."""
        return len(self.names)


@dataclass(slots=True)
class Belt:
    """One stream of bakes that several gateways take from in turn. `ready` is awaited before each bake."""

    items: AsyncIterator[SourceItem]
    diary: Diary
    ready: Callable[[], Awaitable[None]]

    async def until(self, enough: Callable[[], bool]) -> AsyncIterator[SourceItem]:
        """Bakes until `enough`, asked before each, or until there are none."""
        while True:
            await self.ready()
            if enough():
                return
            item = await anext(self.items, None)
            if item is None:
                return
            if isinstance(item, SourceBake):
                self.diary.took(item)
            yield item


async def one_after_another(*sources: AsyncIterator[SourceItem]) -> AsyncIterator[SourceItem]:
    """All bakes of the first source, then of the next."""
    for source in sources:
        async for item in source:
            yield item
