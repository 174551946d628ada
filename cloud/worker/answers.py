"""From a request to its answer: decode under caps, ask the engine, remember what was said. Knows no sockets."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.clip import ClipFrame, decode_clip
from shared.errors import BadInputError
from shared.escalation import Request, Sender
from shared.images import MAX_PIXELS, decode_jpeg
from shared.jpeg import check_jpeg
from shared.messages import BakeVerdict, Response, encode
from shared.task import Task

log = logging.getLogger(__name__)

MAX_CLIP_PIXELS = 64_000_000  # of all frames together: 192 MB as RGB
REMEMBERED = 4096  # answers; each is about 1 KB


class Engine(Protocol):
    """What the worker needs of `cloud.engine.Engine`.

    One with a true attribute `decodes_on_demand` gets frames that are decoded when it looks at them, and may raise
    BadInputError then; others get them decoded.
    """

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """The verdict on frames uint8 [H, W, 3] taken at `times_s`."""
        ...


Decode = Callable[[bytes, int], NDArray[np.uint8]]
"""A JPEG and the most pixels that it may have to uint8 [H, W, 3]; raises BadInputError."""


class AnswerCache:
    """The latest answers by sender, id and content: a request that comes again is answered again, not computed."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._answers: OrderedDict[tuple[Any, ...], BakeVerdict] = OrderedDict()

    def get(self, request: Request) -> BakeVerdict | None:
        """The verdict given to this request before, None when there is none."""
        key = _key(request)
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def put(self, request: Request, verdict: BakeVerdict) -> None:
        """Remember a verdict, and forget the one that was asked for longest ago."""
        self._answers[_key(request)] = verdict
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)


def _key(request: Request) -> tuple[Any, ...]:
    return request.line, request.id, request.sha256


class Frames(Sequence[NDArray[np.uint8]]):
    """The frames of a clip, uint8 [H, W, 3] each, decoded when they are looked at; the structure of all is checked now.

    Raises BadInputError for a frame that is no JPEG, and for more than MAX_CLIP_PIXELS in all; looking at one raises it
    for damage that only a decoder sees.
    """

    def __init__(self, clip: Sequence[ClipFrame], decode: Decode) -> None:
        left = MAX_CLIP_PIXELS
        for frame in clip:
            shape = check_jpeg(frame.jpeg)
            pixels = shape.width * shape.height
            if pixels > left:
                words = f"JPEG frame: {shape.width}x{shape.height} pixels are more than the {left} allowed"
                raise BadInputError(words)
            left -= pixels
        self._clip = clip
        self._decode = decode
        self._seen: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._clip)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint8]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        if place not in self._seen:
            self._seen[place] = self._decode(self._clip[place].jpeg, MAX_PIXELS)
        return self._seen[place]


def compute(engine: Engine, task: Task, request: Request, decode: Decode = decode_jpeg) -> BakeVerdict:
    """The engine's verdict on a request. Raises BadInputError when its clip or frames are not what they should be."""
    if request.task != task.name:
        raise BadInputError(f"this worker answers task {task.name}, not {request.task}")
    clip = decode_clip(request.clip, verified=True)  # `read_request` compared its sha256
    frames: Sequence[NDArray[np.uint8]] = Frames(clip, decode)
    if not getattr(engine, "decodes_on_demand", False):
        frames = list(frames)
    times_s = [frame.time_us / 1e6 for frame in clip]
    return engine.verdict(frames, times_s, task)


def traced(verdict: BakeVerdict, request: Request, worker: str) -> BakeVerdict:
    """The verdict with what it was given for and by whom, so that the decision can be computed again."""
    if verdict.provenance is None:
        return verdict
    provenance = msgspec.structs.replace(verdict.provenance, clip_sha256=request.sha256, worker=worker)
    return msgspec.structs.replace(verdict, provenance=provenance)


def unable(reason: str) -> BakeVerdict:
    """The answer to a request that cannot be judged."""
    return BakeVerdict(doneness=None, confidence=0.0, cannot_tell=True, rationale=reason)


def response(sender: Sender, worker: str, verdict: BakeVerdict) -> bytes:
    """The payload of an answer."""
    return encode(Response(id=sender.id.hex(), attempt=sender.attempt, worker=worker, verdict=verdict))
