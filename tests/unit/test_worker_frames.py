"""A clip's frames in the worker: checked all at once, decoded for engines that do not ask for them, or on demand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.worker import answers
from cloud.worker.answers import Frames, compute
from shared.clip import ClipFrame, encode_clip
from shared.errors import BadInputError
from shared.escalation import Request
from shared.images import decode_jpeg, encode_jpeg
from shared.messages import BakeVerdict
from shared.task import Task, load_task
from shared.topics import Line

TASK = load_task("pizza")
RNG = np.random.default_rng(2)
JPEGS = [encode_jpeg(RNG.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(3)]
AT = JPEGS[1].index(b"\xff\xc4") + 5  # DHT: marker, length, class; then how many codes have 1, 2, ... 16 bits
DAMAGED = JPEGS[1][:AT] + bytes(16 * [255]) + JPEGS[1][AT + 16 :]  # only a decoder sees it


class Looks:
    """An engine that looks at some frames."""

    def __init__(self, *places: int, on_demand: bool) -> None:
        self.places, self.decodes_on_demand = places, on_demand

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        assert len(frames) == len(times_s) == 3
        for place in self.places:
            assert np.array_equal(frames[place], decode_jpeg(JPEGS[place]))
        return BakeVerdict("dark", 0.9, False, "")


def ask(engine: Looks, jpegs: Sequence[bytes], decoded: list[bytes]) -> BakeVerdict:
    def decode(jpeg: bytes, max_pixels: int) -> NDArray[np.uint8]:
        decoded.append(jpeg)
        return decode_jpeg(jpeg, max_pixels)

    clip = encode_clip([ClipFrame(jpeg, number) for number, jpeg in enumerate(jpegs)])
    return compute(engine, TASK, Request(bytes(16), 1, "pizza", "high", Line.of("a", "b"), clip, "m", 30), decode)


def test_what_nobody_looks_at_is_not_decoded() -> None:
    decoded: list[bytes] = []
    ask(Looks(0, 2, 0, -1, on_demand=True), JPEGS, decoded)
    assert decoded == [JPEGS[0], JPEGS[2]]
    decoded.clear()
    ask(Looks(0, on_demand=False), JPEGS, decoded)
    assert decoded == JPEGS


def test_damage_is_found_where_somebody_looks() -> None:
    jpegs = [JPEGS[0], DAMAGED, JPEGS[2]]
    assert ask(Looks(0, 2, on_demand=True), jpegs, []).doneness == "dark"
    for engine in (Looks(1, on_demand=True), Looks(0, on_demand=False)):
        with pytest.raises(BadInputError):
            ask(engine, jpegs, [])


@pytest.mark.parametrize("on_demand", [True, False])
def test_the_structure_and_size_of_all_frames_is_checked_before_the_first_is_decoded(
    on_demand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    with pytest.raises(BadInputError, match="behind the end"):
        ask(Looks(on_demand=on_demand), [*JPEGS[:2], JPEGS[2] + b"PK"], decoded)
    monkeypatch.setattr(answers, "MAX_CLIP_PIXELS", 2 * 24 * 32 + 10)
    with pytest.raises(BadInputError, match="32x24 pixels are more than the 10 allowed"):
        ask(Looks(on_demand=on_demand), JPEGS, decoded)
    assert decoded == []


def test_frames_are_a_sequence_like_any_other() -> None:
    frames = Frames([ClipFrame(jpeg, 0) for jpeg in JPEGS], decode_jpeg)
    assert len(frames[1:]) == 2
    assert np.array_equal(np.stack(list(frames)), np.stack([decode_jpeg(jpeg) for jpeg in JPEGS]))
    with pytest.raises(IndexError):
        frames[3]
