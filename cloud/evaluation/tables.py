"""Tables and charts of the benchmarks, both dialects of VSI-Bench by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

from cloud.charts import Bar, bar_chart
from cloud.evaluation.scanqa import score_scanqa
from cloud.evaluation.vsibench import Dialect, Scored, score_answer, summarise

Row = Mapping[str, Any]
Average = Literal["accuracy", "relative_accuracy", "all"]


def vsibench_report(rows: Sequence[Row]) -> dict[str, Any]:
    """Averages of answered rows (prediction, ground_truth, question_type), for each dialect."""
    return {dialect: asdict(summarise(_scored(rows, dialect))) for dialect in get_args(Dialect)}


def _scored(rows: Sequence[Row], dialect: Dialect) -> list[Scored]:
    return [score_answer(row["prediction"], row["ground_truth"], row["question_type"], dialect) for row in rows]


def vsibench_lines(report: Mapping[str, Any]) -> list[str]:
    """The table for people: a column a dialect."""
    dialects = list(report)
    lines = [f"  {'VSI-Bench, scored in dialect':34} {'n':>6}" + "".join(f"{name:>12}" for name in dialects)]
    first = report[dialects[0]]
    for kind, count in first["counts"].items():
        scores = "".join(f"{report[name]['per_type'][kind]:12.3f}" for name in dialects)
        lines.append(f"  {kind:34} {count:>6}{scores}")
    for average, title in (("accuracy", "choices"), ("relative_accuracy", "numbers"), ("all", "all")):
        for kind, words in (("micro", "mean over questions"), ("macro", "mean over types")):
            scores = "".join(f"{report[name][average][kind]:12.3f}" for name in dialects)
            lines.append(f"  {f'{title}, {words}':34} {'':>6}{scores}")
    return lines


def vsibench_chart(report: Mapping[str, Any], title: str) -> str:
    """Bars of each question type and of the averages, reference dialect."""
    found = report["reference"]
    bars = [Bar(f"{kind} (n={found['counts'][kind]})", score) for kind, score in found["per_type"].items()]
    bars += [Bar("all, mean over questions", found["all"]["micro"]), Bar("all, mean over types", found["all"]["macro"])]
    return bar_chart(f"{title}: VSI-Bench, dialect reference", bars)


def scanqa_report(rows: Mapping[str, Row]) -> dict[str, Any]:
    """Scores of answered rows (prediction, answers) by question."""
    scores = score_scanqa(
        {key: row["answers"] for key, row in rows.items()}, {key: row["prediction"] for key, row in rows.items()}
    )
    bleu = {f"bleu_{order}": value for order, value in enumerate(scores.bleu, start=1)}
    return {
        "questions": len(rows),
        "exact_match": scores.exact_match,
        **bleu,
        "rouge_l": scores.rouge_l,
        "cider": scores.cider,
    }


def scanqa_lines(report: Mapping[str, Any]) -> list[str]:
    """The table for people."""
    return [f"  ScanQA, {report['questions']} questions (METEOR is not computed)"] + [
        f"  {name.replace('_', ' '):34} {value:.4f}" for name, value in report.items() if name != "questions"
    ]


def scanqa_chart(report: Mapping[str, Any], title: str) -> str:
    """Bars of the scores that lie in 0..1."""
    bars = [Bar(name.replace("_", " "), report[name]) for name in ("exact_match", "bleu_1", "bleu_4", "rouge_l")]
    return bar_chart(f"{title}: ScanQA", bars)
