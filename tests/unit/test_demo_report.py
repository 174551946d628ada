"""The demo's summary: what a limit kept at the edge is counted, shown and marked."""

from __future__ import annotations

from edge.demo.observer import Observer
from edge.demo.report import make_report, summary_lines
from edge.demo.screen import _verdict
from edge.gateway import verdicts
from shared.messages import Classification, LineVerdict
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")


def verdict(number: int, label: str, *, sure: bool) -> LineVerdict:
    edge = Classification(label, (0,) * len(TASK.labels), 0.8, sure, "", 1.0, "emulated")
    decision = "sure" if sure else "unsure"
    return verdicts.from_edge(TASK, number.to_bytes(16, "big"), f"bake-{number}", edge, 0, 0, decision, True)


def test_what_a_limit_kept_at_the_edge_is_marked() -> None:
    observer = Observer(Line.of("s", "g"), lambda: 0)
    observer.note(verdict(0, "golden", sure=True))
    kept = verdicts.edge_final(verdict(1, "dark", sure=False), "budget", 0)
    observer.note(kept)
    assert kept.certified is False
    report = make_report(observer, {"bake-0": "golden", "bake-1": "burnt"}, "rendered")
    assert (report.over_budget, report.escalation_rate, report.as_json()["over_budget"]) == (1, 0.0, 1)
    assert ("decided unsure for a limit, marked", "", "1") in summary_lines(report)
    shown = [_verdict(seen.final, seen) for seen in observer.bakes.values()]
    assert shown == ["edge: golden 0.80", "edge: dark 0.80 (over budget, uncertified)"]


def test_without_a_limit_nothing_is_said_of_it() -> None:
    observer = Observer(Line.of("s", "g"), lambda: 0)
    observer.note(verdict(0, "golden", sure=True))
    report = make_report(observer, {"bake-0": "golden"}, "rendered")
    assert not any("limit" in name for name, _, _ in summary_lines(report))
