"""The report on a checkpoint: what counts as right, and what it prints."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import msgspec
import pytest

from cloud.answer import Answer, Findings, cannot_tell, verdict_of
from cloud.engine import Engine
from cloud.evaluation.cli import Bakes
from cloud.evaluation.commands import run_bakes
from cloud.model_choice import EngineChoice
from cloud.training.evaluation import Judged, report
from shared.bakery import BakeTruth, render_bake
from shared.errors import BadInputError
from shared.messages import BakeVerdict, Provenance
from shared.task import load_task

TASK = load_task("pizza")
WHENCE = Provenance("small", "00", "11", (0, 1), True, "sdpa", "cpu", 0.25)


class Named:
    """All that a report reads of an engine."""

    name = "made-up"
    weights_sha256 = "00"
    engine = "full"


ENGINE = cast(Engine, Named())


@pytest.fixture(scope="module")
def truth() -> BakeTruth:
    found = render_bake(3050, 0).truth
    return msgspec.structs.replace(
        found, doneness="dark", burnt_fraction=0.2, char_where="rim", char_sector=12, evenness=0.5, crust_height_mm=20.0
    )


def says(direction_deg: float | None = None, **fields: Any) -> BakeVerdict:
    answer = msgspec.structs.replace(Answer("dark", 20, "rim", 12, 50, 20, 5), **fields)
    return verdict_of(Findings(answer, 0.8, direction_deg), WHENCE)


def test_right_answers_are_right(truth: BakeTruth) -> None:
    found = report([Judged(truth, says(), says(doneness="raw"))], ENGINE, 3050, TASK)
    assert found.data == "rendered"
    assert (found.doneness.share, found.doneness_one_frame.share) == (1.0, 0.0)
    assert (found.hour.share, found.hour_within_one.share, found.char_place.share) == (1.0, 1.0, 1.0)
    assert (found.burnt_error, found.burnt_error_charred, found.evenness_error, found.crust_error_mm) == (0, 0, 0, 0)
    assert (found.seconds_p50, found.seconds_p99) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("hour", "exact", "near"), [(12, 1.0, 1.0), (1, 0.0, 1.0), (11, 0.0, 1.0), (6, 0.0, 0.0), (None, 0.0, 0.0)]
)
def test_hours_lie_on_a_circle(truth: BakeTruth, hour: int | None, exact: float, near: float) -> None:
    found = report([Judged(truth, says(hour=hour), says())], ENGINE, 3050, TASK)
    assert (found.hour.share, found.hour_within_one.share) == (exact, near)


@pytest.mark.parametrize(
    ("hour", "direction_deg", "within"),
    [
        (1, None, 0.0),
        (1, 24.0, 1.0),
        (12, 14.0, 1.0),
        (11, 345.0, 1.0),
        (12, 350.0, 1.0),
        (11, 330.0, 1.0),
        (11, 324.0, 0.0),
        (2, 46.0, 0.0),
    ],
)
def test_directions_count_as_fine_as_they_are_told(
    truth: BakeTruth, hour: int, direction_deg: float | None, within: float
) -> None:
    by_hour = [0.1 if at == 12 else 0.02 if at == 11 else 0.0 for at in range(1, 13)]  # 5 degrees before 12 o'clock
    true = msgspec.structs.replace(truth, char_fraction_by_hour=by_hour)
    found = report([Judged(true, says(direction_deg, hour=hour), says())], ENGINE, 3050, TASK)
    assert found.direction_within_30.share == within


@pytest.mark.parametrize(("share", "within"), [(0.0, 1.0), (1.0, 3 / 5)])
def test_hours_of_the_picture_are_told_from_hours_of_the_belt(truth: BakeTruth, share: float, within: float) -> None:
    judged = []
    for turn in (-60, -30, 0, 30, 60):  # degrees that the belt's travel is turned in the picture, clockwise
        sine, cosine = math.sin(math.radians(turn)), math.cos(math.radians(turn))
        pose = [[sine, cosine, 0.0, 0.0], [-cosine, sine, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]  # picture: x right, y down
        by_hour = [0.0] * 5 + [0.2] + [0.0] * 6
        true = msgspec.structs.replace(truth, poses=[pose] * 8, char_sector=6, char_fraction_by_hour=by_hour)
        hour = round(6 + share * turn / 30)  # a model that follows the picture turns with the camera
        judged.append(Judged(true, says(hour=hour), says()))
    found = report(judged, ENGINE, 3050, TASK)
    assert found.hours_of_picture == pytest.approx(share, abs=1e-6)
    assert found.direction_within_30.share == pytest.approx(within)
    assert found.char_found.share == 1.0


def test_cannot_tell_counts_as_wrong_and_is_counted(truth: BakeTruth) -> None:
    silent = cannot_tell("the answer is empty", WHENCE)
    judged = [Judged(truth, silent, silent), Judged(truth, says(doneness="burnt", burnt_percent=40), says())]
    found = report(judged, ENGINE, 3050, TASK)
    assert found.cannot_tell == 1
    assert found.doneness.share == 0.0
    assert (found.within_one_label.share, found.within_one_label.n) == (0.5, 2)
    assert found.burnt_error == pytest.approx(0.2)
    assert found.mean_confidence == pytest.approx(0.4)


def test_without_findings_errors_are_null(truth: BakeTruth) -> None:
    silent = cannot_tell("the answer is empty", WHENCE)
    found = report([Judged(truth, silent, silent)], ENGINE, 3050, TASK)
    assert found.burnt_error is found.evenness_error is found.crust_error_mm is None
    assert found.hour.n == 0


def test_the_command_prints_one_json_object_and_refuses_training_data(capsys: pytest.CaptureFixture[str]) -> None:
    choice = EngineChoice("pizza-small", threads=1)
    run_bakes(choice, Bakes(count=2, seed=3051), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["doneness"]["n"] == 2
    assert 0 <= found["doneness"]["low"] <= found["doneness"]["high"] <= 1
    with pytest.raises(BadInputError, match="training data"):
        run_bakes(choice, Bakes(count=2, seed=1500), as_json=True)
    with pytest.raises(BadInputError, match="even or space"):
        run_bakes(choice, Bakes(count=2, seed=3051, frames=4, sampling="random"), as_json=True)


def test_fewer_frames_are_chosen_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    run_bakes(
        EngineChoice("pizza-small", threads=1), Bakes(count=1, seed=3051, frames=3, sampling="even"), as_json=True
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["sampling"]) == (3, "even")
