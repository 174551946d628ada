"""The figures of a scenario by phase, from what the observer saw and the renderer knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edge.demo.observer import Observer, Seen
from edge.demo.report import KEPT
from edge.demo.scenario.diary import Diary
from edge.demo.scenario.plan import PHASES
from shared.intervals import Share, wilson

DOUBTED = ("unsure", "policy")
"""Decisions of the edge itself: it is unsure, or the frame is unfamiliar to it."""


class Judged(NamedTuple):
    """One bake with its final verdict and its truth."""

    phase: str
    truth: str
    seen: Seen
    edge_right: bool
    right: bool
    escalated: bool
    doubted: bool
    missed: bool  # critical, and the edge alone passed it as something else

    @property
    def decision(self) -> str:
        """What the edge decided first."""
        return self.seen.first.reason


def judge(observer: Observer, diary: Diary, critical: Sequence[str]) -> list[Judged]:
    """Each bake that has a final verdict and a known truth, in the order of the belt."""
    by_name = {seen.first.bake: seen for seen in observer.bakes.values()}
    judged = []
    for name, phase in zip(diary.names, diary.phases, strict=True):
        seen, truth = by_name.get(name), diary.truths[name]
        if seen is None or seen.final is None or truth is None:
            continue
        final = seen.final
        alone = final.reason in KEPT
        judged.append(
            Judged(
                phase=phase,
                truth=truth,
                seen=seen,
                edge_right=final.edge.label == truth,
                right=final.label == truth,
                escalated=not alone,
                doubted=seen.first.reason in DOUBTED or final.reason == "budget",
                missed=alone and truth in critical and final.label != truth,
            )
        )
    return judged


def phase_figures(judged: Sequence[Judged], critical: Sequence[str]) -> list[dict[str, Any]]:
    """One object a phase: shares with their 95 % Wilson intervals."""
    found = []
    for phase in PHASES:
        rows = [row for row in judged if row.phase == phase]
        asked = [row for row in rows if row.seen.final is not None and row.seen.final.source == "cloud"]
        precious = [row for row in rows if row.truth in critical]
        found.append(
            {
                "phase": phase,
                "bakes": len(rows),
                "escalated": _share([row.escalated for row in rows]),
                "doubted": _share([row.doubted for row in rows]),
                "unfamiliar": _share([row.decision == "policy" for row in rows]),
                "edge_accuracy": _share([row.edge_right for row in rows]),
                "cascade_accuracy": _share([row.right for row in rows]),
                "cloud_accuracy": _share([row.right for row in asked]),
                "critical_missed": _share([row.missed for row in precious]),
                "over_budget": sum(row.seen.final is not None and row.seen.final.reason == "budget" for row in rows),
            }
        )
    return found


def moving(values: Sequence[bool], window: int) -> tuple[list[int], list[Share]]:
    """The share over the last `window` values, with its interval, at each place from half a window on."""
    places, shares = [], []
    for end in range(max(1, window // 2), len(values) + 1):
        part = values[max(0, end - window) : end]
        places.append(end - 1)
        shares.append(wilson(sum(part), len(part)))
    return places, shares


def share_words(share: Mapping[str, Any] | None) -> str:
    """A share of `phase_figures` for people."""
    if share is None:
        return "-"
    return f"{100 * share['share']:.1f} % [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def _share(hits: Sequence[bool]) -> dict[str, Any] | None:
    if not hits:
        return None
    found = wilson(sum(hits), len(hits))
    return {"share": round(found.share, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}
