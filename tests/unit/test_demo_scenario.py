"""A scenario's parts: how long it is, what is counted from outside, and the picture of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from edge.demo.observer import Observer
from edge.demo.scenario.diary import Belt, Diary, Moment, one_after_another
from edge.demo.scenario.figures import judge, moving, phase_figures
from edge.demo.scenario.plan import Plan
from edge.demo.scenario.plot import Bound, draw
from edge.gateway import verdicts
from edge.gateway.sources import Skipped, SourceBake, SourceItem
from shared.errors import BadInputError, MissingPartError
from shared.messages import BakeVerdict, Classification, LineVerdict
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")
FRAME = np.zeros((4, 4, 3), np.uint8)
ZERO = (0,) * len(TASK.labels)


def test_more_bakes_prove_a_tighter_promise() -> None:
    alphas = [Plan.of("new-topping", 1, bakes).alpha for bakes in (60, 1800, 4000)]
    assert alphas == ["raw=0.3,burnt=0.3", "raw=0.1,burnt=0.1", "raw=0.05,burnt=0.05"]
    assert Plan.of("new-light", 1, None) == Plan.of("new-light", 1, 1800)
    with pytest.raises(BadInputError, match="at least 40 bakes, not 39"):
        Plan.of("new-light", 1, 39)


def bake(number: int, truth: str | None = "golden") -> SourceBake:
    return SourceBake(f"bake-{number}", (FRAME,), (0,), truth=truth)


async def some(*items: SourceItem) -> AsyncIterator[SourceItem]:
    for item in items:
        yield item


def test_the_belt_goes_on_where_the_last_gateway_left_it() -> None:
    async def scenario() -> tuple[Diary, list[str]]:
        clock = iter(range(100))
        diary = Diary(lambda: float(next(clock)))
        asked: list[int] = []

        async def ready() -> None:
            asked.append(diary.count)

        sources = one_after_another(some(bake(0), bake(1)), some(Skipped("x", "broken"), bake(2), bake(3)))
        belt = Belt(sources, diary, ready)
        passed = [item.name async for item in belt.until(lambda: diary.count == 1)]
        diary.note("promoted", "by a test", "after")
        passed += [item.name async for item in belt.until(lambda: False)]
        assert asked == [0, 1, 1, 2, 2, 3, 4]
        return diary, passed

    diary, passed = asyncio.run(scenario())
    assert passed == ["bake-0", "bake-1", "x", "bake-2", "bake-3"]
    assert diary.names == ["bake-0", "bake-1", "bake-2", "bake-3"]
    assert diary.phases == ["before", "after", "after", "after"]
    assert diary.moments == [Moment("promoted", 1, 1.0, "by a test")]


def verdict(number: int, label: str, decision: Any) -> LineVerdict:
    edge = Classification(label, ZERO, 0.8, decision == "sure", "", 1.0, "measured")
    return verdicts.from_edge(TASK, number.to_bytes(16, "big"), f"bake-{number}", edge, 0, 0, decision, True)


def cloud(earlier: LineVerdict, label: str) -> LineVerdict:
    return verdicts.from_cloud(TASK, earlier, BakeVerdict(label, 0.9, False, ""), 0)


def seen_line() -> tuple[Observer, Diary]:
    """Six bakes: a sure one that is right, a raw one missed, escalated ones, one over budget, one without final."""
    observer, diary = Observer(Line.of("s", "g"), lambda: 0), Diary(lambda: 0.0)
    for number, (truth, phase) in enumerate(
        [
            ("golden", "before"),
            ("raw", "before"),
            ("dark", "shift"),
            ("raw", "shift"),
            ("burnt", "shift"),
            ("raw", "after"),
        ]
    ):
        diary.phase = phase
        diary.took(bake(number, truth))
    observer.note(verdict(0, "golden", "sure"))
    observer.note(verdict(1, "golden", "sure"))
    for number, label, decision, said in ((2, "golden", "policy", "dark"), (3, "raw", "withdrawn", "golden")):
        first = verdict(number, label, decision)
        observer.note(first)
        observer.note(cloud(first, said))
    observer.note(verdicts.edge_final(verdict(4, "dark", "unsure"), "budget", 0))
    observer.note(verdict(5, "raw", "unsure"))  # still waits
    return observer, diary


def test_shares_are_counted_from_verdicts_and_truths() -> None:
    observer, diary = seen_line()
    judged = judge(observer, diary, TASK.critical)
    assert [row.phase for row in judged] == ["before", "before", "shift", "shift", "shift"]
    before, shift, escalated, _, after = phase_figures(judged, TASK.critical)
    assert (before["bakes"], before["escalated"]["share"], before["critical_missed"]["share"]) == (2, 0.0, 1.0)
    assert (shift["escalated"]["share"], shift["doubted"]["share"]) == (0.6667, 0.6667)
    assert (shift["edge_accuracy"]["share"], shift["cascade_accuracy"]["share"]) == (0.3333, 0.3333)
    assert (shift["cloud_accuracy"]["n"], shift["cloud_accuracy"]["share"]) == (2, 0.5)
    # The burnt one was kept by a limit and passed as dark: a miss, and one that is marked.
    assert (shift["critical_missed"]["n"], shift["critical_missed"]["share"], shift["over_budget"]) == (2, 0.5, 1)
    assert (after["bakes"], after["escalated"], escalated["bakes"]) == (0, None, 0)


def test_moving_shares_look_back_over_a_window() -> None:
    places, shares = moving([True, True, False, False, False], 4)
    assert places == [1, 2, 3, 4]
    assert [round(share.share, 2) for share in shares] == [1.0, 0.67, 0.5, 0.25]


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    observer, diary = seen_line()
    judged = judge(observer, diary, TASK.critical)
    moments = [Moment("shift", 2, 1.0, "new-light begins"), Moment("refused", 4, 2.0, "too few")]
    bounds = [Bound(0, 3, "raw", 0.08, 0.1), Bound(0, 3, "burnt", 0.08, 0.1)]
    draw(judged, moments, bounds, "rendered bakes of a test", tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG"
        assert image.size[0] > 900
        assert np.asarray(image.convert("L")).std() > 10  # not blank
    with pytest.raises(BadInputError, match="the plot cannot be written"):
        draw(judged, [], [], "nowhere", tmp_path / "no" / "plot.png")


def test_the_scenario_ends_when_no_alarm_comes(tmp_path: Path) -> None:
    from edge.budget import Limits
    from edge.demo.scenario.commands import Chores
    from edge.demo.scenario.options import ScenarioOptions
    from edge.demo.scenario.program import Scenario
    from edge.demo.scenario.watching import Watching

    plan = Plan.of("new-light", 1, 40)
    options = ScenarioOptions(plan, False, "litert", None, "pizza-small", "auto", tmp_path, None, Limits())
    scenario: Any = Scenario(options, tmp_path)
    observer = Observer(Line.of("s", "g"), lambda: 0)
    scenario._watching = Watching(Console(), observer, scenario._diary, TASK.critical)
    for number in range(plan.before + plan.unnoticed + 1):
        scenario._diary.took(bake(number))
    asyncio.run(scenario._watch(None, Chores(tmp_path)))
    assert scenario._has_learnt.is_set()
    assert scenario._trial.why == "no alarm within 40 bakes of the shift"


def test_what_is_missing_is_said_before_the_first_bake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.demo.scenario import options

    options.check_parts(tmp_path / "plot.png")
    with pytest.raises(BadInputError, match="folder that exists"):
        options.check_parts(tmp_path / "no" / "plot.png")
    monkeypatch.setattr(options, "NEEDED", ("no_such_package",))
    with pytest.raises(MissingPartError, match="no_such_package"):
        options.check_parts(None)
