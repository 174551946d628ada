"""What `crustwatch cloud ask`, `verdict`, `sample` and `depth` do."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import msgspec

from cloud.asking.cli import Sight
from cloud.asking.depth_report import write_depth
from cloud.asking.sampling_report import sample, write
from cloud.chat import Question
from cloud.media import Footage, read_pictures, read_video
from cloud.model_choice import EngineChoice, ModelChoice
from cloud.spatial_mllm.sampling import MAX_CANDIDATES
from cloud.taken import Taken
from shared.errors import BadInputError
from shared.output_folder import output_folder
from shared.task import load_task


def footage_of(sight: Sight, *, apart: bool = False, sampling: str = "even") -> list[Footage]:
    """Videos first, then pictures, read. Raises BadInputError for what cannot be read."""
    if sampling not in ("even", "space"):
        raise BadInputError(f"sampling {sampling!r}: choose even or space")
    count = max(sight.frames, MAX_CANDIDATES) if sampling == "space" else sight.frames
    found = [read_video(path, count, sight.reader) for path in sight.video or ()]
    if pictures := [*(sight.images or ()), *(sight.pictures or ())]:
        found += read_pictures(pictures, apart=apart)
    return found


def run_ask(
    choice: EngineChoice, sight: Sight, prompt: str, apart: bool, sampling: str, max_tokens: int, as_json: bool
) -> None:
    """Print the answer while it is made, or one JSON object."""
    footage = footage_of(sight, apart=apart, sampling=sampling)
    chat = choice.chat()
    started = time.perf_counter()
    shown = [  # pictures are all shown
        chat.show(one, len(one.frames) if one.still else sight.frames, space_aware=sampling == "space")
        for one in footage
    ]
    pieces: list[str] = []
    first_s = None
    for piece in chat.stream(Question(prompt, tuple(shown)), max_tokens):
        first_s = first_s or time.perf_counter() - started
        pieces.append(piece)
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    if not as_json:
        sys.stdout.write("\n")
        return
    answer = {
        "answer": "".join(pieces),
        "model": chat.loaded.name,
        "engine": choice.engine,
        "weights_sha256": chat.loaded.weights_sha256,
        "attention": chat.model.attention,
        "device": str(chat.model.device),
        "frames": {
            one.name: [one.places[place] for place in seen.places] for one, seen in zip(footage, shown, strict=True)
        },
        "seconds_to_first_text": None if first_s is None else round(first_s, 3),
        "seconds": round(time.perf_counter() - started, 3),
    }
    print(json.dumps(answer))  # noqa: T201 - the command's output


def run_verdict(choice: EngineChoice, sight: Sight, task_name: str, as_json: bool) -> None:
    """Print the verdict on each video, and on the pictures as one bake."""
    task = load_task(task_name)
    footage = footage_of(sight)
    if not footage:
        raise BadInputError("a verdict needs frames: name a video with --video or pictures with --images")
    engine = choice.load()
    verdicts = engine.verdicts([Taken(one.frames, one.times_s) for one in footage], task)
    for one, verdict in zip(footage, verdicts, strict=True):
        if as_json:
            print(json.dumps({"name": one.name, **msgspec.to_builtins(verdict)}))  # noqa: T201 - the command's output
        else:
            said = "cannot tell" if verdict.cannot_tell else f"{verdict.doneness} (confidence {verdict.confidence:.3f})"
            print(f"{one.name}: {said}\n  {verdict.rationale}")  # noqa: T201 - the command's output


def run_sample(
    choice: ModelChoice, video: Path, out: Path, frames: int, candidates: int, reader: str, as_json: bool
) -> None:
    """Choose frames of one video, write them, and say what they cover."""
    footage = read_video(video, max(frames, candidates), reader)
    output_folder(out)
    loaded = choice.loaded()
    found = sample(loaded.model, loaded.processor, footage, frames)
    report = write(found, footage, out)
    if as_json:
        print(json.dumps(report))  # noqa: T201 - the command's output
        return
    covered = f"they show {report['voxels_by_space']:.0f} voxels, as many evenly spread ones " if found.cover else ""
    by = (
        f"chosen by the space that they show; {covered}{report['voxels_evenly']:.0f}"
        if found.cover
        else f"spread evenly: {loaded.name} has no point head to choose by"
    )
    print(f"{len(found.places)} of {report['candidates']} frames, {by}")  # noqa: T201 - the command's output
    print(f"frames {', '.join(map(str, found.places))} in {out}")  # noqa: T201 - the command's output


def run_depth(choice: ModelChoice, sight: Sight, out: Path, keep: float, as_json: bool) -> None:
    """Write depth pictures and the point cloud of a video or of pictures."""
    footage = footage_of(sight)
    if len(footage) != 1:
        raise BadInputError("depth looks at one scene: name one --video, or pictures with --images")
    output_folder(out)
    loaded = choice.loaded()
    report = write_depth(loaded.model, loaded.processor, footage[0], out, keep)
    if as_json:
        print(json.dumps(report))  # noqa: T201 - the command's output
        return
    print(  # noqa: T201 - the command's output
        f"{len(footage[0].frames)} depth pictures from {report['depth_low']} to {report['depth_high']} "
        f"(up to scale) and {report['points']} points in {out}"
    )
