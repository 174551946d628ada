"""Two plain charts as SVG text: bars with their intervals, and lines. No plotting library for two pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

COLOURS = ("#3b6ea5", "#c8553d", "#5b8c5a", "#8a6fae")
_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 760, 26, 260, 90, 48  # px
_PLOT = 300  # px of height of a line chart


class Bar(NamedTuple):
    """One bar: its value in 0..1 and, where there is one, its 95 % interval."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


def _page(width: int, height: int, title: str, body: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="16" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from 0 to 1, a whisker over each interval."""
    span = _WIDTH - _LEFT - _RIGHT
    body: list[str] = []
    for row, bar in enumerate(bars):
        y = _TOP + row * _ROW
        body.append(f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>')
        body.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{span * bar.value:.1f}" height="16" fill="{COLOURS[0]}"/>')
        if bar.low is not None and bar.high is not None:
            first, last = _LEFT + span * bar.low, _LEFT + span * bar.high
            body.append(f'<path d="M{first:.1f} {y + 11}H{last:.1f}" stroke="black" stroke-width="1.5"/>')
        body.append(f'<text x="{_WIDTH - _RIGHT + 10}" y="{y + 15}">{bar.value:.3f}</text>')
    bottom = _TOP + len(bars) * _ROW
    body.append(f'<path d="M{_LEFT} {_TOP}V{bottom}" stroke="#888"/>')
    return _page(_WIDTH, bottom + 16, title, body)


def line_chart(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Lines through (x, y) points, both axes from 0."""
    points = [point for line in lines.values() for point in line]
    x_most = max((x for x, _ in points), default=1.0) or 1.0
    y_most = max((y for _, y in points), default=1.0) or 1.0
    left, width = 70, _WIDTH - 110
    base = _TOP + _PLOT
    body = [
        f'<path d="M{left} {_TOP}V{base}H{left + width}" stroke="#888" fill="none"/>',
        f'<text x="{left + width / 2}" y="{base + 34}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="{left}" y="{_TOP - 4}">{escape(y_label)}</text>',
        f'<text x="{left - 6}" y="{_TOP + 12}" text-anchor="end">{y_most:g}</text>',
        f'<text x="{left - 6}" y="{base}" text-anchor="end">0</text>',
        f'<text x="{left + width}" y="{base + 16}" text-anchor="end">{x_most:g}</text>',
    ]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{left + width * x / x_most:.1f},{base - _PLOT * y / y_most:.1f}" for x, y in line)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place = f'x="{left + width - 8}" y="{base - 12 - 18 * number}" text-anchor="end"'
        body.append(f'<text {place} fill="{colour}">{escape(name)}</text>')
    return _page(_WIDTH, base + 50, title, body)
