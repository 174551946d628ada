"""How good a checkpoint is on rendered bakes, asked exactly as a worker asks it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

import msgspec
import numpy as np

from cloud.engine import Engine, VerdictEngine
from cloud.taken import Taken
from cloud.training.targets import char_direction
from shared.bakery import FRAME_COUNT, KEY_FRAME, BakeTruth
from shared.bakery.bake import Bake
from shared.images import decode_jpeg, encode_jpeg
from shared.intervals import Share, wilson
from shared.messages import BakeVerdict
from shared.task import Task

CHARRED = (0.01, 0.5)  # burnt fractions among which the burnt error is also reported alone


class ShareReport(msgspec.Struct, frozen=True):
    """A share with its 95 % Wilson interval."""

    share: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, share: Share) -> ShareReport:
        """Rounded for people."""
        return cls(round(share.share, 4), round(share.low, 4), round(share.high, 4), share.n)


class BakesReport(msgspec.Struct, frozen=True):
    """What `crustwatch cloud eval bakes --json` prints. Errors are means; null where no bake applies."""

    data: str
    checkpoint: str
    engine: str
    weights_sha256: str
    seed: int
    frames: int  # most that a verdict looks at
    sampling: str  # how they are chosen of a bake's eight: all, even or space
    doneness: ShareReport
    doneness_one_frame: ShareReport  # control: the key frame alone, as a still
    within_one_label: ShareReport
    hour: ShareReport
    hour_within_one: ShareReport
    direction_within_30: ShareReport  # degrees between the direction that is told and the char's true one
    hours_of_picture: float | None  # 0: hours are counted from the belt's travel; 1: from the picture's upper edge
    char_found: ShareReport  # of the bakes with char in one direction: those in which any char was named
    char_place: ShareReport
    cannot_tell: int
    mean_confidence: float
    burnt_error: float | None
    burnt_error_charred: float | None
    evenness_error: float | None
    crust_error_mm: float | None
    blister_error_mm: float | None
    batch: int  # bakes asked together: the seconds are a batch's, divided by its bakes
    seconds_p50: float
    seconds_p99: float


class Judged(msgspec.Struct, frozen=True):
    """A bake's truth with the verdicts on it."""

    truth: BakeTruth
    clip: BakeVerdict
    one_frame: BakeVerdict


def judge_batch(bakes: Sequence[Bake], engine: VerdictEngine, task: Task) -> list[Judged]:
    """Ask `engine` about bakes together, their frames compressed as gateways do, and about each key frame alone."""
    clips = [Taken([decode_jpeg(encode_jpeg(frame)) for frame in bake.frames], bake.truth.times_s) for bake in bakes]
    stills = [Taken([clip.frames[KEY_FRAME]], [clip.times_s[KEY_FRAME]]) for clip in clips]
    verdicts, alone = engine.verdicts(clips, task), engine.verdicts(stills, task)
    return [Judged(bake.truth, clip, one_frame) for bake, clip, one_frame in zip(bakes, verdicts, alone, strict=True)]


