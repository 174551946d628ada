"""The demo on a terminal: a live table; plain lines when the output is no terminal."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.demo.observer import Observer, Seen
from edge.demo.report import Report, summary_lines
from shared.errors import BadInputError
from shared.messages import LineVerdict

ROWS = 14
PICTURE_COLUMNS = 124
REFRESH_S = 0.25
TIMES = ("device", "cloud", "total")  # inference, worker's seconds, last frame to final verdict

DECISIONS = {
    "sure": "sure",
    "policy": "unfamiliar",
    "audit": "audited",
    "withdrawn": "no certificate",
    "budget": "unsure",
}
"""Words for the reason of a bake's first verdict; every other one is an escalation."""


MARKS = {"timeout": "timeout", "cannot_tell": "cannot tell", "budget": "over budget, uncertified"}
"""Words for finals that are not what the edge was sure of, nor what the cloud said."""


class Cells(NamedTuple):
    """One bake in words."""

    bake: str
    edge: str  # label and probability
    decision: str
    verdict: str
    times: tuple[str, str, str]  # as TIMES
    picture: str


class Screen:
    """Shows bakes as their verdicts come in. `start` before, `stop` after."""

    def __init__(self, console: Console, observer: Observer, pictures: dict[str, str], folder: Path) -> None:
        self._folder = folder
        self._console = console
        self._observer = observer
        self._pictures = pictures  # of bakes, by name
        self._rows: deque[str] = deque(maxlen=ROWS)  # ids, the latest last
        self._total: int | None = None
        self._live: Live | None = None

    def say(self, words: str) -> None:
        """One line above the table."""
        self._console.print(words, highlight=False, soft_wrap=True)

    def start(self, total: int | None) -> None:
        """Begin to show bakes; `total` when their number is known."""
        self._total = total
        self._observer.on_final = self._plain_line
        if self._console.is_terminal:
            self._observer.on_change = self._note
            self._live = Live(self, console=self._console, auto_refresh=False)
            self._live.start()

    async def refresh(self) -> None:
        """For ever: draw the table, in the event loop that changes what it shows."""
        while True:
            if self._live is not None:
                self._live.refresh()
            await asyncio.sleep(REFRESH_S)

    def stop(self) -> None:
        """Leave the last table on the screen."""
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None

    def summary(self, report: Report) -> None:
        """The figures of the run."""
        self._console.print(_summary(report))

    def picture(self, path: Path, report: Report) -> None:
        """Write the last table and the summary, as a terminal shows them, to an SVG file.

        Raises BadInputError when it cannot be written.
        """
        console = Console(record=True, width=PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True)
        console.print(self)
        console.print(_summary(report))
        try:
            console.save_svg(str(path), title="crustwatch demo")
        except OSError as error:
            raise BadInputError(f"{path}: the picture cannot be written: {error.strerror}") from None

    def _note(self) -> None:
        for bake_id in self._observer.bakes:
            if bake_id not in self._rows and self._observer.bakes[bake_id].final is None:
                self._rows.append(bake_id)

    def _plain_line(self, seen: Seen) -> None:
        if seen.first.id not in self._rows:
            self._rows.append(seen.first.id)
        if self._console.is_terminal or seen.final is None:
            return
        cells = self._cells(seen)
        done = self._observer.finals
        count = f"{done}/{self._total}" if self._total else str(done)
        times = ", ".join(f"{name} {value}" for name, value in zip(TIMES, cells.times, strict=True) if value)
        self.say(f"{count} {cells.bake}: {cells.edge}, {cells.decision}; {cells.verdict}; {times}; {cells.picture}")

    def __rich__(self) -> Group:
        table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 1, 0, 0))
        for heading in ("bake", "edge", "decision", "verdict"):
            table.add_column(heading, no_wrap=True)
        for heading in TIMES:
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("picture", ratio=1, min_width=12, no_wrap=True, overflow="ellipsis")
        for bake_id in self._rows:
            seen = self._observer.bakes[bake_id]
            cells = self._cells(seen)
            style = "red" if seen.final is not None and seen.final.problem else None
            table.add_row(
                cells.bake, cells.edge, cells.decision, cells.verdict, *cells.times, cells.picture, style=style
            )
        done = self._observer.finals
        waiting = sum(seen.final is None for seen in self._observer.bakes.values())
        of = f" of {self._total}" if self._total else ""
        workers = ", ".join(sorted(self._observer.workers)) or "none"
        return Group(table, Text(f"{done}{of} final, {waiting} waiting for the cloud, workers online: {workers}"))

    def _cells(self, seen: Seen) -> Cells:
        edge, final = seen.first.edge, seen.final
        cloud_s = final.cloud.provenance.seconds if final and final.cloud and final.cloud.provenance else None
        return Cells(
            bake=seen.first.bake,
            edge=f"{edge.label} {edge.probability:.2f}",
            decision=DECISIONS.get(seen.first.reason, "escalated"),
            verdict=_verdict(final, seen),
            times=(
                f"{edge.inference_ms:.0f} ms",
                "" if cloud_s is None else f"{cloud_s:.2f} s",
                "" if seen.e2e_s is None else f"{seen.e2e_s:.2f} s",
            ),
            picture=self._short(seen.first.bake),
        )

    def _short(self, bake: str) -> str:
        """Path of the bake's picture, relative to the run's folder when it lies there."""
        path = Path(self._pictures.get(bake, ""))
        return str(path.relative_to(self._folder)) if path.is_relative_to(self._folder) else str(path)


def _summary(report: Report) -> Table:
    table = Table(title=f"{report.bakes} bakes, {report.finals} with a final verdict", title_justify="left")
    for heading in ("", "edge alone", "edge and cloud"):
        table.add_column(heading)
    for row in summary_lines(report):
        table.add_row(*row)
    return table


def _verdict(final: LineVerdict | None, seen: Seen) -> str:
    if final is None:
        return "waiting"
    words = f"{final.source}: {final.label} {final.confidence:.2f}"
    if final.reason in MARKS:
        words += f" ({MARKS[final.reason]})"
    if seen.corrections:
        words += f", then {seen.corrections[-1].label}"
    return words
