"""The HTML report holds what it should, needs nothing from outside, and says nothing of its own accord."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from edge.devices.model import DEFAULT_MODEL
from edge.learning.commands import headline
from edge.learning.evaluation import calibration_bins, calibration_error, evaluate, integer_logits
from edge.learning.frames import FrameSet
from edge.learning.model_folder import read_model, sizes
from edge.learning.report_page import WORST, write_report
from shared.errors import BadInputError
from shared.task import load_task

TASK = load_task("pizza")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    folder = read_model(DEFAULT_MODEL)
    rng = np.random.default_rng(1)
    items = FrameSet(
        7,
        rng.integers(0, 256, (60, 1, 48, 48, 3)).astype(np.uint8),
        rng.integers(0, 5, 60),
        "photos <b>",
        names=tuple(f"<i>{n}</i>.png" for n in range(60)),
    )
    logits = integer_logits(folder.graph, items.key_frames)
    report = evaluate(folder.graph, folder.gate, items, TASK, all_frames=False, logits=logits)
    card = {**headline(report), **sizes(folder.graph, folder.tflite), "evaluation": report}
    write_report(path, card, folder.gate, logits, items, TASK)
    text = path.read_text()
    write_report(path, card, folder.gate, logits, items, TASK)
    assert path.read_text() == text
    with pytest.raises(BadInputError, match="cannot write the report"):
        write_report(path / "below.html", card, folder.gate, logits, items, TASK)
    assert json.dumps(report["confusion"]).count("[") == 6
    return text


def test_the_page_is_complete_and_needs_nothing_else(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.seen.count("svg") == 2
    assert tags.seen.count("img") == WORST
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in tags.links)
    assert "http" not in re.sub(r'"http://www\.w3\.org/[^"]*"|https?://purl[^"<]*|https?://matplotlib[^"<]*', "", page)
    for part in ("Recall by label", "Confusion", "AURC", "calibration error", "95 %", "Worst items", *TASK.labels):
        assert part in page


def test_names_from_outside_cannot_write_the_page(page: str) -> None:
    assert "<i>" not in page
    assert "photos <b>" not in page
    assert "&lt;i&gt;" in page


def test_the_calibration_error_is_the_mean_gap_of_its_bins() -> None:
    probability = np.array([0.95, 0.95, 0.55, 0.55, 1.0])
    correct = np.array([True, False, True, True, True])
    bins = calibration_bins(probability, correct)
    assert [b.n for b in bins] == [2, 3]
    expected = (2 * abs(0.55 - 1) + 3 * abs((0.95 + 0.95 + 1) / 3 - 2 / 3)) / 5
    assert calibration_error(probability, correct) == pytest.approx(expected)
