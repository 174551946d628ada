"""The report of a model on unseen items, as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.gate.gate_file import GateFile
from edge.learning.charts import calibration_chart, risk_coverage_chart
from edge.learning.evaluation import calibration_bins
from edge.learning.frames import FrameSet
from edge.learning.selective import risk_coverage
from shared.errors import BadInputError
from shared.task import Task

WORST = 24  # items of the contact sheet
SHOWN_PX = 144  # of an item
STYLE = """body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:right}th:first-child,td:first-child{text-align:left}
figure{display:inline-block;margin:.3rem;font-size:.75rem;text-align:center}img{image-rendering:pixelated}"""


def write_report(
    path: Path, card: dict[str, Any], gate: GateFile, logits: NDArray[np.int8], items: FrameSet, task: Task
) -> None:
    """Write the page: `card` as printed, logits int8 [N, labels] of the items' key frames. Raises BadInputError."""
    report = card["evaluation"]
    probability = gate.table().probabilities_q15(logits)  # [N]
    predicted = logits.argmax(axis=1)  # [N]
    correct = predicted == items.labels  # [N]
    what = "rendered bakes of seed" if report["data"] == "rendered" else f"photographs of {report['data']}, split"
    parts = [
        f"<h1>{escape(task.title)}: {report['bakes']} unseen items</h1>",
        f"<p>{escape(what)} {report['seed']}. Model {card['model_bytes']} bytes, arena {card['arena_bytes']} bytes, "
        f"{card['macs']} multiply-accumulates, SHA-256 {card['sha256'][:16]}. Intervals are 95 % Wilson.</p>",
        "<h2>Shares</h2>",
        _shares({name: value for name, value in report.items() if isinstance(value, dict) and "share" in value}),
        "<h2>Recall by label</h2>",
        _shares(report["accuracy_by_label"]),
        "<h2>Confusion</h2>",
        _confusion(report["confusion"], task.labels),
        "<h2>Risk and coverage</h2>",
        f"<p>AURC {report['aurc']:.4f}, error {report['risk_at_70']:.4f} at 70 % coverage and "
        f"{report['risk_at_50']:.4f} at 50 %.</p>",
        risk_coverage_chart(risk_coverage(probability, correct), report["aurc"], report["escalation_rate"]["share"]),
        "<h2>Calibration</h2>",
        f"<p>Expected calibration error {report['expected_calibration_error']:.4f}.</p>",
        calibration_chart(calibration_bins(probability / 32768, correct), report["expected_calibration_error"]),
        f"<h2>Worst items: the surest of {int((~correct).sum())} mistakes</h2>",
        *_worst(probability, predicted, correct, items, task.labels),
    ]
    page = "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(task.title)}</title>',
            f"<style>{STYLE}</style></head>",
            "<body>",
            *parts,
            "</body></html>",
            "",
        ]
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot write the report {path}: {error.strerror}") from None


def _shares(rows: dict[str, dict[str, Any]]) -> str:
    lines = ["<table><tr><th></th><th>share</th><th>95 %</th><th>n</th></tr>"]
    for name, row in rows.items():
        share = "none" if row["share"] is None else f"{row['share']:.4f}"
        lines.append(
            f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{share}</td>"
            f"<td>{row['low']:.4f} to {row['high']:.4f}</td><td>{row['n']}</td></tr>"
        )
    return "\n".join([*lines, "</table>"])


def _confusion(rows: list[list[int]], labels: tuple[str, ...]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in labels)
    lines = [f"<table><tr><th>truth, then said</th>{head}</tr>"]
    for name, row in zip(labels, rows, strict=True):
        lines.append(f"<tr><td>{escape(name)}</td>{''.join(f'<td>{count}</td>' for count in row)}</tr>")
    return "\n".join([*lines, "</table>"])


def _worst(
    probability: NDArray[np.int64],
    predicted: NDArray[np.int64],
    correct: NDArray[np.bool_],
    items: FrameSet,
    labels: tuple[str, ...],
) -> list[str]:
    """A picture each of the mistakes of which the edge was surest."""
    wrong = np.flatnonzero(~correct)
    ranked = wrong[np.argsort(-probability[wrong], kind="stable")][:WORST]
    figures = []
    for item in ranked:
        said, truth = labels[predicted[item]], labels[items.labels[item]]
        name = items.names[item] if items.names else f"item {item}"
        caption = f"{escape(name)}<br>{escape(truth)}, said {escape(said)} with {probability[item] / 32768:.2f}"
        source = base64.b64encode(_png(items.key_frames[item])).decode()
        figures.append(
            f'<figure><img width="{SHOWN_PX}" height="{SHOWN_PX}" src="data:image/png;base64,{source}" '
            f'alt="{escape(truth)}"><figcaption>{caption}</figcaption></figure>'
        )
    return figures


def _png(frame: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()
