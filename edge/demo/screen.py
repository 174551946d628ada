"""The demo on a terminal: a live table; plain lines when the output is no terminal."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.demo.observer import Observer, Seen
from edge.demo.report import Report, summary_lines
from shared.messages import LineVerdict

ROWS = 14
REFRESH_PER_S = 4


class Screen:
    """Shows bakes as their verdicts come in. `start` before, `stop` after."""

    def __init__(self, console: Console, observer: Observer, pictures: dict[str, str]) -> None:
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
            self._live = Live(self, console=self._console, refresh_per_second=REFRESH_PER_S, transient=False)
            self._live.start()

    def stop(self) -> None:
        """Leave the last table on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, report: Report) -> None:
        """The figures of the run."""
        table = Table(title=f"{report.bakes} bakes, {report.finals} with a final verdict", title_justify="left")
        for heading in ("", "edge alone", "edge and cloud"):
            table.add_column(heading)
        for row in summary_lines(report):
            table.add_row(*row)
        self._console.print(table)

    def _note(self) -> None:
        for bake_id in self._observer.bakes:
            if bake_id not in self._rows and self._observer.bakes[bake_id].final is None:
                self._rows.append(bake_id)

    def _plain_line(self, seen: Seen) -> None:
        if seen.first.id not in self._rows:
            self._rows.append(seen.first.id)
        if self._console.is_terminal or seen.final is None:
            return
        bake, picture, edge, decision, verdict, times = _cells(seen, self._pictures)
        done = self._observer.finals
        count = f"{done}/{self._total}" if self._total else str(done)
        self.say(f"{count} {bake}: edge {edge}, {decision}; {verdict}; {times}; {picture}")

    def __rich__(self) -> Group:
        table = Table(expand=True)
        for heading, ratio in (("bake", 2), ("edge", 2), ("decision", 2), ("verdict", 3), ("times", 3), ("picture", 4)):
            table.add_column(heading, ratio=ratio, no_wrap=True, overflow="ellipsis")
        for bake_id in tuple(self._rows):  # the refreshing thread reads what the event loop writes
            bake, picture, edge, decision, verdict, times = _cells(self._observer.bakes[bake_id], self._pictures)
            table.add_row(bake, edge, decision, verdict, times, picture)
        done = self._observer.finals
        waiting = sum(seen.final is None for seen in list(self._observer.bakes.values()))
        of = f" of {self._total}" if self._total else ""
        workers = ", ".join(sorted(self._observer.workers)) or "none"
        return Group(table, Text(f"{done}{of} final, {waiting} waiting for the cloud, workers online: {workers}"))


def _cells(seen: Seen, pictures: dict[str, str]) -> tuple[str, str, str, str, str, str]:
    """Bake, picture, edge label with probability, decision, verdict, times."""
    edge, final = seen.first.edge, seen.final
    times = [f"{edge.inference_ms:.0f} ms {edge.timing}"]
    if final is not None and final.cloud is not None and final.cloud.provenance is not None:
        times.append(f"cloud {final.cloud.provenance.seconds:.2f} s")
    if seen.e2e_s is not None:
        times.append(f"total {seen.e2e_s:.2f} s")
    return (
        seen.first.bake,
        _short(pictures.get(seen.first.bake, "")),
        f"{edge.label} {edge.probability:.2f}",
        "sure" if edge.sure else "escalated",
        _verdict(final, seen),
        ", ".join(times),
    )


def _verdict(final: LineVerdict | None, seen: Seen) -> str:
    if final is None:
        return "waits for the cloud"
    words = f"{final.source}: {final.label} {final.confidence:.2f}"
    if final.reason in ("timeout", "cannot_tell"):
        words += f" ({final.reason.replace('_', ' ')})"
    if seen.corrections:
        words += f", corrected to {seen.corrections[-1].label}"
    return words


def _short(path: str) -> str:
    """`path` relative to the working folder when it lies there."""
    try:
        return str(Path(path).relative_to(Path.cwd())) if path else ""
    except ValueError:
        return path
