"""`crustwatch watch`: the state topics as a live table, or as lines when the output is no terminal."""

from __future__ import annotations

import asyncio
import dataclasses
import signal

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cloud.dashboard.lines import FILTERS, CameraView, Overview
from shared.clock import NowUs, system_now_us
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig
from shared.pki.credentials import Credentials
from shared.seal import Seal

REFRESH_S = 0.25


def watch(address: BrokerAddress, client_id: str, credentials: Credentials | None = None) -> None:
    """Show the lines until Ctrl-C; with `credentials`, over TLS and only verdicts that their gateway has sealed.

    Raises LinkDownError or RefusedError when the broker cannot be reached, BadInputError for bad credentials.
    """
    asyncio.run(_watch(address, client_id, credentials))


async def _watch(address: BrokerAddress, client_id: str, credentials: Credentials | None) -> None:
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None  # noqa: S101
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    console, overview = Console(), Overview()
    mqtt = MqttConfig(address, client_id)
    if credentials is not None:
        overview.seal = Seal.load(credentials)
        mqtt = dataclasses.replace(mqtt, tls_context=credentials.client_context)
    try:
        async with MqttClient(mqtt) as client:
            for topic_filter in FILTERS:
                await client.subscribe(topic_filter)
            screen = Screen(overview, client, address)
            if console.is_terminal:
                with Live(screen, console=console, auto_refresh=False) as live:
                    await asyncio.gather(_follow(client, overview, None), _refresh(live))
            else:
                await _follow(client, overview, console)
    except asyncio.CancelledError:
        return


async def _follow(client: MqttClient, overview: Overview, lines: Console | None) -> None:
    async for message in client.messages():
        client.acknowledge(message)
        overview.note(message)
        if lines is not None and message.topic.endswith("/verdict") and message.topic in overview.cameras:
            lines.print(_line(overview.cameras[message.topic]), highlight=False, soft_wrap=True)


async def _refresh(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(REFRESH_S)


class Screen:
    """Draws an Overview."""

    def __init__(
        self, overview: Overview, client: MqttClient, address: BrokerAddress, now_us: NowUs = system_now_us
    ) -> None:
        """`now_us` is the wall clock that verdicts are dated by."""
        self._overview = overview
        self._now_us = now_us
        self._client = client
        self._address = address

    def __rich__(self) -> Group:
        link = "connected" if self._client.connected else "NOT CONNECTED"
        trust = "verdicts checked" if self._overview.seal is not None else "verdicts believed as they are"
        refused = f", {self._overview.refused} messages refused" if self._overview.refused else ""
        return Group(
            f"{self._address}: {link}, {trust}{refused}",
            self._gateways(),
            *self._problems(),
            self._verdicts(),
            self._workers(),
        )

    def _gateways(self) -> Table:
        table = _table("line", "status", "device", "bakes", "final", "escalated", "timeouts", "backlog", "cloud link")
        for name in sorted(self._overview.gateways.keys() | self._overview.stats.keys()):
            status, stats = self._overview.gateways.get(name), self._overview.stats.get(name)
            cells = [status.status if status else "unknown", status.device if status else ""]
            if stats is not None:
                rate = f"{stats.escalated} ({100 * stats.escalation_rate:.0f} %)"
                cells += [str(stats.bakes), str(stats.finals), rate, str(stats.timeouts), str(stats.backlog)]
                cells.append("up" if stats.cloud_link else "down")
            table.add_row(*map(plain, (name, *cells)))
        return table

    def _problems(self) -> list[str]:
        """What the gateways say is wrong now."""
        stats = sorted(self._overview.stats.items())
        return [f"[yellow]{plain(f'{name}: {line}')}[/]" for name, figures in stats for line in figures.problems]

    def _verdicts(self) -> Table:
        table = _table("line", "camera", "item", "verdict", "by", "state", "reason", "seconds", "age")
        now_s = self._now_us() / 1e6
        for view in self._overview.latest:
            verdict = view.verdict
            label = f"{verdict.label} {verdict.confidence:.2f}"
            style = "bold red" if verdict.problem else None
            seconds = f"{verdict.decided_at - verdict.captured_at:.2f}"
            cells = (view.line, view.camera, verdict.bake, label, verdict.source, verdict.state, verdict.reason)
            table.add_row(*map(plain, cells), seconds, age(now_s - verdict.decided_at), style=style)
        return table

    def _workers(self) -> Table:
        table = _table("worker", "status", "model", "answered")
        for name, worker in sorted(self._overview.workers.items()):
            table.add_row(*map(plain, (name, worker.status, worker.model, str(worker.answered))))
        return table


def _table(*headings: str) -> Table:
    table = Table(expand=True)
    for heading in headings:
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    return table


def age(seconds: float) -> str:
    """How long ago something was, in the largest unit that it has two of. What lies ahead is a clock's error: `ahead`.

    A broker may show an old verdict again, and its gateway's seal still holds: only its age tells.
    """
    if seconds < -2:
        return "ahead"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def plain(text: str) -> str:
    """`text` as it may be printed: names of items come from elsewhere, with markup and control codes if they like."""
    return escape("".join(character if character.isprintable() else "\ufffd" for character in text))


def _line(view: CameraView) -> str:
    verdict = view.verdict
    return plain(
        f"{view.line} {view.camera} {verdict.bake}: {verdict.label} {verdict.confidence:.2f} "
        f"by {verdict.source}, {verdict.state} ({verdict.reason})"
    )
