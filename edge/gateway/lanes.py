"""The order in which waiting verdicts are published after a connection came up: what is new overtakes what has waited.

Verdicts numbered up to the mark, which is set when the link comes up, have waited for it; what is numbered above is
live. Within each lane they keep their order. Across the lanes a bake's states keep theirs: a provisional verdict whose
final is known is left out, and a correction takes its final along, which then comes again, byte for byte the same.

Where live verdicts come faster than they are published, provisional ones whose final is known are left out, too, and
the topic of the present verdict gets the newest of those published together. Each of the others is an event as always.

A verdict that the broker refuses (access rules, quota) is set aside, so that the others go on, and stays in the outbox.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from edge.gateway.outbox import Announcement, Outbox
from shared.messages import State

BATCH = 8  # verdicts that have waited, published before the first is acknowledged
MOST = 64  # live ones published before the first is acknowledged; ...
CROWD = 32  # ... when so many wait, only what still counts is published


class Publication(NamedTuple):
    """A verdict to be published now. Only `retain` ones may become the present verdict of their camera."""

    camera: str
    verdict: bytes  # LineVerdict, JSON
    retain: bool
    as_event_alone: bool = False  # not on the topic of the present verdict: a newer one goes there at once


Waiting = tuple[tuple[Announcement, tuple[Publication, ...]], ...]


class Batch(NamedTuple):
    """Waiting verdicts of one lane, each with what is published for it: nothing, itself, or its final before it."""

    live: bool
    waiting: Waiting


class _Said(msgspec.Struct):
    """What is read of a verdict here."""

    id: str
    state: State


_SAID = msgspec.json.Decoder(_Said)


class Lanes:
    """The two lanes of one connection."""

    def __init__(self, outbox: Outbox) -> None:
        """Sets the mark: what waits now has waited."""
        self._outbox = outbox
        self._mark = outbox.last_announcement()
        self._old = 0  # number of the last one acknowledged in its lane ...
        self._live = self._mark  # ... and in the other
        self._live_shown = False  # the present verdict is live: an old one must not replace it
        self._settled = {False: 0, True: self._mark}  # up to where a lane has left the outbox, by `_is_live`
        self._refused: dict[int, None] = {}  # numbers set aside, those refused last at the end
        self._late: set[int] = set()  # of them, those that the broker has taken meanwhile, until they are settled

    def next(self) -> Batch | None:
        """What is to be published next, None when nothing waits."""
        if live := self._outbox.next_announcements(self._live, MOST):
            crowded = len(live) >= CROWD
            waiting = tuple((each, tuple(self._of_live(each, crowded))) for each in live)
            return Batch(True, _newest_alone_is_present(waiting) if crowded else waiting)
        if old := self._outbox.next_announcements(self._old, BATCH, self._mark):
            return Batch(False, tuple((waiting, tuple(self._of_old(waiting))) for waiting in old))
        return None

    def _of_live(self, waiting: Announcement, crowded: bool) -> Iterable[Publication]:
        if crowded or self._old < self._mark:
            said = _SAID.decode(waiting.verdict)
            if crowded and said.state == "provisional" and self._outbox.is_decided(bytes.fromhex(said.id)):
                return
            if self._old < self._mark and said.state == "correction":
                final = self._outbox.final_of(bytes.fromhex(said.id))
                if final is not None:
                    yield Publication(waiting.camera, final, False)
        yield Publication(waiting.camera, waiting.verdict, True)

    def _of_old(self, waiting: Announcement) -> Iterable[Publication]:
        said = _SAID.decode(waiting.verdict)
        if said.state != "provisional" or not self._outbox.is_decided(bytes.fromhex(said.id)):
            yield Publication(waiting.camera, waiting.verdict, not self._live_shown)

    def acknowledged(self, number: int) -> None:
        """The broker has that verdict, and all before it in its lane but those set aside."""
        if number in self._refused:
            del self._refused[number]
            self._late.add(number)
        elif number > self._mark:
            self._live, self._live_shown = number, True
        else:
            self._old = number
            if not self._outbox.next_announcements(number, 1, self._mark):
                self._old = self._mark

    def refused(self, number: int) -> None:
        """The broker does not take that verdict now: its lane goes on without it."""
        if number in self._refused:
            del self._refused[number]  # again: it goes to the end
        else:
            self.acknowledged(number)
        self._refused[number] = None

    def has_refused(self) -> bool:
        """Whether verdicts are set aside."""
        return bool(self._refused)

    def refused_batch(self) -> Batch:
        """Some of those set aside, to be tried again, the longest untried first. Empty without any."""
        waiting = [
            found
            for number in tuple(self._refused)[:BATCH]
            for found in self._outbox.next_announcements(number - 1, 1, number)
        ]
        newest = max(self._old, self._live)  # an older one must not replace the present verdict
        return Batch(
            False,
            tuple(
                (each, tuple(said._replace(retain=each.number == newest) for said in self._of_old(each)))
                for each in waiting
            ),
        )

    def settle(self, numbers: Collection[int]) -> None:
        """These, and all before them in their lanes but those set aside, are published for good. Raises StorageError.

        After an error the same call may be repeated.
        """
        late = self._late.intersection(numbers)
        for number in {self._is_live(number): number for number in numbers if number not in late}.values():
            live = self._is_live(number)
            for aside in sorted(n for n in (*self._refused, *self._late) if self._settled[live] < n < number):
                self._outbox.announced(aside - 1, self._settled[live])
                self._settled[live] = aside
            if number > self._settled[live]:
                self._outbox.announced(number, self._settled[live])
                self._settled[live] = number
        for number in late:
            self._outbox.announced(number, number - 1)
        self._late -= late

    def _is_live(self, number: int) -> bool:
        return number > self._mark

    def replaces(self, number: int) -> bool:
        """Whether the verdict of that number is the present one."""
        return number > self._mark or not self._live_shown


def _newest_alone_is_present(waiting: Waiting) -> Waiting:
    """What is published together, with the newest of each camera alone on the topic of the present verdict."""
    newest = {said.camera: said.verdict for _, publications in waiting for said in publications}
    return tuple(
        (each, tuple(said._replace(as_event_alone=newest[said.camera] is not said.verdict) for said in publications))
        for each, publications in waiting
    )
