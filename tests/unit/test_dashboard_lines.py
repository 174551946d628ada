"""What `crustwatch watch` makes of the topics, whatever is published on them."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from seal_scene import digest, seal

from cloud.dashboard import lines
from cloud.dashboard.lines import Overview
from cloud.dashboard.terminal import Screen, plain
from shared.messages import Classification, GatewayStats, GatewayStatus, LineVerdict, WorkerStatus, encode
from shared.mqtt import BrokerAddress, Incoming, Properties

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy
EDGE = Classification("raw", (0,), 0.5, True, "", 1.0, "emulated")
VERDICT = encode(LineVerdict("0" * 32, "b-1", "raw", 0.5, "edge", "final", "sure", 1.0, 2.0, True, EDGE))
STATS = encode(GatewayStats(3, 2, 1, 0, 0, 1, 0.33, True))


def message(topic: str, payload: bytes) -> Incoming:
    return Incoming(topic, payload, True, Properties())


def test_lines_cameras_and_workers_are_known() -> None:
    overview = Overview()
    overview.note(message("cw/1/plant/oven/status", encode(GatewayStatus("online", "0.1.0", "emulated"))))
    overview.note(message("cw/1/plant/oven/stats", STATS))
    overview.note(message("cw/1/plant/oven/belt/verdict", VERDICT))
    overview.note(message("cw/1/worker/w-1/status", encode(WorkerStatus("online", "0.1.0", "m", 4))))
    assert overview.gateways["plant/oven"].device == "emulated"
    assert overview.stats["plant/oven"].backlog == 1
    assert overview.latest[0].verdict.label == "raw"
    assert overview.workers["w-1"].answered == 4
    assert overview.refused == 0


def test_an_empty_retained_message_forgets_a_worker() -> None:
    overview = Overview()
    overview.note(message("cw/1/worker/w-1/status", encode(WorkerStatus("online", "0.1.0", "m", 4))))
    overview.note(message("cw/1/worker/w-1/status", b""))
    assert overview.workers == {}


def test_memory_is_bounded() -> None:
    overview = Overview()
    for number in range(lines.MAX_LINES + 50):
        overview.note(message(f"cw/1/plant/oven-{number}/stats", STATS))
        overview.note(message(f"cw/1/plant/oven-{number}/belt/verdict", VERDICT))
    assert len(overview.stats) == len(overview.cameras) == lines.MAX_LINES
    assert len(overview.latest) == lines.LATEST


@patient
@given(
    st.sampled_from(["cw/1/a/b/status", "cw/1/a/b/stats", "cw/1/a/b/c/verdict", "cw/1/worker/w/status", "cw/1/x"]),
    st.binary(max_size=100) | st.sampled_from([b"{}", b"[]", b"null", b"[" * 5000]),
)
def test_nothing_that_is_published_stops_the_dashboard(topic: str, payload: bytes) -> None:
    overview = Overview()
    overview.note(message(topic, payload))
    assert overview.refused <= 1


def test_with_a_seal_only_the_gateways_own_verdicts_are_shown() -> None:
    topic = "cw/1/plant/oven-1/belt/verdict"
    overview = Overview(seal=seal("observer", "office"))
    for signer in ("oven-2", "oven-1"):
        signed = seal("gateway", f"plant/{signer}").sign(topic, digest(VERDICT), Properties())
        overview.note(Incoming(topic, VERDICT, True, signed))
    overview.note(message(topic, VERDICT))
    assert overview.refused == 2
    assert len(overview.latest) == 1


def test_names_from_elsewhere_cannot_steer_the_terminal() -> None:
    shown = plain("[red]x[/red] \x1b]0;title\x07 \x1b[2J\n\u202e b-1")
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert Text.from_markup(shown).plain.startswith("[red]x[/red]")


def test_what_is_wrong_stands_on_the_screen_and_commands_no_terminal() -> None:
    overview = Overview()
    problems = ("device: the serial port is gone", "outbox: \x1b[2Jfull [red]disk")
    overview.stats["plant/oven-1"] = GatewayStats(1, 1, 0, 0, 0, 0, 0.0, True, problems=problems)
    out = Console(width=120, file=io.StringIO(), record=True)
    client: Any = SimpleNamespace(connected=True)
    out.print(Screen(overview, client, BrokerAddress()))
    text = out.export_text()
    assert "plant/oven-1: device: the serial port is gone" in text
    assert "outbox: \ufffd[2Jfull [red]disk" in text


def test_an_old_verdict_shows_its_age() -> None:
    """Its seal holds for ever, and a broker may publish it again."""
    overview = Overview()
    overview.note(message("cw/1/plant/oven/belt/verdict", VERDICT))  # decided 2 s after the epoch
    for now_s, words in ((2, "0 s"), (61, "59 s"), (602, "10 min"), (7202, "2 h"), (400_000, "5 d"), (-9, "ahead")):
        out = Console(width=160, file=io.StringIO(), record=True)
        client: Any = SimpleNamespace(connected=True)
        out.print(Screen(overview, client, BrokerAddress(), now_us=lambda now_s=now_s: now_s * 1_000_000))
        [row] = [line for line in out.export_text().splitlines() if "b-1" in line]
        assert row.split("\u2502")[-2].strip() == words
