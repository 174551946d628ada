"""A scenario as it goes: what an outsider knows of it by now, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from edge.demo.observer import Observer
from edge.demo.scenario.diary import Diary
from edge.demo.scenario.figures import judge

REPORT_EVERY = 50  # bakes between two lines of progress


class Watching:
    """Tells what happens, and notes it in the diary. Everything is known from the topics."""

    def __init__(self, console: Console, observer: Observer, diary: Diary, critical: Sequence[str]) -> None:
        self._console, self._observer, self._diary, self._critical = console, observer, diary, critical
        self._told = 0  # bakes at the last line of progress

    def say(self, words: str) -> None:
        """One line."""
        self._console.print(words, highlight=False, soft_wrap=True)

    def note(self, what: str, words: str, phase: str | None = None) -> None:
        """A moment; bakes from here on are of `phase`."""
        self._diary.note(what, words, phase)
        self.say(f"bake {self._diary.count}: {what}: {words}")

    def progress(self) -> None:
        """A line every so many bakes."""
        diary = self._diary
        if diary.count % REPORT_EVERY or diary.count == self._told:
            return
        self._told = diary.count
        recent = judge(self._observer, diary, self._critical)[-REPORT_EVERY:]
        if recent:
            escalated = sum(row.escalated for row in recent) / len(recent)
            right = sum(row.right for row in recent) / len(recent)
            words = f"of the last {len(recent)}: {escalated:.0%} escalated, {right:.0%} right"
            self.say(f"{diary.count} bakes, {diary.phase}: {words}")

    def alarm(self) -> str | None:
        """Why the certificate has ended; None while it stands."""
        stats = self._observer.stats
        if stats is None or stats.certificate != "withdrawn":
            return None
        return stats.alarms[0] if stats.alarms else "withdrawn"

    def finals_since(self, number: int) -> int:
        """Bakes with a final verdict, without the first `number`."""
        return max(0, self._observer.finals - number)
