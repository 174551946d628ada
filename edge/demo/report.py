"""The demo's summary: for the edge alone and for the cascade, from what the observer saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.demo.observer import Observer
from shared.intervals import Share, wilson


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one run; None where the input has no ground truth or nothing was measured."""

    bakes: int
    finals: int
    lost: int
    duplicates: int
    corrections: int
    timeouts: int
    edge: Share | None
    cascade: Share | None
    escalation_rate: float | None
    edge_ms: float | None  # median
    edge_timing: str  # emulated or measured
    cloud_s: tuple[float, float] | None  # p50, p99
    e2e_s: tuple[float, float] | None  # p50, p99
    data: str  # rendered or user
    killed: dict[str, int] = field(default_factory=dict)  # parts that the demo killed itself, by name
    over_budget: int = 0  # bakes that the edge decided although unsure, because a limit was reached: marked

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "bakes": self.bakes,
            "finals": self.finals,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "corrections": self.corrections,
            "timeouts": self.timeouts,
            "edge_accuracy": _accuracy(self.edge),
            "edge_accuracy_interval": _interval(self.edge),
            "cascade_accuracy": _accuracy(self.cascade),
            "cascade_accuracy_interval": _interval(self.cascade),
            "escalation_rate": _rounded(self.escalation_rate),
            "edge_ms": _rounded(self.edge_ms),
            "edge_timing": self.edge_timing,
            "cloud_s_p50": _rounded(self.cloud_s[0] if self.cloud_s else None),
            "cloud_s_p99": _rounded(self.cloud_s[1] if self.cloud_s else None),
            "e2e_s_p50": _rounded(self.e2e_s[0] if self.e2e_s else None),
            "e2e_s_p99": _rounded(self.e2e_s[1] if self.e2e_s else None),
            "data": self.data,
            "killed": self.killed,
            "over_budget": self.over_budget,
        }


KEPT = ("sure", "budget")
"""Reasons of final verdicts for which the cloud was never asked."""


def make_report(
    observer: Observer, truths: Mapping[str, str | None], data: str, killed: Mapping[str, int] | None = None
) -> Report:
    """Figures of a run; `truths` has every bake that was handed to the gateway, by name, with its label if known."""
    seen = list(observer.bakes.values())
    finals = [(bake, bake.final) for bake in seen if bake.final is not None]
    judged = [(final, truth) for _, final in finals if (truth := truths.get(final.bake)) is not None]
    escalated = [final for _, final in finals if final.reason not in KEPT]
    edge_ms = [final.edge.inference_ms for _, final in finals]
    cloud_s = [final.cloud.provenance.seconds for _, final in finals if final.cloud and final.cloud.provenance]
    e2e_s = [bake.e2e_s for bake in seen if bake.e2e_s is not None]
    names = {final.bake for _, final in finals}
    return Report(
        bakes=len(truths),
        finals=len(finals),
        lost=sum(name not in names for name in truths),
        duplicates=observer.duplicates,
        corrections=sum(len(bake.corrections) for bake in seen),
        timeouts=sum(final.reason == "timeout" for _, final in finals),
        edge=wilson(sum(final.edge.label == truth for final, truth in judged), len(judged)) if judged else None,
        cascade=wilson(sum(final.label == truth for final, truth in judged), len(judged)) if judged else None,
        escalation_rate=len(escalated) / len(finals) if finals else None,
        edge_ms=float(np.median(edge_ms)) if edge_ms else None,
        edge_timing=finals[0][1].edge.timing if finals else "measured",
        cloud_s=_p50_p99(cloud_s),
        e2e_s=_p50_p99(e2e_s),
        data=data,
        killed=dict(killed or {}),
        over_budget=sum(final.reason == "budget" for _, final in finals),
    )


def summary_lines(report: Report) -> list[tuple[str, str, str]]:
    """Rows for people: what, edge alone, cascade."""

    def share(value: Share | None) -> str:
        if value is None:
            return "no ground truth"
        return f"{100 * value.share:.1f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"

    def seconds(value: tuple[float, float] | None) -> str:
        return "none" if value is None else f"{value[0]:.2f} s / {value[1]:.2f} s"

    where = "emulated at 125 MHz" if report.edge_timing == "emulated" else "measured"
    inference = "none" if report.edge_ms is None else f"{report.edge_ms:.1f} ms"
    rate = "none" if report.escalation_rate is None else f"{100 * report.escalation_rate:.1f} %"
    kills = [("killed by the demo itself", "", ", ".join(f"{part} {count}" for part, count in report.killed.items()))]
    marked = [("decided unsure for a limit, marked", "", str(report.over_budget))]
    return [
        (f"accuracy [95 %], {report.data} data", share(report.edge), share(report.cascade)),
        ("escalation rate", "0 %", rate),
        (f"inference, {where}", inference, inference),
        ("cloud, p50 / p99, measured", "", seconds(report.cloud_s)),
        ("end to end, p50 / p99, measured", "", seconds(report.e2e_s)),
        ("bakes without verdict", "", f"{report.lost} of {report.bakes}"),
        ("duplicates applied", "", str(report.duplicates)),
        ("by deadline / corrected later", "", f"{report.timeouts} / {report.corrections}"),
        *(marked if report.over_budget else []),
        *(kills if report.killed else []),
    ]


def _p50_p99(values: Sequence[float]) -> tuple[float, float] | None:
    if not values:
        return None
    return float(np.percentile(values, 50)), float(np.percentile(values, 99))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _accuracy(share: Share | None) -> float | None:
    return None if share is None else round(share.share, 4)


def _interval(share: Share | None) -> list[float] | None:
    return None if share is None else [round(share.low, 4), round(share.high, 4)]