def report(judged: Sequence[Judged], engine: VerdictEngine, seed: int, task: Task, batch: int = 1) -> BakesReport:
    """Figures over `judged`, at least one, asked in batches of `batch`."""
    told = [item for item in judged if not item.clip.cannot_tell]
    sectored = [item for item in told if item.truth.char_sector is not None]
    seconds = np.array([item.clip.provenance.seconds for item in judged if item.clip.provenance is not None])  # [n]
    low, high = CHARRED

    def error(of: Callable[[Judged], tuple[float | None, float]], items: Sequence[Judged]) -> float | None:
        pairs = [of(item) for item in items]
        known = [abs(said - true) for said, true in pairs if said is not None]
        return round(fmean(known), 4) if known else None

    return BakesReport(
        data="rendered",
        checkpoint=engine.name,
        engine=engine.engine,
        weights_sha256=engine.weights_sha256,
        seed=seed,
        frames=task.escalation.frames,
        sampling=_sampling(engine, task),
        doneness=_share(judged, lambda item: item.clip.doneness == item.truth.doneness),
        doneness_one_frame=_share(judged, lambda item: item.one_frame.doneness == item.truth.doneness),
        within_one_label=_share(
            judged,
            lambda item: (
                item.clip.doneness is not None
                and abs(task.index(item.clip.doneness) - task.index(item.truth.doneness)) <= 1
            ),
        ),
        hour=_share(sectored, lambda item: _hours_apart(item) == 0),
        hour_within_one=_share(sectored, lambda item: _hours_apart(item) <= 1),
        direction_within_30=_share(sectored, _within_30),
        hours_of_picture=_hours_of_picture(sectored),
        char_found=_share(sectored, lambda item: item.clip.char is not None and item.clip.char.where != "none"),
        char_place=_share(
            told, lambda item: item.clip.char is not None and item.clip.char.where == item.truth.char_where
        ),
        cannot_tell=len(judged) - len(told),
        mean_confidence=round(fmean(item.clip.confidence for item in judged), 4),
        burnt_error=error(lambda item: (item.clip.burnt_fraction, item.truth.burnt_fraction), told),
        burnt_error_charred=error(
            lambda item: (item.clip.burnt_fraction, item.truth.burnt_fraction),
            [item for item in told if low <= item.truth.burnt_fraction <= high],
        ),
        evenness_error=error(lambda item: (item.clip.evenness, item.truth.evenness), told),
        crust_error_mm=error(lambda item: (_crust(item.clip), item.truth.crust_height_mm), told),
        blister_error_mm=error(lambda item: (_blister(item.clip), item.truth.blister_height_mm), told),
        batch=batch,
        seconds_p50=round(float(np.quantile(seconds, 0.5)), 3),
        seconds_p99=round(float(np.quantile(seconds, 0.99)), 3),
    )


def _sampling(engine: VerdictEngine, task: Task) -> str:
    if task.escalation.frames >= FRAME_COUNT:
        return "all"
    return "space" if isinstance(engine, Engine) and engine.space_aware else "even"


def _share(items: Sequence[Judged], hit: Callable[[Judged], bool]) -> ShareReport:
    return ShareReport.of(wilson(sum(map(hit, items)), len(items)))


def _hours_apart(item: Judged) -> int:
    """Hours between the answer's and the true sector on the clock face; 12 when the answer names none."""
    said = None if item.clip.char is None else item.clip.char.hour
    if said is None or item.truth.char_sector is None:
        return 12
    return abs((said - item.truth.char_sector + 6) % 12 - 6)


def _degrees_apart(item: Judged) -> float | None:
    """Degrees from where the char truly lies towards to where it is said to, -180 to 180; None where nothing is said.

    Of a verdict that tells hours only, it is the hour's middle.
    """
    char = item.clip.char
    if char is None or char.hour is None:
        return None
    said = 30 * char.hour if char.direction_deg is None else char.direction_deg
    sine, cosine = char_direction(np.array([item.truth.char_fraction_by_hour], np.float32))[0]
    true = math.degrees(math.atan2(sine, cosine))
    return (said - true + 180) % 360 - 180


def _within_30(item: Judged) -> bool:
    apart = _degrees_apart(item)
    return apart is not None and abs(apart) <= 30


def _hours_of_picture(items: Sequence[Judged]) -> float | None:
    """Slope of the direction's error over the camera's turn: which part of the turn the answers leave in.

    None of fewer than three bakes, or where no camera turns.
    """
    pairs = [(_camera_turn(item.truth), apart) for item in items if (apart := _degrees_apart(item)) is not None]
    if len(pairs) < 3:
        return None
    turns, errors = np.array(pairs).T  # [n], [n]
    spread = float(((turns - turns.mean()) ** 2).sum())
    return round(float(((turns - turns.mean()) * errors).sum()) / spread, 3) if spread > 0 else None


def _camera_turn(truth: BakeTruth) -> float:
    """Degrees that the belt's travel is turned in the picture, 0 upwards, clockwise positive."""
    pose = np.array(truth.poses[0])  # [3, 4] world to camera; its column 0 is the belt's travel in the camera's axes
    return math.degrees(math.atan2(pose[0, 0], -pose[1, 0]))


def _crust(verdict: BakeVerdict) -> float | None:
    return None if verdict.relief is None else verdict.relief.crust_height_mm


def _blister(verdict: BakeVerdict) -> float | None:
    return None if verdict.relief is None else verdict.relief.blister_height_mm
